//! The positions in the source of all places where a backtrace can be.

use std::collections::HashMap;

use cwasm_format::lines::{self, Function, Site};

use super::budget::Budget;
use super::dwarf::Dwarf;
use super::source::{Position, Source};
use super::texts::Texts;
use crate::module::Module;
use crate::originals::Originals;
use crate::work::CompiledFunction;

/// A core function, and its module.
pub(crate) struct Compiled<'c, 'a> {
    pub(crate) module: &'c Module<'a>,
    /// The function's index in the module.
    pub(crate) index: u32,
    pub(crate) code: &'c CompiledFunction,
}

/// The tables of lines, and what could not be used for them.
pub(crate) struct Lines {
    /// The section: see [`cwasm_format::lines`].
    pub(crate) section: Vec<u8>,
    pub(crate) warnings: Vec<String>,
}

/// Makes the table of these functions, which are in the order of the text.
pub(crate) fn lines<'c, 'a: 'c>(functions: impl Iterator<Item = Compiled<'c, 'a>>) -> Lines {
    let mut building = Building {
        texts: Texts::new(),
        modules: Vec::new(),
        numbers: HashMap::new(),
        positions: Positions::default(),
        warnings: Vec::new(),
        chain: Vec::new(),
        scopes: Vec::new(),
    };
    let functions: Vec<Function> = functions
        .map(|function| building.function(&function))
        .collect();
    let names: Vec<u32> = building.modules.iter().map(|module| module.name).collect();
    let section = lines::encode(
        building.texts.iter(),
        &building.positions.all,
        &names,
        functions.into_iter(),
    );
    Lines {
        section,
        warnings: building.warnings,
    }
}

/// A module whose functions are in the text.
struct Known {
    name: u32,
    source: Source,
}

struct Building<'a> {
    texts: Texts,
    modules: Vec<Known>,
    /// The modules' numbers, by address.
    numbers: HashMap<*const Module<'a>, u32>,
    positions: Positions,
    warnings: Vec<String>,
    // Buffers.
    chain: Vec<Position>,
    scopes: Vec<super::scopes::Scope>,
}

impl<'a> Building<'a> {
    /// The number of a module, whose debug information is read when it is new.
    fn module(&mut self, module: &Module<'a>) -> u32 {
        let place = std::ptr::from_ref(module);
        if let Some(number) = self.numbers.get(&place) {
            return *number;
        }
        let name = self.texts.add(&module.name).0;
        let source = self.source(module);
        let number = self.modules.len() as u32;
        self.modules.push(Known { name, source });
        self.numbers.insert(place, number);
        number
    }

    fn source(&mut self, module: &Module<'a>) -> Source {
        let sections = &module.debug_sections;
        let bytes = sections.iter().map(|(_, bytes)| bytes.len()).sum();
        let code_len = Code::of(module).len;
        let mut budget = Budget::new(bytes, code_len.into());
        let source = Dwarf::read(sections, &mut budget)
            .and_then(|dwarf| Source::read(&dwarf, code_len, &mut self.texts, &mut budget));
        source.unwrap_or_else(|refusal| {
            let module = match &*module.name {
                "" => format!("the core module at offset {:#x}", module.offset),
                name => format!("core module `{}`", cwasm_format::escape::name(name)),
            };
            let warning = format!("the debug information of {module} is left out: {refusal}");
            self.warnings.push(warning);
            Source::default()
        })
    }

    fn function(&mut self, function: &Compiled<'_, 'a>) -> Function {
        let Compiled {
            module,
            index,
            code: compiled,
        } = function;
        let number = self.module(module);
        let body = (index - module.imported_funcs) as usize;
        let code = Code::of(module);
        // What was added to a module is nobody's.
        let start = code.start(module, body);
        let in_code = start.unwrap_or(0).saturating_sub(code.start);
        let source = &self.modules[number as usize].source;
        let mut sites: Vec<Site> = Vec::new();
        for offset in places(compiled).into_iter().filter(|_| start.is_some()) {
            let origins = compiled.origins.as_ref();
            let wasm_offset = origins.and_then(|origins| origins.find(offset));
            let wasm_offset = code.offset(body, wasm_offset.unwrap_or(0));
            let address = in_code.saturating_add(wasm_offset);
            source.find(address, &mut self.chain, &mut self.scopes);
            sites.push(Site {
                offset,
                wasm_offset,
                position: self.positions.add(&self.chain),
            });
        }
        Function {
            module: number,
            start: start.unwrap_or(0),
            sites,
        }
    }
}

/// The code section of a module, as its debug information knows it.
struct Code<'m> {
    /// Where its contents start, from the start of the module's binary.
    start: u32,
    /// Bytes of its contents.
    len: u32,
    originals: Option<&'m Originals>,
}

impl<'m> Code<'m> {
    fn of(module: &'m Module<'_>) -> Code<'m> {
        match &module.originals {
            Some(originals) => Code {
                start: originals.code_start,
                len: originals.code_len,
                originals: Some(originals),
            },
            // Both are less than 4 GiB, as the size of a module is.
            None => Code {
                start: (module.code_start - module.offset) as u32,
                len: module.code_len as u32,
                originals: None,
            },
        }
    }

    /// Where the body of a function starts, from the start of the module's binary.
    fn start(&self, module: &Module<'_>, body: usize) -> Option<u32> {
        match self.originals {
            Some(originals) => originals.start(body),
            None => Some((module.bodies[body].body.range().start - module.offset) as u32),
        }
    }

    /// Where an operator of a body is, from its start.
    fn offset(&self, body: usize, offset: u32) -> u32 {
        let originals = self.originals;
        originals.map_or(offset, |originals| originals.offset(body, offset))
    }
}

/// The places of a function where a backtrace can be, in order: instructions that trap, and the last
/// bytes of calls.
fn places(code: &CompiledFunction) -> Vec<u32> {
    let traps = code.traps.iter().map(|(offset, _)| *offset);
    let returns = code.origins.iter().flat_map(|origins| &origins.returns);
    let mut places: Vec<u32> = traps.chain(returns.map(|end| end - 1)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// Positions by number; equal ones are there once.
#[derive(Default)]
struct Positions {
    all: Vec<lines::Position>,
    known: HashMap<lines::Position, u32>,
}

impl Positions {
    /// The number of the innermost of these, which were inlined into each other.
    fn add(&mut self, chain: &[Position]) -> Option<u32> {
        let mut parent = None;
        for Position { function, place } in chain.iter().rev() {
            let position = lines::Position {
                parent,
                function: function.0,
                file: place.file.0,
                line: place.line,
                column: place.column,
            };
            let number = *self.known.entry(position).or_insert_with(|| {
                self.all.push(position);
                self.all.len() as u32 - 1
            });
            parent = Some(number);
        }
        parent
    }
}

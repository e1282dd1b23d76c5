//! The positions in the source of all places where a backtrace can be.

use std::collections::HashMap;

use cwasm_format::lines::{self, Function, Site};

use super::modules::{Code, Modules, left_out};
use super::scopes::Scope;
use super::source::{Position, Source};
use crate::module::Module;
use crate::work::CompiledFunction;

/// A core function, and its module.
pub(crate) struct Compiled<'c, 'a> {
    pub(crate) module: &'c Module<'a>,
    /// The name of its component, if that is nested in another one.
    pub(crate) component: &'c str,
    /// The function's index in the module.
    pub(crate) index: u32,
    pub(crate) code: &'c CompiledFunction,
}

/// Makes the table of these functions, which are in the order of the text: the section of
/// [`cwasm_format::lines`].
pub(crate) fn section<'c, 'a: 'c>(
    functions: impl Iterator<Item = Compiled<'c, 'a>>,
    modules: &mut Modules<'a>,
) -> Vec<u8> {
    let mut building = Building {
        modules,
        positions: Positions::default(),
        chain: Vec::new(),
        scopes: Vec::new(),
    };
    let functions: Vec<Function> = functions
        .map(|function| building.function(&function))
        .collect();
    let names: Vec<u32> = building
        .modules
        .all
        .iter()
        .map(|module| module.name.0)
        .collect();
    lines::encode(
        building.modules.texts.iter(),
        &building.positions.all,
        &names,
        functions.into_iter(),
    )
}

struct Building<'b, 'a> {
    modules: &'b mut Modules<'a>,
    positions: Positions,
    // Buffers.
    chain: Vec<Position>,
    scopes: Vec<Scope>,
}

impl<'a> Building<'_, 'a> {
    fn function(&mut self, function: &Compiled<'_, 'a>) -> Function {
        let Compiled {
            module,
            component,
            index,
            code: compiled,
        } = function;
        let number = self.modules.number(module, component);
        let body = (index - module.imported_funcs) as usize;
        let code = Code::of(module);
        // What was added to a module is nobody's.
        let start = code.start(module, body);
        let in_code = start.unwrap_or(0).saturating_sub(code.start);
        let known = &mut self.modules.all[number as usize];
        let mut sites: Vec<Site> = Vec::new();
        for offset in places(compiled).into_iter().filter(|_| start.is_some()) {
            let origins = compiled.origins.as_ref();
            let wasm_offset = origins.and_then(|origins| origins.find(offset));
            let wasm_offset = code.offset(body, wasm_offset.unwrap_or(0));
            let address = in_code.saturating_add(wasm_offset);
            let source = &known.source;
            source.find(address, &mut self.chain, &mut self.scopes);
            // Each place may be in many functions that were inlined into each other.
            if let Err(refusal) = known.budget.take(1 + self.chain.len() as u64) {
                self.modules.warnings.push(left_out(module, &refusal));
                known.source = Source::default();
                self.chain.clear();
            }
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

/// The places of a function where a backtrace can be, in order: instructions that trap, and the
/// last bytes of calls.
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

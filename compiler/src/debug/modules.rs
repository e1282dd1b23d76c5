//! The core modules of a unit, and what their debug information says.

use std::collections::HashMap;

use super::budget::{Budget, Refusal};
use super::dwarf::Dwarf;
use super::source::Source;
use super::texts::{TextId, Texts};
use crate::module::Module;
use crate::originals::Originals;

/// Bytes of a component's name that become part of the names of all its core modules.
const MAX_PREFIX: usize = 256;

/// What is known of a core module.
pub(super) struct Known<'a> {
    pub(super) name: TextId,
    /// `None` if it has no debug information, or none that is of use.
    pub(super) dwarf: Option<Dwarf<'a>>,
    pub(super) source: Source,
    pub(super) budget: Budget,
}

/// The modules by number.
pub(crate) struct Modules<'a> {
    pub(super) all: Vec<Known<'a>>,
    /// Their numbers, by address.
    numbers: HashMap<*const Module<'a>, u32>,
    pub(super) texts: Texts,
    /// What could not be used.
    pub(crate) warnings: Vec<String>,
}

impl<'a> Modules<'a> {
    pub(crate) fn new() -> Modules<'a> {
        Modules {
            all: Vec::new(),
            numbers: HashMap::new(),
            texts: Texts::new(),
            warnings: Vec::new(),
        }
    }

    /// The number of a module, whose debug information is read when it is new.
    ///
    /// `component` is the name of the component that it is in, if that is nested in another one.
    pub(super) fn number(&mut self, module: &Module<'a>, component: &str) -> u32 {
        let place = std::ptr::from_ref(module);
        if let Some(number) = self.numbers.get(&place) {
            return *number;
        }
        let number = self.all.len() as u32;
        let mut known = self.read(module);
        if !component.is_empty() {
            let prefix = &component[..component.floor_char_boundary(MAX_PREFIX)];
            let name = match module.name {
                "" => prefix.to_owned(),
                name => format!("{prefix}/{name}"),
            };
            known.name = self.texts.add(&name);
        }
        self.all.push(known);
        self.numbers.insert(place, number);
        number
    }

    fn read(&mut self, module: &Module<'a>) -> Known<'a> {
        let sections = &module.debug_sections;
        let bytes = sections.iter().map(|(_, bytes)| bytes.len()).sum();
        let code = Code::of(module);
        let mut known = Known {
            name: self.texts.add(module.name),
            dwarf: None,
            source: Source::default(),
            budget: Budget::new(bytes, code.len.into()),
        };
        let budget = &mut known.budget;
        let read = Dwarf::read(sections, budget).and_then(|dwarf| {
            let source = Source::read(&dwarf, code.len, &mut self.texts, budget)?;
            Ok((dwarf, source))
        });
        match read {
            Ok((dwarf, source)) => {
                known.dwarf = (!dwarf.units.is_empty()).then_some(dwarf);
                known.source = source;
            }
            Err(refusal) => self.warnings.push(left_out(module, &refusal)),
        }
        known
    }
}

/// Says that the debug information of a module is not used, and why.
pub(super) fn left_out(module: &Module<'_>, refusal: &Refusal) -> String {
    let module = match module.name {
        "" => format!("the core module at offset {:#x}", module.range.start),
        name => format!("core module `{}`", cwasm_format::escape::name(name)),
    };
    format!("the debug information of {module} is left out: {refusal}")
}

/// The code section of a module, as its debug information knows it.
pub(super) struct Code<'m> {
    /// Where its contents start, from the start of the module's binary.
    pub(super) start: u32,
    /// Bytes of its contents.
    pub(super) len: u32,
    originals: Option<&'m Originals>,
}

impl<'m> Code<'m> {
    pub(super) fn of(module: &'m Module<'_>) -> Code<'m> {
        match &module.originals {
            Some(originals) => Code {
                start: originals.code_start,
                len: originals.code_len,
                originals: Some(originals),
            },
            // Both are less than 4 GiB, as the size of a module is.
            None => Code {
                start: (module.code_start - module.range.start) as u32,
                len: module.code_len as u32,
                originals: None,
            },
        }
    }

    /// Where the body of a function starts, from the start of the module's binary.
    pub(super) fn start(&self, module: &Module<'_>, body: usize) -> Option<u32> {
        match self.originals {
            Some(originals) => Some(originals.function(body)?.start),
            None => Some((module.bodies[body].body.range().start - module.range.start) as u32),
        }
    }

    /// Where an operator of a body is, from its start.
    pub(super) fn offset(&self, body: usize, offset: u32) -> u32 {
        let original = self.originals.and_then(|all| all.function(body));
        original.map_or(offset, |original| original.offset(offset))
    }
}

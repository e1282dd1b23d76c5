//! A case and what becomes of it: a module, what it imports, and calls.

use std::fmt;
use std::panic::catch_unwind;

use crate::rng::Rng;
use crate::shape::{self, Kind, NotHere, Shape};
use crate::targets::Target;
use crate::value::Value;
use crate::{accesses, dwarf, exceptions, smith};

/// The smallest and largest DNA of a case, in bytes.
const DNA_SIZE: (u64, u64) = (256, 16384);

/// The most calls of a program.
const MAX_CALLS: usize = 48;

/// The input from which a case is generated. The choices (proposals, limits, arguments, settings of
/// the compiler) stay the same when the DNA is made smaller, which makes the module smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub(crate) choices: u64,
    pub(crate) dna: Vec<u8>,
    /// The module itself, if it was given.
    wasm: Option<Vec<u8>>,
}

/// A module and what to do with it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) wasm: Vec<u8>,
    pub(crate) shape: Shape,
    /// The same module with the instructions of exceptions before WebAssembly 3.0.
    pub(crate) legacy: Option<Vec<u8>>,
    /// The module that exports what it imports, functions aside.
    pub(crate) provider: Option<(Vec<u8>, Shape)>,
    pub(crate) calls: Vec<Call>,
    /// For the settings of the compiler.
    pub(crate) rng: Rng,
}

/// A call of an exported function.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) func: String,
    pub(crate) args: Vec<Value>,
}

/// The proposals that both sides of a comparison know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proposals {
    /// All that cwasm has and wasm-smith makes.
    Ours,
    /// Without what the interpreter has not, or does otherwise.
    Common,
    /// As `Ours`, in modules that throw and catch.
    Exceptions,
}

impl Case {
    /// The case of a seed.
    pub fn from_seed(seed: u64) -> Case {
        let mut rng = Rng::new(seed);
        let choices = rng.next();
        // Small modules compile fast: as many of each doubling.
        let (min, max) = DNA_SIZE;
        let doublings = u64::from((max / min).ilog2());
        let floor = min << rng.below(doublings);
        let size = floor + rng.below(floor);
        let dna = (0..size).map(|_| rng.next() as u8).collect();
        Case {
            choices,
            dna,
            wasm: None,
        }
    }

    /// The case of a file: [`Case::to_bytes`], or a module, binary or text.
    ///
    /// # Errors
    /// If it is text that is no module.
    pub fn from_bytes(bytes: &[u8]) -> Result<Case, wat::Error> {
        let wasm = match bytes.starts_with(b"\0asm") || bytes.starts_with(b"(module") {
            true => Some(wat::parse_bytes(bytes)?.into_owned()),
            false => None,
        };
        let (choices, dna) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        Ok(Case {
            choices: u64::from_le_bytes(*choices),
            dna: dna.to_vec(),
            wasm,
        })
    }

    /// The bytes of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.wasm {
            Some(wasm) => wasm.clone(),
            None => [&self.choices.to_le_bytes(), &*self.dna].concat(),
        }
    }

    /// Whether it is a module that was given as it is.
    pub fn is_module(&self) -> bool {
        self.wasm.is_some()
    }

    /// As it is, but with other choices.
    pub fn with_choices(&self, choices: u64) -> Case {
        Case {
            choices,
            ..self.clone()
        }
    }

    /// The module that a target runs; `None` if nothing can be made of the case, or making it
    /// panics.
    pub fn wasm(&self, target: Target) -> Option<Vec<u8>> {
        if target == Target::Dwarf {
            return Some(self.with_debug_information());
        }
        let program = catch_unwind(|| self.program(target.proposals()));
        program.ok()?.map(|program| program.wasm)
    }

    /// The module whose debug information is damaged, if it was not given.
    pub(crate) fn with_debug_information(&self) -> Vec<u8> {
        match &self.wasm {
            Some(wasm) => wasm.clone(),
            None => dwarf::module(self.choices, &self.dna),
        }
    }

    /// As it is, but with other DNA.
    pub(crate) fn with_dna(&self, dna: Vec<u8>) -> Case {
        Case {
            dna,
            ..self.clone()
        }
    }

    /// The program; `None` if nothing can be made of the case.
    pub(crate) fn program(&self, proposals: Proposals) -> Option<Program> {
        let mut rng = Rng::new(self.choices);
        let mut legacy = None;
        let wasm = match &self.wasm {
            Some(wasm) => wasm.clone(),
            None if proposals == Proposals::Exceptions && !rng.one_in(4) => {
                // The DNA is a seed: such a module is not made smaller by cutting it.
                let seed = self.dna.iter().fold(self.choices, |seed, byte| {
                    Rng::new(seed ^ u64::from(*byte)).next()
                });
                let forms = exceptions::module(&mut Rng::new(seed));
                legacy = Some(forms.legacy);
                forms.new
            }
            None if rng.one_in(4) => accesses::module(&mut rng, &self.dna, proposals),
            None => smith::module(&mut rng, &self.dna, proposals)?,
        };
        let shape = match Shape::of(&wasm) {
            Ok(shape) => shape,
            Err(NotHere::Other) => return None,
            Err(NotHere::Malformed(error)) => panic!("a malformed module was made: {error}"),
        };
        if shape.may_block {
            return None;
        }
        let provider = shape::provider(&shape, &mut rng, proposals);
        let calls = calls(&shape, &mut rng);
        Some(Program {
            wasm,
            shape,
            legacy,
            provider,
            calls,
            rng,
        })
    }
}

/// Calls of all exported functions, each some times.
fn calls(shape: &Shape, rng: &mut Rng) -> Vec<Call> {
    let funcs: Vec<_> = shape
        .exports
        .iter()
        .filter_map(|export| match &export.kind {
            Kind::Func(ty) => Some((&export.name, ty)),
            _ => None,
        })
        .collect();
    let times = MAX_CALLS.checked_div(funcs.len()).unwrap_or(0).clamp(1, 8);
    let rounds = (0..times).flat_map(|_| &funcs);
    rounds
        .take(MAX_CALLS)
        .map(|(name, ty)| Call {
            func: (*name).clone(),
            args: ty.params.iter().map(|ty| Value::random(*ty, rng)).collect(),
        })
        .collect()
}

impl Program {
    /// Names of the provider's exports in a [`State`](crate::run::State).
    pub(crate) fn provided_name(name: &str) -> String {
        format!("import {name}")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` with {:x?}", self.func, self.args)
    }
}

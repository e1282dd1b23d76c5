//! The targets: the pairs of things that are compared.

use cwasm_compiler::{Bounds, OptLevel};
use cwasm_format::cpu::CpuLevel;

use crate::ours::{Ours, Settings};
use crate::program::{Case, Program, Proposals};
use crate::run::{self, Log};
use crate::{dwarf, interpreter};

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// cwasm and an interpreter.
    Differential,
    /// Optimisation levels, CPU levels, and what keeps accesses inside of memories.
    Levels,
    /// With and without the alias analysis of Cranelift.
    Alias,
    /// Exceptions with the instructions of WebAssembly 3.0 and with those before it.
    Exceptions,
    /// Damaged debug information, which is compiled and not run.
    Dwarf,
}

/// State that is kept from case to case.
#[derive(Debug, Default)]
pub struct Lab {
    ours: Ours,
}

/// The figures of a case without a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls of exported functions that were made and compared.
    pub calls: u64,
    /// Those of them that returned.
    pub returned: u64,
}

/// Two sides that do not agree, or one that refuses what it should take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The finding, for a reader.
    pub message: String,
    /// The module.
    pub wasm: Vec<u8>,
}

impl Target {
    /// All of them.
    pub const ALL: &'static [Target] = &[
        Target::Differential,
        Target::Levels,
        Target::Alias,
        Target::Exceptions,
        Target::Dwarf,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Target::Differential => "differential",
            Target::Levels => "levels",
            Target::Alias => "alias",
            Target::Exceptions => "exceptions",
            Target::Dwarf => "dwarf",
        }
    }

    /// The target of this name.
    pub fn from_name(name: &str) -> Option<Target> {
        let mut all = Target::ALL.iter().copied();
        all.find(|target| target.name() == name)
    }

    pub(crate) fn proposals(self) -> Proposals {
        match self {
            Target::Differential => Proposals::Common,
            Target::Levels | Target::Alias => Proposals::Ours,
            // Nothing that is made of proposals.
            Target::Exceptions | Target::Dwarf => Proposals::Exceptions,
        }
    }
}

impl Lab {
    /// Runs a case; `Ok(None)` if it is none for this target.
    ///
    /// # Errors
    /// Checks a case. The error is the finding.
    pub fn check(&self, target: Target, case: &Case) -> Result<Option<Report>, Box<Finding>> {
        if target == Target::Dwarf {
            let wasm = case.with_debug_information();
            let checked = dwarf::check(case.choices, &wasm);
            return checked
                .map(Some)
                .map_err(|message| Box::new(Finding { message, wasm }));
        }
        let Some(mut program) = case.program(target.proposals()) else {
            return Ok(None);
        };
        let checked = match target {
            Target::Differential => self.differential(&mut program),
            Target::Levels => self.levels(&mut program),
            Target::Alias => self.alias(&mut program),
            Target::Exceptions => self.exceptions(&mut program),
            Target::Dwarf => return Ok(None),
        };
        checked.map_err(|message| {
            let wasm = program.wasm;
            Box::new(Finding { message, wasm })
        })
    }

    fn differential(&self, program: &mut Program) -> Result<Option<Report>, String> {
        let settings = any_settings(program);
        let theirs = interpreter::load(program)?;
        let theirs = theirs.map(|loaded| run::run(&loaded, program));
        agree(
            program,
            [("wasmi".to_owned(), theirs), self.ours(program, settings)?],
        )
    }

    fn levels(&self, program: &mut Program) -> Result<Option<Report>, String> {
        let low = Settings {
            opt: OptLevel::None,
            cpu: CpuLevel::X86_64,
            ..Settings::default()
        };
        let any = any_settings(program);
        let checked = Settings {
            bounds: Bounds::Check,
            ..any
        };
        let sides =
            [low, Settings::default(), any, checked].map(|settings| self.ours(program, settings));
        let [low, high, any, checked] = sides;
        agree(program, [low?, high?, any?, checked?])
    }

    fn alias(&self, program: &mut Program) -> Result<Option<Report>, String> {
        let on = Settings {
            opt: program.rng.pick(&[OptLevel::Speed, OptLevel::Size]),
            ..any_settings(program)
        };
        let off = Settings {
            alias_analysis: false,
            ..on
        };
        agree(program, [self.ours(program, on)?, self.ours(program, off)?])
    }

    fn exceptions(&self, program: &mut Program) -> Result<Option<Report>, String> {
        let low = Settings {
            opt: OptLevel::None,
            ..Settings::default()
        };
        let any = any_settings(program);
        let mut sides = vec![
            self.ours(program, low)?,
            self.ours(program, Settings::default())?,
            self.ours(program, any)?,
        ];
        if let Some(legacy) = program.legacy.take() {
            let new = std::mem::replace(&mut program.wasm, legacy);
            for settings in [low, any] {
                let (name, log) = self.ours(program, settings)?;
                sides.push((format!("the legacy form with {name}"), log));
            }
            program.legacy = Some(std::mem::replace(&mut program.wasm, new));
        }
        agree(program, sides)
    }

    fn ours(&self, program: &Program, settings: Settings) -> Result<(String, Option<Log>), String> {
        let compiled = self.ours.compile(program, settings)?;
        let log = compiled.map(|compiled| run::run(&compiled, program));
        Ok((format!("{settings:?}"), log))
    }
}

/// Settings that this machine can run.
fn any_settings(program: &mut Program) -> Settings {
    let rng = &mut program.rng;
    Settings {
        opt: rng.pick(&[
            OptLevel::None,
            OptLevel::Speed,
            OptLevel::Speed,
            OptLevel::Size,
        ]),
        cpu: rng.pick(&[CpuLevel::X86_64, CpuLevel::X86_64V2, CpuLevel::X86_64V3]),
        ..Settings::default()
    }
}

/// Compares each side's log with the first's. One that has none does not support the program.
fn agree(
    program: &Program,
    sides: impl IntoIterator<Item = (String, Option<Log>)>,
) -> Result<Option<Report>, String> {
    let mut sides = sides
        .into_iter()
        .map(|(name, log)| log.map(|log| (name, log)));
    let Some(Some((first_name, first))) = sides.next() else {
        return Ok(None);
    };
    for side in sides {
        let Some((name, log)) = side else {
            return Ok(None);
        };
        if let Some(difference) = run::compare(program, &first, &log) {
            return Err(format!("{first_name} and {name} differ:\n{difference}"));
        }
    }
    Ok(Some(Report {
        calls: first.calls,
        returned: first.returned,
    }))
}

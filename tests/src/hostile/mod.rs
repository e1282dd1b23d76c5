//! Hostile guests: random types, random memory and a scripted `realloc`, whose calls are compared
//! with the [reference](crate::reference).
//!
//! ```text
//! seed -> World: functions of random types, who calls whom   (wat: the component's text)
//!         -> Case: what is passed, and what `realloc` does   (case, values)
//!            -> Expected: value or traps, memories           (expect, from the reference)
//!            -> compiled code and loader, compared           (run, typed, vals)
//! ```
//!
//! One component holds many functions, since compiling costs the most; each case has a new
//! instance.

pub mod case;
mod derived;
pub mod expect;
pub mod matrix;
pub mod run;
pub mod typed;
mod vals;
pub mod values;
pub mod wat;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use cwasm::TrapCode;

use self::case::{Case, random_case};
use self::expect::{End, Expected, expect};
use self::run::{Outcome, Ready};
use self::typed::{ROWS, padding};
use self::values::{random_params, random_type};
use self::wat::{Func, Memory, Path, World, component};
use crate::artifact::Workshop;
use crate::random::Random;
use crate::reference::{Action, Encoding, Type, Width};

/// A case's number is that of its world, and this many bits for its place there.
const CASE_BITS: u32 = 20;

/// The number of cases that ran, and their outcomes.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Cases by path: `between`, `export typed`...
    pub paths: BTreeMap<String, usize>,
    /// Cases that returned.
    pub values: usize,
    /// Cases that trapped, by reason.
    pub traps: BTreeMap<String, usize>,
    /// Cases in which the host's function failed.
    pub host_failures: usize,
    /// Cases of which the reference cannot say how they end.
    pub unsure: usize,
    /// The cases that did not behave as expected.
    pub mismatches: Vec<Mismatch>,
}

/// A case that did something else.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The case's number.
    pub number: u64,
    /// How much there is to read.
    pub weight: usize,
    /// The function, the case, what was expected and what was found.
    pub message: String,
}

impl Summary {
    /// The number of cases.
    pub fn cases(&self) -> usize {
        self.paths.values().sum()
    }

    /// The cases that trapped with this code.
    pub fn trapped(&self, code: TrapCode) -> usize {
        self.traps.get(code.message()).copied().unwrap_or(0)
    }

    /// Adds the counts of another one.
    pub fn add(&mut self, other: Summary) {
        for (path, count) in other.paths {
            *self.paths.entry(path).or_default() += count;
        }
        for (code, count) in other.traps {
            *self.traps.entry(code).or_default() += count;
        }
        self.values += other.values;
        self.host_failures += other.host_failures;
        self.unsure += other.unsure;
        self.mismatches.extend(other.mismatches);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} cases", self.cases())?;
        for (path, count) in &self.paths {
            writeln!(f, "  {path:<32} {count:>9}")?;
        }
        writeln!(f, "{} returned", self.values)?;
        writeln!(f, "{} trapped", self.traps.values().sum::<usize>())?;
        for (code, count) in &self.traps {
            writeln!(f, "  {code:<32} {count:>9}")?;
        }
        writeln!(f, "{} failed in the host's function", self.host_failures)?;
        writeln!(f, "{} of which the reference is unsure", self.unsure)?;
        write!(f, "{} mismatches", self.mismatches.len())
    }
}

/// The world of this number, with `count` functions at most. Its path, whether it is typed and
/// whether it has handles go round.
pub fn random_world(number: u64, count: usize) -> World {
    let random = &mut Random::new(number);
    let path = Path::ALL[(number % 3) as usize];
    let is_typed = path != Path::Between && (number / 3).is_multiple_of(3);
    let handles: &[Type] = match !is_typed && number / 3 % 2 == 1 {
        true => &[Type::Own(0), Type::Own(1), Type::Borrow(0), Type::Borrow(1)],
        false => &[],
    };
    // Results do not borrow.
    let owned = &handles[..handles.len() / 2];
    let funcs = (0..count).map(|_| {
        let mut func = Func {
            params: Vec::new(),
            result: None,
            caller: random.pick(&Encoding::ALL),
            callee: random.pick(&Encoding::ALL),
            post_return: random.one_in(2),
            typed: None,
        };
        if is_typed {
            let row = random.below(ROWS.len());
            func.typed = Some(row);
            func.params.push((ROWS[row].ty)());
            func.result = Some((ROWS[row].ty)());
            if random.one_in(3) {
                func.params.push(padding());
            }
        } else {
            let depth = random.below(4);
            func.params = random_params(random, handles);
            func.result = (!random.one_in(8)).then(|| random_type(random, depth, owned));
        }
        func
    });
    let funcs = funcs.collect();
    let mut memory = || {
        let min = random.pick(&[1, 1, 1, 1, 1, 1, 2, 0]);
        Memory {
            min,
            max: min + random.below(2),
            width: random.pick(&[Width::W32, Width::W32, Width::W64]),
        }
    };
    World {
        path,
        is_async: path == Path::Between && number / 3 % 4 >= 2,
        funcs,
        caller: memory(),
        callee: memory(),
    }
}

/// Runs cases of the worlds of these numbers, with `funcs` functions and `cases` cases each.
pub fn run_worlds(
    workshop: &Workshop,
    numbers: impl Iterator<Item = u64>,
    funcs: usize,
    cases: usize,
) -> Summary {
    let mut summary = Summary::default();
    for number in numbers {
        match Ready::new(workshop, random_world(number, funcs)) {
            Ok(ready) => {
                for place in 0..cases as u64 {
                    run_case(&ready, number << CASE_BITS | place, &mut summary, expect);
                }
            }
            Err(message) => summary.mismatches.push(Mismatch {
                number: number << CASE_BITS,
                weight: usize::MAX,
                message,
            }),
        }
    }
    summary
}

/// Runs the case of this number, whose world has as many functions as when it was found: also the
/// component of its function alone.
///
/// # Errors
/// The world cannot be compiled or linked.
pub fn run_number(
    workshop: &Workshop,
    number: u64,
    funcs: usize,
) -> Result<(String, Summary), String> {
    let world = random_world(number >> CASE_BITS, funcs);
    let (index, _) = case_of(&world, number);
    let alone = World {
        funcs: vec![world.funcs[index].clone()],
        ..world.clone()
    };
    let mut summary = Summary::default();
    run_case(&Ready::new(workshop, world)?, number, &mut summary, expect);
    Ok((component(&alone), summary))
}

/// Computes the expectation of a case: [`expect()`], except in the test that comparing can fail.
pub type Expect = fn(Path, &Func, &Case, [Memory; 2]) -> Expected;

/// The function and the case of this number.
pub fn case_of(world: &World, number: u64) -> (usize, Case) {
    let random = &mut Random::new(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let index = random.below(world.funcs.len());
    let memories = [world.caller, world.callee];
    (
        index,
        random_case(random, world.path, &world.funcs[index], memories),
    )
}

/// Runs the case of this number, and counts it.
pub fn run_case(ready: &Ready, number: u64, summary: &mut Summary, expect: Expect) {
    let world = &ready.world;
    let (index, case) = case_of(world, number);
    let func = &world.funcs[index];
    let typed = if func.typed.is_some() { " typed" } else { "" };
    let asynchronous = if world.is_async { " async" } else { "" };
    let path = format!("{:?}{typed}{asynchronous}", world.path).to_lowercase();
    *summary.paths.entry(path).or_default() += 1;
    let expected = expect(world.path, func, &case, [world.caller, world.callee]);
    summary.unsure += usize::from(matches!(expected.end, End::Unsure));
    let checked = catch_unwind(AssertUnwindSafe(|| ready.check(index, &case, &expected)));
    let message = match checked {
        Ok(Ok(outcome)) => {
            match outcome {
                Outcome::Returned(_) => summary.values += 1,
                Outcome::HostFailed => summary.host_failures += 1,
                Outcome::Trapped(code) => {
                    *summary.traps.entry(code.message().to_owned()).or_default() += 1;
                }
            }
            return;
        }
        Ok(Err(message)) => message,
        Err(_) => "panicked, see above".to_owned(),
    };
    let message = describe(world, index, &case, &expected, &message);
    summary.mismatches.push(Mismatch {
        number,
        weight: message.len(),
        message,
    });
}

/// All that is needed to understand a mismatch.
fn describe(world: &World, index: usize, case: &Case, expected: &Expected, found: &str) -> String {
    let func = &world.funcs[index];
    let mut text = format!("{found}\n  {:?} of f{index}: {func:?}\n", world.path);
    let (end, received) = (&expected.end, &expected.received);
    let _ = writeln!(
        text,
        "  expected end: {end:?}; the host is given {received:?}"
    );
    match world.path {
        Path::Export => {
            let _ = writeln!(text, "  the host gives {:?}", case.host_params);
        }
        Path::Import => {
            let _ = writeln!(text, "  the host returns {:?}", case.host_result);
            let (visits, swallows) = (&case.visits, case.swallows);
            let _ = writeln!(text, "  before, it makes {visits:?}, swallows: {swallows}");
        }
        Path::Between => {}
    }
    let caller = case
        .caller
        .iter()
        .map(|setup| ("caller", setup, world.caller));
    let callee = case
        .callee
        .iter()
        .map(|setup| ("callee", setup, world.callee));
    for (name, setup, memory) in caller.chain(callee) {
        let (args, result, next) = (&setup.args, setup.result, setup.next);
        let (behaviour, post) = (setup.behaviour, setup.post_behaviour);
        let _ = writeln!(
            text,
            "  {name}: {memory:?}, args {args:x?}, result {result:#x}, next {next:#x}, \
             {behaviour:?}, post-return {post:?}"
        );
        let steps = setup.script.iter().enumerate();
        if func.has_handles() {
            let _ = writeln!(
                text,
                "    {:?}, keeps a borrow: {}",
                setup.handles, setup.keeps
            );
        }
        for (call, step) in steps.filter(|(_, step)| step.action != Action::Bump) {
            let _ = writeln!(
                text,
                "    realloc {call}: {:?} {:#x}",
                step.action, step.value
            );
        }
        dump(&mut text, &setup.bytes);
    }
    text
}

/// A memory, without the rows that repeat; only the first rows, if it is full of different ones.
fn dump(text: &mut String, bytes: &[u8]) {
    let mut rows = bytes.chunks(16).enumerate();
    let mut last: &[u8] = &[];
    let different = rows.by_ref().filter(|(_, row)| {
        let is_new = *row != last;
        last = row;
        is_new
    });
    for (index, row) in different.take(100) {
        let _ = writeln!(text, "    {:05x}: {row:02x?}", 16 * index);
    }
}

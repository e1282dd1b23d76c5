//! The model of async semantics: a second of what `cargo run --release --bin async_model` does, and
//! that it would notice.

use std::sync::LazyLock;

use cwasm_tests::async_model::model::{Coverage, Mutant, Rules, explain};
use cwasm_tests::async_model::program::Program;
use cwasm_tests::async_model::trace::Entry;
use cwasm_tests::async_model::{benches, generate, run};

/// What must happen in the programs, among others.
const REACHED: &[&str] = &[
    "async call of callback started",
    "async call of callback starting",
    "async call of stackful returned",
    "sync call of blocking waits",
    "sync call of plain",
    "callback yields",
    "callback waits",
    "cancelled before it starts",
    "cancelled while it waits",
    "cancellation is pending",
    "pending cancellation is delivered",
    "choice between events",
    "deviation: a cancel after progress",
    "deviation: a synchronous cancel of an end in a set",
    "deviation: another thread before a start",
    "event of callback: cancelled",
    "event of callback: future read completed",
    "event of callback: stream read dropped",
    "event of callback: subtask returned",
    "event of callback: subtask started",
    "event of set: stream write completed",
    "event of set: subtask returned",
    "future.cancel-read cancelled",
    "stream.cancel-write cancelled",
    "stream.read blocked",
    "stream.write completed",
    "stream.write dropped",
    "stream.read-sync waits",
    "subtask.cancel cancelled before return",
    "subtask.cancel-sync waits",
    "thread goes on in a plain call",
    "trap CannotBlock",
    "trap CopyInProgress",
    "trap EndDone",
    "trap NoReturn",
    "trap SetInUse",
    "trap SubtaskUnresolved",
    "trap UnknownHandle",
    "trap WaitableInUse",
    "trap WrongHandleKind",
    "end of all",
];

/// Programs and their traces, with several schedules.
static TRACES: LazyLock<Vec<(Program, Vec<Entry>)>> = LazyLock::new(|| {
    let benches = benches(&run::compile(), 3);
    let programs = (0..400).map(generate::program);
    let runs = programs.flat_map(|program| {
        benches.iter().map(move |scheduled| {
            let trace = scheduled.bench.run(&program);
            (program.clone(), trace)
        })
    });
    runs.collect()
});

/// How many traces cannot be explained by these rules.
fn unexplained(rules: Rules) -> usize {
    let fails = |(program, trace): &&(Program, Vec<Entry>)| {
        explain(program, trace, rules, &mut Coverage::new()).is_err()
    };
    TRACES.iter().filter(fails).count()
}

#[test]
fn the_model_explains_what_happens() {
    let mut coverage = Coverage::new();
    for (program, trace) in TRACES.iter() {
        if let Err(mismatch) = explain(program, trace, Rules::LOADER, &mut coverage) {
            panic!("{program}{mismatch:?}");
        }
    }
    for name in REACHED {
        let count = coverage.get(*name).copied().unwrap_or(0);
        assert!(count > 0, "{name}\n{coverage:#?}");
    }
}

#[test]
fn wrong_models_are_noticed() {
    for mutant in Mutant::ALL {
        let found = unexplained(Rules::wrong(mutant));
        assert!(found > 0, "{mutant:?}");
    }
}

#[test]
fn deviations_from_the_text_are_noticed() {
    for rules in [
        Rules {
            cancels_ends_in_sets: false,
            ..Rules::LOADER
        },
        Rules {
            cancelled_after_progress: false,
            ..Rules::LOADER
        },
        Rules {
            others_before_start: false,
            ..Rules::LOADER
        },
    ] {
        let found = unexplained(rules);
        assert!(found > 0 && found < TRACES.len() / 2, "{rules:?}: {found}");
    }
}

#[test]
fn wrong_traces_are_noticed() {
    let mut tried = 0;
    for (number, (program, trace)) in TRACES.iter().enumerate() {
        let place = number % trace.len();
        let mut changed = trace.clone();
        match &mut changed[place] {
            Entry::Result { value, .. } => *value ^= 1,
            Entry::HostResult { value, .. } => *value ^= 1,
            Entry::Begin { arg, .. } => *arg ^= 1,
            Entry::Event { event, .. } => event[number % 3] ^= 1,
            _ => drop(changed.remove(place)),
        }
        let result = explain(program, &changed, Rules::LOADER, &mut Coverage::new());
        assert!(result.is_err(), "{program}{}", trace[place]);
        tried += 1;
    }
    assert_eq!(tried, TRACES.len());
}

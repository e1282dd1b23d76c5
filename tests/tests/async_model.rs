//! The model of async semantics: a second of what `cargo run --release --bin async_model` does, and
//! that it would notice.

use std::sync::LazyLock;

use cwasm_tests::async_model::model::{Coverage, Mutant, Rules, explain};
use cwasm_tests::async_model::program::Program;
use cwasm_tests::async_model::reached::{REACHED, missing};
use cwasm_tests::async_model::trace::Entry;
use cwasm_tests::async_model::{benches, generate, run};

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

/// Whether there is a trace that these rules do not explain.
fn is_noticed(rules: Rules) -> bool {
    let fails = |(program, trace): &(Program, Vec<Entry>)| {
        explain(program, trace, rules, &mut Coverage::new()).is_err()
    };
    TRACES.iter().any(fails)
}

#[test]
fn the_model_explains_what_happens() {
    let mut coverage = Coverage::new();
    for (program, trace) in TRACES.iter() {
        if let Err(mismatch) = explain(program, trace, Rules::LOADER, &mut coverage) {
            panic!("{program}{mismatch:?}");
        }
    }
    // The large run reaches all of it.
    let missing = missing(&coverage);
    assert!(missing.len() < REACHED.len() / 5, "{missing:#?}");
}

#[test]
fn wrong_models_are_noticed() {
    for mutant in Mutant::ALL {
        assert!(is_noticed(Rules::wrong(mutant)), "{mutant:?}");
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
        assert!(is_noticed(rules), "{rules:?}");
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
            // A call that has not begun is not missed.
            Entry::HostCall { .. } => continue,
            _ => drop(changed.remove(place)),
        }
        let result = explain(program, &changed, Rules::LOADER, &mut Coverage::new());
        assert!(result.is_err(), "{program}{}", trace[place]);
        tried += 1;
    }
    assert!(tried > TRACES.len() / 2);
}

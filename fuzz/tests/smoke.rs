//! Each target for a second, and whether a difference would be seen.

use std::time::Duration;

use cwasm_fuzz::campaign::{self, Schedule};
use cwasm_fuzz::{Case, Lab, Target};

fn smoke(target: Target) {
    let schedule = Schedule {
        target,
        seed: 1,
        time: Duration::from_secs(1),
    };
    let mut messages = Vec::new();
    let stats = campaign::run(
        schedule,
        |_| {},
        |_, seed, finding| messages.push(format!("{seed:016x}: {}", finding.message)),
    );
    assert!(messages.is_empty(), "{messages:#?}");
    assert!(stats.cases >= 5, "{stats:?}");
    assert!(stats.executed * 5 >= stats.cases, "{stats:?}");
    assert!(stats.returned * 5 >= stats.calls, "{stats:?}");
    assert!(stats.skipped * 3 <= stats.cases, "{stats:?}");
}

#[test]
fn differential() {
    smoke(Target::Differential);
}

#[test]
fn levels() {
    smoke(Target::Levels);
}

#[test]
fn alias() {
    smoke(Target::Alias);
}

#[test]
fn exceptions() {
    smoke(Target::Exceptions);
}

#[test]
fn dwarf() {
    smoke(Target::Dwarf);
}

#[test]
fn a_case_is_the_same_each_time() {
    let case = Case::from_seed(0x1234);
    assert_eq!(Case::from_bytes(&case.to_bytes()).unwrap(), case);
    for target in Target::ALL {
        let wasm = case.wasm(*target).unwrap();
        assert_eq!(case.wasm(*target), Some(wasm));
    }
}

#[test]
fn a_module_is_checked_as_it_is() {
    let text = br#"(module
        (memory (export "m") 1 1)
        (func (export "f") (param i32) (result i32)
            (i32.store (i32.const 8) (local.get 0))
            (i32.load8_u (i32.const 9))))"#;
    let case = Case::from_bytes(text).unwrap();
    // The last one runs nothing.
    for target in Target::ALL
        .iter()
        .filter(|target| **target != Target::Dwarf)
    {
        let report = Lab::default().check(*target, &case).unwrap().unwrap();
        assert_eq!((report.calls, report.returned), (8, 8));
    }
}

//! Hostile guests: a second of what `cargo run --release --bin hostile` does, and that
//! it would notice.

use cwasm::TrapCode;
use cwasm_compiler::Options;
use cwasm_tests::artifact::Workshop;
use cwasm_tests::hostile::case::Case;
use cwasm_tests::hostile::expect::{End, Expected, expect};
use cwasm_tests::hostile::run::Ready;
use cwasm_tests::hostile::wat::{Func, Memory, Path};
use cwasm_tests::hostile::{Expect, Summary, random_world, run_case, run_worlds};
use cwasm_tests::reference::{State, Value};

/// Traps that must occur in the cases, among others.
const TRAPS: &[TrapCode] = &[
    TrapCode::InvalidChar,
    TrapCode::StringTooLong,
    TrapCode::UnalignedPointer,
    TrapCode::StringOutOfBounds,
    TrapCode::InvalidStringEncoding,
    TrapCode::ListTooLong,
    TrapCode::ListOutOfBounds,
    TrapCode::InvalidDiscriminant,
    TrapCode::MemoryOutOfBounds,
    TrapCode::Unreachable,
    TrapCode::StackOverflow,
    TrapCode::CannotLeave,
    TrapCode::UnknownHandle,
    TrapCode::WrongResourceType,
    TrapCode::BorrowsRemain,
    TrapCode::ResourceBorrowed,
    TrapCode::CannotEnter,
];

/// Address ranges that this process has mapped.
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count())
}

/// Adapters that call functions for all strings and for all types that are made of others.
#[test]
fn shared_functions_of_adapters_agree_too() {
    let workshop = Workshop::with_options(Options {
        inline_parts: 0,
        ..Options::default()
    });
    let summary = run_worlds(&workshop, 100..118, 5, 150);
    let messages = summary.mismatches.iter().map(|mismatch| &*mismatch.message);
    let messages: Vec<&str> = messages.collect();
    assert!(messages.is_empty(), "{}\n{summary}", messages.join("\n"));
    assert!(summary.paths["between"] >= 150, "{summary}");
}

#[test]
fn calls_agree_with_the_reference() {
    let workshop = Workshop::new();
    let mut summary = Summary::default();
    let mut mapped = Vec::new();
    for round in 0..2u64 {
        summary.add(run_worlds(&workshop, 9 * round..9 * round + 9, 5, 150));
        mapped.push(mappings());
    }
    let messages = summary.mismatches.iter().map(|mismatch| &*mismatch.message);
    let messages: Vec<&str> = messages.collect();
    assert!(messages.is_empty(), "{}\n{summary}", messages.join("\n"));

    assert_eq!(summary.cases(), 18 * 150);
    for path in [
        "between",
        "between async",
        "export",
        "export typed",
        "import",
        "import typed",
    ] {
        let count = summary.paths.get(path).copied().unwrap_or(0);
        assert!(count >= 2 * 150, "{path}: {count}\n{summary}");
    }
    assert!(summary.values >= 1000, "{summary}");
    assert!(summary.host_failures > 0, "{summary}");
    assert!(summary.unsure < summary.cases() / 100, "{summary}");
    for code in TRAPS {
        assert!(
            summary.trapped(*code) > 0,
            "nothing traps with: {code}\n{summary}"
        );
    }
    // Hundreds of poisoned instances have left nothing behind.
    assert!(mapped[1] < mapped[0] + 50, "{mapped:?} mappings");
}

/// Runs cases whose expectation is made wrong: how many are noticed, and how many should be.
fn noticed(expect: Expect) -> (usize, usize) {
    let (workshop, mut summary) = (Workshop::new(), Summary::default());
    let mut right = Summary::default();
    for number in 0..6 {
        let ready = Ready::new(&workshop, random_world(number, 4)).unwrap();
        for place in 0..40 {
            run_case(&ready, number << 20 | place, &mut summary, expect);
            run_case(&ready, number << 20 | place, &mut right, self::expect);
        }
    }
    assert!(right.mismatches.is_empty() && right.values > 40);
    (summary.mismatches.len(), right.cases() - right.unsure)
}

#[test]
fn wrong_ends_are_noticed() {
    fn wrong(path: Path, func: &Func, case: &Case, pages: [Memory; 2]) -> Expected {
        let mut expected = expect(path, func, case, pages);
        expected.end = match expected.end {
            End::Returns(Some(_)) => End::Returns(Some(Value::Flags(77))),
            End::Returns(None) => End::Traps(vec![TrapCode::Unreachable]),
            End::Traps(_) => End::Traps(vec![TrapCode::TableFull]),
            End::HostFails => End::Returns(None),
            End::Unsure => End::Unsure,
        };
        expected
    }
    let (found, all) = noticed(wrong);
    assert_eq!(found, all);
}

#[test]
fn wrong_bytes_are_noticed() {
    fn wrong(path: Path, func: &Func, case: &Case, pages: [Memory; 2]) -> Expected {
        let mut expected = expect(path, func, case, pages);
        let guests = [&mut expected.caller, &mut expected.callee]
            .into_iter()
            .flatten();
        for after in guests {
            let exact = |state: &State| *state == State::Exact;
            if let Some(at) = after.guest.states.iter().rposition(exact) {
                after.guest.bytes[at] ^= 1;
            }
        }
        expected
    }
    let (found, all) = noticed(wrong);
    assert!(found > all / 3 && found < all, "{found} of {all}");
}

#[test]
fn wrong_handles_are_noticed() {
    fn wrong(path: Path, func: &Func, case: &Case, memories: [Memory; 2]) -> Expected {
        let mut expected = expect(path, func, case, memories);
        let guests = [&mut expected.caller, &mut expected.callee]
            .into_iter()
            .flatten();
        for after in guests {
            after.guest.handles.add(1, 7, true);
        }
        expected
    }
    let (found, all) = noticed(wrong);
    assert!(found > 20 && found < all, "{found} of {all}");
}

#[test]
fn wrong_calls_are_noticed() {
    fn wrong(path: Path, func: &Func, case: &Case, pages: [Memory; 2]) -> Expected {
        let mut expected = expect(path, func, case, pages);
        let guests = [&mut expected.caller, &mut expected.callee]
            .into_iter()
            .flatten();
        for after in guests {
            if let Some(last) = after.guest.calls.last_mut() {
                last[3] += 1;
            }
            if let Some(arg) = after.args.first_mut() {
                arg.bits ^= 1;
                arg.nan = 0;
            }
        }
        expected
    }
    let (found, all) = noticed(wrong);
    assert!(found > all / 10 && found < all, "{found} of {all}");
}

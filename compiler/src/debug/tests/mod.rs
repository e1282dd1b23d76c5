//! Debug information that guests should not have: compilation goes on, in time and memory that are
//! linear in its size.

mod hostile;
mod module;
mod values;

use std::time::{Duration, Instant};

use super::budget::Budget;
use super::dwarf::Dwarf;
use super::source::Source;
use super::texts::Texts;
use crate::{Debug, OptLevel, Options, Output};
use module::{Bytes, CODE_LEN, CODE_START, module};

/// How long a module of some hundred kilobytes may take, on a machine that has much else to do.
/// What grows with the square of the size takes hours.
const TIME_LIMIT: Duration = Duration::from_secs(100);

/// The most bytes of an artifact for each of its input, and in any case.
const GROWTH: usize = 64;
const ALWAYS: usize = 1 << 20;

/// Compiles a module with these sections, without and with DWARF of the machine code.
fn compile(name: &str, sections: &[(&str, Bytes)]) -> [Output; 2] {
    let wasm = module(sections);
    [false, true].map(|dwarf| {
        let options = Options {
            opt: OptLevel::None,
            debug: Debug::Inside,
            dwarf,
            ..Options::default()
        };
        let start = Instant::now();
        let output = crate::compile(&wasm, &options).unwrap();
        let time = start.elapsed();
        assert!(time < TIME_LIMIT, "{name}: {time:?}");
        let len = output.bytes.len();
        assert!(len < ALWAYS + GROWTH * wasm.len(), "{name}: {len} bytes");
        output
    })
}

/// Whether each is refused, without and with DWARF of the machine code; the reason is asserted.
fn refusals(name: &str, sections: &[(&str, Bytes)]) -> [bool; 2] {
    compile(name, sections).map(|output| {
        for warning in &output.warnings {
            let known = [
                "it refers to itself more often than its size explains",
                "the debug information of the core module at offset 0x0 is left out",
                "debuggers will not know a core module",
            ];
            let is_known = known.iter().any(|text| warning.contains(text));
            assert!(is_known && warning.len() < 300, "{name}: {warning}");
        }
        !output.warnings.is_empty()
    })
}

#[test]
fn what_is_shared_by_thousands_is_refused() {
    for (name, sections, expected) in [
        ("linkage names", hostile::long_names(0x6e), [true, true]),
        ("names", hostile::long_names(0x03), [true, true]),
        ("names of units", hostile::unit_names(), [true, true]),
        ("locations", hostile::locations(), [false, true]),
        ("locations in pieces", hostile::pieces(), [false, true]),
        ("operands", hostile::operands(), [false, true]),
        (
            "a long way to the frame",
            hostile::long_frame(),
            [false, true],
        ),
        ("ranges", hostile::ranges(0x1d), [true, true]),
        ("ranges of functions", hostile::ranges(0x2e), [true, true]),
        ("folders of files", hostile::folders(), [true, true]),
        ("line programs", hostile::line_programs(), [true, true]),
        (
            "abbreviations",
            hostile::overlapping_abbreviations(),
            [true, true],
        ),
        (
            "attributes without bytes",
            hostile::attributes(),
            [true, true],
        ),
        (
            "names of attributes",
            hostile::attribute_names(),
            [false, true],
        ),
    ] {
        assert_eq!(refusals(name, &sections), expected, "{name}");
    }
}

#[test]
fn what_is_only_large_or_odd_is_taken() {
    for (name, sections) in [
        ("entries", hostile::entries()),
        ("encoded names", hostile::encoded_names()),
        ("nested blocks", hostile::nested(0x0b)),
        ("functions inlined into each other", hostile::nested(0x1d)),
        ("references in circles", hostile::circles()),
        ("references to nowhere", hostile::nowhere()),
        ("one function in many units", hostile::same_function()),
        ("nothing", vec![]),
    ] {
        assert_eq!(refusals(name, &sections), [false, false], "{name}");
    }
}

#[test]
fn what_is_not_well_formed_is_left_out() {
    let plain = hostile::entries();
    let info = |change: &dyn Fn(&mut Bytes)| {
        let mut sections = hostile::small();
        change(&mut sections[1].1);
        sections
    };
    for (name, sections, is_refused) in [
        ("a small one", hostile::small(), false),
        // Units of types and of other versions.
        ("version 1", info(&|info| info[4] = 1), true),
        ("version 6", info(&|info| info[4] = 6), true),
        ("an endless unit", info(&|info| info[..4].fill(0xef)), true),
        (
            "a reserved length",
            info(&|info| info[..4].copy_from_slice(&[0xf0, 0xff, 0xff, 0xff])),
            true,
        ),
        (
            "a unit without a header",
            info(&|info| info.truncate(7)),
            true,
        ),
        (
            "a unit without entries",
            info(&|info| info.truncate(11)),
            true,
        ),
        ("no abbreviations", plain[1..].to_vec(), true),
        (
            "abbreviations elsewhere",
            info(&|info| info[6] = 0xff),
            true,
        ),
        ("addresses of 3 bytes", info(&|info| info[10] = 3), true),
        (
            "an unknown abbreviation",
            info(&|info| info[11] = 0x7f),
            true,
        ),
        (
            "a number without end",
            info(&|info| info[11..].fill(0xff)),
            true,
        ),
    ] {
        let [lines, native] = refusals(name, &sections);
        assert_eq!((lines, native), (is_refused, is_refused), "{name}");
    }
}

/// Real modules take a small part of what they may take.
#[test]
fn the_budget_is_enough() {
    for name in ["places-c", "shapes", "places"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasi/guests/debug");
        let wasm = std::fs::read(format!("{folder}/{name}.wasm")).unwrap();
        let mut sections = Vec::new();
        let mut code_len = 0;
        for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
            match payload.unwrap() {
                wasmparser::Payload::CustomSection(section) => {
                    sections.push((section.name(), section.data()));
                }
                wasmparser::Payload::CodeSectionStart { size, .. } => code_len = size,
                _ => {}
            }
        }
        sections.retain(|(name, _)| name.starts_with(".debug_"));
        let bytes: usize = sections.iter().map(|(_, bytes)| bytes.len()).sum();
        // Of what grows with the size, without what all have.
        let all = 16 * (bytes as u64 + u64::from(code_len));
        let mut budget = Budget::new(bytes, code_len.into());
        budget.take(1_000_000).unwrap();
        let dwarf = Dwarf::read(&sections, &mut budget).unwrap();
        let mut texts = Texts::new();
        let source = Source::read(&dwarf, code_len, &mut texts, &mut budget).unwrap();
        let mut chain = Vec::new();
        source.find(code_len / 2, &mut chain, &mut Vec::new());
        assert!(budget.take(all * 7 / 8).is_ok(), "{name}");
    }
}

#[test]
fn a_budget_is_taken_once() {
    let mut budget = Budget::new(1000, 10);
    assert!(budget.take(1_016_161).is_err());
    assert!(budget.take(1_016_160).is_ok());
    assert!(budget.take(1).is_err() && budget.take_text(0).is_err());
    const { assert!(CODE_START > 0 && CODE_LEN > 300) };
}

//! How debuggers find what a function's caller had in its registers.

use cwasm_format::debug;
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, LittleEndian, RegisterRule, UnwindContext,
    UnwindSection as _, X86_64,
};

use crate::options::{Debug, OptLevel, Options};

/// `f` needs its parameters after a call; `tail` makes room for those of the function that it
/// returns to.
const MODULE: &str = "(module (memory 1)
    (func $other (param i32) (result i32)
        (i32.load (i32.load (local.get 0))))
    (func (export \"f\") (param i32 i32 i32 i32) (result i32)
        (call $other (i32.add (call $other (local.get 0))
            (i32.mul (local.get 1) (i32.sub (local.get 2) (local.get 3))))))
    (func $tail (export \"tail\") (param i32) (result i32)
        (return_call $wide (local.get 0) (local.get 0) (local.get 0) (local.get 0)
            (local.get 0) (local.get 0) (local.get 0) (local.get 0) (local.get 0)
            (local.get 0) (local.get 0) (call $other (local.get 0))))
    (func $wide (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (i32.load (i32.add (local.get 10) (local.get 11)))))";

/// Registers that functions save for their callers.
const SAVED: [gimli::Register; 5] = [
    X86_64::RBX,
    X86_64::R12,
    X86_64::R13,
    X86_64::R14,
    X86_64::R15,
];

/// How many registers each function saves, and how far above its frame pointer the caller's frame
/// ends, as the debug information says: core functions are first.
fn saved(opt: OptLevel) -> Vec<(usize, i64)> {
    let wasm = wat::parse_str(MODULE).unwrap();
    let options = Options {
        opt,
        debug: Debug::Inside,
        dwarf: true,
        ..Options::default()
    };
    let output = crate::compile(&wasm, &options).unwrap();
    let section = debug::section(&output.bytes, ".debug_frame").unwrap();
    let section = DebugFrame::new(section, LittleEndian);
    let bases = BaseAddresses::default();
    let mut entries = section.entries(&bases);
    let mut all = Vec::new();
    while let Some(entry) = entries.next().unwrap() {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde = partial.parse(DebugFrame::cie_from_offset).unwrap();
        let mut context = UnwindContext::new();
        let mut rows = fde.rows(&section, &bases, &mut context).unwrap();
        let (mut above, mut most) = (0, 0);
        while let Some(row) = rows.next_row().unwrap() {
            let places = SAVED.map(|register| row.register(register));
            let mut places: Vec<i64> = places
                .into_iter()
                .filter_map(|rule| match rule {
                    Some(RegisterRule::Offset(place)) => Some(place),
                    None => None,
                    rule => panic!("{rule:?}"),
                })
                .collect();
            let count = places.len();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), count, "each has a place of its own");
            // Below what the caller has: where it goes on, and its frame.
            assert!(places.iter().all(|place| *place <= -24 && place % 8 == 0));
            if let CfaRule::RegisterAndOffset {
                register: X86_64::RBP,
                offset,
            } = *row.cfa()
            {
                above = offset;
                // The caller's frame pointer, and where it goes on.
                let record = [(X86_64::RBP, 0), (X86_64::RA, 8)];
                for (register, place) in record {
                    let place = RegisterRule::Offset(place - above);
                    assert_eq!(row.register(register), Some(place));
                }
            }
            assert!(
                above != 0 || count == 0,
                "nothing is saved before there is a frame"
            );
            most = most.max(count);
        }
        all.push((most, above));
    }
    all
}

#[test]
fn registers_of_callers_are_found() {
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        // `other` needs none; `f` those of the context and the product.
        let saved = saved(opt);
        assert_eq!(saved[0], (0, 16), "{opt:?}");
        assert!(saved[1].0 >= 2 && saved[1].1 == 16, "{opt:?}: {saved:?}");
        // What is in no register: `tail` has less room for it than it passes on.
        assert!(saved[2].1 > 16, "{opt:?}: {saved:?}");
    }
}

//! The address oracle predicts whether an access is inside a memory, and which bytes it accesses,
//! for each operator that accesses memory, in each kind of memory, at indices and offsets around
//! all boundaries, computed in each way. The oracle itself is [`predict`].
//!
//! `cargo test` takes every [`STRIDE`]th combination of operator, offset and way, others in each
//! memory, so that each is tried in some, and a part of the indices; `ORACLE=full` takes them all.
//! An access that leaves the store's memories ends the process: `ORACLE=trace`, with
//! `-- --nocapture`, says which it was.

#[path = "../common/mod.rs"]
mod common;

mod guest;
mod index;
mod merged_loads;
mod operators;

use cwasm::CoreFunc;
use cwasm_compiler::{Bounds, OptLevel, Options};
use cwasm_format::TrapCode;
use cwasm_tests::artifact::Workshop;

use guest::{Guest, Model};
use index::How;
use operators::Operator;

/// Every how many combinations one is tried, unless all are. There are at least this many memories
/// with indices of either width.
const STRIDE: usize = 9;

/// Every how many indices one is tried in each of them, unless all are. The next combination tries
/// others.
const STEP: usize = 3;

/// Where an access begins, or why it traps.
fn predict(size: u64, index: u64, offset: u64, op: &Operator) -> Result<u64, TrapCode> {
    let start = u128::from(index) + u128::from(offset);
    if op.is_atomic && !start.is_multiple_of(op.width as u128) {
        return Err(TrapCode::UnalignedAtomic);
    }
    match start + op.width as u128 <= u128::from(size) {
        true => Ok(start as u64),
        false => Err(TrapCode::MemoryOutOfBounds),
    }
}

/// Where the memory is among those of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The first one, right after the context.
    First,
    /// The first one, which cannot grow.
    Fixed,
    /// The first one, which starts empty and has grown.
    Grown,
    /// Another one.
    Second,
    /// Another instance's.
    Imported,
}

/// How code is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Optimised,
    Unoptimised,
    /// With [`Bounds::Check`].
    Checked,
}

impl Code {
    fn options(self) -> Options {
        let defaults = Options::default();
        match self {
            Code::Optimised => defaults,
            Code::Unoptimised => Options {
                opt: OptLevel::None,
                ..defaults
            },
            Code::Checked => Options {
                bounds: Bounds::Check,
                ..defaults
            },
        }
    }
}

/// A kind of memory, and how code accesses it.
#[derive(Clone, Copy, Debug)]
struct Mode {
    is_64: bool,
    page_size: u64,
    place: Place,
    code: Code,
    /// Sizes in pages.
    sizes: &'static [u64],
}

const fn mode(is_64: bool, page_size: u64, place: Place, sizes: &'static [u64]) -> Mode {
    Mode {
        is_64,
        page_size,
        place,
        code: Code::Optimised,
        sizes,
    }
}

/// Memories whose guard spares the comparison.
const GUARDED: &[Mode] = &[
    mode(false, 0x1_0000, Place::First, &[0, 1, 2, 65536]),
    mode(false, 0x1_0000, Place::Fixed, &[1]),
    mode(false, 0x1_0000, Place::Grown, &[2]),
    mode(false, 0x1_0000, Place::Second, &[1]),
    mode(false, 0x1_0000, Place::Imported, &[1, 65536]),
    Mode {
        code: Code::Unoptimised,
        ..mode(false, 0x1_0000, Place::First, &[1])
    },
];

/// Memories with 64-bit indices.
const WIDE: &[Mode] = &[
    mode(true, 0x1_0000, Place::First, &[0, 1, 2, 65536, 65537]),
    mode(true, 0x1_0000, Place::Fixed, &[2]),
    mode(true, 0x1_0000, Place::Grown, &[1]),
    mode(true, 0x1_0000, Place::Second, &[1]),
    mode(true, 0x1_0000, Place::Imported, &[1]),
    mode(true, 1, Place::First, &[4099]),
];

/// Memories that end anywhere in a page of the machine.
const SMALL: &[Mode] = &[
    mode(false, 1, Place::First, &[0, 13, 4099, 0x1_0003]),
    mode(false, 1, Place::Fixed, &[4095]),
    mode(false, 1, Place::Grown, &[4093]),
    mode(false, 1, Place::Imported, &[0x1_0003]),
    Mode {
        code: Code::Unoptimised,
        ..mode(false, 1, Place::First, &[4099])
    },
];

const fn checked(mode: Mode) -> Mode {
    Mode {
        code: Code::Checked,
        ..mode
    }
}

/// Memories that could have a guard, and need none.
const CHECKED: &[Mode] = &[
    checked(mode(false, 0x1_0000, Place::First, &[0, 1, 2, 65536])),
    checked(mode(false, 0x1_0000, Place::Fixed, &[1])),
    checked(mode(false, 0x1_0000, Place::Grown, &[2])),
    checked(mode(false, 0x1_0000, Place::Second, &[1])),
    checked(mode(false, 0x1_0000, Place::Imported, &[1, 65536])),
];

/// An access of one function.
struct Case<'a> {
    op: &'a Operator,
    offset: u64,
    how: How,
}

/// A memory of one size.
struct Memory {
    mode: Mode,
    pages: u64,
}

impl Memory {
    fn size(&self) -> u64 {
        self.pages * self.mode.page_size
    }

    /// Its type as text, with these limits.
    fn ty(&self, limits: &str) -> String {
        let index = if self.mode.is_64 { "i64" } else { "" };
        let page_size = match self.mode.page_size {
            0x1_0000 => String::new(),
            size => format!("(pagesize {size})"),
        };
        format!("{index} {limits} {page_size}")
    }

    /// A module with a function for each case, named by its place; and the module that it imports
    /// its memory from, if it does.
    fn modules(&self, cases: &[Case<'_>]) -> (String, Option<String>) {
        let ty = self.ty(&self.pages.to_string());
        let memory = match self.mode.place {
            Place::First => format!("(memory $m (export \"memory\") {ty})"),
            Place::Fixed => {
                let ty = self.ty(&format!("{0} {0}", self.pages));
                format!("(memory $m (export \"memory\") {ty})")
            }
            Place::Grown => format!("(memory $m (export \"memory\") {})", self.ty("0")),
            Place::Second => format!("(memory 1) (memory $m (export \"memory\") {ty})"),
            Place::Imported => format!("(import \"\" \"memory\" (memory $m {ty}))"),
        };
        let is_imported = self.mode.place == Place::Imported;
        let exporter = is_imported.then(|| format!("(module (memory (export \"memory\") {ty}))"));
        let mut text = format!(
            "(module {memory}
                (global $sink (mut i64) (i64.const 0))
                (func $other (param i32)
                    (if (local.get 0) (then (call $other (i32.const 0))))
                    (global.set $sink (i64.const 1)))"
        );
        for (number, Case { op, offset, how }) in cases.iter().enumerate() {
            let parameter = how.parameter(self.mode.is_64);
            let result = op
                .result
                .map_or(String::new(), |ty| format!("(result {ty})"));
            let access = |index: &str| op.text("$m", *offset, index);
            let body = how.body(self.mode.is_64, access);
            text += &format!("(func (export \"{number}\") (param {parameter}) {result} {body})\n");
        }
        (text + ")", exporter)
    }

    /// Tries every `step`th index in each case.
    fn check(&self, cases: &[Case<'_>], step: usize) {
        let workshop = Workshop::with_options(self.mode.code.options());
        let (module, exporter) = self.modules(cases);
        let mut guest = Guest::new(&workshop, &module, exporter.as_deref());
        if self.mode.place == Place::Grown {
            guest.grow(self.pages);
        }
        let model = Model::new(self.size());
        guest.fill(&model);
        let is_traced = asks_for("trace");
        for (number, case) in cases.iter().enumerate() {
            if is_traced {
                eprintln!("{}", self.describe(case));
            }
            let func = guest.func(&number.to_string());
            let indices = match case.how {
                How::Constant(index) => vec![index],
                _ => {
                    let indices = index::indices(self.size(), case.offset, self.mode.is_64);
                    indices
                        .into_iter()
                        .skip(number % step)
                        .step_by(step)
                        .collect()
                }
            };
            for index in indices {
                self.check_access(&mut guest, &model, case, func, index);
            }
            // Nothing was written where it should not be.
            if let Err(at) = guest.compare(&model) {
                panic!("{}: byte {at:#x} was changed", self.describe(case));
            }
        }
    }

    fn check_access(
        &self,
        guest: &mut Guest,
        model: &Model,
        case: &Case<'_>,
        func: CoreFunc,
        index: u64,
    ) {
        let Case { op, offset, how } = *case;
        let Some(argument) = how.argument(self.mode.is_64, index) else {
            return;
        };
        let start = predict(self.size(), index, offset, op);
        let mut bytes = start.map_or(Vec::new(), |start| model.bytes(start, op.width));
        let expected = start.and_then(|_| op.apply(&mut bytes));
        let found = guest.call(func, argument);
        assert_eq!(found, expected, "{} at {index:#x}", self.describe(case));
        if let Ok(start) = start {
            let written = guest.take(start, model.bytes(start, op.width));
            assert_eq!(written, bytes, "{} at {index:#x}", self.describe(case));
        }
    }

    fn describe(&self, case: &Case<'_>) -> String {
        let Mode { place, code, .. } = self.mode;
        let Case { op, offset, how } = case;
        let (ty, name) = (self.ty(&self.pages.to_string()), &op.name);
        format!("memory {ty} ({place:?}, {code:?}): {name} offset={offset:#x}, index {how:?}")
    }
}

/// Whether the environment variable `ORACLE` holds this word: `full` to try every combination,
/// `trace` to print each function before it is called, as a fault that is no trap ends the process.
fn asks_for(word: &str) -> bool {
    std::env::var("ORACLE").is_ok_and(|words| words.split(',').any(|found| found == word))
}

/// Checks all sizes of these memories, which come after `before` others with indices of this width.
fn check(modes: &[Mode], before: usize) {
    let operators = operators::operators();
    let (stride, step) = match asks_for("full") {
        true => (1, 1),
        false => (STRIDE, STEP),
    };
    let memories = modes.iter().flat_map(|mode| {
        let sizes = mode.sizes.iter();
        sizes.map(|pages| Memory {
            mode: *mode,
            pages: *pages,
        })
    });
    for (place, memory) in memories.enumerate() {
        let mut cases = Vec::new();
        let mut number = before + place;
        for op in &operators {
            for offset in index::offsets(memory.mode.is_64) {
                for how in index::all(memory.size(), offset, op.width as u64, memory.mode.is_64) {
                    if number.is_multiple_of(stride) {
                        cases.push(Case { op, offset, how });
                    }
                    number += 1;
                }
            }
        }
        memory.check(&cases, step);
    }
}

fn count(modes: &[Mode]) -> usize {
    modes.iter().map(|mode| mode.sizes.len()).sum()
}

#[test]
fn memories_with_a_guard() {
    check(GUARDED, 0);
}

#[test]
fn memories_with_wide_indices() {
    check(WIDE, 0);
    assert!(count(WIDE) >= STRIDE);
}

#[test]
fn memories_of_small_pages() {
    check(SMALL, count(GUARDED));
    assert!(count(GUARDED) + count(SMALL) >= STRIDE);
}

#[test]
fn memories_with_forced_checks() {
    check(CHECKED, 0);
    assert!(count(CHECKED) >= STRIDE);
}

//! The rows of `CANONICAL-ABI-TRAPS.md` that are about pointers and lengths, once more for memories
//! whose addresses have 64 bits: every bit counts, also those that 32-bit code would not look at.
//! Values that one component gives and the other takes, with pointers of either width on each side.

use cwasm::TrapCode;
use cwasm_tests::hostile::matrix::{
    ALL, BETWEEN, LIFTING, Leaf, Trial, Want, check, giver, lifting, lowering, step, trials,
};
use cwasm_tests::reference::Width::{W32, W64};
use cwasm_tests::reference::{Action, Encoding, Meaning, PAGE, Type, flat_count};

use Encoding::{Latin1Utf16, Utf8, Utf16};

/// The leaf in a guest of 64 bits, for a guest of either width.
fn given(leaf: &Leaf) -> [Leaf; 2] {
    [[W64, W64], [W64, W32]].map(|widths| leaf.clone().wide(widths))
}

/// The leaf in a guest of either width, for a guest of 64 bits.
fn taken(leaf: &Leaf) -> [Leaf; 2] {
    [[W64, W64], [W32, W64]].map(|widths| leaf.clone().wide(widths))
}

fn pointer_to(size: usize, align: usize) -> impl Fn(Meaning) -> bool {
    move |meaning| meaning == Meaning::Pointer { size, align }
}

/// Trials in which the value of a guest of 64 bits is replaced by each of these.
fn bad_values(leaf: &Leaf, want: Want, says: impl Fn(Meaning) -> bool, bad: &[u64]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for leaf in given(leaf) {
        for bad in bad {
            trials.extend(lifting(&leaf, want, &says, |_| *bad));
        }
    }
    trials
}

/// Pointers that are good in their low half, or wrap.
const BEYOND: [u64; 4] = [1 << 32, 1 << 32 | 1024, 1 << 63, u64::MAX - 7];

#[test]
fn d03_string_too_long() {
    let lens: [&[u64]; 4] = [
        &[1 << 28, 1 << 32, 1 << 63, u64::MAX],
        &[1 << 27, 1 << 63, 1 << 63 | 1],
        // Bit 31 is no tag.
        &[1 << 28, 1 << 31, 1 << 62],
        &[1 << 63 | 1 << 27, 1 << 63 | 1 << 31, u64::MAX],
    ];
    let mut trials = Vec::new();
    for (leaf, lens) in Leaf::texts("ab").into_iter().zip(lens) {
        let want = Err(TrapCode::StringTooLong);
        trials.extend(bad_values(
            &leaf,
            want,
            |meaning| meaning == Meaning::Units,
            lens,
        ));
    }
    check(2 * 13 * ALL, trials);
}

#[test]
fn d05_string_out_of_bounds() {
    let mut trials = Vec::new();
    for leaf in Leaf::texts("abcd") {
        let size = if leaf.encoding == Utf16 || leaf.tagged {
            8
        } else {
            4
        };
        let align = if leaf.encoding == Utf8 { 1 } else { 2 };
        let want = Err(TrapCode::StringOutOfBounds);
        trials.extend(bad_values(&leaf, want, pointer_to(size, align), &BEYOND));
    }
    check(2 * 16 * ALL, trials);
}

#[test]
fn d07_list_too_long() {
    let lens: [u64; 5] = [1 << 28, 1 << 32, 1 << 62, 1 << 63, u64::MAX];
    let mut trials = Vec::new();
    for (element, size) in [(Type::U8, 1), (Type::U32, 4)] {
        let leaf = Leaf::list(element, 2);
        let says = |meaning| meaning == Meaning::Length(size);
        trials.extend(bad_values(&leaf, Err(TrapCode::ListTooLong), says, &lens));
    }
    check(2 * 10 * ALL, trials);
}

#[test]
fn d09_list_out_of_bounds() {
    let mut trials = Vec::new();
    for items in [3, 0] {
        let leaf = Leaf::list(Type::U32, items);
        let want = Err(TrapCode::ListOutOfBounds);
        trials.extend(bad_values(&leaf, want, pointer_to(4 * items, 4), &BEYOND));
    }
    check(2 * 8 * ALL, trials);
}

#[test]
fn d18_spilled_values_misplaced() {
    let mut all = Vec::new();
    for leaf in given(&Leaf::text("ab", Utf8, false)) {
        for bad in BEYOND {
            let want = Err(TrapCode::MemoryOutOfBounds);
            all.extend(trials(&LIFTING, &leaf, Utf8, want, |way, _, func, case| {
                let (guest, types, max_flat) = giver(way, func, case);
                if way.in_param {
                    guest.args[0] = bad;
                } else {
                    guest.result = bad;
                }
                flat_count(types) > max_flat
            }));
        }
    }
    check(2 * 4 * 21, all);
}

#[test]
fn d20_string_copied_to_a_wrong_place() {
    let mut trials = Vec::new();
    for leaf in taken(&Leaf::text("abcd", Utf8, false)) {
        for bad in BEYOND {
            let want = Err(TrapCode::StringOutOfBounds);
            trials.extend(lowering(&leaf, Utf8, 0, step(Action::Return, bad), want));
        }
    }
    check(2 * 4 * ALL, trials);
}

/// The first, growing and shrinking `realloc`.
#[test]
fn d21_string_to_utf8() {
    let mut trials = Vec::new();
    for leaf in taken(&Leaf::text("a\u{e9}\u{2603}", Utf16, false)) {
        for call in [0, 1, 2] {
            let want = Err(TrapCode::StringOutOfBounds);
            let bad = step(Action::Return, 1 << 32);
            trials.extend(lowering(&leaf, Utf8, call, bad, want));
        }
    }
    check(2 * 3 * BETWEEN, trials);
}

#[test]
fn d23_string_to_latin1_or_utf16() {
    let mut trials = Vec::new();
    for leaf in taken(&Leaf::text("\u{e9}\u{2603}x", Utf8, false)) {
        for call in [0, 1, 2] {
            let want = Err(TrapCode::StringOutOfBounds);
            let bad = step(Action::Return, 1 << 32);
            trials.extend(lowering(&leaf, Latin1Utf16, call, bad, want));
        }
        // The tag of what is written is bit 63.
        let fine = step(Action::Bump, 0);
        trials.extend(lowering(&leaf, Latin1Utf16, 0, fine, Ok(())));
    }
    check(2 * 4 * ALL, trials);
}

#[test]
fn d25_list_to_a_wrong_place() {
    let mut trials = Vec::new();
    for leaf in taken(&Leaf::list(Type::U32, 3)) {
        for bad in BEYOND {
            let want = Err(TrapCode::ListOutOfBounds);
            trials.extend(lowering(&leaf, Utf8, 0, step(Action::Return, bad), want));
        }
    }
    check(2 * 4 * ALL, trials);
}

/// An empty list may be where the memory ends.
#[test]
fn empty_lists_must_not_trap() {
    let mut trials = Vec::new();
    for leaf in [Leaf::list(Type::U32, 0), Leaf::text("", Utf16, false)] {
        let align = if leaf.encoding == Utf16 { 2 } else { 4 };
        let end = [PAGE as u64];
        trials.extend(bad_values(&leaf, Ok(()), pointer_to(0, align), &end));
    }
    check(2 * 2 * ALL, trials);
}

/// Each side may have any width, whatever the other has.
#[test]
fn widths_may_differ() {
    let mut trials = Vec::new();
    for leaf in Leaf::texts("a\u{e9}") {
        for widths in [[W32, W64], [W64, W32], [W64, W64]] {
            let leaf = leaf.clone().wide(widths);
            for to in [Utf8, Utf16, Latin1Utf16] {
                let fine = step(Action::Bump, 0);
                trials.extend(lowering(&leaf, to, 0, fine, Ok(())));
            }
        }
    }
    check(9 * ALL + 27 * BETWEEN, trials);
}

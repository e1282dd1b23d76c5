//! The rows of `CANONICAL-ABI-TRAPS.md`: each condition that must trap, on every path and in every
//! position, and those that must not. A row's number is in the name of its test.
//!
//! ```text
//! row: what is wrong with which value     -> Trial, for each way and position
//! ways: typed, dynamic, guest to guest; as parameter and as result
//! ```
//!
//! The harness of `hostile` runs them, so each is also compared with the reference; after a trap it
//! finds the guests poisoned and another instance of the same component fine. Rows about calls and
//! builtins are in `trap_matrix_calls.rs`; those about pointers, with 64 bits, in
//! `trap_matrix64.rs`.

use cwasm::TrapCode;
use cwasm_tests::hostile::matrix::{
    ALL, BETWEEN, LIFTING, LOWERING, Leaf, Position, Trial, Want, check, giver, lifting, lowering,
    step, taker, trials,
};
use cwasm_tests::reference::{
    Action, Behaviour, Encoding, Meaning, PAGE, Step, Type, Value, flat_count,
};

use Encoding::{Latin1Utf16, Utf8, Utf16};

/// The rows that have no test here: the file that has, and its test or what it says there.
const ELSEWHERE: &[(usize, &str, &str)] = &[
    (12, RESOURCES, "fn handles_between_guests_are_checked"),
    (13, RESOURCES, "fn handles_that_the_host_gets_are_checked"),
    (14, RESOURCES, "fn handles_in_results_are_checked"),
    (
        15,
        HOST_RESOURCES,
        "fn what_is_lent_is_neither_given_nor_dropped",
    ),
    (16, RESOURCES, "fn handles_in_results_are_checked"),
    (17, RESOURCES, "fn handles_between_guests_are_checked"),
    (27, EXCEPTIONS, "post-return-throws"),
    (29, CASES, "cannot leave component instance"),
    (32, RESOURCES, "fn borrows_must_be_dropped"),
    (35, HOST_RESOURCES, "fn handle_tables_have_a_limit"),
    (36, HOST_RESOURCES, "fn destructors_are_calls"),
];

const RESOURCES: &str = include_str!("resources.rs");
const HOST_RESOURCES: &str = include_str!("host_resources.rs");
const CASES: &str = include_str!("../../cases/component/resources.wast");
const EXCEPTIONS: &str = include_str!("../../cases/component/exceptions.wast");

#[test]
fn every_row_has_a_test() {
    let text = [
        include_str!("trap_matrix.rs"),
        include_str!("trap_matrix_calls.rs"),
    ]
    .concat();
    for row in 1..=36 {
        let here = text.contains(&format!("\nfn d{row:02}_"));
        let elsewhere = ELSEWHERE.iter().find(|(number, _, _)| *number == row);
        let is_there = elsewhere.map(|(_, text, test)| text.contains(test));
        assert_eq!(here, is_there.is_none(), "D{row}");
        assert_ne!(is_there, Some(false), "D{row}: {elsewhere:?}");
    }
}

fn char() -> Leaf {
    Leaf::new(Type::Char, Value::Char('x'))
}

fn is_char(meaning: Meaning) -> bool {
    meaning == Meaning::Char
}

fn is_units(meaning: Meaning) -> bool {
    meaning == Meaning::Units
}

/// The leaf's own pointer, recognised by its size, and not the one of the value around it.
fn pointer_to(size: usize, align: usize) -> impl Fn(Meaning) -> bool {
    move |meaning| meaning == Meaning::Pointer { size, align }
}

#[test]
fn d01_char_beyond_unicode() {
    let bad = [0x11_0000, 0xffff_ffff];
    let trials = bad.map(|bad| lifting(&char(), Err(TrapCode::InvalidChar), is_char, |_| bad));
    check(2 * ALL, trials.into_iter().flatten().collect());
}

/// In lists of fixed length, which are fields in registers and elements in memory.
#[test]
fn d02_char_of_a_fixed_list_is_a_surrogate() {
    let leaf = Leaf::new(
        Type::FixedList(Box::new(Type::Char), 2),
        Value::Record(vec![Value::Char('x'); 2]),
    );
    check(
        ALL,
        lifting(&leaf, Err(TrapCode::InvalidChar), is_char, |_| 0xd800),
    );
}

#[test]
fn d02_char_is_a_surrogate() {
    let bad = [0xd800, 0xdfff];
    let trials = bad.map(|bad| lifting(&char(), Err(TrapCode::InvalidChar), is_char, |_| bad));
    check(2 * ALL, trials.into_iter().flatten().collect());
}

#[test]
fn d03_string_too_long() {
    let leaves = Leaf::texts("ab").into_iter();
    let units = [1 << 28, 1 << 27, 1 << 28, 1 << 31 | 1 << 27];
    let trials = leaves.zip(units).flat_map(|(leaf, units)| {
        lifting(&leaf, Err(TrapCode::StringTooLong), is_units, |_| units)
    });
    check(4 * ALL, trials.collect());
}

#[test]
fn d04_string_pointer_is_odd() {
    let leaves = Leaf::texts("abcd").into_iter().skip(1);
    let trials = leaves.flat_map(|leaf| {
        let size = if leaf.encoding == Utf16 || leaf.tagged {
            8
        } else {
            4
        };
        let says = pointer_to(size, 2);
        lifting(&leaf, Err(TrapCode::UnalignedPointer), says, |pointer| {
            pointer + 1
        })
    });
    check(3 * ALL, trials.collect());
}

#[test]
fn d05_string_out_of_bounds() {
    let end = PAGE as u64;
    let trials = Leaf::texts("abcd").into_iter().flat_map(|leaf| {
        let unit_size = if leaf.encoding == Utf16 || leaf.tagged {
            2
        } else {
            1
        };
        // The last unit is outside; all is outside; the end wraps. In units of one byte the first
        // would fit.
        let bad = [end - 4 * unit_size + 2, end, 0xffff_fffe];
        let align = if leaf.encoding == Utf8 { 1 } else { 2 };
        let says = pointer_to(4 * unit_size as usize, align);
        let want = Err(TrapCode::StringOutOfBounds);
        let trials = bad
            .into_iter()
            .flat_map(|bad| lifting(&leaf, want, &says, |_| bad));
        trials.collect::<Vec<_>>()
    });
    check(12 * ALL, trials.collect());
}

/// Text of four bytes is replaced by these.
fn with_text(leaf: &Leaf, bytes: [u8; 4]) -> Vec<Trial> {
    let new = u64::from(u32::from_le_bytes(bytes));
    let want = Err(TrapCode::InvalidStringEncoding);
    lifting(leaf, want, |meaning| meaning == Meaning::Text, |_| new)
}

#[test]
fn d06_string_undecodable() {
    let utf8 = [
        // Overlong; a surrogate; above U+10FFFF.
        [0xc0, 0x80, b'a', b'a'],
        [0xe0, 0x9f, 0xbf, b'a'],
        [0xf0, 0x8f, 0xbf, 0xbf],
        [0xed, 0xa0, 0x80, b'a'],
        [0xf4, 0x90, 0x80, 0x80],
        [0xf5, 0x80, 0x80, 0x80],
        // Truncated; a continuation alone; no text at all.
        [b'a', b'a', b'a', 0xc3],
        [b'a', b'a', 0xe2, 0x98],
        [b'a', 0xf0, 0x9f, 0x8d],
        [0x80, b'a', b'a', b'a'],
        [b'a', 0xff, b'a', b'a'],
    ];
    let utf16 = [
        // A lone high surrogate, at the end too; a low one; both in the wrong order.
        [0x00, 0xd8, b'a', 0],
        [b'a', 0, 0xff, 0xdb],
        [0x00, 0xdc, b'a', 0],
        [0x00, 0xdc, 0x00, 0xd8],
    ];
    let mut trials = Vec::new();
    for bytes in utf8 {
        trials.extend(with_text(&Leaf::text("abcd", Utf8, false), bytes));
    }
    for bytes in utf16 {
        trials.extend(with_text(&Leaf::text("ab", Utf16, false), bytes));
        trials.extend(with_text(&Leaf::text("ab", Latin1Utf16, true), bytes));
    }
    check(19 * ALL, trials);
}

#[test]
fn d07_list_too_long() {
    let lens = [
        (Type::U32, 1 << 26),
        (Type::U32, 0xffff_ffff),
        (Type::U8, 1 << 28),
    ];
    let trials = lens.into_iter().flat_map(|(element, len)| {
        let says = Meaning::Length(if element == Type::U8 { 1 } else { 4 });
        let leaf = Leaf::list(element, 2);
        lifting(
            &leaf,
            Err(TrapCode::ListTooLong),
            |meaning| meaning == says,
            |_| len,
        )
    });
    check(3 * ALL, trials.collect());
}

/// A map of pairs of 8 bytes.
fn map(pairs: usize) -> Leaf {
    let ty = Type::Map(Box::new(Type::Tuple(vec![Type::U32; 2])));
    // Keys are in order, as Rust has them.
    let pair = |key: usize| Value::Record(vec![Value::Int(key as i128), Value::Int(3)]);
    Leaf::new(ty, Value::List((0..pairs).map(pair).collect()))
}

#[test]
fn d07_map_too_long() {
    let says = |meaning| meaning == Meaning::Length(8);
    let trials = [1 << 25, 1 << 29, 0xffff_ffff].map(|len| {
        let want = Err(TrapCode::ListTooLong);
        lifting(&map(2), want, says, move |_| len)
    });
    check(3 * ALL, trials.into_iter().flatten().collect());
}

#[test]
fn d08_map_pointer_misaligned() {
    let trials = [(3, 1), (0, 2)].into_iter().flat_map(|(pairs, off)| {
        let (leaf, says) = (map(pairs), pointer_to(8 * pairs, 4));
        let want = Err(TrapCode::UnalignedPointer);
        lifting(&leaf, want, says, |pointer| pointer + off)
    });
    check(2 * ALL, trials.collect());
}

#[test]
fn d09_map_out_of_bounds() {
    let end = PAGE as u64;
    let bad = [
        (3, end - 20),
        (3, 0xffff_fffc),
        (0, end + 4),
        (0, 0xffff_fffc),
    ];
    let trials = bad.into_iter().flat_map(|(pairs, bad)| {
        let (leaf, says) = (map(pairs), pointer_to(8 * pairs, 4));
        lifting(&leaf, Err(TrapCode::ListOutOfBounds), says, move |_| bad)
    });
    check(4 * ALL, trials.collect());
}

#[test]
fn d25_map_to_a_wrong_place() {
    let bad = [
        (step(Action::Off, 1), TrapCode::UnalignedPointer),
        (step(Action::AtEnd, 4), TrapCode::ListOutOfBounds),
    ];
    let trials = bad
        .into_iter()
        .flat_map(|(step, code)| lowering(&map(2), Utf8, 0, step, Err(code)));
    check(2 * ALL, trials.collect());
}

#[test]
fn d08_list_pointer_misaligned() {
    let trials = [(3, 1), (3, 2), (0, 1), (0, 2)]
        .into_iter()
        .flat_map(|(items, off)| {
            let (leaf, says) = (Leaf::list(Type::U32, items), pointer_to(4 * items, 4));
            lifting(&leaf, Err(TrapCode::UnalignedPointer), says, |pointer| {
                pointer + off
            })
        });
    check(4 * ALL, trials.collect());
}

#[test]
fn d09_list_out_of_bounds() {
    let end = PAGE as u64;
    let bad = [
        (3, end - 8),
        (3, end),
        (3, 0xffff_fffc),
        (0, end + 4),
        (0, 0xffff_fffc),
    ];
    let trials = bad.into_iter().flat_map(|(items, bad)| {
        let (leaf, says) = (Leaf::list(Type::U32, items), pointer_to(4 * items, 4));
        lifting(&leaf, Err(TrapCode::ListOutOfBounds), says, |_| bad)
    });
    check(5 * ALL, trials.collect());
}

/// Types with a discriminant, and their number of cases. Validation allows at most 10,000 cases, so
/// no discriminant has four bytes.
fn discriminants() -> Vec<(Leaf, usize)> {
    let none = || Value::Case(0, None);
    let some = Some(Type::U8);
    vec![
        (Leaf::new(Type::Enum(3), none()), 3),
        (Leaf::new(Type::Enum(256), none()), 256),
        (Leaf::new(Type::Enum(257), none()), 257),
        (Leaf::new(Type::Variant(vec![None, some, None]), none()), 3),
        (Leaf::new(Type::Option(Box::new(Type::U8)), none()), 2),
        (Leaf::new(Type::Result(None, None), none()), 2),
    ]
}

/// All trials with wrong discriminants, or only those where it is a flat value.
fn bad_discriminants(flat: bool) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (leaf, cases) in discriminants() {
        // One byte has no value that is not one of 256 cases.
        let in_bytes = if cases == 257 {
            vec![257, 0xffff]
        } else {
            vec![cases as u64, 0xff]
        };
        let in_registers = [cases as u64, 1 << 16 | 1, 0xffff_ffff];
        let says = |meaning| meaning == Meaning::Discriminant(cases);
        let bad = if flat { &in_registers[..] } else { &in_bytes };
        for bad in bad.iter().filter(|_| flat || cases != 256) {
            let all = lifting(&leaf, Err(TrapCode::InvalidDiscriminant), says, |_| *bad);
            trials.extend(all.into_iter().filter(|trial| trial.is_flat() == flat));
        }
    }
    trials
}

#[test]
fn d10_discriminant_in_memory() {
    check(222, bad_discriminants(false));
}

#[test]
fn d11_discriminant_in_a_register() {
    check(288, bad_discriminants(true));
}

/// The pointer to what does not fit in registers is this.
fn spilled(want: Want, bad: u64) -> Vec<Trial> {
    let leaf = Leaf::text("ab", Utf8, false);
    trials(&LIFTING, &leaf, Utf8, want, |way, _, func, case| {
        let (guest, types, max_flat) = giver(way, func, case);
        let place = if way.in_param {
            &mut guest.args[0]
        } else {
            &mut guest.result
        };
        *place = bad;
        flat_count(types) > max_flat
    })
}

#[test]
fn d18_spilled_values_misplaced() {
    let mut trials = Vec::new();
    for bad in [1025, 1026, 0xffff_ffff] {
        trials.extend(spilled(Err(TrapCode::UnalignedPointer), bad));
    }
    for bad in [PAGE as u64, 0xffff_fff8] {
        trials.extend(spilled(Err(TrapCode::MemoryOutOfBounds), bad));
    }
    check(5 * 21, trials);
}

#[test]
fn d19_place_for_spilled_values_misplaced() {
    let leaf = Leaf::text("ab", Utf8, false);
    let end = PAGE as u64;
    let bad = [
        (1025, TrapCode::UnalignedPointer),
        (end, TrapCode::MemoryOutOfBounds),
        // Parameters with padding are aligned to 8 bytes, and so is the variant; others to 4.
        (end - 8, TrapCode::MemoryOutOfBounds),
        (end - 4, TrapCode::MemoryOutOfBounds),
    ];
    let mut all = Vec::new();
    for (bad, code) in bad {
        all.extend(trials(
            &LOWERING,
            &leaf,
            Utf8,
            Err(code),
            |way, position, _, case| {
                let guest = taker(way, case);
                if way.in_param {
                    guest.script[0] = step(Action::Return, bad);
                    return position == Position::Spilled && bad != end - 4;
                }
                *guest.args.last_mut().expect("where the result goes") = bad;
                let too_near = if position == Position::Variant {
                    end - 8
                } else {
                    end - 4
                };
                bad < end - 8 || bad == end || bad == too_near
            },
        ));
    }
    check(63, all);
}

/// The invalid results of `realloc` for strings of this alignment.
fn bad_places(align: u64) -> Vec<(Step, Want)> {
    let out_of_bounds = Err(TrapCode::StringOutOfBounds);
    let mut bad = vec![
        (step(Action::AtEnd, align), out_of_bounds),
        (
            step(Action::Return, 0u64.wrapping_sub(align)),
            out_of_bounds,
        ),
    ];
    if align > 1 {
        bad.push((step(Action::Off, 1), Err(TrapCode::UnalignedPointer)));
    }
    bad
}

/// Strings of which each of these calls of `realloc` gives a wrong place.
fn bad_strings(leaf: &Leaf, to: Encoding, calls: &[usize]) -> Vec<Trial> {
    let align = if to == Utf8 { 1 } else { 2 };
    let mut trials = Vec::new();
    for call in calls {
        for (step, want) in bad_places(align) {
            trials.extend(lowering(leaf, to, *call, step, want));
        }
    }
    trials
}

#[test]
fn d20_string_copied_to_a_wrong_place() {
    let mut trials = Vec::new();
    for encoding in Encoding::ALL {
        trials.extend(bad_strings(
            &Leaf::text("abcd", encoding, false),
            encoding,
            &[0],
        ));
    }
    check(2 * ALL + 6 * BETWEEN, trials);
}

#[test]
fn d21_string_to_utf8() {
    let mut trials = bad_strings(&Leaf::text("aé☃", Utf16, false), Utf8, &[0, 1, 2]);
    trials.extend(bad_strings(
        &Leaf::text("aé", Latin1Utf16, false),
        Utf8,
        &[0, 1, 2],
    ));
    trials.extend(bad_strings(
        &Leaf::text("aé☃", Latin1Utf16, true),
        Utf8,
        &[0, 1, 2],
    ));
    check(18 * BETWEEN, trials);
}

#[test]
fn d22_string_from_utf8_to_utf16() {
    check(
        6 * ALL,
        bad_strings(&Leaf::text("é☃", Utf8, false), Utf16, &[0, 1]),
    );
}

#[test]
fn d23_string_to_latin1_or_utf16() {
    // First, inflating and shrinking; first and last, if it is Latin-1.
    let mut trials = bad_strings(&Leaf::text("é☃x", Utf8, false), Latin1Utf16, &[0, 1, 2]);
    trials.extend(bad_strings(
        &Leaf::text("éé", Utf8, false),
        Latin1Utf16,
        &[0, 1],
    ));
    trials.extend(bad_strings(
        &Leaf::text("é☃xx", Utf16, false),
        Latin1Utf16,
        &[0, 1],
    ));
    check(15 * ALL + 6 * BETWEEN, trials);
}

#[test]
fn d24_string_deflated() {
    let leaf = Leaf::text("éa", Latin1Utf16, true);
    let mut trials = bad_strings(&leaf, Latin1Utf16, &[0]);
    // What is deflated is a string of bytes: nothing is unaligned.
    for (step, want) in bad_places(1) {
        trials.extend(lowering(&leaf, Latin1Utf16, 1, step, want));
    }
    check(5 * BETWEEN, trials);
}

#[test]
fn d25_list_to_a_wrong_place() {
    let mut trials = Vec::new();
    for items in [3, 0] {
        let leaf = Leaf::list(Type::U32, items);
        let bad = [
            (step(Action::Off, 1), TrapCode::UnalignedPointer),
            (step(Action::Off, 2), TrapCode::UnalignedPointer),
            (step(Action::AtEnd, 4), TrapCode::ListOutOfBounds),
            (step(Action::Return, 0xffff_fffc), TrapCode::ListOutOfBounds),
        ];
        for (step, code) in bad {
            trials.extend(lowering(&leaf, Utf8, 0, step, Err(code)));
        }
    }
    check(8 * ALL, trials);
}

#[test]
fn d26_realloc_misbehaves() {
    let steps = [
        (step(Action::Trap, 0), Err(TrapCode::Unreachable)),
        (step(Action::Recurse, 0), Err(TrapCode::StackOverflow)),
        (step(Action::Grow, 0), Ok(())),
        (step(Action::Scribble, 0), Ok(())),
        (step(Action::Scribble, 5), Ok(())),
        (step(Action::InPlace, 0), Ok(())),
    ];
    let mut trials = Vec::new();
    for (step, want) in steps {
        trials.extend(lowering(
            &Leaf::text("aé☃", Utf16, false),
            Utf8,
            1,
            step,
            want,
        ));
        trials.extend(lowering(
            &Leaf::text("aé☃", Utf8, false),
            Latin1Utf16,
            1,
            step,
            want,
        ));
        trials.extend(lowering(&Leaf::list(Type::U32, 3), Utf8, 0, step, want));
    }
    check(12 * ALL + 6 * BETWEEN, trials);
}

#[test]
fn d28_import_called_from_realloc_or_post_return() {
    let leave = step(Action::Leave, 0);
    let want = Err(TrapCode::CannotLeave);
    let mut all = lowering(&Leaf::text("a", Utf8, false), Utf16, 0, leave, want);
    all.extend(lowering(&Leaf::list(Type::U8, 1), Utf8, 0, leave, want));
    let ways = LIFTING
        .into_iter()
        .filter(|way| !way.in_param)
        .collect::<Vec<_>>();
    all.extend(trials(&ways, &char(), Utf8, want, |_, _, _, case| {
        let callee = case.callee.as_mut().expect("a guest is called");
        callee.post_behaviour = Behaviour::Leave;
        true
    }));
    check(2 * ALL + 18, all);
}

/// Unusual calls that are valid.
#[test]
fn what_must_not_trap() {
    let mut all = Vec::new();
    let bool = Leaf::new(Type::Bool, Value::Bool(true));
    for bits in [2, 0x80, 0xff] {
        all.extend(lifting(
            &bool,
            Ok(()),
            |meaning| meaning == Meaning::Bool,
            |_| bits,
        ));
    }
    for count in [3, 9, 17] {
        let flags = Leaf::new(Type::Flags(count), Value::Flags(1));
        let says = |meaning| meaning == Meaning::Flags(count);
        all.extend(lifting(&flags, Ok(()), says, |bits| {
            bits | 0xffff_ffff << count & 0xffff_ffff
        }));
    }
    for ty in [Type::U8, Type::S8, Type::U16, Type::S16] {
        let is_wide = |meaning| matches!(meaning, Meaning::Int(1 | 2));
        let int = Leaf::new(ty, Value::Int(5));
        all.extend(lifting(&int, Ok(()), is_wide, |bits| bits | 0xffff_ff80));
    }
    for (ty, value, bits) in [
        (Type::F32, Value::F32(0), 0xffff_ffff),
        (Type::F64, Value::F64(0), u64::MAX - 1),
    ] {
        let float = Leaf::new(ty, value);
        all.extend(lifting(
            &float,
            Ok(()),
            |meaning| matches!(meaning, Meaning::Float(_)),
            |_| bits,
        ));
    }
    // An `i64` that holds an `i32` of another case.
    let joined = Type::Variant(vec![Some(Type::U32), Some(Type::U64)]);
    let joined = Leaf::new(joined, Value::Case(0, Some(Box::new(Value::Int(9)))));
    let says = |meaning| meaning == Meaning::Int(4);
    let wide = lifting(&joined, Ok(()), says, |bits| bits | 0xffff_ffff << 32);
    all.extend(wide);
    // Empty at the very end.
    let end = PAGE as u64;
    all.extend(lifting(
        &Leaf::list(Type::U32, 0),
        Ok(()),
        pointer_to(0, 4),
        |_| end,
    ));
    all.extend(lifting(
        &Leaf::text("", Utf16, false),
        Ok(()),
        pointer_to(0, 2),
        |_| end,
    ));
    let at_end = step(Action::AtEnd, 0);
    all.extend(lowering(&Leaf::list(Type::U32, 0), Utf8, 0, at_end, Ok(())));
    all.extend(lowering(&Leaf::list(Type::U32, 3), Utf8, 0, at_end, Ok(())));
    all.extend(lowering(
        &Leaf::text("ab", Utf8, false),
        Utf8,
        0,
        at_end,
        Ok(()),
    ));
    check(598, all);
}

//! Lifting and lowering against a guest made of Rust.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

use cwasm_format::TrapCode;
use cwasm_format::abi::PointerWidth;
use cwasm_format::types::{FuncType, Types};

use super::{ComponentNamedList, ComponentType, Lift, Lower, WasmList, WasmStr};
use crate::error::{Error, Result};
use crate::signature;
use crate::vm::canon::fake::{Guest, HEAP, MEMORY_SIZE, Realloc};
use cwasm_format::encoding::StringEncoding::{self, Latin1Utf16, Utf8, Utf16};

/// Lowers a value to flat values.
fn flat<T: Lower + ?Sized>(guest: &mut Guest, value: &T) -> Result<Vec<u64>> {
    // Whatever is there before is overwritten.
    let mut out = vec![u64::MAX; T::FLAT.count()];
    guest.lower(|cx| value.lower_flat(cx, &mut out))?;
    Ok(out)
}

fn lift<T: Lift>(guest: &mut Guest, flat: &[u64]) -> Result<T> {
    guest.lift(|cx| T::lift_flat(cx, flat))
}

/// Lowers a value to memory at 512: its bytes.
fn stored<T: Lower>(guest: &mut Guest, value: &T) -> Result<Vec<u8>> {
    guest.lower(|cx| value.store(cx, 512))?;
    let size = T::LAYOUT.at(guest.width).size as usize;
    Ok(guest.memory()[512..][..size].to_vec())
}

fn load<T: Lift>(guest: &mut Guest, bytes: &[u8]) -> Result<T> {
    guest.lift(|cx| T::load(cx, bytes))
}

fn code<T>(result: Result<T>) -> TrapCode {
    match result {
        Ok(_) => panic!("no trap"),
        Err(error) => error.trap().expect("a trap").code(),
    }
}

fn round_trip<T: Lower + Lift + PartialEq + Debug>(value: T) {
    let encodings = [Utf8, Utf16, Latin1Utf16].into_iter();
    for (encoding, width) in encodings.flat_map(|e| PointerWidth::ALL.map(|width| (e, width))) {
        let mut guest = Guest::with_encoding(encoding);
        guest.width = width;
        if T::FLAT.fits() {
            let flat = flat(&mut guest, &value).unwrap();
            assert_eq!(
                lift::<T>(&mut guest, &flat).unwrap(),
                value,
                "flat {flat:x?}"
            );
        }
        let bytes = stored(&mut guest, &value).unwrap();
        assert_eq!(
            load::<T>(&mut guest, &bytes).unwrap(),
            value,
            "in memory {bytes:x?}"
        );
    }
}

/// Checks that Rust computes for a type what the compiler computes.
fn same_as_described<T: ComponentType + ?Sized>() {
    let mut types = Types::new();
    let ty = T::describe(&mut types).unwrap();
    let abi = types.abi(ty);
    assert_eq!(abi.hash, T::HASH);
    assert_eq!(abi.layout, T::LAYOUT);
    assert_eq!(abi.flat, T::FLAT);
}

fn same_function<P: ComponentNamedList, R: ComponentNamedList>() {
    let mut types = Types::new();
    let params = P::describe_list(&mut types);
    let params = params.into_iter().map(|ty| ("p".to_owned(), ty)).collect();
    let result = R::describe_list(&mut types).first().copied();
    let func = FuncType {
        params,
        result,
        is_async: false,
    };
    assert_eq!(signature::hash::<P, R>(), types.func_hash(&func));
    assert_eq!(P::FLAT, types.params_flat(&func));
    assert_eq!(P::LAYOUT, types.params_layout(&func));
    assert_eq!(R::FLAT, types.result_flat(&func));
}

type Spilled = (
    u8,
    u64,
    u8,
    u16,
    u32,
    String,
    f32,
    f64,
    char,
    bool,
    i8,
    i16,
    i32,
    i64,
    u8,
    String,
);

#[test]
fn constants_are_the_compilers() {
    same_as_described::<bool>();
    same_as_described::<char>();
    same_as_described::<f32>();
    same_as_described::<i64>();
    same_as_described::<str>();
    same_as_described::<[u16]>();
    same_as_described::<&Box<Rc<Arc<Vec<String>>>>>();
    same_as_described::<(u8, u64, (u8, u16))>();
    same_as_described::<Option<(f32, String)>>();
    same_as_described::<[u16; 7]>();
    same_as_described::<Option<[(u8, String); 3]>>();
    same_as_described::<HashMap<String, [u64; 2]>>();
    same_as_described::<(u8, BTreeMap<u8, HashMap<char, Vec<bool>>>)>();
    same_as_described::<Result<(), ()>>();
    same_as_described::<Result<f32, (i32, f64)>>();
    same_as_described::<Result<(), Option<Result<u64, WasmList<WasmStr>>>>>();
    same_as_described::<Spilled>();
    same_function::<(), ()>();
    same_function::<(u32, u32), (u32,)>();
    same_function::<(&str,), (String,)>();
    same_function::<Spilled, ((u8, u8),)>();
    assert_ne!(
        signature::hash::<(), (u8, u8)>(),
        signature::hash::<(), ((u8, u8),)>()
    );
    assert_ne!(
        signature::hash::<(), (u8, u8)>(),
        signature::hash::<(), ()>()
    );
    assert!(!Spilled::FLAT.fits());
}

#[test]
fn values_come_back() {
    round_trip(true);
    round_trip((-1i8, i16::MIN, i32::MIN, i64::MIN));
    round_trip((u8::MAX, u16::MAX, u32::MAX, u64::MAX));
    round_trip((1.5f32, f64::NEG_INFINITY, '\u{10ffff}', '\u{d7ff}'));
    round_trip(String::from("größe 😀"));
    round_trip(String::new());
    round_trip(Box::<str>::from("ÿ"));
    round_trip(vec![1u8, 2, 3]);
    round_trip(vec![i64::MIN, 5]);
    round_trip(Vec::<f64>::new());
    round_trip(vec![true, false]);
    round_trip(vec!['a', '😀']);
    round_trip(Rc::<[_]>::from(vec![String::from("a"), String::from("ü☃")]));
    round_trip(vec![(1.5f32, vec![(2u8, 3u64)]), (0.5, vec![])]);
    round_trip([None, Some(1u8)].to_vec());
    round_trip(Some(Some(String::from("x"))));
    round_trip([1u8, 2, 3]);
    round_trip([[0.5f32, -0.5]; 9]);
    round_trip(vec![(1u8, [i64::MIN, 1]), (2, [3, 4])]);
    round_trip([String::from("a"), String::from("ü☃")]);
    round_trip(Some([Some('x'), None, Some('😀')]));
    round_trip(Box::new([7u32; 1000]));
    round_trip(HashMap::from([
        (1u8, String::from("ü")),
        (2, String::new()),
    ]));
    round_trip(BTreeMap::from([(
        String::from("k"),
        HashMap::from([('c', vec![1u64])]),
    )]));
    round_trip(HashMap::<String, u8>::new());
    round_trip(Some(None::<u64>));
    round_trip(Ok::<(), u8>(()));
    round_trip(Err::<(), u8>(9));
    round_trip([Ok(1.5f32), Err((2i32, f64::MAX))].to_vec());
    round_trip(Err::<f32, (i32, f64)>((-2, 0.25)));
    let large = (
        1u8,
        2u64,
        3u8,
        4u16,
        5u32,
        String::from("six"),
        7.0f32,
        8.0,
        '9',
        true,
        11u8,
    );
    round_trip((large, Some(-12i16), String::from("☃")));
    round_trip(vec![(1u32, 2.5f32); 3]);
    round_trip(vec![(1.5f32, 2.5f32, 3u8); 3]);
    round_trip(vec![(3u8, 4u64, Some('x')), (5, 6, None)]);
}

#[test]
fn lists_are_copied_where_rust_lays_elements_out_as_the_guest() {
    const { assert!(<(u32, f32) as Lift>::IS_CANONICAL) };
    const { assert!(<((u16, i16), u32) as Lower>::IS_CANONICAL) };
    // Lowering writes what Rust has, which is a `bool` or `char`; lifting would take any bytes.
    const { assert!(<(char, u32) as Lower>::IS_CANONICAL && !<(char, u32) as Lift>::IS_CANONICAL) };
    // Padding has no bytes to copy.
    const { assert!(!<(f32, f32, u8) as Lower>::IS_CANONICAL) };
    const { assert!(!<Option<u8> as Lower>::IS_CANONICAL && !<&u8 as Lower>::IS_CANONICAL) };
    const { assert!(!<(u32, String) as Lower>::IS_CANONICAL && <(u32, String)>::HAS_POINTERS) };
}

#[test]
fn flat_forms_are_canonical() {
    let guest = &mut Guest::new();
    assert_eq!(
        flat(guest, &(-1i8, -1i32, -1i64, true)).unwrap(),
        [0xffff_ffff, 0xffff_ffff, u64::MAX, 1]
    );
    assert_eq!(flat(guest, &-1.5f32).unwrap(), [0xbfc0_0000]);
    assert_eq!(flat(guest, &None::<(f32, f64)>).unwrap(), [0, 0, 0]);
    assert_eq!(flat(guest, &Ok::<u8, (u64, u8)>(7)).unwrap(), [0, 7, 0]);
    // High bits that do not belong to the type are ignored; a joined i64 that holds an i32 wraps.
    assert_eq!(lift::<u8>(guest, &[0x1ff]).unwrap(), 0xff);
    assert_eq!(lift::<i16>(guest, &[0x18000]).unwrap(), i16::MIN);
    assert!(lift::<bool>(guest, &[2]).unwrap());
    assert!(load::<bool>(guest, &[0x80]).unwrap());
    let wrapped = lift::<Result<u32, u64>>(guest, &[0, 0xdead_0000_0001]).unwrap();
    assert_eq!(wrapped, Ok(1));
    let joined = lift::<Result<f32, u64>>(guest, &[0, 0xdead_bfc0_0000]).unwrap();
    assert_eq!(joined, Ok(-1.5));
}

#[test]
fn pointers_have_the_width_of_the_memory() {
    let guest = &mut Guest::with_width(PointerWidth::W64);
    let value = (1u8, String::from("ab"));
    let heap = u64::from(HEAP);
    assert_eq!(flat(guest, &value).unwrap(), [1, heap, 2]);
    let mut expected = vec![0; 24];
    expected[0] = 1;
    expected[8..10].copy_from_slice(&(heap as u16 + 2).to_le_bytes());
    expected[16] = 2;
    guest.memory()[512..536].fill(0);
    assert_eq!(stored(guest, &value).unwrap(), expected);
    // No bits are ignored, and nothing overflows.
    let text = |guest: &mut Guest, pointer, len| code(lift::<String>(guest, &[pointer, len]));
    let list = |guest: &mut Guest, pointer, len| code(lift::<Vec<u64>>(guest, &[pointer, len]));
    let out_of_bounds = TrapCode::StringOutOfBounds;
    assert_eq!(text(guest, 1 << 32, 1), out_of_bounds);
    assert_eq!(text(guest, u64::MAX, 2), out_of_bounds);
    assert_eq!(text(guest, 0, 1 << 32), TrapCode::StringTooLong);
    assert_eq!(text(guest, 0, u64::MAX), TrapCode::StringTooLong);
    assert_eq!(list(guest, u64::MAX - 7, 1), TrapCode::ListOutOfBounds);
    assert_eq!(list(guest, u64::MAX - 7, 0), TrapCode::ListOutOfBounds);
    assert_eq!(list(guest, u64::MAX, 0), TrapCode::UnalignedPointer);
    assert_eq!(list(guest, 0, 1 << 61), TrapCode::ListTooLong);
    assert_eq!(list(guest, 0, 1 << 25), TrapCode::ListTooLong);
    guest.encoding = Utf16;
    assert_eq!(text(guest, 0, 1 << 63 | 1), TrapCode::StringTooLong);
    assert_eq!(text(guest, 0, 1 << 31), TrapCode::StringTooLong);
    guest.encoding = Latin1Utf16;
    guest.memory()[..4].copy_from_slice(&[0xfc, 0, 0x03, 0x26]);
    let tagged = lift::<String>(guest, &[0, 1 << 63 | 2]).unwrap();
    assert_eq!(tagged, "ü☃");
    assert_eq!(text(guest, 0, 1 << 31 | 2), TrapCode::StringTooLong);
    guest.set_realloc(Realloc::Gives(MEMORY_SIZE as u32 - 4));
    assert_eq!(code(flat(guest, &vec![1u64])), TrapCode::UnalignedPointer);
    // Where pointers have 32 bits, the others mean nothing.
    let guest = &mut Guest::new();
    assert_eq!(lift::<String>(guest, &[1 << 32, 1 << 32]).unwrap(), "");
}

#[test]
fn the_last_pair_of_a_key_counts() {
    let guest = &mut Guest::new();
    guest.memory()[512..518].copy_from_slice(&[1, 10, 2, 20, 1, 30]);
    let expected = [(1u8, 30u8), (2, 20)];
    let hashed = lift::<HashMap<u8, u8>>(guest, &[512, 3]).unwrap();
    assert_eq!(hashed, HashMap::from(expected));
    let sorted = load::<BTreeMap<u8, u8>>(guest, &[0, 2, 0, 0, 3, 0, 0, 0]).unwrap();
    assert_eq!(sorted, BTreeMap::from(expected));
    let lift = |guest: &mut Guest, pair: &[u64]| code(lift::<HashMap<u16, bool>>(guest, pair));
    assert_eq!(lift(guest, &[513, 0]), TrapCode::UnalignedPointer);
    assert_eq!(
        lift(guest, &[MEMORY_SIZE as u64 - 2, 1]),
        TrapCode::ListOutOfBounds
    );
    assert_eq!(lift(guest, &[0, 1 << 26]), TrapCode::ListTooLong);
}

#[test]
fn the_first_bad_element_of_an_array_is_its_error() {
    let guest = &mut Guest::new();
    let elements = [u64::from('a'), 0xd800, 1 << 31];
    let flat = lift::<[char; 3]>(guest, &elements);
    assert_eq!(code(flat), TrapCode::InvalidChar);
    let bytes = [1, 0, 2, 0, 3, 0];
    assert_eq!(load::<[u16; 3]>(guest, &bytes).unwrap(), [1, 2, 3]);
    let options = load::<[Option<u8>; 2]>(guest, &[1, 7, 2, 0]);
    assert_eq!(code(options), TrapCode::InvalidDiscriminant);
}

#[test]
fn memory_forms_are_canonical() {
    let guest = &mut Guest::new();
    assert_eq!(
        stored(guest, &(1u8, 0x0203u16, 0x0405_0607u32)).unwrap(),
        [1, 0, 3, 2, 7, 6, 5, 4]
    );
    let option = stored(guest, &Some(2u16)).unwrap();
    assert_eq!(option, [1, 0, 2, 0]);
    let list = stored(guest, &[1u16, 2].as_slice()).unwrap();
    assert_eq!(list, [0, 4, 0, 0, 2, 0, 0, 0]);
    assert_eq!(guest.memory()[HEAP as usize..][..4], [1, 0, 2, 0]);
}

/// Lowers a string: its pointer and length, its bytes, and the calls of `realloc`.
fn lowered(encoding: StringEncoding, string: &str) -> (Vec<u64>, Vec<u8>, Vec<[u32; 4]>) {
    let mut guest = Guest::with_encoding(encoding);
    let flat = flat(&mut guest, string).unwrap();
    let reallocs = guest.take_reallocs();
    let size = reallocs.last().unwrap()[3] as usize;
    (
        flat.clone(),
        guest.memory()[flat[0] as usize..][..size].to_vec(),
        reallocs,
    )
}

#[test]
fn strings_are_encoded_as_the_guest_wants() {
    let (flat, bytes, reallocs) = lowered(Utf8, "ü");
    assert_eq!((flat[1], &bytes[..]), (2, "ü".as_bytes()));
    assert_eq!(reallocs, [[0, 0, 1, 2]]);

    let (flat, bytes, reallocs) = lowered(Utf16, "aü");
    assert_eq!((flat[1], &bytes[..]), (2, &[0x61, 0, 0xfc, 0][..]));
    assert_eq!(reallocs, [[0, 0, 2, 6], [HEAP, 6, 2, 4]]);
    assert_eq!(lowered(Utf16, "ab").2, [[0, 0, 2, 4]]);

    let (flat, bytes, reallocs) = lowered(Latin1Utf16, "aü");
    assert_eq!((flat[1], &bytes[..]), (2, &[0x61, 0xfc][..]));
    assert_eq!(reallocs, [[0, 0, 2, 3], [HEAP, 3, 2, 2]]);

    let (flat, bytes, reallocs) = lowered(Latin1Utf16, "aü☃");
    assert_eq!(
        (flat[1], &bytes[..]),
        (1 << 31 | 3, &[0x61, 0, 0xfc, 0, 0x03, 0x26][..])
    );
    let second = HEAP + 6;
    assert_eq!(
        reallocs,
        [[0, 0, 2, 6], [HEAP, 6, 2, 12], [second, 12, 2, 6]]
    );

    for encoding in [Utf8, Utf16, Latin1Utf16] {
        let align = if encoding == Utf8 { 1 } else { 2 };
        assert_eq!(lowered(encoding, "").2, [[0, 0, align, 0]]);
    }
}

/// The bytes written so far are the guest's to move when memory grows, as in the specification.
#[test]
fn a_realloc_that_copies_nothing_changes_the_string() {
    let mut guest = Guest::with_encoding(Latin1Utf16);
    guest.set_realloc(Realloc::GivesAfter(1, 512));
    guest.memory()[512..514].copy_from_slice(b"xy");
    let flat = flat(&mut guest, "aü☃").unwrap();
    assert_eq!(flat, [512, 1 << 31 | 3]);
    assert_eq!(guest.memory()[512..518], [b'x', 0, b'y', 0, 0x03, 0x26]);
}

#[test]
fn bad_strings_trap() {
    let guest = &mut Guest::new();
    let size = MEMORY_SIZE as u64;
    let mut lifted = |encoding, pointer: u64, len: u64, bytes: &[u8]| {
        guest.encoding = encoding;
        guest.memory()[64..][..bytes.len()].copy_from_slice(bytes);
        let owned = lift::<String>(guest, &[pointer, len]);
        match lift::<WasmStr>(guest, &[pointer, len]) {
            Ok(view) => {
                let same = view.to_str(&guest.store).map(|string| string.into_owned());
                assert_eq!(same.ok(), owned.as_ref().ok().cloned());
            }
            Err(error) => assert_eq!(
                code(Err::<(), Error>(error)),
                owned.as_ref().unwrap_err().trap().unwrap().code()
            ),
        }
        owned
    };
    for bytes in [
        "\u{c0}".as_bytes().split_at(1).0,
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
    ] {
        let result = lifted(Utf8, 64, bytes.len() as u64, bytes);
        assert_eq!(code(result), TrapCode::InvalidStringEncoding);
    }
    for bytes in [&[0, 0xd8][..], &[0, 0xdc, 0, 0xd8], &[0, 0xd8, 0x41, 0]] {
        let units = bytes.len() as u64 / 2;
        assert_eq!(
            code(lifted(Utf16, 64, units, bytes)),
            TrapCode::InvalidStringEncoding
        );
        let tagged = units | 1 << 31;
        assert_eq!(
            code(lifted(Latin1Utf16, 64, tagged, bytes)),
            TrapCode::InvalidStringEncoding
        );
    }
    assert_eq!(lifted(Latin1Utf16, 64, 2, &[0xfc, 0x41]).unwrap(), "üA");
    assert_eq!(
        lifted(Latin1Utf16, 64, 1 << 31 | 1, &[0x03, 0x26]).unwrap(),
        "☃"
    );
    for (encoding, len) in [
        (Utf16, 1),
        (Latin1Utf16, 1),
        (Latin1Utf16, 1 << 31),
        (Utf16, 0),
    ] {
        assert_eq!(
            code(lifted(encoding, 65, len, &[])),
            TrapCode::UnalignedPointer
        );
    }
    for (encoding, len) in [
        (Utf8, 3),
        (Utf16, 2),
        (Latin1Utf16, 3),
        (Latin1Utf16, 1 << 31 | 2),
    ] {
        assert_eq!(
            code(lifted(encoding, size - 2, len, &[])),
            TrapCode::StringOutOfBounds
        );
    }
    assert_eq!(
        code(lifted(Utf8, 0xffff_ffff, 2, &[])),
        TrapCode::StringOutOfBounds
    );
    assert_eq!(
        code(lifted(Utf8, size + 1, 0, &[])),
        TrapCode::StringOutOfBounds
    );
    assert_eq!(lifted(Utf8, size, 0, &[]).unwrap(), "");
    for (encoding, len) in [
        (Utf8, 1 << 28),
        (Utf16, 1 << 27),
        (Latin1Utf16, 1 << 28),
        (Latin1Utf16, 1 << 31 | 1 << 27),
    ] {
        assert_eq!(
            code(lifted(encoding, 64, len, &[])),
            TrapCode::StringTooLong
        );
        assert_eq!(
            code(lifted(encoding, 64, len - 1, &[])),
            TrapCode::StringOutOfBounds
        );
    }
}

#[test]
fn bad_lists_trap() {
    let guest = &mut Guest::new();
    let size = MEMORY_SIZE as u64;
    let mut check = |pointer: u64, len: u64, expected: Option<TrapCode>| {
        let owned = lift::<Vec<u32>>(guest, &[pointer, len]);
        let view = lift::<WasmList<u32>>(guest, &[pointer, len]);
        let code = |result: Result<()>| result.err().map(|error| error.trap().unwrap().code());
        assert_eq!(code(owned.map(drop)), expected);
        assert_eq!(code(view.map(drop)), expected);
    };
    check(size - 8, 2, None);
    check(size, 0, None);
    check(size - 4, 2, Some(TrapCode::ListOutOfBounds));
    check(size + 4, 0, Some(TrapCode::ListOutOfBounds));
    check(0xffff_fffc, 1, Some(TrapCode::ListOutOfBounds));
    check(2, 0, Some(TrapCode::UnalignedPointer));
    check(2, 1, Some(TrapCode::UnalignedPointer));
    check(0, 1 << 26, Some(TrapCode::ListTooLong));
    check(0, 0xffff_ffff, Some(TrapCode::ListTooLong));
    check(0, (1 << 26) - 1, Some(TrapCode::ListOutOfBounds));
}

#[test]
fn bad_scalars_and_cases_trap() {
    let guest = &mut Guest::new();
    for bad in [0x11_0000u32, 0xd800, 0xdfff, u32::MAX] {
        assert_eq!(
            code(lift::<char>(guest, &[bad.into()])),
            TrapCode::InvalidChar
        );
        assert_eq!(
            code(load::<char>(guest, &bad.to_le_bytes())),
            TrapCode::InvalidChar
        );
        guest.memory()[64..68].copy_from_slice(&bad.to_le_bytes());
        assert_eq!(
            code(lift::<Vec<char>>(guest, &[64, 1])),
            TrapCode::InvalidChar
        );
    }
    assert_eq!(
        code(lift::<Option<u8>>(guest, &[2, 0])),
        TrapCode::InvalidDiscriminant
    );
    assert_eq!(
        code(lift::<Option<u8>>(guest, &[1 << 31, 0])),
        TrapCode::InvalidDiscriminant
    );
    assert_eq!(lift::<Option<u8>>(guest, &[1 << 32, 0]).unwrap(), None);
    assert_eq!(
        code(load::<Option<u8>>(guest, &[0xff, 0])),
        TrapCode::InvalidDiscriminant
    );
    assert_eq!(
        code(lift::<Result<u8, ()>>(guest, &[2, 0])),
        TrapCode::InvalidDiscriminant
    );
    assert_eq!(
        code(load::<Result<u8, ()>>(guest, &[2, 0])),
        TrapCode::InvalidDiscriminant
    );
}

#[test]
fn bad_reallocs_trap() {
    let end = MEMORY_SIZE as u32;
    let lowered = |encoding, realloc, value: &dyn Fn(&mut Guest) -> Result<Vec<u64>>| {
        let mut guest = Guest::with_encoding(encoding);
        guest.set_realloc(realloc);
        code(value(&mut guest))
    };
    let list = |guest: &mut Guest| flat(guest, &[1u32, 2][..]);
    let empty = |guest: &mut Guest| flat::<[u32]>(guest, &[]);
    let string = |guest: &mut Guest| flat(guest, "aü☃");
    let latin = |guest: &mut Guest| flat(guest, "aü");
    for value in [&list as &dyn Fn(&mut Guest) -> _, &empty] {
        assert_eq!(
            lowered(Utf8, Realloc::Gives(end + 4), value),
            TrapCode::ListOutOfBounds
        );
        assert_eq!(
            lowered(Utf8, Realloc::Gives(2), value),
            TrapCode::UnalignedPointer
        );
        assert_eq!(lowered(Utf8, Realloc::Traps, value), TrapCode::Unreachable);
    }
    assert_eq!(
        lowered(Utf8, Realloc::Gives(end - 4), &list),
        TrapCode::ListOutOfBounds
    );
    assert_eq!(
        lowered(Utf8, Realloc::Gives(end - 4), &string),
        TrapCode::StringOutOfBounds
    );
    for after in 0..=1 {
        for (bad, expected) in [
            (1, TrapCode::UnalignedPointer),
            (end, TrapCode::StringOutOfBounds),
        ] {
            let realloc = Realloc::GivesAfter(after, bad);
            assert_eq!(lowered(Utf16, realloc, &string), expected);
            assert_eq!(lowered(Latin1Utf16, realloc, &string), expected);
            assert_eq!(lowered(Latin1Utf16, realloc, &latin), expected);
        }
    }
    let last = Realloc::GivesAfter(2, 1);
    assert_eq!(
        lowered(Latin1Utf16, last, &string),
        TrapCode::UnalignedPointer
    );
}

#[test]
fn views_read_where_values_lie() {
    let mut guest = Guest::new();
    let value = (vec![1u16, 2, 3], vec!["a", "bc"], "text");
    let flat = flat(&mut guest, &value).unwrap();
    type View = (WasmList<u16>, WasmList<WasmStr>, WasmStr);
    const { assert!(View::HOLDS_VIEWS && !<(Vec<String>, u8)>::HOLDS_VIEWS) };
    const { assert!(<Option<Vec<Result<u8, WasmStr>>>>::HOLDS_VIEWS) };
    let (numbers, strings, text) = lift::<View>(&mut guest, &flat).unwrap();
    assert_eq!(numbers.as_le_slice(&guest.store).unwrap(), [1, 2, 3]);
    assert_eq!((numbers.len(), numbers.is_empty()), (3, false));
    assert_eq!(numbers.get(&guest.store, 2).unwrap().unwrap(), 3);
    assert!(numbers.get(&guest.store, 3).is_none());
    let strings: Vec<_> = strings
        .iter(&guest.store)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(strings[1].to_str(&guest.store).unwrap(), "bc");
    assert_eq!(text.to_str(&guest.store).unwrap(), "text");
    guest.memory()[flat[4] as usize] = 0xff;
    assert_eq!(
        code(text.to_str(&guest.store)),
        TrapCode::InvalidStringEncoding
    );
    let other = Guest::new();
    assert!(text.to_str(&other.store).unwrap_err().trap().is_none());
    assert!(numbers.as_le_slice(&other.store).is_err());
    assert!(numbers.get(&other.store, 0).unwrap().is_err());
}

#[test]
fn numbers_are_read_where_they_lie() {
    let mut guest = Guest::new();
    macro_rules! check {
        ($($number:ty: $values:expr),*) => {$({
            let values: Vec<$number> = Vec::from($values);
            let flat = flat(&mut guest, &values).unwrap();
            let view = lift::<WasmList<$number>>(&mut guest, &flat).unwrap();
            let place = guest.memory().as_ptr() as usize + flat[0] as usize;
            let found = view.as_le_slice(&guest.store).unwrap();
            assert_eq!(found, values);
            let iterated = view.iter(&guest.store).unwrap().map(Result::unwrap);
            assert!(iterated.eq(values));
            // Nothing was copied.
            assert_eq!(found.as_ptr() as usize, place);
        })*};
    }
    check!(
        u8: [0, 1, u8::MAX], i8: [i8::MIN, -1, i8::MAX],
        u16: [0, 0x102, u16::MAX], i16: [i16::MIN, -2, i16::MAX],
        u32: [0, 0x102_0304, u32::MAX], i32: [i32::MIN, -3, i32::MAX],
        u64: [0, 0x102_0304_0506_0708, u64::MAX], i64: [i64::MIN, -4, i64::MAX],
        f32: [-0.0, 1.5, f32::INFINITY], f64: [-0.0, 1e300, f64::NEG_INFINITY]
    );
}

#[test]
fn signatures_print_as_wit() {
    let text = signature::of_rust::<(&str, Vec<Option<u8>>), (Result<(), char>,)>();
    assert_eq!(text, "func(string, list<option<u8>>) -> result<_, char>");
    assert_eq!(signature::of_rust::<(), ()>(), "func()");
    assert!(signature::of_rust::<(), (u8, u8)>().ends_with("(a tuple is one result: `((A, B),)`)"));
}

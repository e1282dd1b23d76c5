//! The dynamic side beside the typed one, and values of wrong types.

use std::collections::BTreeMap;

use cwasm_format::TrapCode;

use super::*;
use crate::values::{Lift, Lower, LowerContext};
use crate::vm::canon::fake::Guest;

/// A check of values without resources.
fn check_of(types: &Types) -> Check<'_> {
    Check {
        types,
        handle: &|_, _| Err(unchecked()),
    }
}

fn check(types: &Types, ty: ValueType, val: &Val) -> Result<()> {
    check_of(types).one(ty, val)
}

/// The typed side and the dynamic side make the same of the same value, in memory
/// and flat, and both read it back.
fn same<T: Lower + Lift>(value: &T, val: Val) {
    for width in PointerWidth::ALL {
        same_at(width, value, &val);
    }
}

fn same_at<T: Lower + Lift>(width: PointerWidth, value: &T, val: &Val) {
    let mut types = Types::new();
    let ty = T::describe(&mut types).unwrap();
    check(&types, ty, val).unwrap();
    let lowered = |lower: &dyn Fn(&mut LowerContext<'_>, &mut [u64])| {
        let mut guest = Guest::with_width(width);
        let mut out = vec![u64::MAX; T::FLAT.count()];
        guest.lower(|cx| lower(cx, &mut out));
        (out, guest.memory().to_vec(), guest.take_reallocs())
    };
    let typed = lowered(&|cx, out| {
        value.lower_flat(cx, out).unwrap();
        value.store(cx, 512).unwrap();
    });
    let by_val = lowered(&|cx, out| {
        lower_flat(&types, ty, val, cx, out).unwrap();
        store(&types, ty, val, cx, 512).unwrap();
    });
    assert!(typed == by_val);
    let (flat, memory, _) = by_val;
    let mut guest = Guest::with_width(width);
    guest.memory().copy_from_slice(&memory);
    let bytes = &memory[512..][..T::LAYOUT.at(width).size as usize];
    let from_flat = guest.lift(|cx| lift_flat(&types, ty, cx, &flat)).unwrap();
    assert_eq!(&from_flat, val);
    let loaded = guest.lift(|cx| load(&types, ty, cx, bytes)).unwrap();
    assert_eq!(&loaded, val);
}

/// A list.
fn list(vals: impl IntoIterator<Item = Val>) -> Val {
    Val::List(vals.into_iter().collect())
}

#[test]
fn arrays_and_maps_agree() {
    same(&[1u8, 2, 3], list([1, 2, 3].map(Val::U8)));
    let texts = ["a", "bc"].map(String::from);
    same(&texts, list(texts.clone().map(Val::String)));
    same(
        &Some([1.5f64; 2]),
        some(list([Val::F64(1.5), Val::F64(1.5)])),
    );
    let pair = (Val::String("k".into()), list([Val::Bool(true)]));
    let map = BTreeMap::from([(String::from("k"), vec![true])]);
    same(&map, Val::Map(vec![pair.clone()]));
    same(
        &(7u8, [map]),
        Val::Tuple(vec![Val::U8(7), list([Val::Map(vec![pair])])]),
    );
    let mut guest = Guest::new();
    guest.memory()[512..516].copy_from_slice(&[1, 2, 1, 3]);
    let mut types = Types::new();
    let ty = ValueType::Def(types.push_map(ValueType::U8, ValueType::U8));
    let twice = guest
        .lift(|cx| lift_flat(&types, ty, cx, &[512, 2]))
        .unwrap();
    let expected = [(1, 2), (1, 3)].map(|(k, v)| (Val::U8(k), Val::U8(v)));
    assert_eq!(twice, Val::Map(expected.into()));
}

fn some(val: Val) -> Val {
    Val::Option(Some(Box::new(val)))
}

#[test]
fn both_sides_agree() {
    same(
        &(true, -1i8, 2u8, -3i16),
        Val::Tuple(vec![Val::Bool(true), Val::S8(-1), Val::U8(2), Val::S16(-3)]),
    );
    same(
        &(4u16, -5i32, 6u32, -7i64),
        Val::Tuple(vec![Val::U16(4), Val::S32(-5), Val::U32(6), Val::S64(-7)]),
    );
    same(
        &(8u64, 9.5f32, -1.25f64, 'ü'),
        Val::Tuple(vec![
            Val::U64(8),
            Val::F32(9.5),
            Val::F64(-1.25),
            Val::Char('ü'),
        ]),
    );
    same(&String::from("ü☃"), Val::String("ü☃".into()));
    same(&vec![1u16, 2], Val::List(vec![Val::U16(1), Val::U16(2)]));
    let strings = vec![Some(String::from("a")), None];
    same(
        &strings,
        Val::List(vec![some(Val::String("a".into())), Val::Option(None)]),
    );
    same(
        &Ok::<f32, u64>(1.5),
        Val::Result(Ok(Some(Box::new(Val::F32(1.5))))),
    );
    same(&Err::<(), ()>(()), Val::Result(Err(None)));
    same(
        &Some((1u8, 2u64)),
        some(Val::Tuple(vec![Val::U8(1), Val::U64(2)])),
    );
}

/// Lowers and lifts a value of a type that Rust has no type for yet.
fn round_trip(types: &Types, ty: ValueType, val: &Val) -> (Vec<u64>, Vec<u8>) {
    check(types, ty, val).unwrap();
    let abi = types.abi(ty);
    let mut guest = Guest::new();
    let mut flat = vec![u64::MAX; abi.flat.count()];
    guest
        .lower(|cx| lower_flat(types, ty, val, cx, &mut flat))
        .unwrap();
    guest.lower(|cx| store(types, ty, val, cx, 512)).unwrap();
    let bytes = guest.memory()[512..][..abi.layout.at(PointerWidth::W32).size as usize].to_vec();
    assert_eq!(
        guest.lift(|cx| lift_flat(types, ty, cx, &flat)).unwrap(),
        *val
    );
    assert_eq!(guest.lift(|cx| load(types, ty, cx, &bytes)).unwrap(), *val);
    (flat, bytes)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("n{index}")).collect()
}

#[test]
fn named_types_lower_as_the_specification_says() {
    let mut types = Types::new();
    let mut push = |def| ValueType::Def(types.push(def));
    let record = push(TypeDef::Record(vec![
        ("a".into(), ValueType::U8),
        ("b".into(), ValueType::U32),
    ]));
    let variant = push(TypeDef::Variant(vec![
        ("none".into(), None),
        ("record".into(), Some(record)),
        ("float".into(), Some(ValueType::F64)),
    ]));
    let wide = push(TypeDef::Enum(names(300)));
    let flags = push(TypeDef::Flags(names(9)));
    let fields = vec![("a".into(), Val::U8(1)), ("b".into(), Val::U32(2))];
    let (flat, bytes) = round_trip(&types, record, &Val::Record(fields.clone()));
    assert_eq!((flat, bytes), (vec![1, 2], vec![1, 0, 0, 0, 2, 0, 0, 0]));
    let case = Val::Variant("record".into(), Some(Box::new(Val::Record(fields))));
    assert_eq!(round_trip(&types, variant, &case).0, [1, 1, 2]);
    let case = Val::Variant("float".into(), Some(Box::new(Val::F64(1.0))));
    assert_eq!(
        round_trip(&types, variant, &case).0,
        [2, 1.0f64.to_bits(), 0]
    );
    let case = Val::Variant("none".into(), None);
    assert_eq!(round_trip(&types, variant, &case).0, [0, 0, 0]);
    assert_eq!(
        round_trip(&types, wide, &Val::Enum("n299".into())).1,
        [43, 1]
    );
    let set = Val::Flags(vec!["n0".into(), "n8".into()]);
    assert_eq!(round_trip(&types, flags, &set), (vec![0x101], vec![1, 1]));

    let mut guest = Guest::new();
    // Unknown bits are ignored; unknown cases are not.
    assert_eq!(
        guest
            .lift(|cx| lift_flat(&types, flags, cx, &[0xffff_f101]))
            .unwrap(),
        set
    );
    let mut code = |ty, flat: &[u64], bytes: &[u8]| {
        let flat = guest
            .lift(|cx| lift_flat(&types, ty, cx, flat))
            .unwrap_err();
        let loaded = guest.lift(|cx| load(&types, ty, cx, bytes)).unwrap_err();
        assert_eq!(flat.trap().unwrap().code(), loaded.trap().unwrap().code());
        flat.trap().unwrap().code()
    };
    assert_eq!(code(wide, &[300], &[44, 1]), TrapCode::InvalidDiscriminant);
    assert_eq!(
        code(variant, &[3, 0, 0], &[3; 16]),
        TrapCode::InvalidDiscriminant
    );
}

#[test]
fn wrong_values_are_explained() {
    let mut types = Types::new();
    let mut push = |def| ValueType::Def(types.push(def));
    let point = push(TypeDef::Record(vec![("x".into(), ValueType::S32)]));
    let variant = push(TypeDef::Variant(vec![
        ("p".into(), Some(point)),
        ("q".into(), None),
    ]));
    let flags = push(TypeDef::Flags(names(2)));
    let list = push(TypeDef::List(variant));
    let message = |ty, val| format!("{}", check(&types, ty, &val).unwrap_err());
    assert_eq!(
        message(ValueType::U32, Val::S32(1)),
        "found an s32, expected `u32`"
    );
    assert_eq!(
        message(point, Val::Record(vec![("y".into(), Val::S32(1))])),
        "found a record of fields `y`, expected `record { x: s32 }`"
    );
    let case = |payload: Option<Val>| Val::Variant("p".into(), payload.map(Box::new));
    let expected = "found a variant of case `p`, expected `variant { p(record { x: s32 }), q }`";
    assert_eq!(message(variant, case(None)), expected);
    assert_eq!(message(list, Val::List(vec![case(None)])), expected);
    assert_eq!(
        message(variant, case(Some(Val::Bool(true)))),
        "found a bool, expected `record { x: s32 }`"
    );
    assert_eq!(
        message(flags, Val::Flags(vec!["n2".into()])),
        "found flags, expected `flags { n0, n1 }`"
    );
    let mut push = |def| ValueType::Def(types.push(def));
    let two = push(TypeDef::FixedList(ValueType::U8, 2));
    let map = ValueType::Def(types.push_map(ValueType::U8, two));
    let message = |ty, val| format!("{}", check(&types, ty, &val).unwrap_err());
    let three = || Val::List(vec![Val::U8(1); 3]);
    let expected = "found a list of 3 elements, expected `list<u8, 2>`";
    assert_eq!(message(two, three()), expected);
    let pair = vec![(Val::U8(1), three())];
    assert_eq!(message(map, Val::Map(pair)), expected);
    let pair = vec![(Val::S8(1), Val::List(vec![Val::U8(1); 2]))];
    assert_eq!(message(map, Val::Map(pair)), "found an s8, expected `u8`");
    let expected = "found a map, expected `list<u8, 2>`";
    assert_eq!(message(two, Val::Map(vec![])), expected);
    let all = [ValueType::U8, ValueType::U8].into_iter();
    let error = check_of(&types)
        .all(all.clone(), &[Val::U8(1)], "parameter")
        .unwrap_err();
    assert_eq!(error.to_string(), "found 1 parameters, expected 2");
    let error = check_of(&types)
        .all(all, &[Val::U8(1), Val::U16(1)], "parameter")
        .unwrap_err();
    assert_eq!(error.chain().count(), 2);
}

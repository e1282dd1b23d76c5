//! Operators that can take a load as their operand: they access the bytes that the load does and no
//! others, also just before the end of a memory, at every CPU level that the machine has.

use cwasm::CoreVal;
use cwasm_compiler::OptLevel;
use cwasm_format::TrapCode;
use cwasm_tests::artifact::Workshop;

use crate::common;
use crate::guest::{Guest, Model};
use crate::operators::{VALUE, operand};

/// Bytes of the memory: one page, with the guard right after it.
const SIZE: u32 = 0x1_0000;

/// Every how many of the less usual combinations one is tried at each level, unless all are.
const STRIDE: usize = 5;

/// A load of `width` bytes from `AT`.
struct Load {
    text: String,
    width: u32,
}

/// An operator as a function of a loaded value `A` and another one, `B`.
struct Op {
    text: String,
    result: &'static str,
}

/// A type of values: the operators that load it, and those that use it.
struct Family {
    ty: &'static str,
    loads: Vec<Load>,
    ops: Vec<Op>,
}

fn families() -> Vec<Family> {
    let loads = |names: &[(&str, u32)]| {
        let load = |&(name, width): &(&str, u32)| {
            let text = format!("({name} AT)");
            Load { text, width }
        };
        names.iter().map(load).collect::<Vec<Load>>()
    };
    let i32_loads = [("i32.load", 4), ("i32.load8_s", 1), ("i32.load16_u", 2)];
    let i64_loads = [
        ("i64.load", 8),
        ("i64.load32_u", 4),
        ("i64.load32_s", 4),
        ("i64.load8_u", 1),
    ];
    let mut vector_loads = loads(&[
        ("v128.load", 16),
        ("v128.load8x8_s", 8),
        ("v128.load16x4_u", 8),
        ("v128.load32x2_s", 8),
        ("v128.load8_splat", 1),
        ("v128.load16_splat", 2),
        ("v128.load32_splat", 4),
        ("v128.load64_splat", 8),
        ("v128.load32_zero", 4),
        ("v128.load64_zero", 8),
    ]);
    vector_loads.extend(
        [(8, 3), (16, 7), (32, 0), (64, 1)].map(|(bits, lane)| Load {
            text: format!("(v128.load{bits}_lane {lane} AT B)"),
            width: bits / 8,
        }),
    );
    let family = |ty, loads, ops| Family { ty, loads, ops };
    vec![
        family("i32", loads(&i32_loads), integer("i32", "i64", "i32x4")),
        family("i64", loads(&i64_loads), integer("i64", "i32", "i64x2")),
        family(
            "f32",
            loads(&[("f32.load", 4)]),
            float("f32", "f64", "f32x4"),
        ),
        family(
            "f64",
            loads(&[("f64.load", 8)]),
            float("f64", "f32", "f64x2"),
        ),
        family("v128", vector_loads, vector()),
    ]
}

/// The operators of a type or shape, with the value as either operand.
fn forms(shape: &str, unary: &str, binary: &str) -> Vec<String> {
    let unary = unary
        .split_whitespace()
        .map(|op| format!("({shape}.{op} A)"));
    let binary = binary.split_whitespace();
    let binary =
        binary.flat_map(|op| ["A B", "B A"].map(|order| format!("({shape}.{op} {order})")));
    unary.chain(binary).collect()
}

fn with_result(result: &'static str, texts: Vec<String>) -> impl Iterator<Item = Op> {
    texts.into_iter().map(move |text| Op { text, result })
}

/// Integers of type `ty`; `other` is the other type.
fn integer(ty: &'static str, other: &'static str, shape: &str) -> Vec<Op> {
    let mut ops = Vec::new();
    let binary = "add sub mul and or xor shl shr_u shr_s rotl rotr";
    ops.extend(with_result(
        ty,
        forms(ty, "clz ctz popcnt extend8_s extend16_s", binary),
    ));
    let compares = "eq ne lt_s lt_u gt_s gt_u le_s ge_u";
    ops.extend(with_result("i32", forms(ty, "eqz", compares)));
    for sign in ["s", "u"] {
        let divide = format!("({ty}.div_{sign} A B)");
        ops.extend(with_result(
            ty,
            vec![divide, format!("({ty}.rem_{sign} A B)")],
        ));
        for float in ["f32", "f64"] {
            let convert = vec![format!("({float}.convert_{ty}_{sign} A)")];
            ops.extend(with_result(float, convert));
        }
        if ty == "i32" {
            let extend = vec![format!("(i64.extend_i32_{sign} A)")];
            ops.extend(with_result(other, extend));
        }
    }
    let float = if ty == "i32" { "f32" } else { "f64" };
    ops.extend(with_result(
        float,
        vec![format!("({float}.reinterpret_{ty} A)")],
    ));
    if ty == "i64" {
        ops.extend(with_result(other, vec!["(i32.wrap_i64 A)".into()]));
    } else {
        let narrow = ["i8x16", "i16x8"].map(|shape| format!("({shape}.splat A)"));
        ops.extend(with_result("v128", narrow.into()));
    }
    ops.extend(lanes(shape));
    ops
}

/// Floats of type `ty`; `other` is the other type.
fn float(ty: &'static str, other: &'static str, shape: &str) -> Vec<Op> {
    let mut ops = Vec::new();
    let unary = "abs neg sqrt ceil floor trunc nearest";
    ops.extend(with_result(
        ty,
        forms(ty, unary, "add sub mul div min max copysign"),
    ));
    ops.extend(with_result("i32", forms(ty, "", "eq ne lt gt le ge")));
    for (integer, sign) in [("i32", "s"), ("i32", "u"), ("i64", "s"), ("i64", "u")] {
        let truncate = vec![format!("({integer}.trunc_sat_{ty}_{sign} A)")];
        ops.extend(with_result(integer, truncate));
    }
    let (convert, integer) = match ty {
        "f32" => ("(f64.promote_f32 A)", "i32"),
        _ => ("(f32.demote_f64 A)", "i64"),
    };
    ops.extend(with_result(other, vec![convert.into()]));
    ops.extend(with_result(
        integer,
        vec![format!("({integer}.reinterpret_{ty} A)")],
    ));
    ops.extend(lanes(shape));
    ops
}

/// A scalar that becomes one lane of a vector, or all.
fn lanes(shape: &str) -> impl Iterator<Item = Op> {
    let vector = "(v128.const i64x2 77 88)";
    let replace = [0, 1].map(|lane| format!("({shape}.replace_lane {lane} {vector} A)"));
    let texts = [format!("({shape}.splat A)")].into_iter().chain(replace);
    with_result("v128", texts.collect())
}

/// Vectors.
fn vector() -> Vec<Op> {
    let mut ops = Vec::new();
    let mut add = |shapes: &str, unary: &str, binary: &str| {
        shapes
            .split(' ')
            .for_each(|shape| ops.extend(forms(shape, unary, binary)));
    };
    add("v128", "not", "and or xor andnot");
    add(
        "i8x16 i16x8 i32x4 i64x2",
        "abs neg",
        "add sub eq ne gt_s lt_s",
    );
    add("i8x16 i16x8 i32x4", "", "min_s min_u max_s max_u gt_u le_u");
    add(
        "i8x16 i16x8",
        "",
        "add_sat_s add_sat_u sub_sat_s sub_sat_u avgr_u",
    );
    add("i16x8 i32x4 i64x2", "", "mul");
    add("i8x16", "popcnt", "swizzle narrow_i16x8_s narrow_i16x8_u");
    add("i16x8", "", "narrow_i32x4_s narrow_i32x4_u q15mulr_sat_s");
    for (wide, narrow) in [("i16x8", "i8x16"), ("i32x4", "i16x8"), ("i64x2", "i32x4")] {
        for sign in ["s", "u"] {
            for half in ["low", "high"] {
                add(
                    wide,
                    &format!("extend_{half}_{narrow}_{sign}"),
                    &format!("extmul_{half}_{narrow}_{sign}"),
                );
            }
            if wide != "i64x2" {
                add(wide, &format!("extadd_pairwise_{narrow}_{sign}"), "");
            }
        }
    }
    add(
        "i32x4",
        "trunc_sat_f32x4_s trunc_sat_f32x4_u",
        "dot_i16x8_s",
    );
    add("i32x4", "trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero", "");
    add(
        "f32x4 f64x2",
        "abs neg sqrt ceil floor trunc nearest",
        "add sub mul div min max pmin pmax eq lt ge",
    );
    add(
        "f32x4",
        "convert_i32x4_s convert_i32x4_u demote_f64x2_zero",
        "",
    );
    add(
        "f64x2",
        "convert_low_i32x4_s convert_low_i32x4_u promote_low_f32x4",
        "",
    );
    add("i16x8", "", "relaxed_dot_i8x16_i7x16_s");
    for lane in [0, 1] {
        ops.push(format!("(i64x2.splat (i64x2.extract_lane {lane} A))"));
        ops.push(format!("(f64x2.splat (f64x2.extract_lane {lane} A))"));
        ops.push(format!(
            "(f32x4.replace_lane {lane} B (f32x4.extract_lane 0 A))"
        ));
        ops.push(format!(
            "(f64x2.replace_lane {lane} B (f64x2.extract_lane 0 A))"
        ));
    }
    for shuffle in [
        "0 1 2 3 0 1 2 3 0 1 2 3 0 1 2 3",
        "0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23",
        "3 19 2 18 1 17 0 16 3 19 2 18 1 17 0 16",
    ] {
        ops.push(format!("(i8x16.shuffle {shuffle} A B)"));
        ops.push(format!("(i8x16.shuffle {shuffle} B A)"));
    }
    for [a, b, c] in [["A", "B", "B"], ["B", "A", "B"], ["B", "B", "A"]] {
        ops.push(format!("(v128.bitselect {a} {b} {c})"));
        ops.push(format!("(f32x4.relaxed_madd {a} {b} {c})"));
        ops.push(format!("(f64x2.relaxed_nmadd {a} {b} {c})"));
        ops.push(format!("(i32x4.relaxed_dot_i8x16_i7x16_add_s {a} {b} {c})"));
    }
    ops.push("(i32x4.splat (v128.any_true (v128.and A B)))".into());
    ops.push("(i32x4.splat (i32x4.all_true (i32x4.eq A B)))".into());
    ops.push("(i32x4.splat (i16x8.bitmask A))".into());
    ops.push("(i8x16.shl A (i32.const 3))".into());
    with_result("v128", ops).collect()
}

/// A module with functions for each load and operator in `chosen`, named by its place: in `PLACE`
/// the load becomes an operand of the operator's instruction, `PLACE separate` loads in another
/// block.
fn module(family: &Family, chosen: &[(&Load, &Op)]) -> String {
    let mut text = String::from("(module (memory (export \"memory\") 1 1)");
    let other = operand(family.ty, VALUE);
    for (place, (load, op)) in chosen.iter().enumerate() {
        let load = load
            .text
            .replace("AT", "(local.get 0)")
            .replace('B', &other);
        let [merged, separate] = [&load[..], "(local.get 1)"]
            .map(|value| op.text.replace('B', &other).replace('A', value));
        let (ty, result) = (family.ty, op.result);
        text += &format!(
            "(func (export \"{place}\") (param i32) (result {result}) {merged})
             (func (export \"{place} separate\") (param i32) (result {result}) (local {ty})
                (local.set 1 {load})
                (if (local.get 0) (then) (else unreachable))
                {separate})\n"
        );
    }
    text + ")"
}

/// Tries all that is chosen: an operator that takes a load as its operand may read fewer bytes than
/// the load, and must then still trap where the load does.
fn check(workshop: &Workshop, family: &Family, chosen: &[(&Load, &Op)], level: &str) {
    let mut guest = Guest::new(workshop, &module(family, chosen), None);
    guest.fill(&Model::new(SIZE.into()));
    for (place, (load, op)) in chosen.iter().enumerate() {
        let merged = guest.func(&place.to_string());
        let separate = guest.func(&format!("{place} separate"));
        let name = |index| format!("{level}: {} of {} at {index:#x}", op.text, load.text);
        let last = SIZE - load.width;
        for index in [16, 17, last - 1, last] {
            let argument = CoreVal::I32(index as i32);
            let expected = guest.call(separate, argument);
            assert!(expected.is_ok(), "{}: {expected:?}", name(index));
            assert_eq!(guest.call(merged, argument), expected, "{}", name(index));
        }
        for index in last + 1..=last + load.width {
            let found = guest.call(merged, CoreVal::I32(index as i32));
            assert_eq!(found, Err(TrapCode::MemoryOutOfBounds), "{}", name(index));
        }
    }
}

#[test]
fn merged_loads_access_what_the_load_does() {
    let families = families();
    let is_full = crate::asks_for("full");
    let mut count = 0;
    for cpu in common::cpu_levels() {
        for opt in [OptLevel::None, OptLevel::Speed] {
            let workshop = Workshop::for_target(cpu, opt);
            let level = format!("{} -O {opt:?}", cpu.name());
            for family in &families {
                let mut chosen = Vec::new();
                for (place, load) in family.loads.iter().enumerate() {
                    for op in &family.ops {
                        // The plain load comes first.
                        if is_full || place == 0 || count % STRIDE == 0 {
                            chosen.push((load, op));
                        }
                        count += 1;
                    }
                }
                check(&workshop, family, &chosen, &level);
            }
            // So that other ones are tried at each level.
            count += 1;
        }
    }
}

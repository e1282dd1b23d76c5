//! What the passes after Cranelift's optimisations do, in IR.

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Opcode;
use cranelift_codegen::isa::OwnedTargetIsa;

use super::{extend, loops, machine, peephole};
use crate::decode::decode;
use crate::env::FuncRefs;
use crate::features::Features;
use crate::isa::target;
use crate::options::Options;
use crate::translate::{TranslateState, tests::env, translate_function};

/// The function of a module, optimised by Cranelift.
fn by_cranelift(body: &str) -> (Context, OwnedTargetIsa) {
    let text = format!("(module (memory 1) (func {body}))");
    let bytes = wat::parse_str(text).unwrap();
    let decoded = decode(&bytes, Features::default()).unwrap();
    let env = env(&decoded.modules[0], FuncRefs::Closed);
    let isa = target(&Options::default()).unwrap().isa;
    let mut context = Context::new();
    let mut state = TranslateState::default();
    translate_function(&env, 0, &*isa, &mut state, &mut context.func).unwrap();
    context
        .optimize(&*isa, &mut ControlPlane::default())
        .unwrap();
    (context, isa)
}

/// The function of a module, optimised and changed by all passes.
fn optimized(body: &str) -> String {
    let (mut context, isa) = by_cranelift(body);
    peephole::improve(&mut context.func, Some(Opcode::X86Pshufb));
    machine::resolve_aliases(&mut context.func);
    extend::remove(&mut context.func, &context.domtree);
    loops::shorten(&mut context);
    context.verify(&*isa).unwrap();
    context.func.display().to_string()
}

/// The line that starts the first block after the entry.
fn head(text: &str) -> &str {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("block"))
        .nth(1)
        .unwrap()
}

/// How often a text is in the function of a module.
fn count(body: &str, text: &str) -> usize {
    optimized(body).matches(text).count()
}

/// A loop with many variables takes time that grows with their number.
#[test]
fn each_variable_of_a_loop_takes_as_long() {
    let time = |count: usize| {
        let mut body = format!("(param i32) (local {}) (loop ", "i32 ".repeat(count));
        for index in 1..=count {
            body += &format!(
                "(i32.store (local.get {index}) (i32.load (local.get {index})))
                 (local.set {index} (i32.add (local.get {index}) (i32.const 4)))"
            );
        }
        body += "(br_if 0 (i32.lt_u (local.get 1) (local.get 0))))";
        let (mut context, _) = by_cranelift(&body);
        let start = std::time::Instant::now();
        extend::remove(&mut context.func, &context.domtree);
        let text = context.func.display().to_string();
        assert!(text.matches("ireduce").count() >= count, "they are wide");
        start.elapsed()
    };
    let (once, twice) = (time(2000), time(4000));
    let most = once * 3 + std::time::Duration::from_millis(50);
    assert!(twice < most, "{once:?}, {twice:?} for twice as many");
}

#[test]
fn variables_of_loops_that_are_indices_are_wide() {
    let body = "(param i32 i32) (loop
        (i32.store (local.get 0) (i32.load (local.get 0)))
        (local.set 0 (i32.add (local.get 0) (i32.const 4)))
        (br_if 0 (i32.ne (local.get 0) (local.get 1))))";
    let text = optimized(body);
    let head = head(&text);
    assert!(head.contains(": i64"), "{text}");
    // Before the loop, and at its end, where it needs no instruction.
    assert_eq!(text.matches("uextend.i64").count(), 2, "{text}");
}

#[test]
fn variables_of_loops_that_would_need_an_extension_stay() {
    let body = "(param i32 i32) (loop
        (i32.store (local.get 0) (i32.const 1))
        (local.set 0 (i32.rotl (local.get 0) (i32.const 4)))
        (br_if 0 (i32.ne (local.get 0) (local.get 1))))";
    let text = optimized(body);
    let head = head(&text);
    assert!(head.contains(": i32"), "{text}");
}

#[test]
fn what_is_loaded_is_extended_by_the_load() {
    let body = "(param i32) (result i32)
        (local.set 0 (i32.load (local.get 0)))
        (i32.store (local.get 0) (i32.const 1))
        (local.get 0)";
    assert_eq!(count(body, "uload32"), 1);
}

#[test]
fn masks_of_the_lowest_bits_are_extensions() {
    let mask =
        |bits| format!("(param i32) (result i32) (i32.and (local.get 0) (i32.const {bits}))");
    assert_eq!(count(&mask(0xff), "uextend.i32"), 1);
    assert_eq!(count(&mask(0xffff), "uextend.i32"), 1);
    assert_eq!(count(&mask(0xfff), "band"), 1);
    let tested = "(param i32) (result i32)
        (i32.eqz (i32.and (local.get 0) (i32.const 0xff)))";
    assert_eq!(count(tested, "band"), 1);
}

#[test]
fn masks_of_bits_that_are_zero_vanish() {
    let body = "(param i32 i32) (result i32) (i32.and (i32.const 1) (i32.or
        (i32.lt_u (local.get 0) (local.get 1)) (i32.gt_s (local.get 0) (i32.const 7))))";
    assert_eq!(count(body, "band"), 0);
}

#[test]
fn masks_of_amounts_of_shifts_vanish() {
    let body = "(param i32 i32) (result i32)
        (i32.shl (local.get 0) (i32.and (local.get 1) (i32.const 31)))";
    let text = optimized(body);
    assert!(
        text.contains("ishl v2, v3") || text.contains("ishl v1, v2"),
        "{text}"
    );
}

#[test]
fn comparing_an_order_compares_the_operands() {
    let compared = |number, condition| {
        let order = "(i32.sub (i32.gt_u (local.get 0) (local.get 1))
            (i32.lt_u (local.get 0) (local.get 1)))";
        let body = format!(
            "(param i32 i32) (result i32)
            (i32.{condition} (i32.and {order} (i32.const 255)) (i32.const {number}))"
        );
        let text = optimized(&body);
        let last = text
            .lines()
            .rev()
            .find(|line| line.contains("icmp"))
            .unwrap();
        last.trim().to_owned()
    };
    for (number, condition, expected) in [
        (0, "eq", "icmp eq v1, v2"),
        (1, "eq", "icmp ugt v1, v2"),
        (255, "eq", "icmp ult v1, v2"),
        (1, "ne", "icmp ule v1, v2"),
    ] {
        let found = compared(number, condition);
        assert!(found.contains(expected), "{number} {condition}: {found}");
    }
}

#[test]
fn a_shuffle_with_zeros_is_one_instruction() {
    let body = "(param v128) (result v128)
        (i8x16.shuffle 0 2 4 6 8 10 12 14 16 16 16 16 16 16 16 16
            (local.get 0) (v128.const i64x2 0 0))";
    assert_eq!(count(body, "x86_pshufb"), 1);
    let interleaved = "(param v128) (result v128)
        (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23
            (local.get 0) (v128.const i64x2 0 0))";
    assert_eq!(count(interleaved, "x86_pshufb"), 0);
}

#[test]
fn the_first_lane_is_stored_as_a_float() {
    let body = "(param i32 v128) (v128.store64_lane 0 (local.get 0) (local.get 1))";
    assert_eq!(count(body, "bitcast.f64x2"), 1, "{}", optimized(body));
    let second = "(param i32 v128) (v128.store64_lane 1 (local.get 0) (local.get 1))";
    assert_eq!(count(second, "bitcast.f64x2"), 0);
}

#[test]
fn arithmetic_with_constants_leaves_small_loops() {
    // Cranelift makes it again in the block where it is used.
    let body = "(param i32 i32) (local i32)
        (local.set 1 (i32.and (local.get 1) (i32.const -2)))
        (loop
            (i32.store (local.get 2) (i32.const 1))
            (local.set 2 (i32.add (local.get 2) (i32.const 2)))
            (br_if 0 (i32.ne (local.get 2) (local.get 1))))";
    let is_before = |text: &str| text.rfind("band").unwrap() < text.find(head(text)).unwrap();
    let text = optimized(body);
    assert!(is_before(&text), "{text}");
    let (context, _) = by_cranelift(body);
    let before = context.func.display().to_string();
    assert!(!is_before(&before), "{before}");
}

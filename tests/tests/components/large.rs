//! Components that are large in one way or another, made by a program: deep nesting, many fields,
//! cases and imports. They compile within seconds and give the right values; what is beyond a limit
//! is an error that names the limit.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cwasm::{Component, Linker, Store, TypedFunc, Val};
use cwasm_compiler::{ErrorKind, Limits, Options};
use cwasm_tests::artifact::Workshop;

/// The limit for work of 1 s, on a machine that may be building something else as well.
const SECONDS: Duration = Duration::from_secs(20);

fn compile(workshop: &Workshop, text: &str) -> Component {
    let wasm = wat::parse_str(text).unwrap();
    let start = Instant::now();
    let artifact = workshop.compile(&wasm).unwrap();
    let time = start.elapsed();
    assert!(time < SECONDS, "compiled in {time:?}");
    workshop.map_component(&artifact).unwrap()
}

/// A function of a new instance of a component without imports.
fn func(
    workshop: &Workshop,
    component: &Component,
    name: &str,
) -> (Store<()>, TypedFunc<(u32,), (u32,)>) {
    let mut store = Store::new(workshop.engine(), ());
    let linker = Linker::new(workshop.engine());
    let instance = linker.instantiate(&mut store, component).unwrap();
    let func = instance.get_typed_func(&mut store, name).unwrap();
    (store, func)
}

/// Why a component is not compiled.
fn refused(text: &str) -> String {
    let wasm = wat::parse_str(text).unwrap();
    Workshop::new().compile(&wasm).unwrap_err().to_string()
}

/// `levels` components, each of which has an instance of the one before and one of its own that
/// calls it and adds 1.
fn tower(levels: usize) -> String {
    let mut text = String::from(
        r#"(component
  (component $step
    (import "f" (func $f (param "n" u32) (result u32)))
    (core func $f' (canon lower (func $f)))
    (core module $m
      (import "" "f" (func $f (param i32) (result i32)))
      (func (export "f") (param i32) (result i32)
        (i32.add (call $f (local.get 0)) (i32.const 1))))
    (core instance $i (instantiate $m (with "" (instance (export "f" (func $f'))))))
    (func (export "f") (param "n" u32) (result u32) (canon lift (core func $i "f"))))
  (component $c0
    (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m))
    (func (export "f") (param "n" u32) (result u32) (canon lift (core func $i "f"))))
"#,
    );
    for level in 1..=levels {
        let _ = writeln!(
            text,
            "(component $c{level}
              (alias outer 1 $step (component $step))
              (alias outer 1 $c{} (component $below))
              (instance $below (instantiate $below))
              (instance $i (instantiate $step (with \"f\" (func $below \"f\"))))
              (export \"f\" (func $i \"f\")))",
            level - 1
        );
    }
    text + &format!("(instance $i (instantiate $c{levels})) (export \"f\" (func $i \"f\")))")
}

#[test]
fn components_nested_in_components() {
    for levels in [10, 98] {
        let workshop = Workshop::new();
        let component = compile(&workshop, &tower(levels));
        let (mut store, f) = func(&workshop, &component, "f");
        assert_eq!(
            f.call(&mut store, (5,)).unwrap(),
            (5 + levels as u32,),
            "{levels} levels"
        );
    }
    let error = refused(&tower(120));
    assert!(
        error.contains("limit exceeded: depth of nested components"),
        "{error}"
    );
}

/// Twice as many instances at each level: a small component that would be billions of instances.
#[test]
fn instances_that_double_at_each_level() {
    let mut text = String::from("(component (component $c0)");
    for level in 1..=32 {
        let below = level - 1;
        let _ = write!(
            text,
            "(component $c{level}
              (alias outer 1 $c{below} (component $c))
              (instance (instantiate $c)) (instance (instantiate $c)))"
        );
    }
    text += "(instance (instantiate $c32)))";
    let error = refused(&text);
    assert!(
        error.contains("limit exceeded: component instances"),
        "{error}"
    );
}

/// `relay` takes a list of `ty` and gives it to another component, which gives it back.
fn relay(ty: &str) -> String {
    let libc = r#"(core module $libc
      (memory (export "memory") 16)
      (global $next (mut i32) (i32.const 1024))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (local.set $at (global.get $next))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias core export $libc "realloc" (core func $realloc))"#;
    format!(
        r#"(component
  (type $t' {ty})
  (import "t" (type $t (eq $t')))
  (component $echo
    (import "t" (type $t (eq $t')))
    {libc}
    (core module $m
      (import "libc" "memory" (memory 1))
      (func (export "echo") (param i32 i32) (result i32)
        (i32.store (i32.const 16) (local.get 0))
        (i32.store (i32.const 20) (local.get 1))
        (i32.const 16)))
    (core instance $i (instantiate $m (with "libc" (instance $libc))))
    (func (export "f") (param "v" (list $t)) (result (list $t))
      (canon lift (core func $i "echo") (memory $memory) (realloc $realloc))))
  (component $caller
    (import "t" (type $t (eq $t')))
    (import "f" (func $f (param "v" (list $t)) (result (list $t))))
    {libc}
    (core func $f' (canon lower (func $f) (memory $memory) (realloc $realloc)))
    (core module $m
      (import "libc" "memory" (memory 1))
      (import "" "f" (func $f (param i32 i32 i32)))
      (func (export "relay") (param i32 i32) (result i32)
        (call $f (local.get 0) (local.get 1) (i32.const 16))
        (i32.const 16)))
    (core instance $i (instantiate $m
      (with "libc" (instance $libc)) (with "" (instance (export "f" (func $f'))))))
    (func (export "relay") (param "v" (list $t)) (result (list $t))
      (canon lift (core func $i "relay") (memory $memory) (realloc $realloc))))
  (instance $echo (instantiate $echo (with "t" (type $t))))
  (instance $caller (instantiate $caller (with "t" (type $t)) (with "f" (func $echo "f"))))
  (export "relay" (func $caller "relay")))"#
    )
}

/// Compiles `relay`, calls it by the dynamic API, and returns the result.
fn relayed(ty: &str, values: Vec<Val>) -> Val {
    let workshop = Workshop::new();
    let component = compile(&workshop, &relay(ty));
    let mut store = Store::new(workshop.engine(), ());
    let linker = Linker::new(workshop.engine());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let relay = instance.get_func(&mut store, "relay").unwrap();
    let mut results = [Val::Bool(false)];
    relay
        .call(&mut store, &[Val::List(values)], &mut results)
        .unwrap();
    let [result] = results;
    result
}

/// The name of a type, and its value for a number.
type Kind = (&'static str, fn(u32) -> Val);

const KINDS: [Kind; 6] = [
    ("u8", |n| Val::U8(n as u8)),
    ("string", |n| Val::String(format!("number {n}"))),
    ("f64", |n| Val::F64(f64::from(n) / 8.0)),
    ("u16", |n| Val::U16(n as u16)),
    ("(list u32)", |n| {
        Val::List((0..n % 3).map(Val::U32).collect())
    }),
    ("bool", |n| Val::Bool(n.is_multiple_of(2))),
];

fn kind(index: usize) -> Kind {
    KINDS[index % KINDS.len()]
}

#[test]
fn a_record_of_a_thousand_fields() {
    let mut ty = String::from("(record");
    for index in 0..1_000 {
        let _ = write!(ty, " (field \"f{index}\" {})", kind(index).0);
    }
    ty.push(')');
    let record = |seed: usize| {
        let fields = (0..1_000).map(|index| {
            let value = kind(index).1((seed + index) as u32);
            (format!("f{index}"), value)
        });
        Val::Record(fields.collect())
    };
    let values = vec![record(0), record(77)];
    assert_eq!(relayed(&ty, values.clone()), Val::List(values));
}

#[test]
fn a_variant_of_a_thousand_cases() {
    let mut ty = String::from("(variant");
    for index in 0..1_000 {
        let payload = match index % 7 {
            6 => "",
            _ => kind(index).0,
        };
        let _ = write!(ty, " (case \"c{index}\" {payload})");
    }
    ty.push(')');
    let cases = (0..1_000).map(|index| {
        let payload = (index % 7 != 6).then(|| Box::new(kind(index).1(index as u32)));
        Val::Variant(format!("c{index}"), payload)
    });
    let values: Vec<Val> = cases.collect();
    assert_eq!(relayed(&ty, values.clone()), Val::List(values));
}

/// Records that refer to the one before three times: small as text, huge as a type.
#[test]
fn a_type_that_triples_at_each_level() {
    let mut types = String::from("(type $t0 u8)");
    for level in 1..=20 {
        let below = level - 1;
        let _ = write!(
            types,
            "(type $t{level} (tuple $t{below} $t{below} $t{below}))"
        );
    }
    let error = refused(&format!(
        "(component {types} (import \"f\" (func (param \"v\" $t20))))"
    ));
    assert!(error.contains("limit"), "{error}");
}

/// Lists in lists, deeper than any stack: nothing that reads types may recurse without bound.
#[test]
fn lists_in_lists() {
    let lists = |depth: usize| {
        let mut types = String::from("(type $t0 u8)");
        for level in 1..=depth {
            let _ = write!(types, "(type $t{level} (list $t{}))", level - 1);
        }
        format!("(component {types} (import \"f\" (func (param \"v\" $t{depth}))))")
    };
    compile(&Workshop::new(), &lists(50));
    let error = refused(&lists(100_000));
    assert!(error.contains("type nesting is too deep"), "{error}");
}

#[test]
fn five_hundred_imports() {
    const COUNT: u32 = 500;
    let (mut imports, mut lowered, mut with) = (String::new(), String::new(), String::new());
    let (mut core, mut calls) = (String::new(), String::new());
    for index in 0..COUNT {
        let _ = write!(
            imports,
            "(import \"f{index}\" (func $f{index} (param \"n\" u32) (result u32)))"
        );
        let _ = write!(
            lowered,
            "(core func $f{index}' (canon lower (func $f{index})))"
        );
        let _ = write!(with, "(export \"f{index}\" (func $f{index}'))");
        let _ = write!(
            core,
            "(import \"\" \"f{index}\" (func $f{index} (param i32) (result i32)))"
        );
        let _ = write!(calls, "(local.set 0 (call $f{index} (local.get 0)))");
    }
    let text = format!(
        r#"(component {imports} {lowered}
          (core module $m {core}
            (func (export "run") (param i32) (result i32) {calls} (local.get 0)))
          (core instance $i (instantiate $m (with "" (instance {with}))))
          (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#
    );
    let workshop = Workshop::new();
    let component = compile(&workshop, &text);
    let mut linker = Linker::new(workshop.engine());
    for index in 0..COUNT {
        let mix = move |_: cwasm::StoreContextMut<'_, ()>, (n,): (u32,)| {
            Ok((n.wrapping_mul(31).wrapping_add(index),))
        };
        linker.root().func_wrap(&format!("f{index}"), mix).unwrap();
    }
    let mut store = Store::new(workshop.engine(), ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "run")
        .unwrap();
    let expected = (0..COUNT).fold(9u32, |n, index| n.wrapping_mul(31).wrapping_add(index));
    assert_eq!(run.call(&mut store, (9,)).unwrap(), (expected,));
}

/// Blocks in blocks: the operators of a function are a list, but a translator could recurse.
#[test]
fn blocks_in_blocks() {
    const DEPTH: usize = 20_000;
    let (open, close) = ("block ".repeat(DEPTH), "end ".repeat(DEPTH));
    let text = format!(
        r#"(component
          (core module $m
            (func (export "run") (param i32) (result i32)
              {open} (br_if {DEPTH} (local.get 0) (local.get 0)) drop {close} i32.const 7))
          (core instance $i (instantiate $m))
          (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#,
    );
    let workshop = Workshop::new();
    let component = compile(&workshop, &text);
    let (mut store, run) = func(&workshop, &component, "run");
    assert_eq!(run.call(&mut store, (5,)).unwrap(), (5,));
    assert_eq!(run.call(&mut store, (0,)).unwrap(), (7,));
}

/// Bytes that lie far apart take a page each, not more.
#[test]
fn segments_far_apart() {
    const COUNT: usize = 2_000;
    const DISTANCE: usize = 0x20000;
    let mut text = String::from(
        r#"(component
          (core module $m (memory 65536)
            (func (export "run") (param i32) (result i32) (i32.load8_u (local.get 0)))"#,
    );
    for index in 0..COUNT {
        let _ = writeln!(
            text,
            "(data (i32.const {}) \"\\{:02x}\")",
            index * DISTANCE,
            index % 256
        );
    }
    text.push_str(
        r#")
          (core instance $i (instantiate $m))
          (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#,
    );
    let workshop = Workshop::new();
    let artifact = workshop.compile(&wat::parse_str(&text).unwrap()).unwrap();
    assert!(
        artifact.len() < COUNT * 4096 + (1 << 20),
        "{}",
        artifact.len()
    );
    let component = workshop.map_component(&artifact).unwrap();
    let (mut store, run) = func(&workshop, &component, "run");
    for index in [0, 1, 77, COUNT - 1] {
        let at = (index * DISTANCE) as u32;
        assert_eq!(run.call(&mut store, (at,)).unwrap(), (index as u32 % 256,));
        assert_eq!(run.call(&mut store, (at + 1,)).unwrap(), (0,));
    }
}

/// Many instances of a module have one copy of what it holds, and drop it one by one.
#[test]
fn instances_of_a_module_that_holds_much() {
    const COUNT: usize = 300;
    let bytes = "0123456789".repeat(10_000);
    let instances: String = (0..COUNT)
        .map(|index| format!("(core instance $i{index} (instantiate $m))"))
        .collect();
    let text = format!(
        r#"(component
          (core module $m
            (memory 2)
            (data $d "{bytes}")
            (func (export "run") (param i32) (result i32)
              (memory.init $d (i32.const 0) (local.get 0) (i32.const 1))
              (data.drop $d)
              (i32.load8_u (i32.const 0))))
          {instances}
          (func (export "first") (param "n" u32) (result u32) (canon lift (core func $i0 "run")))
          (func (export "last") (param "n" u32) (result u32)
            (canon lift (core func $i{} "run"))))"#,
        COUNT - 1
    );
    let workshop = Workshop::new();
    let artifact = workshop.compile(&wat::parse_str(&text).unwrap()).unwrap();
    assert!(artifact.len() < 10 * bytes.len(), "{}", artifact.len());
    let component = workshop.map_component(&artifact).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let linker = Linker::new(workshop.engine());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    for name in ["first", "last"] {
        let run = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, name)
            .unwrap();
        assert_eq!(run.call(&mut store, (99_997,)).unwrap(), (u32::from(b'7'),));
    }
}

/// 4,000 core instances of one module, each of which calls the one before and adds 1.
#[test]
fn many_core_instances() {
    const COUNT: u32 = 4_000;
    let mut text = String::from(
        r#"(component
  (core module $first (func (export "f") (param i32) (result i32) (local.get 0)))
  (core module $m
    (import "" "f" (func $f (param i32) (result i32)))
    (func (export "f") (param i32) (result i32)
      (i32.add (call $f (local.get 0)) (i32.const 1))))
  (core instance $i0 (instantiate $first))
"#,
    );
    for index in 1..COUNT {
        let below = index - 1;
        let _ = writeln!(
            text,
            "(core instance $i{index} (instantiate $m (with \"\" (instance $i{below}))))"
        );
    }
    let last = COUNT - 1;
    text += &format!(
        "(func (export \"f\") (param \"n\" u32) (result u32) (canon lift (core func $i{last} \"f\"))))"
    );
    let workshop = Workshop::new();
    let component = compile(&workshop, &text);
    let (mut store, f) = func(&workshop, &component, "f");
    assert_eq!(f.call(&mut store, (7,)).unwrap().0, 7 + last);
}

/// Data and imports are there for each instance, so that instances of a module must not multiply
/// them without end.
#[test]
fn what_instances_multiply_has_a_limit() {
    let workshop = Workshop::new();
    let of_many = |module: &str, with: &str, count: usize| {
        let instances = format!("(core instance (instantiate $m {with}))").repeat(count);
        workshop.compile(format!("(component {module} {instances})").as_bytes())
    };
    let bytes = "\\01".repeat(60_000);
    let data = format!("(core module $m (memory 1) (data (i32.const 0) \"{bytes}\"))");
    of_many(&data, "", 100).unwrap();
    let exports: String = (0..5_000).map(|i| format!("(export \"f{i}\")")).collect();
    let imports: String = (0..5_000)
        .map(|i| format!("(import \"\" \"f{i}\" (func))"))
        .collect();
    let imports = format!(
        "(core module $l (func {exports})) (core instance $l (instantiate $l))
         (core module $m {imports})"
    );
    let with = "(with \"\" (instance $l))";
    of_many(&imports, with, 100).unwrap();
    for result in [of_many(&data, "", 3_000), of_many(&imports, with, 3_000)] {
        let error = result.unwrap_err();
        let ErrorKind::Limit { name, found, limit } = error.kind() else {
            panic!("{error}")
        };
        assert!(name.contains("of all core instances"), "{name}");
        assert!(found > limit);
    }
}

/// Functions that pass through are component instances, too.
#[test]
fn functions_that_pass_through_count_as_component_instances() {
    let functions = |count: usize| {
        let mut text = String::from("(component");
        for index in 0..count {
            let _ = write!(text, "(import \"f{index}\" (func $f{index}))");
        }
        for index in 0..count {
            let _ = write!(text, "(export \"g{index}\" (func $f{index}))");
        }
        wat::parse_str(text + ")").unwrap()
    };
    let options = Options {
        limits: Limits {
            component_instances: 20,
            ..Limits::default()
        },
        ..Options::default()
    };
    assert!(cwasm_compiler::compile(&functions(19), &options).is_ok());
    let error = cwasm_compiler::compile(&functions(20), &options).unwrap_err();
    assert!(error.to_string().contains("component instances"), "{error}");
}

//! The types of a component as a host sees them at run time, and values as text.

use cwasm::types::{ComponentFunc, Type};
use cwasm::{Component, Linker, Store, Val};
use cwasm_tests::artifact::Workshop;

/// Types with names, the WIT text of each, and values of each in WAVE.
const TYPES: &[(&str, &str, &[&str])] = &[
    ("bool", "bool", &["true", "false"]),
    ("s8", "s8", &["-128", "127"]),
    ("u64", "u64", &["18446744073709551615"]),
    ("f32", "f32", &["-2.5", "nan", "inf"]),
    ("f64", "f64", &["0.1"]),
    ("char", "char", &["'x'", "'\\n'", "'☃'"]),
    ("string", "string", &["\"\"", "\"a \\\"b\\\" ☃\""]),
    ("(list u16)", "list<u16>", &["[]", "[1, 2, 65535]"]),
    ("(list s32 3)", "list<s32, 3>", &["[1, 2, 3]"]),
    (
        "(map string u8)",
        "map<string, u8>",
        &["{}", "{\"a\": 1, \"b\": 2}"],
    ),
    ("(tuple u8 string)", "tuple<u8, string>", &["(7, \"x\")"]),
    ("(option u8)", "option<u8>", &["none", "some(3)"]),
    (
        "(option (option u8))",
        "option<option<u8>>",
        &["some(none)", "some(some(3))"],
    ),
    (
        "(result u8 (error string))",
        "result<u8, string>",
        &["ok(1)", "err(\"why\")"],
    ),
    ("(result)", "result", &["ok", "err"]),
    ("(result (error u8))", "result<_, u8>", &["ok", "err(2)"]),
    (
        "(record (field \"a\" u8) (field \"b-c\" (option f64)))",
        "record { a: u8, b-c: option<f64> }",
        &["{a: 1, b-c: some(-2.5)}", "{a: 1}"],
    ),
    (
        "(variant (case \"none\") (case \"num\" u64))",
        "variant { none, num(u64) }",
        &["%none", "num(7)"],
    ),
    (
        "(enum \"red\" \"green\")",
        "enum { red, green }",
        &["red", "green"],
    ),
    (
        "(flags \"r\" \"w\" \"x\")",
        "flags { r, w, x }",
        &["{}", "{r, x}"],
    ),
];

/// A component that has `echo`, from a list of the type to a list of the type.
fn echo(workshop: &Workshop, ty: &str) -> Component {
    let text = format!(
        r#"(component
          (type $t' {ty})
          (import "t" (type $t (eq $t')))
          (core module $m
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
              (global.get $next)
              (global.set $next (i32.and (i32.const -8)
                (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7)))))
            (func (export "echo") (param i32 i32) (result i32)
              (i32.store (i32.const 16) (local.get 0))
              (i32.store (i32.const 20) (local.get 1))
              (i32.const 16)))
          (core instance $i (instantiate $m))
          (func (export "echo") (param "values" (list $t)) (result (list $t))
            (canon lift (core func $i "echo") (memory (core memory $i "memory"))
              (realloc (core func $i "realloc")))))"#
    );
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    workshop.map_component(&artifact).unwrap()
}

fn exported(component: &Component, name: &str) -> Option<ComponentFunc> {
    component.get_export(name).unwrap()?.func
}

fn imported(component: &Component, name: &str) -> Option<ComponentFunc> {
    component.get_import(name).unwrap()?.func
}

fn element(func: &ComponentFunc) -> Type {
    let [Type::List(list)] = &func.results().collect::<Vec<_>>()[..] else {
        panic!("found {func}, expected a list as its result");
    };
    list.ty()
}

#[test]
fn values_go_through_a_component_as_text() {
    for (ty, wit, values) in TYPES {
        let workshop = Workshop::new();
        let component = echo(&workshop, ty);
        let mut store = Store::new(workshop.engine(), ());
        let instance = Linker::new(workshop.engine())
            .instantiate(&mut store, &component)
            .unwrap();
        let func = instance.get_func(&mut store, "echo").unwrap();
        let reflected = func.ty(&store).unwrap();
        let list = reflected.params().next().unwrap().1;
        assert_eq!(list.to_string(), format!("list<{wit}>"));
        for text in *values {
            let text = format!("[{text}]");
            let value = Val::from_wave(&list, &text).unwrap();
            let mut results = [Val::Bool(false)];
            func.call(&mut store, &[value], &mut results).unwrap();
            assert_eq!(results[0].to_wave().unwrap(), text, "{ty}");
        }
    }
}

#[test]
fn functions_have_names_and_types() {
    let workshop = Workshop::new();
    let component = echo(&workshop, "(tuple u8 (map string char) (list bool 4))");
    let func = exported(&component, "echo").unwrap();
    let text = "list<tuple<u8, map<string, char>, list<bool, 4>>>";
    assert_eq!(func.to_string(), format!("func(values: {text}) -> {text}"));
    assert_eq!(func.params().next().unwrap().0, "values");
    let Type::Tuple(tuple) = element(&func) else {
        panic!("{func}");
    };
    let [Type::U8, Type::Map(map), Type::FixedLengthList(list)] =
        &tuple.types().collect::<Vec<_>>()[..]
    else {
        panic!("{func}");
    };
    assert_eq!((map.key(), map.value()), (Type::String, Type::Char));
    assert_eq!((list.ty(), list.elements()), (Type::Bool, 4));
    assert!(exported(&component, "t").is_none());
    assert!(exported(&component, "nothing").is_none());
    assert!(component.get_import("echo").unwrap().is_none());
}

#[test]
fn parts_have_names() {
    let workshop = Workshop::new();
    let reflect = |ty| element(&exported(&echo(&workshop, ty), "echo").unwrap());
    let Type::Record(record) = reflect("(record (field \"a\" u8) (field \"b\" (list string)))")
    else {
        panic!("expected a record");
    };
    let fields: Vec<_> = record.fields().map(|field| field.name).collect();
    assert_eq!(fields, ["a", "b"]);
    assert_eq!(record.fields().next().unwrap().ty, Type::U8);
    let Type::Variant(variant) = reflect("(variant (case \"x\") (case \"y\" f32))") else {
        panic!("expected a variant");
    };
    let cases: Vec<_> = variant.cases().map(|case| (case.name, case.ty)).collect();
    assert_eq!(cases, [("x", None), ("y", Some(Type::F32))]);
    let Type::Enum(cases) = reflect("(enum \"p\" \"q\")") else {
        panic!("expected an enum");
    };
    assert!(cases.names().eq(["p", "q"]));
    let Type::Flags(flags) = reflect("(flags \"p\" \"q\")") else {
        panic!("expected flags");
    };
    assert!(flags.names().eq(["p", "q"]));
    let Type::Option(option) = reflect("(option s16)") else {
        panic!("expected an option");
    };
    assert_eq!(option.ty(), Type::S16);
    let Type::Result(result) = reflect("(result (error s64))") else {
        panic!("expected a result");
    };
    assert_eq!((result.ok(), result.err()), (None, Some(Type::S64)));
}

#[test]
fn types_are_equal_by_structure() {
    let workshop = Workshop::new();
    let all = || -> Vec<Type> {
        let reflect =
            |(ty, ..): &(&str, _, _)| element(&exported(&echo(&workshop, ty), "echo").unwrap());
        TYPES.iter().map(reflect).collect()
    };
    // Of two artifacts each.
    let (these, those) = (all(), all());
    for (row, this) in these.iter().enumerate() {
        for (column, that) in those.iter().enumerate() {
            assert_eq!(this == that, row == column, "{this} and {that}");
        }
    }
}

#[test]
fn handles_are_of_a_resource() {
    let workshop = Workshop::new();
    let text = r#"(component
      (import "r" (type $r (sub resource)))
      (import "s" (type $s (sub resource)))
      (import "f" (func (param "a" (own $r)) (param "b" (borrow $r)) (param "c" (own $s))
        (param "d" (own $r)) (result (list (own $s))))))"#;
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let func = imported(&component, "f").unwrap();
    assert_eq!(
        func.to_string(),
        "func(a: own<r>, b: borrow<r>, c: own<s>, d: own<r>) -> list<own<s>>"
    );
    let params: Vec<_> = func.params().map(|(_, ty)| ty).collect();
    let [Type::Own(a), Type::Borrow(b), Type::Own(c), Type::Own(_)] = &params[..] else {
        panic!("{func}");
    };
    assert_eq!((a.resource(), b.resource(), c.resource()), ("r", "r", "s"));
    for (i, this) in params.iter().enumerate() {
        for (k, that) in params.iter().enumerate() {
            assert_eq!(this == that, i == k || i + k == 3 && i * k == 0, "{i} {k}");
        }
    }
    // The same resource of another loaded component is another one.
    let other = workshop.map_component(&artifact).unwrap();
    let other = imported(&other, "f").unwrap();
    assert_ne!(other.params().next().unwrap().1, params[0]);
    assert!(Val::from_wave(&params[0], "1").is_err());
}

#[test]
fn text_that_is_no_value_is_refused() {
    let workshop = Workshop::new();
    let refused = |ty, text, expected: &str| {
        let ty = element(&exported(&echo(&workshop, ty), "echo").unwrap());
        let error = Val::from_wave(&ty, text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    refused("u8", "256", "invalid value");
    refused("u8", "1 2", "");
    refused("(list u8 3)", "[1, 2]", "found 2 elements, expected 3");
    refused("(enum \"red\")", "blue", "unknown case");
    refused("(flags \"r\")", "{w}", "unknown case");
    refused("(variant (case \"x\" u8))", "x", "missing payload");
    refused("(variant (case \"x\"))", "y", "unknown case");
    refused("(record (field \"a\" u8))", "{b: 1}", "missing field");
    refused("(result)", "ok(1)", "");
}

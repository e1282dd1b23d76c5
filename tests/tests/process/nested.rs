//! Values that nest deep where little stack is left: an error, never the end of the process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cwasm::{Component, Config, Engine, Linker, Store};
use cwasm_compiler::Options;

use crate::common::child;

const DEPTH: usize = 90;

/// A type of values that nest.
struct Shape {
    /// The next level of nesting, of the level `INNER`.
    level: &'static str,
    /// Core parameters and result of the lowered function, and what it is called with.
    params: &'static str,
    results: &'static str,
    args: &'static str,
}

/// Lists are two values, what fits one value is that, all others are an address.
const SHAPES: [Shape; 6] = [
    Shape {
        level: "(list $INNER)",
        params: "i32 i32 i32",
        results: "",
        args: "(i32.const 1024) (i32.const 1) (i32.const 4096)",
    },
    in_place("(tuple $INNER)"),
    in_place("(record (field \"f\" $INNER))"),
    by_address("(option $INNER)"),
    by_address("(result (error $INNER))"),
    by_address("(variant (case \"a\") (case \"b\" $INNER))"),
];

const fn in_place(level: &'static str) -> Shape {
    Shape {
        level,
        params: "i32",
        results: "(result i32)",
        args: "(i32.const 1)",
    }
}

const fn by_address(level: &'static str) -> Shape {
    Shape {
        level,
        params: "i32 i32",
        results: "",
        args: "(i32.const 2048) (i32.const 4096)",
    }
}

impl Shape {
    /// A guest that calls `host` with a value that nests, at every depth of its stack.
    fn guest(&self) -> String {
        let mut types = String::from("(type $t0 u8)");
        for level in 1..=DEPTH {
            let inner = format!("t{}", level - 1);
            let outer = self.level.replace("INNER", &inner);
            types.push_str(&format!("(type $d{level} {outer})"));
            types.push_str(&format!(
                "(import \"t{level}\" (type $t{level} (eq $d{level})))"
            ));
        }
        let Shape {
            params,
            results,
            args,
            ..
        } = self;
        let drop = if results.is_empty() { "" } else { "(drop)" };
        format!(
            r#"(component {types}
              (import "host" (func $host (param "v" $t{DEPTH}) (result $t{DEPTH})))
              (core module $mem
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
                ;; A list whose only element is the list itself; cases that are all 1.
                (data (i32.const 1024) "\00\04\00\00\01")
                (data (i32.const 2048) "{ones}"))
              (core instance $mem (instantiate $mem))
              (core func $host (canon lower (func $host)
                (memory (core memory $mem "memory")) (realloc (core func $mem "realloc"))))
              (core module $m
                (import "" "host" (func $host (param {params}) {results}))
                ;; What it is given lies on the stack.
                (func $recurse (param{words})
                  (call $host {args}) {drop}
                  (call $recurse{zeros}) (call $recurse{zeros}))
                (func (export "recurse") (call $recurse{zeros})))
              (core instance $i (instantiate $m (with "" (instance (export "host" (func $host))))))
              (func (export "recurse") (canon lift (core func $i "recurse"))))"#,
            ones = "\\01".repeat(256),
            words = " i64".repeat(300),
            zeros = " (i64.const 0)".repeat(300),
        )
    }
}

/// Calls the guest on a thread with this much stack. Its host function copies, compares, prints and
/// returns the value.
fn call(component: &Component, stack: usize) -> cwasm::Result<()> {
    let component = component.clone();
    let run = move || {
        let mut linker = Linker::<()>::new(component.engine());
        let calls = AtomicUsize::new(0);
        linker.root().func_new("host", move |_, _, args, results| {
            let value = args[0].clone();
            assert!(value == args[0]);
            let is_pretty = calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(64);
            let debug = match is_pretty {
                true => format!("{value:#?}"),
                false => format!("{value:?}"),
            };
            assert!(debug.len() > DEPTH);
            // An error where it cannot be said.
            let _ = value
                .to_wave()
                .inspect(|text| assert!(text.len() > DEPTH / 2));
            results[0] = value;
            Ok(())
        })?;
        let mut store = Store::new(component.engine(), ());
        let instance = linker.instantiate(&mut store, &component)?;
        instance
            .get_typed_func::<(), ()>(&mut store, "recurse")?
            .call(&mut store, ())
    };
    thread::Builder::new()
        .stack_size(stack)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap()
}

#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn component(shape: &Shape) -> Component {
    let wasm = wat::parse_str(shape.guest()).unwrap();
    let artifact = cwasm_compiler::compile(&wasm, &Options::default()).unwrap();
    let engine = Engine::new(Config::new().max_wasm_stack(8 << 20)).unwrap();
    // SAFETY: the artifact comes from this compiler.
    unsafe { Component::from_bytes(&engine, &artifact.bytes) }.unwrap()
}

#[test]
fn values_at_the_end_of_a_stack() {
    let output = child::run(module_path!(), "values_at_the_end_of_a_stack", || {
        for shape in &SHAPES {
            let component = component(shape);
            for stack in [512 << 10, 256 << 10, 128 << 10] {
                let error = call(&component, stack).unwrap_err();
                let innermost = error.chain().last().unwrap().to_string();
                let expected = [
                    "call stack exhausted",
                    "too little of the host's stack is left",
                ];
                assert!(
                    expected.iter().any(|text| innermost.contains(text)),
                    "{error:?}"
                );
            }
        }
    });
    if let Some(output) = output {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

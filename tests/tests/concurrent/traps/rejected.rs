//! The rows of `docs/async-traps.md` about components that are refused: by validation, or because
//! they need what is not supported.

use cwasm_tests::artifact::Workshop;

/// A component whose body is this, and a part of the error.
type Case = (&'static str, &'static str);

/// The rows: their names, and components.
pub(super) const ROWS: &[(&str, &[Case])] = &[
    (
        "R1",
        &[
            (
                r#"(core module $m (func (export "f")))
                (core instance $i (instantiate $m))
                (func (export "f") (canon lift (core func $i "f") async))"#,
                "async",
            ),
            (
                r#"(import "f" (func $f))
                (core func (canon lower (func $f) async))"#,
                "async",
            ),
        ],
    ),
    (
        "R2",
        &[
            (
                r#"(core module $m (func (export "f"))
                  (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
                (core instance $i (instantiate $m))
                (func (export "f") async
                  (canon lift (core func $i "f") (callback (core func $i "cb"))))"#,
                "cannot specify callback without async",
            ),
            (
                r#"(core module $m (func (export "f") (result i32) unreachable)
                  (func (export "cb") (param i32 i32) (result i32) unreachable))
                (core instance $i (instantiate $m))
                (func (export "f") async
                  (canon lift (core func $i "f") async (callback (core func $i "cb"))))"#,
                "callback",
            ),
        ],
    ),
    (
        "R3",
        &[(
            r#"(core module $m (func (export "f")) (func (export "post")))
            (core instance $i (instantiate $m))
            (func (export "f") async
              (canon lift (core func $i "f") async (post-return (core func $i "post"))))"#,
            "cannot specify post-return function in async",
        )],
    ),
    (
        "R4",
        &[
            (
                r#"(import "f" (func $f async (result u32)))
                (core func (canon lower (func $f) async))"#,
                "memory",
            ),
            (
                "(type $s (stream u8)) (core func (canon stream.read $s async))",
                "memory",
            ),
            (
                "(type $s (future string)) (core func (canon future.write $s async))",
                "memory",
            ),
            ("(core func (canon task.return (result string)))", "memory"),
        ],
    ),
    (
        "R5",
        &[(
            r#"(core module $m (memory (export "m") 1))
            (core instance $i (instantiate $m))
            (type $s (stream string))
            (core func (canon stream.read $s async (memory (core memory $i "m"))))"#,
            "realloc",
        )],
    ),
    (
        "R6",
        &[
            (
                r#"(import "r" (type $r (sub resource))) (type (stream (borrow $r)))"#,
                "borrow",
            ),
            (
                r#"(import "r" (type $r (sub resource))) (type (future (list (borrow $r))))"#,
                "borrow",
            ),
        ],
    ),
    ("R7", &[("(type (stream char))", "char")]),
    (
        "R8",
        &[
            ("(core func (canon context.get i32 2))", "context.get"),
            ("(core func (canon context.set i32 2))", "context.set"),
        ],
    ),
    (
        "R9",
        &[
            (
                "(type $s (stream u8)) (core func (canon future.new $s))",
                "requires a future type",
            ),
            (
                "(type $f (future u8)) (core func (canon stream.drop-readable $f))",
                "requires a stream type",
            ),
        ],
    ),
    (
        "R10",
        &[
            ("(core func (canon thread.index))", "threads"),
            ("(core func (canon thread.suspend))", "threads"),
        ],
    ),
];

#[test]
fn components_that_are_refused() {
    let workshop = Workshop::new();
    for (id, cases) in ROWS {
        for (body, expected) in *cases {
            let text = format!("(component {body})");
            let Err(error) = workshop.compile(text.as_bytes()) else {
                panic!("{id}: {body} is accepted");
            };
            let error = error.to_string();
            assert!(error.contains(expected), "{id}: {body}: {error}");
        }
    }
}

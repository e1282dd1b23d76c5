//! Code that several test files share.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod child;
pub(crate) mod cpus;
pub(crate) mod fork;
pub(crate) mod handles;
pub(crate) mod swap;
pub(crate) mod types;

use std::path::{Path, PathBuf};

use cwasm_compiler::OptLevel;
use cwasm_format::cpu::CpuLevel;
use cwasm_tests::artifact::Workshop;
use cwasm_tests::suite::Script;
use cwasm_tests::{Report, Skips};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{PackageId, Resolve};

/// Runs scripts and panics with all failures, if there are any.
pub(crate) fn run_all(scripts: Vec<Script>) {
    run_with(&Workshop::new(), scripts);
}

/// As [`run_all`], compiling as `workshop` does.
pub(crate) fn run_with(workshop: &Workshop, scripts: Vec<Script>) {
    let skips = Skips::built_in();
    let mut total = Report::default();
    for script in &scripts {
        total.add(cwasm_tests::run(workshop, script, &skips, false));
    }
    assert!(
        total.failures.is_empty(),
        "{}\n{total}",
        total.failures.join("\n")
    );
    assert!(total.passed > 0, "nothing was run");
}

/// The CPU levels that this machine has, lowest first.
pub(crate) fn cpu_levels() -> Vec<CpuLevel> {
    let is_here = |cpu: &CpuLevel| Workshop::for_target(*cpu, OptLevel::None).runs_here();
    CpuLevel::ALL.iter().copied().filter(is_here).collect()
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in a folder")
}

/// The example's built component.
pub(crate) fn greet() -> Vec<u8> {
    let path: PathBuf = root().join("examples/greet/greet.wasm");
    std::fs::read(path).expect("greet.wasm is in the repository")
}

/// A core module in text as a component of a world, whose WIT is in this folder of the crate.
pub(crate) fn component_of_world(path: &str, world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let (package, _) = resolve.push_path(path).unwrap();
    encode(&resolve, package, world, module)
}

/// A core module in text as a component of a world, whose package this is.
pub(crate) fn component_of_wit(wit: &str, world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("package", wit).unwrap();
    encode(&resolve, package, world, module)
}

fn encode(resolve: &Resolve, package: PackageId, world: &str, module: &str) -> Vec<u8> {
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    let utf8 = StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, resolve, world, utf8, false).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).unwrap();
    encoder.encode().unwrap()
}

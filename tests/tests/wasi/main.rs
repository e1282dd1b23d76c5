//! Components of WASI 0.3 in a host: what is left of what they give up, and both versions in one
//! process. Alone: descriptors and memory of the process are counted.

#[path = "../common/child.rs"]
#[allow(dead_code, reason = "a part is used")]
mod child;

mod both;
mod given_up;

use std::path::Path;

use cwasm::{Component, Linker, Store};
use cwasm_tests::artifact::Workshop;
use cwasm_wasi::{DirPerms, FilePerms, WasiCtx, WasiCtxBuilder, p3};

/// A component of `wasi/guests`.
fn guest(workshop: &Workshop, name: &str) -> Component {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasi/guests");
    let wasm = std::fs::read(guests.join(name)).unwrap();
    let artifact = workshop.compile(&wasm).unwrap();
    workshop.map_component(&artifact).unwrap()
}

/// A linker with both versions.
fn linker(workshop: &Workshop) -> Linker<WasiCtx> {
    let mut linker = Linker::new(workshop.engine());
    cwasm_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    p3::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    cwasm_wasi::http::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    p3::http::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    linker
}

/// A guest that may use a folder.
fn with_folder(builder: WasiCtxBuilder, folder: &Path) -> WasiCtxBuilder {
    let (dirs, files) = (DirPerms::all(), FilePerms::all());
    builder.preopened_dir(folder, "/", dirs, files).unwrap()
}

/// A store with a program of 0.3.
fn program(
    workshop: &Workshop,
    component: &Component,
    wasi: WasiCtx,
) -> (Store<WasiCtx>, p3::Command) {
    let mut store = Store::new(workshop.engine(), wasi);
    let linker = linker(workshop);
    let made = p3::Command::instantiate_async(&mut store, component, &linker);
    let command = p3::block_on(made).unwrap();
    (store, command)
}

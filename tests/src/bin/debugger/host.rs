//! The host that is looked at.

use std::path::Path;
use std::sync::Mutex;

use cwasm::{Component, CoreFunc, CoreVal, Engine, Extern, FuncType, Linker, Module};
use cwasm::{ModuleInstance, Store, ValType};
use cwasm_tests::artifact::Workshop;
use cwasm_wasi::{Command, WasiCtxBuilder};

use crate::Result;

/// How often `spin` calls the guest: long enough for a profiler.
const CALLS: i32 = 30_000_000;

/// Maps an artifact, and runs the program or calls the module in it.
pub(crate) fn run(artifact: &Path, how: &str) -> Result<()> {
    let workshop = Workshop::new();
    match workshop.map_module_at(artifact) {
        Ok(module) => call(workshop.engine(), &module, how),
        Err(_) => program(
            workshop.engine(),
            &workshop.map_component_at(artifact)?,
            how,
        ),
    }
}

/// Runs a program.
fn program(engine: &Engine, component: &Component, how: &str) -> Result<()> {
    let wasi = WasiCtxBuilder::new().inherit_stdio();
    let mut store = Store::new(engine, wasi.args(["program", how]).build());
    let mut linker = Linker::new(engine);
    cwasm_wasi::add_to_linker(&mut linker, |wasi| wasi)?;
    let command = Command::instantiate(&mut store, component, &linker)?;
    let result = command.wasi_cli_run().call_run(&mut store)?;
    result.map_err(|()| "the program failed".into())
}

/// Calls `outer` of `reenter.wasm`, which calls [`called_by_the_guest`], or `inner` many times.
fn call(engine: &Engine, module: &Module, how: &str) -> Result<()> {
    let mut store = Store::new(engine, ());
    // A host function of a core module has no access to the store that calls it.
    let mut inside = Store::new(engine, ());
    let never = func(&mut inside, |_| Err(cwasm::Error::msg("not called")));
    let inner = exported(&mut inside, module, never, "inner")?;
    if how == "spin" {
        for value in 0..CALLS {
            inner.call(&mut inside, &[CoreVal::I32(value & 0xff)])?;
        }
        return Ok(());
    }
    let inside = Mutex::new(inside);
    let host = func(&mut store, move |args| {
        let mut inside = inside.lock().map_err(|_| cwasm::Error::msg("poisoned"))?;
        called_by_the_guest(&mut inside, inner, args)
    });
    let outer = exported(&mut store, module, host, "outer")?;
    let results = outer.call(&mut store, &[CoreVal::I32(4)])?;
    println!("outer(4) is {results:?}");
    Ok(())
}

/// The host function, which calls the guest again.
#[inline(never)]
fn called_by_the_guest(
    inside: &mut Store<()>,
    inner: CoreFunc,
    args: &[CoreVal],
) -> cwasm::Result<Vec<CoreVal>> {
    let results = inner.call(inside, args)?;
    // Not a tail call, after which this would have no frame.
    Ok(std::hint::black_box(results))
}

fn func(
    store: &mut Store<()>,
    call: impl Fn(&[CoreVal]) -> cwasm::Result<Vec<CoreVal>> + Send + Sync + 'static,
) -> CoreFunc {
    CoreFunc::new(store, FuncType::new([ValType::I32], [ValType::I32]), call)
}

/// A function of a new instance.
fn exported(
    store: &mut Store<()>,
    module: &Module,
    import: CoreFunc,
    name: &str,
) -> Result<CoreFunc> {
    let instance: ModuleInstance = module.instantiate(&mut *store, &[Extern::Func(import)])?;
    match instance.get(&*store, name)? {
        Some(Extern::Func(func)) => Ok(func),
        _ => Err(format!("the module does not export `{name}`").into()),
    }
}

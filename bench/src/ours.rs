//! This project's compiler and loader, with their defaults: code for speed on x86-64-v3.
#![allow(unsafe_code, reason = "loading machine code is the caller's promise")]

#[cfg(feature = "async")]
mod waiting;

use std::num::NonZeroUsize;
use std::path::Path;

use cwasm::{
    Component, Config, Engine, InstancePre, Linker, Result, Store, StoreContextMut, TypedFunc,
};
use cwasm_compiler::{CpuLevel, Features, OptLevel, Options};
use cwasm_wasi::{WasiCtx, WasiCtxBuilder};

use crate::runtime::{self, Instance, Mode, Record, Runtime, host_add, host_len, host_nop};

pub(crate) struct Ours {
    engine: Engine,
    linker: Linker<()>,
    interruptible: bool,
}

pub(crate) struct Guest {
    store: Store<()>,
    instance: cwasm::Instance,
    nop: TypedFunc<(), ()>,
    add: TypedFunc<(u32, u32), (u32,)>,
    echo: TypedFunc<(&'static str,), (String,)>,
    same: TypedFunc<(&'static str,), (String,)>,
    list_u8_in: TypedFunc<(&'static [u8],), (u32,)>,
    list_u8_out: TypedFunc<(u32,), (Vec<u8>,)>,
    records: TypedFunc<(&'static [Record],), (u32,)>,
    run_host_nop: TypedFunc<(u32,), ()>,
    run_host_add: TypedFunc<(u32,), (u32,)>,
    run_host_len: TypedFunc<(u32,), (u32,)>,
}

pub(crate) struct Computer {
    store: Store<()>,
    run: TypedFunc<(u32,), (u32,)>,
}

pub(crate) struct Interpreter {
    store: Store<WasiCtx>,
    sum: TypedFunc<(&'static [i32],), (i32,)>,
}

impl Ours {
    fn map(&self, artifact: &Path) -> Result<Component> {
        // SAFETY: the artifact was written by this run of the bench, and nobody changes it.
        unsafe { Component::map(&self.engine, artifact) }
    }

    fn store(&self) -> Store<()> {
        Store::new(&self.engine, ())
    }

    fn pre(&self, artifact: &Path) -> Result<InstancePre<()>> {
        self.linker.instantiate_pre(&self.map(artifact)?)
    }
}

impl Runtime for Ours {
    const NAME: &'static str = "cwasm";
    const PREFIX: &'static str = "cwasm";

    type Error = cwasm::Error;
    type Linked = InstancePre<()>;
    type Instance = Guest;
    type Computer = Computer;
    type Interpreter = Interpreter;
    type LinkedInterpreter = InstancePre<WasiCtx>;

    fn new(mode: Mode) -> Result<Ours> {
        let mut config = Config::new();
        if mode == Mode::Fresh {
            config.max_idle_memory(0);
        }
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        let mut root = linker.root();
        root.func_wrap("nop", |_: StoreContextMut<'_, ()>, (): ()| {
            host_nop();
            Ok(())
        })?;
        root.func_wrap("add", |_: StoreContextMut<'_, ()>, (a, b): (u32, u32)| {
            Ok((host_add(a, b),))
        })?;
        root.func_wrap("len", |_: StoreContextMut<'_, ()>, (text,): (String,)| {
            Ok((host_len(&text),))
        })?;
        Ok(Ours {
            engine,
            linker,
            interruptible: mode == Mode::Interruptible,
        })
    }

    fn compile(&self, wasm: &[u8], threads: Option<NonZeroUsize>) -> Result<Vec<u8>> {
        let options = Options {
            cpu: CpuLevel::X86_64V3,
            opt: OptLevel::Speed,
            jobs: threads,
            interruptible: self.interruptible,
            features: Features::all(),
            ..Options::default()
        };
        Ok(cwasm_compiler::compile(wasm, &options)?.bytes)
    }

    fn load(&self, artifact: &Path) -> Result<()> {
        self.map(artifact).map(drop)
    }

    fn link(&self, artifact: &Path) -> Result<InstancePre<()>> {
        self.pre(artifact)
    }

    fn instantiate(&self, linked: &InstancePre<()>) -> Result<()> {
        let mut store = self.store();
        linked.instantiate(&mut store)?;
        Ok(())
    }

    fn serve(&self, linked: &InstancePre<()>, argument: u32) -> Result<u32> {
        let mut store = self.store();
        let instance = linked.instantiate(&mut store)?;
        let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "run")?;
        let (answer,) = run.call(&mut store, (argument,))?;
        Ok(answer)
    }

    fn first_call(&self, artifact: &Path, a: u32, b: u32) -> Result<u32> {
        let mut store = self.store();
        let instance = self.pre(artifact)?.instantiate(&mut store)?;
        let add = instance.get_typed_func::<(u32, u32), (u32,)>(&mut store, "add")?;
        let (sum,) = add.call(&mut store, (a, b))?;
        Ok(sum)
    }

    fn run(&self, artifact: &Path, seed: u32) -> Result<u32> {
        let mut store = self.store();
        let instance = self.pre(artifact)?.instantiate(&mut store)?;
        let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "run")?;
        let (answer,) = run.call(&mut store, (seed,))?;
        Ok(answer)
    }

    fn computer(&self, artifact: &Path, name: &str) -> Result<Computer> {
        let mut store = self.store();
        let instance = self.pre(artifact)?.instantiate(&mut store)?;
        let run = instance.get_typed_func(&mut store, name)?;
        Ok(Computer { store, run })
    }

    fn link_interpreter(&self, artifact: &Path) -> Result<InstancePre<WasiCtx>> {
        let component = self.map(artifact)?;
        let mut linker = Linker::new(&self.engine);
        cwasm_wasi::add_to_linker(&mut linker, |wasi| wasi)?;
        linker.define_unknown_imports_as_traps(&component)?;
        linker.instantiate_pre(&component)
    }

    fn interpreter(&self, linked: &InstancePre<WasiCtx>) -> Result<Interpreter> {
        let mut store = Store::new(&self.engine, WasiCtxBuilder::new().build());
        let instance = linked.instantiate(&mut store)?;
        let sum = instance.get_typed_func(&mut store, "sum")?;
        Ok(Interpreter { store, sum })
    }

    fn guest(&self, artifact: &Path) -> Result<Guest> {
        let mut store = self.store();
        let instance = self.pre(artifact)?.instantiate(&mut store)?;
        Ok(Guest {
            nop: instance.get_typed_func(&mut store, "nop")?,
            add: instance.get_typed_func(&mut store, "add")?,
            echo: instance.get_typed_func(&mut store, "echo")?,
            same: instance.get_typed_func(&mut store, "same")?,
            list_u8_in: instance.get_typed_func(&mut store, "list-u8-in")?,
            list_u8_out: instance.get_typed_func(&mut store, "list-u8-out")?,
            records: instance.get_typed_func(&mut store, "records")?,
            run_host_nop: instance.get_typed_func(&mut store, "run-host-nop")?,
            run_host_add: instance.get_typed_func(&mut store, "run-host-add")?,
            run_host_len: instance.get_typed_func(&mut store, "run-host-len")?,
            instance,
            store,
        })
    }
}

impl runtime::Computer for Computer {
    type Error = cwasm::Error;

    #[inline(always)]
    fn run(&mut self, n: u32) -> Result<u32> {
        Ok(self.run.call(&mut self.store, (n,))?.0)
    }
}

impl runtime::Interpreter for Interpreter {
    type Error = cwasm::Error;

    fn sum(&mut self, numbers: &'static [i32]) -> Result<i32> {
        Ok(self.sum.call(&mut self.store, (numbers,))?.0)
    }
}

impl Instance for Guest {
    type Error = cwasm::Error;

    #[inline(always)]
    fn handle(&mut self, name: &str) -> Result<()> {
        let func = self
            .instance
            .get_typed_func::<(u32, u32), (u32,)>(&mut self.store, name)?;
        std::hint::black_box(func);
        Ok(())
    }

    #[inline(always)]
    fn nop(&mut self) -> Result<()> {
        self.nop.call(&mut self.store, ())
    }

    #[inline(always)]
    fn add(&mut self, a: u32, b: u32) -> Result<u32> {
        Ok(self.add.call(&mut self.store, (a, b))?.0)
    }

    #[inline(always)]
    fn echo(&mut self, text: &'static str) -> Result<String> {
        Ok(self.echo.call(&mut self.store, (text,))?.0)
    }

    #[inline(always)]
    fn same(&mut self, text: &'static str) -> Result<String> {
        Ok(self.same.call(&mut self.store, (text,))?.0)
    }

    #[inline(always)]
    fn list_u8_in(&mut self, bytes: &'static [u8]) -> Result<u32> {
        Ok(self.list_u8_in.call(&mut self.store, (bytes,))?.0)
    }

    #[inline(always)]
    fn list_u8_out(&mut self, len: u32) -> Result<Vec<u8>> {
        Ok(self.list_u8_out.call(&mut self.store, (len,))?.0)
    }

    #[inline(always)]
    fn records(&mut self, records: &'static [Record]) -> Result<u32> {
        Ok(self.records.call(&mut self.store, (records,))?.0)
    }

    #[inline(always)]
    fn run_host_nop(&mut self, n: u32) -> Result<()> {
        self.run_host_nop.call(&mut self.store, (n,))
    }

    #[inline(always)]
    fn run_host_add(&mut self, n: u32) -> Result<u32> {
        Ok(self.run_host_add.call(&mut self.store, (n,))?.0)
    }

    #[inline(always)]
    fn run_host_len(&mut self, n: u32) -> Result<u32> {
        Ok(self.run_host_len.call(&mut self.store, (n,))?.0)
    }
}

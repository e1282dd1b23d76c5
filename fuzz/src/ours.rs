//! cwasm: compiles a program, maps it and runs it.
#![allow(
    unsafe_code,
    reason = "artifacts that the compiler made a moment ago are mapped"
)]

use std::num::NonZeroUsize;
use std::sync::Arc;

use cwasm::{
    CoreException, CoreFunc, CoreVal, Engine, Extern, Module, ModuleInstance, Store, ValType,
};
use cwasm_compiler::{Bounds, ErrorKind, Features, OptLevel, Options};
use cwasm_format::cpu::CpuLevel;

use crate::host::Host;
use crate::program::Program;
use crate::run::{Bytes, Instance, Runtime, State, Stop};
use crate::shape::{Import, Kind, Shape};
use crate::value::{Type, Value};

/// The compiler and the loader.
#[derive(Debug, Default)]
pub(crate) struct Ours {
    engine: Engine,
}

/// Settings of the compiler that must not change what a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) opt: OptLevel,
    pub(crate) cpu: CpuLevel,
    pub(crate) bounds: Bounds,
    pub(crate) alias_analysis: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            opt: OptLevel::default(),
            cpu: CpuLevel::default(),
            bounds: Bounds::default(),
            alias_analysis: true,
        }
    }
}

/// A compiled program.
#[derive(Debug)]
pub(crate) struct Compiled<'a> {
    engine: &'a Engine,
    module: Module,
    provider: Option<Module>,
}

/// An instance with its store.
pub(crate) struct OurInstance {
    store: Store<()>,
    host: Arc<Host>,
    module: Option<ModuleInstance>,
    provider: Option<ModuleInstance>,
}

impl Ours {
    /// Compiles and maps a program.
    ///
    /// # Errors
    /// Why the compiler or the loader refuses it, unless the compiler says that it does not
    /// support it: then it is `Ok(None)`.
    pub(crate) fn compile(
        &self,
        program: &Program,
        settings: Settings,
    ) -> Result<Option<Compiled<'_>>, String> {
        let module = self.module(&program.wasm, settings)?;
        let provider = match &program.provider {
            Some((wasm, _)) => self.module(wasm, settings)?.map(Some),
            None => Some(None),
        };
        Ok(module.zip(provider).map(|(module, provider)| Compiled {
            engine: &self.engine,
            module,
            provider,
        }))
    }

    fn module(&self, wasm: &[u8], settings: Settings) -> Result<Option<Module>, String> {
        let options = Options {
            opt: settings.opt,
            cpu: settings.cpu,
            bounds: settings.bounds,
            alias_analysis: settings.alias_analysis,
            jobs: NonZeroUsize::new(1),
            features: Features::all(),
            ..Options::default()
        };
        let artifact = match cwasm_compiler::compile(wasm, &options) {
            Ok(output) => output.bytes,
            Err(error) => match error.kind() {
                ErrorKind::Unsupported { .. } => return Ok(None),
                _ => return Err(format!("cwasm does not compile the module: {error}")),
            },
        };
        // SAFETY: the compiler's own bytes, just made.
        let module = unsafe { Module::from_bytes(&self.engine, &artifact) };
        match module {
            Ok(module) => Ok(Some(module)),
            Err(error) => Err(format!("cwasm does not map the artifact: {error:?}")),
        }
    }
}

impl Runtime for Compiled<'_> {
    type Instance = OurInstance;

    fn instantiate(&self, program: &Program) -> (OurInstance, Result<(), Stop>) {
        let mut instance = OurInstance {
            store: Store::new(self.engine, ()),
            host: Arc::default(),
            module: None,
            provider: None,
        };
        let started = instance.start(self, program).map_err(|error| stop(&error));
        (instance, started)
    }
}

impl OurInstance {
    fn start(&mut self, compiled: &Compiled<'_>, program: &Program) -> cwasm::Result<()> {
        if let Some(provider) = &compiled.provider {
            self.provider = Some(provider.instantiate(&mut self.store, &[])?);
        }
        let imports = self.imports(&program.shape)?;
        self.module = Some(compiled.module.instantiate(&mut self.store, &imports)?);
        Ok(())
    }

    fn imports(&mut self, shape: &Shape) -> cwasm::Result<Vec<Extern>> {
        let mut items = 0..;
        let imports = shape.imports.iter().enumerate();
        imports
            .map(|(index, import)| match import {
                Import::Func(ty) => {
                    let params = ty.params.iter().map(|ty| value_type(*ty));
                    let results = ty.results.iter().map(|ty| value_type(*ty));
                    let core_type = cwasm::FuncType::new(params, results);
                    let (host, results) = (Arc::clone(&self.host), ty.results.clone());
                    let func = CoreFunc::new(&mut self.store, core_type, move |args| {
                        let args = args.iter().map(|arg| from_core(*arg));
                        let returned = host.call(index, args, &results)?;
                        Ok(returned.into_iter().map(to_core).collect())
                    });
                    Ok(Extern::Func(func))
                }
                Import::Item(_) => {
                    let name = items
                        .next()
                        .map_or_else(String::new, |item: u32| item.to_string());
                    let provider = self
                        .provider
                        .map(|provider| provider.get(&self.store, &name));
                    provider
                        .transpose()?
                        .flatten()
                        .ok_or_else(|| cwasm::Error::msg("the provider lacks an export"))
                }
            })
            .collect()
    }

    /// Adds what an instance exports to a state.
    fn add(
        &self,
        state: &mut State,
        instance: ModuleInstance,
        shape: &Shape,
        rename: impl Fn(&str) -> String,
    ) -> cwasm::Result<()> {
        for export in &shape.exports {
            if let Kind::Func(_) = export.kind {
                continue;
            }
            let name = rename(&export.name);
            match instance.get(&self.store, &export.name)? {
                Some(Extern::Global(global)) => {
                    let value = from_core(global.get(&self.store)?);
                    state.globals.push((name, value));
                }
                Some(Extern::Memory(memory)) => {
                    let bytes = Bytes::new(memory.data(&self.store)?);
                    state.memories.push((name, bytes));
                }
                Some(Extern::Table(table)) => {
                    let elements = 0..table.size(&self.store)?;
                    let nulls = elements.map(|index| {
                        let element = table.element(&self.store, index)?;
                        Ok(element.is_none_or(|element| is_null(&element)))
                    });
                    let nulls = nulls.collect::<cwasm::Result<_>>()?;
                    state.tables.push((name, nulls));
                }
                // Nothing can be seen of a tag.
                Some(Extern::Tag(_)) => {}
                Some(Extern::Func(_)) | None => {
                    return Err(cwasm::Error::msg(format!("`{name}` is not what it was")));
                }
            }
        }
        Ok(())
    }
}

impl Instance for OurInstance {
    fn call(&mut self, func: &str, args: &[Value]) -> Result<Vec<Value>, Stop> {
        let args: Vec<_> = args.iter().map(|arg| to_core(*arg)).collect();
        let mut call = || {
            let func = match self.module {
                Some(module) => module.get(&self.store, func)?,
                None => None,
            };
            match func {
                Some(Extern::Func(func)) => func.call(&mut self.store, &args),
                _ => Err(cwasm::Error::msg("there is no such function")),
            }
        };
        let results = call().map_err(|error| stop(&error))?;
        Ok(results.into_iter().map(from_core).collect())
    }

    fn state(&mut self, program: &Program) -> State {
        let mut state = State {
            host: self.host.digest(),
            ..State::default()
        };
        let own = self.module.map(|module| (module, &program.shape));
        let provided = self.provider.zip(program.provider.as_ref());
        let mut add_all = || {
            if let Some((module, shape)) = own {
                self.add(&mut state, module, shape, str::to_owned)?;
            }
            if let Some((module, (_, shape))) = provided {
                self.add(&mut state, module, shape, Program::provided_name)?;
            }
            Ok::<(), cwasm::Error>(())
        };
        match add_all() {
            Ok(()) => state,
            Err(error) => panic!("the state of an instance can be read: {error:?}"),
        }
    }
}

fn stop(error: &cwasm::Error) -> Stop {
    if error.is::<crate::host::Failed>() {
        return Stop::Trap(cwasm::TrapCode::HostError);
    }
    if let Some(exception) = error.downcast_ref::<CoreException>() {
        let values: Vec<_> = exception.values().iter().copied().map(from_core).collect();
        return Stop::Error(format!("an exception of {values:?}"));
    }
    match error.trap() {
        Some(trap) => Stop::Trap(trap.code()),
        None => Stop::Error(format!("{error:?}")),
    }
}

fn value_type(ty: Type) -> ValType {
    match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
        Type::F32 => ValType::F32,
        Type::F64 => ValType::F64,
        Type::V128 => ValType::V128,
        Type::Func => ValType::FUNCREF,
        Type::Extern => ValType::EXTERNREF,
        Type::Exn => ValType::EXNREF,
    }
}

fn to_core(value: Value) -> CoreVal {
    match value {
        Value::I32(bits) => CoreVal::I32(bits as i32),
        Value::I64(bits) => CoreVal::I64(bits as i64),
        Value::F32(bits) => CoreVal::F32(bits),
        Value::F64(bits) => CoreVal::F64(bits),
        Value::V128(bits) => CoreVal::V128(bits),
        // No arguments are made of functions or exceptions.
        Value::Func { .. } => CoreVal::FuncRef(None),
        Value::Extern(value) => CoreVal::ExternRef(value),
        Value::Exn { .. } => CoreVal::ExnRef(None),
    }
}

fn from_core(value: CoreVal) -> Value {
    match value {
        CoreVal::I32(value) => Value::I32(value as u32),
        CoreVal::I64(value) => Value::I64(value as u64),
        CoreVal::F32(bits) => Value::F32(bits),
        CoreVal::F64(bits) => Value::F64(bits),
        CoreVal::V128(bits) => Value::V128(bits),
        CoreVal::FuncRef(func) => Value::Func {
            is_null: func.is_none(),
        },
        CoreVal::ExternRef(value) => Value::Extern(value),
        CoreVal::ExnRef(exception) => Value::Exn {
            is_null: exception.is_none(),
        },
    }
}

fn is_null(value: &CoreVal) -> bool {
    matches!(
        value,
        CoreVal::FuncRef(None) | CoreVal::ExternRef(None) | CoreVal::ExnRef(None)
    )
}

//! The other side: `wasmi`, an interpreter.

use std::sync::Arc;

use cwasm::TrapCode;
use wasmi::errors::{ErrorKind, InstantiationError, TableError};
use wasmi::{
    Config, Engine, Extern, ExternRef, F32, F64, Func, FuncType, Module, Ref, Store, StoreContext,
    V128, Val, ValType,
};

use crate::host::{Failed, Host};
use crate::program::Program;
use crate::run::{Bytes, Instance, Runtime, State, Stop};
use crate::shape::{Import, Kind, Shape};
use crate::value::{Type, Value};

/// More calls inside each other than any program has fuel for.
const MAX_RECURSION: usize = 100_000;
/// Bytes of a stack: enough for most programs; those that need more are not compared any further.
const MAX_STACK: usize = 64 << 20;

/// A program that was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    engine: Engine,
    module: Module,
    provider: Option<Module>,
}

/// An instance with its store.
pub(crate) struct TheirInstance {
    store: Store<()>,
    host: Arc<Host>,
    module: Option<wasmi::Instance>,
    provider: Option<wasmi::Instance>,
}

/// Reads a program, with an engine of its own: engines keep what they have read.
///
/// # Errors
/// Why it refuses the program, unless that is a limit of its own: then it is `Ok(None)`.
pub(crate) fn load(program: &Program) -> Result<Option<Loaded>, String> {
    let mut config = Config::default();
    config
        .wasm_custom_page_sizes(true)
        .wasm_wide_arithmetic(true)
        .set_max_recursion_depth(MAX_RECURSION)
        .set_max_stack_height(MAX_STACK)
        .set_max_cached_stacks(1);
    let engine = Engine::new(&config);
    let module = module(&engine, &program.wasm)?;
    let provider = match &program.provider {
        Some((wasm, _)) => self::module(&engine, wasm)?.map(Some),
        None => Some(None),
    };
    Ok(module.zip(provider).map(|(module, provider)| Loaded {
        engine,
        module,
        provider,
    }))
}

fn module(engine: &Engine, wasm: &[u8]) -> Result<Option<Module>, String> {
    match Module::new(engine, wasm) {
        Ok(module) => Ok(Some(module)),
        Err(error) => match error.kind() {
            ErrorKind::Translation(_) => Ok(None),
            _ => Err(format!("wasmi refuses the module: {error}")),
        },
    }
}

impl Runtime for Loaded {
    type Instance = TheirInstance;

    fn instantiate(&self, program: &Program) -> (TheirInstance, Result<(), Stop>) {
        let mut instance = TheirInstance {
            store: Store::new(&self.engine, ()),
            host: Arc::default(),
            module: None,
            provider: None,
        };
        let started = instance.start(self, program).map_err(|error| stop(&error));
        (instance, started)
    }
}

impl TheirInstance {
    fn start(&mut self, loaded: &Loaded, program: &Program) -> Result<(), wasmi::Error> {
        if let Some(provider) = &loaded.provider {
            self.provider = Some(wasmi::Instance::new(&mut self.store, provider, &[])?);
        }
        let imports = self.imports(&program.shape)?;
        let module = wasmi::Instance::new(&mut self.store, &loaded.module, &imports)?;
        self.module = Some(module);
        Ok(())
    }

    /// The module's imports, in the order that wasmi has: functions, then tables, memories and
    /// globals.
    fn imports(&mut self, shape: &Shape) -> Result<Vec<Extern>, wasmi::Error> {
        let mut items = 0..;
        let imports = shape.imports.iter().enumerate();
        let mut imports = imports
            .map(|(index, import)| match import {
                Import::Func(ty) => {
                    let params = ty.params.iter().map(|ty| value_type(*ty));
                    let results = ty.results.iter().map(|ty| value_type(*ty));
                    let func_type = FuncType::new(params, results);
                    let (host, types) = (Arc::clone(&self.host), ty.results.clone());
                    let func = Func::new(
                        &mut self.store,
                        func_type,
                        move |mut caller, args, results| {
                            let args = args.iter().map(|arg| from_val(arg, &caller));
                            let returned = host.call(index, args, &types);
                            let returned = returned.map_err(wasmi::Error::host)?;
                            for (place, value) in results.iter_mut().zip(returned) {
                                *place = to_val(value, &mut caller);
                            }
                            Ok(())
                        },
                    );
                    Ok(Extern::Func(func))
                }
                Import::Item(_) => {
                    let name = items
                        .next()
                        .map_or_else(String::new, |item: u32| item.to_string());
                    self.provider
                        .and_then(|provider| provider.get_export(&self.store, &name))
                        .ok_or_else(|| wasmi::Error::new("the provider lacks an export"))
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        imports.sort_by_key(|import| match import {
            Extern::Func(_) => 0,
            Extern::Table(_) => 1,
            Extern::Memory(_) => 2,
            Extern::Global(_) => 3,
        });
        Ok(imports)
    }

    /// Adds what an instance exports to a state.
    fn add(
        &self,
        state: &mut State,
        instance: wasmi::Instance,
        shape: &Shape,
        rename: impl Fn(&str) -> String,
    ) {
        for export in &shape.exports {
            if let Kind::Func(_) = export.kind {
                continue;
            }
            let name = rename(&export.name);
            match instance.get_export(&self.store, &export.name) {
                Some(Extern::Global(global)) => {
                    let value = global.get(&self.store);
                    state.globals.push((name, from_val(&value, &self.store)));
                }
                Some(Extern::Memory(memory)) => {
                    let bytes = Bytes::new(memory.data(&self.store));
                    state.memories.push((name, bytes));
                }
                Some(Extern::Table(table)) => {
                    let elements = 0..table.size(&self.store);
                    let nulls = elements.map(|index| {
                        let element = table.get(&self.store, index);
                        element.is_none_or(|element| is_null(&element))
                    });
                    state.tables.push((name, nulls.collect()));
                }
                Some(Extern::Func(_)) | None => panic!("`{name}` is not what it was"),
            }
        }
    }
}

impl Instance for TheirInstance {
    fn call(&mut self, func: &str, args: &[Value]) -> Result<Vec<Value>, Stop> {
        let module = self.module;
        let Some(func) = module.and_then(|module| module.get_func(&self.store, func)) else {
            return Err(Stop::Error("there is no such function".to_owned()));
        };
        let args: Vec<_> = args
            .iter()
            .map(|arg| to_val(*arg, &mut self.store))
            .collect();
        let ty = func.ty(&self.store);
        let mut results: Vec<_> = ty.results().iter().map(|ty| Val::default(*ty)).collect();
        let called = func.call(&mut self.store, &args, &mut results);
        called.map_err(|error| stop(&error))?;
        let results = results.iter().map(|result| from_val(result, &self.store));
        Ok(results.collect())
    }

    fn state(&mut self, program: &Program) -> State {
        let mut state = State {
            host: self.host.digest(),
            ..State::default()
        };
        if let Some(module) = self.module {
            self.add(&mut state, module, &program.shape, str::to_owned);
        }
        if let Some((module, (_, shape))) = self.provider.zip(program.provider.as_ref()) {
            self.add(&mut state, module, shape, Program::provided_name);
        }
        state
    }
}

impl wasmi::errors::HostError for Failed {}

fn stop(error: &wasmi::Error) -> Stop {
    if error.downcast_ref::<Failed>().is_some() {
        return Stop::Trap(TrapCode::HostError);
    }
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) =
        error.kind()
    {
        return Stop::Trap(TrapCode::TableOutOfBounds);
    }
    // A bulk operation beyond a table's end is an error of the table, not a trap, in some places.
    if let ErrorKind::Table(
        TableError::CopyOutOfBounds | TableError::FillOutOfBounds | TableError::InitOutOfBounds,
    ) = error.kind()
    {
        return Stop::Trap(TrapCode::TableOutOfBounds);
    }
    use wasmi::TrapCode as Theirs;
    let code = match error.as_trap_code() {
        Some(Theirs::UnreachableCodeReached) => TrapCode::Unreachable,
        Some(Theirs::MemoryOutOfBounds) => TrapCode::MemoryOutOfBounds,
        Some(Theirs::TableOutOfBounds) => TrapCode::TableOutOfBounds,
        Some(Theirs::IndirectCallToNull) => TrapCode::IndirectCallToNull,
        Some(Theirs::IntegerDivisionByZero) => TrapCode::IntegerDivisionByZero,
        Some(Theirs::IntegerOverflow) => TrapCode::IntegerOverflow,
        Some(Theirs::BadConversionToInteger) => TrapCode::BadConversionToInteger,
        Some(Theirs::StackOverflow) => TrapCode::StackOverflow,
        Some(Theirs::BadSignature) => TrapCode::BadSignature,
        Some(other) => return Stop::Error(format!("{other:?}")),
        None => return Stop::Error(format!("{error}")),
    };
    Stop::Trap(code)
}

fn value_type(ty: Type) -> ValType {
    match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
        Type::F32 => ValType::F32,
        Type::F64 => ValType::F64,
        Type::V128 => ValType::V128,
        Type::Func => ValType::FuncRef,
        Type::Extern => ValType::ExternRef,
        Type::Exn => unreachable!("it has no exceptions"),
    }
}

fn to_val(value: Value, store: impl wasmi::AsContextMut) -> Val {
    match value {
        Value::I32(bits) => Val::I32(bits as i32),
        Value::I64(bits) => Val::I64(bits as i64),
        Value::F32(bits) => Val::F32(F32::from_bits(bits)),
        Value::F64(bits) => Val::F64(F64::from_bits(bits)),
        Value::V128(bits) => Val::V128(V128::from(bits)),
        // No arguments are made of functions.
        Value::Func { .. } => Val::FuncRef(Ref::Null),
        Value::Extern(None) => Val::ExternRef(Ref::Null),
        Value::Exn { .. } => unreachable!("it has no exceptions"),
        Value::Extern(Some(value)) => Val::ExternRef(ExternRef::new(store, value).into()),
    }
}

fn from_val<'a>(value: &Val, store: impl Into<StoreContext<'a, ()>>) -> Value {
    match value {
        Val::I32(value) => Value::I32(*value as u32),
        Val::I64(value) => Value::I64(*value as u64),
        Val::F32(value) => Value::F32(value.to_bits()),
        Val::F64(value) => Value::F64(value.to_bits()),
        Val::V128(value) => Value::V128(value.as_u128()),
        Val::FuncRef(func) => Value::Func {
            is_null: func.is_null(),
        },
        Val::ExternRef(Ref::Null) => Value::Extern(None),
        Val::ExternRef(Ref::Val(value)) => match value.data(store).downcast_ref::<u32>() {
            Some(value) => Value::Extern(Some(*value)),
            None => unreachable!("all references to values of the host are numbers"),
        },
    }
}

fn is_null(value: &Val) -> bool {
    matches!(value, Val::FuncRef(Ref::Null) | Val::ExternRef(Ref::Null))
}

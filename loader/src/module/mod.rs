//! Core modules: units whose imports stay open until they are instantiated.
//!
//! A component needs none of this; it serves core modules that are compiled on their own.
#![allow(unsafe_code, reason = "fills in addresses that compiled code follows")]

mod exception;
mod externs;
mod func;
mod linked;
mod setup;
mod shared;

use std::path::Path;
use std::sync::Arc;

use cwasm_format::Artifact;
use cwasm_format::exports::StrRef;
use cwasm_format::header::{Kind, NONE};
use cwasm_format::vmctx::VmFuncRef;

use crate::artifact::Unit;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::link_error::{ImportItem, LinkError, Mismatch};
use crate::trace;
use crate::vm::backtrace::{self, Frame};
use crate::vm::caller::Caller;
use crate::vm::initialize::initialize;
use crate::vm::instance::InstanceKind;
use crate::vm::store::{Owner, StoreOpaque};
use crate::vm::store_context::{AsContext, AsContextMut, StoreContextMut};
use crate::vm::store_id::StoreId;
use crate::vm::type_ids::TypeIds;

use crate::core_types::ExternType;
pub use cwasm_format::imports::core_type::{HeapType, Limits, RefType, ValType};
pub use exception::{CoreException, CoreExnRef, CoreTag};
pub use externs::{CoreGlobal, CoreMemory, CoreTable, Extern};
pub use func::{CoreFunc, CoreVal};
pub(crate) use linked::{fill_references, instantiate_imported};
use setup::{Setup, check_guard, exported};
pub use shared::SharedMemory;

/// A compiled core module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Module {
    engine: Engine,
    unit: Arc<Unit>,
}

/// An instance of a core module, in a store. A small handle: the instance lives as long as the
/// store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleInstance {
    store: StoreId,
    index: u32,
}

/// An import of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportType<'a> {
    /// The module name.
    pub module: &'a str,
    /// The item's name.
    pub name: &'a str,
    /// The type.
    pub ty: ExternType,
}

impl Module {
    /// Maps the artifact of a core module.
    ///
    /// # Errors
    /// As [`Component::map`](crate::Component::map).
    ///
    /// # Safety
    /// - As for [`Component::map`](crate::Component::map).
    pub unsafe fn map(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        // SAFETY: the caller's contract.
        let unit = unsafe { Unit::map(engine.host(), path.as_ref(), Kind::Module) }?;
        Ok(Module::loaded(engine, unit))
    }

    /// As [`Component::map_verified`](crate::Component::map_verified), for the artifact of a core
    /// module.
    ///
    /// # Errors
    /// As [`Component::map_verified`](crate::Component::map_verified).
    #[cfg(feature = "verify")]
    pub fn map_verified(
        engine: &Engine,
        path: impl AsRef<Path>,
        digest: &[u8; 32],
    ) -> Result<Module> {
        let unit = Unit::map_verified(engine.host(), path.as_ref(), digest, Kind::Module)?;
        Ok(Module::loaded(engine, unit))
    }

    /// As [`Module::map`], from the bytes of an artifact, which are copied.
    ///
    /// # Errors
    /// As [`Module::map`].
    ///
    /// # Safety
    /// - As for [`Component::from_bytes`](crate::Component::from_bytes).
    pub unsafe fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        // SAFETY: the caller's contract.
        let unit = unsafe { Unit::from_bytes(engine.host(), bytes, Kind::Module) }?;
        Ok(Module::loaded(engine, unit))
    }

    /// The module of an artifact that was mapped for it.
    fn loaded(engine: &Engine, unit: Arc<Unit>) -> Module {
        #[cfg(feature = "metrics")]
        unit.count(engine.counters());
        Module {
            engine: engine.clone(),
            unit,
        }
    }

    /// The artifact's records, as [`Component::artifact`](crate::Component::artifact).
    #[doc(hidden)]
    pub fn artifact(&self) -> Artifact<'_> {
        self.unit.artifact()
    }

    /// The imports of the module, in the order of declaration.
    ///
    /// # Errors
    /// If the artifact is malformed.
    pub fn imports(&self) -> Result<Vec<ImportType<'_>>> {
        self.unit.plan()?;
        let imports = self.unit.artifact().imports().iter();
        Ok(imports
            .map(|import| ImportType {
                module: string(&self.unit, import.module),
                name: string(&self.unit, import.name),
                ty: extern_type(&self.unit, import.kind, import.core_type),
            })
            .collect())
    }

    /// Names and types of the module's exports, sorted by name.
    ///
    /// # Errors
    /// If the artifact is malformed.
    pub fn exports(&self) -> Result<Vec<(&str, ExternType)>> {
        self.unit.plan()?;
        let exports = self.unit.artifact().exports().iter();
        Ok(exports
            .map(|export| {
                let ty = extern_type(&self.unit, export.kind, export.core_type);
                (string(&self.unit, export.name), ty)
            })
            .collect())
    }

    /// What is known of the core function at an offset in `.text`, as frames of backtraces have it;
    /// `None` if there is none. Tells later what [`Frame::text_offset`] was of an artifact without
    /// debug information: the same input, compiled with the same options and `--debug`, has the
    /// same machine code.
    pub fn frame_at(&self, text_offset: u32) -> Option<Frame> {
        backtrace::frame_in(&self.unit, text_offset)
    }

    /// Whether its code can be stopped by an [`InterruptHandle`](crate::InterruptHandle).
    pub fn is_interruptible(&self) -> bool {
        self.unit.interrupt_slot().is_some()
    }

    /// Makes an instance with these imports, in the order of [`Module::imports`].
    ///
    /// # Errors
    /// A [`LinkError`] if an import is missing or of another type; a [`Trap`](crate::Trap) if the
    /// module traps while it is instantiated; or there is not enough memory.
    pub fn instantiate(
        &self,
        mut store: impl AsContextMut,
        imports: &[Extern],
    ) -> Result<ModuleInstance> {
        trace::enter!(DEBUG, "instantiate");
        self.instantiate_for(&mut store.as_context_mut(), imports, Caller::Host)
    }

    /// As [`instantiate`](Module::instantiate), for `caller`.
    fn instantiate_for<T: 'static>(
        &self,
        context: &mut StoreContextMut<'_, T>,
        imports: &[Extern],
        caller: Caller,
    ) -> Result<ModuleInstance> {
        let store = context.opaque();
        if !store.engine().same(&self.engine) {
            return Err(Error::msg(
                "the module and the store belong to different engines",
            ));
        }
        let plan = self.unit.plan()?;
        self.check_imports(store, imports)?;
        let usage = store.usage_with(plan)?;
        let type_ids = TypeIds::of(&self.unit, store.engine().types());
        let host_refs = imports.iter().zip(self.unit.artifact().imports());
        let host_refs = host_refs.filter_map(|(import, record)| match import {
            Extern::Func(func) => {
                let host_ref = self.host_ref(store, *func, record.core_type, &type_ids);
                host_ref.transpose()
            }
            _ => None,
        });
        let host_refs = host_refs.collect::<Result<_>>()?;
        let kind = InstanceKind::Module {
            imports: imports.iter().map(Extern::item).collect(),
            host_refs,
        };
        let data = store.new_instance(&self.unit, plan, kind, type_ids)?;
        // Nothing can fail from here to where the store owns the instance: others refer to it.
        Setup { data: &data }.fill(store);
        let instance = ModuleInstance {
            store: store.id(),
            index: store.next_instance(),
        };
        // It stays, even if it traps: its functions may be in the tables of others already.
        store.push_instance(Arc::clone(&data), Owner::Store, usage);
        // SAFETY: an instance of this store by this plan, all of whose parts were filled in.
        let initialized = unsafe { initialize(context, &data, plan, caller) };
        initialized.map_err(|error| exception::attach(context.opaque(), error))?;
        Ok(instance)
    }

    fn check_imports(&self, store: &StoreOpaque, imports: &[Extern]) -> Result<()> {
        let expected = self.imports()?;
        let mut error = LinkError::default();
        let records = self.unit.artifact().imports();
        let count = expected.len();
        for (index, (import, record)) in expected.into_iter().zip(records).enumerate() {
            let path = format!("{}::{}", import.module, import.name);
            match imports.get(index) {
                None => error.missing(path, ImportItem::Core(import.ty)),
                Some(found) => {
                    let guard = check_guard(&found.item(), &import.ty, record);
                    let ty = found.ty(store)?;
                    if guard.is_err() || !ty.matches(&import.ty) {
                        let found = Mismatch {
                            found: ImportItem::Core(ty),
                            detail: guard.err().map(str::to_owned),
                        };
                        error.mismatch(path, ImportItem::Core(import.ty), found);
                    }
                }
            }
        }
        if imports.len() > count {
            let found = imports.len();
            return Err(Error::msg(format!(
                "the module imports {count} items, found {found}"
            )));
        }
        error.into_result()
    }

    /// The reference that stands for a host function in an instance of this module; `None` for
    /// functions of wasm, which have one.
    fn host_ref(
        &self,
        store: &mut StoreOpaque,
        func: CoreFunc,
        core_type: StrRef,
        type_ids: &TypeIds,
    ) -> Result<Option<VmFuncRef>> {
        let Some(host_func) = func.host_func(store) else {
            return Ok(None);
        };
        let artifact = self.unit.artifact();
        let bytes = artifact.string_bytes(core_type);
        let mut types = artifact.core_types().iter().zip(&**type_ids);
        let ty = types.find(|(ty, _)| artifact.string_bytes(ty.core_type) == bytes);
        let known = ty.map(|(ty, id)| (ty.host_trampoline, *id));
        let Some((trampoline, type_id)) = known.filter(|(code, _)| *code != NONE) else {
            return Err(Error::msg(
                "the artifact cannot call host functions of an import's type",
            ));
        };
        // SAFETY: checked by the plan.
        let code = unsafe { self.unit.text().at(trampoline) };
        Ok(Some(VmFuncRef {
            code: code.address().as_ptr().expose_provenance() as u64,
            context: host_func,
            type_id: type_id.into(),
        }))
    }
}

impl ModuleInstance {
    /// The export of this name; `None` if there is none.
    ///
    /// # Errors
    /// If the instance belongs to another store.
    pub fn get(&self, store: impl AsContext, name: &str) -> Result<Option<Extern>> {
        let context = store.as_context();
        let store = context.opaque();
        if self.store != store.id() {
            return Err(Error::msg("the instance belongs to another store"));
        }
        let data = store.instance(self.index);
        let export = data.unit().artifact().export(name);
        Ok(export.map(|export| Extern::new(store.id(), exported(data, export))))
    }
}

/// Refuses items of other stores.
fn check_store(item: StoreId, store: &StoreOpaque) -> Result<()> {
    if item == store.id() {
        Ok(())
    } else {
        Err(Error::msg("the item belongs to another store"))
    }
}

/// Text of an artifact whose records were checked.
fn string(unit: &Unit, reference: StrRef) -> &str {
    unit.artifact().string(reference).unwrap_or_default()
}

/// The type of a core import or export of an artifact whose records were checked.
fn extern_type(unit: &Unit, kind: u32, core_type: StrRef) -> ExternType {
    let bytes = unit.artifact().string_bytes(core_type);
    match bytes.and_then(|bytes| ExternType::decode(kind, bytes)) {
        Some(ty) => ty,
        None => unreachable!("the plan has checked all types"),
    }
}

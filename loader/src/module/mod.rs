//! Core modules: units whose imports stay open until they are instantiated.
//!
//! A component needs none of this; it serves core modules that are compiled on their own.
#![allow(unsafe_code, reason = "fills in addresses that compiled code follows")]

mod externs;
mod func;
mod host;
mod linked;
mod shared;

use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::Artifact;
use cwasm_format::data::{CHECKED_GUARD_SIZE, GUARD_SIZE, RESERVATION_32};
use cwasm_format::exports::{ExportRecord, IMPORTED, StrRef};
use cwasm_format::header::{Kind, NONE};
use cwasm_format::imports::ImportRecord;
use cwasm_format::vmctx::{VmContext, VmFuncImport, VmFuncRef};

use crate::artifact::Unit;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::instance::{InstanceData, InstanceKind, initialize};
use crate::link_error::LinkError;
use crate::vm::store::{AsContext, AsContextMut, StoreId, StoreOpaque};

use crate::core_types::ExternType;
pub use cwasm_format::imports::core_type::{HeapType, Limits, RefType, ValType};
use externs::Guard;
pub use externs::{CoreGlobal, CoreMemory, CoreTable, Extern};
pub use func::{CoreFunc, CoreVal};
pub(crate) use host::HostItems;
pub(crate) use linked::{fill_references, instantiate_imported};
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

/// What an instance of a module keeps besides its memory.
#[derive(Debug)]
pub(crate) struct ModuleState {
    /// What it was instantiated with.
    imports: Box<[Extern]>,
    /// References to the host functions among the imports; the context points to them.
    host_refs: Box<[VmFuncRef]>,
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
        Ok(Module {
            engine: engine.clone(),
            unit,
        })
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
        Ok(Module {
            engine: engine.clone(),
            unit,
        })
    }

    /// The artifact's records, for tools.
    pub fn artifact(&self) -> Artifact<'_> {
        self.unit.artifact()
    }

    /// What the module imports, in the order of declaration.
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

    /// Names and types of what the module exports, sorted by name.
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

    /// Whether its code can be stopped by an [`InterruptHandle`](crate::InterruptHandle).
    pub fn is_interruptible(&self) -> bool {
        self.unit.interrupt_slot().is_some()
    }

    /// Makes an instance, with what it imports in the order of [`Module::imports`].
    ///
    /// # Errors
    /// A [`LinkError`] if an import is missing or of another type; a [`Trap`](crate::Trap) if the
    /// module traps while it is instantiated; or there is not enough memory.
    pub fn instantiate(
        &self,
        mut store: impl AsContextMut,
        imports: &[Extern],
    ) -> Result<ModuleInstance> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        if !store.engine().same(&self.engine) {
            return Err(Error::msg(
                "the module and the store belong to different engines",
            ));
        }
        let plan = self.unit.plan()?;
        self.check_imports(store, imports)?;
        let usage = store.usage_with(plan)?;
        let host_refs = imports.iter().zip(self.unit.artifact().imports());
        let host_refs = host_refs.filter_map(|(import, record)| match import {
            Extern::Func(func) => self.host_ref(store, *func, record.core_type).transpose(),
            _ => None,
        });
        let host_refs = host_refs.collect::<Result<_>>()?;
        let state = ModuleState {
            imports: imports.into(),
            host_refs,
        };
        let data = InstanceData::new(store, &self.unit, plan, InstanceKind::Module(state))?;
        // Nothing can fail from here to where the store owns the instance: others refer to it.
        Setup {
            engine: &self.engine,
            data: &data,
        }
        .fill(store);
        let instance = ModuleInstance {
            store: store.id(),
            index: store.next_instance(),
        };
        // It stays, even if it traps: its functions may be in the tables of others already.
        store.push_instance(Arc::clone(&data), usage);
        // SAFETY: an instance of this store by this plan, all of whose parts were filled in.
        unsafe { initialize(&mut context, &data, plan) }?;
        Ok(instance)
    }

    fn check_imports(&self, store: &StoreOpaque, imports: &[Extern]) -> Result<()> {
        let expected = self.imports()?;
        let mut error = LinkError::default();
        let records = self.unit.artifact().imports();
        for (index, (import, record)) in expected.iter().zip(records).enumerate() {
            let path = format!("{}::{}", import.module, import.name);
            match imports.get(index) {
                None => error.missing(path, format!("expected {}", import.ty)),
                Some(found) => {
                    if let Err(detail) = check_guard(found, &import.ty, record) {
                        error.mismatch(path, detail.to_owned());
                        continue;
                    }
                    let found = found.ty(store)?;
                    if !found.matches(&import.ty) {
                        let detail = format!("expected {}, found {found}", import.ty);
                        error.mismatch(path, detail);
                    }
                }
            }
        }
        if imports.len() > expected.len() {
            let (expected, found) = (expected.len(), imports.len());
            return Err(Error::msg(format!(
                "the module imports {expected} items, found {found}"
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
    ) -> Result<Option<VmFuncRef>> {
        let Some(host_func) = func.host_func(store) else {
            return Ok(None);
        };
        let artifact = self.unit.artifact();
        let bytes = artifact.string_bytes(core_type);
        let mut types = artifact.core_types().iter();
        let ty = types.find(|ty| artifact.string_bytes(ty.core_type) == bytes);
        let Some(trampoline) = ty.map(|ty| ty.host_trampoline).filter(|code| *code != NONE) else {
            return Err(Error::msg(
                "the artifact cannot call host functions of an import's type",
            ));
        };
        // SAFETY: checked by the plan.
        let code = unsafe { self.unit.text().at(trampoline) };
        let type_id = store.engine().type_id(bytes.unwrap_or_default());
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
        Ok(export.map(|export| exported(store.id(), data, export)))
    }
}

/// An export of an instance of a module.
fn exported(store: StoreId, data: &InstanceData, export: &ExportRecord) -> Extern {
    if export.index & IMPORTED != 0 {
        let InstanceKind::Module(state) = data.kind() else {
            unreachable!("only modules export what they import")
        };
        return state.imports[(export.index & !IMPORTED) as usize];
    }
    let ty = extern_type(data.unit(), export.kind, export.core_type);
    // SAFETY: the plan has checked that exports are what their kind says, and where.
    let address = unsafe { data.slot::<u8>(export.index) };
    match ty {
        ExternType::Func(_) => Extern::Func(CoreFunc::from_ref(store, address.cast())),
        ExternType::Table(ty) => Extern::Table(CoreTable::new_at(store, address.cast(), ty)),
        ExternType::Memory(ty) => {
            let memories = data.unit().artifact().memories();
            let memory = memories.iter().find(|memory| memory.slot == export.index);
            let guard = memory.map_or(Guard::None, |memory| {
                match (memory.is_checked, memory.reservation, memory.guard_size) {
                    (0, RESERVATION_32.., GUARD_SIZE..) => Guard::Address,
                    (_, _, CHECKED_GUARD_SIZE..) => Guard::Size,
                    _ => Guard::None,
                }
            });
            Extern::Memory(CoreMemory::new_at(store, address.cast(), ty, guard))
        }
        ExternType::Global(ty) => Extern::Global(CoreGlobal::new_at(store, address, ty)),
    }
}

/// Checks that a memory has the inaccessible pages that code relies on which imports it as this type.
fn check_guard(
    found: &Extern,
    ty: &ExternType,
    record: &ImportRecord,
) -> std::result::Result<(), &'static str> {
    let needed = match ty {
        // Accesses to other memories are always checked, whatever the record says.
        ExternType::Memory(ty)
            if !ty.limits.is_64 && ty.page_log2 == 16 && record.is_checked == 0 =>
        {
            Guard::Address
        }
        _ => Guard::Size,
    };
    match found {
        Extern::Memory(memory) if memory.guard() < needed => Err(
            "the memory has too small a guard: its module was compiled with `--bounds check`, which \
             what imports it needs too",
        ),
        _ => Ok(()),
    }
}

/// A new instance whose context is being filled in.
struct Setup<'a> {
    engine: &'a Engine,
    data: &'a InstanceData,
}

impl Setup<'_> {
    /// Fills in all that is not in the image: types, references and imports.
    fn fill(&self, store: &mut StoreOpaque) {
        self.fill_types();
        self.fill_imports(store);
        self.fill_ref_slots();
    }

    /// Fills in types, and references to the unit's own functions.
    fn fill_types(&self) {
        let artifact = self.data.unit().artifact();
        let types = artifact.core_types().iter();
        let type_ids: Vec<u32> = types
            .map(|ty| {
                self.engine
                    .type_id(artifact.string_bytes(ty.core_type).unwrap_or_default())
            })
            .collect();
        if artifact.header().type_ids != NONE {
            for (index, id) in type_ids.iter().enumerate() {
                self.write(artifact.header().type_ids + 4 * index as u32, *id);
            }
        }
        for func_ref in artifact.func_refs() {
            // SAFETY: checked by the plan.
            let code = unsafe { self.data.text().at(func_ref.code) };
            let context = self.data.context().as_ptr();
            let value = VmFuncRef {
                code: code.address().as_ptr().expose_provenance() as u64,
                context: context.expose_provenance() as u64,
                type_id: type_ids[func_ref.core_type as usize].into(),
            };
            self.write(func_ref.slot, value);
        }
    }

    /// Fills in what holds references from the start.
    fn fill_ref_slots(&self) {
        for slot in self.data.unit().artifact().ref_slots() {
            let address = if slot.source & IMPORTED == 0 {
                self.address(slot.source)
            } else {
                // SAFETY: the plan has checked that this is the slot of a function's import.
                let import = unsafe { self.data.slot::<VmFuncImport>(slot.source & !IMPORTED) };
                // SAFETY: as above; written by `fill_imports`.
                unsafe { import.read() }.func_ref
            };
            self.write(slot.slot, address);
        }
    }

    fn fill_imports(&self, store: &mut StoreOpaque) {
        let InstanceKind::Module(state) = self.data.kind() else {
            unreachable!("the instance is of a module")
        };
        let mut host_refs = state.host_refs.iter();
        for (import, record) in state
            .imports
            .iter()
            .zip(self.data.unit().artifact().imports())
        {
            match import {
                Extern::Func(func) => {
                    let func_ref = match func.func_ref() {
                        Some(func_ref) => func_ref,
                        // One was made for each host function, in this order.
                        None => match host_refs.next() {
                            Some(func_ref) => {
                                let func_ref = NonNull::from(func_ref);
                                func.set_host_ref(store, func_ref);
                                func_ref
                            }
                            None => unreachable!("each host function has a reference"),
                        },
                    };
                    self.link_func(record.slot, func_ref);
                }
                import => self.link_address(record.slot, import),
            }
        }
    }

    /// Fills in an import of a component.
    ///
    /// # Errors
    /// If it is a function of the host, which has no code for components.
    fn link(&self, record: &ImportRecord, import: &Extern) -> Result<()> {
        let Extern::Func(func) = import else {
            self.link_address(record.slot, import);
            return Ok(());
        };
        match func.func_ref() {
            Some(func_ref) => {
                self.link_func(record.slot, func_ref);
                Ok(())
            }
            None => Err(Error::msg(
                "a component cannot use a host function that a core module exports",
            )),
        }
    }

    /// Fills in the slot of a function, if it has one.
    fn link_func(&self, slot: u32, func_ref: NonNull<VmFuncRef>) {
        // SAFETY: references live as long as the store.
        let VmFuncRef { code, context, .. } = unsafe { func_ref.read() };
        let func_ref = func_ref.as_ptr().expose_provenance() as u64;
        if slot != NONE {
            self.write(
                slot,
                VmFuncImport {
                    code,
                    context,
                    func_ref,
                },
            );
        }
    }

    /// Fills in the slot of anything else, if it has one.
    fn link_address(&self, slot: u32, import: &Extern) {
        let address = match import {
            Extern::Func(_) => unreachable!("functions have more than an address"),
            Extern::Table(table) => table.address(),
            Extern::Memory(memory) => memory.address(),
            Extern::Global(global) => global.address(),
        };
        if slot != NONE {
            self.write(slot, address);
        }
    }

    /// The address of an offset in the context.
    fn address(&self, offset: u32) -> u64 {
        let context: *mut VmContext = self.data.context().as_ptr();
        context
            .wrapping_byte_add(offset as usize)
            .expose_provenance() as u64
    }

    /// Writes to a slot that a record names.
    fn write<T>(&self, offset: u32, value: T) {
        // SAFETY: the plan has checked all slots for what is written there.
        let slot = unsafe { self.data.slot::<T>(offset) };
        // SAFETY: as above; no code runs yet.
        unsafe { slot.write(value) };
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

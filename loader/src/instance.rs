//! Instances: a slot filled from an artifact, and what it keeps alive.
#![allow(unsafe_code, reason = "sets up the memory that compiled code runs on")]

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::exports::{IMPORTED, LiftRecord, kind};
use cwasm_format::types::ResourceNumber;
use cwasm_format::vmctx::{VmContext, VmHandles, VmHostImport, VmTable};

use crate::artifact::plan::Plan;
use crate::artifact::{Code, Text, Unit};
use crate::component::Component;
use crate::error::{Context as _, Error, Result};
use crate::func::{Func, TypedFunc};
use crate::module::{self, Module, ModuleState};
use crate::resource::{HostResource, HostResources, ResourceType};
use crate::values::{ComponentNamedList, Lift, Lower};
use crate::vm::canon::{CallTarget, CanonOptions, enter, invoke};
use crate::vm::handles;
use crate::vm::interrupt::Interrupts;
use crate::vm::memory::Slot;
use crate::vm::store::{AsContextMut, StoreContextMut, StoreId, StoreOpaque};
use crate::vm::table;
use crate::vm::trap::take_trap;

/// An instance of a component, in a store.
///
/// A small handle: the instance lives as long as the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    store: StoreId,
    index: u32,
}

/// The loader's own data of an instance: what `VmContext::instance` points to.
#[derive(Debug)]
pub(crate) struct InstanceData {
    /// Invariant 1: set up from `unit`.
    slot: Slot,
    text: Text,
    kind: InstanceKind,
    /// If the code can be stopped: owner of the page whose address is in the context.
    interrupts: Option<Arc<Interrupts>>,
    /// Dropped after the slot.
    unit: Arc<Unit>,
}

/// Core modules that a component imports, by the index of the import.
pub(crate) type Modules = Arc<[Option<Module>]>;

/// What differs between instances of components and of core modules.
#[derive(Debug)]
pub(crate) enum InstanceKind {
    Component {
        /// Index of the instance in its store.
        index: u32,
        /// Resource types by number.
        resource_types: Box<[ResourceType]>,
        host_resources: HostResources,
        /// The core modules that it imports, by the index of the import.
        modules: Modules,
        /// Owner of what the slots for host functions point to.
        _imports: Arc<dyn Any + Send + Sync>,
    },
    Module(ModuleState),
}

impl InstanceData {
    /// A new instance of `unit`: images, memories and tables are in place.
    ///
    /// # Errors
    /// If there is not enough address space or memory.
    pub(crate) fn new(
        store: &StoreOpaque,
        unit: &Arc<Unit>,
        plan: &Plan,
        kind: InstanceKind,
    ) -> Result<Arc<InstanceData>> {
        let interrupts = plan.interrupt_slot.map(|_| Arc::clone(store.interrupts()));
        let page = match &interrupts {
            Some(interrupts) => interrupts.page_address()?,
            None => 0,
        };
        let slot = Slot::new(store.engine(), store.limits(), unit, plan)?;
        let context = slot.context();
        let unit = Arc::clone(unit);
        let data = Arc::new(InstanceData {
            slot,
            text: unit.text(),
            kind,
            interrupts,
            unit,
        });
        let instance = Arc::as_ptr(&data).expose_provenance() as u64;
        let head = VmContext {
            store: store.vm_address(),
            instance,
        };
        // SAFETY: the context starts with its head, and nothing else refers to it yet.
        unsafe { context.write(head) };
        if let Some(offset) = plan.interrupt_slot {
            // SAFETY: the plan has checked the slot.
            let slot = unsafe { data.slot::<u64>(offset) };
            // SAFETY: as above; aligned, and nothing else refers to it yet.
            unsafe { slot.write(page) };
        }
        Ok(data)
    }

    /// The instance that a context belongs to.
    ///
    /// # Safety
    /// - `context` is the context of an instance that lives for `'a`.
    #[inline]
    pub(crate) unsafe fn of<'a>(context: NonNull<VmContext>) -> &'a InstanceData {
        // SAFETY: live (the caller's contract).
        let instance = unsafe { context.as_ref() }.instance;
        let data = std::ptr::with_exposed_provenance::<InstanceData>(instance as usize);
        // SAFETY: `InstanceData::new` set it to the address of the data, which has not moved.
        unsafe { &*data }
    }

    pub(crate) fn context(&self) -> NonNull<VmContext> {
        self.slot.context()
    }

    /// Whether an address is in the instance's address space.
    pub(crate) fn reserves(&self, address: usize) -> bool {
        self.slot.contains(address)
    }

    /// What stops the code, if it can be stopped.
    pub(crate) fn interrupts(&self) -> Option<&Interrupts> {
        self.interrupts.as_deref()
    }

    pub(crate) fn text(&self) -> Text {
        self.text
    }

    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    pub(crate) fn kind(&self) -> &InstanceKind {
        &self.kind
    }

    /// The index of a component's instance in its store.
    pub(crate) fn index(&self) -> Option<u32> {
        match &self.kind {
            InstanceKind::Component { index, .. } => Some(*index),
            InstanceKind::Module(_) => None,
        }
    }

    /// What a resource of the component is.
    pub(crate) fn resource_type(&self, resource: ResourceNumber) -> Option<ResourceType> {
        match &self.kind {
            InstanceKind::Component { resource_types, .. } => {
                resource_types.get(resource.0 as usize).copied()
            }
            InstanceKind::Module(_) => None,
        }
    }

    /// The host's resources of the component, by number.
    pub(crate) fn host_resources(&self) -> &[Option<HostResource>] {
        match &self.kind {
            InstanceKind::Component { host_resources, .. } => host_resources,
            InstanceKind::Module(_) => &[],
        }
    }

    /// The host's resource of this number.
    pub(crate) fn host_resource(&self, resource: ResourceNumber) -> Option<&HostResource> {
        self.host_resources().get(resource.0 as usize)?.as_ref()
    }

    /// The address of a part of the context.
    ///
    /// # Safety
    /// - `offset` was checked for a `T` with [`Unit::check_slot`].
    pub(crate) unsafe fn slot<T>(&self, offset: u32) -> NonNull<T> {
        // SAFETY: inside the context (the caller's contract).
        unsafe { self.context().byte_add(offset as usize) }.cast()
    }
}

impl Drop for InstanceData {
    fn drop(&mut self) {
        for record in self.unit.artifact().tables() {
            // SAFETY: the plan, which the instance was made from, has checked all tables.
            let table = unsafe { self.slot::<VmTable>(record.slot) };
            // SAFETY: a table of this instance, which nobody uses any more.
            let table = unsafe { table.as_ref() };
            // SAFETY: as above; tables are as `table::grow` left them.
            unsafe { table::free(table) };
        }
        for record in self.unit.artifact().handle_tables() {
            // SAFETY: as above.
            let table = unsafe { self.slot::<VmHandles>(record.slot) };
            // SAFETY: as above.
            handles::free(unsafe { &mut *table.as_ptr() });
        }
    }
}

impl Instance {
    /// Makes an instance of a component whose imports are resolved.
    ///
    /// # Errors
    /// If there is not enough memory, or the guest traps.
    pub(crate) fn instantiate(
        mut store: impl AsContextMut,
        component: &Component,
        imports: &ImportTable,
        host_resources: &HostResources,
        modules: &Modules,
        keep: Arc<dyn Any + Send + Sync>,
    ) -> Result<Instance> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        if !store.engine().same(component.engine()) {
            return Err(Error::msg(
                "the component and the store belong to different engines",
            ));
        }
        let plan = component.unit().plan()?;
        let usage = store.usage_with(plan)?;
        let index = store.next_instance();
        let kind = InstanceKind::Component {
            index,
            resource_types: resource_types(store.id(), index, host_resources),
            host_resources: Arc::clone(host_resources),
            modules: Arc::clone(modules),
            _imports: keep,
        };
        let data = InstanceData::new(store, component.unit(), plan, kind)?;
        for (offset, import) in &imports.0 {
            // SAFETY: the plan has checked the slots of all imports.
            let slot = unsafe { data.slot::<VmHostImport>(*offset) };
            // SAFETY: as above; aligned, and no code runs yet.
            unsafe { slot.write(*import) };
        }
        module::fill_references(store, &data);
        let instance = Instance {
            store: store.id(),
            index,
        };
        store.push_instance(Arc::clone(&data), usage);
        // SAFETY: an instance of this store by this plan, whose imports and references are in place;
        // the linker has checked the modules.
        let linked = unsafe { module::instantiate_imported(&mut context, &data, plan, modules) };
        let initialized = linked.and_then(|()| {
            // SAFETY: as above, with all that comes from imported modules.
            unsafe { initialize(&mut context, &data, plan) }
        });
        // Host functions that it called may have kept handles and views of it: then it stays, and
        // counts, as long as the store.
        if initialized.is_err() && component.artifact().lowers().is_empty() {
            context.opaque().pop_instance(instance.index);
        }
        initialized.map(|()| instance)
    }

    /// The exported function of this name, or `instance#function`; `None` if there is none, or the
    /// instance is of another store.
    pub fn get_func(&self, mut store: impl AsContextMut, name: &str) -> Option<Func> {
        let mut context = store.as_context_mut();
        self.call_target(context.opaque(), name)
            .ok()
            .flatten()
            .map(Func::new)
    }

    /// The exported function of this name, or `instance#function`, for calls with parameters `P`
    /// and results `R`.
    ///
    /// # Errors
    /// If there is none, its type is another one, or the instance is of another store.
    #[inline]
    pub fn get_typed_func<P, R>(
        &self,
        mut store: impl AsContextMut,
        name: &str,
    ) -> Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let mut context = store.as_context_mut();
        let Some((data, lift)) = self.lift(context.opaque(), name)? else {
            return Err(no_function(name));
        };
        if let Some(func) = TypedFunc::of_plain(lift.hash, || self.target(data, lift)) {
            return Ok(func);
        }
        let func = Func::new(self.target(data, lift)).typed(&context);
        func.with_context(|| format!("cannot use the export `{name}`"))
    }

    /// Checks which of the handles in the type of an exported function are borrowed: for what
    /// `bindgen!` makes, whose types stand for both.
    ///
    /// # Errors
    /// As [`Instance::get_typed_func`]; or others are.
    #[doc(hidden)]
    pub fn check_borrows(
        &self,
        mut store: impl AsContextMut,
        name: &str,
        is_borrow: &[bool],
    ) -> Result<()> {
        let mut context = store.as_context_mut();
        let func = self.get_func(&mut context, name);
        let func = func.ok_or_else(|| no_function(name))?;
        func.check_borrows(context.opaque(), is_borrow)
            .with_context(|| format!("cannot use the export `{name}`"))
    }

    /// The exported resource type of this name, or `instance#resource`; `None` if there is none, or
    /// the instance is of another store.
    pub fn get_resource(&self, mut store: impl AsContextMut, name: &str) -> Option<ResourceType> {
        let mut context = store.as_context_mut();
        let data = self.data(context.opaque()).ok()?;
        let export = data.unit.artifact().export(name)?;
        match export.kind {
            kind::RESOURCE => data.resource_type(ResourceNumber(export.index)),
            _ => None,
        }
    }

    /// The exported core module of this name, or `instance#module`; `None` if there is none, or the
    /// instance is of another store. It can be one that the component imports.
    ///
    /// # Errors
    /// If the artifact is malformed.
    pub fn get_module(&self, mut store: impl AsContextMut, name: &str) -> Result<Option<Module>> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        let Ok(data) = self.data(store) else {
            return Ok(None);
        };
        let export = data.unit.artifact().export(name);
        match (export, &data.kind) {
            (Some(export), InstanceKind::Component { modules, .. })
                if export.kind == kind::MODULE =>
            {
                match export.index & IMPORTED {
                    0 => Module::exported(store.engine(), &data.unit, export).map(Some),
                    _ => Ok(modules[(export.index & !IMPORTED) as usize].clone()),
                }
            }
            _ => Ok(None),
        }
    }

    /// The exported function of this name or path; `None` if there is none.
    ///
    /// # Errors
    /// If the instance belongs to another store.
    pub(crate) fn call_target(
        &self,
        store: &StoreOpaque,
        name: &str,
    ) -> Result<Option<CallTarget>> {
        let found = self.lift(store, name)?;
        Ok(found.map(|(data, lift)| self.target(data, lift)))
    }

    /// The exported function of this name or path, as the artifact has it.
    ///
    /// # Errors
    /// If the instance belongs to another store.
    fn lift<'s>(
        &self,
        store: &'s StoreOpaque,
        name: &str,
    ) -> Result<Option<(&'s InstanceData, &'s LiftRecord)>> {
        let data = self.data(store)?;
        Ok(data.unit.lift(name).map(|lift| (data, lift)))
    }

    /// How a function of this instance is called. The plan has checked its record.
    #[inline(always)]
    fn target(&self, data: &InstanceData, lift: &LiftRecord) -> CallTarget {
        // SAFETY: checked by the plan.
        let code = unsafe { data.text.at(lift.thunk) };
        let post_return = (lift.post_return != cwasm_format::header::NONE).then(|| {
            // SAFETY: checked by the plan.
            unsafe { data.text.at(lift.post_return) }
        });
        // SAFETY: checked by the plan, and the context is that of a live instance.
        let options =
            unsafe { CanonOptions::new(data.context(), || data.text, &lift.options, lift.flags) };
        CallTarget {
            store: self.store,
            instance: self.index,
            code,
            post_return,
            options,
            hash: lift.hash,
            func_type: lift.func_type,
        }
    }

    #[inline]
    fn data<'a>(&self, store: &'a StoreOpaque) -> Result<&'a InstanceData> {
        if self.store != store.id() {
            return Err(Error::msg("the instance belongs to another store"));
        }
        Ok(store.instance(self.index))
    }
}

#[cold]
fn no_function(name: &str) -> Error {
    Error::msg(format!("the component exports no function `{name}`"))
}

/// What each resource of an instance is.
fn resource_types(
    store: StoreId,
    instance: u32,
    host_resources: &HostResources,
) -> Box<[ResourceType]> {
    let numbers = (0..).map(ResourceNumber);
    let types = numbers.zip(host_resources.iter());
    types
        .map(|(number, host)| match host {
            Some(host) => host.ty,
            None => ResourceType::guest(store, instance, number),
        })
        .collect()
}

/// Runs what is left to do of instantiation.
///
/// # Errors
/// The guest's trap.
///
/// # Safety
/// - `data` is an instance of the store, made by `plan`, all of whose imports and references are
///   in place.
pub(crate) unsafe fn initialize<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    data: &InstanceData,
    plan: &Plan,
) -> Result<()> {
    match plan.init {
        // SAFETY: a thunk without arguments, which can run (the caller's contract).
        Some(init) => unsafe { run(context, data, init) },
        None => Ok(()),
    }
}

/// Runs a part of instantiation.
///
/// # Errors
/// The guest's trap.
///
/// # Safety
/// - `init` is a thunk without arguments of the instance `data` of the store, and what it needs is in
///   place.
pub(crate) unsafe fn run<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    data: &InstanceData,
    init: Code,
) -> Result<()> {
    enter(context.opaque())?;
    // SAFETY: a thunk without arguments, of this instance, which can run (the caller's contract);
    // the thread is ready.
    let result = unsafe { invoke(init, data.context(), &[]) };
    match result.status {
        0 => Ok(()),
        status => Err(take_trap(context.opaque(), status)),
    }
}

/// Resolved imports: context offsets and what is written there.
///
/// Invariant: each is the slot of an import of the component that the table is used for, and what
/// is written there matches the import's type.
#[derive(Debug)]
pub(crate) struct ImportTable(pub(crate) Box<[(u32, VmHostImport)]>);

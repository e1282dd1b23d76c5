//! Instances: a slot that is filled from an artifact, and the owners of what it points to.
#![allow(unsafe_code, reason = "sets up the memory that compiled code runs on")]

#[cfg(feature = "recycle")]
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::types::ResourceNumber;
#[cfg(feature = "async")]
use cwasm_format::vmctx::VmConcurrent;
use cwasm_format::vmctx::{VmContext, VmFuncRef, VmHandles, VmTable};

use super::handles;
use super::interrupt::Interrupts;
use super::items::Item;
use super::limits::StoreLimits;
#[cfg(feature = "recycle")]
use super::recycle::crowd::Crowd;
#[cfg(feature = "recycle")]
use super::recycle::reset::Reset;
use super::resources::{HostResource, HostResources, ResourceType};
use super::slot::Slot;
#[cfg(feature = "recycle")]
use super::store_id::StoreId;
use super::table;
use super::type_ids::TypeIds;
use crate::artifact::plan::InstancePlan;
use crate::artifact::{Text, Unit};

/// The loader's own data of an instance: what `VmContext::instance` points to.
#[derive(Debug)]
pub(crate) struct InstanceData {
    /// Invariant 1: set up from `unit`.
    slot: Slot,
    text: Text,
    kind: InstanceKind,
    /// If the code can be stopped: owner of the page whose address is in the context.
    interrupts: Option<Arc<Interrupts>>,
    /// The numbers of the unit's core types, which are in the context.
    type_ids: TypeIds,
    /// Dropped after the slot.
    unit: Arc<Unit>,
}

/// Core modules that a component imports, by the index of the import.
pub(crate) type Modules = Arc<[Option<Arc<Unit>>]>;

/// The parts that differ between instances of components and of core modules.
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
        /// Whether an import waits for futures of the host.
        #[cfg(feature = "async")]
        is_async: bool,
    },
    Module {
        /// The imports that it was instantiated with.
        imports: Box<[Item]>,
        /// References to the host functions among the imports; the context points to them.
        host_refs: Box<[VmFuncRef]>,
    },
}

impl InstanceData {
    /// An instance of `unit` in a clean slot, which belongs to no store yet.
    pub(super) fn new(
        slot: Slot,
        unit: &Arc<Unit>,
        kind: InstanceKind,
        type_ids: TypeIds,
    ) -> Arc<InstanceData> {
        Arc::new(InstanceData {
            slot,
            text: unit.text(),
            kind,
            interrupts: None,
            type_ids,
            unit: Arc::clone(unit),
        })
    }

    /// Prepares an instance with a clean slot for the store whose `VmStore` is at this address:
    /// memories and tables are in place, all else in the context is as in its image.
    ///
    /// # Panics
    /// If anybody else has the instance.
    pub(super) fn begin(
        this: &mut Arc<InstanceData>,
        store: u64,
        plan: &InstancePlan,
        limits: &StoreLimits,
        interrupts: Option<Arc<Interrupts>>,
    ) {
        let Some(data) = Arc::get_mut(this) else {
            unreachable!("instances that belong to no store are nobody's")
        };
        data.slot.prepare(plan, limits);
        data.interrupts = interrupts;
        let instance = Arc::as_ptr(this).expose_provenance() as u64;
        let context = this.slot.context();
        // SAFETY: the context starts with its head, and nothing else refers to it yet.
        unsafe {
            context.write(VmContext {
                store,
                instance,
                closed: 0,
                held: 0,
            });
        };
    }

    /// Whether an import waits for futures of the host.
    #[cfg(feature = "async")]
    pub(crate) fn is_async(&self) -> bool {
        matches!(self.kind, InstanceKind::Component { is_async: true, .. })
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

    /// The requests to stop its code, if that is interruptible.
    pub(crate) fn interrupts(&self) -> Option<&Interrupts> {
        self.interrupts.as_deref()
    }

    pub(crate) fn type_ids(&self) -> &TypeIds {
        &self.type_ids
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
            InstanceKind::Module { .. } => None,
        }
    }

    /// The type of a resource of the component.
    pub(crate) fn resource_type(&self, resource: ResourceNumber) -> Option<ResourceType> {
        match &self.kind {
            InstanceKind::Component { resource_types, .. } => {
                resource_types.get(resource.0 as usize).copied()
            }
            InstanceKind::Module { .. } => None,
        }
    }

    /// The host's resources of the component, by number.
    pub(crate) fn host_resources(&self) -> &[Option<HostResource>] {
        match &self.kind {
            InstanceKind::Component { host_resources, .. } => host_resources,
            InstanceKind::Module { .. } => &[],
        }
    }

    /// The host's resource of this number.
    pub(crate) fn host_resource(&self, resource: ResourceNumber) -> Option<&HostResource> {
        self.host_resources().get(resource.0 as usize)?.as_ref()
    }

    /// The storage of the running task (`context.get`, `context.set`) of the component instance
    /// whose flags are at this context offset, if it has tasks.
    #[cfg(feature = "async")]
    pub(crate) fn storage(&self, flags: u32) -> Option<NonNull<[u64; 2]>> {
        const { assert!(std::mem::offset_of!(VmConcurrent, storage) == 0) };
        // The compiler writes both in the order of the component instances.
        let records = self.unit().artifact().concurrent();
        let place = records.binary_search_by_key(&flags, |record| record.flags);
        let record = &records[place.ok()?];
        // SAFETY: the plan has checked the record.
        let shared = unsafe { self.slot::<VmConcurrent>(record.slot) };
        Some(shared.cast())
    }

    /// The address of a part of the context.
    ///
    /// # Safety
    /// - `offset` was checked for a `T` with `Records::check_slot`.
    pub(crate) unsafe fn slot<T>(&self, offset: u32) -> NonNull<T> {
        // SAFETY: inside the context (the caller's contract).
        unsafe { self.context().byte_add(offset as usize) }.cast()
    }
}

#[cfg(feature = "recycle")]
impl InstanceData {
    /// Makes it an instance that belongs to no store again: nothing is left of the one before.
    ///
    /// # Errors
    /// If the system refuses: then it cannot be used again.
    pub(super) fn reset(&mut self, crowd: &Crowd) -> io::Result<Reset> {
        self.free_tables();
        self.interrupts = None;
        match self.unit.plan() {
            Ok(plan) => self.slot.reset(&self.unit, plan, crowd),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Makes what `reset` has left grown clean.
    ///
    /// # Errors
    /// If the system refuses: then it cannot be used again.
    pub(super) fn cover(&mut self) -> io::Result<()> {
        match self.unit.plan() {
            Ok(plan) => self.slot.cover(&self.unit, plan),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Its address space.
    pub(super) fn memory(&self) -> &Slot {
        &self.slot
    }

    /// Whether its memories are large enough for these limits.
    pub(super) fn fits(&self, plan: &InstancePlan, limits: &StoreLimits) -> bool {
        self.slot.fits(plan, limits)
    }

    /// Sets the index that an instance of a component has in a store, and with it the types of its
    /// resources.
    pub(super) fn set_index(&mut self, store: StoreId, new: u32) {
        let InstanceKind::Component {
            index,
            resource_types,
            host_resources,
            ..
        } = &mut self.kind
        else {
            return;
        };
        *index = new;
        let types = resource_types.iter_mut().zip(host_resources.iter());
        for (number, (ty, host)) in (0..).map(ResourceNumber).zip(types) {
            if host.is_none() {
                *ty = ResourceType::guest(store, new, number);
            }
        }
    }
}

impl InstanceData {
    /// Frees what its tables and handle tables have allocated.
    fn free_tables(&mut self) {
        if !self.slot.is_in_use() {
            return;
        }
        for record in self.unit.artifact().tables() {
            // SAFETY: the plan, which the instance was made from, has checked all tables.
            let table = unsafe { self.slot::<VmTable>(record.slot) };
            // SAFETY: a table of this instance, which nobody uses any more.
            let table = unsafe { &mut *table.as_ptr() };
            // SAFETY: as above; tables are as `table::grow` left them.
            unsafe { table::free(table) };
            table.capacity = 0;
        }
        for record in self.unit.artifact().handle_tables() {
            // SAFETY: as above.
            let table = unsafe { self.slot::<VmHandles>(record.slot) };
            // SAFETY: as above.
            handles::free(unsafe { &mut *table.as_ptr() });
        }
    }
}

impl Drop for InstanceData {
    fn drop(&mut self) {
        self.free_tables();
    }
}

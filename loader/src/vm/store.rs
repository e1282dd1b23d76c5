//! The part of a store that does not depend on the host's data: its instances, and what belongs to
//! them.
#![allow(
    unsafe_code,
    reason = "host functions come back to the store by its address"
)]

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::TrapCode;
#[cfg(feature = "async")]
use cwasm_format::concurrent::OpRecord;
use cwasm_format::vmctx::{VmContext, VmStore, flags};

use super::engine::Engine;
use crate::artifact::Unit;
use crate::artifact::plan::InstancePlan;
use crate::error::{Error, Result};
use crate::fork::Once;
use crate::trace;
use crate::vm::exceptions::Exceptions;
use crate::vm::handles;
use crate::vm::host_handles::HostHandles;
use crate::vm::instance::{InstanceData, InstanceKind};
use crate::vm::interrupt::Interrupts;
use crate::vm::items::HostItems;
use crate::vm::limits::{StoreLimits, Usage};
#[cfg(feature = "recycle")]
use crate::vm::recycle::home::Home;
use crate::vm::slot::Slot;
#[cfg(feature = "coredump")]
use crate::vm::stack::InstanceNumber;
use crate::vm::store_id::StoreId;
#[cfg(feature = "async")]
use crate::vm::suspend::Fibers;
use crate::vm::type_ids::TypeIds;
use crate::vm::watch::Watch;

/// The part of a store that does not depend on the host's data.
#[repr(C)]
pub(crate) struct StoreOpaque {
    /// Shared with compiled code. Must be the first field.
    pub(crate) vm: VmStore,
    /// The state that every call checks.
    pub(crate) watch: Watch,
    /// Bytes of stack that wasm may use: the engine's, where each call finds it.
    pub(crate) max_wasm_stack: usize,
    id: StoreId,
    engine: Engine,
    host_failure: Option<HostFailure>,
    instances: Vec<Owned>,
    /// Instances that it has had.
    #[cfg(feature = "coredump")]
    instance_count: u64,
    /// Whether instances stay that could not be instantiated.
    #[cfg(feature = "coredump")]
    pub(crate) keeps_failed_instances: bool,
    usage: Usage,
    limits: StoreLimits,
    /// Made when someone first asks for it.
    interrupts: Once<Arc<Interrupts>>,
    /// Core items that the host defined.
    pub(crate) host_items: HostItems,
    exceptions: Option<Box<Exceptions>>,
    /// Resources that the host has.
    pub(crate) resources: HostHandles,
    #[cfg(feature = "async")]
    pub(crate) fibers: Fibers,
    /// See [`tasks`](super::tasks).
    #[cfg(feature = "async")]
    pub(crate) tasks: Option<Box<dyn Any + Send + Sync>>,
    /// What is done for tasks.
    #[cfg(feature = "async")]
    pub(crate) task_funcs: TaskFuncs,
}

/// What is done for tasks.
#[cfg(feature = "async")]
#[derive(Clone, Copy)]
pub(crate) struct TaskFuncs {
    /// Does what compiled code asks for.
    pub(crate) run: RunOp,
    /// Ends all tasks: the store is dropped.
    pub(crate) end: fn(&mut StoreOpaque),
    /// The task that runs, if one does, goes on in its next turn: it is suspended next.
    pub(crate) give_way: fn(&mut StoreOpaque),
}

/// Runs the built-in function or call of a record: its arguments, the first of which becomes its
/// result.
///
/// # Safety
/// - Compiled code of an instance of the store, whose context this is, calls, and the record is one
///   of its artifact; there are as many arguments as it takes, at least one place.
#[cfg(feature = "async")]
pub(crate) type RunOp =
    unsafe fn(&mut StoreOpaque, NonNull<VmContext>, NonNull<OpRecord>, NonNull<u64>) -> u64;

/// An instance of the store.
struct Owned {
    data: Arc<InstanceData>,
    owner: Owner,
    #[cfg(feature = "coredump")]
    number: InstanceNumber,
    /// What the store's instances had defined before it.
    before: Usage,
}

/// What an instance in a store belongs to.
pub(crate) enum Owner {
    /// Goes back there.
    #[cfg(feature = "recycle")]
    Home(Arc<Home>),
    /// Nobody makes another one; this owns what its imports point to.
    Imports(#[expect(dead_code, reason = "owns")] Arc<dyn Any + Send + Sync>),
    /// An instance of a core module: its imports belong to the store.
    Store,
}

impl Owned {
    /// The store does not need it any more.
    fn retire(self) {
        match self.owner {
            #[cfg(feature = "recycle")]
            Owner::Home(home) => home.retire(self.data),
            Owner::Imports(_) | Owner::Store => {}
        }
    }
}

/// How a host function failed, kept until wasm has been left.
pub(crate) enum HostFailure {
    Error(Error),
    Panic(Box<dyn Any + Send>),
}

impl StoreOpaque {
    /// An empty store, whose code finds the loader's functions in the table at `builtins`.
    pub(super) fn new(
        engine: &Engine,
        builtins: u64,
        #[cfg(feature = "async")] task_funcs: TaskFuncs,
    ) -> StoreOpaque {
        StoreOpaque {
            vm: VmStore {
                builtins,
                stack_limit: 0,
                host: 0,
            },
            watch: Watch::new(engine.allows_reentrance()),
            max_wasm_stack: engine.max_wasm_stack(),
            id: StoreId::next(),
            engine: engine.clone(),
            host_failure: None,
            instances: Vec::new(),
            #[cfg(feature = "coredump")]
            instance_count: 0,
            #[cfg(feature = "coredump")]
            keeps_failed_instances: false,
            usage: Usage::default(),
            limits: StoreLimits::default(),
            interrupts: Once::new(),
            host_items: HostItems::default(),
            exceptions: None,
            resources: HostHandles::default(),
            #[cfg(feature = "async")]
            fibers: Fibers::default(),
            #[cfg(feature = "async")]
            tasks: None,
            #[cfg(feature = "async")]
            task_funcs,
        }
    }

    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The address that contexts hold.
    pub(crate) fn vm_address(&self) -> u64 {
        // `StoreInner` and `StoreOpaque` are `repr(C)`: all start at the same address, whose
        // provenance `Store::new` exposed.
        self.vm.host
    }

    /// The store of a context or host function at this address; `None` for 0. Safe in signal
    /// handlers.
    ///
    /// # Safety
    /// - `context` is 0, or the address of a `VmContext` or `VmHostFunc` whose store lives for
    ///   `'a`, and for `'a` nothing changes the store.
    pub(crate) unsafe fn of_context<'a>(context: usize) -> Option<&'a StoreOpaque> {
        // Both begin with the address of the store (checked in the format).
        let context = NonNull::new(std::ptr::with_exposed_provenance_mut::<u64>(context))?;
        // SAFETY: live (the caller's contract).
        let store = unsafe { context.read() };
        let store = std::ptr::with_exposed_provenance::<StoreOpaque>(store as usize);
        // SAFETY: `VmStore` is the start of the `StoreOpaque` (checked below), which is live and
        // does not change (the caller's contract).
        unsafe { store.as_ref() }
    }

    /// The store of the code that runs.
    ///
    /// # Safety
    /// - `context` is a `VmContext` or `VmHostFunc` of a store that lives for `'a`; its code has
    ///   called, and has the store for itself.
    pub(crate) unsafe fn of_running<'a>(context: NonNull<VmContext>) -> &'a mut StoreOpaque {
        // Both begin with the address of the store (checked in the format).
        // SAFETY: live (the caller's contract).
        let store = unsafe { context.cast::<u64>().read() };
        let store = std::ptr::with_exposed_provenance_mut::<StoreOpaque>(store as usize);
        // SAFETY: `VmStore` is the start of the `StoreOpaque` (checked below), which nothing else
        // uses (the caller's contract).
        unsafe { &mut *store }
    }

    /// Whether code of the store can get to this address, by the kind of access that traps with
    /// `code`. Safe in signal handlers while wasm of the store runs.
    pub(crate) fn may_fault_at(&self, code: TrapCode, address: usize) -> bool {
        match code {
            TrapCode::Interrupt => self
                .interrupts
                .get()
                .is_some_and(|interrupts| interrupts.is_page(address)),
            _ => {
                let mut instances = self.instances.iter();
                instances.any(|owned| owned.data.reserves(address))
                    || self.host_items.contains(address)
            }
        }
    }

    /// The requests to stop, if anybody has asked for them.
    #[cfg(feature = "async")]
    pub(crate) fn interrupts_if_any(&self) -> Option<&Arc<Interrupts>> {
        self.interrupts.get()
    }

    /// The requests to stop, which the store shares with its interruptible instances and its
    /// handles.
    pub(crate) fn interrupts(&self) -> &Arc<Interrupts> {
        self.interrupts
            .get_or_init(|| Arc::new(Interrupts::new(&self.engine)))
    }

    /// Withdraws all requests to stop: a call was stopped.
    pub(crate) fn withdraw_interrupts(&mut self) {
        if let Some(interrupts) = self.interrupts.get() {
            interrupts.withdraw_all();
        }
    }

    /// Keeps how a host function failed until wasm has been left.
    #[cold]
    pub(crate) fn set_host_failure(&mut self, failure: HostFailure) {
        self.host_failure = Some(failure);
    }

    /// Takes it to return it, if a host function failed.
    pub(crate) fn take_host_failure(&mut self) -> Option<HostFailure> {
        self.host_failure.take()
    }

    /// A new instance of `unit` with the numbers of its types, which is not one of the store yet:
    /// images, memories and tables are in place.
    ///
    /// # Errors
    /// If there is not enough address space or memory.
    pub(crate) fn new_instance(
        &self,
        unit: &Arc<Unit>,
        plan: &InstancePlan,
        kind: InstanceKind,
        type_ids: TypeIds,
    ) -> Result<Arc<InstanceData>> {
        let slot = Slot::new(&self.engine, &self.limits, unit, plan)?;
        let mut data = InstanceData::new(slot, unit, kind, type_ids);
        self.begin_instance(&mut data, plan)?;
        trace::event!(DEBUG, reused = false, "instance made");
        Ok(data)
    }

    /// As [`new_instance`](StoreOpaque::new_instance), of an instance that belonged to another
    /// store, whose memories are large enough.
    ///
    /// # Errors
    /// If there is not enough address space or memory.
    #[cfg(feature = "recycle")]
    pub(crate) fn reuse_instance(
        &self,
        mut data: Arc<InstanceData>,
        plan: &InstancePlan,
    ) -> Result<Arc<InstanceData>> {
        if let Some(data) = Arc::get_mut(&mut data) {
            data.set_index(self.id, self.next_instance());
        }
        self.begin_instance(&mut data, plan)?;
        trace::event!(DEBUG, reused = true, "instance made");
        Ok(data)
    }

    /// Prepares an instance that belongs to no store for this one.
    fn begin_instance(&self, data: &mut Arc<InstanceData>, plan: &InstancePlan) -> Result<()> {
        let interrupts = plan.interrupt_slot.map(|_| Arc::clone(self.interrupts()));
        let page = match &interrupts {
            Some(interrupts) => interrupts.page_address()?,
            None => 0,
        };
        InstanceData::begin(data, self.vm_address(), plan, &self.limits, interrupts);
        if let Some(offset) = plan.interrupt_slot {
            // SAFETY: the plan has checked the slot.
            let slot = unsafe { data.slot::<u64>(offset) };
            // SAFETY: as above; aligned, and nothing else refers to it yet.
            unsafe { slot.write(page) };
        }
        if !self.engine.allows_reentrance() {
            for record in data.unit().artifact().nests() {
                // SAFETY: the plan has checked the flags of all records.
                let flags = unsafe { data.slot::<u32>(record.flags) };
                // SAFETY: as above; aligned, and nothing else refers to it yet.
                unsafe { flags.write(flags::INITIAL & !flags::MAY_NEST) };
            }
        }
        Ok(())
    }

    /// The index that the next instance will have.
    pub(crate) fn next_instance(&self) -> u32 {
        // Each instance takes more than a page of memory: 2^32 of them do not fit.
        self.instances.len() as u32
    }

    pub(crate) fn set_limits(&mut self, limits: StoreLimits) {
        self.limits = limits;
    }

    pub(crate) fn limits(&self) -> &StoreLimits {
        &self.limits
    }

    /// The usage of the store's instances and one more by this plan.
    ///
    /// # Errors
    /// The limit that the instance would exceed.
    pub(crate) fn usage_with(&self, plan: &InstancePlan) -> Result<Usage> {
        self.usage.with(plan, &self.limits)
    }

    /// The room that the handle tables of the instances take and may take.
    pub(crate) fn handle_room(&mut self) -> handles::Room<'_> {
        handles::Room {
            used: &mut self.usage.handles,
            max: self.limits.get_handles(),
        }
    }

    pub(crate) fn push_instance(&mut self, data: Arc<InstanceData>, owner: Owner, usage: Usage) {
        if usage.has_tags {
            self.exceptions();
        }
        let before = std::mem::replace(&mut self.usage, usage);
        self.instances.push(Owned {
            data,
            owner,
            #[cfg(feature = "coredump")]
            number: InstanceNumber(self.instance_count),
            before,
        });
        #[cfg(feature = "coredump")]
        (self.instance_count += 1);
    }

    /// Drops the instance of this index if it is the youngest.
    pub(crate) fn pop_instance(&mut self, index: u32) {
        #[cfg(feature = "coredump")]
        if self.keeps_failed_instances {
            return;
        }
        if self.instances.len() == index as usize + 1
            && let Some(youngest) = self.instances.pop()
        {
            self.usage = youngest.before;
            youngest.retire();
        }
    }

    pub(crate) fn exceptions(&mut self) -> &mut Exceptions {
        self.exceptions.get_or_insert_default()
    }

    pub(crate) fn exceptions_if_any(&self) -> Option<&Exceptions> {
        self.exceptions.as_deref()
    }

    /// All instances.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &InstanceData> {
        self.instances.iter().map(|owned| &*owned.data)
    }

    /// All instances with their numbers.
    #[cfg(feature = "coredump")]
    pub(crate) fn numbered_instances(
        &self,
    ) -> impl Iterator<Item = (InstanceNumber, &InstanceData)> {
        let instances = self.instances.iter();
        instances.map(|owned| (owned.number, &*owned.data))
    }

    /// The instance of this index.
    ///
    /// # Panics
    /// If the store has no such instance.
    pub(crate) fn instance(&self, index: u32) -> &InstanceData {
        &self.instances[index as usize].data
    }
}

impl Drop for StoreOpaque {
    fn drop(&mut self) {
        #[cfg(feature = "async")]
        if self.tasks.is_some() {
            (self.task_funcs.end)(self);
        }
        self.instances.drain(..).for_each(Owned::retire);
        #[cfg(feature = "async")]
        self.retire_stack();
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<StoreOpaque>();
    assert!(std::mem::offset_of!(StoreOpaque, vm) == 0);
};

//! The contexts of lifting and lowering: the guest's memory, its `realloc`, and its handles.
#![allow(
    unsafe_code,
    reason = "reaches into the memory of an instance by address"
)]

#[cfg(feature = "async")]
use std::any::Any;

use cwasm_format::TrapCode;
use cwasm_format::abi::{Extent, Layout, MAX_BYTE_LENGTH, PointerWidth};
use cwasm_format::hash::TypeHash;
use cwasm_format::resources::HandleUse;
use cwasm_format::types::ResourceNumber;
#[cfg(feature = "async")]
use cwasm_format::vmctx::VmHandle;

use crate::error::{Error, Result};
use crate::stream_any::StreamAny;
use crate::vm::canon::CanonOptions;
use crate::vm::error_context::ErrorContext;
use crate::vm::handles;
use crate::vm::host_handles::{Entry, HostHandle, HostHandles};
use crate::vm::instance::InstanceData;
use crate::vm::limits::too_much_to_lift;
use crate::vm::store::StoreOpaque;
use crate::vm::store_id::StoreId;
#[cfg(feature = "async")]
use crate::vm::tasks;
use cwasm_format::encoding::StringEncoding;

/// The context of lifting: the guest's memory and handles.
pub struct LiftContext<'a> {
    memory: &'a [u8],
    options: &'a CanonOptions,
    store: StoreId,
    /// Bytes of the host's memory that values may still take.
    budget: usize,
    /// The place of the next handle among those in the function's type.
    next_handle: usize,
    /// The host's handles, where values of resources can be got.
    resources: Option<&'a mut HostHandles>,
    /// The handles that are lent for longer than a call of the host, where that is kept.
    #[cfg(feature = "async")]
    loans: Option<&'a mut Vec<u32>>,
    /// Where the tasks are, whose streams can be taken.
    #[cfg(feature = "async")]
    tasks: Option<&'a mut Option<Box<dyn Any + Send + Sync>>>,
}

/// The context of lowering: the guest's memory, its `realloc`, and its handles.
pub struct LowerContext<'a> {
    /// Invariant 1: the store of the instance, which wasm may be entered of.
    store: &'a mut StoreOpaque,
    options: &'a CanonOptions,
    /// As in [`LiftContext`].
    next_handle: usize,
    /// The scope of the borrowed handles that the guest has got.
    scope: Option<u32>,
    /// The task that they are borrowed for, and how many they are.
    #[cfg(feature = "async")]
    task: Option<(u32, u32)>,
}

/// Handles.
impl<'a> LiftContext<'a> {
    /// As [`LiftContext::new`], to lift handles too.
    ///
    /// # Safety
    /// - As for [`LiftContext::new`], and the instance is one of `store`, in whose function's type
    ///   the first handle is at `place`.
    #[inline]
    pub(crate) unsafe fn with_handles(
        options: &'a CanonOptions,
        store: &'a mut StoreOpaque,
        place: usize,
    ) -> LiftContext<'a> {
        // SAFETY: as the caller's contract says.
        let mut cx = unsafe { LiftContext::new(options, store) };
        cx.next_handle = place;
        cx.resources = Some(&mut store.resources);
        #[cfg(feature = "async")]
        {
            cx.tasks = Some(&mut store.tasks);
        }
        cx
    }

    /// Skips so many handles of the type, to lift what comes after them.
    /// [`rewind_handles`](LiftContext::rewind_handles) undoes it.
    #[inline(always)]
    pub fn skip_handles(&mut self, handles: usize) {
        if handles != 0 {
            self.next_handle += handles;
        }
    }

    /// Goes back by so many handles of the type.
    #[inline(always)]
    pub fn rewind_handles(&mut self, handles: usize) {
        if handles != 0 {
            self.next_handle -= handles;
        }
    }

    /// The type of the handle at this place of the function's type.
    pub(crate) fn handle_use(&self) -> Result<HandleUse> {
        // SAFETY: the instance is live (contract of `new`).
        use_at(unsafe { self.options.uses() }, self.next_handle)
    }

    /// The instance that the values are of.
    pub(crate) fn instance(&self) -> &'a InstanceData {
        // SAFETY: it is live (contract of `new`).
        unsafe { self.options.instance() }
    }

    /// Takes a handle from the guest, or lends it until the host function returns: the resource's
    /// representation.
    ///
    /// # Errors
    /// The traps of the specification.
    pub(crate) fn take_handle(&mut self, handle_use: HandleUse, handle: u32) -> Result<u32> {
        if self.resources.is_none() {
            return Err(no_handles());
        }
        // SAFETY: no wasm runs, and nothing else uses the table (contract of `with_handles`).
        let Some(table) = (unsafe { self.options.handles() }) else {
            return Err(no_handles());
        };
        #[cfg(feature = "async")]
        if let (Some(loans), true) = (&mut self.loans, handle_use.is_borrow()) {
            let rep = handles::lend_for_long(table, handle, handle_use);
            loans.push(handle);
            return rep.map_err(Error::trapped);
        }
        let rep = match handle_use.is_borrow() {
            true => handles::lend(table, handle, handle_use),
            false => handles::take(table, handle, handle_use),
        };
        rep.map_err(Error::trapped)
    }

    /// Takes the readable end of a stream or future with such payloads from the guest.
    ///
    /// # Errors
    /// The traps of the specification.
    pub(crate) fn take_end(
        &mut self,
        is_future: bool,
        payload: TypeHash,
        handle: u32,
    ) -> Result<StreamAny> {
        #[cfg(feature = "async")]
        {
            // SAFETY: no wasm runs, and nothing else uses the table (contract of `with_handles`).
            let table = unsafe { self.options.handles() };
            let tasks = self.tasks.as_deref_mut().and_then(tasks::those_of);
            let (Some(table), Some(tasks)) = (table, tasks) else {
                return Err(Error::trapped(TrapCode::UnknownHandle));
            };
            let taken = tasks::streams::take(tasks, table, handle, (is_future, payload));
            let (number, serial) = taken.map_err(Error::trapped)?;
            Ok(StreamAny {
                store: self.store,
                number,
                serial,
                is_future,
            })
        }
        #[cfg(not(feature = "async"))]
        {
            let _ = (is_future, payload, handle);
            Err(no_handles())
        }
    }

    /// The error context of a guest's handle.
    ///
    /// # Errors
    /// [`TrapCode::UnknownHandle`]; [`TrapCode::WrongHandleKind`].
    pub(crate) fn error_context(&mut self, handle: u32) -> Result<ErrorContext> {
        #[cfg(feature = "async")]
        {
            // SAFETY: no wasm runs, and nothing else uses the table (contract of `with_handles`).
            let table = unsafe { self.options.handles() };
            let tasks = self.tasks.as_deref_mut().and_then(tasks::those_of);
            let (Some(table), Some(tasks)) = (table, tasks) else {
                return Err(Error::trapped(TrapCode::UnknownHandle));
            };
            let number = handles::number(table, handle, VmHandle::ERROR_CONTEXT);
            let number = number.map_err(Error::trapped)?;
            Ok(tasks.error_contexts[tasks::slab::Id(number)].clone())
        }
        #[cfg(not(feature = "async"))]
        {
            let _ = handle;
            Err(no_handles())
        }
    }

    /// From now on, handles that are lent are added to these, and stay lent.
    #[cfg(feature = "async")]
    pub(crate) fn keep_loans(&mut self, loans: &'a mut Vec<u32>) {
        self.loans = Some(loans);
    }

    /// Adds a resource to the host's.
    ///
    /// # Errors
    /// If it takes more memory than the store's limit: a guest may lend one resource any number of
    /// times.
    pub(crate) fn add_to_host(&mut self, entry: Entry) -> Result<HostHandle> {
        self.charge(1, HostHandles::ENTRY_SIZE)?;
        match &mut self.resources {
            Some(resources) => Ok(resources.add(entry)),
            None => Err(no_handles()),
        }
    }
}

/// Handles.
impl LowerContext<'_> {
    /// As [`LiftContext::skip_handles`].
    #[inline(always)]
    pub fn skip_handles(&mut self, handles: usize) {
        if handles != 0 {
            self.next_handle += handles;
        }
    }

    /// As [`LiftContext::rewind_handles`].
    #[inline(always)]
    pub fn rewind_handles(&mut self, handles: usize) {
        if handles != 0 {
            self.next_handle -= handles;
        }
    }

    /// The type of the handle at this place of the function's type.
    pub(crate) fn handle_use(&self) -> Result<HandleUse> {
        // SAFETY: the instance is live (contract of `new`).
        use_at(unsafe { self.options.uses() }, self.next_handle)
    }

    /// The instance that the values are of.
    pub(crate) fn instance(&self) -> &InstanceData {
        // SAFETY: it is live (contract of `new`).
        unsafe { self.options.instance() }
    }

    pub(crate) fn store(&self) -> &StoreOpaque {
        self.store
    }

    pub(crate) fn store_mut(&mut self) -> &mut StoreOpaque {
        self.store
    }

    /// Whether the component instance that the value is for defines a resource.
    pub(crate) fn defines(&self, resource: ResourceNumber) -> bool {
        let records = self.instance().unit().artifact().resources();
        let record = records.get(resource.0 as usize);
        record.is_some_and(|record| self.options.is_instance(record.flags))
    }

    /// Gives the guest a handle. One that is borrowed must be dropped before the call returns.
    ///
    /// # Errors
    /// [`TrapCode::TableFull`].
    pub(crate) fn add_handle(&mut self, handle_use: HandleUse, rep: u32) -> Result<u32> {
        // SAFETY: the instance is live, and nothing else uses the table (contract of `new`).
        let Some(table) = (unsafe { self.options.handles() }) else {
            return Err(no_handles());
        };
        if !handle_use.is_borrow() {
            let room = self.store.handle_room();
            return handles::add(table, rep, handle_use, room).map_err(Error::trapped);
        }
        #[cfg(feature = "async")]
        if let Some((task, borrows)) = &mut self.task {
            *borrows += 1;
            let room = self.store.handle_room();
            return handles::add_to_task(table, rep, handle_use, *task, room)
                .map_err(Error::trapped);
        }
        let scope = match self.scope {
            Some(scope) => scope,
            None => handles::open(table).map_err(Error::trapped)?,
        };
        self.scope = Some(scope);
        let room = self.store.handle_room();
        handles::add_borrow(table, rep, handle_use, scope, room).map_err(Error::trapped)
    }

    /// Gives the readable end of a stream or future of such payloads to the guest: its handle.
    ///
    /// # Errors
    /// If it was given away before, or is of another store or of other payloads;
    /// [`TrapCode::TableFull`].
    pub(crate) fn add_end(&mut self, stream: &StreamAny, payload: TypeHash) -> Result<u32> {
        if stream.store != self.store.id() {
            return Err(Error::msg(
                "a stream or future is used with another store than its own",
            ));
        }
        #[cfg(feature = "async")]
        {
            let tasks = tasks::of(self.store);
            let end = tasks.give((stream.number, stream.serial), payload)?;
            // SAFETY: the instance is live, and nothing else uses the table (contract of `new`).
            let Some(table) = (unsafe { self.options.handles() }) else {
                return Err(no_handles());
            };
            let room = self.store.handle_room();
            let kind = HandleUse(VmHandle::END);
            let handle = handles::add(table, end, kind, room).map_err(Error::trapped)?;
            tasks::of(self.store).set_handle(end, handle);
            Ok(handle)
        }
        #[cfg(not(feature = "async"))]
        {
            let _ = payload;
            Err(no_handles())
        }
    }

    /// Gives an error context to the guest: its handle.
    ///
    /// # Errors
    /// [`TrapCode::TableFull`].
    pub(crate) fn add_error_context(&mut self, given: &ErrorContext) -> Result<u32> {
        #[cfg(feature = "async")]
        {
            // SAFETY: the instance is live, and nothing else uses the table (contract of `new`).
            let Some(table) = (unsafe { self.options.handles() }) else {
                return Err(no_handles());
            };
            let id = tasks::of(self.store).error_contexts.add(given.clone());
            let room = self.store.handle_room();
            let kind = HandleUse(VmHandle::ERROR_CONTEXT);
            handles::add(table, id.0, kind, room).map_err(Error::trapped)
        }
        #[cfg(not(feature = "async"))]
        {
            let _ = given;
            Err(no_handles())
        }
    }

    /// Borrowed handles are for this task.
    #[cfg(feature = "async")]
    pub(crate) fn borrow_for(&mut self, task: u32) {
        self.task = Some((task, 0));
    }

    /// How many borrowed handles the task has got.
    #[cfg(feature = "async")]
    pub(crate) fn borrows(&self) -> u32 {
        self.task.map_or(0, |(_, borrows)| borrows)
    }

    /// The scope of the borrowed handles that the guest has got, if it has any.
    pub(crate) fn scope(&self) -> Option<u32> {
        self.scope
    }
}

/// The handle at this place of a function's type.
fn use_at(uses: &[HandleUse], place: usize) -> Result<HandleUse> {
    uses.get(place).copied().ok_or_else(no_handles)
}

/// Functions are called with values of their types, and views hold no handles.
#[cold]
fn no_handles() -> Error {
    Error::msg("a handle where the function's type has none")
}

impl<'a> LiftContext<'a> {
    /// A context to lift with these options of an instance of this store.
    ///
    /// # Safety
    /// - The instance is live for `'a`.
    /// - For `'a`, no wasm of its store runs and nothing writes to its memory.
    #[inline]
    pub(crate) unsafe fn new(options: &'a CanonOptions, store: &StoreOpaque) -> LiftContext<'a> {
        // SAFETY: as the caller's contract says.
        let memory = unsafe { options.memory() };
        LiftContext {
            memory,
            options,
            store: store.id(),
            budget: store.limits().get_lift_size(),
            next_handle: 0,
            resources: None,
            #[cfg(feature = "async")]
            loans: None,
            #[cfg(feature = "async")]
            tasks: None,
        }
    }

    /// Counts memory of the host that a value is about to take: `count` times `size` bytes.
    ///
    /// # Errors
    /// If that is more than the store's limit.
    #[inline]
    pub(crate) fn charge(&mut self, count: usize, size: usize) -> Result<()> {
        match self.budget.checked_sub(count.saturating_mul(size)) {
            Some(budget) => {
                self.budget = budget;
                Ok(())
            }
            None => Err(too_much_to_lift()),
        }
    }

    /// Counts a block of memory, as large as allocators make it.
    ///
    /// # Errors
    /// As [`charge`](LiftContext::charge).
    #[inline]
    pub(crate) fn charge_block(&mut self, count: usize, size: usize) -> Result<()> {
        self.charge(1, block_size(count.saturating_mul(size)))
    }

    /// The bytes at `pointer` in the guest's memory.
    ///
    /// # Errors
    /// [`TrapCode::UnalignedPointer`] or `out_of_bounds`.
    #[inline]
    pub(crate) fn bytes(
        &self,
        pointer: u64,
        extent: Extent,
        out_of_bounds: TrapCode,
    ) -> Result<&'a [u8]> {
        bytes_at(self.memory, pointer, extent, out_of_bounds)
    }

    /// The value that a flat value points to.
    ///
    /// # Errors
    /// [`TrapCode::UnalignedPointer`] or [`TrapCode::MemoryOutOfBounds`].
    #[inline]
    pub(crate) fn pointed(&self, bits: u64, layout: Layout) -> Result<&'a [u8]> {
        let pointer = self.options.pointer(bits);
        let extent = layout.at(self.width());
        self.bytes(pointer, extent, TrapCode::MemoryOutOfBounds)
    }

    /// How wide pointers and lengths are.
    #[inline(always)]
    pub fn width(&self) -> PointerWidth {
        self.options.width()
    }

    pub(crate) fn options(&self) -> &'a CanonOptions {
        self.options
    }

    pub(crate) fn encoding(&self) -> StringEncoding {
        self.options.encoding()
    }

    pub(crate) fn store_id(&self) -> StoreId {
        self.store
    }
}

/// The size that an allocator takes for a block of so many bytes: with a word before it, in steps
/// of two words, and not less than four.
#[inline]
pub(crate) const fn block_size(bytes: usize) -> usize {
    const WORD: usize = size_of::<usize>();
    match bytes {
        0 => 0,
        1..=24 => 4 * WORD,
        _ => bytes.saturating_add(3 * WORD - 1) & !(2 * WORD - 1),
    }
}

/// `extent.size` bytes of `memory` at an aligned pointer.
#[inline]
fn bytes_at(memory: &[u8], pointer: u64, extent: Extent, out_of_bounds: TrapCode) -> Result<&[u8]> {
    if !pointer.is_multiple_of(extent.align.into()) {
        return Err(Error::trapped(TrapCode::UnalignedPointer));
    }
    let rest = memory.get(pointer as usize..);
    match rest.and_then(|rest| rest.get(..extent.size as usize)) {
        Some(bytes) => Ok(bytes),
        None => Err(Error::trapped(out_of_bounds)),
    }
}

impl<'a> LowerContext<'a> {
    /// A context to lower with these options of an instance of this store.
    ///
    /// # Safety
    /// - The instance is one of `store`, live for `'a`, and nothing else uses its memory.
    /// - [`Ready::new`](crate::vm::call::Ready::new) has succeeded in the call that this is a part
    ///   of.
    #[inline]
    pub(crate) unsafe fn new(
        store: &'a mut StoreOpaque,
        options: &'a CanonOptions,
    ) -> LowerContext<'a> {
        // SAFETY: as the caller's contract says.
        unsafe { LowerContext::at_handle(store, options, 0) }
    }

    /// As [`LowerContext::new`]; the first handle is the one at `place` in the function's type.
    ///
    /// # Safety
    /// - As for [`LowerContext::new`].
    #[inline]
    pub(crate) unsafe fn at_handle(
        store: &'a mut StoreOpaque,
        options: &'a CanonOptions,
        place: usize,
    ) -> LowerContext<'a> {
        LowerContext {
            store,
            options,
            next_handle: place,
            scope: None,
            #[cfg(feature = "async")]
            task: None,
        }
    }

    /// Takes memory from the guest's `realloc`: its offset, which is aligned, and from which on
    /// `extent.size` bytes are in bounds.
    ///
    /// # Errors
    /// The guest's trap, [`TrapCode::UnalignedPointer`] or `out_of_bounds`.
    pub(crate) fn allocate(&mut self, extent: Extent, out_of_bounds: TrapCode) -> Result<usize> {
        let args = [0, 0, extent.align as usize, extent.size as usize];
        self.realloc(args, out_of_bounds)
    }

    /// Takes memory for one value: its offset.
    ///
    /// # Errors
    /// As [`LowerContext::allocate`].
    pub(crate) fn allocate_value(&mut self, layout: Layout) -> Result<usize> {
        self.allocate(layout.at(self.width()), TrapCode::MemoryOutOfBounds)
    }

    /// Calls the guest's `realloc` with (old, old size, align, new size).
    ///
    /// # Errors
    /// As [`LowerContext::allocate`].
    pub(crate) fn realloc(&mut self, args: [usize; 4], out_of_bounds: TrapCode) -> Result<usize> {
        // SAFETY: the instance is one of the store, which was entered (contract of `new`).
        unsafe { self.options.realloc(self.store, args, out_of_bounds) }
    }

    /// The place that a caller gave to write a value to.
    ///
    /// # Errors
    /// [`TrapCode::UnalignedPointer`] or [`TrapCode::MemoryOutOfBounds`].
    pub(crate) fn out_pointer(&mut self, bits: u64, layout: Layout) -> Result<usize> {
        let pointer = self.options.pointer(bits);
        let extent = layout.at(self.width());
        bytes_at(self.memory(), pointer, extent, TrapCode::MemoryOutOfBounds)?;
        Ok(pointer as usize)
    }

    /// As [`out_pointer`](LowerContext::out_pointer), for so many bytes.
    #[cfg(feature = "async")]
    pub(crate) fn out_extent(&mut self, bits: u64, extent: Extent) -> Result<usize> {
        let pointer = self.options.pointer(bits);
        bytes_at(self.memory(), pointer, extent, TrapCode::MemoryOutOfBounds)?;
        Ok(pointer as usize)
    }

    /// How wide pointers and lengths are.
    #[inline(always)]
    pub fn width(&self) -> PointerWidth {
        self.options.width()
    }

    /// The guest's memory.
    #[inline]
    pub(crate) fn memory(&mut self) -> &mut [u8] {
        // SAFETY: the instance is live, the context is its only user (contract of `new`), and it
        // is borrowed as long as the slice is.
        unsafe { self.options.memory_mut() }
    }

    pub(crate) fn encoding(&self) -> StringEncoding {
        self.options.encoding()
    }

    /// Writes bytes to the guest's memory.
    ///
    /// # Panics
    /// If they do not lie inside the memory: [`Lower::store`](crate::Lower::store) is called with
    /// room for the value's size.
    #[inline]
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes_mut(offset, bytes.len()).copy_from_slice(bytes);
    }

    /// Bytes of the guest's memory, to write a value to.
    ///
    /// # Panics
    /// As [`LowerContext::write`].
    #[inline]
    pub(crate) fn bytes_mut(&mut self, offset: usize, size: usize) -> &mut [u8] {
        &mut self.memory()[offset..][..size]
    }
}

/// Checks the length of a string or list in bytes.
///
/// # Errors
/// `too_long` if it is more than [`MAX_BYTE_LENGTH`].
#[inline]
pub(crate) fn check_length(byte_len: u64, too_long: TrapCode) -> Result<u32> {
    if byte_len > MAX_BYTE_LENGTH {
        return Err(Error::trapped(too_long));
    }
    // At most 2^28-1.
    Ok(byte_len as u32)
}

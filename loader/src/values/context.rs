//! What lifting and lowering have at hand: the guest's memory, and its `realloc`.
#![allow(
    unsafe_code,
    reason = "reaches into the memory of an instance by address"
)]

use cwasm_format::TrapCode;
use cwasm_format::abi::{Extent, Layout, MAX_BYTE_LENGTH, PointerWidth};

use crate::error::{Error, Result};
use crate::raw::{CanonOptions, StringEncoding};
use crate::store::{StoreId, StoreOpaque};

/// What lifting has at hand.
pub struct LiftContext<'a> {
    memory: &'a [u8],
    options: &'a CanonOptions,
    store: StoreId,
}

/// What lowering has at hand.
pub struct LowerContext<'a> {
    /// Invariant 1: the store of the instance, which wasm may be entered of.
    store: &'a mut StoreOpaque,
    options: &'a CanonOptions,
}

impl<'a> LiftContext<'a> {
    /// A context to lift with these options of an instance of this store.
    ///
    /// # Safety
    /// - The instance is live for `'a`.
    /// - For `'a`, no wasm of its store runs and nothing writes to its memory.
    #[inline]
    pub(crate) unsafe fn new(options: &'a CanonOptions, store: StoreId) -> LiftContext<'a> {
        // SAFETY: as the caller's contract says.
        let memory = unsafe { options.memory() };
        LiftContext {
            memory,
            options,
            store,
        }
    }

    /// What lies at `pointer` in the guest's memory.
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
    pub(crate) fn width(&self) -> PointerWidth {
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
    /// - [`raw::enter`](crate::raw::enter) has succeeded in the call that this is a part of.
    #[inline]
    pub(crate) unsafe fn new(
        store: &'a mut StoreOpaque,
        options: &'a CanonOptions,
    ) -> LowerContext<'a> {
        LowerContext { store, options }
    }

    /// Takes memory from the guest's `realloc`: its offset, which is aligned, and behind which
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

    /// How wide pointers and lengths are.
    #[inline(always)]
    pub(crate) fn width(&self) -> PointerWidth {
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
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.memory()[offset..][..bytes.len()].copy_from_slice(bytes);
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

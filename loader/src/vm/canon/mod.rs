//! The plumbing of calls between host and wasm: resolved addresses.
//!
//! Everything here was checked when it was resolved ([`CallTarget`], [`CanonOptions`]); a call
//! checks the guest's values only.
#![allow(
    unsafe_code,
    reason = "calls machine code and reaches into instances by address"
)]

#[cfg(test)]
pub(crate) mod fake;

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use cwasm_format::TrapCode;
use cwasm_format::abi::PointerWidth;
use cwasm_format::encoding::StringEncoding;
use cwasm_format::exports::{self, IMPORTED};
use cwasm_format::hash::TypeHash;
use cwasm_format::header::NONE;
use cwasm_format::resources::{HandleUse, UseRange};
use cwasm_format::vmctx::{VmContext, VmHandles, VmMemory};

use crate::artifact::{Code, Text};
use crate::error::{Error, Result};
use crate::vm::call::Ready;
use crate::vm::instance::InstanceData;
use crate::vm::store::StoreOpaque;
use crate::vm::store_id::StoreId;

/// An exported function, resolved: everything that a call needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTarget {
    /// The store that it belongs to, if its calls are those of this module: calls with another one
    /// take the long way.
    pub(crate) store: StoreId,
    /// The store that it belongs to.
    pub(crate) owner: StoreId,
    /// Its index among the tasks of the artifact plus one, if it is called as one, or 0.
    #[cfg_attr(
        not(any(feature = "async", feature = "tracing")),
        expect(dead_code, reason = "tasks are not called")
    )]
    pub(crate) task: u32,
    /// Index of the instance in the store.
    pub(crate) instance: u32,
    /// Thunk of the core function.
    pub(crate) code: Code,
    /// Thunk of the post-return function.
    pub(crate) post_return: Option<Code>,
    pub(crate) options: CanonOptions,
    /// Hash of the function's type.
    pub(crate) hash: TypeHash,
    /// Index of the function's type in the descriptions.
    pub(crate) func_type: u32,
}

/// The canonical options of one lift or lower of an instance, as addresses.
///
/// The addresses are valid as long as the instance's store: whoever uses them has that store
/// exclusively.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CanonOptions {
    /// Invariant 1: the context of a live instance.
    context: NonNull<VmContext>,
    /// Invariant 2: null, or a memory that that instance has or imports: it lives as long as the
    /// store.
    memory: *mut VmMemory,
    /// Invariant 3: a thunk of that instance, of four arguments.
    realloc: Option<Code>,
    /// Invariant 4: flags in that context.
    flags: NonNull<u32>,
    encoding: Plain<StringEncoding>,
    /// Invariant 5: `NONE`, or the offset of a `VmHandles` in that context.
    handles: u32,
    /// Invariant 6: handles of that instance's artifact.
    uses: UseRange,
    /// How wide the memory's addresses are.
    width: Plain<PointerWidth>,
}

/// A value whose unused bit patterns stay unused: `Option` and `Result` of a handle that is made of
/// such values are then told apart by a pointer, so that moving a handle out of them is a few wide
/// copies. With the tag at an odd place in the middle, making a typed handle took half as long
/// again.
#[derive(Clone, Copy)]
pub(crate) struct Plain<T: Copy>(MaybeUninit<T>);

impl<T: Copy> Plain<T> {
    #[inline(always)]
    pub(crate) const fn new(value: T) -> Plain<T> {
        Plain(MaybeUninit::new(value))
    }

    #[inline(always)]
    fn get(self) -> T {
        // SAFETY: `new` is the only way to make one.
        unsafe { self.0.assume_init() }
    }
}

impl<T: Copy + std::fmt::Debug> std::fmt::Debug for Plain<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

// SAFETY: plain addresses; using them needs the store.
unsafe impl Send for CanonOptions {}
// SAFETY: as above.
unsafe impl Sync for CanonOptions {}

impl CanonOptions {
    /// The options of a record of the instance's artifact.
    ///
    /// # Safety
    /// - `context` is the context of a live instance whose code `text` returns.
    /// - `flags` and `record` have passed `Records::check_options` for the
    ///   artifact of that instance.
    #[inline]
    pub(crate) unsafe fn new(
        context: NonNull<VmContext>,
        text: impl FnOnce() -> Text,
        record: &exports::CanonOptions,
        flags: u32,
    ) -> CanonOptions {
        let memory = if record.memory == NONE {
            std::ptr::null_mut()
        } else {
            let offset = (record.memory & !IMPORTED) as usize;
            // SAFETY: the offset is inside the context (checked by `check_options`).
            let slot = unsafe { context.byte_add(offset) };
            if record.memory & IMPORTED == 0 {
                slot.cast().as_ptr()
            } else {
                // SAFETY: the slot of an imported memory (checked by `check_options`): its address,
                // or zero before it is there.
                let address = unsafe { slot.cast::<u64>().read() };
                std::ptr::with_exposed_provenance_mut(address as usize)
            }
        };
        let realloc = if record.realloc == NONE {
            None
        } else {
            // SAFETY: the offset is inside the text (checked by `check_options`).
            Some(unsafe { text().at(record.realloc) })
        };
        // SAFETY: the offset is inside the context (checked by `check_options`).
        let flags = unsafe { context.byte_add(flags as usize) }.cast();
        let encoding = StringEncoding::from_number(record.string_encoding);
        let encoding = encoding.unwrap_or(StringEncoding::Utf8);
        let width = match record.is_64 {
            0 => PointerWidth::W32,
            _ => PointerWidth::W64,
        };
        CanonOptions {
            context,
            memory,
            realloc,
            flags,
            encoding: Plain::new(encoding),
            handles: record.handles,
            uses: record.uses,
            width: Plain::new(width),
        }
    }

    /// The instance.
    ///
    /// # Safety
    /// - It is live for `'a`.
    pub(crate) unsafe fn instance<'a>(&self) -> &'a InstanceData {
        // SAFETY: the context of a live instance (invariant 1).
        unsafe { InstanceData::of(self.context) }
    }

    /// The handles in the function's type.
    ///
    /// # Safety
    /// - The instance is live for `'a`.
    pub(crate) unsafe fn uses<'a>(&self) -> &'a [HandleUse] {
        if self.uses.len == 0 {
            return &[];
        }
        // SAFETY: the caller's contract.
        let unit = unsafe { self.instance() }.unit();
        unit.handle_uses(self.uses).unwrap_or_default()
    }

    /// The handle table of the component instance; `None` if it has none.
    ///
    /// # Safety
    /// - The instance is live for `'a`.
    /// - For `'a`, no wasm of its store runs and nothing else uses the table.
    pub(crate) unsafe fn handles<'a>(&self) -> Option<&'a mut VmHandles> {
        if self.handles == NONE {
            return None;
        }
        // SAFETY: inside the context (invariant 5).
        let table = unsafe { self.context.byte_add(self.handles as usize) };
        // SAFETY: a table of a live instance (invariant 5), which is ours (the caller's contract).
        Some(unsafe { table.cast::<VmHandles>().as_mut() })
    }

    /// The storage of the instance's running task, if it has tasks.
    #[cfg(feature = "async")]
    fn storage(&self) -> Option<NonNull<[u64; 2]>> {
        // One that has tasks has a table of handles.
        if self.handles == NONE {
            return None;
        }
        // SAFETY: live (invariant 1), and used here only.
        let instance = unsafe { self.instance() };
        let flags = self.flags.addr().get() - self.context.addr().get();
        instance.storage(flags as u32)
    }

    /// Whether these options are of the component instance whose flags are at this context offset.
    pub(crate) fn is_instance(&self, flags: u32) -> bool {
        let address = self.context.addr().get().wrapping_add(flags as usize);
        flags != NONE && address == self.flags.addr().get()
    }

    pub(crate) fn context(&self) -> NonNull<VmContext> {
        self.context
    }

    /// Whether these options and those have the same memory.
    #[cfg(feature = "async")]
    pub(crate) fn has_memory_of(&self, other: &CanonOptions) -> bool {
        !self.memory.is_null() && std::ptr::eq(self.memory, other.memory)
    }

    pub(crate) fn encoding(&self) -> StringEncoding {
        self.encoding.get()
    }

    #[inline(always)]
    pub(crate) fn width(&self) -> PointerWidth {
        self.width.get()
    }

    /// The pointer or length in a flat value, whose high half means nothing where they have 32
    /// bits.
    #[inline(always)]
    pub(crate) fn pointer(&self, bits: u64) -> u64 {
        match self.width() {
            PointerWidth::W32 => u64::from(bits as u32),
            PointerWidth::W64 => bits,
        }
    }

    /// The flags of the component instance: see [`cwasm_format::vmctx::flags`].
    ///
    /// # Safety
    /// - The instance is live, and used by this thread alone.
    #[inline]
    pub(crate) unsafe fn flags(&self) -> u32 {
        // SAFETY: flags of a live context (invariant 4).
        unsafe { self.flags.read() }
    }

    /// Sets the flags of the component instance.
    ///
    /// # Safety
    /// - As for [`CanonOptions::flags`].
    #[inline]
    pub(crate) unsafe fn set_flags(&self, flags: u32) {
        // SAFETY: flags of a live context (invariant 4).
        unsafe { self.flags.write(flags) };
    }

    /// The bytes of the guest's memory; none, if these options have no memory.
    ///
    /// # Safety
    /// - The instance is live for `'a`.
    /// - For `'a`, no wasm of its store runs and nothing writes to the memory.
    #[inline]
    pub(crate) unsafe fn memory<'a>(&self) -> &'a [u8] {
        // SAFETY: null, or a memory of a live instance (invariant 2).
        let Some(memory) = (unsafe { self.memory.as_ref() }) else {
            return &[];
        };
        let base = std::ptr::with_exposed_provenance(memory.base as usize);
        // SAFETY: `byte_len` bytes from `base` are readable (kept by `memory`), and nothing writes
        // to them (the caller's contract).
        unsafe { std::slice::from_raw_parts(base, memory.byte_len as usize) }
    }

    /// The bytes of the guest's memory, to change them.
    ///
    /// # Safety
    /// - The instance is live for `'a`.
    /// - For `'a`, no wasm of its store runs and nothing else uses the memory.
    #[inline]
    pub(crate) unsafe fn memory_mut<'a>(&self) -> &'a mut [u8] {
        // SAFETY: null, or a memory of a live instance (invariant 2).
        let Some(memory) = (unsafe { self.memory.as_ref() }) else {
            return &mut [];
        };
        let base = std::ptr::with_exposed_provenance_mut(memory.base as usize);
        // SAFETY: `byte_len` bytes from `base` are writable (kept by `memory`), and nothing else
        // uses them (the caller's contract).
        unsafe { std::slice::from_raw_parts_mut(base, memory.byte_len as usize) }
    }

    /// Calls the guest's `realloc`, with all flags cleared meanwhile. The result is aligned and
    /// `new_size` bytes from it are inside the memory, which may have grown.
    ///
    /// # Errors
    /// The guest's trap; [`TrapCode::UnalignedPointer`] or `out_of_bounds` if the result is not
    /// as it must be. The options have no `realloc`: the same as out of bounds.
    ///
    /// # Safety
    /// - The instance is one of `store`.
    pub(crate) unsafe fn realloc(
        &self,
        store: &mut StoreOpaque,
        [old, old_size, align, new_size]: [usize; 4],
        out_of_bounds: TrapCode,
    ) -> Result<usize> {
        let Some(code) = self.realloc else {
            return Err(Error::trapped(out_of_bounds));
        };
        // The host's function may have used the store on another thread.
        let ready = Ready::new(store)?;
        // SAFETY: the store is ours, so its instances are (the caller's contract).
        let flags = unsafe { self.flags() };
        // SAFETY: as above.
        unsafe { self.set_flags(0) };
        // It runs as a task of its own, of which nothing is left.
        #[cfg(feature = "async")]
        let storage = self.storage().map(|storage| {
            // SAFETY: in the context of an instance of the store, whose code does not run.
            (storage, unsafe { storage.replace([0; 2]) })
        });
        let args = [old as u64, old_size as u64, align as u64, new_size as u64];
        // SAFETY: a thunk of four arguments of this instance (invariant 3).
        let value = unsafe { ready.call(code, self.context, &args) }?;
        #[cfg(feature = "async")]
        if let Some((storage, before)) = storage {
            // SAFETY: as above.
            unsafe { storage.write(before) };
        }
        // SAFETY: as above.
        unsafe { self.set_flags(flags) };
        let pointer = self.pointer(value) as usize;
        if !pointer.is_multiple_of(align) {
            return Err(Error::trapped(TrapCode::UnalignedPointer));
        }
        // SAFETY: no wasm runs any more, and the slice is not kept.
        let len = unsafe { self.memory() }.len();
        if pointer > len || new_size > len - pointer {
            return Err(Error::trapped(out_of_bounds));
        }
        Ok(pointer)
    }
}

//! Memories and globals of instances, read while no code of their store runs: for core dumps.
//!
//! What an artifact says about their places is checked, although instances are made of trusted
//! artifacts only: nothing else has looked at it.
#![allow(unsafe_code, reason = "reads the state of guests")]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use cwasm_format::exports::{IMPORTED, kind};
use cwasm_format::imports::ImportRecord;
use cwasm_format::imports::core_type::{self, ValType};
use cwasm_format::state::global_type;
use cwasm_format::vmctx::{VmContext, VmMemory};

use super::instance::InstanceData;
use super::memory::{self, Fixed};

/// A memory of an instance of a store that is borrowed for `'s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryRef<'s> {
    /// Invariant 1: live for `'s`.
    memory: NonNull<VmMemory>,
    store: PhantomData<&'s VmMemory>,
}

impl<'s> MemoryRef<'s> {
    /// The memory of an instance at a context offset, or with [`IMPORTED`] by the slot of an
    /// import. `None` if the unit has no such memory, or it was not linked yet.
    pub(crate) fn of(data: &'s InstanceData, place: u32) -> Option<MemoryRef<'s>> {
        let artifact = data.unit().artifact();
        let memory = if place & IMPORTED == 0 {
            let mut memories = artifact.memories().iter();
            memories.find(|memory| memory.slot == place)?;
            // SAFETY: the plan, which the instance was made by, has checked the slots of memories.
            unsafe { data.slot::<VmMemory>(place) }
        } else {
            // The item lives as long as the store.
            let (_, item) = imported(data, kind::CORE_MEMORY, place)?;
            item.cast()
        };
        Some(MemoryRef {
            memory,
            store: PhantomData,
        })
    }

    /// By which two references are to the same memory.
    pub(crate) fn address(self) -> usize {
        self.memory.addr().get()
    }

    /// Log2 of the page size in bytes, and whether other threads may use it at the same time.
    pub(crate) fn page_log2_and_shared(self) -> (u32, bool) {
        // SAFETY: live (invariant 1).
        let fixed = unsafe { Fixed::of(self.memory) };
        (fixed.page_log2, fixed.is_shared)
    }

    /// The bytes at the moment. Other threads may use a shared memory.
    pub(crate) fn bytes(self) -> Bytes<'s> {
        // SAFETY: live (invariant 1).
        let base = unsafe { Fixed::of(self.memory) }.base;
        // SAFETY: as above.
        let byte_len = unsafe { memory::byte_len(self.memory) }.load(Ordering::SeqCst) as usize;
        let whole = byte_len - byte_len % size_of::<u64>();
        // SAFETY: memories start at a page, so many bytes are accessible as long as they live, and
        // all that changes them meanwhile is code of guests on other threads.
        let words = unsafe { std::slice::from_raw_parts(base.cast(), whole / size_of::<u64>()) };
        let rest = base.wrapping_add(whole).cast();
        // SAFETY: as above.
        let rest = unsafe { std::slice::from_raw_parts(rest, byte_len - whole) };
        Bytes { words, rest }
    }
}

/// The bytes of a memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'s> {
    words: &'s [AtomicU64],
    /// Fewer than a word.
    rest: &'s [AtomicU8],
}

impl Bytes<'_> {
    pub(crate) fn len(&self) -> u64 {
        (size_of_val(self.words) + self.rest.len()) as u64
    }

    /// Whether `len` bytes from `start` on, which is a multiple of 8, are all zero, as far as there
    /// are any.
    pub(crate) fn are_zero(&self, start: u64, len: usize) -> bool {
        let first = (start / 8) as usize;
        let last = self.words.len().min(first.saturating_add(len / 8));
        let is_zero = |word: &AtomicU64| word.load(Ordering::Relaxed) == 0;
        let words = self.words.get(first..last).unwrap_or_default();
        let reaches_rest = start.saturating_add(len as u64) > size_of_val(self.words) as u64;
        words.iter().all(is_zero)
            && (!reaches_rest
                || self
                    .rest
                    .iter()
                    .all(|byte| byte.load(Ordering::Relaxed) == 0))
    }

    /// Copies the bytes from `start` on, which is a multiple of 8, as many as there is room for in
    /// `to`.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn copy(&self, start: u64, to: &mut [u8]) {
        let words = &self.words[(start / 8) as usize..];
        let (whole, part) = to.as_chunks_mut::<8>();
        for (to, word) in whole.iter_mut().zip(words) {
            *to = word.load(Ordering::Relaxed).to_le_bytes();
        }
        match words.get(whole.len()) {
            Some(word) => {
                let bytes = word.load(Ordering::Relaxed).to_le_bytes();
                part.copy_from_slice(&bytes[..part.len()]);
            }
            None => {
                let rest = &self.rest[..part.len()];
                for (to, byte) in part.iter_mut().zip(rest) {
                    *to = byte.load(Ordering::Relaxed);
                }
            }
        }
    }
}

/// The address of the value of a global of a type ([`global_type`]), at a context offset, or with
/// [`IMPORTED`] by the slot of an import. `None` if there can be no such global, or it was not
/// linked yet.
pub(crate) fn global_address(data: &InstanceData, place: u32, ty: u32) -> Option<usize> {
    if place & IMPORTED != 0 {
        let (import, item) = imported(data, kind::CORE_GLOBAL, place)?;
        let declared = data.unit().artifact().string_bytes(import.core_type)?;
        let (declared, _) = core_type::decode_global(declared)?;
        let fits = size_of_value(declared) == size_of_global(ty);
        return fits.then_some(item.addr().get());
    }
    let (offset, size) = (place as usize, size_of_global(ty));
    let context_size = data.unit().artifact().header().context_size as usize;
    let fits = offset >= size_of::<VmContext>() && offset + size <= context_size;
    (fits && offset.is_multiple_of(size)).then(|| data.context().addr().get() + offset)
}

/// The bits of the global of an instance, as [`global_address`].
pub(crate) fn global_bits(data: &InstanceData, place: u32, ty: u32) -> Option<u128> {
    let address = global_address(data, place, ty)?;
    let address = std::ptr::with_exposed_provenance::<u8>(address);
    Some(match size_of_global(ty) {
        // SAFETY: in the context, and aligned (checked above), or an item of the declared type, of
        // which the linker or the compiler made sure; no code that could write to it runs.
        4 => unsafe { address.cast::<u32>().read() }.into(),
        // SAFETY: as above.
        8 => unsafe { address.cast::<u64>().read() }.into(),
        // SAFETY: as above.
        _ => unsafe { address.cast::<u128>().read() },
    })
}

/// Bytes of the value of a global.
const fn size_of_global(ty: u32) -> usize {
    match ty {
        global_type::I32 | global_type::F32 => 4,
        global_type::V128 => 16,
        _ => 8,
    }
}

/// Bytes of a value of a global.
const fn size_of_value(ty: ValType) -> usize {
    match ty {
        ValType::I32 | ValType::F32 => 4,
        ValType::I64 | ValType::F64 | ValType::Ref(_) => 8,
        ValType::V128 => 16,
    }
}

/// An item that a unit imports, by its slot with [`IMPORTED`]; `None` if there is no such import,
/// or it was not linked yet.
fn imported(data: &InstanceData, kind: u32, place: u32) -> Option<(&ImportRecord, NonNull<u8>)> {
    let slot = place & !IMPORTED;
    let mut imports = data.unit().artifact().imports().iter();
    let import = imports.find(|import| import.kind == kind && import.slot == slot)?;
    // SAFETY: the plan, which the instance was made by, has checked the slots of imports.
    let slot = unsafe { data.slot::<u64>(slot) };
    // SAFETY: as above; no code that could write to it runs.
    let address = unsafe { slot.read() } as usize;
    let item = NonNull::new(std::ptr::with_exposed_provenance_mut(address))?;
    Some((import, item))
}

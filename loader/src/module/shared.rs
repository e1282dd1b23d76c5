//! Memories that several stores use at once.
#![allow(unsafe_code, reason = "shares a memory between threads")]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use cwasm_format::imports::core_type::Limits;
use cwasm_format::vmctx::VmMemory;

use crate::core_types::MemoryType;
use crate::engine::Engine;
use crate::error::Result;
use crate::vm::items::SharedHostMemory;
use crate::vm::limits::StoreLimits;
use crate::vm::memory::{self, HostMemory};

/// A memory that instances in several stores, on several threads, may use at once. Cheap to clone.
///
/// Modules import it through [`CoreMemory::from_shared`](super::CoreMemory::from_shared).
#[derive(Clone, Debug)]
pub struct SharedMemory {
    memory: Arc<SharedHostMemory>,
    ty: MemoryType,
}

impl SharedMemory {
    /// A new memory of zeros, of `min` to `max` pages of 64 KiB.
    ///
    /// # Errors
    /// If there is not enough address space or memory.
    pub fn new(engine: &Engine, min: u64, max: u64) -> Result<SharedMemory> {
        let memory = HostMemory::new(engine, (min, Some(max)), true, &StoreLimits::default())?;
        let limits = Limits {
            min,
            max: Some(max),
            is_64: false,
            shared: true,
        };
        Ok(SharedMemory {
            memory: Arc::new(SharedHostMemory::new(memory)),
            ty: MemoryType {
                page_log2: 16,
                limits,
            },
        })
    }

    /// The type.
    pub fn ty(&self) -> MemoryType {
        self.ty
    }

    /// The size in pages at the moment.
    pub fn size(&self) -> u64 {
        self.bytes().len() as u64 >> self.ty.page_log2
    }

    /// Grows by `delta` pages: the old size in pages, or `None` if it cannot.
    pub fn grow(&self, delta: u64) -> Option<u64> {
        // SAFETY: live as long as `self`, and shared; references to its bytes are to atomics.
        unsafe { memory::grow(self.vm(), delta) }
    }

    /// The bytes at the moment. Wasm that does not use atomic instructions accesses them in an
    /// order of its own.
    pub fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: live as long as `self`.
        let base = unsafe { memory::Fixed::of(self.vm()) }.base;
        // SAFETY: as above.
        let byte_len = unsafe { memory::byte_len(self.vm()) }.load(Ordering::SeqCst);
        // SAFETY: so many bytes are accessible as long as the memory lives: it never gets smaller.
        unsafe { std::slice::from_raw_parts(base.cast(), byte_len as usize) }
    }

    pub(super) fn shared(&self) -> &Arc<SharedHostMemory> {
        &self.memory
    }

    pub(super) fn vm(&self) -> NonNull<VmMemory> {
        self.memory.vm()
    }
}

//! x86-64.

pub(crate) mod cpu;
#[cfg(feature = "async")]
pub(crate) mod detour;
pub(crate) mod frames;
#[cfg(feature = "profile")]
pub(crate) mod host_frames;
#[cfg(feature = "profile")]
pub(crate) mod interrupted;
#[cfg(feature = "gdb")]
pub(crate) mod jit;
pub(crate) mod registers;

/// Bytes of a page.
pub(crate) const PAGE_SIZE: usize = 4096;

/// Bits of the addresses that a process can have.
pub(crate) const ADDRESS_BITS: u32 = 47;

/// Bytes between the stack pointer and an address that a function still reaches in its prologue:
/// how far the compiler's stack probes are apart, and what a frame without probes may have.
pub(crate) const PROBE_DISTANCE: usize = 1 << 16;

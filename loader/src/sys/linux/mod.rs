//! Linux on x86-64.

pub(crate) mod cpu;
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod signals;
pub(crate) mod thread;

//! Linux.

pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod memory;
pub(crate) mod signals;
pub(crate) mod thread;

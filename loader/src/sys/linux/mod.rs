//! Linux.

#[cfg(feature = "recycle")]
pub(crate) mod cpu_number;
pub(crate) mod file;
pub(crate) mod fork;
#[cfg(feature = "backtrace")]
pub(crate) mod maps;
pub(crate) mod memory;
#[cfg(feature = "profile")]
pub(crate) mod modules;
#[cfg(feature = "recycle")]
pub(crate) mod pagemap;
#[cfg(feature = "profile")]
pub(crate) mod sampling;
pub(crate) mod signals;
pub(crate) mod thread;

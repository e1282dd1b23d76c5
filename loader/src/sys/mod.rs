//! The operating system: everything that differs between systems, under the same names.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod linux;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use linux::*;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("cwasm runs on x86-64 Linux");

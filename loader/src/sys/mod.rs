//! The machine: what differs between operating systems (`linux`) and between architectures
//! (`x86_64`), each under the same names. Another one is a folder beside these and two lines here.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_os = "linux")]
pub(crate) use linux::*;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

/// The number of the target that this loader runs.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) const TARGET: u32 = cwasm_format::header::TARGET_X86_64_LINUX;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("cwasm runs on x86-64 Linux");

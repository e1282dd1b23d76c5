//! The artifact of cwasm: everything that its compiler and its loader must agree on, defined once.
//!
//! An artifact is one ELF64 file. It is mapped as a whole, and the records that load,
//! instantiate and call need are read where they are mapped:
//!
//! ```text
//! 0x000  ELF header, program headers             readelf, objdump, gdb
//! 0x200  Header: magic, version, target, sections   header.rs
//!        record sections (little-endian, fixed size) exports, imports, lifts, ...
//!        data segments and descriptions             describe.rs
//! page   .text: every function, thunk, trampoline   code.rs
//! page   .images: context image, memory images      data.rs
//!        symbols, names and places of state (--debug), section headers
//! ```
//!
//! Virtual addresses in the ELF structures equal file offsets. There are no relocations: code
//! reaches everything inside the file relative to the instruction pointer and everything outside
//! through the context ([`vmctx`]).
//!
//! **Invariant:** nothing here parses WebAssembly, and reading never allocates (except in
//! [`describe`], which is for errors, reflection and the dynamic API).
#![warn(missing_docs)]

pub mod abi;
pub mod builtin;
pub mod code;
pub mod concurrent;
pub mod cpu;
pub mod data;
pub mod debug;
pub mod describe;
pub mod encoding;
pub mod error;
pub mod escape;
pub mod exceptions;
pub mod exports;
pub mod hash;
pub mod header;
pub mod imports;
#[cfg(feature = "lines")]
pub mod lines;
pub mod lookup;
pub mod modules;
pub mod names;
pub mod read;
pub mod resources;
pub mod state;
pub mod trap;
pub mod traps;
pub mod types;
pub mod vmctx;
pub mod wit;
#[cfg(feature = "write")]
pub mod write;

pub use error::FormatError;
pub use read::Artifact;
pub use trap::TrapCode;

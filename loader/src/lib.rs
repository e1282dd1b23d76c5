//! Loads artifacts compiled by cwasm, links host functions and calls exports.
//!
//! ```text
//! artifact.cwasm --map--> Component --link--> InstancePre --instantiate--> Instance --call-->
//!                                   Linker<T>                 Store<T>     TypedFunc<P, R>
//! ```
//!
//! Work is done as early as possible: at compile time, else at load, else at instantiation. A call
//! does nothing that could have been done earlier.
//!
//! **Invariant:** the loader never parses WebAssembly and never generates code.
//!
//! **What is promised:** map, inspect, reflect, link: any bytes; instantiate and call: the artifact
//! as the compiler wrote it. No check can replace trust in machine code, and in what its metadata
//! says that the code relies on: that is why [`Component::map`] is `unsafe`.
#![warn(missing_docs)]

// The API of hosts.
mod component;
#[cfg(feature = "coredump")]
mod coredump;
mod engine;
mod export_index;
mod instance;
mod linker;
#[cfg(feature = "metrics")]
mod metrics;
mod module;
mod resource_table;
mod store;

// Calls and values.
#[cfg(feature = "async")]
mod block_on;
#[cfg(feature = "async")]
mod concurrent;
mod dynamic;
mod func;
mod host;
mod resource;
mod signature;
mod stream_any;
pub mod types;
mod val;
mod values;
#[cfg(feature = "wave")]
mod wave;

// The run time of compiled code.
mod vm;

// Mapped and checked.
mod artifact;

// The ground.
mod core_types;
#[cfg(feature = "metrics")]
mod counters;
mod error;
mod finally;
mod fork;
mod link_error;
mod parts;
mod spread;
#[cfg(feature = "async")]
mod sync;
mod sys;
mod trace;
mod transcode;
mod versions;

pub use cwasm_format::{FormatError, TrapCode, escape};
#[cfg(feature = "macros")]
pub use cwasm_macros::{ComponentType, Lift, Lower};

/// Defines a type that stands for `flags`: a set of the flags that are named, 1 to 32.
///
/// ```
/// cwasm::flags! {
///     /// Rights to do something.
///     pub Permissions {
///         const READ;
///         #[component(name = "write-it")]
///         const WRITE;
///     }
/// }
///
/// let both = Permissions::READ | Permissions::WRITE;
/// assert!(both.contains(Permissions::READ));
/// assert_eq!(both - Permissions::READ, Permissions::WRITE);
/// ```
///
/// Names and attributes are those of the [derives](ComponentType#derives).
#[cfg(feature = "macros")]
pub use cwasm_macros::flags;

#[doc = include_str!("bindgen.md")]
#[cfg(feature = "bindgen")]
pub use cwasm_macros::bindgen;

/// For code of `bindgen!`, which cannot ask for features of this crate: `optional` code is there
/// with the feature `async`; what is `needed` does not compile without it.
#[cfg(all(feature = "bindgen", feature = "async"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __async {
    (optional $($code:tt)*) => { $($code)* };
    (needed) => {};
}

#[cfg(all(feature = "bindgen", not(feature = "async")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __async {
    (optional $($code:tt)*) => {};
    (needed) => {
        ::core::compile_error!("async functions need the feature `async` of the crate `cwasm`");
    };
}

#[cfg(feature = "async")]
pub use block_on::block_on;
pub use component::{Component, ComponentExtern, ItemKind};
#[cfg(feature = "async")]
pub use concurrent::{
    Access, Accessor, FutureReader, FutureWriter, Payload, StreamReader, StreamWriter,
};
pub use core_types::{ExternType, FuncType, GlobalType, MemoryType, TableType};
#[cfg(feature = "coredump")]
pub use coredump::{CoreDump, CoreDumpSize};
pub use engine::{Config, Engine};
pub use error::{Context, Error, Result};
pub use export_index::{ComponentExportIndex, ExportLookup};
pub use func::{Deferred, Func, TypedFunc};
pub use instance::Instance;
pub use link_error::{ImportError, ImportItem, LinkError};
pub use linker::{InstancePre, Linker, LinkerInstance};
#[cfg(feature = "metrics")]
pub use metrics::EngineMetrics;
pub use module::{
    CoreException, CoreExnRef, CoreFunc, CoreGlobal, CoreMemory, CoreTable, CoreTag, CoreVal,
    Extern, HeapType, ImportType, Limits, Module, ModuleInstance, RefType, SharedMemory, ValType,
};
pub use resource::{Borrow, Own, Resource, ResourceAny};
pub use resource_table::{ResourceTable, ResourceTableError};
pub use store::Store;
pub use stream_any::StreamAny;
pub use val::Val;
#[doc(hidden)]
pub use values::derive as __derive;
pub use values::{ComponentNamedList, ComponentType, Lift, Lower, WasmList, WasmListIter, WasmStr};
pub use vm::backtrace::{Frame, Location};
pub use vm::error_context::ErrorContext;
pub use vm::hook::CallHook;
pub use vm::interrupt::InterruptHandle;
pub use vm::limits::StoreLimits;
#[cfg(feature = "profile")]
pub use vm::profile::{
    FrameKind, Profile, ProfileClock, ProfileConfig, ProfileFrame, ProfileSample, ProfileStack,
    ProfileThread, Profiler,
};
#[cfg(feature = "recycle")]
pub use vm::recycle::kept::InstanceMetrics;
pub use vm::resources::ResourceType;
pub use vm::store_context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
pub use vm::trap::{ThrownTag, Trap};

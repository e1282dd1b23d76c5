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
#![warn(missing_docs)]

mod artifact;
mod builtins;
mod component;
mod dynamic;
mod engine;
mod error;
mod func;
mod hook;
mod host;
mod instance;
mod limits;
mod linker;
mod memory;
mod module;
mod parking;
mod plan;
mod pool;
mod raw;
mod registry;
mod resource;
mod resource_table;
mod signature;
mod store;
mod sys;
mod table;
mod transcode;
mod trap;
mod unwind;
mod val;
mod values;

pub use cwasm_format as format;
pub use cwasm_format::TrapCode;
#[cfg(feature = "macros")]
pub use cwasm_macros::{ComponentType, Lift, Lower};

/// Defines a type that stands for `flags`: a set of the flags that are named, 1 to 32.
///
/// ```
/// cwasm::flags! {
///     /// What may be done.
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

pub use component::{Component, ItemKind};
pub use engine::{Config, Engine};
pub use error::{Error, Result};
pub use func::{Deferred, Func, TypedFunc};
pub use hook::CallHook;
pub use instance::Instance;
pub use limits::StoreLimits;
pub use linker::{InstancePre, LinkError, Linker, LinkerInstance};
pub use module::{
    CoreFunc, CoreGlobal, CoreMemory, CoreTable, CoreVal, Extern, ExternType, FuncType, GlobalType,
    HeapType, ImportType, Limits, MemoryType, Module, ModuleInstance, RefType, SharedMemory,
    TableType, ValType,
};
pub use resource::{HandleType, Resource, ResourceAny, ResourceType};
pub use resource_table::{ResourceTable, ResourceTableError};
pub use store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut};
pub use trap::{Frame, Trap};
pub use val::Val;
#[doc(hidden)]
pub use values::derive as __derive;
pub use values::{
    ComponentNamedList, ComponentType, Lift, LiftContext, Lower, LowerContext, WasmList,
    WasmListIter, WasmStr,
};

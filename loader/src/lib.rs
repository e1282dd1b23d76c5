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
mod host;
mod instance;
mod linker;
mod memory;
mod module;
mod parking;
mod plan;
mod pool;
mod raw;
mod registry;
mod signature;
mod store;
mod sys;
mod table;
mod transcode;
mod trap;
mod unwind;
mod val;
mod values;
mod versions;

pub use cwasm_format as format;
pub use cwasm_format::TrapCode;

pub use component::{Component, ItemKind};
pub use engine::{Config, Engine};
pub use error::{Error, Result};
pub use func::{Deferred, Func, TypedFunc};
pub use instance::Instance;
pub use linker::{InstancePre, LinkError, Linker, LinkerInstance};
pub use module::{
    CoreFunc, CoreGlobal, CoreMemory, CoreTable, CoreVal, Extern, ExternType, FuncType, GlobalType,
    HeapType, ImportType, Limits, MemoryType, Module, ModuleInstance, RefType, SharedMemory,
    TableType, ValType,
};
pub use store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut};
pub use trap::{Frame, Trap};
pub use val::Val;
pub use values::{
    ComponentNamedList, ComponentType, Lift, LiftContext, Lower, LowerContext, WasmList,
    WasmListIter, WasmStr,
};

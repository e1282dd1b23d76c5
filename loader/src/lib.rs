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
mod deadline;
mod dynamic;
mod engine;
mod error;
mod func;
mod hook;
mod host;
mod instance;
mod interrupt;
mod limits;
mod linker;
mod memory;
mod module;
mod parking;
mod parts;
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
mod versions;

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

/// Makes what a host needs for a WIT world: Rust types, a struct with the world's exports as methods, and
/// traits for its imports.
///
/// ```
/// cwasm::bindgen!({
///     inline: "
///         package example:plugins;
///
///         interface log {
///             enum level { info, warning }
///             print: func(level: level, message: string);
///         }
///
///         world plugin {
///             import log;
///             record point { x: f32, y: f32 }
///             export name: func() -> string;
///             export scale: func(points: list<point>, by: f32) -> list<point>;
///         }
///     ",
/// });
///
/// use example::plugins::log::{Host, Level};
///
/// #[derive(Default)]
/// struct State {
///     lines: Vec<String>,
/// }
///
/// impl Host for State {
///     fn print(&mut self, level: Level, message: String) {
///         self.lines.push(format!("{level:?}: {message}"));
///     }
/// }
///
/// fn run(engine: &cwasm::Engine, component: &cwasm::Component) -> cwasm::Result<()> {
///     let mut linker = cwasm::Linker::new(engine);
///     Plugin::add_to_linker(&mut linker, |state: &mut State| state)?;
///     let mut store = cwasm::Store::new(engine, State::default());
///     let plugin = Plugin::instantiate(&mut store, component, &linker)?;
///     println!("{}", plugin.call_name(&mut store)?);
///     let points = plugin.call_scale(&mut store, &[Point { x: 1.0, y: 2.0 }], 3.0)?;
///     assert_eq!(points.len(), 1);
///     Ok(())
/// }
/// # fn main() {}
/// ```
///
/// An interface `a:b/c` becomes the module `a::b::c`; what the world exports is in `exports`. Its
/// functions become methods: of the trait `Host` if they are imported, of `Guest` if they are exported.
/// Functions that the world imports or exports by themselves are methods of `WorldImports` and `World`.
/// Error types of results are errors of Rust.
///
/// # Options
///
/// `bindgen!("world" in "path")`, either part of which may be absent, or
///
/// ```text
/// bindgen!({
///     // A file or folder, from the folder of Cargo.toml; by default "wit".
///     path: "wit",
///     // A package in place of a file; it may use what is at `path`, if that is given.
///     inline: "...",
///     // Needed if there are several.
///     world: "plugin",
///     // Interfaces and types that are there already.
///     with: { "a:b/c": crate::other::c, "a:b/d/point": crate::Point },
///     // Host functions that return a `cwasm::Result`: an error ends the call as a trap does.
///     trappable_imports: true,      // or ["print", "a:b/c#f"]
///     // Host functions whose error is this type return the host's; `convert_error` makes the former.
///     trappable_error_type: { "a:b/c/error" => crate::Error },
///     // What types derive besides `Clone` and `Debug`.
///     additional_derives: [PartialEq],
///     // What this crate is called.
///     crate: ::cwasm,
/// });
/// ```
#[cfg(feature = "bindgen")]
pub use cwasm_macros::bindgen;

pub use component::{Component, ItemKind};
pub use engine::{Config, Engine};
pub use error::{Error, Result};
pub use func::{Deferred, Func, TypedFunc};
pub use hook::CallHook;
pub use instance::Instance;
pub use interrupt::InterruptHandle;
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

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
mod component;
mod core_types;
mod dynamic;
mod engine;
mod error;
mod finally;
mod func;
mod host;
mod instance;
mod link_error;
mod linker;
mod module;
mod parts;
mod resource;
mod resource_table;
mod signature;
mod store;
mod sys;
mod transcode;
pub mod types;
mod val;
mod values;
mod versions;
mod vm;
#[cfg(feature = "wave")]
mod wave;

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
/// # Resources
///
/// A resource `file` that is imported is the host's: a type `File` that stands for it, and a trait
/// `HostFile` with its functions (`new` is the constructor) and `drop`, its destructor. Handles are
/// [`Resource<File>`](Resource), numbers that the host gives a meaning to, for instance with a
/// [`ResourceTable`]; with `with`, `File` is a type of the host's own.
///
/// One that is exported is the guest's: handles are [`ResourceAny`], and its functions are methods of
/// `GuestFile`, which `Guest` has by the resource's name: `call_constructor`, `call_` and the name for
/// others. The host drops what it owns with [`ResourceAny::resource_drop`].
///
/// ```
/// cwasm::bindgen!({
///     inline: "
///         package example:texts;
///
///         interface store {
///             resource text {
///                 constructor(initial: string);
///                 len: func() -> u32;
///             }
///         }
///
///         interface views {
///             use store.{text};
///             resource view {
///                 constructor(text: text);
///                 line: func(number: u32) -> option<string>;
///             }
///         }
///
///         world editor {
///             import store;
///             export views;
///         }
///     ",
///     with: { "example:texts/store/text": String },
/// });
///
/// use cwasm::{Resource, ResourceTable, Result};
/// use example::texts::store;
///
/// struct State {
///     texts: ResourceTable,
/// }
///
/// impl store::HostText for State {
///     fn new(&mut self, initial: String) -> Resource<String> {
///         self.texts.push(initial).expect("the table has room")
///     }
///
///     fn len(&mut self, self_: Resource<String>) -> u32 {
///         self.texts.get(&self_).map_or(0, |text| text.len() as u32)
///     }
///
///     fn drop(&mut self, rep: Resource<String>) -> Result<()> {
///         self.texts.delete(rep)?;
///         Ok(())
///     }
/// }
///
/// impl store::Host for State {}
///
/// fn run(store: &mut cwasm::Store<State>, editor: &Editor) -> Result<Option<String>> {
///     let view = editor.example_texts_views().view();
///     let text = store.data_mut().texts.push("one\ntwo".to_owned())?;
///     let shown = view.call_constructor(&mut *store, text)?;
///     let line = view.call_line(&mut *store, shown, 2)?;
///     shown.resource_drop(store)?;
///     Ok(line)
/// }
/// # fn main() {}
/// ```
///
/// # Labels
///
/// What a world imports by a label, as in `import primary: a:b/c`, is the module `a::b::c` as well: there is one
/// `Host` for an interface, and the world's `add_to_linker` gives all labels to it. Labels with hosts of
/// their own are defined one by one; [`Component::get_import`] finds those that no world names.
///
/// ```
/// cwasm::bindgen!({
///     inline: "
///         package example:db;
///
///         interface store { get: func(key: u32) -> u32; }
///
///         world copier {
///             import source: store;
///             import target: store;
///             export store;
///             export old: store;
///         }
///     ",
/// });
///
/// use example::db::store;
///
/// struct Store(u32);
///
/// impl store::Host for Store {
///     fn get(&mut self, key: u32) -> u32 {
///         key + self.0
///     }
/// }
///
/// fn define(linker: &mut cwasm::Linker<[Store; 2]>) -> cwasm::Result<()> {
///     for (index, label) in ["source", "target"].into_iter().enumerate() {
///         let mut instance = linker.instance(label)?;
///         store::add_to_linker_instance(&mut instance, move |data: &mut [Store; 2]| &mut data[index])?;
///     }
///     Ok(())
/// }
/// # fn main() {}
/// ```
///
/// Exports are alike: `old()` of the struct above is the same type as `example_db_store()`, and
/// `Guest::labelled` finds it by a label that the host knows when it runs. A resource of one label is none
/// of another.
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
///     // Interfaces, types and resources that are there already.
///     with: { "a:b/c": crate::other::c, "a:b/d/point": crate::Point },
///     // Host functions that return a `cwasm::Result`: an error ends the call as a trap does.
///     trappable_imports: true,      // or ["print", "a:b/c#f", "a:b/c#[method]file.len"]
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

pub use component::{Component, ComponentExtern, ItemKind};
pub use core_types::{ExternType, FuncType, GlobalType, MemoryType, TableType};
pub use engine::{Config, Engine};
pub use error::{Error, Result};
pub use func::{Deferred, Func, TypedFunc};
pub use instance::Instance;
pub use link_error::LinkError;
pub use linker::{InstancePre, Linker, LinkerInstance};
pub use module::{
    CoreFunc, CoreGlobal, CoreMemory, CoreTable, CoreVal, Extern, HeapType, ImportType, Limits,
    Module, ModuleInstance, RefType, SharedMemory, ValType,
};
pub use resource::{Borrow, Own, Resource, ResourceAny};
pub use resource_table::{ResourceTable, ResourceTableError};
pub use store::Store;
pub use val::Val;
#[doc(hidden)]
pub use values::derive as __derive;
pub use values::handles::HandleType;
pub use values::{
    ComponentNamedList, ComponentType, Lift, LiftContext, Lower, LowerContext, WasmList,
    WasmListIter, WasmStr,
};
pub use vm::hook::CallHook;
pub use vm::interrupt::InterruptHandle;
pub use vm::limits::StoreLimits;
pub use vm::resources::ResourceType;
pub use vm::store_context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
pub use vm::trap::{Frame, Trap};

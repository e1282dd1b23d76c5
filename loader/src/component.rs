//! Components: mapped artifacts, ready to be linked.
#![allow(unsafe_code, reason = "mapping machine code is the caller's promise")]

use std::path::Path;
use std::sync::Arc;

use cwasm_format::Artifact;
use cwasm_format::FormatError;
use cwasm_format::describe::Description;
use cwasm_format::exports::{IMPORTED, StrRef, kind};
use cwasm_format::header::Kind;

use crate::artifact::Unit;
use crate::engine::Engine;
use crate::error::Result;
use crate::module::Module;
use crate::types::ComponentFunc;

/// A compiled component. Cheap to clone; unmapped when the last clone and the last instance go.
#[derive(Clone, Debug)]
pub struct Component {
    engine: Engine,
    unit: Arc<Unit>,
}

/// What an import or export of a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ItemKind {
    /// A function.
    Func,
    /// An instance; its functions are listed by path (`instance#function`) as well.
    Instance,
    /// A resource type.
    Resource,
    /// A core module.
    Module,
}

impl Component {
    /// Maps the artifact at `path`, which `cwasm compile` wrote.
    ///
    /// Nothing is decoded or copied, so the time does not depend on the artifact's size. The file
    /// is not held open.
    ///
    /// ```no_run
    /// use cwasm::{Component, Engine, Linker, Store};
    ///
    /// let engine = Engine::default();
    /// // SAFETY: the artifact is our own build's output, and is never changed in place.
    /// let component = unsafe { Component::map(&engine, "greet.cwasm")? };
    /// let mut store = Store::new(&engine, ());
    /// let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
    /// let greet = instance.get_typed_func::<(&str,), (String,)>(&mut store, "greet")?;
    /// assert_eq!(greet.call(&mut store, ("world",))?.0, "Hello, world!");
    /// # Ok::<(), cwasm::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the file cannot be read, or is not the artifact of a component that this machine can
    /// run: [`Error::format`](crate::Error::format) says what is wrong.
    ///
    /// # Safety
    /// - The machine code in the file will be run: the file must be the unaltered output of a
    ///   compiler that you trust. (Any other file whose records are malformed is an error; code
    ///   cannot be checked.)
    /// - Nobody changes or truncates the file while it is mapped. Replacing it by renaming another
    ///   one over it is fine.
    pub unsafe fn map(engine: &Engine, path: impl AsRef<Path>) -> Result<Component> {
        // SAFETY: the caller's contract.
        let unit = unsafe { Unit::map(engine, path.as_ref(), Kind::Component) }?;
        Ok(Component {
            engine: engine.clone(),
            unit,
        })
    }

    /// As [`Component::map`], from the bytes of an artifact, which are copied.
    ///
    /// # Errors
    /// As [`Component::map`].
    ///
    /// # Safety
    /// - The machine code in `bytes` will be run: they must be the unaltered output of a compiler
    ///   that you trust.
    pub unsafe fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Component> {
        // SAFETY: the caller's contract.
        let unit = unsafe { Unit::from_bytes(engine, bytes, Kind::Component) }?;
        Ok(Component {
            engine: engine.clone(),
            unit,
        })
    }

    /// The engine that the component was loaded for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The artifact's records, for tools.
    pub fn artifact(&self) -> Artifact<'_> {
        self.unit.artifact()
    }

    /// Names and kinds of what the component imports, in the order of declaration. A function
    /// inside an imported instance is named by its path, `instance#function`.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = (&str, ItemKind)> {
        let imports = self.unit.artifact().imports();
        // Behind these is what the component has of the modules that it imports.
        let count = imports.partition_point(|import| import.kind < kind::CORE_FUNC);
        imports[..count]
            .iter()
            .map(|import| (self.string(import.name), item_kind(import.kind)))
    }

    /// Names and kinds of what the component exports, sorted by name. A function inside an
    /// exported instance is named by its path, `instance#function`.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = (&str, ItemKind)> {
        let exports = self.unit.artifact().exports().iter();
        exports.map(|export| (self.string(export.name), item_kind(export.kind)))
    }

    /// The type of an imported function, by its name or path; `None` if no function is imported by
    /// this name.
    ///
    /// # Errors
    /// If the artifact's descriptions are malformed.
    pub fn import_type(&self, name: &str) -> Result<Option<ComponentFunc>> {
        let artifact = self.unit.artifact();
        let mut imports = artifact.imports().iter();
        let found = imports
            .find(|import| import.kind == kind::FUNC && self.string(import.name) == name)
            .map(|import| import.index);
        self.func_type(found)
    }

    /// The type of an exported function, by its name or path; `None` if no function is exported by
    /// this name.
    ///
    /// # Errors
    /// If the artifact's descriptions are malformed.
    pub fn export_type(&self, name: &str) -> Result<Option<ComponentFunc>> {
        let artifact = self.unit.artifact();
        let found = artifact
            .export(name)
            .filter(|export| export.kind == kind::FUNC)
            .and_then(|export| artifact.lifts().get(export.index as usize))
            .map(|lift| lift.func_type);
        self.func_type(found)
    }

    fn func_type(&self, index: Option<u32>) -> Result<Option<ComponentFunc>> {
        let Some(index) = index else { return Ok(None) };
        match ComponentFunc::new(Arc::clone(self.unit.description()?), index) {
            Some(func) => Ok(Some(func)),
            None => Err(FormatError::Describe.into()),
        }
    }

    /// The core module that the component exports by this name, or `instance#module`; `None` if there
    /// is none, or it is one that the component imports: see
    /// [`Instance::get_module`](crate::Instance::get_module).
    ///
    /// # Errors
    /// If the artifact is malformed.
    pub fn module(&self, name: &str) -> Result<Option<Module>> {
        self.unit.plan()?;
        match self.unit.artifact().export(name) {
            Some(export) if export.kind == kind::MODULE && export.index & IMPORTED == 0 => {
                Module::exported(&self.engine, &self.unit, export).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The full types of what the component imports and exports. Decoded at the first use: loading
    /// and calling do not need it.
    ///
    /// # Errors
    /// If the artifact's descriptions are malformed.
    pub fn describe(&self) -> Result<&Description> {
        Ok(self.unit.description()?)
    }

    /// Whether its code can be stopped by an [`InterruptHandle`](crate::InterruptHandle).
    pub fn is_interruptible(&self) -> bool {
        self.unit.interrupt_slot().is_some()
    }

    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    /// A name; empty if the artifact is malformed.
    fn string(&self, reference: StrRef) -> &str {
        self.unit.artifact().string(reference).unwrap_or_default()
    }
}

fn item_kind(number: u32) -> ItemKind {
    match number {
        kind::FUNC => ItemKind::Func,
        kind::RESOURCE => ItemKind::Resource,
        kind::MODULE => ItemKind::Module,
        _ => ItemKind::Instance,
    }
}

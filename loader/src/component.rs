//! Components: mapped artifacts, ready to be linked.
#![allow(unsafe_code, reason = "mapping machine code is the caller's promise")]

use std::path::Path;
use std::sync::Arc;

use cwasm_format::Artifact;
use cwasm_format::FormatError;
use cwasm_format::describe::{Description, Extern};
use cwasm_format::exports::{IMPORTED, StrRef, kind};
use cwasm_format::header::Kind;

use crate::artifact::Unit;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::export_index::ComponentExportIndex;
use crate::module::Module;
use crate::spread::Spread;
use crate::types::ComponentFunc;
use crate::versions::are_compatible;
use crate::vm::backtrace::{self, Frame};

/// A compiled component. Cheap to clone, also on many threads at once; unmapped when the last clone
/// and the last instance go.
#[derive(Clone, Debug)]
pub struct Component(Spread<Loaded>);

#[derive(Debug)]
struct Loaded {
    engine: Engine,
    unit: Arc<Unit>,
}

/// The kind of an import or export of a component.
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

/// An import or export of a component, with its type and attributes.
///
/// A component that needs one interface more than once imports it by labels of its own, each of
/// which *implements* the interface. The host finds out which labels these are, and defines each:
///
/// ```no_run
/// # fn define(linker: &mut cwasm::Linker<()>, component: &cwasm::Component) -> cwasm::Result<()> {
/// for (name, _) in component.imports() {
///     let Some(import) = component.get_import(name)? else { continue };
///     if import.is_implements("example:db/store@1.0.0") {
///         let label = name.to_owned();
///         let mut store = linker.instance(name)?;
///         store.func_wrap("get", move |_, (key,): (String,)| Ok((format!("{label}: {key}"),)))?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentExtern<'a> {
    /// Its kind.
    pub kind: ItemKind,
    /// The type of a function.
    pub func: Option<ComponentFunc>,
    /// The interface that it implements, with the whole version: `(implements "a:b/c@1.2.3")`.
    pub implements: Option<&'a str>,
    /// An identifier whose meaning hosts define: `(external-id "...")`.
    pub external_id: Option<&'a str>,
}

impl ComponentExtern<'_> {
    /// Whether it is a label that implements the interface of this name, in this version or in one
    /// that is [compatible](crate::Linker).
    pub fn is_implements(&self, name: &str) -> bool {
        let implements = self.implements;
        implements.is_some_and(|implements| are_compatible(implements, name))
    }
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
    /// run: [`Error::format_error`](crate::Error::format_error) says what is wrong. If it uses the
    /// asynchronous ABI, and this crate's feature `async` is not enabled.
    ///
    /// # Safety
    /// - The machine code in the file will be run: the file must be the unaltered output of a
    ///   compiler that you trust. What is promised: map, inspect, reflect, link: any bytes;
    ///   instantiate and call: the artifact as the compiler wrote it.
    /// - Nobody changes or truncates the file while it is mapped. Replacing it by renaming another
    ///   one over it is fine.
    pub unsafe fn map(engine: &Engine, path: impl AsRef<Path>) -> Result<Component> {
        // SAFETY: the caller's contract.
        let unit = unsafe { Unit::map(engine.host(), path.as_ref(), Kind::Component) }?;
        Component::of(engine, unit)
    }

    /// As [`Component::map`], from a copy of the file, if its digest is this one, which
    /// `cwasm inspect` shows. The copy is hashed as it is made and nobody else can change it, so
    /// that the checked bytes are those that run, whatever happens to the file. Takes time and
    /// memory in proportion to the file's size.
    ///
    /// Not `unsafe`, because the machine code is what the digest was made of: give only digests of
    /// artifacts that come from a compiler that you trust.
    ///
    /// # Errors
    /// As [`Component::map`], and [`FormatError::Digest`](crate::FormatError::Digest) if the file
    /// has another digest.
    #[cfg(feature = "verify")]
    pub fn map_verified(
        engine: &Engine,
        path: impl AsRef<Path>,
        digest: &[u8; 32],
    ) -> Result<Component> {
        let unit = Unit::map_verified(engine.host(), path.as_ref(), digest, Kind::Component)?;
        Component::of(engine, unit)
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
        let unit = unsafe { Unit::from_bytes(engine.host(), bytes, Kind::Component) }?;
        Component::of(engine, unit)
    }

    fn of(engine: &Engine, unit: Arc<Unit>) -> Result<Component> {
        if cfg!(not(feature = "async")) && !unit.artifact().concurrent().is_empty() {
            return Err(Error::msg(
                "the component uses the asynchronous ABI: the loader needs its feature `async`",
            ));
        }
        let engine = engine.clone();
        #[cfg(feature = "metrics")]
        unit.count(engine.counters());
        Ok(Component(Spread::new(Loaded { engine, unit })))
    }

    /// The engine that the component was loaded for.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The artifact's records, for the tools that come with this crate: their types are of
    /// `cwasm-format`, which changes without notice.
    #[doc(hidden)]
    pub fn artifact(&self) -> Artifact<'_> {
        self.unit().artifact()
    }

    /// Names and kinds of the component's imports, in the order of declaration. A function inside
    /// an imported instance is named by its path, `instance#function`.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = (&str, ItemKind)> {
        let imports = self.unit().artifact().imports();
        // After these are the items that the component takes from the modules that it imports.
        let count = imports.partition_point(|import| import.kind < kind::CORE_FUNC);
        imports[..count]
            .iter()
            .map(|import| (self.string(import.name), item_kind(import.kind)))
    }

    /// Names and kinds of the component's exports, sorted by name. A function inside an exported
    /// instance is named by its path, `instance#function`.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = (&str, ItemKind)> {
        let exports = self.unit().artifact().exports().iter();
        exports.map(|export| (self.string(export.name), item_kind(export.kind)))
    }

    /// The import of this name or path, with its type and attributes; `None` if there is
    /// none.
    ///
    /// # Errors
    /// If the artifact's descriptions are malformed.
    pub fn get_import(&self, name: &str) -> Result<Option<ComponentExtern<'_>>> {
        let said = self.describe()?.import(name);
        let mut imports = self.unit().artifact().imports().iter();
        let found = imports.find(|import| self.string(import.name) == name);
        found
            .map(|import| {
                let func = (import.kind == kind::FUNC).then_some(import.index);
                self.component_extern(import.kind, func, said)
            })
            .transpose()
    }

    /// The export of this name or path, with its type and attributes; `None` if there is
    /// none.
    ///
    /// # Errors
    /// If the artifact's descriptions are malformed.
    pub fn get_export(&self, name: &str) -> Result<Option<ComponentExtern<'_>>> {
        let said = self.describe()?.export(name);
        let artifact = self.unit().artifact();
        let found = artifact.export(name);
        found
            .map(|export| {
                let lift = artifact.lifts().get(export.index as usize);
                let func = lift.filter(|_| export.kind == kind::FUNC);
                self.component_extern(export.kind, func.map(|lift| lift.func_type), said)
            })
            .transpose()
    }

    /// The export of this name or path, or of this name in an exported instance, for
    /// [`Instance::get_typed_func`](crate::Instance::get_typed_func) and the like; `None` if there
    /// is none.
    ///
    /// A host that instantiates a component often looks its exports up once:
    ///
    /// ```no_run
    /// # fn serve(component: cwasm::Component, linker: cwasm::Linker<()>) -> cwasm::Result<()> {
    /// use cwasm::{Context as _, Store};
    ///
    /// let checks = component.get_export_index(None, "example:host/checks@1.0.0");
    /// let run = component.get_export_index(checks.as_ref(), "run").context("no checks")?;
    /// let ready = linker.instantiate_pre(&component)?;
    /// loop {
    ///     let mut store = Store::new(component.engine(), ());
    ///     let instance = ready.instantiate(&mut store)?;
    ///     let run = instance.get_typed_func::<(), (bool,)>(&mut store, run)?;
    ///     if !run.call(&mut store, ())?.0 {
    ///         return Ok(());
    ///     }
    /// }
    /// # }
    /// ```
    pub fn get_export_index(
        &self,
        instance: Option<&ComponentExportIndex>,
        name: &str,
    ) -> Option<ComponentExportIndex> {
        ComponentExportIndex::find(self.unit(), instance, name)
    }

    fn component_extern<'a>(
        &self,
        kind: u32,
        func: Option<u32>,
        said: Option<&'a Extern>,
    ) -> Result<ComponentExtern<'a>> {
        let description = self.unit().description()?;
        let func = func.map(|index| {
            ComponentFunc::new(Arc::clone(description), index).ok_or(FormatError::Describe)
        });
        Ok(ComponentExtern {
            kind: item_kind(kind),
            func: func.transpose()?,
            implements: said.and_then(|said| said.implements.as_deref()),
            external_id: said.and_then(|said| said.external_id.as_deref()),
        })
    }

    /// The core module that the component exports by this name, or `instance#module`; `None` if
    /// there is none, or it is one that the component imports: see
    /// [`Instance::get_module`](crate::Instance::get_module).
    ///
    /// # Errors
    /// If the artifact is malformed.
    pub fn get_module(&self, name: &str) -> Result<Option<Module>> {
        self.unit().plan()?;
        match self.unit().artifact().export(name) {
            Some(export) if export.kind == kind::MODULE && export.index & IMPORTED == 0 => {
                Module::exported(self.engine(), self.unit(), export).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The full types of what the component imports and exports, as [`Component::artifact`] for
    /// tools. Decoded at the first use: loading and calling do not need it.
    ///
    /// # Errors
    /// If the artifact's descriptions are malformed.
    #[doc(hidden)]
    pub fn describe(&self) -> Result<&Description> {
        Ok(self.unit().description()?)
    }

    /// What is known of the core function at an offset in `.text`, as frames of backtraces have it;
    /// `None` if there is none. Tells later what [`Frame::text_offset`] was of an artifact without
    /// debug information: the same input, compiled with the same options and `--debug`, has the
    /// same machine code.
    pub fn frame_at(&self, text_offset: u32) -> Option<Frame> {
        backtrace::frame_in(self.unit(), text_offset)
    }

    /// Whether its code can be stopped by an [`InterruptHandle`](crate::InterruptHandle).
    pub fn is_interruptible(&self) -> bool {
        self.unit().interrupt_slot().is_some()
    }

    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.0.unit
    }

    /// A name; empty if the artifact is malformed.
    fn string(&self, reference: StrRef) -> &str {
        self.unit().artifact().string(reference).unwrap_or_default()
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

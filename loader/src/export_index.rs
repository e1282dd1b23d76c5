//! Exports that were looked up: by their place in the component rather than by name.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use cwasm_format::exports::{ExportRecord, LiftRecord, kind};

use crate::artifact::{Unit, UnitId};
use crate::versions;

/// An export of a component, looked up once by
/// [`Component::get_export_index`](crate::Component::get_export_index): all of the component's
/// instances have it at the same place.
///
/// In a component that was loaded again, it is the index of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ComponentExportIndex {
    unit: UnitId,
    index: u32,
}

/// How an export is found: by its name, or `instance#name`, or by its [`ComponentExportIndex`].
///
/// If the component does not export an interface in the version that a name says, the newest
/// compatible version is found, as for imports.
///
/// The trait is sealed; it is implemented for the types that are listed.
pub trait ExportLookup: sealed::Sealed {
    #[doc(hidden)]
    fn lookup(&self) -> Lookup<'_>;
}

/// A name or an index, by which an export is found.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub enum Lookup<'a> {
    Name(&'a str),
    Index(ComponentExportIndex),
}

impl ComponentExportIndex {
    /// The export of this name, or of this name in an exported instance.
    pub(crate) fn find(
        unit: &Unit,
        instance: Option<&ComponentExportIndex>,
        name: &str,
    ) -> Option<ComponentExportIndex> {
        let path = match instance {
            None => Cow::Borrowed(name),
            Some(index) => {
                let instance = Lookup::Index(*index);
                let is_instance = instance.export(unit)?.kind == kind::INSTANCE;
                let path = || format!("{}#{name}", instance.name(unit));
                is_instance.then(path)?.into()
            }
        };
        Some(ComponentExportIndex {
            unit: unit.id(),
            index: find(unit, &path)?,
        })
    }
}

impl<'a> Lookup<'a> {
    /// The export in this artifact, if it has it.
    pub(crate) fn export(self, unit: &Unit) -> Option<&ExportRecord> {
        match self {
            Lookup::Name(name) => unit.artifact().exports().get(find(unit, name)? as usize),
            Lookup::Index(found) if found.unit == unit.id() => {
                unit.artifact().exports().get(found.index as usize)
            }
            Lookup::Index(_) => None,
        }
    }

    /// The export in this artifact, if it is a function.
    #[inline(always)]
    pub(crate) fn lift(self, unit: &Unit) -> Option<&LiftRecord> {
        if let Lookup::Name(name) = self
            && let Some(found) = unit.lift(name)
        {
            return Some(found);
        }
        let export = self.export(unit)?;
        let lift = unit.artifact().lifts().get(export.index as usize);
        lift.filter(|_| export.kind == kind::FUNC)
    }

    /// The export's name or path, for errors.
    pub(crate) fn name<'u: 'a>(self, unit: &'u Unit) -> &'a str {
        match self {
            Lookup::Name(name) => name,
            Lookup::Index(_) => {
                let export = self.export(unit);
                let name = export.and_then(|export| unit.artifact().string(export.name));
                name.unwrap_or("(of another component)")
            }
        }
    }
}

/// The index of the export of this name or path; if there is none, that of the newest compatible
/// version of the interface.
fn find(unit: &Unit, name: &str) -> Option<u32> {
    let exact = unit.artifact().export_index(name);
    exact.or_else(|| find_compatible(unit, name))
}

#[cold]
fn find_compatible(unit: &Unit, name: &str) -> Option<u32> {
    let artifact = unit.artifact();
    let (instance, rest) = split(name);
    let (track, _) = versions::track(instance)?;
    // Sorted by name, so those of a track are side by side.
    let exports = artifact.exports();
    let name_of = |export: &ExportRecord| artifact.string(export.name).unwrap_or_default();
    let start = exports.partition_point(|export| name_of(export) < track);
    let candidates = exports[start..].iter().zip(start as u32..);
    let candidates = candidates.take_while(|(export, _)| name_of(export).starts_with(track));
    let of_track = candidates.filter_map(|(export, index)| {
        let (found, its_rest) = split(name_of(export));
        let (its_track, version) = versions::track(found)?;
        (its_track == track && its_rest == rest).then_some((version, index))
    });
    of_track.max().map(|(_, index)| index)
}

/// The instance, and the path in it.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('#') {
        Some((instance, rest)) => (instance, Some(rest)),
        None => (name, None),
    }
}

mod sealed {
    /// Keeps [`ExportLookup`](super::ExportLookup) to the types of this crate.
    pub trait Sealed {}
}

impl sealed::Sealed for ComponentExportIndex {}

impl ExportLookup for ComponentExportIndex {
    #[inline]
    fn lookup(&self) -> Lookup<'_> {
        Lookup::Index(*self)
    }
}

impl sealed::Sealed for str {}

impl ExportLookup for str {
    #[inline]
    fn lookup(&self) -> Lookup<'_> {
        Lookup::Name(self)
    }
}

macro_rules! pointers {
    ($($pointer:ty [$($target:ident)?],)*) => {$(
        impl<$($target: ExportLookup + ?Sized)?> sealed::Sealed for $pointer {}

        impl<$($target: ExportLookup + ?Sized)?> ExportLookup for $pointer {
            #[inline]
            fn lookup(&self) -> Lookup<'_> {
                (**self).lookup()
            }
        }
    )*};
}

pointers! {
    &T [T],
    Box<T> [T],
    Rc<T> [T],
    Arc<T> [T],
    String [],
    Cow<'_, str> [],
}

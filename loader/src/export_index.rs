//! Exports that were looked up: by their place in the component rather than by name.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use cwasm_format::exports::{ExportRecord, LiftRecord, kind};

use crate::artifact::{Unit, UnitId};

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
            index: unit.artifact().export_index(&path)?,
        })
    }
}

impl<'a> Lookup<'a> {
    /// The export in this artifact, if it has it.
    pub(crate) fn export(self, unit: &Unit) -> Option<&ExportRecord> {
        match self {
            Lookup::Name(name) => unit.artifact().export(name),
            Lookup::Index(found) if found.unit == unit.id() => {
                unit.artifact().exports().get(found.index as usize)
            }
            Lookup::Index(_) => None,
        }
    }

    /// The export in this artifact, if it is a function.
    #[inline(always)]
    pub(crate) fn lift(self, unit: &Unit) -> Option<&LiftRecord> {
        if let Lookup::Name(name) = self {
            return unit.lift(name);
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

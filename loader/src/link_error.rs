//! Why imports cannot be linked.

use std::fmt::{self, Display};

use crate::core_types::ExternType;
use crate::error::{Error, Result};

/// Imports that are missing or of another type than expected: all of them, in the order of the
/// imports. Found in an [`Error`](crate::Error) by
/// [`Error::downcast_ref`](crate::Error::downcast_ref).
///
/// ```
/// use cwasm::{Component, LinkError, Linker, Result};
///
/// /// The names of the functions that a component needs and a linker does not have.
/// fn missing(linker: &Linker<()>, component: &Component) -> Result<Vec<String>> {
///     let Err(error) = linker.instantiate_pre(component) else { return Ok(Vec::new()) };
///     let missing = error.downcast::<LinkError>()?.into_imports();
///     Ok(missing.into_iter().filter(|it| it.is_missing()).map(|it| it.path).collect())
/// }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LinkError(Vec<ImportError>);

/// An import that is missing, or not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportError {
    /// The import: `name`, or `instance#name`; of a core module `module::name`.
    pub path: String,
    /// The item that is imported.
    pub expected: ImportItem,
    /// The item that is defined by this name; `None` if there is none.
    pub found: Option<ImportItem>,
    /// How the two differ, where their types do not say it: in the handles of a function, in what a
    /// core module imports and exports, or in how a memory is guarded.
    pub detail: Option<String>,
}

/// An imported item, or one that is given for an import.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportItem {
    /// A function, with its type as in WIT, `func(a: u32) -> string`. `None` for a function of the
    /// host that takes any values, and where the artifact does not describe the type. That of a
    /// component's import is to be had by [`Component::get_import`](crate::Component::get_import),
    /// too.
    Func(Option<String>),
    /// A resource type.
    Resource,
    /// A core module.
    Module,
    /// An item of a core module.
    Core(ExternType),
}

/// A definition that is of another type than its import.
pub(crate) struct Mismatch {
    pub(crate) found: ImportItem,
    pub(crate) detail: Option<String>,
}

impl LinkError {
    /// The imports that are missing or of another type, in the order of the imports.
    pub fn imports(&self) -> &[ImportError] {
        &self.0
    }

    /// As [`imports`](LinkError::imports), by value.
    pub fn into_imports(self) -> Vec<ImportError> {
        self.0
    }

    /// Adds an import that is missing.
    pub(crate) fn missing(&mut self, path: String, expected: ImportItem) {
        self.0.push(ImportError {
            path,
            expected,
            found: None,
            detail: None,
        });
    }

    /// Adds an import that is of another type.
    pub(crate) fn mismatch(&mut self, path: String, expected: ImportItem, found: Mismatch) {
        self.0.push(ImportError {
            path,
            expected,
            found: Some(found.found),
            detail: found.detail,
        });
    }

    /// This error, if there is anything in it.
    pub(crate) fn into_result(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::new(self))
        }
    }
}

impl ImportError {
    /// Whether nothing is defined by this name.
    pub fn is_missing(&self) -> bool {
        self.found.is_none()
    }
}

impl From<ImportItem> for Mismatch {
    fn from(found: ImportItem) -> Mismatch {
        Mismatch {
            found,
            detail: None,
        }
    }
}

/// The wording is that of the specification's test suite.
impl Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, import) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{import}")?;
        }
        Ok(())
    }
}

/// As `Display`: a derived form would bring the debug forms of all core types into every host.
impl fmt::Debug for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImportError {
            path,
            expected,
            found,
            detail,
        } = self;
        match (found, detail) {
            (None, _) => write!(f, "unknown import `{path}`: expected {expected}"),
            (Some(_), Some(detail)) => {
                write!(f, "incompatible import type for `{path}`: {detail}")
            }
            (Some(found), None) => write!(
                f,
                "incompatible import type for `{path}`: expected {expected}, found {found}"
            ),
        }
    }
}

impl Display for ImportItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportItem::Func(Some(ty)) => write!(f, "`{ty}`"),
            ImportItem::Func(None) => f.write_str("a function"),
            ImportItem::Resource => f.write_str("a resource"),
            ImportItem::Module => f.write_str("a core module"),
            ImportItem::Core(ty) => ty.fmt(f),
        }
    }
}

impl std::error::Error for LinkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn func(ty: &str) -> ImportItem {
        ImportItem::Func(Some(ty.to_owned()))
    }

    #[test]
    fn link_errors_list_everything() {
        let mut error = LinkError::default();
        error.missing("a".into(), func("func()"));
        error.mismatch("i#b".into(), func("func(u32)"), func("func(string)").into());
        let detail = Some("another handle".to_owned());
        let found = func("func()");
        error.mismatch("c".into(), func("func()"), Mismatch { found, detail });
        let text = error.to_string();
        assert_eq!(
            text,
            "unknown import `a`: expected `func()`\n\
             incompatible import type for `i#b`: expected `func(u32)`, found `func(string)`\n\
             incompatible import type for `c`: another handle"
        );
        assert!(error.imports()[0].is_missing() && !error.imports()[1].is_missing());
        assert!(LinkError::default().into_result().is_ok());
        assert!(error.into_result().unwrap_err().is::<LinkError>());
    }
}

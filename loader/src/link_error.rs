//! Why imports cannot be linked.

use std::fmt::{self, Display};

use crate::error::Result;

/// Imports that are missing or of another type than expected: all of them, in the order of the
/// imports. Found in an [`Error`](crate::Error) by
/// [`Error::downcast_ref`](crate::Error::downcast_ref).
#[derive(Debug, Default)]
pub struct LinkError(Vec<Mismatch>);

/// An import that is not as expected.
#[derive(Debug)]
struct Mismatch {
    path: String,
    missing: bool,
    /// What is expected, and what was found.
    detail: String,
}

impl LinkError {
    /// Adds an import that is missing: "expected ...".
    pub(crate) fn missing(&mut self, path: String, detail: String) {
        self.0.push(Mismatch {
            path,
            missing: true,
            detail,
        });
    }

    /// Adds an import that is of another type: "expected ..., found ...".
    pub(crate) fn mismatch(&mut self, path: String, detail: String) {
        self.0.push(Mismatch {
            path,
            missing: false,
            detail,
        });
    }

    /// This error, if there is anything in it.
    pub(crate) fn into_result(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into())
        }
    }
}

/// The wording is that of the specification's test suite.
impl Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            index,
            Mismatch {
                path,
                missing,
                detail,
            },
        ) in self.0.iter().enumerate()
        {
            let line_end = if index == 0 { "" } else { "\n" };
            let what = if *missing {
                "unknown import"
            } else {
                "incompatible import type for"
            };
            write!(f, "{line_end}{what} `{path}`: {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LinkError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_errors_list_everything() {
        let mut error = LinkError::default();
        error.missing("a".into(), "expected func()".into());
        error.mismatch(
            "i#b".into(),
            "expected func(u32), found func(string)".into(),
        );
        let text = error.to_string();
        assert_eq!(
            text,
            "unknown import `a`: expected func()\nincompatible import type for `i#b`: expected \
             func(u32), found func(string)"
        );
        assert!(LinkError::default().into_result().is_ok());
        assert!(error.into_result().unwrap_err().is::<LinkError>());
    }
}

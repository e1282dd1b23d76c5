//! The error of compilation.

use std::fmt;

/// Why compilation stopped. One word wide.
#[derive(Debug)]
#[must_use]
pub struct Error(Box<ErrorKind>);

/// The result of a stage.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why compilation stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is not valid WebAssembly.
    Invalid {
        /// A description of the fault.
        message: String,
        /// Byte offset in the input, where known.
        offset: Option<u64>,
    },
    /// The input needs features that are not supported.
    Unsupported {
        /// All of them, each once.
        needs: Vec<Need>,
    },
    /// The input needs a feature that [`Options::features`](crate::Options) has switched off.
    Disabled {
        /// The feature's name.
        feature: &'static str,
        /// Byte offset in the input where it is needed first.
        offset: u64,
    },
    /// The input is larger than a limit.
    Limit {
        /// The limit's name.
        name: &'static str,
        /// The input's number.
        found: u64,
        /// The largest allowed number.
        limit: u64,
    },
    /// An option cannot be served.
    Option {
        /// A description of the option and the fault.
        message: String,
    },
    /// Cranelift refused a function: a bug in one of the two compilers.
    Codegen {
        /// The function.
        function: String,
        /// Cranelift's message.
        message: String,
    },
    /// A module of WASI preview 1 imports what neither WASI nor its custom sections have.
    UnknownImports {
        /// Module and name of all of them, each once.
        imports: Vec<(String, String)>,
    },
    /// The output could not be written.
    Io {
        /// The action that failed.
        action: String,
        /// The system's error.
        error: std::io::Error,
    },
}

/// A feature that an input needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The feature's name: that of its proposal, followed, where parts of the proposal may be
    /// supported, by the parts in parentheses: `component-model async (task.return)`.
    pub name: String,
    /// Byte offset in the input where it is needed first, if known.
    pub offset: Option<u64>,
}

impl Need {
    /// The name without parts.
    pub(crate) fn proposal(&self) -> &str {
        self.name.split(" (").next().unwrap_or_default()
    }
}

impl Error {
    /// The reason why compilation stopped.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    #[cold]
    pub(crate) fn invalid(message: impl Into<String>, offset: u64) -> Error {
        Error(Box::new(ErrorKind::Invalid {
            message: message.into(),
            offset: Some(offset),
        }))
    }

    #[cold]
    pub(crate) fn unsupported(feature: impl Into<String>, offset: impl Into<Option<u64>>) -> Error {
        let need = Need {
            name: feature.into(),
            offset: offset.into(),
        };
        Error(Box::new(ErrorKind::Unsupported { needs: vec![need] }))
    }

    /// Whether the error says that this feature is not supported.
    pub(crate) fn is_unsupported(&self, feature: &str) -> bool {
        matches!(self.kind(), ErrorKind::Unsupported { needs }
            if needs.iter().any(|need| need.name == feature))
    }

    #[cold]
    pub(crate) fn disabled(feature: &'static str, offset: u64) -> Error {
        Error(Box::new(ErrorKind::Disabled { feature, offset }))
    }

    /// Adds the offset in the input, if the error has none yet.
    #[cold]
    pub(crate) fn at(mut self, place: u64) -> Error {
        if let ErrorKind::Unsupported { needs } = &mut *self.0 {
            for need in needs {
                need.offset = need.offset.or(Some(place));
            }
        }
        self
    }

    #[cold]
    pub(crate) fn limit(name: &'static str, found: u64, limit: u64) -> Error {
        Error(Box::new(ErrorKind::Limit { name, found, limit }))
    }

    #[cold]
    pub(crate) fn option(message: impl Into<String>) -> Error {
        Error(Box::new(ErrorKind::Option {
            message: message.into(),
        }))
    }

    #[cold]
    pub(crate) fn codegen(function: impl Into<String>, message: impl Into<String>) -> Error {
        let (function, message) = (function.into(), message.into());
        Error(Box::new(ErrorKind::Codegen { function, message }))
    }

    #[cold]
    pub(crate) fn io(action: impl Into<String>, error: std::io::Error) -> Error {
        Error(Box::new(ErrorKind::Io {
            action: action.into(),
            error,
        }))
    }
}

impl From<wasmparser::BinaryReaderError> for Error {
    #[cold]
    fn from(error: wasmparser::BinaryReaderError) -> Error {
        Error::invalid(error.message(), error.offset())
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Error {
        Error(Box::new(kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |f: &mut fmt::Formatter<'_>, offset: Option<u64>| match offset {
            Some(offset) => write!(f, " (at offset {offset:#x})"),
            None => Ok(()),
        };
        match self.kind() {
            ErrorKind::Invalid { message, offset } => {
                write!(f, "invalid WebAssembly: {message}")?;
                at(f, *offset)
            }
            ErrorKind::Unsupported { needs } => {
                f.write_str("not supported yet: ")?;
                for (index, need) in needs.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", need.name)?;
                    at(f, need.offset)?;
                }
                Ok(())
            }
            ErrorKind::Disabled { feature, offset } => {
                write!(f, "needs the feature `{feature}`, which is off")?;
                at(f, Some(*offset))
            }
            ErrorKind::Limit { name, found, limit } => {
                write!(
                    f,
                    "limit exceeded: {name}: found {found}, at most {limit} are allowed"
                )
            }
            ErrorKind::Option { message } => f.write_str(message),
            ErrorKind::Codegen { function, message } => {
                write!(
                    f,
                    "internal error: cannot generate code for {function}: {message}"
                )
            }
            ErrorKind::UnknownImports { imports } => {
                f.write_str("unknown imports: ")?;
                for (index, (module, name)) in imports.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}`{name}` of `{module}`")?;
                }
                Ok(())
            }
            ErrorKind::Io { action, error } => write!(f, "cannot {action}: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());

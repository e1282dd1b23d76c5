//! The types of core imports and exports.

use std::fmt;

use cwasm_format::exports::kind;
use cwasm_format::imports::core_type::{self, HeapType, Limits, RefType, ValType};

/// The type of a core import or export.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are WebAssembly's")]
pub enum ExternType {
    Func(FuncType),
    Table(TableType),
    Memory(MemoryType),
    Global(GlobalType),
    /// The parameters are the tag's.
    Tag(FuncType),
}

/// A core function type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FuncType(core_type::FuncType);

/// A table type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableType {
    /// The type of the elements.
    pub element: ValType,
    /// Sizes in elements.
    pub limits: Limits,
}

/// A memory type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryType {
    /// Log2 of the size of a page in bytes.
    pub page_log2: u8,
    /// Sizes in pages.
    pub limits: Limits,
}

/// The type of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalType {
    /// The type of the value.
    pub content: ValType,
    /// Whether it can be set.
    pub mutable: bool,
}

impl FuncType {
    /// The type of these parameters and results.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> FuncType {
        FuncType(core_type::FuncType {
            params: params.into_iter().collect(),
            results: results.into_iter().collect(),
            identity: None,
        })
    }

    /// The parameters.
    pub fn params(&self) -> &[ValType] {
        &self.0.params
    }

    /// The results.
    pub fn results(&self) -> &[ValType] {
        &self.0.results
    }

    /// The type of references to functions of this type.
    pub fn reference(&self, nullable: bool) -> RefType {
        RefType {
            nullable,
            heap: HeapType::Concrete(self.0.hash()),
        }
    }

    /// The encoding in artifacts.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.encode(&mut bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<FuncType> {
        core_type::FuncType::decode(bytes).map(FuncType)
    }
}

impl ExternType {
    /// The type of a core item of this kind.
    pub(crate) fn decode(kind: u32, bytes: &[u8]) -> Option<ExternType> {
        Some(match kind {
            kind::CORE_FUNC => ExternType::Func(FuncType::decode(bytes)?),
            kind::CORE_TAG => ExternType::Tag(FuncType::decode(bytes)?),
            kind::CORE_TABLE => {
                let (element, limits) = core_type::decode_table(bytes)?;
                ExternType::Table(TableType { element, limits })
            }
            kind::CORE_MEMORY => {
                let (page_log2, limits) = core_type::decode_memory(bytes)?;
                ExternType::Memory(MemoryType { page_log2, limits })
            }
            kind::CORE_GLOBAL => {
                let (content, mutable) = core_type::decode_global(bytes)?;
                ExternType::Global(GlobalType { content, mutable })
            }
            _ => return None,
        })
    }

    /// Whether an item of this type (with its current size as the minimum) may be given for an
    /// import of type `import`.
    pub(crate) fn matches(&self, import: &ExternType) -> bool {
        match (self, import) {
            (ExternType::Func(found), ExternType::Func(import))
            | (ExternType::Tag(found), ExternType::Tag(import)) => found == import,
            (ExternType::Global(found), ExternType::Global(import)) => {
                let content_matches = match import.mutable {
                    true => found.content == import.content,
                    false => found.content.is_subtype_of(&import.content),
                };
                found.mutable == import.mutable && content_matches
            }
            (ExternType::Table(found), ExternType::Table(import)) => {
                found.element == import.element && limits_match(found.limits, import.limits)
            }
            (ExternType::Memory(found), ExternType::Memory(import)) => {
                found.page_log2 == import.page_log2 && limits_match(found.limits, import.limits)
            }
            _ => false,
        }
    }
}

/// WebAssembly, "Import Matching", limits.
fn limits_match(found: Limits, import: Limits) -> bool {
    let max_matches = match (found.max, import.max) {
        (_, None) => true,
        (Some(found), Some(import)) => found <= import,
        (None, Some(_)) => false,
    };
    found.min >= import.min
        && max_matches
        && found.is_64 == import.is_64
        && found.shared == import.shared
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExternType::Func(ty) => ty.fmt(f),
            ExternType::Table(ty) => {
                write!(f, "table of {}{}", ty.element, DisplayLimits(ty.limits))
            }
            ExternType::Memory(ty) => {
                f.write_str("memory")?;
                if ty.page_log2 != 16 {
                    write!(f, " with pages of {} bytes", 1u64 << (ty.page_log2 & 63))?;
                }
                DisplayLimits(ty.limits).fmt(f)
            }
            ExternType::Global(GlobalType {
                content,
                mutable: true,
            }) => {
                write!(f, "mutable global {content}")
            }
            ExternType::Global(ty) => write!(f, "global {}", ty.content),
            ExternType::Tag(ty) => write!(f, "tag of {ty}"),
        }
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| {
            types.iter().enumerate().try_for_each(|(index, ty)| {
                if index == 0 {
                    write!(f, "{ty}")
                } else {
                    write!(f, ", {ty}")
                }
            })
        };
        f.write_str("func (")?;
        list(f, self.params())?;
        f.write_str(") -> (")?;
        list(f, self.results())?;
        f.write_str(")")
    }
}

/// Prints limits after the name of the type that has them.
struct DisplayLimits(Limits);

impl fmt::Display for DisplayLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits {
            min,
            max,
            is_64,
            shared,
        } = self.0;
        if is_64 {
            f.write_str(" 64-bit")?;
        }
        if shared {
            f.write_str(" shared")?;
        }
        match max {
            Some(max) => write!(f, ", {min} to {max}"),
            None => write!(f, ", at least {min}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(min: u64, max: Option<u64>) -> ExternType {
        let limits = Limits {
            min,
            max,
            is_64: false,
            shared: false,
        };
        ExternType::Memory(MemoryType {
            page_log2: 16,
            limits,
        })
    }

    #[test]
    fn imports_match_as_wasm_says() {
        assert!(memory(2, Some(3)).matches(&memory(1, None)));
        assert!(memory(2, Some(3)).matches(&memory(2, Some(3))));
        assert!(!memory(2, None).matches(&memory(1, Some(3))));
        assert!(!memory(2, Some(4)).matches(&memory(1, Some(3))));
        assert!(!memory(1, Some(3)).matches(&memory(2, Some(3))));
        let global = |mutable| {
            ExternType::Global(GlobalType {
                content: ValType::I32,
                mutable,
            })
        };
        assert!(global(true).matches(&global(true)) && !global(true).matches(&global(false)));
        assert!(!global(true).matches(&memory(0, None)));
        let content = ValType::Ref(FuncType::new([], []).reference(false));
        let found = |mutable| ExternType::Global(GlobalType { content, mutable });
        let import = |mutable| {
            ExternType::Global(GlobalType {
                content: ValType::FUNCREF,
                mutable,
            })
        };
        assert!(found(false).matches(&import(false)) && !found(true).matches(&import(true)));
        assert!(!import(false).matches(&found(false)));
    }

    #[test]
    fn types_print_and_come_back() {
        let ty = FuncType::new([ValType::I32, ValType::F64], [ValType::FUNCREF]);
        assert_eq!(FuncType::decode(&ty.encode()), Some(ty.clone()));
        assert_eq!(ty.to_string(), "func (i32, f64) -> (funcref)");
        assert_eq!(memory(1, Some(2)).to_string(), "memory, 1 to 2");
        assert_eq!(ExternType::decode(1, &[]), None);
    }
}

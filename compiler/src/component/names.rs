//! Names of imports and exports, and their annotations.

use std::borrow::Cow;

use cwasm_format::describe::Extern;
use wasmparser::ComponentExternName;
use wasmparser::component_types::ComponentItem;

/// The name of an import or export.
#[derive(Clone, Debug)]
pub(crate) struct ExternName {
    /// Its name in aliases, arguments and types.
    pub(crate) key: String,
    /// Its name for the host, if that differs from `key`: `a:b/c@0.2` with a version suffix of `.1`
    /// is `a:b/c@0.2.1`.
    full: Option<String>,
    /// Its annotations. A version suffix belongs to the interface that is implemented, if there is
    /// one.
    pub(crate) annotations: Extern,
}

impl ExternName {
    /// Its name for the host.
    pub(crate) fn full(&self) -> &str {
        self.full.as_deref().unwrap_or(&self.key)
    }

    /// The name of an item of an instance type, where it is called `key`.
    pub(crate) fn of_item(key: &str, item: &ComponentItem) -> ExternName {
        ExternName {
            key: key.to_owned(),
            full: only_owned(item.full_name(key)),
            annotations: Extern {
                implements: item.full_implements().map(Cow::into_owned),
                external_id: item.external_id.clone(),
            },
        }
    }
}

impl From<ComponentExternName<'_>> for ExternName {
    fn from(name: ComponentExternName<'_>) -> ExternName {
        ExternName {
            key: name.name.to_owned(),
            full: only_owned(name.full_name()),
            annotations: Extern {
                implements: name.full_implements().map(Cow::into_owned),
                external_id: name.external_id.map(str::to_owned),
            },
        }
    }
}

/// The text, if it is owned: only then does it differ from the text that it was made from.
fn only_owned(text: Cow<'_, str>) -> Option<String> {
    match text {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text),
    }
}

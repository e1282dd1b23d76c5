//! The accounts of an artifact, and of the modules in it, as one list of functions and other parts.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;

use super::account::{Account, Bytes, Use};
use super::space::{self, space};
use crate::code::{Code, Function, FunctionKind, Owner};

/// The bytes of a name that are shown: names are shared in a file, but not in what is printed.
const MAX_NAME: usize = 1000;

/// What stands for the namespace of core functions that have none, as C's.
pub(super) const NO_NAMESPACE: &str = "[no namespace]";

/// What stands for the namespace of core functions whose names are not known.
const NO_NAME: &str = "[no name]";

/// A function, several instances of a generic one, or a part of the file that is no function's.
#[derive(Serialize)]
pub(super) struct Item<'a> {
    pub(super) name: String,
    /// The kind of a function; `None` of other parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    /// The component that has it, if it is known.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) component: Cow<'a, str>,
    /// The core module that has it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) module: Cow<'a, str>,
    /// The crate, namespace or package of a core function; of another function the name of all of
    /// its kind.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) namespace: String,
    /// A part of the namespace.
    #[serde(skip)]
    pub(super) inner: Option<String>,
    /// How many functions it stands for.
    pub(super) functions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<Place>,
    pub(super) total: u64,
    #[serde(serialize_with = "serialize_bytes")]
    pub(super) bytes: Bytes,
}

/// Where one function is.
#[derive(Serialize)]
pub(super) struct Place {
    core_instance: u32,
    index: u32,
    /// Text offset.
    offset: u32,
}

/// All items. With `merges`, those of functions that differ in arguments of generics are one.
pub(super) fn items<'a>(account: &Account<'a>, merges: bool) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    add(account, None, &mut items);
    for (name, module) in &account.modules {
        add(module, Some(name), &mut items);
    }
    match merges {
        true => merged(items),
        false => items,
    }
}

fn add<'a>(account: &Account<'a>, exported: Option<&'a str>, items: &mut Vec<Item<'a>>) {
    let code = &account.code;
    for (function, bytes) in code.functions.iter().zip(&account.functions) {
        items.push(of_function(code, function, *bytes, exported));
    }
    for part in &account.parts {
        let mut bytes = Bytes::default();
        bytes[part.used_for as usize] = part.bytes;
        let (component, module) = owner(part.owner, exported);
        items.push(Item {
            name: part.name.clone(),
            kind: None,
            component,
            module: module.unwrap_or_default(),
            namespace: String::new(),
            inner: None,
            functions: 0,
            place: None,
            total: part.bytes,
            bytes,
        });
    }
}

fn of_function<'a>(
    code: &Code<'a>,
    function: &Function<'a>,
    bytes: Bytes,
    exported: Option<&'a str>,
) -> Item<'a> {
    let name = code.shown(function);
    let name = space::start(&name, MAX_NAME).to_owned();
    let is_core = function.kind == FunctionKind::Core;
    let of_instance = match is_core {
        true => code.owner_of_instance(function.core_instance),
        false => Owner::default(),
    };
    let (component, module) = owner(of_instance, exported);
    let module = module.unwrap_or_else(|| match is_core {
        true => format!("core instance {}", function.core_instance).into(),
        false => "".into(),
    });
    let found = function.name.filter(|_| is_core).and_then(space);
    let namespace = match found {
        Some(found) => found.outer.to_owned(),
        None => group(function).to_owned(),
    };
    Item {
        name,
        kind: Some(function.kind.name()),
        component,
        module,
        namespace,
        inner: found.and_then(|found| found.inner).map(str::to_owned),
        functions: 1,
        place: Some(Place {
            core_instance: function.core_instance,
            index: function.index,
            offset: function.range.start,
        }),
        total: bytes.iter().sum(),
        bytes,
    }
}

/// What stands for the namespace of a function that has none.
fn group(function: &Function<'_>) -> &'static str {
    match function.kind {
        FunctionKind::Core if function.name.is_none() => NO_NAME,
        FunctionKind::Core => NO_NAMESPACE,
        FunctionKind::Thunk => "[thunks]",
        FunctionKind::Trampoline => "[trampolines]",
        FunctionKind::Builtin => "[builtins]",
        FunctionKind::Adapter => "[adapters]",
        FunctionKind::Init => "[instantiation]",
        FunctionKind::Resource => "[resources]",
        FunctionKind::Unknown => "[unknown]",
    }
}

/// The names of component and module; of an exported module, of the export.
fn owner<'a>(owner: Owner<'a>, exported: Option<&'a str>) -> (Cow<'a, str>, Option<Cow<'a, str>>) {
    let cut = |name: &'a str| Cow::from(space::start(name, MAX_NAME));
    let module = match exported {
        Some(name) => Some(format!("export {}", space::start(name, MAX_NAME)).into()),
        None => owner.module.map(cut),
    };
    (owner.component.map(cut).unwrap_or_default(), module)
}

/// One item for all functions of a module whose names differ in arguments of generics only.
fn merged(items: Vec<Item<'_>>) -> Vec<Item<'_>> {
    let mut places: HashMap<(Cow<'_, str>, Cow<'_, str>, String), usize> = HashMap::new();
    let mut all: Vec<Item<'_>> = Vec::new();
    for mut item in items {
        if item.kind != Some(FunctionKind::Core.name()) || item.namespace == NO_NAME {
            all.push(item);
            continue;
        }
        let name = space::without_generics(&item.name).into_owned();
        let key = (item.component.clone(), item.module.clone(), name.clone());
        match places.get(&key) {
            Some(place) => {
                let known = &mut all[*place];
                known.functions += 1;
                known.total += item.total;
                known.place = None;
                let sums = known.bytes.iter_mut().zip(item.bytes);
                sums.for_each(|(sum, bytes)| *sum += bytes);
            }
            None => {
                places.insert(key, all.len());
                item.name = name;
                all.push(item);
            }
        }
    }
    all
}

/// Bytes as a map from each use that has some.
pub(super) fn serialize_bytes<S: serde::Serializer>(
    bytes: &Bytes,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let used = Use::ALL
        .iter()
        .map(|used| (used.name(), bytes[*used as usize]));
    serializer.collect_map(used.filter(|(_, bytes)| *bytes > 0))
}

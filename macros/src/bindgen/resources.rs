//! The functions of resources: which there are, and what they are called in Rust.
//!
//! ```text
//!                             imported, of the host    exported, of the guest
//! resource file               marker type `File`       `ResourceAny`
//! own<file>, borrow<file>     `Resource<File>`         `ResourceAny`
//! functions                   trait `HostFile`         struct `GuestFile`
//! ```

use proc_macro2::Ident;
use quote::format_ident;
use wit_parser::{Function, FunctionKind, Resolve, TypeDefKind, TypeId};

use super::idents::{camel_text, prefixed, snake};

/// The functions of one resource, or those that are of none.
pub(super) struct Group<'a> {
    pub(super) resource: Option<Resource<'a>>,
    pub(super) funcs: Vec<&'a Function>,
}

/// A resource, and its name in WIT.
#[derive(Clone, Copy)]
pub(super) struct Resource<'a> {
    pub(super) id: TypeId,
    pub(super) name: &'a str,
}

/// The functions that are of no resource, and those of each of the resources that `types` define.
pub(super) fn groups<'a>(
    resolve: &'a Resolve,
    types: impl Iterator<Item = TypeId>,
    funcs: impl Iterator<Item = &'a Function>,
) -> (Group<'a>, Vec<Group<'a>>) {
    let funcs: Vec<_> = funcs.collect();
    let of = |resource| {
        let funcs = funcs.iter().copied();
        funcs
            .filter(|func| func.kind.resource() == resource)
            .collect()
    };
    let resources = types.filter_map(|id| {
        let def = &resolve.types[id];
        let name = def.name.as_deref()?;
        matches!(def.kind, TypeDefKind::Resource).then(|| Group {
            resource: Some(Resource { id, name }),
            funcs: of(Some(id)),
        })
    });
    let resources = resources.collect();
    let free = Group {
        resource: None,
        funcs: of(None),
    };
    (free, resources)
}

impl Resource<'_> {
    /// The trait that the host implements.
    pub(super) fn host(self) -> Ident {
        format_ident!("Host{}", camel_text(self.name))
    }

    /// The struct that calls the guest.
    pub(super) fn guest(self) -> Ident {
        format_ident!("Guest{}", camel_text(self.name))
    }

    /// The field of that struct in what it is in, and the method that gives it.
    pub(super) fn accessor(self) -> Ident {
        match self.name {
            // Beside the function that makes what it is in.
            "new" => snake("new-"),
            name => snake(name),
        }
    }
}

impl Group<'_> {
    /// The method of the host's trait. Beside `new` and `drop`, others of these names get a `_`.
    pub(super) fn host_method(&self, func: &Function) -> Ident {
        let name = func.item_name();
        match func.kind {
            FunctionKind::Constructor(_) => snake("new"),
            _ if self.resource.is_none() => snake(name),
            _ if name == "drop" || name == "new" && self.has_constructor() => {
                snake(&format!("{name}-"))
            }
            _ => snake(name),
        }
    }

    /// The method that calls the guest. Beside `call_constructor`, another of this name gets a `_`.
    pub(super) fn guest_method(&self, func: &Function) -> Ident {
        prefixed("call_", &self.guest_name(func))
    }

    /// The field that has the guest's function.
    pub(super) fn guest_field(&self, func: &Function) -> Ident {
        snake(&self.guest_name(func))
    }

    fn guest_name(&self, func: &Function) -> String {
        let name = func.item_name();
        let is_constructor = matches!(func.kind, FunctionKind::Constructor(_));
        match name == "constructor" && !is_constructor && self.has_constructor() {
            true => format!("{name}-"),
            false => name.to_owned(),
        }
    }

    fn has_constructor(&self) -> bool {
        let mut funcs = self.funcs.iter();
        funcs.any(|func| matches!(func.kind, FunctionKind::Constructor(_)))
    }
}

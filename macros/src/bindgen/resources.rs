//! The functions of resources, and their names in Rust.
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

/// The functions of one resource, or those that do not belong to one.
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

/// The functions that do not belong to a resource, and those of each resource that `types` define.
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

    /// The name of the field that holds that struct, and of the method that returns it.
    pub(super) fn accessor(self) -> Ident {
        match self.name {
            // `new` is the name of the constructor.
            "new" => snake("new-"),
            name => snake(name),
        }
    }
}

impl Group<'_> {
    /// The method of the host's trait. Functions called `new` or `drop` get a `_`, because the
    /// constructor and the destructor have these names.
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

    /// The method that calls the guest. A function called `constructor` gets a `_`, because the
    /// constructor's method is `call_constructor`.
    pub(super) fn guest_method(&self, func: &Function) -> Ident {
        prefixed("call_", &self.guest_name(func))
    }

    /// The field that holds the guest's function.
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

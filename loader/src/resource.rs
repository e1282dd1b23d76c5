//! Resources: what the host defines for guests, and what it holds of theirs.
//!
//! ```text
//! guest's handle table  <-- lower, lift -->  Resource<T>   host-defined: what it stands for
//!                                            ResourceAny   any: an entry of the store's own table
//! ```
//!
//! A function's type says by its hash where handles are. Of which resource each is, is compared once,
//! when the function is looked up or linked; a call finds it by the handle's place in the type
//! ([`Places`]).

pub(crate) mod any;
pub(crate) mod guest;
pub(crate) mod host;
pub(crate) mod typed;

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use cwasm_format::describe::Description;
use cwasm_format::resources::HandleUse;
use cwasm_format::types::ResourceNumber;

use crate::raw::HostImport;
use crate::store::StoreId;

pub use any::ResourceAny;
pub use typed::Resource;

/// A type of resources.
///
/// That of the host is a Rust type: all components that import it mean the same. Those of a guest
/// are its own: each instance of a component has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceType(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Host(TypeId),
    Guest {
        store: StoreId,
        instance: u32,
        resource: ResourceNumber,
    },
}

impl ResourceType {
    /// The type of the host's resources that Rust knows as `T`.
    pub fn host<T: 'static>() -> ResourceType {
        ResourceType(Kind::Host(TypeId::of::<T>()))
    }

    /// Whether it is the host's.
    pub(crate) fn is_host(&self) -> bool {
        matches!(self.0, Kind::Host(_))
    }

    /// A type that an instance defines.
    pub(crate) fn guest(store: StoreId, instance: u32, resource: ResourceNumber) -> ResourceType {
        ResourceType(Kind::Guest {
            store,
            instance,
            resource,
        })
    }
}

/// A resource that the host provides.
#[derive(Clone)]
pub(crate) struct HostResource {
    pub(crate) ty: ResourceType,
    /// A destructor: see [`cwasm_format::code`].
    pub(crate) dtor: Option<HostImport>,
}

impl fmt::Debug for HostResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostResource")
            .field("ty", &self.ty)
            .finish_non_exhaustive()
    }
}

/// The host's resources for a component, by number; `None` for those of the component.
pub(crate) type HostResources = Arc<[Option<HostResource>]>;

/// A handle in a Rust type: what its resource must be.
#[derive(Clone, Copy, Debug)]
pub struct HandleType(Expected);

#[derive(Clone, Copy, Debug)]
enum Expected {
    Any,
    /// The type, and its name in Rust.
    Host(ResourceType, &'static str),
}

impl HandleType {
    /// Whatever resource it is.
    pub(crate) const ANY: HandleType = HandleType(Expected::Any);

    /// The host's resource `T`.
    pub(crate) fn host<T: 'static>() -> HandleType {
        let name = std::any::type_name::<T>();
        HandleType(Expected::Host(ResourceType::host::<T>(), name))
    }
}

/// Compares the handles in a function's type with those in Rust's: why they do not fit.
///
/// `host` has the host's resources by number.
pub(crate) fn check_handles(
    uses: &[HandleUse],
    rust: &[HandleType],
    host: &[Option<HostResource>],
    description: Option<&Description>,
) -> Result<(), String> {
    if uses.len() != rust.len() {
        let (found, expected) = (rust.len(), uses.len());
        return Err(format!("found {found} handles, expected {expected}"));
    }
    for (handle, expected) in uses.iter().zip(rust) {
        let number = handle.resource().0 as usize;
        let found = host.get(number).and_then(Option::as_ref);
        if let Expected::Host(ty, rust) = expected.0
            && found.is_none_or(|found| found.ty != ty)
        {
            let names = description.map(|description| &description.types.resource_names);
            let name = names.and_then(|names| names.get(number));
            let name = name.map_or("?", String::as_str);
            let what = match found {
                Some(_) => "another type",
                None => "the component (`ResourceAny` stands for it)",
            };
            return Err(format!(
                "found `Resource<{rust}>`, expected a handle of `{name}`, which is a resource of {what}"
            ));
        }
    }
    Ok(())
}

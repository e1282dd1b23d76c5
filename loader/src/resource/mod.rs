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
pub(crate) mod ownership;
pub(crate) mod typed;

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use cwasm_format::resources::HandleUse;
use cwasm_format::types::ResourceNumber;

use crate::artifact::Unit;
use crate::vm::canon::HostImport;
use crate::vm::store::StoreId;

pub use any::ResourceAny;
pub use ownership::{Borrow, Own};
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

/// A handle in a Rust type: what it must be.
#[derive(Clone, Copy, Debug)]
pub struct HandleType {
    resource: Expected,
    /// Whether it must be borrowed; `None` if it may be either.
    is_borrow: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Any,
    /// The type, and its name in Rust.
    Host(ResourceType, &'static str),
}

impl HandleType {
    /// Whatever resource it is, owned or borrowed.
    pub(crate) const ANY: HandleType = HandleType {
        resource: Expected::Any,
        is_borrow: None,
    };

    /// The host's resource `T`, owned or borrowed.
    pub(crate) fn host<T: 'static>() -> HandleType {
        let name = std::any::type_name::<T>();
        HandleType {
            resource: Expected::Host(ResourceType::host::<T>(), name),
            is_borrow: None,
        }
    }

    /// The same, and borrowed or not.
    pub(crate) fn expect(self, is_borrow: bool) -> HandleType {
        HandleType {
            is_borrow: Some(is_borrow),
            ..self
        }
    }

    /// Whether this stands for handles of the host's resource `resource`, or of another one.
    fn is_of(&self, resource: Option<&HostResource>) -> bool {
        match self.resource {
            Expected::Any => true,
            Expected::Host(ty, _) => resource.is_some_and(|resource| resource.ty == ty),
        }
    }

    /// Whether this stands for such a handle, of whatever resource.
    fn is_like(&self, handle: HandleUse) -> bool {
        self.is_borrow.is_none_or(|it| it == handle.is_borrow())
    }
}

/// As errors say what was found.
impl fmt::Display for HandleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_borrow {
            Some(true) => "a borrowed ",
            Some(false) => "an owned ",
            None => "a ",
        })?;
        match self.resource {
            Expected::Any => f.write_str("handle"),
            Expected::Host(_, name) => write!(f, "`Resource<{name}>`"),
        }
    }
}

/// Compares the handles in a function's type with those in Rust's: why they do not fit.
///
/// `host` has the host's resources by number.
pub(crate) fn check_handles(
    uses: &[HandleUse],
    rust: &[HandleType],
    host: &[Option<HostResource>],
    unit: &Unit,
) -> Result<(), String> {
    let count = uses.len();
    if count != rust.len() {
        let found = rust.len();
        return Err(format!("found {found} handles, expected {count}"));
    }
    for (place, (handle, found)) in uses.iter().zip(rust).enumerate() {
        let number = handle.resource().0 as usize;
        let resource = host.get(number).and_then(Option::as_ref);
        let is_right = found.is_of(resource);
        if !is_right || !found.is_like(*handle) {
            let names = unit.description().map(|found| &*found.types.resource_names);
            let name = names.unwrap_or_default().get(number);
            let name = name.map_or("?", String::as_str);
            let kind = if handle.is_borrow() { "borrow" } else { "own" };
            let whose = match (is_right, resource) {
                (true, _) => "",
                (false, Some(_)) => ", a resource of another type",
                (false, None) => ", a resource of the component (`ResourceAny` stands for it)",
            };
            let place = place + 1;
            return Err(format!(
                "handle {place} of {count}: found {found}, expected `{kind}<{name}>`{whose}"
            ));
        }
    }
    Ok(())
}

//! Types of resources, and the resources that the host defines.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use cwasm_format::types::ResourceNumber;

use super::imports::HostImport;
use super::store_id::StoreId;

/// A type of resources.
///
/// A type of the host is a Rust type: it is the same for all components that import it. A type of a
/// guest belongs to an instance: each instance of a component has its own.
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

    /// Whether it is a type of the host.
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

/// A resource type that the host defines.
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

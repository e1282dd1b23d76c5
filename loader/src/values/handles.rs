//! The handles in functions' types: what Rust expects, and what a component has.

use std::fmt;

use cwasm_format::resources::HandleUse;

use crate::artifact::Unit;
use crate::vm::resources::{HostResource, ResourceType};

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

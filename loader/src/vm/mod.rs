//! The run time of compiled code: instances, their memory, traps and interrupts.

pub(crate) mod builtins;
pub(crate) mod call;
pub(crate) mod canon;
pub(crate) mod deadline;
pub(crate) mod engine;
pub(crate) mod enter;
#[cfg(feature = "async")]
pub(crate) mod fiber;
pub(crate) mod handles;
pub(crate) mod hook;
pub(crate) mod host_handles;
pub(crate) mod imports;
pub(crate) mod initialize;
pub(crate) mod instance;
pub(crate) mod interrupt;
pub(crate) mod items;
pub(crate) mod limits;
pub(crate) mod mappings;
pub(crate) mod memory;
pub(crate) mod parking;
pub(crate) mod pool;
#[cfg(feature = "recycle")]
pub(crate) mod recycle;
pub(crate) mod resources;
#[cfg(feature = "recycle")]
pub(crate) mod slabs;
pub(crate) mod slot;
mod space;
pub(crate) mod store;
pub(crate) mod store_context;
pub(crate) mod store_id;
pub(crate) mod table;
pub(crate) mod trap;
pub(crate) mod type_ids;
pub(crate) mod unwind;
pub(crate) mod watch;

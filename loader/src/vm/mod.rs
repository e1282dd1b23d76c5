//! What compiled code runs on and with: instances, their memory, traps, and what stops them.

pub(crate) mod builtins;
pub(crate) mod call;
pub(crate) mod canon;
pub(crate) mod deadline;
pub(crate) mod engine;
pub(crate) mod enter;
pub(crate) mod handles;
pub(crate) mod hook;
pub(crate) mod host_handles;
pub(crate) mod imports;
pub(crate) mod initialize;
pub(crate) mod instance;
pub(crate) mod interrupt;
pub(crate) mod items;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod parking;
pub(crate) mod pool;
pub(crate) mod resources;
pub(crate) mod store;
pub(crate) mod store_context;
pub(crate) mod store_id;
pub(crate) mod table;
pub(crate) mod trap;
pub(crate) mod unwind;
pub(crate) mod watch;

//! Streams and futures of any type, as values of the host.

use crate::vm::store_id::StoreId;

/// The readable end of a stream or future of any type, which the host has.
///
/// It is the host's until it is given to a guest again. Using one after that, or with another
/// store, is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAny {
    pub(crate) store: StoreId,
    /// Its number in the store.
    pub(crate) number: u32,
    /// What tells it from others that had this number.
    pub(crate) serial: u64,
    pub(crate) is_future: bool,
}

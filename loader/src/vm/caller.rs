//! Who calls wasm, and whether the call can wait for futures of the host.

/// Who calls, which says whether the call can wait for futures of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A function of the host that returns when the call is over: it cannot.
    Host,
    /// A call on a fiber: it can.
    #[cfg(feature = "async")]
    Fiber,
    /// Compiled code: it can if it was entered by a call that can.
    Guest,
}

/// Runs a part of a call that may be on a fiber, in a frame of its own: see
/// [`fiber`](super::fiber).
#[cfg_attr(feature = "async", inline(never))]
pub(crate) fn apart<R>(part: impl FnOnce() -> R) -> R {
    part()
}

#[cfg(feature = "async")]
/// Set in a store's stack limit while the wasm that was entered last may wait: it was entered by a
/// call on a fiber, so that no frame of a host function is between. Stack pointers are compared
/// with the limit, and are multiples of 8.
pub(crate) const SUSPENDABLE: u64 = 1;

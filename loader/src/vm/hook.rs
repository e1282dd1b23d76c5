//! Call hooks: what a host does when calls between it and its guests begin and end.

/// A call that begins or ends: see [`Store::set_call_hook`](crate::Store::set_call_hook).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallHook {
    /// The host is about to call an export.
    CallingWasm,
    /// A call of an export is over, whether it has succeeded or not. Not after a panic.
    ReturningFromWasm,
    /// A guest calls a host function.
    CallingHost,
    /// A host function is over, whether it has succeeded or not, and its results are about to be
    /// given to the guest. Not after a panic.
    ReturningFromHost,
}

impl CallHook {
    /// Whether the host's code is about to run, rather than the guest's.
    pub fn entering_host(self) -> bool {
        matches!(self, CallHook::ReturningFromWasm | CallHook::CallingHost)
    }

    /// Whether the guest's code is about to run, rather than the host's.
    pub fn exiting_host(self) -> bool {
        !self.entering_host()
    }
}

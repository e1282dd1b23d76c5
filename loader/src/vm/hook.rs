//! Call hooks: what a host does when calls between it and its guests begin and end.

use super::call::Caller;
use super::store_context::StoreContextMut;
use crate::error::Result;

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

/// A host's function that is called before and after calls.
pub(crate) enum Hook<T: 'static> {
    /// It returns when it has done its work.
    Blocking(Box<BlockingHook<T>>),
    /// It may wait.
    #[cfg(feature = "async")]
    Async(Box<AsyncHook<T>>),
}

type BlockingHook<T> =
    dyn FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync + 'static;

#[cfg(feature = "async")]
type AsyncHook<T> = dyn for<'a> FnMut(
        StoreContextMut<'a, T>,
        CallHook,
    ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
    + Send
    + Sync
    + 'static;

/// Calls a hook, which can wait if `caller` can.
///
/// # Errors
/// The hook's; or it waits, and `caller` does not.
pub(super) fn call<T: 'static>(
    hook: &mut Hook<T>,
    store: StoreContextMut<'_, T>,
    event: CallHook,
    #[cfg_attr(not(feature = "async"), expect(unused_variables, reason = "nothing waits"))]
    caller: Caller,
) -> Result<()> {
    match hook {
        Hook::Blocking(hook) => hook(store, event),
        #[cfg(feature = "async")]
        Hook::Async(hook) => {
            let mut store = store;
            let waiter = store.opaque().waiter(caller);
            waiter?.wait_for_boxed(|| hook(store, event))?
        }
    }
}

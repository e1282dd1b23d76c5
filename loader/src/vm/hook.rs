//! What a host is told about calls between it and its guests.

use crate::error::{Error, Result};
use crate::finally::finally;
use crate::vm::store::StoreContextMut;

/// A call that begins or ends: see [`Store::set_call_hook`](crate::Store::set_call_hook).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallHook {
    /// The host is about to call an export.
    CallingWasm,
    /// A call of an export is over, whether it has succeeded or not; a panic is not told of.
    ReturningFromWasm,
    /// A guest calls a host function.
    CallingHost,
    /// A host function is over, whether it has succeeded or not; a panic is not told of.
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

/// A host's function that is told.
pub(crate) type Hook<T> =
    dyn FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync + 'static;

impl<T: 'static> StoreContextMut<'_, T> {
    /// Tells of a call that is about to begin.
    ///
    /// # Errors
    /// The hook's.
    #[inline(always)]
    pub(crate) fn begin(&mut self, event: CallHook) -> Result<()> {
        if self.has_hook() {
            self.tell(event)?;
        }
        Ok(())
    }

    /// Tells of a call that is over, with what it has come to.
    ///
    /// # Errors
    /// The call's, or else the hook's.
    #[inline(always)]
    pub(crate) fn end<R, E: From<Error>>(
        &mut self,
        event: CallHook,
        result: Result<R, E>,
    ) -> Result<R, E> {
        if self.has_hook() {
            let told = self.tell(event);
            let result = result?;
            told?;
            return Ok(result);
        }
        result
    }

    #[cold]
    fn tell(&mut self, event: CallHook) -> Result<()> {
        // What the hook itself calls is not told of.
        let hook = self.take_hook();
        finally(
            &mut (self, hook),
            |(store, hook)| match hook {
                Some(hook) => hook(store.reborrow(), event),
                None => Ok(()),
            },
            |(store, hook)| {
                if let Some(hook) = hook.take() {
                    store.restore_hook(hook);
                }
            },
        )
    }
}

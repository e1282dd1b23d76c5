//! The reasons to check the calls between host and guests of a store, in one word.

/// The reasons: 0, if there are none.
#[derive(Debug, Default)]
pub(crate) struct Watch(u64);

impl Watch {
    const HOOK: u64 = 1;
    const TRAPPED: u64 = 2;
    const REFUSES_ACTIVE: u64 = 4;
    /// The rest counts results that lie in guests' memories.
    const DEFERRED: u64 = 8;

    /// For a store in which active instances may be entered, or not.
    pub(crate) fn new(allows_reentrance: bool) -> Watch {
        match allows_reentrance {
            true => Watch(0),
            false => Watch(Watch::REFUSES_ACTIVE),
        }
    }

    /// Whether there is nothing to check.
    #[inline(always)]
    pub(crate) fn is_idle(&self) -> bool {
        self.0 == 0
    }

    /// Whether active instances may not be entered.
    pub(crate) fn refuses_active(&self) -> bool {
        self.0 & Watch::REFUSES_ACTIVE != 0
    }

    /// The host has set a hook.
    pub(crate) fn set_hook(&mut self) {
        self.0 |= Watch::HOOK;
    }

    /// Something has trapped.
    pub(crate) fn set_trapped(&mut self) {
        self.0 |= Watch::TRAPPED;
    }

    /// Results lie in the memory of a guest.
    #[inline]
    pub(crate) fn add_deferred(&mut self) {
        self.0 += Watch::DEFERRED;
    }

    /// Results lie there no longer.
    #[inline]
    pub(crate) fn remove_deferred(&mut self) {
        self.0 -= Watch::DEFERRED;
    }
}

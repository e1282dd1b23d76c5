//! Where the model follows the loader instead of the specification, and wrong models.

/// How the model differs from the text of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `cancel_copy` has `trap_if(e.in_waitable_set() and not async_)`, since a synchronous cancel
    /// waits for the end alone. In the loader no cancel of a copy waits, so it need not trap; and
    /// guests that `wit-bindgen` makes cancel so.
    pub cancels_ends_in_sets: bool,
    /// `cancel_copy` returns the event that a copy has already, `COMPLETED` with a count, if it has
    /// made progress. The specification's own tests (`cancel-stream.wast`) have `CANCELLED`.
    pub cancelled_after_progress: bool,
    /// `canon_lift` leaves a call to its caller if it cannot start at once. The loader lets threads
    /// of the callee's instance that are ready go on before, which can let it start.
    pub others_before_start: bool,
    /// A model that is wrong on purpose: the check must notice.
    pub mutant: Option<Mutant>,
}

impl Rules {
    /// What the loader promises.
    pub const LOADER: Rules = Rules {
        cancels_ends_in_sets: true,
        cancelled_after_progress: true,
        others_before_start: true,
        mutant: None,
    };

    /// The text alone.
    pub const TEXT: Rules = Rules {
        cancels_ends_in_sets: false,
        cancelled_after_progress: false,
        others_before_start: false,
        mutant: None,
    };

    /// The loader's, but wrong.
    pub const fn wrong(mutant: Mutant) -> Rules {
        Rules {
            mutant: Some(mutant),
            ..Rules::LOADER
        }
    }
}

/// A wrong model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Callbacks run beside each other.
    NotExclusive,
    /// Calls start in spite of backpressure.
    NoBackpressure,
    /// A new call overtakes those that wait to start.
    Overtakes,
    /// A read or write ends where the other end's is full.
    KeepsBuffer,
    /// A zero-length write meets a zero-length read as others do.
    ZeroMeetsZero,
    /// Dropping an end does not end the other end's read or write.
    DropIsSilent,
    /// The end of a future can be used again.
    FutureIsIdle,
    /// A task that waits in its callback does not hear that it is cancelled.
    DeafCallback,
    /// A cancellation that is pending is forgotten.
    ForgetsCancellation,
    /// A call that is cancelled before it starts says that it had started.
    CancelledAfterStart,
    /// What is lent with a call is taken when it is made, not when it starts.
    EarlyArguments,
    /// Sets can be dropped that have members.
    DropsFullSets,
    /// The lowest free handle is used first.
    LowestHandle,
    /// A synchronous call of a function that is not async may wait for others.
    PlainBlocks,
    /// Threads have one storage.
    SharedStorage,
}

impl Mutant {
    pub const ALL: [Mutant; 15] = [
        Mutant::NotExclusive,
        Mutant::NoBackpressure,
        Mutant::Overtakes,
        Mutant::KeepsBuffer,
        Mutant::ZeroMeetsZero,
        Mutant::DropIsSilent,
        Mutant::FutureIsIdle,
        Mutant::DeafCallback,
        Mutant::ForgetsCancellation,
        Mutant::CancelledAfterStart,
        Mutant::EarlyArguments,
        Mutant::DropsFullSets,
        Mutant::LowestHandle,
        Mutant::PlainBlocks,
        Mutant::SharedStorage,
    ];
}

//! The reasons why execution of a guest stops.

macro_rules! trap_codes {
    ($($(#[$doc:meta])* $name:ident = $message:literal;)*) => {
        /// The reason of a trap. Numbers are part of the artifact's ABI: they are in trap tables
        /// and in the status that thunks return. The first is 1, because status 0 means success.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum TrapCode { $($(#[$doc])* $name = Place::$name as u8 + 1,)* }

        /// The place of each code in the table below.
        enum Place { $($name,)* }

        impl TrapCode {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [TrapCode] = &[$(TrapCode::$name,)*];

            /// The text for this trap in the specifications' test suites.
            pub const fn message(self) -> &'static str {
                match self { $(TrapCode::$name => $message,)* }
            }
        }
    };
}

// The texts follow the specifications' test suites. New codes come last.
trap_codes! {
    /// A load, store or bulk operation out of bounds of a linear memory.
    MemoryOutOfBounds = "out of bounds memory access";
    /// A table access out of bounds of the table.
    TableOutOfBounds = "out of bounds table access";
    /// `call_indirect` through a null table element.
    IndirectCallToNull = "uninitialized element";
    /// `call_indirect` with another type than the function has.
    BadSignature = "indirect call type mismatch";
    /// Signed division whose result does not fit.
    IntegerOverflow = "integer overflow";
    /// Division or remainder by zero.
    IntegerDivisionByZero = "integer divide by zero";
    /// Float to integer conversion of NaN or a value out of range.
    BadConversionToInteger = "invalid conversion to integer";
    /// The `unreachable` instruction.
    Unreachable = "unreachable";
    /// A null reference where a reference is needed.
    NullReference = "null reference";
    /// The thread's stack is exhausted.
    StackOverflow = "call stack exhausted";
    /// A host function returned an error.
    HostError = "host function failed";
    /// A call into a component that may not be entered, or a return to it: it has trapped, results
    /// are in its memory until post-return, or it is active and the host does not allow it to be
    /// entered then.
    CannotEnter = "cannot enter component instance";
    /// A call out of an instance that may not be left (in `realloc` or post-return).
    CannotLeave = "cannot leave component instance";
    /// A char that is not a Unicode scalar value.
    InvalidChar = "invalid char";
    /// A string of more than 2^28-1 bytes.
    StringTooLong = "string too long";
    /// A pointer that is not a multiple of the alignment of what it points to.
    UnalignedPointer = "unaligned pointer";
    /// A string that is not inside the linear memory.
    StringOutOfBounds = "string out of bounds";
    /// A string that is not well-formed in its encoding.
    InvalidStringEncoding = "invalid string encoding";
    /// A list of more than 2^28-1 bytes.
    ListTooLong = "list too long";
    /// A list that is not inside the linear memory.
    ListOutOfBounds = "list out of bounds";
    /// The discriminant of a variant, enum, option or result is not one of its cases.
    InvalidDiscriminant = "invalid discriminant";
    /// A handle without a table entry.
    UnknownHandle = "unknown handle";
    /// A handle that is not one of a resource.
    WrongHandleKind = "wrong handle kind";
    /// A handle of another resource type.
    WrongResourceType = "wrong resource type";
    /// An owned resource is taken while it is lent.
    ResourceBorrowed = "resource borrowed";
    /// A borrow where ownership is needed.
    NotOwned = "not owned";
    /// Borrows are still held when the call returns.
    BorrowsRemain = "borrows remain";
    /// A handle table is full.
    TableFull = "handle table full";
    /// A core exception that an export does not catch.
    UncaughtException = "uncaught exception";
    /// The host interrupted the guest.
    Interrupt = "interrupted";
    /// An atomic access to an address that is not a multiple of its size.
    UnalignedAtomic = "unaligned atomic";
    /// `memory.atomic.wait` on a memory that is not shared.
    ExpectedSharedMemory = "expected shared memory";
    /// Something waits that can never go on: no task can.
    Deadlock = "deadlock detected: event loop cannot make further progress";
    /// A task that is not async waits, and nothing of its instance can go on.
    CannotBlock = "cannot block a synchronous task before returning";
    /// A task ends without `task.return` or `task.cancel`.
    NoReturn = "async-lifted export failed to produce a result";
    /// `task.return` of another type or with other options than the task's, or a second time.
    InvalidTaskReturn = "invalid `task.return` signature and/or options for current task";
    /// `task.return` or `task.cancel` of a task that has returned or been cancelled.
    TaskResolved = "`task.return` or `task.cancel` called more than once for current task";
    /// `task.cancel` of a task that nobody has cancelled.
    TaskNotCancelled = "`task.cancel` called by task which has not been cancelled";
    /// `task.return` or `task.cancel` in a task that is not lifted with `async`.
    SyncTask = "`task.return` or `task.cancel` called in a task lifted without `async`";
    /// A callback returns what is no code.
    InvalidCallbackCode = "unsupported callback code";
    /// The number of `backpressure.inc`s that were not undone is beyond 16 bits, or below zero.
    BackpressureOverflow = "backpressure counter overflow";
    /// A set of waitables is dropped that has members or is waited for.
    SetInUse = "cannot drop waitable set with waiters or members";
    /// Something of a waitable that a task waits for, or that is in a set.
    WaitableInUse = "waitable cannot be used synchronously while added to a waitable set";
    /// A subtask is dropped whose result was not delivered.
    SubtaskUnresolved = "cannot drop a subtask which has not yet resolved";
    /// A subtask is cancelled that has been cancelled, or has delivered its result.
    SubtaskCancelled = "`subtask.cancel` called after terminal status delivered";
    /// A stream or future is read or written that is being so, or is done.
    CopyInProgress = "cannot have concurrent operations active on a future/stream";
    /// A stream or future is read, written or passed on after it was done.
    EndDone = "cannot use a stream or future after it was done";
    /// A read or write is cancelled where there is none.
    NoCopy = "no read or write to cancel";
    /// The writable end of a future is dropped before it was written.
    FutureUnwritten = "cannot drop future write end without first writing a value";
    /// A stream or future is dropped or passed on while it is read or written.
    EndBusy = "cannot drop or transfer a stream or future with a pending read or write";
    /// Both ends of a stream or future of other payloads than numbers are in one instance.
    SameInstanceCopy = "cannot read from and write to intra-component future/stream with non-numeric payload";
    /// A buffer of a stream of more than 2^28-1 payloads.
    StreamTooLong = "stream buffer too long";
    /// A buffer of a stream or future that is not inside the linear memory.
    StreamOutOfBounds = "stream read or write out of bounds";
    /// Something is nested too deep, or there is too much of it.
    TooManyTasks = "too many tasks, streams or futures";
    /// The exceptions that references keep take too much memory.
    TooManyExceptions = "too many exceptions";
}

impl TrapCode {
    /// The code with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<TrapCode> {
        if number == 0 || number as usize > Self::ALL.len() {
            return None;
        }
        Some(Self::ALL[number as usize - 1])
    }

    /// The number of this code: never 0.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl core::fmt::Display for TrapCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_agree() {
        for (index, code) in TrapCode::ALL.iter().enumerate() {
            assert_eq!(usize::from(code.number()), index + 1);
            assert_eq!(TrapCode::from_number(code.number()), Some(*code));
        }
        assert_eq!(TrapCode::from_number(0), None);
        assert_eq!(TrapCode::from_number(TrapCode::ALL.len() as u8 + 1), None);
    }
}

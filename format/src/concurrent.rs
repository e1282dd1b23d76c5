//! The asynchronous canonical ABI: component instances that have tasks, what they export and call,
//! and the built-in functions that they import.
//!
//! A component instance is *concurrent* if it has an async lift or lower, or an async built-in
//! function, or a function with streams, futures or error contexts, or a built-in function on error
//! contexts. Its calls, and those of its built-in functions, go through the loader, which runs
//! tasks; all others are as without this module.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::exports::CanonOptions;

/// A concurrent component instance.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ConcurrentRecord {
    /// Context offset of its flags.
    pub flags: u32,
    /// Context offset of its [`VmConcurrent`](crate::vmctx::VmConcurrent).
    pub slot: u32,
    /// Context offset of its `VmHandles`.
    pub handles: u32,
    /// 1 if something that it imports can wait in the middle of a function, so that its tasks need
    /// stacks of their own; else 0.
    pub may_block: u32,
}

/// A function of a concurrent instance that the host or another component instance calls.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TaskRecord {
    /// Text offset of the thunk that takes the flat parameters.
    pub thunk: u32,
    /// Text offset of the thunk of the post-return function, or `NONE`.
    pub post_return: u32,
    /// Text offset of the thunk of the callback, or `NONE`.
    pub callback: u32,
    /// 1 if the function is lifted with `async`: it calls `task.return`. Else 0.
    pub is_async: u32,
    /// 1 if the function's type is `async`; else 0.
    pub may_wait: u32,
    /// The canonical options.
    pub options: CanonOptions,
    /// Index of the function's type in [`Description::funcs`](crate::describe::Description).
    pub func_type: u32,
    /// The result's number in [`Description::numbered`](crate::describe::Description), plus one;
    /// 0 if there is none.
    pub result: u32,
    /// Index of the component instance's [`ConcurrentRecord`].
    pub instance: u32,
}

/// A built-in function, or a call of a function that goes through the loader, as a core function
/// of a component instance.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OpRecord {
    /// The number of an [`Op`].
    pub op: u32,
    /// 1 if it has the option `async`; else 0.
    pub is_async: u32,
    /// The canonical options.
    pub options: CanonOptions,
    /// Index of the calling component instance's [`ConcurrentRecord`].
    pub instance: u32,
    /// Of streams and futures, the payload's number in
    /// [`Description::numbered`](crate::describe::Description) plus one, or 0 without one; of
    /// `task.return`, that of the result. Of calls, the index of the function's type.
    pub ty: u32,
    /// Of calls, the index of a [`TaskRecord`], or of the import; of `resource.drop`, the resource;
    /// of streams and futures, bytes from one payload to the next.
    pub target: u32,
    /// How many arguments it has.
    pub count: u32,
    /// Of streams and futures: the alignment of payloads, and [`PLAIN`] if they can be copied as
    /// bytes. Of calls of other guests: [`PLAIN`] and the bytes of the result, if that and the
    /// parameters are numbers of 32 or 64 bits that are flat.
    pub align: u32,
}

/// Set in [`OpRecord::align`] if all bytes are payloads, and none of them a pointer or handle; or
/// if flat values are passed on as they are.
pub const PLAIN: u32 = 1 << 31;

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A built-in function of the canonical ABI, or a call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Op { $($(#[$doc])* $name,)* }

        impl Op {
            /// All of them, by number.
            pub const ALL: &'static [Op] = &[$(Op::$name,)*];

            /// The name, as in the specification.
            pub const fn name(self) -> &'static str {
                match self { $(Op::$name => $text,)* }
            }

            /// The one of this number.
            pub fn from_number(number: u32) -> Option<Op> {
                Op::ALL.get(number as usize).copied()
            }
        }
    };
}

ops! {
    /// A lowered function of another component instance.
    Call = "call";
    /// A lowered function of the host.
    CallHost = "call of the host";
    /// `resource.drop`.
    ResourceDrop = "resource.drop";
    /// `backpressure.inc`.
    BackpressureInc = "backpressure.inc";
    /// `backpressure.dec`.
    BackpressureDec = "backpressure.dec";
    /// `task.return`.
    TaskReturn = "task.return";
    /// `task.cancel`.
    TaskCancel = "task.cancel";
    /// `thread.yield`.
    ThreadYield = "thread.yield";
    /// `subtask.cancel`.
    SubtaskCancel = "subtask.cancel";
    /// `subtask.drop`.
    SubtaskDrop = "subtask.drop";
    /// `waitable-set.new`.
    WaitableSetNew = "waitable-set.new";
    /// `waitable-set.wait`.
    WaitableSetWait = "waitable-set.wait";
    /// `waitable-set.poll`.
    WaitableSetPoll = "waitable-set.poll";
    /// `waitable-set.drop`.
    WaitableSetDrop = "waitable-set.drop";
    /// `waitable.join`.
    WaitableJoin = "waitable.join";
    /// `stream.new`.
    StreamNew = "stream.new";
    /// `stream.read`.
    StreamRead = "stream.read";
    /// `stream.write`.
    StreamWrite = "stream.write";
    /// `stream.cancel-read`.
    StreamCancelRead = "stream.cancel-read";
    /// `stream.cancel-write`.
    StreamCancelWrite = "stream.cancel-write";
    /// `stream.drop-readable`.
    StreamDropReadable = "stream.drop-readable";
    /// `stream.drop-writable`.
    StreamDropWritable = "stream.drop-writable";
    /// `future.new`.
    FutureNew = "future.new";
    /// `future.read`.
    FutureRead = "future.read";
    /// `future.write`.
    FutureWrite = "future.write";
    /// `future.cancel-read`.
    FutureCancelRead = "future.cancel-read";
    /// `future.cancel-write`.
    FutureCancelWrite = "future.cancel-write";
    /// `future.drop-readable`.
    FutureDropReadable = "future.drop-readable";
    /// `future.drop-writable`.
    FutureDropWritable = "future.drop-writable";
    /// `error-context.new`.
    ErrorContextNew = "error-context.new";
    /// `error-context.debug-message`.
    ErrorContextDebugMessage = "error-context.debug-message";
    /// `error-context.drop`.
    ErrorContextDrop = "error-context.drop";
}

const _: () = assert!(size_of::<ConcurrentRecord>() == 16);
const _: () = assert!(size_of::<TaskRecord>() == 60 && size_of::<OpRecord>() == 56);

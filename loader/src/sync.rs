//! What threads share, of the standard library. Files that take it from here are also compiled with
//! what `loom` has for it, which tries all orders of threads: `tests/tests/loom`.

pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) use std::thread;

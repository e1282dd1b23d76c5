//! Error contexts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cwasm_format::escape;

/// An error with a message for people who debug: `error-context` of the component model.
///
/// Clones are the same error context, and only they are equal. A program must not depend on the
/// message: the specification allows any part of it to be left out where a guest makes the error
/// context, and this loader leaves out what is beyond
/// [`StoreLimits::error_context_size`](crate::StoreLimits::error_context_size).
#[derive(Clone)]
pub struct ErrorContext {
    inner: Arc<Inner>,
}

struct Inner {
    message: Box<str>,
    /// The bytes of all messages that guests of a store have made, if this is one of them.
    used: Option<Arc<AtomicUsize>>,
}

impl ErrorContext {
    /// An error context of the host, with this message.
    pub fn new(message: impl Into<String>) -> ErrorContext {
        ErrorContext::with(message.into(), None)
    }

    /// One that a guest of a store has made, whose messages have `used` bytes.
    #[cfg(feature = "async")]
    pub(crate) fn of_guest(message: String, used: &Arc<AtomicUsize>) -> ErrorContext {
        used.fetch_add(message.len(), Relaxed);
        ErrorContext::with(message, Some(Arc::clone(used)))
    }

    fn with(message: String, used: Option<Arc<AtomicUsize>>) -> ErrorContext {
        let message = message.into_boxed_str();
        ErrorContext {
            inner: Arc::new(Inner { message, used }),
        }
    }

    /// The message.
    pub fn debug_message(&self) -> &str {
        &self.inner.message
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(used) = &self.used {
            used.fetch_sub(self.message.len(), Relaxed);
        }
    }
}

impl PartialEq for ErrorContext {
    fn eq(&self, other: &ErrorContext) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for ErrorContext {}

impl fmt::Debug for ErrorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("ErrorContext");
        tuple.field(&self.debug_message()).finish()
    }
}

/// The message, with all control characters escaped but `\n` and `\t`: it may be a guest's.
impl fmt::Display for ErrorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape::text(self.debug_message()).fmt(f)
    }
}

impl std::error::Error for ErrorContext {}

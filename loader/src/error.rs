//! The loader's error: one word, with typed parts that can be found again.

use std::error::Error as StdError;
use std::fmt::{self, Display};

use cwasm_format::FormatError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an artifact could not be opened, linked, instantiated or called.
///
/// It prints as its outermost message; the causes below it are in [`Error::chain`], and its `Debug`
/// form prints them all. A host function may return any error: it comes out of the call that the
/// guest was in, and [`Error::downcast_ref`] finds it.
///
/// ```
/// let error = cwasm::Error::msg("disk is full").context("cannot load plug-in");
/// assert_eq!(error.to_string(), "cannot load plug-in");
/// assert_eq!(error.chain().count(), 2);
/// ```
#[must_use]
pub struct Error(Box<Layer>);

/// One error, and what it was added to as context.
struct Layer {
    error: Box<dyn StdError + Send + Sync>,
    cause: Option<Error>,
}

/// An error that is only text.
#[derive(Debug)]
struct Message(Box<str>);

impl Error {
    /// An error that is only a message.
    #[cold]
    pub fn msg(message: impl Display) -> Error {
        Error::new(Message(message.to_string().into()))
    }

    /// An error that can be found again by its type.
    #[cold]
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Error {
        Error(Box::new(Layer {
            error: Box::new(error),
            cause: None,
        }))
    }

    /// This error as the cause of one with this message.
    #[cold]
    pub fn context(self, message: impl Display) -> Error {
        self.wrap(Message(message.to_string().into()))
    }

    /// This error as the cause of `outer`, which has no cause of its own.
    #[cold]
    pub(crate) fn wrap(self, outer: impl StdError + Send + Sync + 'static) -> Error {
        Error(Box::new(Layer {
            error: Box::new(outer),
            cause: Some(self),
        }))
    }

    /// What is wrong with the artifact, if that is what happened.
    pub fn format(&self) -> Option<FormatError> {
        self.downcast_ref().copied()
    }

    /// The outermost error of this type in the chain.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.layers().find_map(|layer| layer.error.downcast_ref())
    }

    /// Whether an error of this type is in the chain.
    pub fn is<E: StdError + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The outermost error of this type in the chain, by value.
    ///
    /// # Errors
    /// This error itself, if there is none.
    pub fn downcast<E: StdError + 'static>(self) -> Result<E> {
        if !self.is::<E>() {
            return Err(self);
        }
        let mut layer = self.0;
        loop {
            match (layer.error.downcast::<E>(), layer.cause) {
                (Ok(error), _) => return Ok(*error),
                (Err(_), Some(cause)) => layer = cause.0,
                (Err(_), None) => unreachable!("an error of the type is in the chain"),
            }
        }
    }

    /// This error and all that caused it, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        let first: &(dyn StdError + 'static) = &*self.0;
        std::iter::successors(Some(first), |error| (*error).source())
    }

    /// This error as one of the standard library.
    pub fn as_std(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::successors(Some(&*self.0), |layer| Some(&*layer.cause.as_ref()?.0))
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    #[cold]
    fn from(error: E) -> Error {
        Error::new(error)
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync> {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0.error, f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        self.chain()
            .skip(1)
            .try_for_each(|cause| write!(f, "\n  caused by: {cause}"))
    }
}

impl Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.error, f)
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl StdError for Layer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Some(cause) => Some(&*cause.0),
            None => self.error.source(),
        }
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Message {}

/// Adds context to the error of a result.
pub(crate) trait Context<T> {
    /// The value, or the error with the message that `message` makes as its context.
    fn with_context<M: Display>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn with_context<M: Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| error.into().context(message()))
    }
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Error>();
};

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Exit(i32);

    impl Display for Exit {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "exit {}", self.0)
        }
    }

    impl StdError for Exit {}

    #[test]
    fn parts_are_found_again() {
        let error = Error::new(Exit(3))
            .wrap(FormatError::Digest)
            .context("outer");
        assert_eq!(error.downcast_ref(), Some(&Exit(3)));
        assert_eq!(error.format(), Some(FormatError::Digest));
        assert!(error.trap().is_none());
        let messages: Vec<_> = error.chain().map(|error| error.to_string()).collect();
        assert_eq!(
            messages,
            ["outer", &FormatError::Digest.to_string(), "exit 3"]
        );
        assert_eq!(format!("{error:?}").lines().count(), 3);
        let error = error.downcast::<fmt::Error>().unwrap_err();
        assert_eq!(error.downcast::<Exit>().unwrap(), Exit(3));
    }

    #[test]
    fn sources_of_foreign_errors_are_causes() {
        let io = std::io::Error::other(Exit(1));
        let error = Error::from(io).context("reading");
        assert_eq!(error.chain().count(), 2);
        let boxed: Box<dyn StdError + Send + Sync> = error.into();
        assert_eq!(boxed.source().unwrap().to_string(), "exit 1");
    }
}

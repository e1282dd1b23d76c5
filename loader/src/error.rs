//! The loader's error: one word, a chain of contexts and causes whose typed parts can be found
//! again.

#[cfg(feature = "anyhow")]
mod anyhow;

use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};
use std::iter::successors;
use std::ops::Deref;

use cwasm_format::FormatError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, as the standard library boxes it.
type Boxed = Box<dyn StdError + Send + Sync>;

/// Why an artifact could not be opened, linked, instantiated or called.
///
/// An error is a chain: [contexts](Context), and the cause below them. `{}` prints the outermost
/// message, `{:#}` all of them in one line (`cannot load plug-in: disk is full`), `{:?}` each in a
/// line of its own. [`chain`](Error::chain) walks them, and [`downcast_ref`](Error::downcast_ref)
/// finds those of a type.
///
/// ```
/// let error = cwasm::Error::msg("disk is full").context("cannot load plug-in");
/// assert_eq!(error.to_string(), "cannot load plug-in");
/// assert_eq!(format!("{error:#}"), "cannot load plug-in: disk is full");
/// assert_eq!(error.source().unwrap().to_string(), "disk is full");
/// ```
///
/// # Errors of the host
/// A host function returns any error with `?`: all that the standard library can box, which are
/// errors that are `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` and texts. It
/// comes out of the call that the guest was in, as the cause of a [`Trap`](crate::Trap), and can be
/// found there by its type.
///
/// In an `anyhow::Error`, without the feature `anyhow` of this crate, that finds causes only, and
/// not the outermost error, whose type `anyhow` hides when it boxes it.
///
/// In the other direction, `?` makes a `Box<dyn Error>` of it, and with the feature `anyhow` an
/// `anyhow::Error`. Ask for the parts before that. There is no `From<Error>` for
/// `Box<dyn Error + Send + Sync>`, because a type cannot convert into such a box and be made from
/// whatever does: use [`into_boxed_dyn_error`](Error::into_boxed_dyn_error). For the same reason
/// the type is no [`std::error::Error`] itself, but dereferences to one.
#[must_use]
pub struct Error(Box<Layer>);

/// One error, and the error to which it was added as context.
struct Layer {
    error: Boxed,
    cause: Option<Error>,
}

/// An error, or a context, that is only displayed.
struct Message<C>(C);

impl Error {
    /// An error that is only a message.
    #[cold]
    pub fn msg(message: impl Display) -> Error {
        Error::new(Message(message.to_string()))
    }

    /// An error that can be found again by its type.
    #[cold]
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Error {
        Error::from_layer(Box::new(error), None)
    }

    /// This error as the cause of another one, which is a message or an error itself. As an error,
    /// it is found by its type ([`downcast_ref`](Error::downcast_ref)), too.
    #[cold]
    pub fn context<C: Display + Send + Sync + 'static>(self, context: C) -> Error {
        self.wrap(Message(context))
    }

    /// This error as the cause of `outer`, which has no cause of its own.
    #[cold]
    pub(crate) fn wrap(self, outer: impl StdError + Send + Sync + 'static) -> Error {
        Error::from_layer(Box::new(outer), Some(self))
    }

    fn from_layer(error: Boxed, cause: Option<Error>) -> Error {
        Error(Box::new(Layer { error, cause }))
    }

    /// An error that was boxed, perhaps from one of ours.
    fn from_boxed(error: Boxed) -> Error {
        match error.downcast::<Layer>() {
            Ok(layer) => Error(layer),
            Err(error) => Error::from_layer(error, None),
        }
    }

    /// Why the artifact was refused, if that is what happened.
    pub fn format_error(&self) -> Option<FormatError> {
        self.downcast_ref().copied()
    }

    /// The outermost error of this type in the [chain](Error::chain): an error, one that was added
    /// as context, or the source of one.
    pub fn downcast_ref<E: StdError + Send + Sync + 'static>(&self) -> Option<&E> {
        self.chain().find_map(part)
    }

    /// Whether an error of this type is in the chain.
    pub fn is<E: StdError + Send + Sync + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The outermost error of this type in the chain, by value.
    ///
    /// # Errors
    /// This error itself, if there is none that can be taken out: errors that are only the source
    /// of another one belong to that.
    pub fn downcast<E: StdError + Send + Sync + 'static>(self) -> Result<E> {
        let Layer { error, cause } = *self.0;
        match (take(error), cause) {
            (Ok(found), _) => Ok(found),
            (Err(error), None) => Err(Error::from_layer(error, None)),
            (Err(error), Some(cause)) => cause
                .downcast()
                .map_err(|cause| Error::from_layer(error, Some(cause))),
        }
    }

    /// This error and all that caused it, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        let first: &(dyn StdError + 'static) = self.as_std();
        successors(Some(first), |error| (*error).source())
    }

    /// The innermost cause: the last of the chain.
    pub fn root_cause(&self) -> &(dyn StdError + 'static) {
        self.chain().last().unwrap_or(self.as_std())
    }

    /// This error as a box of the standard library's, whose sources are its causes.
    pub fn into_boxed_dyn_error(self) -> Box<dyn StdError + Send + Sync> {
        match self.0.cause {
            None => self.0.error,
            Some(_) => self.0,
        }
    }

    /// An error without a cause is itself in the chain, so that any walk of the chain finds its
    /// type.
    fn as_std(&self) -> &(dyn StdError + Send + Sync + 'static) {
        match self.0.cause {
            None => &*self.0.error,
            Some(_) => &*self.0,
        }
    }
}

/// The error of this type that an error of a chain is, or has as its context.
fn part<'e, E: StdError + Send + Sync + 'static>(
    error: &'e (dyn StdError + 'static),
) -> Option<&'e E> {
    if let Some(layer) = error.downcast_ref::<Layer>() {
        return part(&*layer.error);
    }
    #[cfg(feature = "anyhow")]
    if let Some(error) = error.downcast_ref() {
        return anyhow::part(error);
    }
    let message = || error.downcast_ref::<Message<E>>();
    error.downcast_ref().or_else(|| Some(&message()?.0))
}

/// As [`part`], by value.
fn take<E: StdError + Send + Sync + 'static>(error: Boxed) -> Result<E, Boxed> {
    #[cfg(feature = "anyhow")]
    let error = match error.downcast() {
        Ok(error) => return anyhow::take(*error),
        Err(error) => error,
    };
    let error = match error.downcast() {
        Ok(error) => return Ok(*error),
        Err(error) => error,
    };
    error.downcast::<Message<E>>().map(|message| message.0)
}

/// Whatever a box of the standard library's can be made of; an `Error` cannot, so that this is not
/// the conversion of a type into itself.
impl<E: Into<Box<dyn StdError + Send + Sync>> + 'static> From<E> for Error {
    #[cold]
    fn from(error: E) -> Error {
        #[cfg(feature = "anyhow")]
        let error = match anyhow::keep(error) {
            Ok(error) => return error,
            Err(error) => error,
        };
        Error::from_boxed(error.into())
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        error.into_boxed_dyn_error()
    }
}

impl Deref for Error {
    type Target = dyn StdError + Send + Sync;

    fn deref(&self) -> &Self::Target {
        self.as_std()
    }
}

impl AsRef<dyn StdError + Send + Sync> for Error {
    fn as_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self.as_std()
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_std())?;
        if !f.alternate() {
            return Ok(());
        }
        let mut causes = self.chain().skip(1);
        causes.try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut causes = self.chain().skip(1);
        causes.try_for_each(|cause| write!(f, "\n  caused by: {cause}"))
    }
}

impl Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.error, f)
    }
}

impl Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.error, f)
    }
}

impl StdError for Layer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Some(cause) => Some(cause.as_std()),
            None => self.error.source(),
        }
    }
}

impl<C: Display> Display for Message<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<C: Display> Debug for Message<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<C: Display> StdError for Message<C> {}

/// Adds context to the error of a result, or makes an error of a missing value.
///
/// ```
/// use cwasm::{Context as _, Result};
///
/// fn port(text: Option<&str>) -> Result<u16> {
///     let text = text.context("no port is given")?;
///     text.parse::<u16>().with_context(|| format!("`{text}` is not a port"))
/// }
///
/// assert_eq!(port(Some("80")).unwrap(), 80);
/// assert_eq!(format!("{:#}", port(None).unwrap_err()), "no port is given");
/// let error = port(Some("x")).unwrap_err();
/// assert_eq!(format!("{error:#}"), "`x` is not a port: invalid digit found in string");
/// assert!(error.is::<std::num::ParseIntError>());
/// ```
pub trait Context<T>: sealed::Sealed + Sized {
    /// The value, or the error with this context: a message, or an error that
    /// [`Error::downcast_ref`] finds.
    ///
    /// # Errors
    /// That of the result; or one that has no cause, if there is no value.
    fn context<C: Display + Send + Sync + 'static>(self, context: C) -> Result<T> {
        self.with_context(|| context)
    }

    /// As [`context`](Context::context), with a context that is made only if it is needed.
    ///
    /// # Errors
    /// As [`context`](Context::context).
    fn with_context<C, F>(self, context: F) -> Result<T>
    where
        C: Display + Send + Sync + 'static,
        F: FnOnce() -> C;
}

mod sealed {
    /// Keeps [`Context`](super::Context) to results and options.
    pub trait Sealed {}
    impl<T, E> Sealed for Result<T, E> {}
    impl<T> Sealed for Option<T> {}
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn with_context<C, F>(self, context: F) -> Result<T>
    where
        C: Display + Send + Sync + 'static,
        F: FnOnce() -> C,
    {
        self.map_err(|error| error.into().context(context()))
    }
}

impl<T> Context<T> for Option<T> {
    fn with_context<C, F>(self, context: F) -> Result<T>
    where
        C: Display + Send + Sync + 'static,
        F: FnOnce() -> C,
    {
        self.ok_or_else(|| Error::new(Message(context())))
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
        assert_eq!(error.root_cause().downcast_ref(), Some(&Exit(3)));
        assert_eq!(error.format_error(), Some(FormatError::Digest));
        assert!(error.trap().is_none());
        let messages: Vec<_> = error.chain().map(|error| error.to_string()).collect();
        let digest = FormatError::Digest.to_string();
        assert_eq!(messages, ["outer", &digest, "exit 3"]);
        assert_eq!(error.source().unwrap().to_string(), digest);
        assert_eq!(error.to_string(), "outer");
        assert_eq!(format!("{error:#}"), format!("outer: {digest}: exit 3"));
        assert_eq!(format!("{error:?}").lines().count(), 3);
        let error = error.downcast::<fmt::Error>().unwrap_err();
        assert_eq!(format!("{error:#}"), format!("outer: {digest}: exit 3"));
        assert_eq!(error.downcast::<Exit>().unwrap(), Exit(3));
    }

    #[test]
    fn errors_are_contexts_too() {
        let error = Error::msg("inner").context(Exit(1)).context("outer");
        assert_eq!(error.downcast_ref(), Some(&Exit(1)));
        assert_eq!(error.downcast::<Exit>().unwrap(), Exit(1));
        let error = None::<u8>.context(Exit(2)).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Exit(2)));
        assert_eq!(error.chain().count(), 1);
        let result: Result<u8, Exit> = Ok(1);
        assert_eq!(result.context("not made").unwrap(), 1);
        let error = Err::<u8, _>(Exit(4)).with_context(|| "made").unwrap_err();
        assert_eq!(format!("{error:#}"), "made: exit 4");
        let error = Err::<u8, _>(error).context("again").unwrap_err();
        assert_eq!(format!("{error:#}"), "again: made: exit 4");
    }

    #[test]
    fn sources_of_foreign_errors_are_causes() {
        let io = std::io::Error::other(Exit(1));
        let error = Error::from(io).context("reading");
        assert_eq!(error.chain().count(), 2);
        let boxed: Box<dyn StdError> = error.into();
        assert_eq!(boxed.source().unwrap().to_string(), "exit 1");
    }

    #[test]
    fn boxes_are_errors_and_come_back_as_they_were() {
        let fails = |error: Boxed| -> Result<()> { Err(error)? };
        let error = fails(Box::new(Exit(5))).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Exit(5)));
        let boxed = error.into_boxed_dyn_error();
        assert_eq!(boxed.downcast_ref(), Some(&Exit(5)));
        let error = fails(boxed).unwrap_err().context("outer");
        let error = fails(error.into_boxed_dyn_error()).unwrap_err();
        assert_eq!(format!("{error:#}"), "outer: exit 5");
        assert_eq!(error.downcast::<Exit>().unwrap(), Exit(5));
        let texts = || -> Result<()> { Err("a text")? };
        assert_eq!(texts().unwrap_err().to_string(), "a text");
    }

    #[cfg(feature = "anyhow")]
    #[test]
    fn errors_of_anyhow_keep_their_parts() {
        let fails = |error: ::anyhow::Error| -> Result<()> { Err(error)? };
        let error = fails(Exit(6).into()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Exit(6)));
        let error = fails(::anyhow::Error::new(Exit(6)).context(Exit(7))).unwrap_err();
        let error = error.context("outer");
        assert_eq!(format!("{error:#}"), "outer: exit 7: exit 6");
        assert_eq!(error.downcast_ref(), Some(&Exit(7)));
        assert_eq!(error.downcast::<Exit>().unwrap(), Exit(7));
        // Into `anyhow`, and back.
        let error = Error::new(Exit(8)).context(FormatError::Digest);
        let error = ::anyhow::Error::from(error).context("in anyhow");
        let digest = FormatError::Digest;
        assert_eq!(format!("{error:#}"), format!("in anyhow: {digest}: exit 8"));
        assert_eq!(error.root_cause().downcast_ref(), Some(&Exit(8)));
        let error = fails(error).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Exit(8)));
        assert_eq!(error.format_error(), Some(digest));
        assert_eq!(::anyhow::Error::from(error).to_string(), "in anyhow");
    }
}

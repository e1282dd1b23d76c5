//! Errors of `anyhow`: kept as they are, so that their parts can be found.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

use ::anyhow::Error as Anyhow;

use super::{Boxed, Error};

/// An error of `anyhow` as one of the standard library's.
pub(super) struct Kept(Anyhow);

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl StdError for Kept {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// The error that keeps this one, if it is of `anyhow`.
pub(super) fn keep<E: 'static>(error: E) -> Result<Error, E> {
    let mut error = Some(error);
    let found = (&mut error as &mut dyn Any).downcast_mut::<Option<Anyhow>>();
    match (found.and_then(Option::take), error) {
        (Some(found), _) => Ok(Error::new(Kept(found))),
        (None, Some(error)) => Err(error),
        (None, None) => unreachable!("the error is taken where it is found"),
    }
}

/// The error of this type in it, which may be one of ours, boxed.
pub(super) fn part<E: StdError + Send + Sync + 'static>(kept: &Kept) -> Option<&E> {
    let boxed = || super::part(&**kept.0.downcast_ref::<Boxed>()?);
    kept.0.downcast_ref().or_else(boxed)
}

/// As [`part`], by value.
pub(super) fn take<E: StdError + Send + Sync + 'static>(kept: Kept) -> Result<E, Boxed> {
    kept.0
        .downcast()
        .map_err(|error| Box::new(Kept(error)) as Boxed)
}

impl From<Error> for Anyhow {
    fn from(error: Error) -> Anyhow {
        match error.into_boxed_dyn_error().downcast::<Kept>() {
            Ok(kept) => kept.0,
            Err(error) => Anyhow::from_boxed(error),
        }
    }
}

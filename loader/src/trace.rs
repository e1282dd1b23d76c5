//! Spans and events for subscribers of `tracing`, with the feature of this name. Without it nothing
//! is left of them: their fields are not even evaluated. With it and without a subscriber that
//! wants one, it is a comparison.
//!
//! `docs/observability.md` lists all of them. How long something took, a subscriber sees by its
//! span.

/// The target of all spans and events.
#[cfg(feature = "tracing")]
pub(crate) const TARGET: &str = "cwasm";

/// Enters a span until the end of the block. The code of the block must not wait on a fiber, nor
/// for a future.
#[cfg(feature = "tracing")]
macro_rules! enter {
    ($level:ident, $name:literal $($fields:tt)*) => {
        let _entered = tracing::span!(
            target: $crate::trace::TARGET, tracing::Level::$level, $name $($fields)*
        )
        .entered();
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! enter {
    ($($span:tt)*) => {};
}

/// A future in a span, which is made first and entered whenever the future is polled.
#[cfg(all(feature = "tracing", feature = "async"))]
macro_rules! in_span {
    ($future:expr, $level:ident, $name:literal $($fields:tt)*) => {{
        let span = tracing::span!(
            target: $crate::trace::TARGET, tracing::Level::$level, $name $($fields)*
        );
        tracing::Instrument::instrument($future, span)
    }};
}

#[cfg(all(not(feature = "tracing"), feature = "async"))]
macro_rules! in_span {
    ($future:expr, $($span:tt)*) => {
        $future
    };
}

/// Tells of something that has happened.
#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $($fields:tt)*) => {
        tracing::event!(target: $crate::trace::TARGET, tracing::Level::$level, $($fields)*)
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($($fields:tt)*) => {};
}

#[cfg(feature = "async")]
pub(crate) use in_span;
pub(crate) use {enter, event};

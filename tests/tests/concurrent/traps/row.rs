//! A row of `docs/async-traps.md`: what a task does, and how that ends.

use cwasm::TrapCode;

use super::guest::Kind::{self, *};

/// What tasks do under a condition, and how that ends: by a trap, or with a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<E: 'static = TrapCode> {
    /// Its name in the page.
    pub(super) id: &'static str,
    /// In which tasks it can be.
    pub(super) kinds: &'static [Kind],
    /// Where in the task.
    pub(super) within: Within,
    /// What another task of the same instance does before: it waits in the middle of that.
    pub(super) beside: &'static str,
    /// Whether the task keeps the resource that it has borrowed.
    pub(super) keeps: bool,
    /// What it waits for.
    pub(super) waits: Waits,
    /// What it does, and how that ends.
    pub(super) cases: Cases<E>,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Nothing,
    /// The host: one that does not wait cannot call it.
    Host,
    /// What never comes. `run_concurrent` is pending then: its body may wait for something else.
    Never,
}

/// Which code of a task does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// The function, or the callback.
    Function,
    /// `realloc`, which is called for the parameters.
    Realloc,
    /// The post-return function.
    PostReturn,
}

/// All kinds of tasks.
pub(super) const ALL: &[Kind] = &Kind::ALL;
/// Those that return by `task.return`.
pub(super) const ASYNC: &[Kind] = &[Callback, Yielding, Stackful];
/// Those that have a callback.
pub(super) const CALLBACKS: &[Kind] = &[Callback, Yielding];
/// Those that return a value.
pub(super) const RETURNING: &[Kind] = &[Plain, Sync];
/// Those that may wait.
pub(super) const WAITING: &[Kind] = &[Callback, Yielding, Stackful, Plain];
/// Those that must not.
pub(super) const SYNC: &[Kind] = &[Sync];

pub(super) type Cases<E> = &'static [(&'static str, E)];

/// What is done by the function itself.
pub(super) const fn row<E>(id: &'static str, kinds: &'static [Kind], cases: Cases<E>) -> Row<E> {
    Row {
        id,
        kinds,
        within: Within::Function,
        beside: "",
        keeps: false,
        waits: Waits::Nothing,
        cases,
    }
}

/// What waits for the host.
pub(super) const fn waiting<E>(
    id: &'static str,
    kinds: &'static [Kind],
    cases: Cases<E>,
) -> Row<E> {
    Row {
        waits: Waits::Host,
        ..row(id, kinds, cases)
    }
}

/// What waits for what never comes.
pub(super) const fn endless(row: Row) -> Row {
    Row {
        waits: Waits::Never,
        ..row
    }
}

/// What is done while another task of the instance waits.
pub(super) const fn beside<E>(
    id: &'static str,
    kinds: &'static [Kind],
    beside: &'static str,
    cases: Cases<E>,
) -> Row<E> {
    Row {
        beside,
        ..row(id, kinds, cases)
    }
}

/// What is done with a borrowed resource at hand.
pub(super) const fn keeping(
    id: &'static str,
    kinds: &'static [Kind],
    cases: Cases<TrapCode>,
) -> Row {
    Row {
        keeps: true,
        ..row(id, kinds, cases)
    }
}

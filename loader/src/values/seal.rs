//! Seals the traits of values: only this crate and its derives implement them.

/// Part of each implementation of the traits of values: its author says that it keeps the trait's
/// promises, which calls into machine code rely on. Not for use by hand: nothing checks them.
#[derive(Clone, Copy, Debug)]
pub struct Seal(());

impl Seal {
    /// For an implementation that keeps the promises.
    pub const KEPT: Seal = Seal(());
}

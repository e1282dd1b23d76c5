//! Dropped instances are kept for the next ones of the same component.
//!
//! `home` is where they go and come from, `reset` makes their memory clean, `marks` does so for
//! what has grown where several threads do it (`crowd`), `kept` bounds what is kept.

pub(crate) mod crowd;
pub(crate) mod fence;
pub(crate) mod habits;
pub(crate) mod home;
pub(crate) mod kept;
pub(crate) mod marks;
pub(crate) mod reset;
pub(crate) mod reuse;

//! The IR of all entries as text.

use std::fmt::Write as _;

use super::build::{Job, Worker, build};
use super::leaves;
use super::list::WorkList;
use crate::error::Result;

/// The IR of all entries as text.
pub(crate) fn clif(list: &WorkList, job: Job<'_, '_>) -> Result<String> {
    let mut text = String::new();
    let mut worker = Worker::new();
    let bodies = leaves::bodies(list, job);
    for (place, entry) in list.entries.iter().enumerate() {
        build(entry, job, &bodies, &mut worker)?;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "; {place}: {entry:?}\n{}",
            worker.context.func.display()
        );
    }
    Ok(text)
}

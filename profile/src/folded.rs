//! Folded stacks: what scripts for flame graphs read.
//!
//! ```text
//! run;parse;next 1200
//! ```
//!
//! The number is microseconds; stacks are those of all threads together.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cwasm::Profile;

use crate::text::plain;

/// A line for each stack, sorted.
pub(crate) fn lines(profile: &Profile) -> String {
    let mut nanos: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_stack: BTreeMap<u32, u64> = BTreeMap::new();
    for sample in profile.threads.iter().flat_map(|thread| &thread.samples) {
        *by_stack.entry(sample.stack).or_default() += sample.weight;
    }
    for (stack, weight) in by_stack {
        // A semicolon separates frames.
        let names = profile.frames_of(stack);
        let mut names: Vec<String> = names
            .map(|frame| plain(&frame.name).replace(';', ":"))
            .collect();
        names.reverse();
        *nanos.entry(names.join(";")).or_default() += weight;
    }
    let mut text = String::new();
    for (stack, nanos) in nanos {
        // A string takes all that is written.
        let _ = writeln!(text, "{stack} {}", nanos.div_ceil(1000));
    }
    text
}

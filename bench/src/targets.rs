//! What the rows are to show at most.

use std::fmt;

use crate::measure::Pair;
use crate::rows::Row;

/// What a row is to show at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// Of the ratio.
    Ratio(f64),
    /// Of our own figure, which is one already.
    Own(f64),
}

/// By the names of rows, or, if they end with a dot, their first parts.
const TARGETS: &[(&str, Target)] = &[
    ("load.small", Target::Ratio(0.38)),
    ("load.floor", Target::Own(1.2)),
    ("instantiate.fresh", Target::Ratio(0.45)),
    ("recycled.0", Target::Ratio(0.4)),
    ("recycled.1", Target::Ratio(0.4)),
    ("recycled.8", Target::Ratio(0.5)),
    ("recycled.64", Target::Ratio(0.6)),
    ("recycled.py", Target::Ratio(0.4)),
    ("recycled.js", Target::Ratio(0.4)),
    // On two threads at least 1.8 times as many as on one.
    ("recycled.threads", Target::Own(1.0 / 1.8)),
    ("call.echo1M", Target::Ratio(0.65)),
    ("host.len32", Target::Ratio(0.35)),
    ("exceptions.throw-near", Target::Ratio(0.5)),
    ("exceptions.throw-far", Target::Ratio(0.5)),
    ("exceptions.unused", Target::Own(1.02)),
    ("run.geomean", Target::Ratio(0.93)),
    ("run.", Target::Ratio(1.02)),
    ("process.", Target::Ratio(0.4)),
    ("serve.p3-hello", Target::Ratio(0.8)),
    ("serve.p3-echo", Target::Ratio(0.8)),
    ("serve.p3-stream", Target::Ratio(0.8)),
    ("serve.", Target::Ratio(0.6)),
    ("async.call", Target::Ratio(0.1)),
    ("async.call.fiber", Target::Ratio(0.1)),
    ("async.host-ready", Target::Ratio(0.3)),
    ("async.host-pending", Target::Ratio(0.4)),
    ("async.guest", Target::Ratio(0.1)),
    ("async.guest-wait", Target::Ratio(0.3)),
    // At least 0.9 of the bytes a second of `memcpy`.
    ("async.stream-u8.memcpy", Target::Own(1.0 / 0.9)),
    ("async.stream-u8-host.memcpy", Target::Own(1.0 / 0.9)),
    ("async.stream-records", Target::Ratio(0.1)),
    ("async.stream-records.names", Target::Ratio(0.1)),
    ("async.tasks", Target::Ratio(0.3)),
    ("async.task-bytes", Target::Own(256.0)),
    ("async.task-bytes.guest", Target::Own(256.0)),
];

impl Target {
    /// That of a row, if it has one.
    pub(crate) fn of(row: &Row) -> Option<Target> {
        find(row.name)
    }

    pub(crate) fn is_met(self, pair: Pair) -> bool {
        match self {
            Target::Ratio(most) => pair.ratio() <= most,
            Target::Own(most) => pair.ours <= most,
        }
    }

    /// The most that the ratio may be.
    pub(crate) fn ratio(self) -> Option<f64> {
        match self {
            Target::Ratio(most) => Some(most),
            Target::Own(_) => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Ratio(most) => write!(f, "{most}"),
            Target::Own(most) => write!(f, "ours {most:.2}"),
        }
    }
}

fn find(name: &str) -> Option<Target> {
    // The whole name first: `recycled.1` is not `recycled.16`.
    let whole = TARGETS.iter().find(|(prefix, _)| *prefix == name);
    let part = || {
        let mut parts = TARGETS.iter().filter(|(prefix, _)| prefix.ends_with('.'));
        parts.find(|(prefix, _)| name.starts_with(prefix))
    };
    whole.or_else(part).map(|(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::rows;

    #[test]
    fn targets_are_of_whole_names() {
        assert_eq!(find("recycled.64"), Some(Target::Ratio(0.6)));
        assert_eq!(find("recycled.640"), None);
        assert_eq!(find("serve.hello.p99"), Some(Target::Ratio(0.6)));
    }

    #[test]
    fn all_are_of_rows_that_exist() {
        let is_built = |prefix: &str| cfg!(feature = "async") || !prefix.starts_with("async.");
        for (prefix, _) in TARGETS.iter().filter(|(prefix, _)| is_built(prefix)) {
            let mut names = rows().map(|row| row.name);
            assert!(names.any(|name| name.starts_with(prefix)), "{prefix}");
        }
    }

    #[test]
    fn a_target_is_of_the_ratio_or_of_our_figure() {
        let pair = Pair::of(1.0, 2.0);
        assert!(Target::Ratio(0.5).is_met(pair) && !Target::Ratio(0.4).is_met(pair));
        assert!(Target::Own(1.0).is_met(pair) && !Target::Own(0.9).is_met(pair));
    }
}

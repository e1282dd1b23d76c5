//! How many files a program may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the command itself has open, and the system's on its behalf, at most.
const OWN: u64 = 32;

/// Lets this process open as many files as the system allows: how many of them are a program's.
/// Nothing here waits with `select`, which is why systems allow only 1024 at first.
pub(crate) fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let limit = limit.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(OWN).max(limit / 2)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_highest_that_is_allowed() {
        let count = raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(limit.current.is_none_or(|limit| (count as u64) < limit));
        assert_eq!(raise(), count);
    }
}

//! The results of scripts.

use std::collections::BTreeMap;
use std::fmt;

/// The directives of one or several scripts, counted.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Directives that did what is expected.
    pub passed: usize,
    /// Directives that did not, and skips that are not needed (any more).
    pub failed: usize,
    /// Directives that are known to fail, and what depends on them.
    pub skipped: usize,
    /// Why they are skipped: the list's reasons, and how many directives each.
    pub reasons: BTreeMap<String, usize>,
    /// One message a failure: file, line, what happened.
    pub failures: Vec<String>,
}

impl Report {
    /// Adds another report's figures and failures.
    pub fn add(&mut self, other: Report) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }

    pub(crate) fn skip(&mut self, reason: &str) {
        self.skipped += 1;
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    pub(crate) fn fail(&mut self, message: String) {
        self.failed += 1;
        self.failures.push(message);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            passed,
            failed,
            skipped,
            ..
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

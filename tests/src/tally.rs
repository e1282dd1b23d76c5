//! Counts what the directives of a script did, with regard to the list of skips.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Report;
use crate::skips::FileSkips;

/// Counts what directives did, with regard to the list of skips.
pub(crate) struct Tally<'a> {
    path: &'a str,
    report: Report,
    listed: FileSkips,
    /// Listed lines at which no directive started.
    unused: BTreeSet<usize>,
    /// Why directives were skipped, by line.
    skipped: HashMap<usize, String>,
    /// Lines of failed modules, and how many directives could not run for each.
    waiting: BTreeMap<usize, usize>,
}

impl Tally<'_> {
    pub(crate) fn new(path: &str, listed: FileSkips) -> Tally<'_> {
        Tally {
            path,
            report: Report::default(),
            unused: listed.lines.keys().copied().collect(),
            listed,
            skipped: HashMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// The directive did what is expected.
    pub(crate) fn passed(&mut self, line: usize) {
        self.unused.remove(&line);
        if self.listed.lines.contains_key(&line) {
            let message = format!("{}:{line}: passes, but is on the list of skips", self.path);
            self.report.fail(message);
        } else {
            self.report.passed += 1;
        }
    }

    /// The directive did something else.
    pub(crate) fn failed(&mut self, line: usize, message: String) {
        self.unused.remove(&line);
        match self.listed.lines.get(&line).or(self.listed.whole.as_ref()) {
            Some(reason) => {
                self.report.skip(reason);
                self.skipped.insert(line, reason.clone());
            }
            None => self.report.fail(format!("{}:{line}: {message}", self.path)),
        }
    }

    /// Counts a directive that cannot run because the one at line `on` has not defined what it
    /// should.
    pub(crate) fn depends(&mut self, line: usize, on: usize) {
        self.unused.remove(&line);
        if let Some(reason) = self.skipped.get(&on) {
            self.report.skip(reason);
        } else {
            *self.waiting.entry(on).or_default() += 1;
            self.report.failed += 1;
        }
    }

    /// Counts a directive that is impossible on this path.
    pub(crate) fn beyond(&mut self, line: usize, reason: &str) {
        if self.unused.remove(&line) {
            let message = format!("{}:{line}: needs no place on the list of skips", self.path);
            self.report.fail(message);
        }
        self.report.skip(reason);
        self.skipped.insert(line, reason.to_owned());
    }

    /// The report, when all directives are counted.
    pub(crate) fn finish(self) -> Report {
        let Tally {
            path, mut report, ..
        } = self;
        for (line, count) in self.waiting {
            let message =
                format!("{path}:{line}: {count} directives could not run without this module");
            report.failures.push(message);
        }
        for line in self.unused {
            report.fail(format!(
                "{path}:{line}: is on the list of skips, but nothing starts there"
            ));
        }
        if self.listed.whole.is_some() && self.skipped.is_empty() {
            report.fail(format!("{path}: passes, but is on the list of skips"));
        }
        report
    }
}

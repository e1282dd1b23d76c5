//! The phases of a run, and what each costs: time and page faults.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use cwasm::{Error, Result};
use serde::{Deserialize, Serialize};

/// A part of a run, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Opening, mapping and checking the artifact.
    Map,
    /// Making a linker with WASI, and resolving the imports.
    Link,
    /// A new store, and the instance in it.
    Instantiate,
    /// Looking the function up, and its first call.
    FirstCall,
    /// One of the calls after that.
    LaterCall,
    /// Dropping the store, and with it the instance.
    Drop,
    /// Dropping the component, and with it the mapping.
    Unmap,
    /// A whole process, from its start to its end: all of the above, and what any process costs.
    Process,
}

impl Phase {
    pub(super) const ALL: [Phase; 8] = [
        Phase::Map,
        Phase::Link,
        Phase::Instantiate,
        Phase::FirstCall,
        Phase::LaterCall,
        Phase::Drop,
        Phase::Unmap,
        Phase::Process,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Map => "map",
            Phase::Link => "link",
            Phase::Instantiate => "instantiate",
            Phase::FirstCall => "first call",
            Phase::LaterCall => "later call",
            Phase::Drop => "drop",
            Phase::Unmap => "unmap",
            Phase::Process => "process",
        }
    }
}

/// What something took.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Cost {
    /// Nanoseconds.
    pub(super) ns: f64,
    /// Page faults that found their page in memory.
    pub(super) minor: f64,
    /// Page faults that waited for a disk.
    pub(super) major: f64,
}

impl Cost {
    /// The cost of one of `count` equal things.
    pub(super) fn of_each(self, count: u32) -> Cost {
        let count = f64::from(count);
        Cost {
            ns: self.ns / count,
            minor: self.minor / count,
            major: self.major / count,
        }
    }
}

/// Measures what this thread does.
pub(super) struct Meter {
    /// The thread's line of figures, kept open, as opening it takes longer than reading it.
    stat: File,
}

impl Meter {
    /// For the thread that calls this.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub(super) fn new() -> Result<Meter> {
        let path = "/proc/thread-self/stat";
        let stat = File::open(path).map_err(|error| {
            Error::from(error).context(format!("cannot open `{path}`, which counts page faults"))
        })?;
        Ok(Meter { stat })
    }

    /// Does something, and says what it took. Counting page faults is not in the time.
    pub(super) fn measure<T>(&self, work: impl FnOnce() -> T) -> Result<(T, Cost)> {
        let before = self.faults()?;
        let start = Instant::now();
        let done = work();
        let time = start.elapsed();
        let after = self.faults()?;
        let cost = Cost {
            ns: time.as_nanos() as f64,
            minor: (after.0 - before.0) as f64,
            major: (after.1 - before.1) as f64,
        };
        Ok((done, cost))
    }

    /// Minor and major page faults of the thread so far.
    fn faults(&self) -> Result<(u64, u64)> {
        let mut line = [0; 1024];
        let len = self.stat.read_at(&mut line, 0)?;
        let fields = std::str::from_utf8(&line[..len]).ok().and_then(faults_in);
        fields.ok_or_else(|| {
            let message = "found no page faults in `/proc/thread-self/stat`";
            Error::from(io::Error::new(io::ErrorKind::InvalidData, message))
        })
    }
}

/// The counts in a line as proc(5) describes it: the tenth and the twelfth field.
fn faults_in(line: &str) -> Option<(u64, u64)> {
    // The second field is the name in parentheses, which may have spaces.
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(7);
    let minor = fields.next()?.parse().ok()?;
    let major = fields.nth(1)?.parse().ok()?;
    Some((minor, major))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_fields_of_a_line() {
        let line = "12 (a ) name) R 1 2 3 4 5 6 700 8 900 10";
        assert_eq!(faults_in(line), Some((700, 900)));
        assert_eq!(faults_in("12 (a) R 1"), None);
    }

    #[test]
    fn touched_pages_are_counted() {
        let meter = Meter::new().unwrap();
        let (pages, cost) = meter.measure(|| vec![1_u8; 4 << 20]).unwrap();
        assert!(
            pages.len() == 4 << 20 && cost.minor >= 1.0 && cost.ns > 0.0,
            "{cost:?}"
        );
    }
}

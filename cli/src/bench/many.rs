//! Many instances: how many a second on several threads, and what each takes of memory.

use std::fs;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use cwasm::{Engine, Error, Result};
use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::load;

/// How often a rate is measured, for its confidence.
const ROUNDS: usize = 5;

/// Instances that are held at a time to see what each takes.
const HELD: usize = 64;

/// Instances a second: made, called and dropped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rate {
    pub(super) threads: usize,
    /// The median of the rounds.
    pub(super) per_second: f64,
    pub(super) rounds: Vec<f64>,
    /// Instances that were made from the start.
    pub(super) made: u64,
    /// Instances that were made of ones that had been dropped.
    pub(super) reused: u64,
    /// Those that were made clean without asking the system what they had written to.
    pub(super) fenced: u64,
}

/// What each of some instances takes of memory, after its first call.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Instances that were held at a time.
    pub(super) instances: usize,
    /// Bytes in memory.
    pub(super) resident: f64,
    /// Of these, bytes that were written to: no other process can share them.
    pub(super) private: f64,
}

/// Rates on 1, 2, 4 ... threads, and on as many as there are processors.
pub(super) fn rates(subject: &Subject<'_>, budget: Duration) -> Result<Vec<Rate>> {
    let most = thread::available_parallelism().map_or(1, usize::from);
    let mut counts: Vec<usize> = std::iter::successors(Some(1), |count| Some(count * 2))
        .take_while(|count| *count < most)
        .collect();
    counts.push(most);
    let rounds = u32::try_from(counts.len() * ROUNDS).unwrap_or(u32::MAX);
    let round = (budget / rounds).min(Duration::from_millis(100));
    counts
        .iter()
        .map(|threads| rate(subject, *threads, round))
        .collect()
}

fn rate(subject: &Subject<'_>, threads: usize, round: Duration) -> Result<Rate> {
    let engine = Engine::new(&cwasm::Config::new())?;
    let component = load::map(&engine, subject.artifact)?;
    let linked = subject.link(&engine, &component)?;
    // Makes what the first instance of an engine makes.
    subject.serve(&linked)?;
    let before = engine.instance_metrics();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let barrier = Barrier::new(threads);
        let run = || -> Result<f64> {
            barrier.wait();
            let start = Instant::now();
            let mut count = 0;
            loop {
                subject.serve(&linked)?;
                count += 1;
                let time = start.elapsed();
                if time >= round {
                    return Ok(f64::from(count) / time.as_secs_f64());
                }
            }
        };
        let sum = thread::scope(|scope| -> Result<f64> {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            let gone = |_| Error::msg("a thread that makes instances has panicked");
            let rates = running
                .into_iter()
                .map(|thread| thread.join().map_err(gone)?);
            rates.sum()
        })?;
        rounds.push(sum);
    }
    let after = engine.instance_metrics();
    let mut sorted = rounds.clone();
    sorted.sort_by(f64::total_cmp);
    Ok(Rate {
        threads,
        per_second: sorted[ROUNDS / 2],
        rounds,
        made: after.made - before.made,
        reused: after.reused - before.reused,
        fenced: after.fenced - before.fenced,
    })
}

/// What each instance takes, held with many others.
pub(super) fn memory(subject: &Subject<'_>, budget: Duration) -> Result<Memory> {
    let engine = Engine::new(&cwasm::Config::new())?;
    let component = load::map(&engine, subject.artifact)?;
    let linked = subject.link(&engine, &component)?;
    // With what all of them share, which counts for none.
    let mut held = Vec::with_capacity(HELD + 1);
    let mut before = Usage::default();
    let start = Instant::now();
    while held.len() <= HELD && (held.len() < 2 || start.elapsed() < budget) {
        let (mut store, instance) = subject.instantiate(&linked)?;
        let callee = subject.target.look_up(&mut store, &instance)?;
        subject.target.call(&mut store, &callee)?;
        held.push(store);
        if held.len() == 1 {
            before = Usage::now()?;
        }
    }
    let after = Usage::now()?;
    let instances = held.len() - 1;
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / instances as f64;
    let private = each(before.private, after.private);
    Ok(Memory {
        instances,
        // Pages of files may have been dropped meanwhile, which are resident and not private.
        resident: each(before.resident, after.resident).max(private),
        private,
    })
}

/// Bytes of memory of this process.
#[derive(Clone, Copy, Default)]
struct Usage {
    resident: u64,
    private: u64,
}

impl Usage {
    fn now() -> Result<Usage> {
        let path = "/proc/self/smaps_rollup";
        let text = fs::read_to_string(path)
            .map_err(|error| Error::from(error).context(format!("cannot read `{path}`")))?;
        let field = |name: &str| {
            let mut lines = text.lines();
            let rest = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib = rest.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
            kib.map(|kib: u64| kib * 1024)
                .ok_or_else(|| Error::msg(format!("found no `{name}` in `{path}`")))
        };
        Ok(Usage {
            resident: field("Rss")?,
            private: field("Private_Dirty")?,
        })
    }
}

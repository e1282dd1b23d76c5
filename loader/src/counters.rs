//! What an engine counts for its host. Calls are not among it: nothing is written for a call that
//! goes well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use cwasm_format::TrapCode;

/// Counts of an engine.
#[derive(Debug)]
pub(crate) struct Counters {
    artifacts: AtomicUsize,
    artifact_bytes: AtomicU64,
    /// By the place of the code in [`TrapCode::ALL`].
    traps: [AtomicU64; TrapCode::ALL.len()],
}

/// An artifact that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct CountedArtifact {
    counters: Arc<Counters>,
    bytes: u64,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            artifacts: AtomicUsize::new(0),
            artifact_bytes: AtomicU64::new(0),
            traps: [const { AtomicU64::new(0) }; TrapCode::ALL.len()],
        }
    }
}

impl Counters {
    /// Counts an artifact of so many bytes.
    pub(crate) fn artifact(self: &Arc<Self>, bytes: u64) -> CountedArtifact {
        self.artifacts.fetch_add(1, Ordering::Relaxed);
        self.artifact_bytes.fetch_add(bytes, Ordering::Relaxed);
        CountedArtifact {
            counters: Arc::clone(self),
            bytes,
        }
    }

    /// Counts a trap.
    pub(crate) fn trap(&self, code: TrapCode) {
        let place = TrapCode::ALL.iter().position(|other| *other == code);
        if let Some(count) = place.and_then(|place| self.traps.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Artifacts that there are, and their bytes.
    pub(crate) fn artifacts(&self) -> (usize, u64) {
        let bytes = self.artifact_bytes.load(Ordering::Relaxed);
        (self.artifacts.load(Ordering::Relaxed), bytes)
    }

    /// Traps by code, of those codes that there were.
    pub(crate) fn traps(&self) -> Vec<(TrapCode, u64)> {
        let counts = self.traps.iter().map(|count| count.load(Ordering::Relaxed));
        let counts = TrapCode::ALL.iter().copied().zip(counts);
        counts.filter(|(_, count)| *count != 0).collect()
    }
}

impl Drop for CountedArtifact {
    fn drop(&mut self) {
        self.counters.artifacts.fetch_sub(1, Ordering::Relaxed);
        let bytes = self.bytes;
        let counted = &self.counters.artifact_bytes;
        counted.fetch_sub(bytes, Ordering::Relaxed);
    }
}

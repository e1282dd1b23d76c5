//! The behaviour of the functions that a module imports: the same on both sides.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::rng::Rng;
use crate::value::{Type, Value, mix};

/// The host of one instance. What it returns depends on all that it was called with.
#[derive(Debug, Default)]
pub(crate) struct Host {
    digest: AtomicU64,
}

/// The host function failed.
#[derive(Debug)]
pub(crate) struct Failed;

impl Host {
    /// Calls the function that is import `index`: now and then it fails.
    pub(crate) fn call(
        &self,
        index: usize,
        args: impl Iterator<Item = Value>,
        results: &[Type],
    ) -> Result<Vec<Value>, Failed> {
        let before = mix(self.digest(), index as u64);
        let digest = args.fold(before, |digest, arg| arg.digest(digest));
        self.digest.store(digest, Ordering::Relaxed);
        let mut rng = Rng::new(digest);
        if rng.one_in(32) {
            return Err(Failed);
        }
        Ok(results
            .iter()
            .map(|ty| Value::random(*ty, &mut rng))
            .collect())
    }

    /// Of all calls, their arguments and their order.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.load(Ordering::Relaxed)
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the host function fails on purpose")
    }
}

impl std::error::Error for Failed {}

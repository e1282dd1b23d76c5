//! Random numbers (`wasi:random`).

use cwasm::{Error, Result};

use crate::bindings::wasi::random as wit;
use crate::ctx::WasiCtx;

/// The most bytes that one call may ask for.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// Where random bytes come from; the system, if the host has not chosen.
#[derive(Default)]
pub(crate) struct Random {
    pub(crate) secure: Option<Fill>,
    pub(crate) insecure: Option<Fill>,
    pub(crate) seed: Option<u128>,
}

/// Fills all of a slice.
pub(crate) type Fill = Box<dyn FnMut(&mut [u8]) + Send>;

fn bytes(source: &mut Option<Fill>, len: u64) -> Result<Vec<u8>> {
    if len > MAX_BYTES {
        return Err(Error::msg(format!(
            "{len} random bytes in one call, at most {MAX_BYTES}"
        )));
    }
    let mut bytes = vec![0; len as usize];
    fill(source, &mut bytes)?;
    Ok(bytes)
}

fn number(source: &mut Option<Fill>) -> Result<u64> {
    let mut bytes = [0; 8];
    fill(source, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn fill(source: &mut Option<Fill>, bytes: &mut [u8]) -> Result<()> {
    match source {
        Some(source) => source(bytes),
        None => getrandom::fill(bytes)
            .map_err(|error| Error::msg(format!("the system has no random bytes: {error}")))?,
    }
    Ok(())
}

impl wit::random::Host for WasiCtx {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        bytes(&mut self.random.secure, len)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        number(&mut self.random.secure)
    }
}

impl wit::insecure::Host for WasiCtx {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        bytes(&mut self.random.insecure, len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        number(&mut self.random.insecure)
    }
}

impl wit::insecure_seed::Host for WasiCtx {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        match self.random.seed {
            Some(seed) => Ok((seed as u64, (seed >> 64) as u64)),
            None => {
                let mut number = || number(&mut self.random.insecure);
                let (low, high) = (number()?, number()?);
                // All calls give the same.
                self.random.seed = Some(u128::from(high) << 64 | u128::from(low));
                Ok((low, high))
            }
        }
    }
}

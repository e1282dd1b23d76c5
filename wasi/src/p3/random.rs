//! Random numbers (`wasi:random`).
//!
//! The number of bytes is an upper limit in this version: a guest that asks for more than one call
//! gives gets less, and asks again.

use cwasm::Result;

use super::bindings::wasi::random as wit;
use crate::bindings::wasi::random::{insecure, insecure_seed, random};
use crate::ctx::WasiCtx;
use crate::random::MAX_BYTES;

impl wit::random::Host for WasiCtx {
    fn get_random_bytes(&mut self, max_len: u64) -> Result<Vec<u8>> {
        random::Host::get_random_bytes(self, max_len.min(MAX_BYTES))
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        random::Host::get_random_u64(self)
    }
}

impl wit::insecure::Host for WasiCtx {
    fn get_insecure_random_bytes(&mut self, max_len: u64) -> Result<Vec<u8>> {
        insecure::Host::get_insecure_random_bytes(self, max_len.min(MAX_BYTES))
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        insecure::Host::get_insecure_random_u64(self)
    }
}

impl wit::insecure_seed::Host for WasiCtx {
    fn get_insecure_seed(&mut self) -> Result<(u64, u64)> {
        insecure_seed::Host::insecure_seed(self)
    }
}

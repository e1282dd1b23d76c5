//! Hashes n KiB of numbers with BLAKE3, and then n short keys.

use programs::{Random, checksum};

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let mut random = Random::new();
    let data: Vec<u8> = (0..n * 256)
        .flat_map(|_| random.number().to_le_bytes())
        .collect();
    let mut hash = blake3::hash(&data);
    for _ in 0..n {
        hash = blake3::hash(hash.as_bytes());
    }
    checksum(0, hash.as_bytes())
}

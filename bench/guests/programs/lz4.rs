//! Compresses n KiB of text with LZ4, and decompresses it again.
//! From 64 KiB on, what comes out depends on the width of the machine's words.

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};
use programs::{Random, checksum, text};

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let text = text(&mut Random::new(), n as usize * 1024);
    let packed = compress_prepend_size(text.as_bytes());
    let unpacked = decompress_size_prepended(&packed).expect("what was packed");
    checksum(checksum(0, &packed), &unpacked)
}

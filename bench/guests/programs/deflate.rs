//! Compresses n KiB of text as zlib does by default, and decompresses it again.

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib;
use programs::{Random, checksum, text};

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let text = text(&mut Random::new(), n as usize * 1024);
    let packed = compress_to_vec_zlib(text.as_bytes(), 6);
    let unpacked = decompress_to_vec_zlib(&packed).expect("what was packed");
    checksum(checksum(0, &packed), &unpacked)
}

//! Artifacts that are trusted by their digest: a copy is hashed that nobody else can change, so
//! that the checked bytes are those that run.

use std::fs::File;
use std::io::{Read, Write};

use cwasm_format::FormatError;
use cwasm_format::header::{DIGEST_OFFSET, HEADER_END};
use sha2::{Digest as _, Sha256};

use crate::error::Result;
use crate::sys;

/// Bytes that are copied at a time.
const CHUNK: u64 = 256 << 10;

/// A copy of a file in memory, and its size.
///
/// # Errors
/// If it cannot be read, or has another digest, or says that it has: for the digest the header's
/// last fields, the digest itself and the checksum, are zeros.
pub(super) fn copy(mut source: impl Read, digest: &[u8; 32]) -> Result<(File, u64)> {
    let mut copy = sys::file::in_memory(&[])?;
    let mut hash = Sha256::new();
    let mut chunk = Vec::new();
    let mut size = 0;
    loop {
        chunk.clear();
        let len = source.by_ref().take(CHUNK).read_to_end(&mut chunk)?;
        if len == 0 {
            break;
        }
        copy.write_all(&chunk)?;
        // The header is in the first chunk as a whole. What it says of itself is not hashed.
        if size == 0 && len >= HEADER_END {
            if !chunk[DIGEST_OFFSET..].starts_with(digest) {
                return Err(FormatError::Digest.into());
            }
            chunk[DIGEST_OFFSET..HEADER_END].fill(0);
        }
        hash.update(&chunk);
        size += len as u64;
    }
    match <[u8; 32]>::from(hash.finalize()) == *digest {
        true => {
            sys::file::seal(&copy)?;
            Ok((copy, size))
        }
        false => Err(FormatError::Digest.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_all_but_the_fields_that_say_it() {
        let mut bytes: Vec<u8> = (0..3 * CHUNK + 77).map(|i| ((i * 31) >> 3) as u8).collect();
        let mut zeroed = bytes.clone();
        zeroed[DIGEST_OFFSET..HEADER_END].fill(0);
        let digest = <[u8; 32]>::from(Sha256::digest(&zeroed));
        bytes[DIGEST_OFFSET..][..32].copy_from_slice(&digest);
        let (mut file, size) = copy(&bytes[..], &digest).unwrap();
        assert_eq!(size, bytes.len() as u64);
        let mut copied = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut copied).unwrap();
        assert!(copied == bytes);
        assert!(file.write_all(b"x").is_err(), "nobody can change the copy");
        for place in [
            0,
            DIGEST_OFFSET - 1,
            DIGEST_OFFSET,
            DIGEST_OFFSET + 31,
            HEADER_END,
            CHUNK as usize,
            bytes.len() - 1,
        ] {
            let mut altered = bytes.clone();
            altered[place] ^= 1;
            assert!(copy(&altered[..], &digest).is_err(), "{place}");
        }
        assert!(copy(&bytes[..bytes.len() - 1], &digest).is_err());
    }
}

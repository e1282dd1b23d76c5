//! The initial contents of a context or memory, sparse.

use std::collections::BTreeMap;

/// Bytes of a chunk. Small, because short segments may be far from each other: each costs the
/// compiler at most a chunk or two.
const CHUNK: usize = 256;

/// The initial contents of a context or memory. Bytes that are not written are zero.
#[derive(Clone, Default)]
pub(crate) struct Image {
    /// Chunks by number.
    chunks: BTreeMap<u64, Box<[u8; CHUNK]>>,
}

impl Image {
    /// Writes `bytes` at `offset`.
    pub(crate) fn write(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let start = (offset % CHUNK as u64) as usize;
            let len = bytes.len().min(CHUNK - start);
            let (part, rest) = bytes.split_at(len);
            let number = offset / CHUNK as u64;
            if !is_zero(part) {
                let chunk = self.chunks.entry(number).or_insert_with(zeros);
                chunk[start..start + len].copy_from_slice(part);
            } else if let Some(chunk) = self.chunks.get_mut(&number) {
                chunk[start..start + len].fill(0);
            }
            offset += len as u64;
            bytes = rest;
        }
    }

    /// The chunks from `start` up to `end` that are not all zeros, in order: the offset and bytes
    /// of each.
    pub(crate) fn chunks(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &[u8; CHUNK])> {
        let numbers = start / CHUNK as u64..end.div_ceil(CHUNK as u64);
        let chunks = self.chunks.range(numbers);
        let chunks = chunks.filter(|(_, chunk)| !is_zero(&chunk[..]));
        chunks.map(|(number, chunk)| (number * CHUNK as u64, &**chunk))
    }
}

fn zeros() -> Box<[u8; CHUNK]> {
    Box::new([0; CHUNK])
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_straddle_and_overlap_and_zeros_take_no_room() {
        let chunk = CHUNK as u64;
        let mut image = Image::default();
        image.write(chunk - 2, &[1, 2, 3, 4]);
        image.write(chunk - 1, &[9, 0]);
        image.write(5 * chunk, &[0; 1000]);
        image.write(10 * chunk, &[6]);
        image.write(10 * chunk, &[0]);
        let found: Vec<_> = image.chunks(0, u64::MAX).collect();
        let places: Vec<u64> = found.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(places, [0, chunk]);
        assert_eq!(found[0].1[CHUNK - 3..], [0, 1, 9]);
        assert_eq!(found[1].1[..3], [0, 4, 0]);
        assert_eq!(image.chunks(1, chunk).count(), 1);
        assert_eq!(image.chunks(chunk, 2 * chunk).count(), 1);
        assert_eq!(image.chunks.len(), 3, "zeros have no chunks");
    }
}

//! The initial contents of a memory, sparse.

use std::collections::BTreeMap;

/// Bytes of a chunk. Large enough that few segments straddle, small enough that little is wasted.
const CHUNK: u64 = 64 * 1024;

/// What a memory holds before anything runs; what is not written is zero.
#[derive(Default)]
pub(crate) struct MemoryImage {
    /// Chunks by number.
    chunks: BTreeMap<u64, Box<[u8]>>,
}

impl MemoryImage {
    /// Writes `bytes` at `offset`.
    pub(crate) fn write(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let start = (offset % CHUNK) as usize;
            let len = bytes.len().min(CHUNK as usize - start);
            let chunk = self
                .chunks
                .entry(offset / CHUNK)
                .or_insert_with(|| vec![0; CHUNK as usize].into_boxed_slice());
            chunk[start..start + len].copy_from_slice(&bytes[..len]);
            offset += len as u64;
            bytes = &bytes[len..];
        }
    }

    /// The written parts: offset and bytes of each, adjacent ones joined.
    pub(crate) fn extents(&self) -> Vec<(u64, Vec<u8>)> {
        let mut extents: Vec<(u64, Vec<u8>)> = Vec::new();
        for (number, chunk) in &self.chunks {
            let offset = number * CHUNK;
            match extents.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u64 == offset => {
                    bytes.extend_from_slice(chunk);
                }
                _ => extents.push((offset, chunk.to_vec())),
            }
        }
        extents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_straddle_and_overlap() {
        let mut image = MemoryImage::default();
        image.write(CHUNK - 2, &[1, 2, 3, 4]);
        image.write(CHUNK - 1, &[9]);
        image.write(10 * CHUNK, &[5]);
        let extents = image.extents();
        assert_eq!(extents.len(), 2);
        assert_eq!(extents[0].0, 0);
        assert_eq!(
            extents[0].1[CHUNK as usize - 2..CHUNK as usize + 2],
            [1, 9, 3, 4]
        );
        assert_eq!((extents[1].0, extents[1].1[0]), (10 * CHUNK, 5));
    }
}

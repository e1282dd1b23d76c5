//! The initial contents of a memory, sparse.

use std::collections::BTreeMap;

use cwasm_format::header::PAGE_SIZE;
use cwasm_format::write::RUN_GAP;

/// Bytes of a chunk: a page, as pages of zeros take no room in the artifact either.
const CHUNK: u64 = PAGE_SIZE;

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

    /// The written parts in order, one at a time: offset and bytes of each. What is between two that
    /// are near enough to be one run of the artifact belongs to them.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let mut chunks = self.chunks.iter().peekable();
        std::iter::from_fn(move || {
            let (number, first) = chunks.next()?;
            let start = number * CHUNK;
            let mut bytes = first.to_vec();
            while let Some((number, chunk)) = chunks
                .next_if(|(number, _)| *number * CHUNK - start - bytes.len() as u64 <= RUN_GAP)
            {
                bytes.resize((number * CHUNK - start) as usize, 0);
                bytes.extend_from_slice(chunk);
            }
            Some((start, bytes))
        })
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
        image.write(11 * CHUNK + RUN_GAP, &[6]);
        image.write(20 * CHUNK + RUN_GAP, &[7]);
        let extents: Vec<_> = image.extents().collect();
        let places: Vec<_> = extents
            .iter()
            .map(|(start, bytes)| (*start, bytes.len() as u64))
            .collect();
        assert_eq!(
            places,
            [
                (0, 2 * CHUNK),
                (10 * CHUNK, 2 * CHUNK + RUN_GAP),
                (20 * CHUNK + RUN_GAP, CHUNK)
            ]
        );
        let edge = CHUNK as usize - 2;
        assert_eq!(extents[0].1[edge..edge + 4], [1, 9, 3, 4]);
        assert_eq!(
            (extents[1].1[0], extents[1].1[(CHUNK + RUN_GAP) as usize]),
            (5, 6)
        );
    }
}

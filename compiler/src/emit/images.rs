//! The images that memories and the context start from: which parts instances map, and which they
//! copy.
//!
//! A mapped part costs no memory until it is touched, but takes one of the mappings that a process
//! may have; a copied part costs its pages at once. So the longest parts are mapped, up to a fixed
//! number; all others are copied, without the zeros around them.

use std::cmp::Reverse;
use std::ops::Range;

use cwasm_format::data::{IMAGE_CONTEXT, MAX_MAPPED_RUNS};
use cwasm_format::header::{PAGE_SIZE, SectionId};
use cwasm_format::write::{Contents, Images};

use crate::layout::{Image, UnitLayout, patch};
use crate::link::Text;

/// Bytes of zeros in a mapped run up to which one longer run is cheaper than two.
const RUN_GAP: u64 = 4 * PAGE_SIZE;

/// The longest run that is cheaper to copy than to map. Measured: a copied page costs 1.5 µs with
/// its fault; a mapped run costs 13 µs, and 2 µs for each page that is then written. At this length
/// both cost the same if a quarter of the pages are written.
const COPY_LIMIT: u64 = 16 * PAGE_SIZE;

/// At least one byte in this many of a mapped run is not zero: otherwise single bytes in many pages
/// would make the artifact large.
const MAX_SPARSENESS: u64 = 64;

/// Sets the sections of images and data.
pub(super) fn set(unit: &UnitLayout<'_>, text: &Text, contents: &mut Contents) {
    let mut context = unit.context.clone();
    for found in &unit.context_refs {
        let value = patch(found, |func| text.offset(func));
        context.write(found.offset.into(), &value);
    }
    let mut data = unit.data.clone();
    for found in &unit.data_refs {
        let value = patch(found, |func| text.offset(func));
        data[found.offset as usize..][..8].copy_from_slice(&value);
    }
    contents.set(SectionId::Data, data);
    let memories = (0..).zip(&unit.images);
    let images: Vec<(u32, &Image)> = std::iter::once((IMAGE_CONTEXT, &context))
        .chain(memories)
        .collect();
    let (bytes, runs) = collect(&images).finish();
    contents.set(SectionId::Images, bytes);
    contents.set_records(SectionId::ImageRuns, &runs);
}

/// The runs of these images, which come with their targets.
fn collect(images: &[(u32, &Image)]) -> Images {
    let mut runs = Vec::new();
    for (target, image) in images {
        runs.extend(page_runs(image).map(|run| (*target, *image, run)));
    }
    let is_long =
        |run: &PageRun| run.size() > COPY_LIMIT && run.bytes_set * MAX_SPARSENESS >= run.size();
    let mut mapped: Vec<usize> = (0..runs.len()).filter(|at| is_long(&runs[*at].2)).collect();
    mapped.sort_by_key(|at| Reverse(runs[*at].2.size()));
    mapped.truncate(MAX_MAPPED_RUNS);
    mapped.sort_unstable();
    let mut mapped = mapped.into_iter().peekable();
    let mut collected = Images::default();
    for (at, (target, image, run)) in runs.iter().enumerate() {
        if mapped.next_if_eq(&at).is_some() {
            let mut bytes = vec![0; run.size() as usize];
            for (offset, chunk) in image.chunks(run.range.start, run.range.end) {
                bytes[(offset - run.range.start) as usize..][..chunk.len()].copy_from_slice(chunk);
            }
            collected.map(*target, run.range.start, &bytes);
        } else {
            extents(image, run.range.clone())
                .for_each(|(offset, bytes)| collected.copy(*target, offset, &bytes));
        }
    }
    collected
}

/// Pages that could be mapped as one run.
struct PageRun {
    range: Range<u64>,
    /// The number of bytes that are not zero.
    bytes_set: u64,
}

impl PageRun {
    fn size(&self) -> u64 {
        self.range.end - self.range.start
    }
}

fn page_runs(image: &Image) -> impl Iterator<Item = PageRun> {
    let mut chunks = image.chunks(0, u64::MAX).peekable();
    std::iter::from_fn(move || {
        let start = chunks.peek()?.0 / PAGE_SIZE * PAGE_SIZE;
        let mut run = PageRun {
            range: start..start,
            bytes_set: 0,
        };
        while let Some((offset, chunk)) =
            chunks.next_if(|(offset, _)| *offset <= run.range.end + RUN_GAP)
        {
            run.range.end = (offset + chunk.len() as u64).next_multiple_of(PAGE_SIZE);
            run.bytes_set += chunk.iter().filter(|byte| **byte != 0).count() as u64;
        }
        Some(run)
    })
}

/// The parts of a range that are left when long stretches of zeros are taken out; none begins or
/// ends with a zero.
fn extents(image: &Image, range: Range<u64>) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let mut chunks = image.chunks(range.start, range.end).peekable();
    std::iter::from_fn(move || {
        let (start, chunk) = chunks.next()?;
        let mut bytes = chunk.to_vec();
        while let Some((_, chunk)) =
            chunks.next_if(|(offset, _)| *offset == start + bytes.len() as u64)
        {
            bytes.extend_from_slice(chunk);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let end = bytes.iter().rposition(|byte| *byte != 0);
        bytes.truncate(end.map_or(0, |end| end + 1));
        bytes.drain(..zeros);
        Some((start + zeros as u64, bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each run's target, whether it is mapped, its offset and its size.
    fn runs(images: &[(u32, &Image)]) -> Vec<(u32, bool, u64, u64)> {
        let (bytes, runs) = collect(images).finish();
        let mut all: Vec<(u32, Image)> = Vec::new();
        for run in &runs {
            let found = &bytes[run.source as usize..][..run.size as usize];
            let known = all.iter_mut().find(|(target, _)| *target == run.target);
            match known {
                Some((_, image)) => image.write(run.offset, found),
                None => {
                    let mut image = Image::default();
                    image.write(run.offset, found);
                    all.push((run.target, image));
                }
            }
        }
        // Whether a run is mapped or copied, its bytes are those of the image.
        let filled = images
            .iter()
            .filter(|(_, image)| image.chunks(0, u64::MAX).next().is_some());
        for ((target, image), (found_target, found)) in filled.zip(&all) {
            assert_eq!(target, found_target);
            assert!(image.chunks(0, u64::MAX).eq(found.chunks(0, u64::MAX)));
        }
        runs.iter()
            .map(|run| (run.target, run.is_mapped == 1, run.offset, run.size))
            .collect()
    }

    #[test]
    fn long_runs_are_mapped_with_short_gaps_and_others_are_copied_without_zeros() {
        let mut image = Image::default();
        image.write(5, &[1, 0, 2]);
        image.write(40 * PAGE_SIZE + 1, &[7; 10 * PAGE_SIZE as usize]);
        image.write(54 * PAGE_SIZE, &[8; 10 * PAGE_SIZE as usize]);
        image.write(100 * PAGE_SIZE - 1, &[9; 16 * PAGE_SIZE as usize]);
        image.write(200 * PAGE_SIZE - 1, &[9; 2]);
        image.write(200 * PAGE_SIZE + 600, &[9]);
        assert_eq!(
            runs(&[(3, &image)]),
            [
                (3, false, 5, 3),
                (3, true, 40 * PAGE_SIZE, 24 * PAGE_SIZE),
                (3, true, 99 * PAGE_SIZE, 17 * PAGE_SIZE),
                (3, false, 200 * PAGE_SIZE - 1, 2),
                (3, false, 200 * PAGE_SIZE + 600, 1),
            ]
        );
    }

    #[test]
    fn of_many_long_runs_the_longest_are_mapped() {
        let images: Vec<Image> = (0..100)
            .map(|number| {
                let mut image = Image::default();
                image.write(0, &vec![1; ((17 + number) * PAGE_SIZE) as usize]);
                image
            })
            .collect();
        let images: Vec<_> = (0..).zip(&images).collect();
        let runs = runs(&images);
        let mapped: Vec<u32> = runs.iter().filter(|run| run.1).map(|run| run.0).collect();
        assert_eq!(mapped, (84..100).collect::<Vec<u32>>());
        assert_eq!(runs.len(), 100);
    }

    #[test]
    fn single_bytes_in_many_pages_are_copied() {
        let mut image = Image::default();
        (0..1000).for_each(|page| image.write(page * PAGE_SIZE, &[1]));
        let found = runs(&[(0, &image)]);
        assert_eq!(found.len(), 1000);
        assert!(found.iter().all(|run| !run.1 && run.3 == 1));
        (0..1000 * PAGE_SIZE / 64).for_each(|place| image.write(place * 64, &[1]));
        assert_eq!(runs(&[(0, &image)]), [(0, true, 0, 1000 * PAGE_SIZE)]);
    }
}

//! Builtins that transcode strings, from one memory to another or where they are.
#![allow(unsafe_code, reason = "called by compiled code with addresses")]

use std::borrow::Cow;
use std::ptr::NonNull;

use cwasm_format::encoding::CodeUnits;
use cwasm_format::vmctx::VmMemory;

use super::{Context, is_interrupted, memory_range};
use crate::parts::{in_parts, in_parts_backwards};
use crate::transcode::{self, Part};

/// The return value of a transcoder for a string that it cannot transcode.
pub(super) const INVALID: i64 = -1;

/// Bytes of a memory to read and bytes of a memory to write. If an instance calls itself, both are
/// ranges of one memory; if they overlap, it is a copy that is read.
///
/// # Safety
/// - Both are memories of live instances, and nothing else uses them for `'a`.
unsafe fn source_and_target<'a>(
    (src_memory, src, src_len): (NonNull<VmMemory>, u64, u64),
    (dst_memory, dst, dst_len): (NonNull<VmMemory>, u64, u64),
) -> Option<(Cow<'a, [u8]>, &'a mut [u8])> {
    // SAFETY: the caller's contract.
    let from = unsafe { memory_range(src_memory, src, src_len) }?;
    // SAFETY: the caller's contract.
    let to = unsafe { memory_range(dst_memory, dst, dst_len) }?;
    // Both are inside, so that the sums do not overflow.
    let overlap = src_memory == dst_memory && src < dst + dst_len && dst < src + src_len;
    // SAFETY: the range is inside accessible memory, which nothing writes to as long as this is
    // used: it is dropped before the other one is made, if they overlap.
    let from = unsafe { std::slice::from_raw_parts(from, src_len as usize) };
    let from = match overlap {
        true => {
            let mut copy = Vec::new();
            copy.try_reserve_exact(from.len()).ok()?;
            copy.extend_from_slice(from);
            Cow::Owned(copy)
        }
        false => Cow::Borrowed(from),
    };
    // SAFETY: the range is inside accessible memory that nothing else uses, and does not overlap
    // with what is read.
    let to = unsafe { std::slice::from_raw_parts_mut(to, dst_len as usize) };
    Some((from, to))
}

macro_rules! transcoders {
    ($($name:ident: $units:ident to $dst_size:literal, $transcode:expr, $result:expr;)*) => {
        $(
            /// # Safety
            /// - Both are memories of live instances, and `context` is that of one.
            pub(super) unsafe extern "C" fn $name(
                context: Context,
                dst_memory: NonNull<VmMemory>,
                dst: u64,
                src_memory: NonNull<VmMemory>,
                src: u64,
                units: u64,
            ) -> i64 {
                let source = (src_memory, src, units.saturating_mul(CodeUnits::$units.size()));
                let target = (dst_memory, dst, units.saturating_mul($dst_size));
                // SAFETY: the caller's contract; while this runs, nothing else uses memories.
                let Some((src, dst)) = (unsafe { source_and_target(source, target) }) else {
                    return INVALID;
                };
                // SAFETY: the caller's contract.
                let stop = || unsafe { is_interrupted(context) };
                transcode::in_parts(CodeUnits::$units, &src, dst, stop, $transcode)
                    .map_or(INVALID, $result)
            }
        )*
    };
}

// The most bytes that a code unit of the source becomes, how a part is done, and the result.
transcoders! {
    utf8_to_utf8: Utf8 to 1, |src, dst| Some(Part::all(src, transcode::utf8_to_utf8(src, dst)?)),
        |sum| sum.written as i64;
    utf8_to_utf16: Utf8 to 2, |src, dst| {
        Some(Part::all(src, 2 * transcode::utf8_to_utf16(transcode::utf8(src)?, dst)))
    },
        |sum| sum.written as i64 / 2;
    utf8_to_latin1: Utf8 to 1, |src, dst| {
        let (read, written) = transcode::utf8_to_latin1(src, dst);
        Some(Part::prefix(read, written))
    }, |sum| (sum.written as i64) << 32 | sum.read as i64;
    utf16_to_utf8: Utf16 to 3, |src, dst| Some(Part::all(src, transcode::utf16_to_utf8(src, dst)?)),
        |sum| sum.written as i64;
    utf16_to_utf16: Utf16 to 2, |src, dst| {
        let is_beyond = transcode::utf16_to_utf16(src, dst)?;
        Some(Part { is_beyond, ..Part::all(src, src.len()) })
    }, |sum| sum.is_beyond.into();
    utf16_to_latin1: Utf16 to 1, |src, dst| {
        let written = transcode::utf16_to_latin1(src, dst);
        Some(Part::prefix(2 * written, written))
    }, |sum| sum.written as i64;
    utf16_to_ascii: Utf16 to 1, |src, dst| {
        let written = transcode::utf16_to_ascii(src, dst);
        Some(Part::prefix(2 * written, written))
    }, |sum| sum.written as i64;
    latin1_to_utf8: Latin1 to 2, |src, dst| Some(Part::all(src, transcode::latin1_to_utf8(src, dst))),
        |sum| sum.written as i64;
    latin1_to_utf16: Latin1 to 2, |src, dst| {
        Some(Part::all(src, 2 * transcode::latin1_to_utf16(src, dst)))
    }, |sum| sum.written as i64 / 2;
    latin1_to_ascii: Latin1 to 1, |src, dst| {
        let written = transcode::latin1_to_ascii(src, dst);
        Some(Part::prefix(written, written))
    }, |sum| sum.written as i64;
}

macro_rules! in_place {
    ($($name:ident: $in_parts:ident;)*) => {
        $(
            /// # Safety
            /// - `memory` is the memory of a live instance, and `context` is that of one.
            pub(super) unsafe extern "C" fn $name(
                context: Context,
                memory: NonNull<VmMemory>,
                start: u64,
                units: u64,
            ) -> i64 {
                // SAFETY: the caller's contract.
                let Some(bytes) = (unsafe { units_in_place(memory, start, units) }) else {
                    return INVALID;
                };
                // SAFETY: the caller's contract.
                let stop = || unsafe { is_interrupted(context) };
                $in_parts(units as usize, 2, stop, |part| transcode::$name(bytes, part));
                units as i64
            }
        )*
    };
}

// In the order in which no unit is overwritten before it is read.
in_place! {
    inflate_latin1: in_parts_backwards;
    deflate_utf16: in_parts;
}

/// Two bytes for each code unit, to be changed where they are.
///
/// # Safety
/// - `memory` is the memory of a live instance, and nothing else uses it for `'a`.
unsafe fn units_in_place<'a>(
    memory: NonNull<VmMemory>,
    start: u64,
    units: u64,
) -> Option<&'a mut [u8]> {
    let len = units.saturating_mul(2);
    // SAFETY: the caller's contract.
    let bytes = unsafe { memory_range(memory, start, len) }?;
    // SAFETY: the range is inside accessible memory that nothing else uses (the caller's contract).
    Some(unsafe { std::slice::from_raw_parts_mut(bytes, len as usize) })
}

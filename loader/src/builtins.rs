//! The functions that compiled code calls: [`Builtin`] says what each does.
//!
//! Addresses that they are given come from the compiler's layout of a live context, as all of
//! machine code is trusted; indices and lengths come from the guest and are checked here.
#![allow(unsafe_code, reason = "called by compiled code with addresses")]

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use cwasm_format::vmctx::{VmContext, VmMemory, VmTable};

use crate::{memory, parking, sys, table, transcode, unwind};

/// The addresses of the builtins, in the order of [`Builtin::ALL`].
struct BuiltinTable([*const (); Builtin::ALL.len()]);

// SAFETY: addresses of functions.
unsafe impl Sync for BuiltinTable {}

static TABLE: BuiltinTable = {
    let mut table = [ptr::null(); Builtin::ALL.len()];
    let mut index = 0;
    while index < table.len() {
        table[index] = address(Builtin::ALL[index]);
        index += 1;
    }
    BuiltinTable(table)
};

/// The address of the table of builtins, for [`VmStore`](cwasm_format::vmctx::VmStore).
pub(crate) fn table_address() -> u64 {
    TABLE.0.as_ptr().expose_provenance() as u64
}

const fn address(builtin: Builtin) -> *const () {
    match builtin {
        Builtin::Raise => raise as *const (),
        Builtin::MemoryGrow => memory_grow as *const (),
        Builtin::MemoryCopy => memory_copy as *const (),
        Builtin::MemoryFill => memory_fill as *const (),
        Builtin::MemoryInit => memory_init as *const (),
        Builtin::TableGrow => table_grow as *const (),
        Builtin::TableFill => table_fill as *const (),
        Builtin::TableCopy => table_copy as *const (),
        Builtin::TableInit => table_init as *const (),
        Builtin::F32Ceil => f32_ceil as *const (),
        Builtin::F32Floor => f32_floor as *const (),
        Builtin::F32Trunc => f32_trunc as *const (),
        Builtin::F32Nearest => f32_nearest as *const (),
        Builtin::F64Ceil => f64_ceil as *const (),
        Builtin::F64Floor => f64_floor as *const (),
        Builtin::F64Trunc => f64_trunc as *const (),
        Builtin::F64Nearest => f64_nearest as *const (),
        Builtin::Utf8ToUtf8 => utf8_to_utf8 as *const (),
        Builtin::Utf8ToUtf16 => utf8_to_utf16 as *const (),
        Builtin::Utf8ToLatin1 => utf8_to_latin1 as *const (),
        Builtin::Utf16ToUtf8 => utf16_to_utf8 as *const (),
        Builtin::Utf16ToUtf16 => utf16_to_utf16 as *const (),
        Builtin::Utf16ToLatin1 => utf16_to_latin1 as *const (),
        Builtin::Utf16ToAscii => utf16_to_ascii as *const (),
        Builtin::Latin1ToUtf8 => latin1_to_utf8 as *const (),
        Builtin::Latin1ToUtf16 => latin1_to_utf16 as *const (),
        Builtin::Latin1ToAscii => latin1_to_ascii as *const (),
        Builtin::InflateLatin1 => inflate_latin1 as *const (),
        Builtin::DeflateUtf16 => deflate_utf16 as *const (),
        Builtin::AtomicWait32 => atomic_wait32 as *const (),
        Builtin::AtomicWait64 => atomic_wait64 as *const (),
        Builtin::AtomicNotify => atomic_notify as *const (),
    }
}

type Context = NonNull<VmContext>;

/// The status of a builtin: 0, or the trap's number.
fn status(result: Result<(), TrapCode>) -> i64 {
    match result {
        Ok(()) => 0,
        Err(code) => code.number().into(),
    }
}

/// # Safety
/// - `frame` is the frame pointer of compiled code that is active on this thread.
unsafe extern "C" fn raise(_: Context, code: u64, frame: u64) -> ! {
    let code = u8::try_from(code).ok().and_then(TrapCode::from_number);
    // SAFETY: the caller's contract.
    match code.and_then(|code| unsafe { unwind::on_raise(code, frame as usize) }) {
        // SAFETY: a landing pad of the innermost thunk; this frame has nothing to drop.
        Some(resume) => unsafe { sys::signals::resume(&resume) },
        // Wasm cannot run on, and there is nowhere to go back to: the artifact is broken.
        None => std::process::abort(),
    }
}

/// A part of a memory; `None` if it is not inside.
///
/// # Safety
/// - `memory` is the memory of a live instance.
unsafe fn memory_range(memory: NonNull<VmMemory>, start: u64, len: u64) -> Option<*mut u8> {
    // SAFETY: live (the caller's contract).
    let base = unsafe { memory::Fixed::of(memory) }.base;
    // SAFETY: as above.
    let byte_len = unsafe { memory::byte_len(memory) }.load(Ordering::Relaxed);
    let inside = start.checked_add(len)? <= byte_len;
    inside.then(|| base.wrapping_add(start as usize))
}

/// # Safety
/// - `memory` is the memory of a live instance.
unsafe extern "C" fn memory_grow(_: Context, memory: NonNull<VmMemory>, delta: u64) -> i64 {
    // SAFETY: the caller's contract; while wasm runs, the host has no reference to the bytes.
    match unsafe { memory::grow(memory, delta) } {
        Some(pages) => pages as i64,
        None => -1,
    }
}

/// # Safety
/// - Both are memories of live instances.
unsafe extern "C" fn memory_copy(
    _: Context,
    dst_memory: NonNull<VmMemory>,
    dst: u64,
    src_memory: NonNull<VmMemory>,
    src: u64,
    len: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    let to = unsafe { memory_range(dst_memory, dst, len) };
    // SAFETY: the caller's contract.
    let from = unsafe { memory_range(src_memory, src, len) };
    let (Some(to), Some(from)) = (to, from) else {
        return status(Err(TrapCode::MemoryOutOfBounds));
    };
    // SAFETY: both ranges are inside accessible memory; they may overlap.
    unsafe { ptr::copy(from, to, len as usize) };
    status(Ok(()))
}

/// # Safety
/// - `memory` is the memory of a live instance.
unsafe extern "C" fn memory_fill(
    _: Context,
    memory: NonNull<VmMemory>,
    dst: u64,
    value: u32,
    len: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    let Some(to) = (unsafe { memory_range(memory, dst, len) }) else {
        return status(Err(TrapCode::MemoryOutOfBounds));
    };
    // SAFETY: the range is inside accessible memory.
    unsafe { to.write_bytes(value as u8, len as usize) };
    status(Ok(()))
}

/// # Safety
/// - `memory` is the memory of a live instance.
/// - `segment_len` bytes at `segment` are readable.
unsafe extern "C" fn memory_init(
    _: Context,
    memory: NonNull<VmMemory>,
    dst: u64,
    segment: *const u8,
    segment_len: u64,
    src: u64,
    len: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    let to = unsafe { memory_range(memory, dst, len) };
    let inside = src.checked_add(len).is_some_and(|end| end <= segment_len);
    let (Some(to), true) = (to, inside) else {
        return status(Err(TrapCode::MemoryOutOfBounds));
    };
    let from = segment.wrapping_add(src as usize);
    // SAFETY: both ranges were checked, and segments are not in memories.
    unsafe { ptr::copy_nonoverlapping(from, to, len as usize) };
    status(Ok(()))
}

/// # Safety
/// - `table` is the table of a live instance.
unsafe extern "C" fn table_grow(
    _: Context,
    table: NonNull<VmTable>,
    delta: u64,
    value: u64,
) -> i64 {
    // SAFETY: the caller's contract; tables are used by one thread alone.
    match table::grow(unsafe { &mut *table.as_ptr() }, delta, value) {
        Some(len) => len as i64,
        None => -1,
    }
}

/// # Safety
/// - `table` is the table of a live instance.
unsafe extern "C" fn table_fill(
    _: Context,
    table: NonNull<VmTable>,
    dst: u64,
    value: u64,
    len: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    let Some(to) = table::range(unsafe { table.as_ref() }, dst, len) else {
        return status(Err(TrapCode::TableOutOfBounds));
    };
    // SAFETY: the range is inside the table, which nothing else refers to now.
    unsafe { std::slice::from_raw_parts_mut(to, len as usize) }.fill(value);
    status(Ok(()))
}

/// # Safety
/// - Both are tables of live instances.
unsafe extern "C" fn table_copy(
    _: Context,
    dst_table: NonNull<VmTable>,
    dst: u64,
    src_table: NonNull<VmTable>,
    src: u64,
    len: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    let to = table::range(unsafe { dst_table.as_ref() }, dst, len);
    // SAFETY: the caller's contract.
    let from = table::range(unsafe { src_table.as_ref() }, src, len);
    let (Some(to), Some(from)) = (to, from) else {
        return status(Err(TrapCode::TableOutOfBounds));
    };
    // SAFETY: both ranges are inside their tables; they may overlap.
    unsafe { ptr::copy(from, to, len as usize) };
    status(Ok(()))
}

/// # Safety
/// - `table` is the table of a live instance.
/// - `segment_len` words at `segment` are readable.
unsafe extern "C" fn table_init(
    _: Context,
    table: NonNull<VmTable>,
    dst: u64,
    segment: *const u64,
    segment_len: u64,
    src: u64,
    len: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    let to = table::range(unsafe { table.as_ref() }, dst, len);
    let inside = src.checked_add(len).is_some_and(|end| end <= segment_len);
    let (Some(to), true) = (to, inside) else {
        return status(Err(TrapCode::TableOutOfBounds));
    };
    let from = segment.wrapping_add(src as usize);
    // SAFETY: both ranges were checked, and segments are not in tables.
    unsafe { ptr::copy_nonoverlapping(from, to, len as usize) };
    status(Ok(()))
}

/// # Safety
/// - `addr` is the address of 4 bytes, aligned, of a memory that stays meanwhile.
unsafe extern "C" fn atomic_wait32(_: Context, addr: u64, expected: u32, timeout: i64) -> u32 {
    let place = ptr::with_exposed_provenance_mut(addr as usize);
    // SAFETY: the caller's contract; other threads access it atomically, or as they like.
    let place = unsafe { AtomicU32::from_ptr(place) };
    parking::wait(addr, nanoseconds(timeout), || {
        place.load(Ordering::SeqCst) == expected
    }) as u32
}

/// # Safety
/// - `addr` is the address of 8 bytes, aligned, of a memory that stays meanwhile.
unsafe extern "C" fn atomic_wait64(_: Context, addr: u64, expected: u64, timeout: i64) -> u32 {
    let place = ptr::with_exposed_provenance_mut(addr as usize);
    // SAFETY: the caller's contract; other threads access it atomically, or as they like.
    let place = unsafe { AtomicU64::from_ptr(place) };
    parking::wait(addr, nanoseconds(timeout), || {
        place.load(Ordering::SeqCst) == expected
    }) as u32
}

extern "C" fn atomic_notify(_: Context, addr: u64, count: u32) -> u32 {
    parking::notify(addr, count)
}

/// A timeout of wasm; a negative one is none.
fn nanoseconds(timeout: i64) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_nanos)
}

macro_rules! rounding {
    ($($name:ident: $float:ty = $method:ident;)*) => {
        $(extern "C" fn $name(_: Context, value: $float) -> $float {
            // The method may return a signalling NaN as it is.
            const QUIET_BIT: u32 = <$float>::MANTISSA_DIGITS - 2;
            match value.is_nan() {
                true => <$float>::from_bits(value.to_bits() | 1 << QUIET_BIT),
                false => value.$method(),
            }
        })*
    };
}

rounding! {
    f32_ceil: f32 = ceil;
    f32_floor: f32 = floor;
    f32_trunc: f32 = trunc;
    f32_nearest: f32 = round_ties_even;
    f64_ceil: f64 = ceil;
    f64_floor: f64 = floor;
    f64_trunc: f64 = trunc;
    f64_nearest: f64 = round_ties_even;
}

/// What a transcoder returns for a string that it cannot transcode.
const INVALID: i64 = -1;

/// Bytes of one memory to read and bytes of another to write.
///
/// # Safety
/// - Both are memories of live instances, and nothing else uses them for `'a`.
unsafe fn source_and_target<'a>(
    (src_memory, src, src_len): (NonNull<VmMemory>, u64, u64),
    (dst_memory, dst, dst_len): (NonNull<VmMemory>, u64, u64),
) -> Option<(&'a [u8], &'a mut [u8])> {
    if src_memory == dst_memory {
        return None;
    }
    // SAFETY: the caller's contract.
    let from = unsafe { memory_range(src_memory, src, src_len) }?;
    // SAFETY: the caller's contract.
    let to = unsafe { memory_range(dst_memory, dst, dst_len) }?;
    // SAFETY: the range is inside accessible memory, which nothing writes to.
    let from = unsafe { std::slice::from_raw_parts(from, src_len as usize) };
    // SAFETY: the range is inside accessible memory that nothing else uses: another one.
    let to = unsafe { std::slice::from_raw_parts_mut(to, dst_len as usize) };
    Some((from, to))
}

macro_rules! transcoders {
    ($($name:ident: $src_size:literal to $dst_size:literal, $transcode:expr;)*) => {
        $(
            /// # Safety
            /// - Both are memories of live instances.
            unsafe extern "C" fn $name(
                _: Context,
                dst_memory: NonNull<VmMemory>,
                dst: u64,
                src_memory: NonNull<VmMemory>,
                src: u64,
                units: u64,
            ) -> i64 {
                let source = (src_memory, src, units.saturating_mul($src_size));
                let target = (dst_memory, dst, units.saturating_mul($dst_size));
                // SAFETY: the caller's contract; while this runs, nothing else uses memories.
                match unsafe { source_and_target(source, target) } {
                    Some((src, dst)) => ($transcode)(src, dst),
                    None => INVALID,
                }
            }
        )*
    };
}

// Bytes of a code unit of the source, and the most that it becomes.
transcoders! {
    utf8_to_utf8: 1 to 1, |src, dst| count(transcode::utf8_to_utf8(src, dst));
    utf8_to_utf16: 1 to 2, |src, dst| {
        count(transcode::utf8(src).map(|src| transcode::utf8_to_utf16(src, dst)))
    };
    utf8_to_latin1: 1 to 1, |src, dst| {
        let (read, written) = transcode::utf8_to_latin1(src, dst);
        (written as i64) << 32 | read as i64
    };
    utf16_to_utf8: 2 to 3, |src, dst| count(transcode::utf16_to_utf8(src, dst));
    utf16_to_utf16: 2 to 2, |src, dst| match transcode::utf16_to_utf16(src, dst) {
        Some(is_beyond) => is_beyond.into(),
        None => INVALID,
    };
    utf16_to_latin1: 2 to 1, |src, dst| transcode::utf16_to_latin1(src, dst) as i64;
    utf16_to_ascii: 2 to 1, |src, dst| transcode::utf16_to_ascii(src, dst) as i64;
    latin1_to_utf8: 1 to 2, |src, dst| transcode::latin1_to_utf8(src, dst) as i64;
    latin1_to_utf16: 1 to 2, |src, dst| transcode::latin1_to_utf16(src, dst) as i64;
    latin1_to_ascii: 1 to 1, |src, dst| transcode::latin1_to_ascii(src, dst) as i64;
}

fn count(written: Option<usize>) -> i64 {
    written.map_or(INVALID, |written| written as i64)
}

/// # Safety
/// - `memory` is the memory of a live instance.
unsafe extern "C" fn inflate_latin1(
    _: Context,
    memory: NonNull<VmMemory>,
    start: u64,
    units: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    unsafe { in_place(memory, start, units, transcode::inflate_latin1) }
}

/// # Safety
/// - `memory` is the memory of a live instance.
unsafe extern "C" fn deflate_utf16(
    _: Context,
    memory: NonNull<VmMemory>,
    start: u64,
    units: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    unsafe { in_place(memory, start, units, transcode::deflate_utf16) }
}

/// Changes two bytes for each code unit.
///
/// # Safety
/// - `memory` is the memory of a live instance.
unsafe fn in_place(
    memory: NonNull<VmMemory>,
    start: u64,
    units: u64,
    change: fn(&mut [u8]),
) -> i64 {
    let len = units.saturating_mul(2);
    // SAFETY: the caller's contract.
    let Some(bytes) = (unsafe { memory_range(memory, start, len) }) else {
        return INVALID;
    };
    // SAFETY: the range is inside accessible memory that nothing else uses while this runs.
    change(unsafe { std::slice::from_raw_parts_mut(bytes, len as usize) });
    units as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake_memory(bytes: &mut [u8]) -> VmMemory {
        VmMemory {
            base: bytes.as_mut_ptr().expose_provenance() as u64,
            byte_len: bytes.len() as u64,
            max_byte_len: bytes.len() as u64,
            page_log2: 16,
            is_shared: 0,
        }
    }

    const OUT_OF_BOUNDS: i64 = TrapCode::MemoryOutOfBounds as i64;

    #[test]
    fn memory_operations_check_their_bounds() {
        let context = Context::dangling();
        let mut bytes: Vec<u8> = (0..16).collect();
        let mut memory = fake_memory(&mut bytes);
        let memory = NonNull::from(&mut memory);
        // SAFETY: `memory` describes bytes that are alive and used by nothing else.
        let copy = |dst, src, len| unsafe { memory_copy(context, memory, dst, memory, src, len) };
        // SAFETY: as above.
        let fill = |dst, value, len| unsafe { memory_fill(context, memory, dst, value, len) };
        let segment = [7u8, 8, 9];
        // SAFETY: as above, and the segment has this length.
        let init = |dst, src, len| unsafe {
            memory_init(context, memory, dst, segment.as_ptr(), 3, src, len)
        };
        assert_eq!(
            (copy(2, 0, 4), fill(14, 0x1ff, 2), init(8, 1, 2)),
            (0, 0, 0)
        );
        assert_eq!((copy(16, 16, 0), fill(16, 1, 0), init(16, 3, 0)), (0, 0, 0));
        for (dst, src, len) in [
            (17, 0, 0),
            (0, 17, 0),
            (15, 0, 2),
            (0, 15, 2),
            (1, 0, u64::MAX),
        ] {
            assert_eq!(copy(dst, src, len), OUT_OF_BOUNDS);
        }
        for (dst, len) in [(17, 0), (0, 17), (u64::MAX, 2), (2, u64::MAX)] {
            assert_eq!(fill(dst, 0, len), OUT_OF_BOUNDS);
        }
        for (dst, src, len) in [(0, 4, 0), (0, 2, 2), (15, 0, 2), (0, u64::MAX, 1)] {
            assert_eq!(init(dst, src, len), OUT_OF_BOUNDS);
        }
        assert_eq!(
            bytes,
            [0, 1, 0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 255, 255]
        );
    }

    #[test]
    fn transcoders_check_their_bounds() {
        let context = Context::dangling();
        let (mut source, mut target) = (*b"abcdefgh", [0; 16]);
        let mut memories = [fake_memory(&mut source), fake_memory(&mut target)];
        let [src_memory, dst_memory] = memories.each_mut().map(NonNull::from);
        let widen = |dst_memory, dst, src, units| {
            // SAFETY: both describe bytes that are alive and used by nothing else.
            unsafe { latin1_to_utf16(context, dst_memory, dst, src_memory, src, units) }
        };
        assert_eq!(widen(dst_memory, 0, 0, 8), 8);
        assert_eq!(widen(dst_memory, 16, 8, 0), 0);
        for (dst, src, units) in [
            (2, 0, 8),
            (0, 1, 8),
            (17, 0, 0),
            (0, 9, 0),
            (0, 0, u64::MAX),
        ] {
            assert_eq!(widen(dst_memory, dst, src, units), INVALID);
        }
        assert_eq!(widen(src_memory, 4, 0, 1), INVALID);
        // SAFETY: as above.
        let deflate = |start, units| unsafe { deflate_utf16(context, dst_memory, start, units) };
        assert_eq!(
            (deflate(0, 8), deflate(1, 8), deflate(0, u64::MAX)),
            (8, -1, -1)
        );
        assert_eq!(&target[..8], b"abcdefgh");
    }

    #[test]
    fn floats_round_as_wasm_says() {
        let context = Context::dangling();
        assert_eq!(f32_nearest(context, 2.5), 2.0);
        assert_eq!(f64_nearest(context, -0.5).to_bits(), (-0.0f64).to_bits());
        assert_eq!(
            (f64_ceil(context, 1.2), f64_floor(context, -1.2)),
            (2.0, -2.0)
        );
        assert_eq!(
            (f32_trunc(context, -1.7), f32_ceil(context, -0.2).to_bits()),
            (-1.0, 1 << 31)
        );
        assert!(f64_trunc(context, f64::NAN).is_nan());
        let signalling = f32::from_bits(0xffa0_0000);
        assert_eq!(f32_floor(context, signalling).to_bits(), 0xffe0_0000);
    }
}

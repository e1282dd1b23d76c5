//! The functions that compiled code calls: [`Builtin`] says what each does.
//!
//! Addresses that they are given come from the compiler's layout of a live context, as all of
//! machine code is trusted; indices and lengths come from the guest and are checked here.
#![allow(unsafe_code, reason = "called by compiled code with addresses")]

use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use cwasm_format::vmctx::{VmContext, VmHandles, VmMemory, VmTable};

use crate::instance::InstanceData;
use crate::parts::{in_parts, in_parts_backwards};
use crate::resource::guest;
use crate::transcode::{self, Part, Units};
use crate::{memory, parking, sys, table, unwind};

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
        Builtin::HandlesGrow => handles_grow as *const (),
        Builtin::AtomicWait32 => atomic_wait32 as *const (),
        Builtin::AtomicWait64 => atomic_wait64 as *const (),
        Builtin::AtomicNotify => atomic_notify as *const (),
    }
}

type Context = NonNull<VmContext>;

/// Whether the guest shall stop: then long work is given up, with any result, and the trampoline of
/// interruptible code raises the trap. Other code is never stopped.
///
/// # Safety
/// - `context` is that of a live instance.
unsafe fn is_interrupted(context: Context) -> bool {
    // SAFETY: the caller's contract.
    let instance = unsafe { InstanceData::of(context) };
    instance
        .interrupts()
        .is_some_and(|interrupts| interrupts.is_requested())
}

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
/// - Both are memories of live instances, and `context` is that of one.
unsafe extern "C" fn memory_copy(
    context: Context,
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
    // SAFETY: both ranges are inside accessible memory; they may overlap. The caller's contract.
    unsafe { copy(context, from, to, len as usize) };
    status(Ok(()))
}

/// Copies in the order in which nothing is overwritten before it is read; less if the guest shall
/// stop.
///
/// # Safety
/// - `len` values can be read at `from` and written at `to`, both aligned.
/// - `context` is that of a live instance, if there is more than one part.
unsafe fn copy<T: Copy>(context: Context, from: *const T, to: *mut T, len: usize) {
    let copy_part = |part: Range<usize>| {
        let (from, to) = (from.wrapping_add(part.start), to.wrapping_add(part.start));
        // SAFETY: a part of what the caller promises; it may overlap with itself.
        unsafe { ptr::copy(from, to, part.len()) };
    };
    // SAFETY: the caller's contract.
    let stop = || unsafe { is_interrupted(context) };
    // Whether it was all does not matter: see `is_interrupted`.
    if to.addr() <= from.addr() {
        in_parts(len, size_of::<T>(), stop, copy_part);
    } else {
        in_parts_backwards(len, size_of::<T>(), stop, copy_part);
    }
}

/// # Safety
/// - `memory` is the memory of a live instance, and `context` is that of one.
unsafe extern "C" fn memory_fill(
    context: Context,
    memory: NonNull<VmMemory>,
    dst: u64,
    value: u32,
    len: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    let Some(to) = (unsafe { memory_range(memory, dst, len) }) else {
        return status(Err(TrapCode::MemoryOutOfBounds));
    };
    // SAFETY: the caller's contract.
    let stop = || unsafe { is_interrupted(context) };
    in_parts(len as usize, 1, stop, |part| {
        // SAFETY: the range is inside accessible memory.
        unsafe {
            to.wrapping_add(part.start)
                .write_bytes(value as u8, part.len())
        };
    });
    status(Ok(()))
}

/// # Safety
/// - `memory` is the memory of a live instance, and `context` is that of one.
/// - `segment_len` bytes at `segment` are readable.
unsafe extern "C" fn memory_init(
    context: Context,
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
    // SAFETY: both ranges were checked; the caller's contract.
    unsafe { copy(context, from, to, len as usize) };
    status(Ok(()))
}

/// # Safety
/// - `table` is the table of a live instance, and `context` is that of one.
unsafe extern "C" fn table_grow(
    context: Context,
    table: NonNull<VmTable>,
    delta: u64,
    value: u64,
) -> i64 {
    // SAFETY: the caller's contract.
    let stop = || unsafe { is_interrupted(context) };
    // SAFETY: the caller's contract; tables are used by one thread alone.
    match table::grow(unsafe { &mut *table.as_ptr() }, delta, value, stop) {
        Some(len) => len as i64,
        None => -1,
    }
}

/// # Safety
/// - `table` is the table of a live instance, and `context` is that of one.
unsafe extern "C" fn table_fill(
    context: Context,
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
    let elements = unsafe { std::slice::from_raw_parts_mut(to, len as usize) };
    // SAFETY: the caller's contract.
    let stop = || unsafe { is_interrupted(context) };
    in_parts(elements.len(), size_of::<u64>(), stop, |part| {
        elements[part].fill(value);
    });
    status(Ok(()))
}

/// # Safety
/// - Both are tables of live instances, and `context` is that of one.
unsafe extern "C" fn table_copy(
    context: Context,
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
    // SAFETY: both ranges are inside their tables; they may overlap. The caller's contract.
    unsafe { copy(context, from, to, len as usize) };
    status(Ok(()))
}

/// # Safety
/// - `table` is the table of a live instance, and `context` is that of one.
/// - `segment_len` words at `segment` are readable.
unsafe extern "C" fn table_init(
    context: Context,
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
    // SAFETY: both ranges were checked; the caller's contract.
    unsafe { copy(context, from, to, len as usize) };
    status(Ok(()))
}

/// # Safety
/// - `table` is the handle table of a live instance.
unsafe extern "C" fn handles_grow(_: Context, table: NonNull<VmHandles>) -> i64 {
    // SAFETY: the caller's contract; tables are used by one thread alone.
    status(guest::grow(unsafe { &mut *table.as_ptr() }))
}

/// # Safety
/// - `addr` is the address of 4 bytes, aligned, of a memory that stays meanwhile.
/// - `context` is that of a live instance.
unsafe extern "C" fn atomic_wait32(
    context: Context,
    addr: u64,
    expected: u32,
    timeout: i64,
) -> u32 {
    let place = ptr::with_exposed_provenance_mut(addr as usize);
    // SAFETY: the caller's contract; other threads access it atomically, or as they like.
    let place = unsafe { AtomicU32::from_ptr(place) };
    // SAFETY: the caller's contract.
    let interrupts = unsafe { InstanceData::of(context) }.interrupts();
    parking::wait(addr, nanoseconds(timeout), interrupts, || {
        place.load(Ordering::SeqCst) == expected
    }) as u32
}

/// # Safety
/// - `addr` is the address of 8 bytes, aligned, of a memory that stays meanwhile.
/// - `context` is that of a live instance.
unsafe extern "C" fn atomic_wait64(
    context: Context,
    addr: u64,
    expected: u64,
    timeout: i64,
) -> u32 {
    let place = ptr::with_exposed_provenance_mut(addr as usize);
    // SAFETY: the caller's contract; other threads access it atomically, or as they like.
    let place = unsafe { AtomicU64::from_ptr(place) };
    // SAFETY: the caller's contract.
    let interrupts = unsafe { InstanceData::of(context) }.interrupts();
    parking::wait(addr, nanoseconds(timeout), interrupts, || {
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
    ($($name:ident: $units:ident to $dst_size:literal, $transcode:expr, $result:expr;)*) => {
        $(
            /// # Safety
            /// - Both are memories of live instances, and `context` is that of one.
            unsafe extern "C" fn $name(
                context: Context,
                dst_memory: NonNull<VmMemory>,
                dst: u64,
                src_memory: NonNull<VmMemory>,
                src: u64,
                units: u64,
            ) -> i64 {
                let source = (src_memory, src, units.saturating_mul(Units::$units.size()));
                let target = (dst_memory, dst, units.saturating_mul($dst_size));
                // SAFETY: the caller's contract; while this runs, nothing else uses memories.
                let Some((src, dst)) = (unsafe { source_and_target(source, target) }) else {
                    return INVALID;
                };
                // SAFETY: the caller's contract.
                let stop = || unsafe { is_interrupted(context) };
                transcode::in_parts(Units::$units, src, dst, stop, $transcode)
                    .map_or(INVALID, $result)
            }
        )*
    };
}

// The most bytes that a code unit of the source becomes, how a part is done, and the result.
transcoders! {
    utf8_to_utf8: Utf8 to 1, |src, dst| Some(Part::all(src, transcode::utf8_to_utf8(src, dst)?)),
        |sum| sum.written as i64;
    utf8_to_utf16: Utf8 to 2, |src, dst| Some(Part::all(src, 2 * transcode::utf8_to_utf16(src, dst)?)),
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

/// # Safety
/// - `memory` is the memory of a live instance, and `context` is that of one.
unsafe extern "C" fn inflate_latin1(
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
    in_parts_backwards(units as usize, 2, stop, |part| {
        transcode::inflate_latin1(bytes, part);
    });
    units as i64
}

/// # Safety
/// - `memory` is the memory of a live instance, and `context` is that of one.
unsafe extern "C" fn deflate_utf16(
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
    in_parts(units as usize, 2, stop, |part| {
        transcode::deflate_utf16(bytes, part);
    });
    units as i64
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

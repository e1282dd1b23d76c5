//! The functions that compiled code calls: [`Builtin`] says what each does.
//!
//! Addresses that they are given come from the compiler's layout of a live context, as all of
//! machine code is trusted; indices and lengths come from the guest and are checked here.
#![allow(unsafe_code, reason = "called by compiled code with addresses")]

mod strings;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use cwasm_format::vmctx::{VmContext, VmHandles, VmMemory, VmTable};

use crate::parts::{in_parts, in_parts_backwards};
use crate::sys;
use crate::vm::exceptions::throw;
use crate::vm::instance::InstanceData;
use crate::vm::store::StoreOpaque;
use crate::vm::{handles, memory, parking, table, unwind};

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
        Builtin::Throw => throw::throw as *const (),
        Builtin::ThrowRef => throw::throw_ref as *const (),
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
        Builtin::Utf8ToUtf8 => strings::utf8_to_utf8 as *const (),
        Builtin::Utf8ToUtf16 => strings::utf8_to_utf16 as *const (),
        Builtin::Utf8ToLatin1 => strings::utf8_to_latin1 as *const (),
        Builtin::Utf16ToUtf8 => strings::utf16_to_utf8 as *const (),
        Builtin::Utf16ToUtf16 => strings::utf16_to_utf16 as *const (),
        Builtin::Utf16ToLatin1 => strings::utf16_to_latin1 as *const (),
        Builtin::Utf16ToAscii => strings::utf16_to_ascii as *const (),
        Builtin::Latin1ToUtf8 => strings::latin1_to_utf8 as *const (),
        Builtin::Latin1ToUtf16 => strings::latin1_to_utf16 as *const (),
        Builtin::Latin1ToAscii => strings::latin1_to_ascii as *const (),
        Builtin::InflateLatin1 => strings::inflate_latin1 as *const (),
        Builtin::DeflateUtf16 => strings::deflate_utf16 as *const (),
        Builtin::HandlesGrow => handles_grow as *const (),
        Builtin::HandlesDeepen => handles_deepen as *const (),
        Builtin::Concurrent => concurrent as *const (),
        Builtin::AtomicWait32 => atomic_wait32 as *const (),
        Builtin::AtomicWait64 => atomic_wait64 as *const (),
        Builtin::AtomicNotify => atomic_notify as *const (),
    }
}

type Context = NonNull<VmContext>;

/// Whether the guest must stop: then long work is given up, with any result, and the trampoline of
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
/// - `frame` is the frame pointer of compiled code that is active on this thread, of the store of
///   `context`.
unsafe extern "C" fn raise(context: Context, code: u64, frame: u64) -> ! {
    let code = u8::try_from(code).ok().and_then(TrapCode::from_number);
    if code == Some(TrapCode::UncaughtException) {
        // SAFETY: compiled code of the store waits, and nothing else uses it.
        let store = unsafe { StoreOpaque::of_running(context) };
        if store.exceptions().take_is_by_host() {
            // SAFETY: the caller's contract.
            unsafe { throw::deliver(store, frame as usize) }
        }
    }
    // SAFETY: the caller's contract.
    match code.and_then(|code| unsafe { unwind::on_raise(code, frame as usize) }) {
        // SAFETY: a landing pad of the innermost thunk; this frame has nothing to drop.
        Some(resume) => unsafe { sys::registers::resume(&resume) },
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
/// - `memory` is the memory of a live instance, and `context` is that of one.
unsafe extern "C" fn memory_grow(context: Context, memory: NonNull<VmMemory>, delta: u64) -> i64 {
    // SAFETY: the caller's contract; while wasm runs, the host has no reference to the bytes.
    let Some(pages) = (unsafe { memory::grow(memory, delta) }) else {
        return -1;
    };
    #[cfg(feature = "recycle")]
    // SAFETY: the caller's contract.
    if let Some((base, part)) = unsafe { memory::unmarked_since(memory, pages) } {
        // SAFETY: the caller's contract.
        let instance = unsafe { InstanceData::of(context) };
        instance.memory().populate(base, part);
    }
    #[cfg(not(feature = "recycle"))]
    let _ = context;
    pages as i64
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

/// Copies in the order in which nothing is overwritten before it is read; less if the guest must
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
/// - `table` is the handle table of the live instance of `context`.
unsafe extern "C" fn handles_grow(context: Context, table: NonNull<VmHandles>) -> i64 {
    // SAFETY: compiled code of the store waits, and nothing else uses it.
    let store = unsafe { StoreOpaque::of_running(context) };
    // SAFETY: the caller's contract; tables are used by one thread alone.
    status(handles::grow(
        unsafe { &mut *table.as_ptr() },
        store.handle_room(),
    ))
}

/// # Safety
/// - `table` is the handle table of a live instance.
unsafe extern "C" fn handles_deepen(_: Context, table: NonNull<VmHandles>) -> i64 {
    // SAFETY: the caller's contract; tables are used by one thread alone.
    status(handles::deepen(unsafe { &mut *table.as_ptr() }))
}

/// # Safety
/// - `context` is that of a live instance, whose code calls and has the store for itself.
/// - `op` is an `OpRecord` of its artifact, and `values` points to as many values as it takes.
#[cfg(feature = "async")]
unsafe extern "C" fn concurrent(context: Context, op: u64, values: u64) -> i64 {
    let op = NonNull::new(ptr::with_exposed_provenance_mut(op as usize));
    let values = NonNull::new(ptr::with_exposed_provenance_mut(values as usize));
    let (Some(op), Some(values)) = (op, values) else {
        return i64::from(TrapCode::Unreachable.number());
    };
    // SAFETY: the caller's contract.
    let store = unsafe { StoreOpaque::of_running(context) };
    let run = store.task_funcs.run;
    // SAFETY: the caller's contract.
    unsafe { run(store, context, op, values) as i64 }
}

/// Artifacts with tasks are refused.
#[cfg(not(feature = "async"))]
extern "C" fn concurrent(_: Context, _: u64, _: u64) -> i64 {
    i64::from(TrapCode::Unreachable.number())
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
    parking::wait(addr, nanoseconds(timeout), interrupts, &|| {
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
    parking::wait(addr, nanoseconds(timeout), interrupts, &|| {
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

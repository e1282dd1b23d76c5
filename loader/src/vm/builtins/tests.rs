//! Builtins as compiled code calls them, on plain memory.

use super::strings::{INVALID, deflate_utf16, latin1_to_utf16};
use super::*;

fn fake_memory(bytes: &mut [u8]) -> VmMemory {
    VmMemory {
        base: bytes.as_mut_ptr().expose_provenance() as u64,
        byte_len: bytes.len() as u64,
        max_byte_len: bytes.len() as u64,
        page_log2: 16,
        is_shared: 0,
        guard: 0,
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
    let init =
        |dst, src, len| unsafe { memory_init(context, memory, dst, segment.as_ptr(), 3, src, len) };
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
    // Ranges of one memory, also if they overlap: what is read is what was there before.
    assert_eq!(widen(src_memory, 4, 0, 1), 1);
    assert_eq!(widen(src_memory, 0, 0, 4), 4);
    // SAFETY: as above.
    let deflate = |start, units| unsafe { deflate_utf16(context, dst_memory, start, units) };
    assert_eq!(
        (deflate(0, 8), deflate(1, 8), deflate(0, u64::MAX)),
        (8, -1, -1)
    );
    assert_eq!(&target[..8], b"abcdefgh");
    assert_eq!(&source, b"a\0b\0c\0d\0");
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

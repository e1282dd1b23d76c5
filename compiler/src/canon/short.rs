//! Short copies: the trampolines of builtins that copy do these themselves, because leaving wasm
//! would cost more than the copy.
//!
//! All bytes, up to [`MAX_SIZE`], are loaded before the first is stored, so that source and
//! destination may overlap. They are copied in pieces of a fixed size, which overlap if the size is
//! not a multiple: 11 bytes are copied as the first 8 and the last 8.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, Block, InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::builtin::Builtin;
use cwasm_format::vmctx::VmMemory;

use crate::ir::flags::trusted;

/// The most bytes that are copied here.
const MAX_SIZE: i64 = 64;

/// The code of a short copy.
struct ShortCopy<'s, 'f> {
    builder: &'s mut FunctionBuilder<'f>,
    /// Machine addresses.
    src: Value,
    dst: Value,
    /// Bytes: 64 bits.
    size: Value,
    /// Whether only ASCII is copied here. Then the size is the trampoline's result.
    is_text: bool,
    /// The block that calls the builtin for all other copies.
    long: Block,
}

/// In the trampoline of a builtin that copies: makes the copy and returns, if the copy is short, in
/// bounds, and only of ASCII if it is text. Leaves the builder in the block for other copies. Does
/// nothing for other builtins.
pub(super) fn return_short(builder: &mut FunctionBuilder<'_>, builtin: Builtin, params: &[Value]) {
    let is_text = match builtin {
        Builtin::MemoryCopy => false,
        Builtin::Utf8ToUtf8 => true,
        _ => return,
    };
    let [_, dst_memory, dst, src_memory, src, size] = *params else {
        unreachable!("builtins that copy have five parameters and the context")
    };
    let is_short = IntCC::UnsignedLessThanOrEqual;
    let is_short = builder.ins().icmp_imm_u(is_short, size, MAX_SIZE);
    let (src, src_fits) = place(builder, src_memory, src, size);
    let (dst, dst_fits) = place(builder, dst_memory, dst, size);
    let fit = builder.ins().band(src_fits, dst_fits);
    let fit = builder.ins().band(fit, is_short);
    let (short, long) = (builder.create_block(), builder.create_block());
    builder.ins().brif(fit, short, &[], long, &[]);
    builder.switch_to_block(short);
    let mut copy = ShortCopy {
        builder: &mut *builder,
        src,
        dst,
        size,
        is_text,
        long,
    };
    copy.by_size();
    builder.switch_to_block(long);
    builder.seal_all_blocks();
}

/// The address of `start` in a memory, and whether `size` bytes from there are inside.
fn place(
    builder: &mut FunctionBuilder<'_>,
    memory: Value,
    start: Value,
    size: Value,
) -> (Value, Value) {
    let field = |builder: &mut FunctionBuilder<'_>, offset: usize| {
        let ins = builder.ins();
        ins.load(types::I64, trusted(), memory, offset as i32)
    };
    let base = field(builder, offset_of!(VmMemory, base));
    let byte_len = field(builder, offset_of!(VmMemory, byte_len));
    let at_most = IntCC::UnsignedLessThanOrEqual;
    // The first comparison finds a `start` for which the second would wrap around.
    let starts = builder.ins().icmp(at_most, start, byte_len);
    let room = builder.ins().isub(byte_len, start);
    let ends = builder.ins().icmp(at_most, size, room);
    let fits = builder.ins().band(starts, ends);
    (builder.ins().iadd(base, start), fits)
}

impl ShortCopy<'_, '_> {
    /// Branches to the copies for all sizes, each of which returns.
    fn by_size(&mut self) {
        let smaller = self.unless_at_least(33, |copy| copy.pieces(types::I8X16, 4));
        self.builder.switch_to_block(smaller);
        let smaller = self.unless_at_least(16, |copy| copy.pieces(types::I8X16, 2));
        self.builder.switch_to_block(smaller);
        let smaller = self.unless_at_least(8, |copy| copy.pieces(types::I64, 2));
        self.builder.switch_to_block(smaller);
        let smaller = self.unless_at_least(4, |copy| copy.pieces(types::I32, 2));
        self.builder.switch_to_block(smaller);
        let empty = self.unless_at_least(1, |copy| copy.pieces(types::I8, 3));
        self.builder.switch_to_block(empty);
        self.finish();
    }

    /// Emits `copy` for all sizes of at least `least`; returns the block for smaller ones.
    fn unless_at_least(&mut self, least: i64, copy: impl FnOnce(&mut Self)) -> Block {
        let (large, small) = (self.builder.create_block(), self.builder.create_block());
        let at_least = IntCC::UnsignedGreaterThanOrEqual;
        let is_large = self.builder.ins().icmp_imm_u(at_least, self.size, least);
        self.builder.ins().brif(is_large, large, &[], small, &[]);
        self.builder.switch_to_block(large);
        copy(self);
        small
    }

    /// Copies `count` pieces of type `ty`, half of them from the start on, half up to the end; of
    /// three, one is in the middle. The pieces have at most twice as many bytes as the copy.
    fn pieces(&mut self, ty: ir::Type, count: i64) {
        let bytes = i64::from(ty.bytes());
        let mut offsets: Vec<Value> = Vec::new();
        for piece in 0..count / 2 {
            offsets.push(self.builder.ins().iconst(types::I64, piece * bytes));
            let from_end = (piece + 1) * bytes;
            offsets.push(self.builder.ins().iadd_imm_s(self.size, -from_end));
        }
        if count % 2 == 1 {
            offsets.push(self.builder.ins().ushr_imm_u(self.size, 1));
        }
        // Nothing is aligned.
        let flags = MemFlagsData::new().with_notrap();
        let mut values = Vec::new();
        for offset in &offsets {
            let addr = self.builder.ins().iadd(self.src, *offset);
            values.push(self.builder.ins().load(ty, flags, addr, 0));
        }
        if self.is_text {
            self.leave_unless_ascii(ty, &values);
        }
        for (offset, value) in offsets.iter().zip(values) {
            let addr = self.builder.ins().iadd(self.dst, *offset);
            self.builder.ins().store(flags, value, addr, 0);
        }
        self.finish();
    }

    /// Leaves the copy to the builtin if a byte has its highest bit set.
    fn leave_unless_ascii(&mut self, ty: ir::Type, values: &[Value]) {
        let mut all = values[0];
        for value in &values[1..] {
            all = self.builder.ins().bor(all, *value);
        }
        let beyond = if ty.is_vector() {
            self.builder.ins().vhigh_bits(types::I32, all)
        } else {
            let high = i64::from_le_bytes([0x80; 8]) & (-1i64 as u64 >> (64 - ty.bits())) as i64;
            let high = self.builder.ins().iconst(ty, high);
            self.builder.ins().band(all, high)
        };
        let ascii = self.builder.create_block();
        self.builder.ins().brif(beyond, self.long, &[], ascii, &[]);
        self.builder.switch_to_block(ascii);
    }

    fn finish(&mut self) {
        let results: &[Value] = if self.is_text { &[self.size] } else { &[] };
        self.builder.ins().return_(results);
    }
}

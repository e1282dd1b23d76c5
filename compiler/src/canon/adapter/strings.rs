//! Strings: for each pair of encodings, the calls of `realloc` that the specification prescribes
//! (`store_string_into_range` in `CanonicalABI.md`), around the loader's transcoders.
//!
//! A buffer that grows is expected to keep its contents: if a guest's `realloc` does not copy them,
//! only that guest is affected, so they are not written again.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Value};
use cwasm_format::TrapCode;
use cwasm_format::abi::FlatType;
use cwasm_format::builtin::Builtin;
use cwasm_format::encoding::{CodeUnits, StringEncoding};
use cwasm_format::types::ValueType;

use super::flat::core_type;
use super::{Copier, Place};
use crate::ir::symbol::Form;

/// A string that was checked to be inside its memory.
#[derive(Clone, Copy)]
struct Source {
    place: Place,
    units: CodeUnits,
    /// Code units: 64 bits.
    len: Value,
}

/// Memory for a string at the destination.
#[derive(Clone, Copy)]
struct Buffer {
    pointer: Value,
    place: Place,
    /// Bytes: 64 bits.
    size: Value,
}

impl Copier<'_, '_> {
    /// Copies a string; returns pointer and length at the destination.
    pub(super) fn string(&mut self, pointer: Value, len: Value) -> (Value, Value) {
        match self.shared(ValueType::String, Form::Flat) {
            Some(func) => match self.call_flat(func, &[pointer, len])[..] {
                [pointer, len] => (pointer, len),
                _ => unreachable!("a string has two flat values"),
            },
            None => self.string_parts(pointer, len),
        }
    }

    /// Copies a string, without a call of a shared function.
    pub(super) fn string_parts(&mut self, pointer: Value, len: Value) -> (Value, Value) {
        let done = self.builder.create_block();
        let pointer_type = core_type(FlatType::Pointer, self.to.width);
        let new_pointer = self.builder.append_block_param(done, pointer_type);
        let new_len = self.builder.append_block_param(done, pointer_type);
        match self.from.encoding {
            StringEncoding::Utf8 => self.string_of(CodeUnits::Utf8, pointer, len, done),
            StringEncoding::Utf16 => self.string_of(CodeUnits::Utf16, pointer, len, done),
            _ => {
                let (utf16, latin1) = self.two_blocks();
                let utf16_tag = self.from.width.utf16_tag() as i64;
                let tag = self.builder.ins().band_imm_u(len, utf16_tag);
                self.builder.ins().brif(tag, utf16, &[], latin1, &[]);
                self.builder.switch_to_block(utf16);
                let untagged = self.builder.ins().bxor_imm_u(len, utf16_tag);
                self.string_of(CodeUnits::Utf16, pointer, untagged, done);
                self.builder.switch_to_block(latin1);
                self.string_of(CodeUnits::Latin1, pointer, len, done);
            }
        }
        self.builder.switch_to_block(done);
        (new_pointer, new_len)
    }

    /// Copies a string of these code units, and jumps to `done` with pointer and length.
    fn string_of(&mut self, units: CodeUnits, pointer: Value, len: Value, done: Block) {
        let len = self.extend(len);
        let size = self.byte_size(len, units.size() as u32, TrapCode::StringTooLong);
        let from = self.from;
        let place = self.check(
            from,
            pointer,
            size,
            units.align(),
            TrapCode::StringOutOfBounds,
        );
        let source = Source { place, units, len };
        match (units, self.to.encoding) {
            (CodeUnits::Utf8, StringEncoding::Utf8) => {
                self.copy_string(source, Builtin::Utf8ToUtf8, 1, done)
            }
            (CodeUnits::Utf16, StringEncoding::Utf8) => self.units_to_utf8(source, 3, done),
            (CodeUnits::Latin1, StringEncoding::Utf8) => self.units_to_utf8(source, 2, done),
            (CodeUnits::Utf8, StringEncoding::Utf16) => self.utf8_to_utf16(source, done),
            (CodeUnits::Utf16, StringEncoding::Utf16) => {
                self.copy_string(source, Builtin::Utf16ToUtf16, 2, done);
            }
            (CodeUnits::Latin1, StringEncoding::Utf16) => {
                self.copy_string(source, Builtin::Latin1ToUtf16, 2, done);
            }
            (CodeUnits::Latin1, _) => {
                let size = source.len;
                let buffer = self.allocate_string(size, 2);
                self.copy_range(size, source.place, buffer.place);
                self.finish(buffer, source.len, done);
            }
            // A string with the tag is probably beyond Latin-1; one without is probably not.
            (CodeUnits::Utf16, _) if from.encoding != StringEncoding::Utf16 => {
                self.tagged_to_compact(source, done);
            }
            (CodeUnits::Utf8 | CodeUnits::Utf16, _) => self.utf_to_compact(source, done),
        }
    }

    /// Copies a string that has `unit_size` bytes for each code unit at the destination; that is
    /// also the alignment.
    fn copy_string(&mut self, source: Source, builtin: Builtin, unit_size: u32, done: Block) {
        let size = self
            .builder
            .ins()
            .imul_imm_u(source.len, i64::from(unit_size));
        if unit_size > 1 {
            self.check_length(size, TrapCode::StringTooLong);
        }
        let buffer = self.allocate_string(size, unit_size);
        self.transcode(builtin, source, buffer.place);
        self.finish(buffer, source.len, done);
    }

    /// `store_string_to_utf8`: allocates as many bytes as code units, enough for ASCII; for other
    /// strings then `factor` times as many.
    fn units_to_utf8(&mut self, source: Source, factor: i64, done: Block) {
        let (prefix, rest) = match source.units {
            CodeUnits::Utf16 => (Builtin::Utf16ToAscii, Builtin::Utf16ToUtf8),
            _ => (Builtin::Latin1ToAscii, Builtin::Latin1ToUtf8),
        };
        let buffer = self.allocate_string(source.len, 1);
        let ascii = self.transcode(prefix, source, buffer.place);
        self.finish_if_all(ascii, source, buffer, done);

        let worst = self.builder.ins().imul_imm_u(source.len, factor);
        let buffer = self.grow(buffer, worst, 1);
        let source = self.skip(source, ascii);
        let place = self.skip_place(buffer.place, ascii);
        let written = self.transcode(rest, source, place);
        let len = self.builder.ins().iadd(ascii, written);
        self.shrink(buffer, len, 1, done, |_, len| len);
    }

    /// `store_utf8_to_utf16`: two bytes for each byte of UTF-8 are enough.
    fn utf8_to_utf16(&mut self, source: Source, done: Block) {
        let worst = self.builder.ins().ishl_imm_u(source.len, 1);
        self.check_length(worst, TrapCode::StringTooLong);
        let buffer = self.allocate_string(worst, 2);
        let units = self.transcode(Builtin::Utf8ToUtf16, source, buffer.place);
        let size = self.builder.ins().ishl_imm_u(units, 1);
        self.shrink(buffer, size, 2, done, |copier, size| {
            copier.builder.ins().ushr_imm_u(size, 1)
        });
    }

    /// `store_string_to_latin1_or_utf16`: writes Latin-1 up to the first char beyond it, then the
    /// whole string as UTF-16.
    fn utf_to_compact(&mut self, source: Source, done: Block) {
        let buffer = self.allocate_string(source.len, 2);
        let (read, written) = if source.units == CodeUnits::Utf8 {
            let packed = self.transcode(Builtin::Utf8ToLatin1, source, buffer.place);
            let written = self.builder.ins().ushr_imm_u(packed, 32);
            let read = self.builder.ins().band_imm_u(packed, 0xffff_ffff);
            (read, written)
        } else {
            let read = self.transcode(Builtin::Utf16ToLatin1, source, buffer.place);
            (read, read)
        };
        let (all, beyond) = self.two_blocks();
        let is_all = self.builder.ins().icmp(IntCC::Equal, read, source.len);
        self.builder.ins().brif(is_all, all, &[], beyond, &[]);
        self.builder.switch_to_block(all);
        self.shrink(buffer, written, 2, done, |_, len| len);

        self.builder.switch_to_block(beyond);
        let worst = self.builder.ins().ishl_imm_u(source.len, 1);
        let buffer = self.grow(buffer, worst, 2);
        self.in_place(Builtin::InflateLatin1, buffer.place, written);
        let source = self.skip(source, read);
        let start = self.builder.ins().ishl_imm_u(written, 1);
        let place = self.skip_place(buffer.place, start);
        let units = if source.units == CodeUnits::Utf8 {
            self.transcode(Builtin::Utf8ToUtf16, source, place)
        } else {
            self.transcode(Builtin::Utf16ToUtf16, source, place);
            source.len
        };
        let units = self.builder.ins().iadd(units, written);
        let size = self.builder.ins().ishl_imm_u(units, 1);
        self.shrink(buffer, size, 2, done, |copier, size| {
            let units = copier.builder.ins().ushr_imm_u(size, 1);
            copier.with_utf16_tag(units)
        });
    }

    /// `store_probably_utf16_to_latin1_or_utf16`: writes UTF-16, and shrinks it to Latin-1 if all
    /// chars are.
    fn tagged_to_compact(&mut self, source: Source, done: Block) {
        let size = self.builder.ins().ishl_imm_u(source.len, 1);
        let buffer = self.allocate_string(size, 2);
        let is_beyond = self.transcode(Builtin::Utf16ToUtf16, source, buffer.place);
        let (beyond, latin1) = self.two_blocks();
        self.builder.ins().brif(is_beyond, beyond, &[], latin1, &[]);
        self.builder.switch_to_block(beyond);
        let tagged = self.with_utf16_tag(source.len);
        self.finish(buffer, tagged, done);

        self.builder.switch_to_block(latin1);
        self.in_place(Builtin::DeflateUtf16, buffer.place, source.len);
        let buffer = self.resize(buffer, source.len, 1);
        self.finish(buffer, source.len, done);
    }
}

/// The steps of these methods.
impl Copier<'_, '_> {
    /// The length of a string in UTF-16, with the tag that tells it from Latin-1.
    fn with_utf16_tag(&mut self, units: Value) -> Value {
        let tag = self.to.width.utf16_tag() as i64;
        self.builder.ins().bor_imm_u(units, tag)
    }

    fn two_blocks(&mut self) -> (Block, Block) {
        (self.builder.create_block(), self.builder.create_block())
    }

    fn allocate_string(&mut self, size: Value, align: u32) -> Buffer {
        let (pointer, place) = self.allocate(size, align, TrapCode::StringOutOfBounds);
        Buffer {
            pointer,
            place,
            size,
        }
    }

    fn resize(&mut self, buffer: Buffer, size: Value, align: u32) -> Buffer {
        let out_of_bounds = TrapCode::StringOutOfBounds;
        let (pointer, place) =
            self.reallocate(buffer.pointer, buffer.size, size, align, out_of_bounds);
        Buffer {
            pointer,
            place,
            size,
        }
    }

    /// Grows the buffer so that it has room for the longest result.
    fn grow(&mut self, buffer: Buffer, size: Value, align: u32) -> Buffer {
        self.check_length(size, TrapCode::StringTooLong);
        self.resize(buffer, size, align)
    }

    /// Shrinks the buffer to the string's size, and jumps to `done`. `len` computes the string's
    /// length from its size.
    fn shrink(
        &mut self,
        buffer: Buffer,
        size: Value,
        align: u32,
        done: Block,
        len: impl Fn(&mut Self, Value) -> Value,
    ) {
        let (less, same) = self.two_blocks();
        let is_same = self.builder.ins().icmp(IntCC::Equal, size, buffer.size);
        self.builder.ins().brif(is_same, same, &[], less, &[]);
        self.builder.switch_to_block(same);
        let new_len = len(self, size);
        self.finish(buffer, new_len, done);
        self.builder.switch_to_block(less);
        let buffer = self.resize(buffer, size, align);
        let new_len = len(self, size);
        self.finish(buffer, new_len, done);
    }

    /// Jumps to `done` if all of the source was written. Leaves the builder in the block for the
    /// other case.
    fn finish_if_all(&mut self, written: Value, source: Source, buffer: Buffer, done: Block) {
        let (all, more) = self.two_blocks();
        let is_all = self.builder.ins().icmp(IntCC::Equal, written, source.len);
        self.builder.ins().brif(is_all, all, &[], more, &[]);
        self.builder.switch_to_block(all);
        self.finish(buffer, source.len, done);
        self.builder.switch_to_block(more);
    }

    fn finish(&mut self, buffer: Buffer, len: Value, done: Block) {
        let len = self.narrow(len);
        let args = [BlockArg::from(buffer.pointer), BlockArg::from(len)];
        self.builder.ins().jump(done, &args);
    }

    /// The source without the first code units.
    fn skip(&mut self, source: Source, units: Value) -> Source {
        let size = self
            .builder
            .ins()
            .imul_imm_u(units, source.units.size() as i64);
        Source {
            place: self.skip_place(source.place, size),
            len: self.builder.ins().isub(source.len, units),
            ..source
        }
    }

    fn skip_place(&mut self, place: Place, size: Value) -> Place {
        Place {
            addr: self.builder.ins().iadd(place.addr, size),
            ..place
        }
    }

    /// Calls a transcoder, and returns its result. Traps if the string is not well-formed.
    fn transcode(&mut self, builtin: Builtin, source: Source, dst: Place) -> Value {
        let (from, to) = (self.from, self.to);
        let src = self.offset_in_memory(from, source.place);
        let dst = self.offset_in_memory(to, dst);
        let (from, to) = (self.memory_desc(from), self.memory_desc(to));
        self.checked(builtin, &[to, dst, from, src, source.len])
    }

    /// Calls a builtin that converts code units in place.
    fn in_place(&mut self, builtin: Builtin, place: Place, units: Value) {
        let start = self.offset_in_memory(self.to, place);
        let memory = self.memory_desc(self.to);
        self.checked(builtin, &[memory, start, units]);
    }

    fn checked(&mut self, builtin: Builtin, args: &[Value]) -> Value {
        let Some(result) = self.builtin(builtin, args) else {
            unreachable!("transcoders return a value");
        };
        let less = IntCC::SignedLessThan;
        let is_bad = self.builder.ins().icmp_imm_s(less, result, 0);
        self.trap_if(is_bad, TrapCode::InvalidStringEncoding);
        result
    }
}

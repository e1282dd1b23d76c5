//! Lists whose elements are each checked or changed in the same way: bools, chars, enums and flags.
//! They are copied 16 bytes at a time, with instructions of every CPU level.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, MemFlagsData, Value, types};
use cwasm_format::TrapCode;
use cwasm_format::abi::PointerWidth;
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::{Copier, Place};

/// Bytes of a vector.
const VECTOR_SIZE: i64 = 16;

/// The check or change of each element.
#[derive(Clone, Copy)]
pub(super) enum Check {
    /// The element becomes 0 or 1.
    Bool,
    /// The element must be a Unicode scalar value.
    Char,
    /// The element must be less than this.
    Discriminant(i64),
    /// Bits of the element other than these are cleared.
    Mask(i64),
}

/// The check of a list's elements, and their type in a vector; `None` if they need another
/// treatment or have a size that no vector has.
pub(super) fn check_of(types: &Types, element: ValueType) -> Option<(Check, ir::Type)> {
    let check = match element {
        ValueType::Bool => Check::Bool,
        ValueType::Char => Check::Char,
        ValueType::Def(id) => match types.def(id) {
            TypeDef::Enum(names) => Check::Discriminant(names.len() as i64),
            TypeDef::Flags(names) => Check::Mask((1 << names.len()) - 1),
            _ => return None,
        },
        _ => return None,
    };
    // None of these depends on the width of pointers.
    match types.abi(element).layout.at(PointerWidth::W32).size {
        1 => Some((check, types::I8X16)),
        2 => Some((check, types::I16X8)),
        4 => Some((check, types::I32X4)),
        _ => None,
    }
}

impl Copier<'_, '_> {
    /// Copies as many of `size` bytes of elements as fill vectors; returns the remaining size, and
    /// source and destination of the rest.
    pub(super) fn copy_vectors(
        &mut self,
        (check, ty): (Check, ir::Type),
        size: Value,
        src: Place,
        dst: Place,
    ) -> (Value, Place, Place) {
        let whole = self.builder.ins().band_imm_s(size, -VECTOR_SIZE);
        let end = self.builder.ins().iadd(src.addr, whole);
        let body = self.builder.create_block();
        let done = self.builder.create_block();
        let src_addr = self.builder.append_block_param(body, types::I64);
        let dst_addr = self.builder.append_block_param(body, types::I64);
        let start = [BlockArg::from(src.addr), BlockArg::from(dst.addr)];
        self.builder.ins().brif(whole, body, &start, done, &[]);

        self.builder.switch_to_block(body);
        self.checks.emit(self.builder, self.context);
        let flags = MemFlagsData::new().with_notrap();
        let elements = self.builder.ins().load(ty, flags, src_addr, 0);
        let elements = self.check_vector(check, ty, elements);
        self.builder.ins().store(flags, elements, dst_addr, 0);
        let next_src = self.builder.ins().iadd_imm_u(src_addr, VECTOR_SIZE);
        let next_dst = self.builder.ins().iadd_imm_u(dst_addr, VECTOR_SIZE);
        let more = self.builder.ins().icmp(IntCC::NotEqual, next_src, end);
        let next = [BlockArg::from(next_src), BlockArg::from(next_dst)];
        self.builder.ins().brif(more, body, &next, done, &[]);

        self.builder.switch_to_block(done);
        let rest = self.builder.ins().isub(size, whole);
        let dst_end = self.builder.ins().iadd(dst.addr, whole);
        (rest, Place::new(end), Place::new(dst_end))
    }

    fn check_vector(&mut self, check: Check, ty: ir::Type, elements: Value) -> Value {
        match check {
            Check::Bool => {
                let zero = self.splat(ty, 0);
                // All ones in lanes that are false.
                let is_false = self.builder.ins().icmp(IntCC::Equal, elements, zero);
                let one = self.splat(ty, 1);
                self.builder.ins().iadd(is_false, one)
            }
            Check::Char => {
                // The check is that of a single char.
                let surrogates = self.splat(ty, 0xd800);
                let moved = self.builder.ins().bxor(elements, surrogates);
                let distance = self.splat(ty, -0x800);
                let moved = self.builder.ins().iadd(moved, distance);
                self.trap_if_any_beyond(ty, moved, 0x10_f7ff, TrapCode::InvalidChar);
                elements
            }
            Check::Discriminant(count) => {
                let invalid = TrapCode::InvalidDiscriminant;
                self.trap_if_any_beyond(ty, elements, count - 1, invalid);
                elements
            }
            Check::Mask(mask) => {
                let mask = self.splat(ty, mask);
                self.builder.ins().band(elements, mask)
            }
        }
    }

    /// Traps if any element, as an unsigned number, is more than `most`. Only signed comparison is
    /// one instruction on every CPU, so the sign bits of both sides are flipped.
    fn trap_if_any_beyond(&mut self, ty: ir::Type, elements: Value, most: i64, code: TrapCode) {
        let least = -1i64 << (ty.lane_bits() - 1);
        let sign = self.splat(ty, least);
        let moved = self.builder.ins().bxor(elements, sign);
        let limit = self.splat(ty, most ^ least);
        let is_beyond = self
            .builder
            .ins()
            .icmp(IntCC::SignedGreaterThan, moved, limit);
        let lanes = self.builder.ins().vhigh_bits(types::I32, is_beyond);
        self.trap_if(lanes, code);
    }

    /// A vector of the low bits of this number.
    fn splat(&mut self, ty: ir::Type, value: i64) -> Value {
        let lane = ty.lane_type();
        let mask = !0u64 >> (64 - lane.bits());
        let value = (value as u64 & mask) as i64;
        let value = self.builder.ins().iconst(lane, value);
        self.builder.ins().splat(ty, value)
    }
}

//! Types that have one flat value: numbers, bools, chars, flags.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cwasm_format::TrapCode;
use cwasm_format::abi::discriminant_size;
use cwasm_format::types::ValueType;

use super::{Copier, Place};
use crate::ir::flags::trusted;

impl Copier<'_, '_> {
    /// Checks and converts the flat value of a primitive type.
    pub(super) fn scalar(&mut self, ty: ValueType, value: Value) -> Value {
        let ins = self.builder.ins();
        match ty {
            ValueType::Bool => {
                let is_true = ins.icmp_imm_u(IntCC::NotEqual, value, 0);
                self.builder.ins().uextend(types::I32, is_true)
            }
            ValueType::U8 => ins.band_imm_u(value, 0xff),
            ValueType::U16 => ins.band_imm_u(value, 0xffff),
            ValueType::S8 => {
                let low = ins.ireduce(types::I8, value);
                self.builder.ins().sextend(types::I32, low)
            }
            ValueType::S16 => {
                let low = ins.ireduce(types::I16, value);
                self.builder.ins().sextend(types::I32, low)
            }
            ValueType::Char => {
                self.check_char(value);
                value
            }
            _ => value,
        }
    }

    /// Copies the value of a primitive type that [`is_plain`](super::sizes::Sharing::is_plain) does
    /// not cover: bools and chars.
    pub(super) fn checked_scalar(&mut self, ty: ValueType, src: Place, dst: Place) {
        match ty {
            ValueType::Bool => {
                let value = self.load_uint(src, 1);
                let value = self.scalar(ty, value);
                self.store_uint(value, dst, 1);
            }
            ValueType::Char => {
                let value = self.load_uint(src, 4);
                self.check_char(value);
                self.store_uint(value, dst, 4);
            }
            _ => unreachable!("numbers are plain, and strings are not scalars"),
        }
    }

    /// Traps if the value is not a Unicode scalar value: below 0x110000, and not in 0xd800..0xe000.
    /// The exclusive or moves that range to 0..0x800, and the subtraction wraps it to the end of
    /// the numbers.
    fn check_char(&mut self, value: Value) {
        let moved = self.builder.ins().bxor_imm_u(value, 0xd800);
        let moved = self.builder.ins().iadd_imm_s(moved, -0x800);
        let is_bad = self.builder.ins().icmp_imm_u(
            IntCC::UnsignedGreaterThanOrEqual,
            moved,
            0x11_0000 - 0x800,
        );
        self.trap_if(is_bad, TrapCode::InvalidChar);
    }

    /// Clears the bits that do not stand for a flag.
    pub(super) fn mask_flags(&mut self, value: Value, count: usize) -> Value {
        match count {
            32.. => value,
            count => {
                let mask = (1i64 << count) - 1;
                self.builder.ins().band_imm_u(value, mask)
            }
        }
    }

    /// Traps if the discriminant of a type without payloads is not one of its cases.
    pub(super) fn check_discriminant(&mut self, value: Value, cases: usize) {
        let at_least = IntCC::UnsignedGreaterThanOrEqual;
        let is_bad = self.builder.ins().icmp_imm_u(at_least, value, cases as i64);
        self.trap_if(is_bad, TrapCode::InvalidDiscriminant);
    }

    /// The discriminant of a variant in memory.
    pub(super) fn load_discriminant(&mut self, src: Place, cases: usize) -> Value {
        self.load_uint(src, discriminant_size(cases))
    }

    pub(super) fn store_discriminant(&mut self, value: Value, dst: Place, cases: usize) {
        self.store_uint(value, dst, discriminant_size(cases));
    }

    /// An unsigned integer of this many bytes: 32 bits, or 64 for 8 bytes.
    pub(super) fn load_uint(&mut self, src: Place, size: u32) -> Value {
        let ins = self.builder.ins();
        match size {
            1 => ins.uload8(types::I32, trusted(), src.addr, src.offset),
            2 => ins.uload16(types::I32, trusted(), src.addr, src.offset),
            4 => ins.load(types::I32, trusted(), src.addr, src.offset),
            _ => ins.load(types::I64, trusted(), src.addr, src.offset),
        }
    }

    pub(super) fn store_uint(&mut self, value: Value, dst: Place, size: u32) {
        let ins = self.builder.ins();
        match size {
            1 => ins.istore8(trusted(), value, dst.addr, dst.offset),
            2 => ins.istore16(trusted(), value, dst.addr, dst.offset),
            _ => ins.store(trusted(), value, dst.addr, dst.offset),
        };
    }
}

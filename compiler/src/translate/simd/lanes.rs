//! Access to single lanes, and operators that move lanes.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8X16, I32, I64};
use cranelift_codegen::ir::{
    ConstantData, InstBuilder, MemFlagsData, Opcode, StackSlotData, StackSlotKind, Type, Value,
};

use super::Translator;
use crate::isa;

impl Translator<'_, '_> {
    pub(super) fn splat(&mut self, ty: Type) {
        let value = self.pop();
        let result = self.emit.builder.ins().splat(ty, value);
        self.push_vector(result);
    }

    /// As `splat`, of the low bits of an `i32`.
    pub(super) fn splat_narrow(&mut self, ty: Type) {
        self.unary(|ins, value| ins.ireduce(ty.lane_type(), value));
        self.splat(ty);
    }

    pub(super) fn extract(&mut self, ty: Type, lane: u8) {
        let a = self.pop_vector(ty);
        let value = self.emit.builder.ins().extractlane(a, lane);
        self.push(value);
    }

    /// As `extract`, extended to an `i32`.
    pub(super) fn extract_narrow(&mut self, ty: Type, lane: u8, extend: Opcode) {
        self.extract(ty, lane);
        let value = self.pop();
        let value = self.unary_inst(extend, I32, value);
        self.push(value);
    }

    pub(super) fn replace(&mut self, ty: Type, lane: u8) {
        let value = self.pop();
        let a = self.pop_vector(ty);
        let result = self.emit.builder.ins().insertlane(a, value, lane);
        self.push_vector(result);
    }

    /// As `replace`, by the low bits of an `i32`.
    pub(super) fn replace_narrow(&mut self, ty: Type, lane: u8) {
        self.unary(|ins, value| ins.ireduce(ty.lane_type(), value));
        self.replace(ty, lane);
    }

    pub(super) fn shuffle(&mut self, lanes: &[u8; 16]) {
        let (a, b) = self.pop2_vectors(I8X16);
        let result = if self.has_byte_shuffle() {
            let lanes = ConstantData::from(&lanes[..]);
            let lanes = self.emit.builder.func.dfg.immediates.push(lanes);
            self.emit.builder.ins().shuffle(a, b, lanes)
        } else {
            self.shuffle_lane_by_lane(a, b, lanes)
        };
        self.push_vector(result);
    }

    pub(super) fn swizzle(&mut self) {
        let (a, indices) = self.pop2_vectors(I8X16);
        let result = if self.has_byte_shuffle() {
            self.emit.builder.ins().swizzle(a, indices)
        } else {
            self.swizzle_lane_by_lane(a, indices)
        };
        self.push_vector(result);
    }

    /// Whether the CPU picks the bytes of a vector by a vector of indices.
    fn has_byte_shuffle(&self) -> bool {
        isa::swizzle(self.isa).is_some()
    }

    fn shuffle_lane_by_lane(&mut self, a: Value, b: Value, lanes: &[u8; 16]) -> Value {
        let mut result = a;
        for (place, lane) in (0..).zip(lanes) {
            let from = if *lane < 16 { a } else { b };
            let value = self.emit.builder.ins().extractlane(from, lane % 16);
            result = self.emit.builder.ins().insertlane(result, value, place);
        }
        result
    }

    /// Looks the lanes up in memory.
    fn swizzle_lane_by_lane(&mut self, a: Value, indices: Value) -> Value {
        const LANES: u8 = 16;
        let builder = &mut *self.emit.builder;
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, LANES.into(), 4);
        let slot = builder.create_sized_stack_slot(slot);
        let slot = builder.ins().stack_addr(I64, slot, 0);
        let flags = MemFlagsData::trusted();
        builder.ins().store(flags, a, slot, 0);
        let zero = builder.ins().iconst(I32, 0);
        let mut result = indices;
        for lane in 0..LANES {
            let index = builder.ins().extractlane(indices, lane);
            let index = builder.ins().uextend(I64, index);
            let inside = builder
                .ins()
                .icmp_imm_u(IntCC::UnsignedLessThan, index, i64::from(LANES));
            let wrapped = builder.ins().band_imm_u(index, i64::from(LANES - 1));
            let addr = builder.ins().iadd(slot, wrapped);
            let found = builder.ins().uload8(I32, flags, addr, 0);
            let value = builder.ins().select(inside, found, zero);
            let value = builder.ins().ireduce(I8X16.lane_type(), value);
            result = builder.ins().insertlane(result, value, lane);
        }
        result
    }
}

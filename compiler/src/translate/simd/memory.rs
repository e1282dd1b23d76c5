//! Loads and stores of vectors. Each accesses exactly the bytes that the operator names: a lane is
//! loaded and stored as a scalar.

use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value};
use wasmparser::MemArg;

use super::Translator;

impl Translator<'_, '_> {
    /// Loads lanes of type `ty`.
    pub(super) fn vector_load(&mut self, memarg: &MemArg, opcode: Opcode, ty: Type) {
        let index = self.pop();
        let value = self.emit.load(memarg, index, opcode, ty);
        self.push_vector(value);
    }

    pub(super) fn vector_store(&mut self, memarg: &MemArg) {
        let (index, value) = self.pop2();
        let value = self.uncast(value);
        self.emit.store(memarg, index, Opcode::Store, value);
    }

    pub(super) fn load_splat(&mut self, memarg: &MemArg, ty: Type) {
        let value = self.pop_and_load(memarg, ty);
        let result = self.emit.builder.ins().splat(ty, value);
        self.push_vector(result);
    }

    pub(super) fn load_zero(&mut self, memarg: &MemArg, ty: Type) {
        let value = self.pop_and_load(memarg, ty);
        let result = self.emit.builder.ins().scalar_to_vector(ty, value);
        self.push_vector(result);
    }

    pub(super) fn load_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) {
        let a = self.pop_vector(ty);
        let value = self.pop_and_load(memarg, ty);
        let result = self.emit.builder.ins().insertlane(a, value, lane);
        self.push_vector(result);
    }

    pub(super) fn store_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) {
        let a = self.pop_vector(ty);
        let index = self.pop();
        let value = self.emit.builder.ins().extractlane(a, lane);
        self.emit.store(memarg, index, Opcode::Store, value);
    }

    /// Loads one lane of `ty`.
    fn pop_and_load(&mut self, memarg: &MemArg, ty: Type) -> Value {
        let index = self.pop();
        self.emit.load(memarg, index, Opcode::Load, ty.lane_type())
    }
}

//! Vectors: the operators of the proposals simd and relaxed-simd, one file per family.
//!
//! Every vector on the operand stack is an `i8x16`, so that locals, blocks, calls and globals need
//! not know about lanes. An operator casts its operands to the lanes that it works on and its
//! result back. A cast of a cast is a cast of the original value, so that the operators of an
//! expression are connected directly; no cast becomes an instruction of the CPU.
//!
//! Below SSE4.1 and SSSE3, where Cranelift would call a C library, a few operators work lane by
//! lane: rounding, `shuffle`, `swizzle` and the unsigned conversion of `f64x2`.

mod float;
mod integer;
mod lanes;
mod memory;
mod operators;
mod relaxed;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::types::I8X16;
use cranelift_codegen::ir::{
    Endianness, Inst, InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value, ValueDef,
};

use super::operators::Translator;

/// Operands and results.
impl Translator<'_, '_> {
    fn pop_vector(&mut self, ty: Type) -> Value {
        let value = self.pop();
        self.as_lanes(value, ty)
    }

    fn pop2_vectors(&mut self, ty: Type) -> (Value, Value) {
        let b = self.pop_vector(ty);
        (self.pop_vector(ty), b)
    }

    fn push_vector(&mut self, value: Value) {
        let value = self.cast(value, I8X16);
        self.push(value);
    }

    fn vector_unary(&mut self, opcode: Opcode, ty: Type) {
        let a = self.pop_vector(ty);
        let result = self.unary_inst(opcode, ty, a);
        self.push_vector(result);
    }

    fn vector_binary(&mut self, opcode: Opcode, ty: Type) {
        let (a, b) = self.pop2_vectors(ty);
        let result = self.binary_inst(opcode, ty, a, b);
        self.push_vector(result);
    }

    /// An operator from lanes of type `from` to lanes of type `to`.
    fn vector_convert(&mut self, opcode: Opcode, from: Type, to: Type) {
        let a = self.pop_vector(from);
        let result = self.unary_inst(opcode, to, a);
        self.push_vector(result);
    }

    fn unary_inst(&mut self, opcode: Opcode, ty: Type, a: Value) -> Value {
        let (inst, dfg) = self.emit.builder.ins().Unary(opcode, ty, a);
        dfg.first_result(inst)
    }

    fn binary_inst(&mut self, opcode: Opcode, ty: Type, a: Value, b: Value) -> Value {
        let (inst, dfg) = self.emit.builder.ins().Binary(opcode, ty, a, b);
        dfg.first_result(inst)
    }
}

/// Casts between lanes.
impl Translator<'_, '_> {
    /// A vector with lanes of type `ty`.
    fn as_lanes(&mut self, value: Value, ty: Type) -> Value {
        let value = self.uncast(value);
        match self.definition(value) {
            Some((
                _,
                InstructionData::UnaryConst {
                    constant_handle, ..
                },
            )) => self.emit.builder.ins().vconst(ty, constant_handle),
            Some((
                load,
                InstructionData::Load {
                    opcode: Opcode::Load,
                    ..
                },
            )) => self.retype_load(load, value, ty),
            _ => self.cast(value, ty),
        }
    }

    /// The value that a vector is a cast of.
    fn uncast(&self, value: Value) -> Value {
        match self.definition(value) {
            Some((
                _,
                InstructionData::LoadNoOffset {
                    opcode: Opcode::Bitcast,
                    arg,
                    ..
                },
            )) if self.value_type(arg).is_vector() => arg,
            _ => value,
        }
    }

    /// Changes the type of a load to lanes of type `ty`, so that it can become an operand of an
    /// instruction on such lanes. Earlier uses of the load get a cast of it.
    ///
    /// Only with AVX: without it, operands in memory must be aligned, and Cranelift does not ensure
    /// that for comparisons of floats. All levels with AVX have FMA, which is tested here.
    fn retype_load(&mut self, load: Inst, value: Value, ty: Type) -> Value {
        let old = self.value_type(value);
        if old != I8X16 || ty == I8X16 || !self.isa.has_native_fma() {
            return self.cast(value, ty);
        }
        let func = &mut *self.emit.builder.func;
        let value = func.dfg.resolve_aliases(value);
        let loaded = func.dfg.replace_result(value, ty);
        FuncCursor::new(func)
            .after_inst(load)
            .ins()
            .with_result(value)
            .bitcast(old, cast_flags(), loaded);
        loaded
    }

    fn cast(&mut self, value: Value, ty: Type) -> Value {
        if self.value_type(value) == ty {
            return value;
        }
        self.emit.builder.ins().bitcast(ty, cast_flags(), value)
    }

    fn value_type(&self, value: Value) -> Type {
        self.emit.builder.func.dfg.value_type(value)
    }

    /// The instruction that a value is the result of.
    fn definition(&self, value: Value) -> Option<(Inst, InstructionData)> {
        let dfg = &self.emit.builder.func.dfg;
        match dfg.value_def(value) {
            ValueDef::Result(inst, _) => Some((inst, dfg.insts[inst])),
            _ => None,
        }
    }
}

/// Flags of casts: lanes of other sizes are those that occupy the same bytes in memory.
fn cast_flags() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

//! The code at the boundaries of components: thunks from the host into wasm, trampolines from wasm
//! to the host, and adapters from one component to another, generated directly as Cranelift IR.
//! [`cwasm_format::code`] documents the calling conventions.

pub(crate) mod adapter;
pub(crate) mod concurrent;
pub(crate) mod handles;
mod short;
pub(crate) mod thunk;
pub(crate) mod trampoline;

use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::FunctionBuilder;

/// Converts a flat value to the `u64` that crosses the boundary.
pub(crate) fn to_bits(builder: &mut FunctionBuilder<'_>, value: Value) -> Value {
    match builder.func.dfg.value_type(value) {
        types::I64 => value,
        types::I32 => builder.ins().uextend(types::I64, value),
        types::F32 => {
            let bits = builder
                .ins()
                .bitcast(types::I32, MemFlagsData::new(), value);
            builder.ins().uextend(types::I64, bits)
        }
        types::F64 => builder
            .ins()
            .bitcast(types::I64, MemFlagsData::new(), value),
        ty => unreachable!("no flat value has type {ty}"),
    }
}

/// Converts the `u64` that crossed the boundary to a flat value of type `ty`.
pub(crate) fn from_bits(builder: &mut FunctionBuilder<'_>, ty: ir::Type, bits: Value) -> Value {
    match ty {
        types::I64 => bits,
        types::I32 => builder.ins().ireduce(types::I32, bits),
        types::F32 => {
            let bits = builder.ins().ireduce(types::I32, bits);
            builder.ins().bitcast(types::F32, MemFlagsData::new(), bits)
        }
        types::F64 => builder.ins().bitcast(types::F64, MemFlagsData::new(), bits),
        ty => unreachable!("no flat value has type {ty}"),
    }
}

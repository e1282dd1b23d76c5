//! The borders of components: thunks from the host into wasm, trampolines out of it, and adapters
//! from one component to another, generated straight as Cranelift IR. Conventions are documented
//! in [`cwasm_format::code`].

pub(crate) mod adapter;
pub(crate) mod handles;
mod short;
pub(crate) mod thunk;
pub(crate) mod trampoline;

use cranelift_codegen::ir::{self, AbiParam, InstBuilder, MemFlagsData, Signature, Value, types};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;

/// Flags of accesses to the context and to other memory of ours: aligned, never trap.
pub(crate) fn trusted() -> MemFlagsData {
    MemFlagsData::trusted()
}

/// A flat value as the `u64` that crosses the border.
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

/// The flat value of type `ty` in the `u64` that crossed the border.
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

/// A signature of the C ABI with these numbers of `u64` parameters and results.
pub(crate) fn host_signature(params: usize, returns: usize) -> Signature {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params = vec![AbiParam::new(types::I64); params];
    signature.returns = vec![AbiParam::new(types::I64); returns];
    signature
}

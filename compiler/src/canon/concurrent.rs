//! Built-in functions of the asynchronous ABI, and calls that go through the loader.

use std::mem::offset_of;

use cranelift_codegen::ir::{self, InstBuilder, StackSlotData, StackSlotKind, types};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::builtin::Builtin;
use cwasm_format::vmctx::VmConcurrent;

use super::{from_bits, to_bits};
use crate::ir::flags::trusted;
use crate::ir::function::{begin, declare_function, symbol_address};
use crate::ir::symbol::Symbol;
use crate::ir::types::builtin_signature;

/// Bytes of one value in the array of an operation.
const VALUE_SIZE: u32 = 8;

/// Builds the core function of operation `op`, which the loader does.
pub(crate) fn op(builder: &mut FunctionBuilder<'_>, signature: &ir::Signature, op: u32) {
    let entry = begin(builder, signature.clone());
    let params = builder.block_params(entry).to_vec();
    let count = (params.len() as u32 - 1).max(1);
    let values = StackSlotData::new(StackSlotKind::ExplicitSlot, count * VALUE_SIZE, 3);
    let values = builder.create_sized_stack_slot(values);
    let values = builder.ins().stack_addr(types::I64, values, 0);
    for (place, param) in params[1..].iter().enumerate() {
        let bits = to_bits(builder, *param);
        let offset = place as i32 * VALUE_SIZE as i32;
        builder.ins().store(trusted(), bits, values, offset);
    }
    let record = symbol_address(builder, Symbol::Op(op));
    let callee = builder
        .func
        .import_signature(builtin_signature(Builtin::Concurrent));
    let callee = declare_function(builder.func, Symbol::Builtin(Builtin::Concurrent), callee);
    builder.ins().call(callee, &[params[0], record, values]);
    let results: Vec<_> = signature
        .returns
        .iter()
        .map(|result| {
            let bits = builder.ins().load(types::I64, trusted(), values, 0);
            from_bits(builder, result.value_type, bits)
        })
        .collect();
    builder.ins().return_(&results);
}

/// Builds `context.get` or `context.set` of the storage at this place, of the instance whose
/// `VmConcurrent` is at this context offset.
pub(crate) fn context(
    builder: &mut FunctionBuilder<'_>,
    signature: &ir::Signature,
    instance: u32,
    place: u32,
) {
    let entry = begin(builder, signature.clone());
    let params = builder.block_params(entry).to_vec();
    let offset = instance as usize + offset_of!(VmConcurrent, storage) + 8 * place as usize;
    let offset = offset as i32;
    match (params.get(1), signature.returns.first()) {
        (Some(value), _) => {
            let bits = to_bits(builder, *value);
            builder.ins().store(trusted(), bits, params[0], offset);
            builder.ins().return_(&[]);
        }
        (None, result) => {
            let ty = result.map_or(types::I64, |result| result.value_type);
            let value = builder.ins().load(ty, trusted(), params[0], offset);
            builder.ins().return_(&[value]);
        }
    }
}

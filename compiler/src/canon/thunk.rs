//! Thunks, through which the host enters wasm.

use std::mem::offset_of;

use cranelift_codegen::ir::{
    self, AbiParam, BlockArg, BlockCall, ExceptionTableData, ExceptionTableItem, InstBuilder,
    StackSlotData, StackSlotKind, Value, types,
};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::vmctx::VmContext;

use super::{from_bits, to_bits};
use crate::ir::flags::trusted;
use crate::ir::function::{begin, declare_function};
use crate::ir::symbol::Symbol;
use crate::ir::types::host_signature;

/// Bytes of one value in the array of an array thunk.
pub(crate) const VALUE_SIZE: i32 = 16;

/// The function that a thunk calls.
enum Callee {
    Direct(ir::FuncRef),
    Indirect(Value),
}

/// Builds a thunk that calls `callee`, a function of signature `signature` in the same unit. After
/// a trap, nothing of the instance can be entered again.
pub(crate) fn thunk(builder: &mut FunctionBuilder<'_>, callee: Symbol, signature: &ir::Signature) {
    let entry = begin(builder, host_signature(signature.params.len(), 2));
    let params = builder.block_params(entry).to_vec();
    let args = signature
        .params
        .iter()
        .zip(params)
        .map(|(param, bits)| from_bits(builder, param.value_type, bits))
        .collect::<Vec<_>>();
    let slot = keep_context(builder, args[0]);
    let callee_signature = builder.func.import_signature(signature.clone());
    let callee = declare_function(builder.func, callee, callee_signature);
    let results = enter(
        builder,
        &Callee::Direct(callee),
        &args,
        signature,
        |builder| {
            let context = builder.ins().stack_load(types::I64, types::I64, slot, 0);
            let one = builder.ins().iconst(types::I32, 1);
            let closed = offset_of!(VmContext, closed) as i32;
            builder.ins().store(trusted(), one, context, closed);
        },
    );
    let value = match results.first() {
        Some(value) => to_bits(builder, *value),
        None => builder.ins().iconst(types::I64, 0),
    };
    return_ok(builder, value);
}

/// Builds the array thunk of a core function type: parameters `(context, code, values)`.
pub(crate) fn array_thunk(builder: &mut FunctionBuilder<'_>, signature: &ir::Signature) {
    let entry = begin(builder, host_signature(3, 2));
    let [context, code, values] = *builder.block_params(entry) else {
        unreachable!("the signature has three parameters")
    };
    keep_context(builder, context);
    let mut args = vec![context];
    for (place, param) in signature.params[1..].iter().enumerate() {
        let offset = place as i32 * VALUE_SIZE;
        args.push(
            builder
                .ins()
                .load(param.value_type, trusted(), values, offset),
        );
    }
    // Core modules may be entered after a trap, and the callee may be the host's.
    let results = enter(builder, &Callee::Indirect(code), &args, signature, |_| {});
    for (place, result) in results.into_iter().enumerate() {
        builder
            .ins()
            .store(trusted(), result, values, place as i32 * VALUE_SIZE);
    }
    let zero = builder.ins().iconst(types::I64, 0);
    return_ok(builder, zero);
}

/// Stores the thunk's first argument where a signal handler finds it: in the only stack slot.
fn keep_context(builder: &mut FunctionBuilder<'_>, context: Value) -> ir::StackSlot {
    let size = types::I64.bytes();
    let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, size, size.ilog2() as u8);
    let slot = builder.create_sized_stack_slot(slot);
    builder.ins().stack_store(types::I64, context, slot, 0);
    slot
}

fn return_ok(builder: &mut FunctionBuilder<'_>, value: Value) {
    let status = builder.ins().iconst(types::I64, 0);
    builder.ins().return_(&[value, status]);
}

/// Calls into wasm. A trap resumes in a block that runs the code of `on_trap` and returns the
/// trap's number as the status. Leaves the builder after the call, and returns the call's results.
fn enter(
    builder: &mut FunctionBuilder<'_>,
    callee: &Callee,
    args: &[Value],
    signature: &ir::Signature,
    on_trap: impl FnOnce(&mut FunctionBuilder<'_>),
) -> Vec<Value> {
    let returned = builder.create_block();
    let trapped = builder.create_block();
    let results: Vec<Value> = signature
        .returns
        .iter()
        .map(|AbiParam { value_type, .. }| builder.append_block_param(returned, *value_type))
        .collect();
    let status = builder.append_block_param(trapped, types::I64);

    let signature = builder.func.import_signature(signature.clone());
    let pool = &mut builder.func.dfg.value_lists;
    let returns = (0..results.len() as u32).map(BlockArg::TryCallRet);
    let normal = BlockCall::new(returned, returns, pool);
    let exceptional = BlockCall::new(trapped, [BlockArg::TryCallExn(0)], pool);
    let handlers = [ExceptionTableItem::Default(exceptional)];
    let table = ExceptionTableData::new(signature, normal, handlers);
    let table = builder.func.dfg.exception_tables.push(table);
    match *callee {
        Callee::Direct(func) => builder.ins().try_call(func, args, table),
        Callee::Indirect(code) => builder.ins().try_call_indirect(code, args, table),
    };

    builder.switch_to_block(trapped);
    builder.seal_block(trapped);
    on_trap(builder);
    let zero = builder.ins().iconst(types::I64, 0);
    builder.ins().return_(&[zero, status]);
    builder.switch_to_block(returned);
    builder.seal_block(returned);
    results
}

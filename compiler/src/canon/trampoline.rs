//! Trampolines, through which wasm calls the host.
//!
//! Each first checks that enough stack is left for the host. If a host function fails, the
//! trampoline raises the trap from its own frame: no frame of the host is unwound.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, InstBuilder, StackSlotData, StackSlotKind, Value, types};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use cwasm_format::TrapCode;
use cwasm_format::builtin::{Builtin, Returns};
use cwasm_format::vmctx::{VmContext, VmFuncImport, VmHostFunc, VmHostImport, VmStore, flags};

use super::short::return_short;
use super::thunk::VALUE_SIZE;
use super::{from_bits, to_bits};
use crate::ir::check::Checks;
use crate::ir::flags::trusted;
use crate::ir::function::{begin, symbol_address};
use crate::ir::symbol::Symbol;
use crate::ir::trap::trap_code;
use crate::ir::types::{builtin_signature, host_signature};

/// Builds a function that tail-calls the one whose `VmFuncImport` is at this context offset.
pub(crate) fn bridge(builder: &mut FunctionBuilder<'_>, signature: &ir::Signature, slot: u32) {
    let entry = begin(builder, signature.clone());
    let mut args = builder.block_params(entry).to_vec();
    let mut load = |field: usize| {
        let offset = slot as i32 + field as i32;
        builder.ins().load(types::I64, trusted(), args[0], offset)
    };
    let code = load(offset_of!(VmFuncImport, code));
    let context = load(offset_of!(VmFuncImport, context));
    args[0] = context;
    let signature = builder.func.import_signature(signature.clone());
    builder.ins().return_call_indirect(signature, code, &args);
}

/// Builds the trampoline of a lowered host function.
///
/// `flags_offset` is the context offset of the calling instance's flags, `slot` that of the
/// function's `VmHostImport`, `lower` the index of its `LowerRecord`.
pub(crate) fn lower(
    builder: &mut FunctionBuilder<'_>,
    signature: &ir::Signature,
    flags_offset: u32,
    slot: u32,
    lower: u32,
) {
    let entry = begin(builder, signature.clone());
    let params = builder.block_params(entry).to_vec();
    let context = params[0];

    let flags = builder
        .ins()
        .load(types::I32, trusted(), context, flags_offset as i32);
    let may_leave = builder.ins().band_imm_s(flags, i64::from(flags::MAY_LEAVE));
    builder
        .ins()
        .trapz(may_leave, trap_code(TrapCode::CannotLeave));
    let store = load_store(builder, context);
    check_stack(builder, store);

    let slot = slot as i32;
    let code_offset = slot + offset_of!(VmHostImport, code) as i32;
    let data_offset = slot + offset_of!(VmHostImport, data) as i32;
    let code = builder
        .ins()
        .load(types::I64, trusted(), context, code_offset);
    let data = builder
        .ins()
        .load(types::I64, trusted(), context, data_offset);
    let record = symbol_address(builder, Symbol::Lower(lower));
    let mut args = vec![data, context, record];
    for param in &params[1..] {
        args.push(to_bits(builder, *param));
    }
    let returned = call_host(builder, code, &args, 2);
    raise_unless_zero(builder, store, context, returned[1]);
    let results: Vec<Value> = signature
        .returns
        .iter()
        .map(|result| from_bits(builder, result.value_type, returned[0]))
        .collect();
    builder.ins().return_(&results);
}

/// Calls the host's destructor of a resource, if `slot`, the context offset of a `VmHostImport`,
/// holds one.
pub(crate) fn destructor(
    builder: &mut FunctionBuilder<'_>,
    (context, rep): (Value, Value),
    slot: u32,
) {
    let code_offset = slot as i32 + offset_of!(VmHostImport, code) as i32;
    let data_offset = slot as i32 + offset_of!(VmHostImport, data) as i32;
    let (found, done) = (builder.create_block(), builder.create_block());
    let code = builder
        .ins()
        .load(types::I64, trusted(), context, code_offset);
    builder.ins().brif(code, found, &[], done, &[]);

    builder.switch_to_block(found);
    let store = load_store(builder, context);
    check_stack(builder, store);
    let data = builder
        .ins()
        .load(types::I64, trusted(), context, data_offset);
    let rep = to_bits(builder, rep);
    let returned = call_host(builder, code, &[data, context, rep], 2);
    raise_unless_zero(builder, store, context, returned[1]);
    builder.ins().jump(done, &[]);
    builder.switch_to_block(done);
}

/// Builds the trampoline through which an open unit calls host functions of a core type. Its
/// context argument is a `VmHostFunc`.
pub(crate) fn host_func(builder: &mut FunctionBuilder<'_>, signature: &ir::Signature) {
    let entry = begin(builder, signature.clone());
    let params = builder.block_params(entry).to_vec();
    let host_func = params[0];
    let store = load_store(builder, host_func);
    check_stack(builder, store);

    let slots = (params.len() - 1).max(signature.returns.len()) as u32;
    let size = slots * VALUE_SIZE as u32;
    let values = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4);
    let values = builder.create_sized_stack_slot(values);
    let values = builder.ins().stack_addr(types::I64, values, 0);
    for (place, param) in params[1..].iter().enumerate() {
        builder
            .ins()
            .store(trusted(), *param, values, place as i32 * VALUE_SIZE);
    }
    let code_offset = offset_of!(VmHostFunc, code) as i32;
    let data_offset = offset_of!(VmHostFunc, data) as i32;
    let code = builder
        .ins()
        .load(types::I64, trusted(), host_func, code_offset);
    let data = builder
        .ins()
        .load(types::I64, trusted(), host_func, data_offset);
    let returned = call_host(builder, code, &[data, store, values], 2);
    raise_unless_zero(builder, store, host_func, returned[1]);
    let mut results = Vec::new();
    for (place, result) in signature.returns.iter().enumerate() {
        let offset = place as i32 * VALUE_SIZE;
        results.push(
            builder
                .ins()
                .load(result.value_type, trusted(), values, offset),
        );
    }
    builder.ins().return_(&results);
}

/// Builds the trampoline to a builtin. An interrupt check follows the call: in interruptible code,
/// builtins return early, with any result, if the host wants it to stop.
pub(crate) fn builtin(builder: &mut FunctionBuilder<'_>, builtin: Builtin, mut checks: Checks) {
    let entry = begin(builder, builtin_signature(builtin));
    let params = builder.block_params(entry).to_vec();
    return_short(builder, builtin, &params);
    let store = load_store(builder, params[0]);
    check_stack(builder, store);

    // The trampoline's signature, but with the C ABI and the status as a result.
    let mut signature = builtin_signature(builtin);
    signature.call_conv = CallConv::SystemV;
    signature.params[0] = ir::AbiParam::new(types::I64);
    let throws = matches!(builtin, Builtin::Throw | Builtin::ThrowRef);
    if throws {
        signature.params.push(ir::AbiParam::new(types::I64));
    }
    if builtin.returns() == Returns::Status {
        signature.returns.push(ir::AbiParam::new(types::I64));
    }
    let signature = builder.func.import_signature(signature);
    let code = load_builtin(builder, store, builtin);
    let mut args = params.clone();
    if throws {
        args.push(builder.ins().get_frame_pointer(types::I64));
    }
    let call = builder.ins().call_indirect(signature, code, &args);
    let returned = builder.inst_results(call).to_vec();
    checks.emit(builder, params[0]);
    match builtin.returns() {
        Returns::Never => {
            builder.ins().trap(trap_code(TrapCode::Unreachable));
        }
        Returns::Status => {
            raise_unless_zero(builder, store, params[0], returned[0]);
            builder.ins().return_(&[]);
        }
        Returns::Value(_) => {
            builder.ins().return_(&returned);
        }
    }
}

/// The address of the `VmStore` from that of a `VmContext` or `VmHostFunc`.
fn load_store(builder: &mut FunctionBuilder<'_>, context: Value) -> Value {
    let offset = offset_of!(VmContext, store) as i32;
    builder
        .ins()
        .load(types::I64, trusted().with_readonly(), context, offset)
}

fn load_builtin(builder: &mut FunctionBuilder<'_>, store: Value, builtin: Builtin) -> Value {
    let readonly = trusted().with_readonly();
    let offset = offset_of!(VmStore, builtins) as i32;
    let table = builder.ins().load(types::I64, readonly, store, offset);
    builder
        .ins()
        .load(types::I64, readonly, table, builtin.table_offset() as i32)
}

/// Traps if the stack pointer is below the limit at which the host may be called.
fn check_stack(builder: &mut FunctionBuilder<'_>, store: Value) {
    let offset = offset_of!(VmStore, stack_limit) as i32;
    let limit = builder.ins().load(types::I64, trusted(), store, offset);
    let stack = builder.ins().get_stack_pointer(types::I64);
    let exhausted = builder.ins().icmp(IntCC::UnsignedLessThan, stack, limit);
    builder
        .ins()
        .trapnz(exhausted, trap_code(TrapCode::StackOverflow));
}

/// Calls a host function with these `u64`s.
fn call_host(
    builder: &mut FunctionBuilder<'_>,
    code: Value,
    args: &[Value],
    returns: usize,
) -> Vec<Value> {
    let signature = builder
        .func
        .import_signature(host_signature(args.len(), returns));
    let call = builder.ins().call_indirect(signature, code, args);
    builder.inst_results(call).to_vec()
}

/// Raises a trap if the host returned a status. Leaves the builder in the block for success.
fn raise_unless_zero(
    builder: &mut FunctionBuilder<'_>,
    store: Value,
    context: Value,
    status: Value,
) {
    let failed = builder.create_block();
    let fine = builder.create_block();
    builder.set_cold_block(failed);
    builder.ins().brif(status, failed, &[], fine, &[]);

    builder.switch_to_block(failed);
    builder.seal_block(failed);
    let raise = load_builtin(builder, store, Builtin::Raise);
    let frame = builder.ins().get_frame_pointer(types::I64);
    call_host(builder, raise, &[context, status, frame], 0);
    builder.ins().trap(trap_code(TrapCode::Unreachable));

    builder.switch_to_block(fine);
    builder.seal_block(fine);
}

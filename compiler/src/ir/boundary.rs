//! Calls from one component into another: exceptions do not cross them.

use cranelift_codegen::ir::{
    self, BlockCall, ExceptionTableItem, ExceptionTag, InstBuilder, Value,
};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::TrapCode;
use cwasm_format::exceptions::catch;

use super::trap::trap_code;
use super::try_call::exception_table;

/// Calls a core function of another component instance; returns its results. An exception ends the
/// walk of its throw here, if the unit has any (`may_throw`).
pub(crate) fn call(
    builder: &mut FunctionBuilder<'_>,
    may_throw: bool,
    callee: ir::FuncRef,
    args: &[Value],
) -> Vec<Value> {
    if !may_throw {
        let call = builder.ins().call(callee, args);
        return builder.inst_results(call).to_vec();
    }
    let thrown = builder.create_block();
    builder.set_cold_block(thrown);
    let handler = BlockCall::new(thrown, [], &mut builder.func.dfg.value_lists);
    let boundary = ExceptionTag::from_u32(catch::BOUNDARY);
    let items = vec![ExceptionTableItem::Tag(boundary, handler)];
    let signature = builder.func.dfg.ext_funcs[callee].signature;
    let (returned, table) = exception_table(builder, signature, items);
    builder.ins().try_call(callee, args, table);

    builder.switch_to_block(thrown);
    builder.seal_block(thrown);
    // Nothing comes here: the walk ends before.
    let ins = builder.ins();
    ins.trap(trap_code(TrapCode::UncaughtException));

    builder.switch_to_block(returned);
    builder.seal_block(returned);
    builder.block_params(returned).to_vec()
}

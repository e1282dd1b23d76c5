//! Calls that have handlers of exceptions.

use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTable, ExceptionTableData, ExceptionTableItem, SigRef,
};
use cranelift_frontend::FunctionBuilder;

/// The table of a `try_call` with these handlers, and the block after it, whose parameters are the
/// results.
pub(crate) fn exception_table(
    builder: &mut FunctionBuilder<'_>,
    signature: SigRef,
    items: Vec<ExceptionTableItem>,
) -> (Block, ExceptionTable) {
    let returned = builder.create_block();
    let results = builder.func.dfg.signatures[signature].returns.clone();
    for result in &results {
        builder.append_block_param(returned, result.value_type);
    }
    let pool = &mut builder.func.dfg.value_lists;
    let places = (0..results.len() as u32).map(BlockArg::TryCallRet);
    let normal = BlockCall::new(returned, places, pool);
    let table = ExceptionTableData::new(signature, normal, items);
    (returned, builder.func.dfg.exception_tables.push(table))
}

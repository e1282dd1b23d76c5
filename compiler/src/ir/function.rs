//! Empties and starts functions, and lets them refer to symbols.

use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    self, ExtFuncData, ExternalName, FuncRef, GlobalValue, GlobalValueData, InstBuilder, Value,
};
use cranelift_frontend::FunctionBuilder;

use super::symbol::Symbol;

/// Starts the function's only code path; the builder stands in its entry block.
pub(crate) fn begin(builder: &mut FunctionBuilder<'_>, signature: ir::Signature) -> ir::Block {
    builder.func.signature = signature;
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    entry
}

/// Makes the function empty. Cranelift's own function leaves the exception tables of the one before
/// (version 0.135), and its passes go through all of them.
pub(crate) fn clear(func: &mut ir::Function) {
    func.clear();
    func.dfg.exception_tables.clear();
}

/// Declares that code calls `symbol`.
pub(crate) fn declare_function(
    func: &mut ir::Function,
    symbol: Symbol,
    signature: ir::SigRef,
) -> FuncRef {
    let name = func.declare_imported_user_function(symbol.to_name());
    let name = ExternalName::user(name);
    func.import_function(ExtFuncData {
        name,
        signature,
        colocated: true,
        patchable: false,
    })
}

/// Declares that code takes the address of `symbol`.
pub(crate) fn declare_symbol(func: &mut ir::Function, symbol: Symbol) -> GlobalValue {
    let name = func.declare_imported_user_function(symbol.to_name());
    let name = ExternalName::user(name);
    func.create_global_value(GlobalValueData::Symbol {
        name,
        offset: 0.into(),
        colocated: true,
        tls: false,
    })
}

/// The address of `symbol`.
pub(crate) fn symbol_address(builder: &mut FunctionBuilder<'_>, symbol: Symbol) -> Value {
    let symbol = declare_symbol(builder.func, symbol);
    builder.ins().symbol_value(I64, symbol)
}

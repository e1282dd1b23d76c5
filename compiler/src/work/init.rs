//! The functions that run at instantiation: the steps that could not be evaluated at compile time,
//! in the order of the specification.

use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::builtin::Builtin;

use crate::env::{Env, GlobalLoc, SegmentLoc, SegmentStart};
use crate::error::Result;
use crate::ir::function::{begin, declare_function};
use crate::ir::symbol::{FuncId, Symbol};
use crate::ir::types::core_signature;
use crate::layout::{Step, UnitLayout};
use crate::module::{ElementItems, SegmentMode};
use crate::translate::{Emitter, References};

/// Builds the function from steps of the unit.
pub(crate) fn build(
    builder: &mut FunctionBuilder<'_>,
    references: &mut References,
    unit: &UnitLayout<'_>,
    steps: &[Step],
) -> Result<()> {
    let entry = begin(builder, core_signature(&wasmparser::FuncType::new([], [])));
    let context = builder.block_params(entry)[0];
    for step in steps {
        let env = &unit.envs[step.instance() as usize];
        let mut emitter = Emitter::new(env, builder, context, references);
        match *step {
            Step::Global { index, .. } => global(&mut emitter, env, index)?,
            Step::TableFill { index, .. } => table_fill(&mut emitter, env, index)?,
            Step::ElementItem { segment, item, .. } => {
                element_item(&mut emitter, env, segment, item)?;
            }
            Step::Element { segment, .. } => element(&mut emitter, env, segment)?,
            Step::Data { segment, .. } => data(&mut emitter, env, segment)?,
            Step::Start { func, .. } => {
                emitter.call(func, &[]);
            }
            Step::Instantiate { .. } => unreachable!("steps are split there"),
        }
    }
    builder.ins().return_(&[]);
    Ok(())
}

/// Builds a function that calls `count` functions, from `first` on, which run steps.
pub(crate) fn calls(builder: &mut FunctionBuilder<'_>, first: FuncId, count: u32) {
    let signature = core_signature(&wasmparser::FuncType::new([], []));
    let entry = begin(builder, signature.clone());
    let context = builder.block_params(entry)[0];
    let signature = builder.import_signature(signature);
    for func in (first.0..first.0 + count).map(FuncId) {
        let callee = declare_function(builder.func, Symbol::Func(func), signature);
        builder.ins().call(callee, &[context]);
    }
    builder.ins().return_(&[]);
}

fn global(emitter: &mut Emitter<'_, '_>, env: &Env<'_>, index: u32) -> Result<()> {
    let own = (index - env.module.imported_globals) as usize;
    let value = emitter.const_expr(&env.module.global_inits[own])?;
    let GlobalLoc::Own { offset } = env.globals[index as usize] else {
        unreachable!("a global that is initialised here has a place");
    };
    store(emitter, value, offset);
    Ok(())
}

fn table_fill(emitter: &mut Emitter<'_, '_>, env: &Env<'_>, index: u32) -> Result<()> {
    let own = (index - env.module.imported_tables) as usize;
    let Some(expr) = &env.module.table_inits[own] else {
        unreachable!("a table that is filled here has an expression");
    };
    let value = emitter.const_expr(expr)?;
    let table = emitter.table_desc(index);
    let zero = emitter.builder.ins().iconst(types::I64, 0);
    let len = env.module.tables[index as usize].initial as i64;
    let len = emitter.builder.ins().iconst(types::I64, len);
    emitter.builtin(Builtin::TableFill, &[table, zero, value, len]);
    Ok(())
}

fn element_item(
    emitter: &mut Emitter<'_, '_>,
    env: &Env<'_>,
    segment: u32,
    item: u32,
) -> Result<()> {
    let value = match &env.module.elements[segment as usize].items {
        ElementItems::Exprs(exprs) => emitter.const_expr(&exprs[item as usize])?,
        ElementItems::Funcs(funcs) => emitter.ref_func(funcs[item as usize]),
    };
    let Some(SegmentLoc {
        start: SegmentStart::Context(start),
        ..
    }) = env.elements[segment as usize]
    else {
        unreachable!("segments of open units lie in the context");
    };
    store(emitter, value, start + 8 * item);
    Ok(())
}

fn element(emitter: &mut Emitter<'_, '_>, env: &Env<'_>, segment: u32) -> Result<()> {
    let element = &env.module.elements[segment as usize];
    let SegmentMode::Active { index, offset } = &element.mode else {
        unreachable!("only active segments are copied here");
    };
    let offset = emitter.const_expr(offset)?;
    let (start, len) = whole(emitter, element.items.len());
    emitter.table_init((*index, segment), offset, start, len);
    emitter.elem_drop(segment);
    Ok(())
}

fn data(emitter: &mut Emitter<'_, '_>, env: &Env<'_>, segment: u32) -> Result<()> {
    let data = &env.module.data[segment as usize];
    let SegmentMode::Active { index, offset } = &data.mode else {
        unreachable!("only active segments are copied here");
    };
    let offset = emitter.const_expr(offset)?;
    let (start, len) = whole(emitter, data.bytes.len());
    emitter.memory_init((*index, segment), offset, start, len);
    emitter.data_drop(segment);
    Ok(())
}

/// Start and length of a whole segment.
fn whole(emitter: &mut Emitter<'_, '_>, len: usize) -> (Value, Value) {
    let start = emitter.builder.ins().iconst(types::I64, 0);
    (start, emitter.builder.ins().iconst(types::I64, len as i64))
}

fn store(emitter: &mut Emitter<'_, '_>, value: Value, offset: u32) {
    let flags = MemFlagsData::trusted();
    emitter
        .builder
        .ins()
        .store(flags, value, emitter.vmctx, offset as i32);
}

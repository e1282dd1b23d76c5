//! Translates the body of a core function into Cranelift IR, validating it on the way.
//!
//! One pass: each operator is read once, validated, and translated. [`Emitter`] emits what an
//! operator does, given its operands as values; its methods are grouped by what they access, one
//! file each, and serve code that is not a function body too (instantiation, trampolines).
//! `operators` takes operands from the operand stack and puts results onto it; `control` keeps the
//! stack of control frames. Locals are variables of `cranelift-frontend`, which builds SSA form as
//! in Braun et al., "Simple and Efficient Construction of Static Single Assignment Form".
//!
//! **Invariants:** code that cannot be reached is validated but not translated. Nothing is
//! allocated or hashed per operator except by Cranelift: what a function refers to more than once
//! is remembered in [`References`], and all buffers live in [`TranslateState`].

mod atomic;
mod bounds;
mod bulk;
mod call;
mod const_expr;
mod control;
mod emit;
mod global;
mod interrupt;
mod memory;
mod numeric;
mod operators;
mod reference;
mod references;
mod simd;
mod table;
#[cfg(test)]
mod tests;
mod unroll;
mod wide;

use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{F32, F64, I8X16};
use cranelift_codegen::ir::{
    self, BlockArg, BlockCall, ConstantData, InstBuilder, SourceLoc, Value,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use wasmparser::{
    FuncValidator, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader,
    OperatorsReaderAllocations, ValidatorResources,
};

use self::control::Frame;
pub(crate) use self::emit::Emitter;
use self::operators::Translator;
pub(crate) use self::references::References;
use crate::env::Env;
use crate::error::Result;
use crate::ir::types::{core_signature, value_type};

/// Buffers that translation can use again for the next function; one per thread.
#[derive(Default)]
pub(crate) struct TranslateState {
    pub(crate) builder: FunctionBuilderContext,
    pub(crate) references: References,
    validator: FuncValidatorAllocations,
    reader: OperatorsReaderAllocations,
    stack: Vec<Value>,
    frames: Vec<Frame>,
    branch_args: Vec<BlockArg>,
    branch_table: Vec<BlockCall>,
}

/// Translates the body of function `func_index`, which is not imported, into `func`, which is
/// empty.
pub(crate) fn translate_function(
    env: &Env<'_>,
    func_index: u32,
    isa: &dyn TargetIsa,
    state: &mut TranslateState,
    func: &mut ir::Function,
) -> Result<()> {
    let result = translate(env, func_index, isa, state, func);
    if result.is_err() {
        // The buffers hold parts of the function, as it was where translation stopped.
        *state = TranslateState::default();
    }
    result
}

fn translate(
    env: &Env<'_>,
    func_index: u32,
    isa: &dyn TargetIsa,
    state: &mut TranslateState,
    func: &mut ir::Function,
) -> Result<()> {
    let body = &env.module.bodies[(func_index - env.module.imported_funcs) as usize];
    let ty = env.module.func_type(func_index);
    let start = body.body.range().start;
    for ty in ty.params().iter().chain(ty.results()) {
        value_type(*ty).map_err(|error| error.at(start))?;
    }
    func.signature = core_signature(ty);
    let allocations = std::mem::take(&mut state.validator);
    let mut validator = body.to_validate().into_validator(allocations);

    let mut builder = FunctionBuilder::new(func, &mut state.builder);
    let vmctx = enter(&mut builder);
    let allocations = std::mem::take(&mut state.reader);
    let mut reader = locals(&body.body, &mut validator, &mut builder, allocations)?;
    let mut translator = Translator {
        emit: Emitter::new(env, &mut builder, vmctx, &mut state.references),
        isa,
        stack: &mut state.stack,
        frames: &mut state.frames,
        branch_args: &mut state.branch_args,
        branch_table: &mut state.branch_table,
        reachable: true,
        dead_frames: 0,
        budget: interrupt::Budget::default(),
        loop_body: None,
        unrolled: None,
    };
    translator.enter_function(env.module.funcs[func_index as usize]);
    let entry_check = translator.check_entry();
    while !reader.eof() {
        let (op, offset) = reader.read_with_offset()?;
        validator.op(offset, &op)?;
        // Bodies are much smaller than 4 GiB.
        translator
            .emit
            .builder
            .set_srcloc(SourceLoc::new((offset - start) as u32));
        if matches!(op, Operator::Loop { .. }) && env.interrupt_slot.is_some() {
            translator.loop_body = unroll::small_body(reader.clone());
        }
        translator.operator(&op, offset)?;
    }
    translator.finish_entry(entry_check);
    reader.finish()?;
    builder.finalize(isa.frontend_config());
    state.reader = reader.into_allocations();
    state.validator = validator.into_allocations();
    Ok(())
}

/// Starts the function: its parameters are the first variables. Returns the context.
fn enter(builder: &mut FunctionBuilder<'_>) -> Value {
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    for index in 1..builder.block_params(entry).len() {
        let param = builder.block_params(entry)[index];
        let variable = builder.declare_var(builder.func.dfg.value_type(param));
        builder.def_var(variable, param);
    }
    builder.block_params(entry)[0]
}

/// Declares the locals after the parameters, which start as zero; returns the reader of the
/// operators that follow.
fn locals<'a>(
    body: &FunctionBody<'a>,
    validator: &mut FuncValidator<ValidatorResources>,
    builder: &mut FunctionBuilder<'_>,
    allocations: OperatorsReaderAllocations,
) -> Result<OperatorsReader<'a>> {
    let mut locals = body.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        let offset = locals.original_position();
        let (count, ty) = locals.read()?;
        validator.define_locals(offset, count, ty)?;
        if count == 0 {
            continue;
        }
        let ty = value_type(ty).map_err(|error| error.at(offset))?;
        let zero = match ty {
            F32 => builder.ins().f32const(Ieee32::with_bits(0)),
            F64 => builder.ins().f64const(Ieee64::with_bits(0)),
            I8X16 => {
                let zero = ConstantData::from(&[0; 16][..]);
                let zero = builder.func.dfg.constants.insert(zero);
                builder.ins().vconst(I8X16, zero)
            }
            ty => builder.ins().iconst(ty, 0),
        };
        for _ in 0..count {
            let variable = builder.declare_var(ty);
            builder.def_var(variable, zero);
        }
    }
    Ok(OperatorsReader::new_with_allocs(
        locals.get_binary_reader(),
        allocations,
    ))
}

/// The variable of a local: they are declared in the order of their indices.
fn variable(local: u32) -> Variable {
    Variable::new(local as usize)
}

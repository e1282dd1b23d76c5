//! Translates the body of a core function into Cranelift IR, validating it on the way.
//!
//! One pass: each operator is read once, validated, and translated. [`Emitter`] emits what an
//! operator does, given its operands as values; its methods are grouped by what they access, one
//! file each, and serve code that is not a function body too (instantiation, trampolines).
//! `operators` pops operands from the operand stack and pushes results; `control` keeps the stack
//! of control frames. Locals are variables of `cranelift-frontend`, which builds SSA form as in
//! Braun et al., "Simple and Efficient Construction of Static Single Assignment Form".
//!
//! **Invariants:** unreachable code is validated but not translated. Nothing is allocated or hashed
//! per operator except by Cranelift: entities that a function may refer to more than once are
//! remembered in [`References`], and all buffers live in [`TranslateState`].

mod atomic;
mod bounds;
mod bulk;
mod call;
mod const_expr;
mod control;
mod emit;
mod exceptions;
mod global;
mod interrupt;
pub(crate) mod labels;
mod legacy;
mod locals;
mod memory;
mod numeric;
mod operators;
mod reference;
mod references;
mod simd;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod unroll;
mod wide;

use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{F32, F64, I8X16};
use cranelift_codegen::ir::{
    self, BlockArg, BlockCall, ConstantData, InstBuilder, SourceLoc, Value, ValueLabel,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use wasmparser::{
    FuncValidator, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader,
    OperatorsReaderAllocations, ValidatorResources,
};

use self::control::Frame;
pub(crate) use self::emit::Emitter;
use self::exceptions::Exceptions;
use self::labels::Labels;
use self::locals::Locals;
use self::operators::Translator;
pub(crate) use self::references::References;
use crate::env::Env;
use crate::error::Result;
use crate::ir::function::clear;
use crate::ir::label;
use crate::ir::types::{core_signature, value_type};

/// Buffers that translation reuses for the next function; one per thread.
#[derive(Default)]
pub(crate) struct TranslateState {
    /// Whether locals are in the frame whatever the function's size.
    pub(crate) locals_in_frame: bool,
    /// Whether small loops that check for interrupts are unrolled.
    pub(crate) unrolls: bool,
    pub(crate) builder: FunctionBuilderContext,
    pub(crate) references: References,
    validator: FuncValidatorAllocations,
    reader: OperatorsReaderAllocations,
    stack: Vec<Value>,
    frames: Vec<Frame>,
    branch_args: Vec<BlockArg>,
    branch_table: Vec<BlockCall>,
    exceptions: Exceptions,
    /// If it is noted where values are.
    pub(crate) labels: Option<Labels>,
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
    let in_frame = state.locals_in_frame;
    let mut result = translate(env, func_index, isa, state, func, in_frame);
    if let Ok(Size::BeyondBudget) = result {
        *state = TranslateState {
            unrolls: state.unrolls,
            labels: state.labels.take(),
            ..TranslateState::default()
        };
        clear(func);
        result = translate(env, func_index, isa, state, func, true);
    }
    if result.is_err() {
        // The buffers still hold parts of the function that could not be translated.
        *state = TranslateState::default();
    }
    result.map(|_| ())
}

/// Whether a function can be compiled as it was translated.
enum Size {
    Fine,
    /// The function must be translated again, with its locals in the frame.
    BeyondBudget,
}

fn translate(
    env: &Env<'_>,
    func_index: u32,
    isa: &dyn TargetIsa,
    state: &mut TranslateState,
    func: &mut ir::Function,
    in_frame: bool,
) -> Result<Size> {
    let unrolls = state.unrolls;
    let body = &env.module.bodies[(func_index - env.module.imported_funcs) as usize];
    let ty = env.module.func_type(func_index);
    let start = body.body.range().start;
    for ty in ty.params().iter().chain(ty.results()) {
        value_type(*ty).map_err(|error| error.at(start))?;
    }
    func.signature = core_signature(ty);
    if let Some(labels) = &mut state.labels {
        labels.start(ty.params().len());
        func.dfg.collect_debug_info();
    }
    let allocations = std::mem::take(&mut state.validator);
    let mut validator = body.to_validate().into_validator(allocations);

    let mut builder = FunctionBuilder::new(func, &mut state.builder);
    let mut locals = match in_frame {
        true => Locals::in_frame(&body.body, ty.params(), &mut builder)?,
        false => Locals::Variables,
    };
    let vmctx = enter(&mut builder, &mut locals);
    builder.set_val_label(vmctx, ValueLabel::from_u32(label::CONTEXT));
    let allocations = std::mem::take(&mut state.reader);
    let mut reader = declare(
        &body.body,
        &mut validator,
        &mut builder,
        &mut locals,
        allocations,
    )?;
    let mut translator = Translator {
        emit: Emitter::new(env, &mut builder, vmctx, &mut state.references),
        isa,
        locals,
        size: locals::Budget::new(body.body.as_bytes().len()),
        stack: &mut state.stack,
        frames: &mut state.frames,
        branch_args: &mut state.branch_args,
        branch_table: &mut state.branch_table,
        exceptions: &mut state.exceptions,
        reachable: true,
        dead_frames: 0,
        budget: interrupt::CheckBudget::default(),
        loop_body: None,
        unrolled: None,
    };
    translator.exceptions.clear();
    translator.enter_function(env.module.funcs[func_index as usize]);
    let entry_check = translator.check_entry();
    while !reader.eof() {
        let (op, offset) = reader.read_with_offset()?;
        validator.op(offset, &op)?;
        // A body is much smaller than 4 GiB.
        translator
            .emit
            .builder
            .set_srcloc(SourceLoc::new((offset - start) as u32));
        if matches!(op, Operator::Loop { .. }) && env.interrupt_slot.is_some() && unrolls {
            translator.loop_body = unroll::small_body(reader.clone());
        }
        if matches!(op, Operator::Try { .. }) {
            translator.exceptions.tries.find(reader.clone());
        }
        translator.operator(&op, offset)?;
        if let Some(labels) = &mut state.labels
            && translator.reachable
        {
            let builder = &mut *translator.emit.builder;
            let done = (&op, (offset - start) as u32);
            let is_in_block = translator.frames.len() > 1;
            labels.note(builder, done, is_in_block, translator.stack);
        }
        if !in_frame && translator.size.is_exceeded(translator.emit.builder.func) {
            return Ok(Size::BeyondBudget);
        }
    }
    translator.finish_entry(entry_check);
    reader.finish()?;
    if let Some(labels) = &mut state.labels {
        labels.in_frame = translator.locals.into_frame();
    }
    if !in_frame
        && translator
            .size
            .is_exceeded_by_all(translator.emit.builder.func)
    {
        return Ok(Size::BeyondBudget);
    }
    builder.finalize(isa.frontend_config());
    state.reader = reader.into_allocations();
    state.validator = validator.into_allocations();
    Ok(Size::Fine)
}

/// Starts the function and declares its parameters as the first locals. Returns the context.
fn enter(builder: &mut FunctionBuilder<'_>, locals: &mut Locals) -> Value {
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    for index in 1..builder.block_params(entry).len() {
        let param = builder.block_params(entry)[index];
        locals.declare(builder, param);
    }
    builder.block_params(entry)[0]
}

/// Declares the locals after the parameters, which start as zero; returns the reader of the
/// operators that follow.
fn declare<'a>(
    body: &FunctionBody<'a>,
    validator: &mut FuncValidator<ValidatorResources>,
    builder: &mut FunctionBuilder<'_>,
    locals: &mut Locals,
    allocations: OperatorsReaderAllocations,
) -> Result<OperatorsReader<'a>> {
    let mut declared = body.get_locals_reader()?;
    for _ in 0..declared.get_count() {
        let offset = declared.original_position();
        let (count, ty) = declared.read()?;
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
            locals.declare(builder, zero);
        }
    }
    Ok(OperatorsReader::new_with_allocs(
        declared.get_binary_reader(),
        allocations,
    ))
}

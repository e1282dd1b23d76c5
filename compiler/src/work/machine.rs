//! Makes machine code of a function: optimises its IR and chooses the register allocator by its
//! cost.

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, Value};
use cranelift_codegen::{CodegenError, CompiledCode, Context};

use super::timing::Watch;
use super::{cost, extend, loops, peephole};
use crate::isa::{self, Target};
use crate::options::OptLevel;

/// The register allocator's buffers are kept for the next function unless the function has more
/// instructions.
const MAX_KEPT_INSTS: usize = 20_000;

/// The register allocator's buffers, kept from one function to the next.
#[derive(Default)]
pub(super) struct Registers {
    buffers: regalloc2::Ctx,
}

/// The machine code of a function.
pub(super) struct Machine {
    pub(super) code: CompiledCode,
    /// Whether registers were allocated in a single pass.
    pub(super) single_pass: bool,
}

/// Compiles the function in `context`.
pub(super) fn generate(
    context: &mut Context,
    registers: &mut Registers,
    target: &Target,
    watch: &mut Watch,
) -> Result<Machine, CodegenError> {
    let mut control = ControlPlane::default();
    context.optimize(&*target.isa, &mut control)?;
    if target.opt != OptLevel::None {
        let func = &mut context.func;
        if peephole::improve(func, isa::swizzle(&*target.isa)) {
            resolve_aliases(func);
        }
        extend::remove(func, &context.domtree);
    }
    if target.opt == OptLevel::Speed {
        loops::shorten(context);
    }
    watch.end_optimize();
    let single_pass = target.is_single_pass || cost::exceeds_budget(&context.func);
    let isa = match single_pass {
        true => &target.single_pass,
        false => &target.isa,
    };
    let code = isa.compile_function(
        &context.func,
        &context.domtree,
        &mut registers.buffers,
        false,
        &mut control,
    )?;
    if context.func.dfg.num_insts() > MAX_KEPT_INSTS {
        *registers = Registers::default();
    }
    Ok(Machine {
        code: code.apply_params(&context.func.params),
        single_pass,
    })
}

/// Replaces aliases that are used by the values that they are. Cranelift's own function does more
/// than is needed after few changes.
pub(super) fn resolve_aliases(func: &mut Function) {
    let mut next_block = func.layout.entry_block();
    while let Some(block) = next_block {
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            let dfg = &mut func.dfg;
            if dfg.inst_values(inst).any(|value| dfg.value_is_alias(value)) {
                let values = dfg.inst_values(inst);
                let values: Vec<Value> = values.map(|value| dfg.resolve_aliases(value)).collect();
                dfg.overwrite_inst_values(inst, values.into_iter());
            }
            next = func.layout.next_inst(inst);
        }
        next_block = func.layout.next_block(block);
    }
}

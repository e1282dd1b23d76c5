//! Makes machine code of a function: optimises its IR and chooses the register allocator by its
//! cost.

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::{CodegenError, CompiledCode, Context};

use super::cost;
use crate::isa::Target;

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
) -> Result<Machine, CodegenError> {
    let mut control = ControlPlane::default();
    context.optimize(&*target.isa, &mut control)?;
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

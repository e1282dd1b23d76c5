//! The interrupt check: a load, whose value nobody uses, from a page that the host makes
//! inaccessible to stop the code. Its fault is the trap.

use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{self, Endianness, Inst, InstBuilder, MemFlagsData, Value};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::TrapCode;
use cwasm_format::vmctx::INTERRUPT_PAGE_SIZE;

use super::flags::{CONSTANT, displacement};
use super::trap::trap_code;

const INTERRUPT: ir::TrapCode = trap_code(TrapCode::Interrupt);

/// The checks of one function.
#[derive(Default)]
pub(crate) struct Checks {
    /// Context offset of the page's address; `None` if the code is not interruptible.
    slot: Option<u32>,
    count: u32,
}

impl Checks {
    /// The checks of a function without any yet. `slot` is the context offset of the page's
    /// address.
    pub(crate) fn new(slot: Option<u32>) -> Checks {
        Checks { slot, count: 0 }
    }

    pub(crate) fn is_needed(&self) -> bool {
        self.slot.is_some()
    }

    /// Emits a check, if the code is interruptible.
    pub(crate) fn emit(&mut self, builder: &mut FunctionBuilder<'_>, context: Value) {
        self.emit_removable(builder, context);
    }

    /// As [`emit`](Self::emit), and returns the instructions.
    pub(crate) fn emit_removable(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        context: Value,
    ) -> Option<[Inst; 2]> {
        let slot = displacement(self.slot?);
        let page = builder.ins().load(I64, CONSTANT, context, slot);
        // Cranelift would replace a second load from the same address by the first, because the
        // function does not write there. So each loads another byte of the page. After the last
        // byte, each has a fence before it (for Cranelift's analysis only: it is not an instruction
        // of the CPU).
        let place = self.count % INTERRUPT_PAGE_SIZE;
        if self.count >= INTERRUPT_PAGE_SIZE {
            builder.ins().sequence_point();
        }
        self.count += 1;
        let flags = MemFlagsData::new()
            .with_endianness(Endianness::Little)
            .with_trap_code(Some(INTERRUPT));
        let unused = builder.ins().uload8(I32, flags, page, displacement(place));
        Some([page, unused].map(|value| builder.func.dfg.value_def(value).unwrap_inst()))
    }
}

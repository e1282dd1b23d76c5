//! The check whether the host wants interruptible code to stop: a load, whose value nobody needs,
//! from a page that the host makes inaccessible. Its fault is the trap.

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
    /// No checks yet in a function of a unit that has its page's address there.
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

    /// As [`emit`](Self::emit): the instructions.
    pub(crate) fn emit_removable(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        context: Value,
    ) -> Option<[Inst; 2]> {
        let slot = displacement(self.slot?);
        let page = builder.ins().load(I64, CONSTANT, context, slot);
        // A second load from the same place would be replaced by the first, as nothing in the
        // function writes there. So each is from another byte of the page; when there are no more,
        // a fence (of Cranelift's analysis: it is no instruction) is before each.
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

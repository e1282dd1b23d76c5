//! What functions save for their callers, which debuggers look for there.

use cranelift_codegen::CompiledCode;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInst;

/// The registers that a function saves for its caller, if that is noted. Places are bytes from the
/// canonical frame address; offsets in code are from its start.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// Where its frame is made in the code.
    pub(crate) at: u32,
    /// Bytes from its frame pointer up to the canonical frame address.
    pub(crate) above: i32,
    /// Where each is saved in the code, its number in DWARF, and its place.
    pub(crate) registers: Vec<(u32, u16, i32)>,
}

impl Saved {
    /// What code that was generated with `unwind_info` says; nothing of other code.
    pub(crate) fn of(code: &CompiledCode, isa: &dyn TargetIsa) -> Saved {
        let mut saved = Saved::default();
        let mut first = 0;
        for (at, inst) in &code.buffer.unwind_info {
            match *inst {
                UnwindInst::DefineNewFrame {
                    offset_upward_to_caller_sp: above,
                    offset_downward_to_clobbers: below,
                } => {
                    (saved.at, saved.above) = (*at, above as i32);
                    first = -((above + below) as i32);
                }
                UnwindInst::SaveReg {
                    clobber_offset,
                    reg,
                } => {
                    if let Ok(number) = isa.map_regalloc_reg_to_dwarf(reg.into()) {
                        let place = first + clobber_offset as i32;
                        saved.registers.push((*at, number, place));
                    }
                }
                _ => {}
            }
        }
        saved
    }

    /// Follows the code when it is made shorter.
    pub(crate) fn relax(&mut self, moved: impl Fn(u32) -> u32) {
        self.at = moved(self.at);
        for (at, ..) in &mut self.registers {
            *at = moved(*at);
        }
    }
}

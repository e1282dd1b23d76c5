//! How debuggers find a function's caller and the registers that it has saved.
//!
//! Each function begins with `push rbp; mov rbp, rsp`, and each return follows a `pop rbp`. What is
//! saved between them is noted where code is generated ([`Saved`]).

use gimli::write::{Address, CallFrameInstruction, CommonInformationEntry, FrameDescriptionEntry};
use gimli::{Encoding, Register, X86_64};

use crate::ir::saved::Saved;

/// `push rbp; mov rbp, rsp`.
const PROLOGUE: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
/// `pop rbp; ret`.
const EPILOGUE: [u8; 2] = [0x5d, 0xc3];
/// Bytes of the return address, and of both it and the caller's frame pointer.
const RETURN_ADDRESS: i32 = 8;
const FRAME_RECORD: i32 = 16;

/// What holds where a function begins.
pub(super) fn common(encoding: Encoding) -> CommonInformationEntry {
    let mut common = CommonInformationEntry::new(encoding, 1, -8, X86_64::RA);
    common.add_instruction(CallFrameInstruction::Cfa(X86_64::RSP, RETURN_ADDRESS));
    common.add_instruction(CallFrameInstruction::Offset(X86_64::RA, -RETURN_ADDRESS));
    common
}

/// The frame of a function at this address.
pub(super) fn frame(address: u64, code: &[u8], saved: &Saved) -> FrameDescriptionEntry {
    let mut frame = FrameDescriptionEntry::new(Address::Constant(address), code.len() as u32);
    if !code.starts_with(&PROLOGUE) {
        return frame;
    }
    let caller = X86_64::RBP;
    frame.add_instruction(1, CallFrameInstruction::Cfa(X86_64::RSP, FRAME_RECORD));
    frame.add_instruction(1, CallFrameInstruction::Offset(caller, -FRAME_RECORD));
    let after = PROLOGUE.len() as u32;
    frame.add_instruction(after, CallFrameInstruction::Cfa(caller, FRAME_RECORD));
    let Saved { at, above, .. } = *saved;
    if above > FRAME_RECORD {
        // It has moved, to make room for parameters of the functions that it returns to.
        let record = [(caller, 0), (X86_64::RA, RETURN_ADDRESS)];
        frame.add_instruction(at, CallFrameInstruction::Cfa(caller, above));
        for (register, offset) in record {
            frame.add_instruction(at, CallFrameInstruction::Offset(register, offset - above));
        }
    }
    for (at, register, place) in &saved.registers {
        let place = CallFrameInstruction::Offset(Register(*register), *place);
        frame.add_instruction(*at, place);
    }
    let end = saved.registers.last().map_or(at, |(end, ..)| *end);
    let end = PROLOGUE.len().max(end as usize);
    // Bytes that only look like it are inside of instructions, where no debugger stops.
    let mut rest = end;
    while let Some(found) = find(&code[rest..], &EPILOGUE) {
        let ret = rest + found + 1;
        frame.add_instruction(ret as u32, CallFrameInstruction::RememberState);
        frame.add_instruction(
            ret as u32,
            CallFrameInstruction::Cfa(X86_64::RSP, RETURN_ADDRESS),
        );
        frame.add_instruction(ret as u32, CallFrameInstruction::Restore(caller));
        rest = ret + 1;
        if rest < code.len() {
            frame.add_instruction(rest as u32, CallFrameInstruction::RestoreState);
        }
    }
    frame
}

fn find(code: &[u8], pattern: &[u8]) -> Option<usize> {
    let mut windows = code.windows(pattern.len());
    windows.position(|window| window == pattern)
}

#[cfg(test)]
mod tests;

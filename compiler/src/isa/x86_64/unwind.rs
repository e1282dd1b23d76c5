//! How debuggers find a function's caller and the registers that it has saved.
//!
//! Each function begins with `push rbp; mov rbp, rsp`; those that the host calls then make room and
//! save its registers, each by `mov [rsp + offset], register`. Each return follows a `pop rbp`.

use gimli::write::{Address, CallFrameInstruction, CommonInformationEntry, FrameDescriptionEntry};
use gimli::{Encoding, Register, X86_64};

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
pub(super) fn frame(address: u64, code: &[u8]) -> FrameDescriptionEntry {
    let mut frame = FrameDescriptionEntry::new(Address::Constant(address), code.len() as u32);
    if !code.starts_with(&PROLOGUE) {
        return frame;
    }
    let caller = X86_64::RBP;
    frame.add_instruction(1, CallFrameInstruction::Cfa(X86_64::RSP, FRAME_RECORD));
    frame.add_instruction(1, CallFrameInstruction::Offset(caller, -FRAME_RECORD));
    let after = PROLOGUE.len();
    frame.add_instruction(
        after as u32,
        CallFrameInstruction::Cfa(X86_64::RBP, FRAME_RECORD),
    );
    let mut end = after;
    if let Some((mut at, size)) = allocation(code, after) {
        while let Some((next, register, offset)) = save(code, at) {
            let place = offset - size - FRAME_RECORD;
            frame.add_instruction(next as u32, CallFrameInstruction::Offset(register, place));
            at = next;
        }
        end = at;
    }
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

/// `sub rsp, size` at an offset: the offset after it, and the size.
fn allocation(code: &[u8], at: usize) -> Option<(usize, i32)> {
    match *code.get(at..)? {
        [0x48, 0x83, 0xec, size, ..] => Some((at + 4, i32::from(size as i8))),
        [0x48, 0x81, 0xec, a, b, c, d, ..] => Some((at + 7, i32::from_le_bytes([a, b, c, d]))),
        _ => None,
    }
}

/// `mov [rsp + offset], register` at an offset, of a register that functions keep for their
/// callers: the offset after it, the register and its place.
fn save(code: &[u8], at: usize) -> Option<(usize, Register, i32)> {
    let [rex, 0x89, modrm, 0x24, ..] = *code.get(at..)? else {
        return None;
    };
    let register = match (rex, modrm >> 3 & 7) {
        (0x48, 3) => X86_64::RBX,
        (0x4c, 4) => X86_64::R12,
        (0x4c, 5) => X86_64::R13,
        (0x4c, 6) => X86_64::R14,
        (0x4c, 7) => X86_64::R15,
        _ => return None,
    };
    let rest = code.get(at + 4..)?;
    match modrm & 0xc7 {
        0x04 => Some((at + 4, register, 0)),
        0x44 => Some((at + 5, register, i32::from(*rest.first()? as i8))),
        0x84 => {
            let offset = i32::from_le_bytes(*rest.first_chunk()?);
            Some((at + 8, register, offset))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_registers_are_found() {
        let code = [
            0x55, 0x48, 0x89, 0xe5, // push rbp; mov rbp, rsp
            0x48, 0x83, 0xec, 0x40, // sub rsp, 0x40
            0x48, 0x89, 0x1c, 0x24, // mov [rsp], rbx
            0x4c, 0x89, 0x64, 0x24, 0x18, // mov [rsp + 0x18], r12
            0x48, 0x89, 0x3c, 0x24, // mov [rsp], rdi: no register of the caller's
        ];
        assert_eq!(allocation(&code, 4), Some((8, 0x40)));
        assert_eq!(save(&code, 8), Some((12, X86_64::RBX, 0)));
        assert_eq!(save(&code, 12), Some((17, X86_64::R12, 0x18)));
        assert_eq!(save(&code, 17), None);
        assert_eq!(save(&code, 20), None);
        for len in 0..code.len() {
            frame(0, &code[..len]);
        }
    }
}

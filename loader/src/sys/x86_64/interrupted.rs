//! Compiled code that was interrupted at any instruction: where it returns to.
//!
//! ```text
//! push rbp         no frame yet: the return address is on top of the stack
//! mov rbp, rsp     the caller's frame pointer is there, and on it
//! ...              a frame
//! mov rsp, rbp
//! pop rbp
//! ret              the frame is gone: the return address is on top of the stack
//! jmp callee       (a tail call)
//! ```

use super::frames::Caller;
use super::registers::Registers;

/// What compiled code has on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// The return address.
    None,
    /// The return address, and the caller's frame pointer on it.
    Pushed,
    /// A frame, to which the frame pointer points.
    Whole,
}

/// `push rbp`.
const PUSH: u8 = 0x55;
/// `mov rbp, rsp`.
const SET: [u8; 3] = [0x48, 0x89, 0xe5];
/// `pop rbp`.
const POP: u8 = 0x5d;
/// `ret`, and the same with the bytes of arguments that it takes from the stack.
const RETURNS: [u8; 2] = [0xc3, 0xc2];

/// The frame of code whose next instruction is at this offset of `text`. Where a tail call moves
/// its arguments over those of the caller, it is not told apart.
fn frame_at(text: &[u8], offset: usize) -> Frame {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, &[]));
    let is_set = after.starts_with(&SET);
    match (before.last(), after) {
        (Some(&PUSH), _) if is_set => Frame::Pushed,
        (_, [PUSH, rest @ ..]) if rest.starts_with(&SET) => Frame::None,
        (_, [byte, ..]) if RETURNS.contains(byte) => Frame::None,
        (Some(&POP), _) if is_jump(after) => Frame::None,
        _ => Frame::Whole,
    }
}

/// Whether an instruction is a `jmp`.
fn is_jump(code: &[u8]) -> bool {
    let code = match code {
        // A prefix for registers.
        [0x40..=0x4f, rest @ ..] => rest,
        code => code,
    };
    match code {
        [0xe9 | 0xeb, ..] => true,
        // The middle bits of the second byte are a part of the operation.
        [0xff, operand, ..] => operand >> 3 & 7 == 4,
        _ => false,
    }
}

/// The caller of interrupted code, whose next instruction is at this offset of `text`, and its
/// stack pointer. `word` reads the stack.
pub(crate) fn caller(
    registers: &Registers,
    (text, offset): (&[u8], usize),
    word: impl Fn(usize) -> Option<usize>,
) -> Option<(Caller, usize)> {
    let word_size = size_of::<usize>();
    let (fp, at) = match frame_at(text, offset) {
        Frame::None => (registers.fp, registers.sp),
        Frame::Pushed => (registers.fp, registers.sp.checked_add(word_size)?),
        Frame::Whole => (word(registers.fp)?, registers.fp.checked_add(word_size)?),
    };
    let caller = Caller {
        return_address: word(at)?,
        fp,
    };
    Some((caller, at.checked_add(word_size)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_and_go() {
        let text = [
            0x55, // push rbp
            0x48, 0x89, 0xe5, // mov rbp, rsp
            0x8b, 0xc6, // mov eax, esi
            0x48, 0x89, 0xec, // mov rsp, rbp
            0x5d, // pop rbp
            0xc2, 0x10, 0x00, // ret 16
            0x5d, // pop rbp
            0x41, 0xff, 0xe3, // jmp r11
            0x5d, // pop rbp
            0xe9, 0, 0, 0, 0, // jmp
            0xff, 0xe0, // jmp rax, in the middle of a function
        ];
        let frames = [
            (0, Frame::None),
            (1, Frame::Pushed),
            (4, Frame::Whole),
            (6, Frame::Whole),
            (9, Frame::Whole),
            (10, Frame::None),
            (13, Frame::Whole),
            (14, Frame::None),
            (17, Frame::Whole),
            (18, Frame::None),
            (23, Frame::Whole),
            (25, Frame::Whole),
            (99, Frame::Whole),
        ];
        for (offset, frame) in frames {
            assert_eq!(frame_at(&text, offset), frame, "{offset}");
        }
    }

    #[test]
    fn the_caller_is_the_same_at_each_instruction() {
        let text = [0x55, 0x48, 0x89, 0xe5, 0xc3];
        // The caller's frame pointer, and the return address on the stack of a function.
        let stack = [(80, 200), (88, 1234)];
        let word = |address| {
            let found = stack.iter().find(|(at, _)| *at == address);
            found.map(|(_, word)| *word)
        };
        for (offset, sp, fp) in [(0, 88, 200), (1, 80, 200), (4, 88, 200)] {
            let registers = Registers { pc: 0, sp, fp };
            let (caller, sp) = caller(&registers, (&text, offset), word).unwrap();
            let found = (caller.return_address, caller.fp, sp);
            assert_eq!(found, (1234, 200, 96), "{offset}");
        }
        // In its body the frame pointer is its own.
        let registers = Registers {
            pc: 0,
            sp: 0,
            fp: 80,
        };
        let (caller, sp) = caller(&registers, (&[0x90], 0), word).unwrap();
        assert_eq!((caller.return_address, caller.fp, sp), (1234, 200, 96));
    }
}

//! Detours: a function is called in the middle of interrupted code, which then goes on as if
//! nothing had been.
//!
//! ```text
//! interrupted sp ->
//!                    | 128 bytes that a leaf function may use (System V ABI, "The Stack Frame") |
//!                    | pc | argument | function | all registers | state of vector registers |
//! ```
#![allow(unsafe_code, reason = "saves and restores all registers")]

use std::arch::naked_asm;
use std::ffi::c_long;

/// A function that interrupted code calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detour {
    function: extern "C" fn(usize),
    argument: usize,
}

/// Bytes below the stack pointer that a leaf function may use.
const RED_ZONE: usize = 128;

/// The parts of the vector state that are saved: x87, SSE, AVX, and the three of AVX-512 (Intel
/// SDM, volume 1, section 13.1). Nothing that is called uses others.
const STATE: u64 = 0b1110_0111;

/// Bytes of that state in the standard format, with its header at 512 (section 13.4).
const STATE_SIZE: usize = 2688;

/// Whether this machine can save the state.
pub(crate) fn is_possible() -> bool {
    std::is_x86_feature_detected!("xsave")
}

impl Detour {
    pub(crate) fn new(function: extern "C" fn(usize), argument: usize) -> Detour {
        Detour { function, argument }
    }

    /// Makes the code that a signal interrupted call the function when its handler returns. There
    /// must be stack for it.
    ///
    /// # Safety
    /// - The handler returns at once, and the code has at least 4 KiB of stack left, and what the
    ///   function needs.
    pub(crate) unsafe fn set(&self, machine: &mut libc::ucontext_t) {
        let registers = &mut machine.uc_mcontext.gregs;
        let sp = registers[libc::REG_RSP as usize] as usize;
        let pc = registers[libc::REG_RIP as usize] as usize;
        let words = [self.function as usize, self.argument, pc];
        let at = sp - RED_ZONE - size_of_val(&words);
        let frame = std::ptr::with_exposed_provenance_mut::<[usize; 3]>(at);
        // SAFETY: a part of the stack that nobody uses (the caller's contract).
        unsafe { frame.write_unaligned(words) };
        registers[libc::REG_RSP as usize] = at as c_long;
        registers[libc::REG_RIP as usize] = (detour as *const ()).addr() as c_long;
    }
}

/// Calls the function on top of the stack with the argument below it, and returns to the address
/// below that, where all registers are as they were, and the stack pointer is above the red zone.
#[unsafe(naked)]
extern "C" fn detour() {
    naked_asm!(
        "pushfq",
        "push rax",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push rbp",
        "mov rbp, rsp",
        "sub rsp, {size}",
        "and rsp, -64",
        "cld",
        // The header says which parts there are; what is not zero in it is refused later.
        "xor eax, eax",
        "mov [rsp + 512], rax",
        "mov [rsp + 520], rax",
        "mov [rsp + 528], rax",
        "mov [rsp + 536], rax",
        "mov [rsp + 544], rax",
        "mov [rsp + 552], rax",
        "mov [rsp + 560], rax",
        "mov [rsp + 568], rax",
        "mov eax, {state}",
        "xor edx, edx",
        "xsave64 [rsp]",
        "mov rdi, [rbp + {pushed} + 8]",
        "call [rbp + {pushed}]",
        "mov eax, {state}",
        "xor edx, edx",
        "xrstor64 [rsp]",
        "mov rsp, rbp",
        "pop rbp",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "popfq",
        "lea rsp, [rsp + 16]",
        "ret {red_zone}",
        size = const STATE_SIZE,
        state = const STATE,
        pushed = const 11 * size_of::<usize>(),
        red_zone = const RED_ZONE,
    )
}

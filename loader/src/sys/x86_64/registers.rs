//! Registers: where code was interrupted, and where it continues.
#![allow(unsafe_code, reason = "sets registers")]

/// The registers of interrupted code that say where it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    /// Address of the instruction.
    pub(crate) pc: usize,
    /// The stack pointer.
    pub(crate) sp: usize,
    /// The frame pointer.
    pub(crate) fp: usize,
}

/// Where to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    /// Address of the next instruction.
    pub(crate) pc: usize,
    /// The stack pointer there.
    pub(crate) sp: usize,
    /// The frame pointer there.
    pub(crate) fp: usize,
    /// The value of the first result register.
    pub(crate) value: u64,
}

impl Registers {
    /// The registers in a signal's frame.
    pub(crate) fn of_signal(machine: &libc::ucontext_t) -> Registers {
        let register =
            |register: libc::c_int| machine.uc_mcontext.gregs[register as usize] as usize;
        Registers {
            pc: register(libc::REG_RIP),
            sp: register(libc::REG_RSP),
            fp: register(libc::REG_RBP),
        }
    }
}

impl Resume {
    /// Makes the code that a signal interrupted continue here when its handler returns.
    pub(crate) fn set(&self, machine: &mut libc::ucontext_t) {
        let registers = &mut machine.uc_mcontext.gregs;
        registers[libc::REG_RIP as usize] = self.pc as libc::greg_t;
        registers[libc::REG_RSP as usize] = self.sp as libc::greg_t;
        registers[libc::REG_RBP as usize] = self.fp as libc::greg_t;
        registers[libc::REG_RAX as usize] = self.value as libc::greg_t;
    }
}

/// The stack pointer.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let pointer: usize;
    // SAFETY: copies a register.
    unsafe {
        std::arch::asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// Calls `f` with the stack pointer of a frame that holds the registers which functions leave as
/// they were (System V ABI, "Registers and the Stack Frame"), so that all that the callers have in
/// registers is above it.
#[inline(never)]
pub(crate) fn with_saved_registers(f: impl FnOnce(usize)) {
    let mut saved = [0usize; 6];
    // SAFETY: copies registers to where there is room for them.
    unsafe {
        std::arch::asm!(
            "mov [{to}], rbx",
            "mov [{to} + 8], rbp",
            "mov [{to} + 16], r12",
            "mov [{to} + 24], r13",
            "mov [{to} + 32], r14",
            "mov [{to} + 40], r15",
            to = in(reg) saved.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
    let pointer = stack_pointer().min(saved.as_ptr().addr());
    f(pointer);
    std::hint::black_box(&saved);
}

/// Continues at `resume`, and forgets all frames below its stack pointer.
///
/// # Safety
/// - `resume` is a landing pad of compiled code whose frame is live on this thread's stack.
/// - The frames between have nothing to drop.
pub(crate) unsafe fn resume(resume: &Resume) -> ! {
    // Registers by name: where a register may be any, it may be the one for frame pointers, which
    // is written to before the jump.
    // SAFETY: the landing pad takes these registers and nothing else (the caller's contract).
    unsafe {
        std::arch::asm!(
            "mov rsp, rcx",
            "mov rbp, rdx",
            "jmp rsi",
            in("rcx") resume.sp,
            in("rdx") resume.fp,
            in("rsi") resume.pc,
            in("rax") resume.value,
            options(noreturn),
        )
    }
}

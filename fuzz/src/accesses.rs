//! Modules of our own: what wasm-smith rarely makes. Functions load and store at addresses near
//! the end of a memory and of its index type, with constant offsets that can be folded, at an
//! address that was used before and with another width; they store to one memory and load from
//! another; and between two accesses they grow, fill, copy, call, branch or go round a loop.
//!
//! ```text
//! byte of the DNA -> statement: nothing if zero, else its own random numbers
//! local 0, 1: i32   2: i64   3: digest of all that was loaded   4, 5: an address used before
//! 6: rounds of a loop
//! ```
//!
//! A statement's random numbers depend on its place and its byte alone, so that zeroes and a
//! shorter DNA remove statements and hardly change the others.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataCountSection, DataSection, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection,
    Instruction as I, MemArg, MemArgTarget, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};

use crate::program::Proposals;
use crate::rng::Rng;
use crate::value::{Type, Value};

mod operators;

use operators::{Kind, Operator};

const DIGEST: u32 = 3;
const SMALL: u32 = 4;
const LARGE: u32 = 5;
const ROUNDS: u32 = 6;

/// Statements of one function.
const STATEMENTS: usize = 24;
const MAX_FUNCS: usize = 3;

/// The module of this DNA.
pub(crate) fn module(rng: &mut Rng, dna: &[u8], proposals: Proposals) -> Vec<u8> {
    let count = 1 + rng.below(2) as usize;
    let mut memories: Vec<_> = (0..count).map(|_| memory(rng)).collect();
    // All of one type may be one memory.
    if rng.one_in(2) {
        let first = memories[0];
        memories.fill(first);
    }
    let imported = rng.pick(&[0, 0, 1, 2, 2]);
    let exports_memories = !rng.one_in(4);
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types
        .ty()
        .function([ValType::I32, ValType::I32, ValType::I64], [ValType::I64]);
    module.section(&types);
    let mut imports = ImportSection::new();
    let mut own = MemorySection::new();
    for (index, ty) in memories.iter().enumerate() {
        if index < imported {
            imports.import("", "memory", EntityType::Memory(*ty));
        } else {
            own.memory(*ty);
        }
    }
    module.section(&imports);
    let bodies: Vec<_> = dna.chunks(STATEMENTS).take(MAX_FUNCS).collect();
    let mut funcs = FunctionSection::new();
    let mut exports = ExportSection::new();
    for index in 0..bodies.len() as u32 {
        funcs.function(0);
        exports.export(&format!("f{index}"), ExportKind::Func, index);
    }
    if exports_memories {
        for index in 0..memories.len() as u32 {
            exports.export(&format!("m{index}"), ExportKind::Memory, index);
        }
    }
    let mut globals = GlobalSection::new();
    let ty = GlobalType {
        val_type: ValType::I64,
        mutable: true,
        shared: false,
    };
    globals.global(ty, &ConstExpr::i64_const(1));
    exports.export("g", ExportKind::Global, 0);
    module.section(&funcs).section(&own).section(&globals);
    module
        .section(&exports)
        .section(&DataCountSection { count: 1 });
    let mut code = CodeSection::new();
    let seed = rng.next();
    for (index, dna) in bodies.into_iter().enumerate() {
        let mut body = Body {
            memories: &memories,
            proposals,
            index: index as u32,
            // Few functions get far where most accesses are out of bounds.
            hazard: rng.pick(&[8, 400, 4000]),
            last: [None; 2],
            rng: Rng::new(0),
            depth: 0,
            code: Function::new([
                (1, ValType::I64),
                (1, ValType::I32),
                (1, ValType::I64),
                (1, ValType::I32),
            ]),
        };
        body.function(seed ^ index as u64, dna);
        code.function(&body.code);
    }
    module.section(&code);
    let mut data = DataSection::new();
    data.passive((0..64).map(|_| rng.next() as u8));
    module.section(&data);
    module.finish()
}

/// A memory that is mostly small, with pages of either size and indices of either width.
fn memory(rng: &mut Rng) -> MemoryType {
    let small_pages = rng.one_in(4);
    let minimum = match small_pages {
        true => rng.pick(&[0, 15, 100, 4096, 4096, 65_537]),
        false => rng.pick(&[0, 1, 1, 1, 1, 1, 2]),
    };
    MemoryType {
        minimum,
        // Without a maximum as much address space as there can be is kept free for it. Statements
        // grow little.
        maximum: (!rng.one_in(2)).then_some(minimum + rng.below(3)),
        memory64: rng.one_in(3),
        shared: false,
        page_size_log2: small_pages.then_some(0),
    }
}

/// A function that is being written.
struct Body<'a> {
    memories: &'a [MemoryType],
    proposals: Proposals,
    /// The function's: it calls those before it.
    index: u32,
    /// One access in this many is anywhere.
    hazard: u64,
    /// Which memory the addresses in [`SMALL`] and [`LARGE`] are for.
    last: [Option<u32>; 2],
    /// Of the statement.
    rng: Rng,
    /// Blocks that the statement is in.
    depth: u32,
    code: Function,
}

impl Body<'_> {
    fn function(&mut self, seed: u64, dna: &[u8]) {
        for (index, byte) in dna.iter().enumerate() {
            if *byte != 0 {
                self.rng = Rng::new(seed ^ (u64::from(*byte) << 16 | (index as u64) << 32));
                self.statement();
            }
        }
        self.emit(&[
            I::LocalGet(DIGEST),
            I::LocalGet(DIGEST),
            I::GlobalSet(0),
            I::End,
        ]);
    }

    fn emit(&mut self, instructions: &[I<'_>]) {
        for instruction in instructions {
            self.code.instruction(instruction);
        }
    }

    fn statement(&mut self) {
        match self.rng.below(24) {
            0 => self.grow(),
            1 => self.bulk(),
            2 if self.index > 0 => {
                let callee = self.rng.below(self.index.into()) as u32;
                let arg = self.rng.below(2) as u32;
                self.emit(&[
                    I::LocalGet(arg),
                    I::LocalGet(SMALL),
                    I::LocalGet(DIGEST),
                    I::Call(callee),
                ]);
                self.digest();
            }
            3 => self.emit(&[I::LocalGet(DIGEST), I::GlobalSet(0)]),
            4 => {
                self.emit(&[I::GlobalGet(0)]);
                self.digest();
            }
            5 | 6 if self.depth < 2 => self.branch(),
            7 if self.depth == 0 => self.repeat(),
            8..13 => self.again(),
            _ => self.access(),
        }
    }

    /// The i64 on the stack becomes part of the digest.
    fn digest(&mut self) {
        self.emit(&[
            I::LocalGet(DIGEST),
            I::I64Const(7),
            I::I64Rotl,
            I::I64Xor,
            I::LocalSet(DIGEST),
        ]);
    }

    fn branch(&mut self) {
        self.emit(&[
            I::LocalGet(DIGEST),
            I::I32WrapI64,
            I::I32Const(1),
            I::I32And,
        ]);
        self.emit(&[I::If(BlockType::Empty)]);
        self.nested();
        if self.rng.one_in(2) {
            self.emit(&[I::Else]);
            self.nested();
        }
        self.emit(&[I::End]);
    }

    fn repeat(&mut self) {
        let rounds = 1 + self.rng.below(4) as i32;
        self.emit(&[
            I::I32Const(rounds),
            I::LocalSet(ROUNDS),
            I::Loop(BlockType::Empty),
        ]);
        self.nested();
        let stride = self.rng.pick(&[1, 4, 8, 64]);
        self.emit(&[
            I::LocalGet(SMALL),
            I::I32Const(stride),
            I::I32Add,
            I::LocalSet(SMALL),
            I::LocalGet(ROUNDS),
            I::I32Const(1),
            I::I32Sub,
            I::LocalTee(ROUNDS),
            I::BrIf(0),
            I::End,
        ]);
    }

    fn nested(&mut self) {
        self.depth += 1;
        for _ in 0..=self.rng.below(3) {
            self.statement();
        }
        self.depth -= 1;
    }

    fn grow(&mut self) {
        let memory = self.a_memory();
        let delta = self.rng.below(3);
        match self.ty(memory).memory64 {
            true => self.emit(&[I::I64Const(delta as i64), I::MemoryGrow(memory)]),
            false => self.emit(&[
                I::I32Const(delta as i32),
                I::MemoryGrow(memory),
                I::I64ExtendI32S,
            ]),
        }
        self.digest();
        self.emit(&[I::MemorySize(memory)]);
        if !self.ty(memory).memory64 {
            self.emit(&[I::I64ExtendI32U]);
        }
        self.digest();
    }

    /// Fills, copies or initialises a few bytes.
    fn bulk(&mut self) {
        let memory = self.a_memory();
        let other = self.a_memory();
        let len = self.rng.below(65) as i64;
        let number = |is_64, value| match is_64 {
            true => I::I64Const(value),
            false => I::I32Const(value as i32),
        };
        let is_64 = self.ty(memory).memory64;
        let both_64 = is_64 && self.ty(other).memory64;
        self.address(memory, 70, 1);
        match self.rng.below(3) {
            0 => {
                self.emit(&[I::LocalGet(0), number(is_64, len), I::MemoryFill(memory)]);
            }
            1 => {
                self.address(other, 70, 1);
                let (dst_mem, src_mem) = (memory, other);
                self.emit(&[number(both_64, len), I::MemoryCopy { src_mem, dst_mem }]);
            }
            _ => {
                let mem = memory;
                // Now and then more than the segment has.
                let most = self.rng.pick(&[1, 1, 1, 8]);
                let start = self.rng.below(most) as i32;
                self.emit(&[I::I32Const(start), I::I32Const(len as i32)]);
                self.emit(&[I::MemoryInit { mem, data_index: 0 }]);
            }
        }
    }

    /// One load or store.
    fn access(&mut self) {
        let memory = self.a_memory();
        let operator = operators::pick(&mut self.rng, self.proposals);
        let align = 1 << operator.align;
        let offset = self.offset(memory, operator.size) & align_mask(align);
        self.address(memory, offset.saturating_add(operator.size), align);
        self.apply(&operator, memory, offset);
    }

    /// Some accesses to one address, one after the other.
    fn again(&mut self) {
        /// The widest access.
        const SIZE: u64 = 16;
        let memory = self.a_memory();
        let is_64 = self.ty(memory).memory64;
        let local = if is_64 { LARGE } else { SMALL };
        let last = &mut self.last[usize::from(is_64)];
        let is_new = last.replace(memory) != Some(memory);
        let mut offset = self.rng.below(SIZE);
        // Atomic accesses trap at other addresses.
        let proposals = if is_new || self.rng.one_in(2) {
            offset = self.offset(memory, SIZE);
            self.address(memory, offset.saturating_add(2 * SIZE), SIZE);
            self.emit(&[I::LocalSet(local)]);
            self.proposals
        } else {
            Proposals::Common
        };
        // What is loaded again may be what was stored or loaded, or have been changed meanwhile.
        let often = operators::pick(&mut self.rng, proposals);
        for _ in 0..3 + self.rng.below(3) {
            let operator = match self.rng.one_in(2) {
                true => often,
                false => operators::pick(&mut self.rng, proposals),
            };
            let near = match self.rng.below(8) {
                0 => offset.wrapping_add(self.rng.below(9)),
                1 => offset.min(self.rng.below(SIZE)),
                _ => offset,
            };
            let most = if is_64 { u64::MAX } else { u32::MAX.into() };
            let near = near.min(most) & align_mask(1 << operator.align);
            self.emit(&[I::LocalGet(local)]);
            // Which may be the same one.
            let other = self.a_memory();
            let is_alike = self.ty(other) == self.ty(memory);
            self.apply(&operator, if is_alike { other } else { memory }, near);
        }
    }

    /// The operator, whose address is on the stack.
    fn apply(&mut self, operator: &Operator, memory: u32, offset: u64) {
        let memarg = MemArg {
            offset,
            align: operator.align,
            target: MemArgTarget::Memory(memory),
            ordering: None,
        };
        let instruction = (operator.instruction)(memarg);
        match operator.kind {
            Kind::Load(result) => {
                self.emit(&[instruction]);
                operators::consume(result, &mut self.rng, &mut self.code);
                self.digest();
            }
            Kind::Store(value) => {
                operators::produce(value, DIGEST, &mut self.code);
                self.emit(&[instruction]);
            }
            Kind::Change(value) => {
                operators::produce(value, DIGEST, &mut self.code);
                self.emit(&[instruction]);
                operators::consume(value, &mut self.rng, &mut self.code);
                self.digest();
            }
        }
    }

    fn a_memory(&mut self) -> u32 {
        self.rng.below(self.memories.len() as u64) as u32
    }

    fn ty(&self, memory: u32) -> MemoryType {
        self.memories[memory as usize]
    }

    /// Its size at first, in bytes.
    fn size(&self, memory: u32) -> u64 {
        let ty = self.ty(memory);
        ty.minimum << ty.page_size_log2.unwrap_or(16)
    }

    /// A constant offset of an access of `size` bytes.
    fn offset(&mut self, memory: u32, size: u64) -> u64 {
        let end = self.size(memory);
        if !self.rng.one_in(self.hazard) {
            return match self.rng.below(4) {
                0 => self.rng.below((end / 4).clamp(1, 16)),
                // Most of the memory, so that the address must be small.
                1 if self.rng.one_in(4) => end.saturating_sub(64),
                _ => 0,
            };
        }
        let near = self.rng.below(3);
        let offset = match self.rng.below(6) {
            0 => end.wrapping_sub(size).wrapping_add(near),
            1 => end + near,
            2 => (1 << 31) - 1 + near,
            3 => u64::from(u32::MAX) - near,
            4 => (1 << 32) - size - near,
            _ if self.ty(memory).memory64 => {
                self.rng.pick(&[1 << 32, 1 << 63, u64::MAX, u64::MAX - 8])
            }
            _ => 0x1_0000,
        };
        match self.ty(memory).memory64 {
            true => offset,
            false => offset.min(u32::MAX.into()),
        }
    }

    /// An address for an access whose offset and width are `size` together: mostly one that is
    /// inside, if there is room, and a multiple of `align`.
    fn address(&mut self, memory: u32, size: u64, align: u64) {
        let is_64 = self.ty(memory).memory64;
        let end = self.size(memory);
        if self.rng.one_in(self.hazard) {
            let near = (end + self.rng.below(4)).wrapping_sub(size);
            self.any_address(is_64, near);
            return;
        }
        let last = end.saturating_sub(size) & align_mask(align);
        let mask = match (last + 1).checked_ilog2() {
            Some(log2) => ((1u64 << log2) - 1) & align_mask(align),
            None => 0,
        };
        match self.rng.below(6) {
            0 => {
                let at = self.rng.below(last + 1) & align_mask(align);
                self.number(is_64, at);
            }
            1 => self.number(is_64, last),
            2 => {
                let small = mask.min(7) & align_mask(align);
                self.masked(is_64, small);
                self.number(is_64, last - small);
                self.add(is_64);
            }
            3 => {
                let half = (mask >> 1) & align_mask(align);
                self.masked(is_64, half);
                let more = self.rng.below(half + 1) & align_mask(align);
                self.number(is_64, more);
                self.add(is_64);
            }
            _ => self.masked(is_64, mask),
        }
    }

    /// An address that may be anywhere, often at `near`.
    fn any_address(&mut self, is_64: bool, near: u64) {
        match self.rng.below(4) {
            0 => self.number(is_64, near),
            1 => {
                self.index(is_64);
                self.number(is_64, near);
                self.add(is_64);
            }
            2 => self.index(is_64),
            _ => {
                if let Value::I64(any) = Value::random(Type::I64, &mut self.rng) {
                    self.number(is_64, any);
                }
            }
        }
    }

    fn masked(&mut self, is_64: bool, mask: u64) {
        self.index(is_64);
        self.number(is_64, mask);
        self.emit(&[if is_64 { I::I64And } else { I::I32And }]);
    }

    /// A value that is not known.
    fn index(&mut self, is_64: bool) {
        match (is_64, self.rng.below(4)) {
            (false, 0) => self.emit(&[I::LocalGet(0)]),
            (false, 1) => self.emit(&[I::LocalGet(1)]),
            (false, 2) => self.emit(&[I::LocalGet(SMALL)]),
            (false, _) => self.emit(&[I::LocalGet(2), I::I32WrapI64]),
            (true, 0) => self.emit(&[I::LocalGet(2)]),
            (true, 1) => self.emit(&[I::LocalGet(0), I::I64ExtendI32U]),
            (true, 2) => self.emit(&[I::LocalGet(LARGE)]),
            (true, _) => self.emit(&[I::LocalGet(1), I::I64ExtendI32S]),
        }
    }

    fn number(&mut self, is_64: bool, value: u64) {
        match is_64 {
            true => self.emit(&[I::I64Const(value as i64)]),
            false => self.emit(&[I::I32Const(value as i32)]),
        }
    }

    fn add(&mut self, is_64: bool) {
        self.emit(&[if is_64 { I::I64Add } else { I::I32Add }]);
    }
}

/// Zeroes where addresses that are multiples of `align`, a power of two, have zeroes.
fn align_mask(align: u64) -> u64 {
    !(align - 1)
}

//! Bounds checks of accesses that are compared with the memory's size.
//!
//! ```text
//! limit  = size - (offset + bytes)     loaded before the loop, if nothing there can change it
//! trap if index > limit                a branch that is never taken to a place behind the code
//! inside = index > limit ? 0 : index   a conditional move
//! access at base + inside + offset
//! ```
//!
//! The branch is what traps; the conditional move keeps the processor from accessing what is outside
//! while it does not know yet where the branch goes (Spectre, variant 1). For this `offset + bytes`
//! must be within the memory's minimum, as it nearly always is; others move the sum of index and
//! offset, and check for an overflow.
//!
//! A memory never gets smaller, so what was inside once stays inside: an index that was checked up to
//! some end is not checked again where this check was always done before ([`InBounds`]).

use std::mem::offset_of;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Inst, InstBuilder, MemFlagsData, TrapCode, Value};
use cwasm_format::vmctx::VmMemory;

use super::emit::{CONSTANT, Emitter, Region, displacement, field};
use crate::env::{MemoryBase, MemoryLoc};

const CODE: TrapCode = TrapCode::HEAP_OUT_OF_BOUNDS;
const BYTE_LEN: i32 = field(offset_of!(VmMemory, byte_len));
/// How many facts about one index are looked at: there is one for each memory and each larger end.
const MOST_STEPS: usize = 4;

/// What is known of indices at the place that is being translated.
#[derive(Default)]
pub(super) struct InBounds {
    /// In the order of their checks.
    facts: Vec<Fact>,
    /// By index value: one more than the place of the newest fact about it, or 0.
    newest: Vec<u32>,
    /// The loops that are being translated, the innermost last.
    loops: Vec<Loop>,
}

/// `index` was checked.
struct Fact {
    memory: u32,
    index: Value,
    /// So many bytes behind the index are in the memory.
    end_offset: u64,
    /// The index as 64 bits, and 0 if it is not inside, whatever the processor speculates.
    inside: Value,
    /// As [`InBounds::newest`]: the fact before about the same index.
    older: u32,
}

struct Loop {
    /// The jump to its head.
    entry: Inst,
    /// Whether a memory's size is loaded before it.
    has_size: bool,
}

/// What is known where a frame begins: the number of facts.
#[derive(Clone, Copy)]
pub(super) struct Mark(usize);

impl InBounds {
    pub(super) fn clear(&mut self) {
        self.forget_since(Mark(0));
        self.loops.clear();
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.facts.len())
    }

    /// Forgets what was checked since: it was not on every path to here.
    pub(super) fn forget_since(&mut self, mark: Mark) {
        for fact in self.facts.drain(mark.0..).rev() {
            self.newest[fact.index.as_u32() as usize] = fact.older;
        }
    }

    /// The loop that `entry` jumps to begins.
    pub(super) fn enter_loop(&mut self, entry: Inst) {
        self.loops.push(Loop {
            entry,
            has_size: false,
        });
    }

    pub(super) fn leave_loop(&mut self) {
        self.loops.pop();
    }

    fn find(&self, memory: u32, index: Value, end_offset: u64) -> Option<Value> {
        let newest = *self.newest.get(index.as_u32() as usize)?;
        let fact = |place: u32| self.facts.get((place as usize).checked_sub(1)?);
        let mut facts = std::iter::successors(fact(newest), |found| fact(found.older));
        facts
            .by_ref()
            .take(MOST_STEPS)
            .find(|fact| fact.memory == memory && end_offset <= fact.end_offset)
            .map(|fact| fact.inside)
    }

    fn insert(&mut self, memory: u32, index: Value, end_offset: u64, inside: Value) {
        let place = index.as_u32() as usize;
        if self.newest.len() <= place {
            self.newest.resize(place + 1, 0);
        }
        self.facts.push(Fact {
            memory,
            index,
            end_offset,
            inside,
            older: self.newest[place],
        });
        // A body has less than 2^32 operators.
        self.newest[place] = self.facts.len() as u32;
    }
}

impl Emitter<'_, '_> {
    /// Traps unless `size` bytes at `index + offset` are in the memory. They are at the sum of the two
    /// that are returned, counted from byte 0.
    pub(super) fn check_bounds(
        &mut self,
        memory: u32,
        loc: &MemoryLoc,
        index: Value,
        offset: u64,
        size: u64,
    ) -> (Value, u64) {
        // Saturating is safe: no memory is 2^64-1 bytes long.
        let end_offset = offset.saturating_add(size);
        if end_offset > loc.min_byte_len {
            return (self.check_far(memory, loc, index, offset, end_offset), 0);
        }
        if let Some(inside) = self.refs.in_bounds.find(memory, index, end_offset) {
            return (inside, offset);
        }
        let wide = self.extend(index);
        // No overflow: the size is never below the minimum.
        let limit = if loc.is_fixed {
            let limit = loc.min_byte_len - end_offset;
            self.builder.ins().iconst(I64, limit as i64)
        } else {
            self.load_size_before_loops(loc);
            let byte_len = self.byte_len(memory);
            let end_offset = self.builder.ins().iconst(I64, end_offset as i64);
            self.builder.ins().isub(byte_len, end_offset)
        };
        let beyond = self
            .builder
            .ins()
            .icmp(IntCC::UnsignedGreaterThan, wide, limit);
        let inside = self.trap_beyond(beyond, wide);
        self.refs
            .in_bounds
            .insert(memory, index, end_offset, inside);
        (inside, offset)
    }

    /// As [`check_bounds`](Self::check_bounds) for what may be beyond the memory at any index:
    /// `index + offset`.
    fn check_far(
        &mut self,
        memory: u32,
        loc: &MemoryLoc,
        index: Value,
        offset: u64,
        end_offset: u64,
    ) -> Value {
        let index = self.extend(index);
        let byte_len = self.byte_len(memory);
        let end_offset = self.builder.ins().iconst(I64, end_offset as i64);
        // The sum of two 32-bit numbers and a size needs 34 bits.
        let end = match loc.is_64 {
            true => self
                .builder
                .ins()
                .uadd_overflow_trap(index, end_offset, CODE),
            false => self.builder.ins().iadd(index, end_offset),
        };
        let greater = IntCC::UnsignedGreaterThan;
        let beyond = self.builder.ins().icmp(greater, end, byte_len);
        let start = self.builder.ins().iadd_imm_u(index, offset as i64);
        self.trap_beyond(beyond, start)
    }

    /// Traps if `beyond`; else gives `place`, and 0 to a processor that speculates that it is not.
    fn trap_beyond(&mut self, beyond: Value, place: Value) -> Value {
        self.builder.ins().trapnz(beyond, CODE);
        let zero = self.builder.ins().iconst(I64, 0);
        self.builder.ins().select_spectre_guard(beyond, zero, place)
    }

    /// The size in bytes at the moment.
    pub(super) fn byte_len(&mut self, memory: u32) -> Value {
        let loc = &self.env.memories[memory as usize];
        let flags = self.flags(Region::Descriptors);
        let (addr, offset) = match loc.base {
            MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => {
                (self.vmctx, displacement(desc))
            }
            MemoryBase::Import { slot } => (self.load_constant(slot), 0),
        };
        if loc.is_shared {
            // Another thread may grow it.
            let place = self
                .builder
                .ins()
                .iadd_imm_s(addr, i64::from(offset + BYTE_LEN));
            return self.builder.ins().atomic_load(I64, flags, place);
        }
        self.builder.ins().load(I64, flags, addr, offset + BYTE_LEN)
    }

    /// Loads the size before the loops around, so that alias analysis finds it there if nothing in
    /// them can change it. One memory is enough for each loop.
    fn load_size_before_loops(&mut self, loc: &MemoryLoc) {
        if loc.is_shared {
            return;
        }
        let flags = self.flags(Region::Descriptors);
        let loops = self.refs.in_bounds.loops.iter_mut().rev();
        for found in loops.take_while(|found| !found.has_size) {
            found.has_size = true;
            load_size_before(self.builder.func, found.entry, loc, self.vmctx, flags);
        }
    }
}

fn load_size_before(
    func: &mut cranelift_codegen::ir::Function,
    inst: Inst,
    loc: &MemoryLoc,
    vmctx: Value,
    flags: MemFlagsData,
) {
    let mut cursor = FuncCursor::new(func).at_inst(inst);
    let (addr, offset) = match loc.base {
        MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => (vmctx, displacement(desc)),
        MemoryBase::Import { slot } => {
            let memory = cursor.ins().load(I64, CONSTANT, vmctx, displacement(slot));
            (memory, 0)
        }
    };
    cursor.ins().load(I64, flags, addr, offset + BYTE_LEN);
}

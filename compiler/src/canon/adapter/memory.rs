//! Copies of values in memory: checks of pointers, `realloc`, and copies from place to place.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use cwasm_format::TrapCode;
use cwasm_format::abi::{Extent, FlatType, HANDLE_SIZE, Layout, PointerWidth};
use cwasm_format::builtin::Builtin;
use cwasm_format::types::{TypeDef, ValueType};
use cwasm_format::vmctx::VmMemory;

use super::flat::core_type;
use super::variants::Cases;
use super::{Copier, Side};
use crate::env::MemoryBase;
use crate::ir::boundary;
use crate::ir::flags::trusted;
use crate::ir::symbol::{Form, HandleOp};
use crate::ir::trap::trap_code;
use crate::layout::UnitLayout;
use crate::plan::CoreItem;

/// The most bytes that are copied without a call.
const MAX_INLINE_COPY: u32 = 128;

/// The memory of a side.
#[derive(Clone, Copy)]
pub(super) struct Memory(MemoryBase);

impl Memory {
    pub(super) fn new(unit: &UnitLayout<'_>, memory: CoreItem) -> Memory {
        let env = &unit.envs[memory.instance.0 as usize];
        Memory(env.memories[memory.index as usize].base)
    }
}

/// A place in a side's memory, inside a range that was checked.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// A machine address.
    pub(super) addr: Value,
    /// Bytes from there.
    pub(super) offset: i32,
}

impl Place {
    pub(super) fn new(addr: Value) -> Place {
        Place { addr, offset: 0 }
    }

    /// The place `offset` bytes further on: at most the size of a type, which is less than 2^28.
    pub(super) fn at(self, offset: u32) -> Place {
        Place {
            offset: self.offset + offset as i32,
            ..self
        }
    }
}

/// Pointers and memory.
impl Copier<'_, '_> {
    fn memory(&self, side: Side) -> Memory {
        match side.memory {
            Some(memory) => memory,
            None => unreachable!("validation checks that what needs a memory has one"),
        }
    }

    /// The address of byte 0 of a side's memory.
    fn base(&mut self, side: Side) -> Value {
        match self.memory(side).0 {
            MemoryBase::First { context_size, .. } => self
                .builder
                .ins()
                .iadd_imm_u(self.context, i64::from(context_size)),
            _ => {
                let (desc, offset) = self.memory_field(side, offset_of!(VmMemory, base));
                let flags = trusted().with_readonly().with_can_move();
                self.builder.ins().load(types::I64, flags, desc, offset)
            }
        }
    }

    /// The place of a field of the `VmMemory` of a side: an address and an offset.
    fn memory_field(&mut self, side: Side, field: usize) -> (Value, i32) {
        let field = field as i32;
        match self.memory(side).0 {
            MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => {
                (self.context, desc as i32 + field)
            }
            MemoryBase::Import { slot } => {
                let flags = trusted().with_readonly().with_can_move();
                let context = self.context;
                let desc = self
                    .builder
                    .ins()
                    .load(types::I64, flags, context, slot as i32);
                (desc, field)
            }
        }
    }

    /// The address of the `VmMemory` of a side, for builtins.
    pub(super) fn memory_desc(&mut self, side: Side) -> Value {
        let (desc, offset) = self.memory_field(side, 0);
        match offset {
            0 => desc,
            _ => self.builder.ins().iadd_imm_u(desc, i64::from(offset)),
        }
    }

    /// Size and alignment of a type in the memory of a side.
    pub(super) fn extent(&self, ty: ValueType, side: Side) -> Extent {
        self.types.abi(ty).layout.at(side.width)
    }

    /// A pointer or length as 64 bits.
    pub(super) fn extend(&mut self, value: Value) -> Value {
        match self.builder.func.dfg.value_type(value) {
            types::I64 => value,
            _ => self.builder.ins().uextend(types::I64, value),
        }
    }

    /// A pointer or length of 64 bits in the destination's width.
    pub(super) fn narrow(&mut self, value: Value) -> Value {
        match self.to.width {
            PointerWidth::W32 => self.builder.ins().ireduce(types::I32, value),
            PointerWidth::W64 => value,
        }
    }

    /// A constant pointer or length in the destination's width.
    fn pointer_const(&mut self, value: u32) -> Value {
        let ty = core_type(FlatType::Pointer, self.to.width);
        self.builder.ins().iconst(ty, i64::from(value))
    }

    /// The place that a pointer points to. Traps if the pointer is not aligned, or the memory does
    /// not have `size` bytes (less than 2^32) there.
    pub(super) fn check(
        &mut self,
        side: Side,
        pointer: Value,
        size: Value,
        align: u32,
        out_of_bounds: TrapCode,
    ) -> Place {
        if align > 1 {
            let low = self.builder.ins().band_imm_u(pointer, i64::from(align - 1));
            self.trap_if(low, TrapCode::UnalignedPointer);
        }
        let start = self.extend(pointer);
        let end = match side.width {
            PointerWidth::W32 => self.builder.ins().iadd(start, size),
            PointerWidth::W64 => {
                let code = trap_code(out_of_bounds);
                self.builder.ins().uadd_overflow_trap(start, size, code)
            }
        };
        let (desc, offset) = self.memory_field(side, offset_of!(VmMemory, byte_len));
        let len = self.builder.ins().load(types::I64, trusted(), desc, offset);
        let beyond = self
            .builder
            .ins()
            .icmp(IntCC::UnsignedGreaterThan, end, len);
        self.trap_if(beyond, out_of_bounds);
        let base = self.base(side);
        Place::new(self.builder.ins().iadd(base, start))
    }

    /// The place that a pointer to a value points to.
    pub(super) fn pointer_to(&mut self, side: Side, pointer: Value, layout: Layout) -> Place {
        let Extent { size, align } = layout.at(side.width);
        let size = self.builder.ins().iconst(types::I64, i64::from(size));
        self.check(side, pointer, size, align, TrapCode::MemoryOutOfBounds)
    }

    /// Allocates memory for one value at the destination; returns pointer and place.
    pub(super) fn allocate_value(&mut self, layout: Layout) -> (Value, Place) {
        let Extent { size, align } = layout.at(self.to.width);
        let size = self.builder.ins().iconst(types::I64, i64::from(size));
        self.allocate(size, align, TrapCode::MemoryOutOfBounds)
    }

    /// Allocates `size` (64 bits) bytes at the destination; returns pointer and place.
    pub(super) fn allocate(
        &mut self,
        size: Value,
        align: u32,
        out_of_bounds: TrapCode,
    ) -> (Value, Place) {
        let old = self.pointer_const(0);
        let old_size = self.builder.ins().iconst(types::I64, 0);
        self.reallocate(old, old_size, size, align, out_of_bounds)
    }

    /// Calls the destination's `realloc`. Sizes have 64 bits and are below 2^32. The instance
    /// cannot be left during the call, which is as a task of its own.
    pub(super) fn reallocate(
        &mut self,
        old: Value,
        old_size: Value,
        size: Value,
        align: u32,
        out_of_bounds: TrapCode,
    ) -> (Value, Place) {
        let side = self.to;
        let Some(realloc) = side.realloc else {
            unreachable!("validation checks that what needs `realloc` has it")
        };
        let context = self.context;
        let inside = self.builder.ins().iconst(types::I32, 0);
        let ins = self.builder.ins();
        ins.store(trusted(), inside, context, side.flags);
        let old_size = self.narrow(old_size);
        let align_value = self.pointer_const(align);
        let new_size = self.narrow(size);
        let args = [context, old, old_size, align_value, new_size];
        let storage = side
            .storage
            .map(|offset| self.exchange_storage(offset, None));
        let pointer = boundary::call(self.builder, self.may_throw, realloc, &args)[0];
        if let (Some(offset), Some(before)) = (side.storage, storage) {
            self.exchange_storage(offset, Some(before));
        }
        let ins = self.builder.ins();
        ins.store(trusted(), side.outer_flags, context, side.flags);
        let place = self.check(side, pointer, size, align, out_of_bounds);
        (pointer, place)
    }

    /// Sets the storage of a task at this context offset, zero unless it is given: what it was.
    fn exchange_storage(&mut self, offset: i32, with: Option<[Value; 2]>) -> [Value; 2] {
        let context = self.context;
        [0, 1].map(|slot| {
            let place = offset + 8 * slot as i32;
            let ins = self.builder.ins();
            let before = ins.load(types::I64, trusted(), context, place);
            let new = match with {
                Some(values) => values[slot],
                None => self.builder.ins().iconst(types::I64, 0),
            };
            self.builder.ins().store(trusted(), new, context, place);
            before
        })
    }
}

/// Copies.
impl Copier<'_, '_> {
    /// Copies a value from place to place.
    pub(super) fn copy_memory(&mut self, ty: ValueType, src: Place, dst: Place) {
        if self.sharing.is_plain(ty) {
            self.copy_bytes(self.extent(ty, self.to).size, src, dst);
            return;
        }
        match self.shared(ty, Form::Memory) {
            Some(func) => self.call_memory(func, src, dst),
            None => self.copy_parts(ty, src, dst),
        }
    }

    /// Copies a value that is not plain, but does not call a shared function for the value as a
    /// whole.
    pub(super) fn copy_parts(&mut self, ty: ValueType, src: Place, dst: Place) {
        let ValueType::Def(id) = ty else {
            if ty == ValueType::String {
                let (pointer, len) = self.load_pair(src);
                let pair = self.string(pointer, len);
                self.store_pair(pair, dst);
            } else {
                self.checked_scalar(ty, src, dst);
            }
            return;
        };
        match self.types.def(id) {
            TypeDef::List(element) | TypeDef::Map(element) => {
                let (pointer, len) = self.load_pair(src);
                let pair = self.list(*element, pointer, len);
                self.store_pair(pair, dst);
            }
            TypeDef::FixedList(element, _) => {
                let size = i64::from(self.extent(ty, self.from).size);
                let size = self.builder.ins().iconst(types::I64, size);
                let (src, dst) = (self.whole_address(src), self.whole_address(dst));
                self.copy_elements(*element, size, src, dst);
            }
            TypeDef::Record(fields) => {
                self.memory_fields(fields.iter().map(|(_, ty)| *ty), src, dst);
            }
            TypeDef::Tuple(fields) => self.memory_fields(fields.iter().copied(), src, dst),
            TypeDef::Flags(names) => {
                let size = Layout::flags(names.len()).at(PointerWidth::W32).size;
                let value = self.load_uint(src, size);
                let value = self.mask_flags(value, names.len());
                self.store_uint(value, dst, size);
            }
            TypeDef::Own(resource) => {
                let handle = self.load_uint(src, HANDLE_SIZE);
                let handle = self.own(handle, *resource);
                self.store_uint(handle, dst, HANDLE_SIZE);
            }
            TypeDef::Borrow(resource) => {
                let handle = self.load_uint(src, HANDLE_SIZE);
                let handle = self.borrow(handle, *resource, HandleOp::Note);
                self.store_uint(handle, dst, HANDLE_SIZE);
            }
            def => self.memory_variant(ty, &Cases::new(def), src, dst),
        }
    }

    /// Copies the fields of a record or tuple, neighbouring plain fields at once.
    pub(super) fn memory_fields(
        &mut self,
        fields: impl Iterator<Item = ValueType>,
        src: Place,
        dst: Place,
    ) {
        let (mut read, mut written) = (Extent::EMPTY, Extent::EMPTY);
        // Plain bytes that are not copied yet: their start on both sides, and their number.
        let (mut start, mut size) = ((0, 0), 0);
        for ty in fields {
            let (from, to) = (self.extent(ty, self.from), self.extent(ty, self.to));
            let mut offset = (0, 0);
            (offset.0, read) = read.push_field(from);
            (offset.1, written) = written.push_field(to);
            let is_plain = self.sharing.is_plain(ty);
            if !is_plain || offset != (start.0 + size, start.1 + size) {
                self.copy_bytes(size, src.at(start.0), dst.at(start.1));
                (start, size) = (offset, 0);
            }
            if is_plain {
                size += to.size;
            } else {
                self.copy_memory(ty, src.at(offset.0), dst.at(offset.1));
                start = (offset.0 + from.size, offset.1 + to.size);
            }
        }
        self.copy_bytes(size, src.at(start.0), dst.at(start.1));
    }

    fn memory_variant(&mut self, ty: ValueType, cases: &Cases, src: Place, dst: Place) {
        let discriminant = self.load_discriminant(src, cases.count());
        if cases.payloads.is_empty() {
            self.check_discriminant(discriminant, cases.count());
            self.store_discriminant(discriminant, dst, cases.count());
            return;
        }
        let payload = |place: Place, extent: Extent| place.at(extent.payload_offset(cases.count()));
        let src = payload(src, self.extent(ty, self.from));
        let payload_dst = payload(dst, self.extent(ty, self.to));
        let merge = self.builder.create_block();
        for (payload, block) in self.branch_to_cases(cases, discriminant) {
            self.builder.switch_to_block(block);
            if let Some(payload) = payload {
                self.copy_memory(payload, src, payload_dst);
            }
            self.builder.ins().jump(merge, &[]);
        }
        self.builder.switch_to_block(merge);
        self.store_discriminant(discriminant, dst, cases.count());
    }

    /// Pointer and length of a string or list.
    fn load_pair(&mut self, src: Place) -> (Value, Value) {
        let size = self.from.width.bytes();
        (
            self.load_uint(src, size),
            self.load_uint(src.at(size), size),
        )
    }

    fn store_pair(&mut self, (pointer, len): (Value, Value), dst: Place) {
        let size = self.to.width.bytes();
        self.store_uint(pointer, dst, size);
        self.store_uint(len, dst.at(size), size);
    }

    /// The place with its offset added to the address.
    pub(super) fn whole_address(&mut self, place: Place) -> Place {
        let offset = i64::from(place.offset);
        Place::new(self.builder.ins().iadd_imm_u(place.addr, offset))
    }

    /// Copies a constant number of bytes.
    fn copy_bytes(&mut self, size: u32, src: Place, dst: Place) {
        if size > MAX_INLINE_COPY {
            let size = self.builder.ins().iconst(types::I64, i64::from(size));
            self.copy_range(size, src, dst);
            return;
        }
        let chunks = [
            (16, types::I8X16),
            (8, types::I64),
            (4, types::I32),
            (2, types::I16),
        ];
        let mut done = 0;
        for (chunk, ty) in chunks.into_iter().chain([(1, types::I8)]) {
            while size - done >= chunk {
                let (from, to) = (src.at(done), dst.at(done));
                // Chunks may only be aligned to the smallest number in them.
                let flags = cranelift_codegen::ir::MemFlagsData::new().with_notrap();
                let ins = self.builder.ins();
                let value = ins.load(ty, flags, from.addr, from.offset);
                let ins = self.builder.ins();
                ins.store(flags, value, to.addr, to.offset);
                done += chunk;
            }
        }
    }

    /// Copies as many bytes as `size`, a 64-bit value, says.
    pub(super) fn copy_range(&mut self, size: Value, src: Place, dst: Place) {
        let (from, to) = (self.from, self.to);
        let src = self.offset_in_memory(from, src);
        let dst = self.offset_in_memory(to, dst);
        let args = [self.memory_desc(to), dst, self.memory_desc(from), src, size];
        self.builtin(Builtin::MemoryCopy, &args);
    }

    /// The distance in bytes of a place from the start of the side's memory.
    pub(super) fn offset_in_memory(&mut self, side: Side, place: Place) -> Value {
        let base = self.base(side);
        let offset = self.builder.ins().isub(place.addr, base);
        self.builder
            .ins()
            .iadd_imm_u(offset, i64::from(place.offset))
    }
}

//! Bulk operations on memories and tables, and segments.

use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, Value};
use cwasm_format::builtin::Builtin;

use super::emit::{Emitter, Region};
use crate::env::{SegmentLoc, SegmentStart};
use crate::ir::flags::displacement;
use crate::ir::function::symbol_address;
use crate::ir::symbol::Symbol;

impl Emitter<'_, '_> {
    pub(super) fn memory_copy(&mut self, memories: (u32, u32), dst: Value, src: Value, len: Value) {
        let dst_memory = self.memory_desc(memories.0);
        let src_memory = self.memory_desc(memories.1);
        let [dst, src, len] = [dst, src, len].map(|value| self.extend(value));
        self.builtin(
            Builtin::MemoryCopy,
            &[dst_memory, dst, src_memory, src, len],
        );
    }

    pub(super) fn memory_fill(&mut self, memory: u32, dst: Value, value: Value, len: Value) {
        let memory = self.memory_desc(memory);
        let [dst, len] = [dst, len].map(|value| self.extend(value));
        self.builtin(Builtin::MemoryFill, &[memory, dst, value, len]);
    }

    pub(crate) fn memory_init(
        &mut self,
        (memory, data): (u32, u32),
        dst: Value,
        src: Value,
        len: Value,
    ) {
        let memory = self.memory_desc(memory);
        let (segment, segment_len) = self.segment(self.data_segment(data));
        let [dst, src, len] = [dst, src, len].map(|value| self.extend(value));
        self.builtin(
            Builtin::MemoryInit,
            &[memory, dst, segment, segment_len, src, len],
        );
    }

    pub(crate) fn data_drop(&mut self, data: u32) {
        self.drop_segment(self.data_segment(data));
    }

    pub(super) fn table_fill(&mut self, table: u32, dst: Value, value: Value, len: Value) {
        let table = self.table_desc(table);
        let [dst, len] = [dst, len].map(|value| self.extend(value));
        self.builtin(Builtin::TableFill, &[table, dst, value, len]);
    }

    pub(super) fn table_copy(&mut self, tables: (u32, u32), dst: Value, src: Value, len: Value) {
        let dst_table = self.table_desc(tables.0);
        let src_table = self.table_desc(tables.1);
        let [dst, src, len] = [dst, src, len].map(|value| self.extend(value));
        self.builtin(Builtin::TableCopy, &[dst_table, dst, src_table, src, len]);
    }

    pub(crate) fn table_init(
        &mut self,
        (table, element): (u32, u32),
        dst: Value,
        src: Value,
        len: Value,
    ) {
        let table = self.table_desc(table);
        let (segment, segment_len) = self.segment(self.element_segment(element));
        let [dst, src, len] = [dst, src, len].map(|value| self.extend(value));
        self.builtin(
            Builtin::TableInit,
            &[table, dst, segment, segment_len, src, len],
        );
    }

    pub(crate) fn elem_drop(&mut self, element: u32) {
        self.drop_segment(self.element_segment(element));
    }

    fn data_segment(&self, data: u32) -> SegmentLoc {
        match self.env.data[data as usize] {
            Some(segment) => segment,
            None => unreachable!("data segment {data} was not laid out"),
        }
    }

    fn element_segment(&self, element: u32) -> SegmentLoc {
        match self.env.elements[element as usize] {
            Some(segment) => segment,
            None => unreachable!("element segment {element} was not laid out"),
        }
    }

    /// The address and current length of a segment.
    fn segment(&mut self, segment: SegmentLoc) -> (Value, Value) {
        let start = match segment.start {
            SegmentStart::Data(offset) => symbol_address(self.builder, Symbol::Data(offset)),
            SegmentStart::Context(offset) => self.context_addr(offset),
        };
        let flags = self.flags(Region::Descriptors);
        let offset = displacement(segment.len);
        let len = self.builder.ins().load(I64, flags, self.vmctx, offset);
        (start, len)
    }

    fn drop_segment(&mut self, segment: SegmentLoc) {
        let flags = self.flags(Region::Descriptors);
        let zero = self.builder.ins().iconst(I64, 0);
        self.builder
            .ins()
            .store(flags, zero, self.vmctx, displacement(segment.len));
    }
}

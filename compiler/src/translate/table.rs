//! Tables: addresses of elements, `table.get`, `table.set`, `table.size` and `table.grow`.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, InstBuilder, Value};
use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use cwasm_format::vmctx::VmTable;

use super::emit::{Emitter, Region, displacement, field};
use super::trap::trap_code;
use crate::env::TableLoc;

/// Log2 of the bytes of an element.
const ELEMENT_LOG2: u32 = 3;
const OUT_OF_BOUNDS: ir::TrapCode = trap_code(TrapCode::TableOutOfBounds);

impl Emitter<'_, '_> {
    /// Where an element is, as an address and an offset; traps if it is out of bounds.
    pub(super) fn element(&mut self, table: u32, index: Value) -> (Value, i32) {
        let index_constant = self.constant(index);
        match self.env.tables[table as usize] {
            TableLoc::Fixed { elements, len, .. } => {
                if let Some(index) = index_constant
                    && index < u64::from(len)
                {
                    let offset = (index as u32) << ELEMENT_LOG2;
                    return (self.vmctx, displacement(elements + offset));
                }
                let (condition, bound) = (IntCC::UnsignedGreaterThanOrEqual, i64::from(len));
                let beyond = self.builder.ins().icmp_imm_u(condition, index, bound);
                self.builder.ins().trapnz(beyond, OUT_OF_BOUNDS);
                (self.element_at(self.vmctx, index), displacement(elements))
            }
            TableLoc::Own { .. } | TableLoc::Import { .. } => {
                const BASE: i32 = field(offset_of!(VmTable, base));
                let len = self.table_len(table);
                let index = self.extend(index);
                let condition = IntCC::UnsignedGreaterThanOrEqual;
                let beyond = self.builder.ins().icmp(condition, index, len);
                self.builder.ins().trapnz(beyond, OUT_OF_BOUNDS);
                let (desc, offset) = self.table_place(table);
                let flags = self.flags(Region::Descriptors);
                let base = self.builder.ins().load(I64, flags, desc, offset + BASE);
                (self.element_at(base, index), 0)
            }
        }
    }

    fn element_at(&mut self, base: Value, index: Value) -> Value {
        let index = self.extend(index);
        let offset = self
            .builder
            .ins()
            .ishl_imm_u(index, i64::from(ELEMENT_LOG2));
        self.builder.ins().iadd(base, offset)
    }

    /// Where the table's [`VmTable`] is, as an address and an offset.
    fn table_place(&mut self, table: u32) -> (Value, i32) {
        match self.env.tables[table as usize] {
            TableLoc::Fixed { desc, .. } | TableLoc::Own { desc } => {
                (self.vmctx, displacement(desc))
            }
            TableLoc::Import { slot } => (self.load_constant(slot), 0),
        }
    }

    /// The address of the table's [`VmTable`].
    pub(crate) fn table_desc(&mut self, table: u32) -> Value {
        match self.env.tables[table as usize] {
            TableLoc::Fixed { desc, .. } | TableLoc::Own { desc } => self.context_addr(desc),
            TableLoc::Import { slot } => self.load_constant(slot),
        }
    }

    /// The number of elements at the moment.
    fn table_len(&mut self, table: u32) -> Value {
        const LEN: i32 = field(offset_of!(VmTable, len));
        if let TableLoc::Fixed { len, .. } = self.env.tables[table as usize] {
            return self.builder.ins().iconst(I64, i64::from(len));
        }
        let (desc, offset) = self.table_place(table);
        let flags = self.flags(Region::Descriptors);
        self.builder.ins().load(I64, flags, desc, offset + LEN)
    }

    pub(super) fn table_get(&mut self, table: u32, index: Value) -> Value {
        let (addr, offset) = self.element(table, index);
        let flags = self.flags(Region::Elements);
        self.builder.ins().load(I64, flags, addr, offset)
    }

    pub(crate) fn table_set(&mut self, table: u32, index: Value, value: Value) {
        let (addr, offset) = self.element(table, index);
        let flags = self.flags(Region::Elements);
        self.builder.ins().store(flags, value, addr, offset);
    }

    pub(super) fn table_size(&mut self, table: u32) -> Value {
        let len = self.table_len(table);
        self.narrow(len, self.table_is_64(table))
    }

    pub(super) fn table_grow(&mut self, table: u32, value: Value, delta: Value) -> Value {
        let desc = self.table_desc(table);
        let delta = self.extend(delta);
        let old = self.builtin_value(Builtin::TableGrow, &[desc, delta, value]);
        // -1 stays -1.
        self.narrow(old, self.table_is_64(table))
    }

    fn table_is_64(&self, table: u32) -> bool {
        self.env.module.tables[table as usize].table64
    }
}

//! Tables: addresses of elements, `table.get`, `table.set`, `table.size` and `table.grow`.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Value};
use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use cwasm_format::vmctx::VmTable;

use super::call::REFERENT;
use super::emit::{Emitter, Region};
use crate::env::TableLoc;
use crate::ir::flags::{displacement, field};
use crate::ir::function::symbol_address;
use crate::ir::reference::Reference;
use crate::ir::symbol::Symbol;
use crate::ir::trap::trap_code;

const CONSTANT_TABLE: &str = "what writes, grows or copies a table is known when it is laid out";
const OUT_OF_BOUNDS: ir::TrapCode = trap_code(TrapCode::TableOutOfBounds);

impl Emitter<'_, '_> {
    /// The place of an element, as an address and an offset. Traps if it is out of bounds.
    pub(super) fn element(&mut self, table: u32, index: Value) -> (Value, i32) {
        let index_constant = self.constant(index);
        match self.env.tables[table as usize] {
            TableLoc::Fixed { elements, len, .. } => {
                if let Some(index) = index_constant
                    && index < u64::from(len)
                {
                    let offset = (index as u32) << Reference::SIZE_LOG2;
                    return (self.vmctx, displacement(elements + offset));
                }
                self.check_fixed(index, len);
                (self.element_at(self.vmctx, index), displacement(elements))
            }
            TableLoc::Constant { data, len, .. } => {
                if let Some(index) = index_constant
                    && index < u64::from(len)
                {
                    let element = data + ((index as u32) << Reference::SIZE_LOG2);
                    return (symbol_address(self.builder, Symbol::Data(element)), 0);
                }
                self.check_fixed(index, len);
                let elements = symbol_address(self.builder, Symbol::Data(data));
                (self.element_at(elements, index), 0)
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

    /// Traps if the index is out of bounds of a table of constant length.
    fn check_fixed(&mut self, index: Value, len: u32) {
        let (condition, bound) = (IntCC::UnsignedGreaterThanOrEqual, i64::from(len));
        let beyond = self.builder.ins().icmp_imm_u(condition, index, bound);
        self.builder.ins().trapnz(beyond, OUT_OF_BOUNDS);
    }

    /// Flags of loads of elements.
    pub(super) fn element_flags(&mut self, table: u32) -> MemFlagsData {
        match self.env.tables[table as usize] {
            TableLoc::Constant { .. } => REFERENT,
            _ => self.flags(Region::Elements),
        }
    }

    fn element_at(&mut self, base: Value, index: Value) -> Value {
        let index = self.extend(index);
        let offset = self
            .builder
            .ins()
            .ishl_imm_u(index, i64::from(Reference::SIZE_LOG2));
        self.builder.ins().iadd(base, offset)
    }

    /// The place of the table's [`VmTable`], as an address and an offset.
    fn table_place(&mut self, table: u32) -> (Value, i32) {
        match self.env.tables[table as usize] {
            TableLoc::Fixed { desc, .. } | TableLoc::Own { desc } => {
                (self.vmctx, displacement(desc))
            }
            TableLoc::Import { slot } => (self.load_constant(slot), 0),
            TableLoc::Constant { .. } => unreachable!("{CONSTANT_TABLE}"),
        }
    }

    /// The address of the table's [`VmTable`].
    pub(crate) fn table_desc(&mut self, table: u32) -> Value {
        match self.env.tables[table as usize] {
            TableLoc::Fixed { desc, .. } | TableLoc::Own { desc } => self.context_addr(desc),
            TableLoc::Import { slot } => self.load_constant(slot),
            TableLoc::Constant { .. } => unreachable!("{CONSTANT_TABLE}"),
        }
    }

    /// The current number of elements.
    fn table_len(&mut self, table: u32) -> Value {
        const LEN: i32 = field(offset_of!(VmTable, len));
        if let TableLoc::Fixed { len, .. } | TableLoc::Constant { len, .. } =
            self.env.tables[table as usize]
        {
            return self.builder.ins().iconst(I64, i64::from(len));
        }
        let (desc, offset) = self.table_place(table);
        let flags = self.flags(Region::Descriptors);
        self.builder.ins().load(I64, flags, desc, offset + LEN)
    }

    pub(super) fn table_get(&mut self, table: u32, index: Value) -> Value {
        let place = self.element(table, index);
        let flags = self.element_flags(table);
        self.table_reference(table).load(self.builder, flags, place)
    }

    pub(crate) fn table_set(&mut self, table: u32, index: Value, value: Value) {
        let place = self.element(table, index);
        let flags = self.flags(Region::Elements);
        self.table_reference(table)
            .store(self.builder, flags, value, place);
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

    /// The kind of a table's elements.
    fn table_reference(&self, table: u32) -> Reference {
        Reference::of(self.env.module.tables[table as usize].element_type)
    }

    fn table_is_64(&self, table: u32) -> bool {
        self.env.module.tables[table as usize].table64
    }
}

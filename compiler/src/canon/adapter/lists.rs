//! Lists.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use cwasm_format::TrapCode;
use cwasm_format::abi::MAX_BYTE_LENGTH;
use cwasm_format::types::ValueType;

use super::memory::is_plain;
use super::vectors::check_of;
use super::{Copier, Place};

impl Copier<'_, '_> {
    /// Copies a list: its pointer on the other side.
    pub(super) fn list(&mut self, element: ValueType, pointer: Value, len: Value) -> Value {
        let layout = self.types.abi(element).layout;
        // Elements have less than 2^28 bytes, so this does not overflow.
        let len = self.extend(len);
        let size = self.builder.ins().imul_imm_u(len, i64::from(layout.size));
        self.check_length(size, TrapCode::ListTooLong);
        let out_of_bounds = TrapCode::ListOutOfBounds;
        let src = self.check(self.from, pointer, size, layout.align, out_of_bounds);
        let (pointer, dst) = self.allocate(size, layout.align, out_of_bounds);
        if is_plain(self.types, element) {
            self.copy_range(size, src, dst);
        } else if let Some(check) = check_of(self.types, element) {
            let (rest, src, dst) = self.copy_vectors(check, size, src, dst);
            self.copy_elements(element, rest, src, dst);
        } else {
            self.copy_elements(element, size, src, dst);
        }
        pointer
    }

    /// Traps if a string or list has too many bytes.
    pub(super) fn check_length(&mut self, size: Value, too_long: TrapCode) {
        let beyond = IntCC::UnsignedGreaterThan;
        let limit = MAX_BYTE_LENGTH as i64;
        let is_beyond = self.builder.ins().icmp_imm_u(beyond, size, limit);
        self.trap_if(is_beyond, too_long);
    }

    /// Copies `size` bytes of elements one by one.
    fn copy_elements(&mut self, element: ValueType, size: Value, src: Place, dst: Place) {
        let step = i64::from(self.types.abi(element).layout.size);
        let body = self.builder.create_block();
        let done = self.builder.create_block();
        let src_addr = self.builder.append_block_param(body, types::I64);
        let dst_addr = self.builder.append_block_param(body, types::I64);
        let end = self.builder.ins().iadd(src.addr, size);
        let start = [BlockArg::from(src.addr), BlockArg::from(dst.addr)];
        self.builder.ins().brif(size, body, &start, done, &[]);

        self.builder.switch_to_block(body);
        self.checks.emit(self.builder, self.context);
        self.copy_memory(element, Place::new(src_addr), Place::new(dst_addr));
        let next_src = self.builder.ins().iadd_imm_u(src_addr, step);
        let next_dst = self.builder.ins().iadd_imm_u(dst_addr, step);
        let more = self.builder.ins().icmp(IntCC::NotEqual, next_src, end);
        let next = [BlockArg::from(next_src), BlockArg::from(next_dst)];
        self.builder.ins().brif(more, body, &next, done, &[]);

        self.builder.switch_to_block(done);
    }
}

//! Lists.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use cwasm_format::TrapCode;
use cwasm_format::abi::{MAX_BYTE_LENGTH, PointerWidth};
use cwasm_format::types::ValueType;

use super::vectors::check_of;
use super::{Copier, Place};

impl Copier<'_, '_> {
    /// Copies a list; returns its pointer and length at the destination.
    pub(super) fn list(
        &mut self,
        element: ValueType,
        pointer: Value,
        len: Value,
    ) -> (Value, Value) {
        let (read, written) = (
            self.extent(element, self.from),
            self.extent(element, self.to),
        );
        let wide_len = self.extend(len);
        let size = self.byte_size(wide_len, read.size, TrapCode::ListTooLong);
        let out_of_bounds = TrapCode::ListOutOfBounds;
        let src = self.check(self.from, pointer, size, read.align, out_of_bounds);
        let new_size = if read.size == written.size {
            size
        } else {
            // Wider pointers at most double it, so that it stays below 2^32.
            let step = i64::from(written.size);
            self.builder.ins().imul_imm_u(wide_len, step)
        };
        let (pointer, dst) = self.allocate(new_size, written.align, out_of_bounds);
        self.copy_elements(element, size, src, dst);
        let len = if self.from.width == self.to.width {
            len
        } else {
            self.narrow(wide_len)
        };
        (pointer, len)
    }

    /// The bytes of `len` (64 bits) elements or code units of `size` bytes. Traps if they are more
    /// than a string or list may have, 2^28 - 1.
    pub(super) fn byte_size(&mut self, len: Value, size: u32, too_long: TrapCode) -> Value {
        if self.from.width == PointerWidth::W64 {
            // First check the length, as the product could overflow.
            self.check_length(len, too_long);
        }
        let bytes = self.builder.ins().imul_imm_u(len, i64::from(size));
        self.check_length(bytes, too_long);
        bytes
    }

    /// Copies `size` bytes of elements. At the destination they may have another size.
    pub(super) fn copy_elements(
        &mut self,
        element: ValueType,
        size: Value,
        src: Place,
        dst: Place,
    ) {
        if self.sharing.is_plain(element) {
            self.copy_range(size, src, dst);
        } else if let Some(check) = check_of(self.types, element) {
            let (rest, src, dst) = self.copy_vectors(check, size, src, dst);
            self.copy_one_by_one(element, rest, src, dst);
        } else {
            self.copy_one_by_one(element, size, src, dst);
        }
    }

    /// Traps if a string or list has too many bytes.
    pub(super) fn check_length(&mut self, size: Value, too_long: TrapCode) {
        let beyond = IntCC::UnsignedGreaterThan;
        let limit = MAX_BYTE_LENGTH as i64;
        let is_beyond = self.builder.ins().icmp_imm_u(beyond, size, limit);
        self.trap_if(is_beyond, too_long);
    }

    fn copy_one_by_one(&mut self, element: ValueType, size: Value, src: Place, dst: Place) {
        let step = |side| i64::from(self.extent(element, side).size);
        let (src_step, dst_step) = (step(self.from), step(self.to));
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
        let next_src = self.builder.ins().iadd_imm_u(src_addr, src_step);
        let next_dst = self.builder.ins().iadd_imm_u(dst_addr, dst_step);
        let more = self.builder.ins().icmp(IntCC::NotEqual, next_src, end);
        let next = [BlockArg::from(next_src), BlockArg::from(next_dst)];
        self.builder.ins().brif(more, body, &next, done, &[]);

        self.builder.switch_to_block(done);
    }
}

//! The translation of each operator: one arm each.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, I8, I16, I32, I64, I128};
use cranelift_codegen::ir::{BlockArg, BlockCall, InstBuilder, Opcode, Type, Value};
use cranelift_codegen::isa::TargetIsa;
use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use wasmparser::{BlockType, HeapType, MemArg, Operator, RefType, ValType};

use super::call::Callee;
use super::control::Frame;
use super::emit::Emitter;
use super::exceptions::Exceptions;
use super::interrupt::CheckBudget;
use super::locals::{self, Locals};
use super::unroll::{Body, Unrolled};
use crate::env::ConstValue;
use crate::error::Result;
use crate::ir::reference::Reference;
use crate::ir::types::value_type;

/// The state of the translation of one function.
pub(super) struct Translator<'e, 'f> {
    pub(super) emit: Emitter<'e, 'f>,
    pub(super) isa: &'e dyn TargetIsa,
    pub(super) locals: Locals,
    /// How large the function may become before its locals go to the frame.
    pub(super) size: locals::Budget,
    /// Operands.
    pub(super) stack: &'e mut Vec<Value>,
    pub(super) frames: &'e mut Vec<Frame>,
    /// Arguments of the branch that is being emitted.
    pub(super) branch_args: &'e mut Vec<BlockArg>,
    /// Entries of the `br_table` that is being emitted.
    pub(super) branch_table: &'e mut Vec<BlockCall>,
    /// Whether the current operator can be reached.
    pub(super) reachable: bool,
    /// The number of control frames that were opened and not yet ended in unreachable code.
    pub(super) dead_frames: u32,
    /// The `try_table`s around the current operator.
    pub(super) exceptions: &'e mut Exceptions,
    /// Counts operators up to the next interrupt check.
    pub(super) budget: CheckBudget,
    /// The body of the loop that the current operator begins, if the loop will be unrolled.
    pub(super) loop_body: Option<Body<'e>>,
    /// The innermost loop, while the first copy of its body is translated.
    pub(super) unrolled: Option<Unrolled<'e>>,
}

impl Translator<'_, '_> {
    /// Translates an operator that has been validated.
    pub(super) fn operator(&mut self, op: &Operator<'_>, offset: u64) -> Result<()> {
        if !self.reachable {
            return self.dead_operator(op);
        }
        self.count_operator();
        match op {
            Operator::Unreachable => self.trap(TrapCode::Unreachable),
            Operator::Nop => {}
            Operator::Block { blockty } => self.block(*blockty),
            Operator::Loop { blockty } => self.loop_(*blockty),
            Operator::If { blockty } => self.if_(*blockty),
            Operator::Else => self.else_(),
            Operator::End => self.end()?,
            Operator::Br { relative_depth } => self.br(*relative_depth),
            Operator::BrIf { relative_depth } => self.br_if(*relative_depth),
            Operator::BrTable { targets } => self.br_table(targets)?,
            Operator::BrOnNull { relative_depth } => self.br_on_null(*relative_depth),
            Operator::BrOnNonNull { relative_depth } => self.br_on_non_null(*relative_depth),
            Operator::Return => self.return_(),
            Operator::Call { function_index } => self.call(*function_index),
            Operator::CallIndirect {
                type_index,
                table_index,
            } => self.call_indirect(*type_index, *table_index),
            Operator::ReturnCall { function_index } => self.return_call(*function_index),
            Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => self.return_call_indirect(*type_index, *table_index),
            Operator::CallRef { type_index } => self.call_ref(*type_index),
            Operator::ReturnCallRef { type_index } => self.return_call_ref(*type_index),
            Operator::TryTable { try_table } => self.try_table(try_table),
            Operator::Throw { tag_index } => self.throw(*tag_index),
            Operator::ThrowRef => self.throw_ref(),
            Operator::Try { blockty } => self.try_(*blockty),
            Operator::Catch { .. } | Operator::CatchAll => self.catch(),
            Operator::Delegate { .. } => self.end()?,
            Operator::Rethrow { relative_depth } => self.rethrow(*relative_depth),
            Operator::Drop => _ = self.pop(),
            Operator::Select | Operator::TypedSelect { .. } => self.select(),
            Operator::LocalGet { local_index } => self.local_get(*local_index),
            Operator::LocalSet { local_index } => self.local_set(*local_index),
            Operator::LocalTee { local_index } => self.local_tee(*local_index),
            Operator::GlobalGet { global_index } => self.global_get(*global_index, offset)?,
            Operator::GlobalSet { global_index } => self.global_set(*global_index),
            Operator::I32Load { memarg } => self.load(memarg, Opcode::Load, I32),
            Operator::I64Load { memarg } => self.load(memarg, Opcode::Load, I64),
            Operator::F32Load { memarg } => self.load(memarg, Opcode::Load, F32),
            Operator::F64Load { memarg } => self.load(memarg, Opcode::Load, F64),
            Operator::I32Load8S { memarg } => self.load(memarg, Opcode::Sload8, I32),
            Operator::I32Load8U { memarg } => self.load(memarg, Opcode::Uload8, I32),
            Operator::I32Load16S { memarg } => self.load(memarg, Opcode::Sload16, I32),
            Operator::I32Load16U { memarg } => self.load(memarg, Opcode::Uload16, I32),
            Operator::I64Load8S { memarg } => self.load(memarg, Opcode::Sload8, I64),
            Operator::I64Load8U { memarg } => self.load(memarg, Opcode::Uload8, I64),
            Operator::I64Load16S { memarg } => self.load(memarg, Opcode::Sload16, I64),
            Operator::I64Load16U { memarg } => self.load(memarg, Opcode::Uload16, I64),
            Operator::I64Load32S { memarg } => self.load(memarg, Opcode::Sload32, I64),
            Operator::I64Load32U { memarg } => self.load(memarg, Opcode::Uload32, I64),
            Operator::I32Store { memarg }
            | Operator::I64Store { memarg }
            | Operator::F32Store { memarg }
            | Operator::F64Store { memarg } => self.store(memarg, Opcode::Store),
            Operator::I32Store8 { memarg } | Operator::I64Store8 { memarg } => {
                self.store(memarg, Opcode::Istore8)
            }
            Operator::I32Store16 { memarg } | Operator::I64Store16 { memarg } => {
                self.store(memarg, Opcode::Istore16)
            }
            Operator::I64Store32 { memarg } => self.store(memarg, Opcode::Istore32),
            Operator::MemorySize { mem } => self.memory_size(*mem),
            Operator::MemoryGrow { mem } => self.memory_grow(*mem),
            Operator::I32Const { value } => self.constant(ConstValue::I32(*value as u32)),
            Operator::I64Const { value } => self.constant(ConstValue::I64(*value as u64)),
            Operator::F32Const { value } => self.constant(ConstValue::F32(value.bits())),
            Operator::F64Const { value } => self.constant(ConstValue::F64(value.bits())),
            Operator::I32Eqz | Operator::I64Eqz => self.int_eqz(),
            Operator::I32Eq | Operator::I64Eq => self.int_compare(IntCC::Equal),
            Operator::I32Ne | Operator::I64Ne => self.int_compare(IntCC::NotEqual),
            Operator::I32LtS | Operator::I64LtS => self.int_compare(IntCC::SignedLessThan),
            Operator::I32LtU | Operator::I64LtU => self.int_compare(IntCC::UnsignedLessThan),
            Operator::I32GtS | Operator::I64GtS => self.int_compare(IntCC::SignedGreaterThan),
            Operator::I32GtU | Operator::I64GtU => self.int_compare(IntCC::UnsignedGreaterThan),
            Operator::I32LeS | Operator::I64LeS => self.int_compare(IntCC::SignedLessThanOrEqual),
            Operator::I32LeU | Operator::I64LeU => self.int_compare(IntCC::UnsignedLessThanOrEqual),
            Operator::I32GeS | Operator::I64GeS => {
                self.int_compare(IntCC::SignedGreaterThanOrEqual)
            }
            Operator::I32GeU | Operator::I64GeU => {
                self.int_compare(IntCC::UnsignedGreaterThanOrEqual)
            }
            Operator::F32Eq | Operator::F64Eq => self.float_compare(FloatCC::Equal),
            Operator::F32Ne | Operator::F64Ne => self.float_compare(FloatCC::NotEqual),
            Operator::F32Lt | Operator::F64Lt => self.float_compare(FloatCC::LessThan),
            Operator::F32Gt | Operator::F64Gt => self.float_compare(FloatCC::GreaterThan),
            Operator::F32Le | Operator::F64Le => self.float_compare(FloatCC::LessThanOrEqual),
            Operator::F32Ge | Operator::F64Ge => self.float_compare(FloatCC::GreaterThanOrEqual),
            Operator::I32Clz | Operator::I64Clz => self.unary(|ins, a| ins.clz(a)),
            Operator::I32Ctz | Operator::I64Ctz => self.unary(|ins, a| ins.ctz(a)),
            Operator::I32Popcnt | Operator::I64Popcnt => self.unary(|ins, a| ins.popcnt(a)),
            Operator::I32Add | Operator::I64Add => self.binary(|ins, a, b| ins.iadd(a, b)),
            Operator::I32Sub | Operator::I64Sub => self.binary(|ins, a, b| ins.isub(a, b)),
            Operator::I32Mul | Operator::I64Mul => self.binary(|ins, a, b| ins.imul(a, b)),
            Operator::I32DivS | Operator::I64DivS => self.binary(|ins, a, b| ins.sdiv(a, b)),
            Operator::I32DivU | Operator::I64DivU => self.binary(|ins, a, b| ins.udiv(a, b)),
            Operator::I32RemS | Operator::I64RemS => self.binary(|ins, a, b| ins.srem(a, b)),
            Operator::I32RemU | Operator::I64RemU => self.binary(|ins, a, b| ins.urem(a, b)),
            Operator::I32And | Operator::I64And => self.binary(|ins, a, b| ins.band(a, b)),
            Operator::I32Or | Operator::I64Or => self.binary(|ins, a, b| ins.bor(a, b)),
            Operator::I32Xor | Operator::I64Xor => self.binary(|ins, a, b| ins.bxor(a, b)),
            Operator::I32Shl | Operator::I64Shl => self.binary(|ins, a, b| ins.ishl(a, b)),
            Operator::I32ShrS | Operator::I64ShrS => self.binary(|ins, a, b| ins.sshr(a, b)),
            Operator::I32ShrU | Operator::I64ShrU => self.binary(|ins, a, b| ins.ushr(a, b)),
            Operator::I32Rotl | Operator::I64Rotl => self.binary(|ins, a, b| ins.rotl(a, b)),
            Operator::I32Rotr | Operator::I64Rotr => self.binary(|ins, a, b| ins.rotr(a, b)),
            Operator::F32Abs | Operator::F64Abs => self.unary(|ins, a| ins.fabs(a)),
            Operator::F32Neg | Operator::F64Neg => self.unary(|ins, a| ins.fneg(a)),
            Operator::F32Sqrt | Operator::F64Sqrt => self.unary(|ins, a| ins.sqrt(a)),
            Operator::F32Ceil => self.round(Builtin::F32Ceil, Opcode::Ceil),
            Operator::F32Floor => self.round(Builtin::F32Floor, Opcode::Floor),
            Operator::F32Trunc => self.round(Builtin::F32Trunc, Opcode::Trunc),
            Operator::F32Nearest => self.round(Builtin::F32Nearest, Opcode::Nearest),
            Operator::F64Ceil => self.round(Builtin::F64Ceil, Opcode::Ceil),
            Operator::F64Floor => self.round(Builtin::F64Floor, Opcode::Floor),
            Operator::F64Trunc => self.round(Builtin::F64Trunc, Opcode::Trunc),
            Operator::F64Nearest => self.round(Builtin::F64Nearest, Opcode::Nearest),
            Operator::F32Add | Operator::F64Add => self.binary(|ins, a, b| ins.fadd(a, b)),
            Operator::F32Sub | Operator::F64Sub => self.binary(|ins, a, b| ins.fsub(a, b)),
            Operator::F32Mul | Operator::F64Mul => self.binary(|ins, a, b| ins.fmul(a, b)),
            Operator::F32Div | Operator::F64Div => self.binary(|ins, a, b| ins.fdiv(a, b)),
            Operator::F32Min | Operator::F64Min => self.binary(|ins, a, b| ins.fmin(a, b)),
            Operator::F32Max | Operator::F64Max => self.binary(|ins, a, b| ins.fmax(a, b)),
            Operator::F32Copysign | Operator::F64Copysign => {
                self.binary(|ins, a, b| ins.fcopysign(a, b))
            }
            Operator::I32WrapI64 => self.unary(|ins, a| ins.ireduce(I32, a)),
            Operator::I64ExtendI32S => self.unary(|ins, a| ins.sextend(I64, a)),
            Operator::I64ExtendI32U => self.unary(|ins, a| ins.uextend(I64, a)),
            Operator::I32TruncF32S | Operator::I32TruncF64S => {
                self.unary(|ins, a| ins.fcvt_to_sint(I32, a))
            }
            Operator::I32TruncSatF32S | Operator::I32TruncSatF64S => {
                self.unary(|ins, a| ins.fcvt_to_sint_sat(I32, a))
            }
            Operator::I32TruncF32U | Operator::I32TruncF64U => {
                self.unary(|ins, a| ins.fcvt_to_uint(I32, a))
            }
            Operator::I32TruncSatF32U | Operator::I32TruncSatF64U => {
                self.unary(|ins, a| ins.fcvt_to_uint_sat(I32, a))
            }
            Operator::I64TruncF32S | Operator::I64TruncF64S => {
                self.unary(|ins, a| ins.fcvt_to_sint(I64, a))
            }
            Operator::I64TruncSatF32S | Operator::I64TruncSatF64S => {
                self.unary(|ins, a| ins.fcvt_to_sint_sat(I64, a))
            }
            Operator::I64TruncF32U | Operator::I64TruncF64U => {
                self.unary(|ins, a| ins.fcvt_to_uint(I64, a))
            }
            Operator::I64TruncSatF32U | Operator::I64TruncSatF64U => {
                self.unary(|ins, a| ins.fcvt_to_uint_sat(I64, a))
            }
            Operator::F32ConvertI32S | Operator::F32ConvertI64S => {
                self.unary(|ins, a| ins.fcvt_from_sint(F32, a))
            }
            Operator::F32ConvertI32U | Operator::F32ConvertI64U => {
                self.unary(|ins, a| ins.fcvt_from_uint(F32, a))
            }
            Operator::F64ConvertI32S | Operator::F64ConvertI64S => {
                self.unary(|ins, a| ins.fcvt_from_sint(F64, a))
            }
            Operator::F64ConvertI32U | Operator::F64ConvertI64U => {
                self.unary(|ins, a| ins.fcvt_from_uint(F64, a))
            }
            Operator::F32DemoteF64 => self.unary(|ins, a| ins.fdemote(F32, a)),
            Operator::F64PromoteF32 => self.unary(|ins, a| ins.fpromote(F64, a)),
            Operator::I32ReinterpretF32 => self.reinterpret(I32),
            Operator::I64ReinterpretF64 => self.reinterpret(I64),
            Operator::F32ReinterpretI32 => self.reinterpret(F32),
            Operator::F64ReinterpretI64 => self.reinterpret(F64),
            Operator::I32Extend8S | Operator::I64Extend8S => self.sign_extend_low(I8),
            Operator::I32Extend16S | Operator::I64Extend16S => self.sign_extend_low(I16),
            Operator::I64Extend32S => self.sign_extend_low(I32),
            Operator::MemoryInit { data_index, mem } => self.memory_init(*mem, *data_index),
            Operator::DataDrop { data_index } => self.emit.data_drop(*data_index),
            Operator::MemoryCopy { dst_mem, src_mem } => self.memory_copy(*dst_mem, *src_mem),
            Operator::MemoryFill { mem } => self.memory_fill(*mem),
            Operator::TableInit { elem_index, table } => self.table_init(*table, *elem_index),
            Operator::ElemDrop { elem_index } => self.emit.elem_drop(*elem_index),
            Operator::TableCopy {
                dst_table,
                src_table,
            } => self.table_copy(*dst_table, *src_table),
            Operator::TableFill { table } => self.table_fill(*table),
            Operator::TableGet { table } => self.table_get(*table),
            Operator::TableSet { table } => self.table_set(*table),
            Operator::TableGrow { table } => self.table_grow(*table),
            Operator::TableSize { table } => self.table_size(*table),
            Operator::RefNull { hty } => self.ref_null(*hty, offset)?,
            Operator::RefIsNull => self.ref_is_null(),
            Operator::RefFunc { function_index } => self.ref_func(*function_index),
            Operator::RefAsNonNull => self.ref_as_non_null(),
            Operator::I64Add128 => self.wide_binary(|ins, a, b| ins.iadd(a, b)),
            Operator::I64Sub128 => self.wide_binary(|ins, a, b| ins.isub(a, b)),
            Operator::I64MulWideS => self.wide_multiply(|ins, a| ins.sextend(I128, a)),
            Operator::I64MulWideU => self.wide_multiply(|ins, a| ins.uextend(I128, a)),
            op => return self.vector_operator(op, offset),
        }
        Ok(())
    }
}

impl<'e> Translator<'e, '_> {
    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    pub(super) fn pop(&mut self) -> Value {
        match self.stack.pop() {
            Some(value) => value,
            None => unreachable!("operands are validated"),
        }
    }

    pub(super) fn pop2(&mut self) -> (Value, Value) {
        let b = self.pop();
        (self.pop(), b)
    }

    pub(super) fn pop3(&mut self) -> (Value, Value, Value) {
        let (b, c) = self.pop2();
        (self.pop(), b, c)
    }

    /// The types of a block's parameters.
    pub(super) fn params(&self, ty: BlockType) -> &'e [ValType] {
        match ty {
            BlockType::Empty | BlockType::Type(_) => &[],
            BlockType::FuncType(ty) => self.emit.env.module.types[ty as usize].params(),
        }
    }

    /// How many results a block has.
    pub(super) fn result_count(&self, ty: BlockType) -> usize {
        match ty {
            BlockType::Empty => 0,
            BlockType::Type(_) => 1,
            BlockType::FuncType(ty) => self.emit.env.module.types[ty as usize].results().len(),
        }
    }

    fn select(&mut self) {
        let (a, b, condition) = self.pop3();
        let result = self.emit.builder.ins().select(condition, a, b);
        self.push(result);
    }

    fn local_get(&mut self, local: u32) {
        let value = self.locals.get(self.emit.builder, local);
        self.push(value);
    }

    fn local_set(&mut self, local: u32) {
        let value = self.pop();
        self.locals.set(self.emit.builder, local, value);
    }

    fn local_tee(&mut self, local: u32) {
        let value = self.pop();
        self.locals.set(self.emit.builder, local, value);
        self.push(value);
    }

    fn global_get(&mut self, global: u32, offset: u64) -> Result<()> {
        let value = self
            .emit
            .global_get(global)
            .map_err(|error| error.at(offset))?;
        self.push(value);
        Ok(())
    }

    fn global_set(&mut self, global: u32) {
        let value = self.pop();
        self.emit.global_set(global, value);
    }

    fn call(&mut self, func: u32) {
        let callee = self.emit.func_callee(func);
        self.call_callee(&callee, self.emit.env.module.funcs[func as usize]);
    }

    fn return_call(&mut self, func: u32) {
        let callee = self.emit.func_callee(func);
        self.return_call_callee(&callee, self.emit.env.module.funcs[func as usize]);
    }

    fn call_indirect(&mut self, type_index: u32, table: u32) {
        let index = self.pop();
        let callee = self.emit.table_callee(type_index, table, index);
        self.call_callee(&callee, type_index);
    }

    fn return_call_indirect(&mut self, type_index: u32, table: u32) {
        let index = self.pop();
        let callee = self.emit.table_callee(type_index, table, index);
        self.return_call_callee(&callee, type_index);
    }

    fn call_ref(&mut self, type_index: u32) {
        let reference = self.pop();
        let callee = self.emit.ref_callee(type_index, reference);
        self.call_callee(&callee, type_index);
    }

    fn return_call_ref(&mut self, type_index: u32) {
        let reference = self.pop();
        let callee = self.emit.ref_callee(type_index, reference);
        self.return_call_callee(&callee, type_index);
    }

    /// Calls with the topmost operands, and replaces them by the results.
    fn call_callee(&mut self, callee: &Callee, type_index: u32) {
        let params = self.emit.env.module.types[type_index as usize].params();
        self.call_with_operands(callee, params.len());
    }

    fn return_call_callee(&mut self, callee: &Callee, type_index: u32) {
        let first = self.first_arg(type_index);
        self.emit.return_call_callee(callee, &self.stack[first..]);
        self.budget.call();
        self.reachable = false;
    }

    /// The place on the operand stack where the arguments of a function of this type begin.
    fn first_arg(&self, type_index: u32) -> usize {
        self.stack.len()
            - self.emit.env.module.types[type_index as usize]
                .params()
                .len()
    }

    fn load(&mut self, memarg: &MemArg, opcode: Opcode, ty: Type) {
        let index = self.pop();
        let value = self.emit.load(memarg, index, opcode, ty);
        self.push(value);
    }

    fn store(&mut self, memarg: &MemArg, opcode: Opcode) {
        let (index, value) = self.pop2();
        self.emit.store(memarg, index, opcode, value);
    }

    fn memory_size(&mut self, memory: u32) {
        let size = self.emit.memory_size(memory);
        self.push(size);
    }

    fn memory_grow(&mut self, memory: u32) {
        let delta = self.pop();
        let old = self.emit.memory_grow(memory, delta);
        self.push(old);
    }

    fn memory_init(&mut self, memory: u32, data: u32) {
        let (dst, src, len) = self.pop3();
        self.emit.memory_init((memory, data), dst, src, len);
    }

    fn memory_copy(&mut self, dst_memory: u32, src_memory: u32) {
        let (dst, src, len) = self.pop3();
        self.emit
            .memory_copy((dst_memory, src_memory), dst, src, len);
    }

    fn memory_fill(&mut self, memory: u32) {
        let (dst, value, len) = self.pop3();
        self.emit.memory_fill(memory, dst, value, len);
    }

    fn table_get(&mut self, table: u32) {
        let index = self.pop();
        let value = self.emit.table_get(table, index);
        self.push(value);
    }

    fn table_set(&mut self, table: u32) {
        let (index, value) = self.pop2();
        self.emit.table_set(table, index, value);
    }

    fn table_size(&mut self, table: u32) {
        let size = self.emit.table_size(table);
        self.push(size);
    }

    fn table_grow(&mut self, table: u32) {
        let (value, delta) = self.pop2();
        let old = self.emit.table_grow(table, value, delta);
        self.push(old);
    }

    fn table_init(&mut self, table: u32, element: u32) {
        let (dst, src, len) = self.pop3();
        self.emit.table_init((table, element), dst, src, len);
    }

    fn table_copy(&mut self, dst_table: u32, src_table: u32) {
        let (dst, src, len) = self.pop3();
        self.emit.table_copy((dst_table, src_table), dst, src, len);
    }

    fn table_fill(&mut self, table: u32) {
        let (dst, value, len) = self.pop3();
        self.emit.table_fill(table, dst, value, len);
    }

    fn ref_null(&mut self, ty: HeapType, offset: u64) -> Result<()> {
        // Every valid type index fits.
        let ty = RefType::new(true, ty).unwrap_or(RefType::FUNCREF);
        value_type(ValType::Ref(ty)).map_err(|error| error.at(offset))?;
        let null = self.emit.ref_null(Reference::of(ty));
        self.push(null);
        Ok(())
    }

    fn ref_is_null(&mut self) {
        let reference = self.pop();
        let result = self.emit.is_null(reference);
        self.push_bool(result);
    }

    fn ref_as_non_null(&mut self) {
        // The operand stays on the stack as the result.
        if let Some(reference) = self.stack.last() {
            self.emit.trap_if_null(*reference);
        }
    }

    fn ref_func(&mut self, func: u32) {
        let reference = self.emit.ref_func(func);
        self.push(reference);
    }
}

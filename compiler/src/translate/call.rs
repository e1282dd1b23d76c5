//! Calls: direct, through imports, through tables, and of builtins.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    self, Endianness, FuncRef, GlobalValueData, Inst, InstBuilder, MemFlagsData, SigRef, Value,
};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use cwasm_format::vmctx::{VmContext, VmFuncImport, VmFuncRef, VmStore, closed_func_ref};
use wasmparser::{HeapType, UnpackedIndex};

use super::emit::{Emitter, Region};
use super::reference::NULL_REFERENCE;
use crate::env::{FuncLoc, FuncRefs, TableLoc};
use crate::ir::flags::{CONSTANT, displacement, field};
use crate::ir::function::declare_function;
use crate::ir::symbol::Symbol;
use crate::ir::trap::trap_code;
use crate::ir::types::{builtin_signature, core_signature};

const CALL_TO_NULL: ir::TrapCode = trap_code(TrapCode::IndirectCallToNull);
const BAD_SIGNATURE: ir::TrapCode = trap_code(TrapCode::BadSignature);

/// Flags of loads of values that never change but can be read only after a check: the target of an
/// open reference that is not null, an element of a constant table that is in bounds.
pub(super) const REFERENT: MemFlagsData = MemFlagsData::new()
    .with_notrap()
    .with_readonly()
    .with_endianness(Endianness::Little);

/// A function to call, and the context that it is called with.
pub(super) struct Callee {
    pub(super) code: Code,
    context: Value,
}

pub(super) enum Code {
    Func(FuncRef),
    Address(SigRef, Value),
}

impl Emitter<'_, '_> {
    /// Calls a function of the module.
    pub(crate) fn call(&mut self, func: u32, args: &[Value]) -> Inst {
        let callee = self.func_callee(func);
        self.call_callee(&callee, args)
    }

    /// Emits a tail call.
    pub(super) fn return_call_callee(&mut self, callee: &Callee, args: &[Value]) {
        self.limit_tail_call(callee);
        self.collect_args(callee.context, args);
        match callee.code {
            Code::Func(func) => self.builder.ins().return_call(func, &self.refs.args),
            Code::Address(signature, code) => {
                self.builder
                    .ins()
                    .return_call_indirect(signature, code, &self.refs.args)
            }
        };
    }

    pub(super) fn call_callee(&mut self, callee: &Callee, args: &[Value]) -> Inst {
        self.begin_call(callee, args);
        match callee.code {
            Code::Func(func) => self.builder.ins().call(func, &self.refs.args),
            Code::Address(signature, code) => {
                self.builder
                    .ins()
                    .call_indirect(signature, code, &self.refs.args)
            }
        }
    }

    /// Prepares a call, and collects its arguments.
    pub(super) fn begin_call(&mut self, callee: &Callee, args: &[Value]) {
        self.limit_stack();
        self.collect_args(callee.context, args);
    }

    pub(super) fn callee_signature(&self, callee: &Callee) -> SigRef {
        match callee.code {
            Code::Func(func) => self.builder.func.dfg.ext_funcs[func].signature,
            Code::Address(signature, _) => signature,
        }
    }

    /// A function of the module.
    pub(super) fn func_callee(&mut self, func: u32) -> Callee {
        match self.env.funcs[func as usize] {
            FuncLoc::Local { func: id, .. } => {
                let callee = match self.refs.funcs.get(func) {
                    Some(known) => known,
                    None => {
                        let signature = self.signature(self.env.module.funcs[func as usize]);
                        let symbol = Symbol::Func(id);
                        let callee = declare_function(self.builder.func, symbol, signature);
                        self.refs.funcs.insert(func, callee)
                    }
                };
                Callee {
                    code: Code::Func(callee),
                    context: self.vmctx,
                }
            }
            FuncLoc::Import { slot } => {
                const CODE: i32 = field(offset_of!(VmFuncImport, code));
                const CONTEXT: i32 = field(offset_of!(VmFuncImport, context));
                let slot = displacement(slot);
                let signature = self.signature(self.env.module.funcs[func as usize]);
                let code = self.load_constant_at(self.vmctx, slot + CODE);
                let context = self.load_constant_at(self.vmctx, slot + CONTEXT);
                Callee {
                    code: Code::Address(signature, code),
                    context,
                }
            }
        }
    }

    /// The function in an element of a table. Traps unless it has the type.
    pub(super) fn table_callee(&mut self, type_index: u32, table: u32, index: Value) -> Callee {
        let type_number = self.env.type_numbers[type_index as usize];
        let element = self.element(table, index);
        let flags = self.element_flags(table);
        if self.has_elements_of(table, type_number) {
            let (addr, offset) = element;
            let reference = self.builder.ins().load(I64, flags, addr, offset);
            return self.reference_callee(type_index, reference, CALL_TO_NULL);
        }
        let signature = self.signature(type_index);
        let (code, context) = match self.env.refs {
            FuncRefs::Closed => {
                if !self.all_of_type(table, type_number) {
                    self.check_closed(type_number, element, flags);
                }
                (self.closed_callee(element, flags), self.vmctx)
            }
            FuncRefs::Open { type_ids } => self.open_callee(type_ids + 4 * type_number, element),
        };
        Callee {
            code: Code::Address(signature, code),
            context,
        }
    }

    /// Whether all elements of a table are null or functions of this type.
    fn has_elements_of(&self, table: u32, type_number: u32) -> bool {
        let heap_type = self.env.module.tables[table as usize].element_type;
        match heap_type.heap_type() {
            HeapType::Concrete(UnpackedIndex::Module(ty)) => {
                self.env.type_numbers[ty as usize] == type_number
            }
            _ => false,
        }
    }

    /// Whether each element of the table is, and always stays, a function of this type.
    fn all_of_type(&self, table: u32, type_number: u32) -> bool {
        match self.env.tables[table as usize] {
            TableLoc::Constant { all_of_type, .. } => all_of_type == Some(type_number),
            _ => false,
        }
    }

    /// The function of a reference, which has the type or is null.
    pub(super) fn ref_callee(&mut self, type_index: u32, reference: Value) -> Callee {
        self.reference_callee(type_index, reference, NULL_REFERENCE)
    }

    /// As [`ref_callee`](Self::ref_callee), where null traps with the code `null`.
    fn reference_callee(
        &mut self,
        type_index: u32,
        reference: Value,
        null: ir::TrapCode,
    ) -> Callee {
        let signature = self.signature(type_index);
        self.builder.ins().trapz(reference, null);
        let (code, context) = match self.env.refs {
            FuncRefs::Closed => {
                let text_offset = self.builder.ins().ireduce(I32, reference);
                let text_offset = self.builder.ins().uextend(I64, text_offset);
                let text = self.text_address();
                (self.builder.ins().iadd(text, text_offset), self.vmctx)
            }
            FuncRefs::Open { .. } => self.open_target(reference),
        };
        Callee {
            code: Code::Address(signature, code),
            context,
        }
    }

    /// Makes the prologue check the stack if a tail call may need more room for arguments than the
    /// caller has given: the prologue then moves the frame, and a fault during the move would find
    /// no frame at all.
    fn limit_tail_call(&mut self, callee: &Callee) {
        /// This many parameters fit in registers, beside the context and the address of results.
        const IN_REGISTERS: usize = 4;
        let signature = self.callee_signature(callee);
        let func = &*self.builder.func;
        let params = &func.dfg.signatures[signature].params;
        let fits = params.len() <= 1 + IN_REGISTERS || *params == func.signature.params;
        if !fits {
            self.limit_stack();
        }
    }

    /// Makes the prologue check that the stack has room for this function. Functions that call
    /// others have this check, so that recursion ends at the store's limit. It was measured at 1 to
    /// 2 % of a function that does nothing but call itself, less than the effect of moving its code
    /// by a few bytes.
    fn limit_stack(&mut self) {
        const STORE: i32 = field(offset_of!(VmContext, store));
        const LIMIT: i32 = field(offset_of!(VmStore, stack_limit));
        let func = &mut *self.builder.func;
        if func.stack_limit.is_some() {
            return;
        }
        let flags = func.dfg.mem_flags.insert_unchecked(CONSTANT);
        let context = func.create_global_value(GlobalValueData::VMContext);
        let mut load = |base, offset: i32| {
            func.create_global_value(GlobalValueData::Load {
                base,
                offset: offset.into(),
                global_type: I64,
                flags,
            })
        };
        let store = load(context, STORE);
        let limit = load(store, LIMIT);
        func.stack_limit = Some(limit);
    }

    /// Checks the type of a closed function reference in memory, by one comparison with the high
    /// half of the element. If they differ, code off the usual path finds out which trap it is.
    fn check_closed(
        &mut self,
        type_number: u32,
        (addr, offset): (Value, i32),
        flags: MemFlagsData,
    ) {
        const OFFSET_OF_TYPE: i32 = 4;
        let expected = closed_func_ref(type_number, 0) >> 32;
        let found = self
            .builder
            .ins()
            .load(I32, flags, addr, offset + OFFSET_OF_TYPE);
        let equal = self
            .builder
            .ins()
            .icmp_imm_u(IntCC::Equal, found, expected as i64);
        let (matches, differs) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(differs);
        self.builder.ins().brif(equal, matches, &[], differs, &[]);
        self.builder.seal_block(matches);
        self.builder.seal_block(differs);

        self.builder.switch_to_block(differs);
        // A load of its own, so that the load above can be an operand of the comparison.
        let reference = self.builder.ins().load(I64, flags, addr, offset);
        self.builder.ins().trapz(reference, CALL_TO_NULL);
        self.builder.ins().trap(BAD_SIGNATURE);

        self.builder.switch_to_block(matches);
    }

    /// The code of a closed function reference in memory, which is not null.
    fn closed_callee(&mut self, (addr, offset): (Value, i32), flags: MemFlagsData) -> Value {
        let text_offset = self.builder.ins().uload32(flags, addr, offset);
        let text = self.text_address();
        self.builder.ins().iadd(text, text_offset)
    }

    /// The code and context of an open function reference in memory. The engine's number of the
    /// expected type is at context offset `type_id`.
    fn open_callee(&mut self, type_id: u32, (addr, offset): (Value, i32)) -> (Value, Value) {
        const TYPE_ID: i32 = field(offset_of!(VmFuncRef, type_id));
        let flags = self.flags(Region::Elements);
        let reference = self.builder.ins().load(I64, flags, addr, offset);
        self.builder.ins().trapz(reference, CALL_TO_NULL);
        let flags = REFERENT;
        let found = self.builder.ins().load(I64, flags, reference, TYPE_ID);
        let expected = self
            .builder
            .ins()
            .uload32(flags, self.vmctx, displacement(type_id));
        let differs = self.builder.ins().icmp(IntCC::NotEqual, found, expected);
        self.builder.ins().trapnz(differs, BAD_SIGNATURE);
        self.open_target(reference)
    }

    /// The code and context of an open function reference that is not null.
    fn open_target(&mut self, reference: Value) -> (Value, Value) {
        const CODE: i32 = field(offset_of!(VmFuncRef, code));
        const CONTEXT: i32 = field(offset_of!(VmFuncRef, context));
        let code = self.builder.ins().load(I64, REFERENT, reference, CODE);
        let context = self.builder.ins().load(I64, REFERENT, reference, CONTEXT);
        (code, context)
    }

    /// Calls a builtin. Its trampoline raises a failure as a trap.
    pub(crate) fn builtin(&mut self, builtin: Builtin, args: &[Value]) -> Inst {
        let callee = self.builtin_func(builtin);
        self.collect_args(self.vmctx, args);
        self.builder.ins().call(callee, &self.refs.args)
    }

    /// A builtin, to be called as functions are.
    pub(super) fn builtin_callee(&mut self, builtin: Builtin) -> Callee {
        Callee {
            code: Code::Func(self.builtin_func(builtin)),
            context: self.vmctx,
        }
    }

    fn builtin_func(&mut self, builtin: Builtin) -> FuncRef {
        match self.refs.builtins.get(builtin as u32) {
            Some(known) => known,
            None => {
                let callee = declare_builtin(self.builder, builtin);
                self.refs.builtins.insert(builtin as u32, callee)
            }
        }
    }

    /// Calls a builtin that returns a value.
    pub(crate) fn builtin_value(&mut self, builtin: Builtin, args: &[Value]) -> Value {
        let call = self.builtin(builtin, args);
        self.builder.inst_results(call)[0]
    }

    fn signature(&mut self, type_index: u32) -> SigRef {
        if let Some(known) = self.refs.signatures.get(type_index) {
            return known;
        }
        let signature = core_signature(&self.env.module.types[type_index as usize]);
        let signature = self.builder.import_signature(signature);
        self.refs.signatures.insert(type_index, signature)
    }

    fn collect_args(&mut self, context: Value, args: &[Value]) {
        self.refs.args.clear();
        self.refs.args.push(context);
        self.refs.args.extend_from_slice(args);
    }
}

fn declare_builtin(builder: &mut FunctionBuilder<'_>, builtin: Builtin) -> FuncRef {
    let signature = builder.import_signature(builtin_signature(builtin));
    declare_function(builder.func, Symbol::Builtin(builtin), signature)
}

//! References to functions.

use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, TrapCode, Value};
use cwasm_format::vmctx::{VmFuncImport, closed_func_ref};
use std::mem::offset_of;

use super::emit::Emitter;
use crate::env::{FuncLoc, FuncRefs, RefSource};
use crate::ir::flags::{displacement, field};
use crate::ir::function::{declare_symbol, symbol_address};
use crate::ir::reference::{Reference, is_null};
use crate::ir::symbol::{FuncId, Symbol};
use crate::ir::trap::trap_code;

pub(super) const NULL_REFERENCE: TrapCode = trap_code(cwasm_format::TrapCode::NullReference);

impl Emitter<'_, '_> {
    pub(super) fn ref_null(&mut self, ty: Reference) -> Value {
        ty.null(self.builder)
    }

    /// Whether a reference is null, as an `i8`.
    pub(super) fn is_null(&mut self, reference: Value) -> Value {
        is_null(self.builder, reference)
    }

    pub(super) fn trap_if_null(&mut self, reference: Value) {
        self.builder.ins().trapz(reference, NULL_REFERENCE);
    }

    pub(crate) fn ref_func(&mut self, func: u32) -> Value {
        let loc = self.env.funcs[func as usize];
        match (self.env.refs, loc) {
            (FuncRefs::Closed, FuncLoc::Local { func: id, .. }) => {
                let type_index = self.env.module.funcs[func as usize];
                self.closed_func_ref(id, self.env.type_numbers[type_index as usize])
            }
            (
                FuncRefs::Open { .. },
                FuncLoc::Local {
                    func_ref: Some(func_ref),
                    ..
                },
            ) => self.open_func_ref(RefSource::FuncRef(func_ref)),
            (FuncRefs::Open { .. }, FuncLoc::Import { slot }) => {
                self.open_func_ref(RefSource::Import(slot))
            }
            (_, loc) => unreachable!("no reference to {loc:?} was laid out"),
        }
    }

    /// A reference to a function of an open unit.
    pub(super) fn open_func_ref(&mut self, source: RefSource) -> Value {
        const FUNC_REF: i32 = field(offset_of!(VmFuncImport, func_ref));
        match source {
            RefSource::FuncRef(slot) => self.context_addr(slot),
            RefSource::Import(slot) => {
                self.load_constant_at(self.vmctx, displacement(slot) + FUNC_REF)
            }
        }
    }

    /// A reference to a function of a closed unit.
    pub(super) fn closed_func_ref(&mut self, func: FuncId, type_number: u32) -> Value {
        let code = symbol_address(self.builder, Symbol::Func(func));
        let text = self.text_address();
        let offset = self.builder.ins().isub(code, text);
        let high = closed_func_ref(type_number, 0);
        self.builder.ins().iadd_imm_u(offset, high as i64)
    }

    /// The address of the start of the text.
    pub(super) fn text_address(&mut self) -> Value {
        let symbol = match self.refs.text.get(0) {
            Some(known) => known,
            None => {
                let symbol = declare_symbol(self.builder.func, Symbol::Text);
                self.refs.text.insert(0, symbol)
            }
        };
        self.builder.ins().symbol_value(I64, symbol)
    }
}

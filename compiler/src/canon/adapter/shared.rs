//! Functions that adapters share. Each copies the values of one type from one side to another.
//!
//! Their first arguments are the context, the destination's flags as they are outside of its
//! `realloc`, and the scope of borrowed handles, if there is one. Then follow the source's flat
//! values (the destination's are returned), or the two addresses. The caller has checked the ranges
//! at the addresses.

use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, InstBuilder, Signature, Value, types};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use cwasm_format::abi::PointerWidth;
use cwasm_format::types::{TypeId, ValueType};

use super::flat::flat_types;
use super::memory::Place;
use super::sizes::Sharing;
use super::{Copier, side};
use crate::ir::function::{begin, declare_function};
use crate::ir::symbol::{CopyFunc, Form, Symbol};
use crate::layout::UnitLayout;
use crate::plan::Plan;

/// Builds a function that adapters share.
pub(crate) fn build(
    builder: &mut FunctionBuilder<'_>,
    unit: &UnitLayout<'_>,
    plan: &Plan,
    sharing: &Sharing,
    func: CopyFunc,
) {
    let entry = begin(builder, signature(plan, sharing, func));
    let params = builder.block_params(entry).to_vec();
    let (context, outer_flags, scope, args) = (params[0], params[1], params[2], &params[3..]);
    let direction = sharing.direction(func.direction);
    let from = side(builder, unit, plan, &direction.from, outer_flags);
    let to = side(builder, unit, plan, &direction.to, outer_flags);
    let ty = type_of(func);
    let mut copier = Copier::new(builder, unit, plan, sharing, context, (from, to));
    copier.direction = func.direction;
    copier.is_large = sharing.is_large(ty);
    copier.loans.are_seen = true;
    copier.loans.scope = Some(scope);
    let mut results = Vec::new();
    match (func.form, ty) {
        (Form::Flat, ValueType::String) => {
            let (pointer, len) = copier.string_parts(args[0], args[1]);
            results.extend([pointer, len]);
        }
        (Form::Flat, ty) => copier.copy_flat_parts(ty, args, &mut results),
        (Form::Memory, ty) => {
            copier.copy_parts(ty, Place::new(args[0]), Place::new(args[1]));
        }
    }
    builder.ins().return_(&results);
    builder.seal_all_blocks();
}

fn type_of(func: CopyFunc) -> ValueType {
    match func.ty {
        Some(id) => ValueType::Def(TypeId(id)),
        None => ValueType::String,
    }
}

fn signature(plan: &Plan, sharing: &Sharing, func: CopyFunc) -> Signature {
    let direction = sharing.direction(func.direction);
    let mut signature = Signature::new(CallConv::Tail);
    let context = AbiParam::special(types::I64, ArgumentPurpose::VMContext);
    let number = AbiParam::new(types::I32);
    signature.params = vec![context, number, number];
    let flat = |width: PointerWidth| {
        let types = flat_types(&plan.types.types, type_of(func), width);
        types.into_iter().map(AbiParam::new)
    };
    match func.form {
        Form::Flat => {
            signature.params.extend(flat(direction.from.options.width));
            signature.returns = flat(direction.to.options.width).collect();
        }
        Form::Memory => signature.params.extend([AbiParam::new(types::I64); 2]),
    }
    signature
}

impl Copier<'_, '_> {
    /// The shared function that copies values of this type; `None` if they are copied in place.
    pub(super) fn shared(&self, ty: ValueType, form: Form) -> Option<CopyFunc> {
        let ty = match ty {
            _ if !self.is_large || !self.sharing.is_shared(ty) => return None,
            ValueType::Def(id) => Some(id.0),
            ValueType::String => None,
            _ => return None,
        };
        Some(CopyFunc {
            direction: self.direction,
            form,
            ty,
        })
    }

    /// Copies flat values by a call.
    pub(super) fn call_flat(&mut self, func: CopyFunc, values: &[Value]) -> Vec<Value> {
        let callee = match self.shared_funcs.get(&func) {
            Some(callee) => *callee,
            None => {
                let signature = signature(self.plan, self.sharing, func);
                let signature = self.builder.func.import_signature(signature);
                let symbol = Symbol::Copy(func);
                let callee = declare_function(self.builder.func, symbol, signature);
                self.shared_funcs.insert(func, callee);
                callee
            }
        };
        let scope = match self.loans.scope {
            Some(scope) => scope,
            None => self.builder.ins().iconst(types::I32, 0),
        };
        let mut args = vec![self.context, self.to.outer_flags, scope];
        args.extend(values);
        let call = self.builder.ins().call(callee, &args);
        self.builder.inst_results(call).to_vec()
    }

    /// Copies a value in memory by a call.
    pub(super) fn call_memory(&mut self, func: CopyFunc, src: Place, dst: Place) {
        let (src, dst) = (self.whole_address(src), self.whole_address(dst));
        self.call_flat(func, &[src.addr, dst.addr]);
    }
}

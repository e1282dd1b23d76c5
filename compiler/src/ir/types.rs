//! Types and signatures as Cranelift sees them: of core functions, builtins and host functions.

use cranelift_codegen::ir::types::{F32, F64, I8X16, I32, I64};
use cranelift_codegen::ir::{self, AbiParam, ArgumentPurpose, Signature};
use cranelift_codegen::isa::CallConv;
use cwasm_format::builtin::{Builtin, Returns, Ty};
use wasmparser::{FuncType, ValType};

use super::reference::Reference;
use crate::core_types::check_ref_type;
use crate::error::Result;

/// The Cranelift type for values of this type.
pub(crate) fn representation(ty: ValType) -> ir::Type {
    match ty {
        ValType::I32 => I32,
        ValType::I64 => I64,
        ValType::Ref(ty) => Reference::of(ty).ty(),
        ValType::F32 => F32,
        ValType::F64 => F64,
        ValType::V128 => I8X16,
    }
}

/// The same, or an error if code with values of this type cannot be translated.
pub(crate) fn value_type(ty: ValType) -> Result<ir::Type> {
    match ty {
        ValType::Ref(ref_type) => check_ref_type(ref_type).map(|()| representation(ty)),
        ty => Ok(representation(ty)),
    }
}

/// The signature of core functions of this type: the context, then the parameters.
pub(crate) fn core_signature(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.reserve_exact(1 + ty.params().len());
    signature
        .params
        .push(AbiParam::special(I64, ArgumentPurpose::VMContext));
    signature.params.extend(
        ty.params()
            .iter()
            .map(|ty| AbiParam::new(representation(*ty))),
    );
    signature.returns.extend(
        ty.results()
            .iter()
            .map(|ty| AbiParam::new(representation(*ty))),
    );
    signature
}

/// The signature of the trampoline to a builtin.
pub(crate) fn builtin_signature(builtin: Builtin) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature
        .params
        .push(AbiParam::special(I64, ArgumentPurpose::VMContext));
    signature.params.extend(
        builtin
            .params()
            .iter()
            .map(|ty| AbiParam::new(builtin_type(*ty))),
    );
    match builtin.returns() {
        Returns::Value(ty) => signature.returns.push(AbiParam::new(builtin_type(ty))),
        // The trampoline raises a status as a trap.
        Returns::Status | Returns::Never => {}
    }
    signature
}

/// A type of a builtin's parameter or result.
fn builtin_type(ty: Ty) -> ir::Type {
    match ty {
        Ty::I64 => I64,
        Ty::I32 => I32,
        Ty::F32 => F32,
        Ty::F64 => F64,
    }
}

/// A signature of the C ABI with these numbers of `u64` parameters and results.
pub(crate) fn host_signature(params: usize, returns: usize) -> Signature {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params = vec![AbiParam::new(I64); params];
    signature.returns = vec![AbiParam::new(I64); returns];
    signature
}

//! References: how code represents, loads and stores them.
//!
//! Null, loads, stores and the width in tables and globals are decided here, by the kind of a
//! reference. A garbage-collected kind would be another variant of [`Reference`], with barriers in
//! `load` and `store`, whose values would be declared for stack maps where [`Reference::ty`] is
//! used.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Value};
use cranelift_frontend::FunctionBuilder;
use wasmparser::{AbstractHeapType, HeapType, RefType};

/// A kind of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// To functions. [`FuncRefs`](crate::env::FuncRefs) says how they are represented.
    Func,
    /// To values of the host: a number whose meaning the host knows.
    Extern,
    /// To exceptions: a number whose meaning the loader knows. It looks for them where code can
    /// have them: in frames, globals and tables.
    Exn,
}

impl Reference {
    /// Log2 of the bytes of an element of a table, of whatever kind.
    pub(crate) const SIZE_LOG2: u32 = 3;

    /// The kind of a type's references.
    pub(crate) fn of(ty: RefType) -> Reference {
        match ty.heap_type() {
            HeapType::Abstract {
                ty: AbstractHeapType::Extern,
                ..
            } => Reference::Extern,
            HeapType::Abstract {
                ty: AbstractHeapType::Exn | AbstractHeapType::NoExn,
                ..
            } => Reference::Exn,
            _ => Reference::Func,
        }
    }

    /// The Cranelift type of a reference.
    pub(crate) fn ty(self) -> ir::Type {
        match self {
            Reference::Func | Reference::Extern | Reference::Exn => I64,
        }
    }

    /// The null reference.
    pub(crate) fn null(self, builder: &mut FunctionBuilder<'_>) -> Value {
        builder.ins().iconst(self.ty(), 0)
    }

    /// Loads a reference.
    pub(crate) fn load(
        self,
        builder: &mut FunctionBuilder<'_>,
        flags: MemFlagsData,
        (addr, offset): (Value, i32),
    ) -> Value {
        builder.ins().load(self.ty(), flags, addr, offset)
    }

    /// Stores a reference.
    pub(crate) fn store(
        self,
        builder: &mut FunctionBuilder<'_>,
        flags: MemFlagsData,
        value: Value,
        (addr, offset): (Value, i32),
    ) {
        match self {
            Reference::Func | Reference::Extern | Reference::Exn => {
                builder.ins().store(flags, value, addr, offset);
            }
        }
    }
}

/// Whether a reference of any kind is null, as an `i8`: the operators that test for null do not say
/// the kind.
pub(crate) fn is_null(builder: &mut FunctionBuilder<'_>, reference: Value) -> Value {
    builder.ins().icmp_imm_u(IntCC::Equal, reference, 0)
}

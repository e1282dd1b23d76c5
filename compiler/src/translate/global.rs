//! Globals.

use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{I8X16, I32, I64};
use cranelift_codegen::ir::{self, ConstantData, Endianness, InstBuilder, MemFlagsData, Value};
use wasmparser::ValType;

use super::emit::{Emitter, Region};
use crate::env::{ConstRef, ConstValue, GlobalLoc};
use crate::error::Result;
use crate::ir::flags::displacement;
use crate::ir::reference::Reference;
use crate::ir::types::value_type;

impl Emitter<'_, '_> {
    pub(crate) fn global_get(&mut self, global: u32) -> Result<Value> {
        if let GlobalLoc::Const(value) = self.env.globals[global as usize] {
            return Ok(self.const_value(value));
        }
        let ty = self.env.module.globals[global as usize].content_type;
        let representation = value_type(ty)?;
        let (flags, addr, offset) = self.global_place(global);
        Ok(match ty {
            ValType::Ref(ty) => Reference::of(ty).load(self.builder, flags, (addr, offset)),
            _ => {
                let ins = self.builder.ins();
                ins.load(representation, flags, addr, offset)
            }
        })
    }

    /// Sets a global. Instantiation also sets immutable ones.
    pub(crate) fn global_set(&mut self, global: u32, value: Value) {
        let (flags, addr, offset) = self.global_place(global);
        match self.env.module.globals[global as usize].content_type {
            ValType::Ref(ty) => {
                Reference::of(ty).store(self.builder, flags, value, (addr, offset));
            }
            _ => {
                self.builder.ins().store(flags, value, addr, offset);
            }
        }
    }

    fn global_place(&mut self, global: u32) -> (MemFlagsData, Value, i32) {
        match self.env.globals[global as usize] {
            GlobalLoc::Const(_) => unreachable!("a known value is neither loaded nor stored"),
            GlobalLoc::Own { offset } => (
                self.flags(Region::Global { offset }),
                self.vmctx,
                displacement(offset),
            ),
            GlobalLoc::Import { slot } => {
                let addr = self.load_constant(slot);
                // An immutable global is set before any other instance can import it.
                let flags = match self.env.module.globals[global as usize].mutable {
                    true => self.flags(Region::ImportedGlobals),
                    false => MemFlagsData::new()
                        .with_notrap()
                        .with_readonly()
                        .with_can_move()
                        .with_endianness(Endianness::Little),
                };
                (flags, addr, 0)
            }
        }
    }

    /// A value known at compile time.
    pub(crate) fn const_value(&mut self, value: ConstValue) -> Value {
        match value {
            ConstValue::I32(bits) => self.builder.ins().iconst(I32, i64::from(bits)),
            ConstValue::I64(bits) => self.builder.ins().iconst(I64, bits as i64),
            ConstValue::F32(bits) => self.builder.ins().f32const(Ieee32::with_bits(bits)),
            ConstValue::F64(bits) => self.builder.ins().f64const(Ieee64::with_bits(bits)),
            ConstValue::V128(bits) => self.vector_constant(I8X16, bits),
            // Null is the same value for all kinds of references.
            ConstValue::Ref(ConstRef::Null) => self.ref_null(Reference::Func),
            ConstValue::Ref(ConstRef::Closed { func, type_number }) => {
                self.closed_func_ref(func, type_number)
            }
            ConstValue::Ref(ConstRef::Open(source)) => self.open_func_ref(source),
        }
    }

    /// A vector of these bits, with lanes of type `ty`.
    pub(super) fn vector_constant(&mut self, ty: ir::Type, bits: u128) -> Value {
        let bytes = ConstantData::from(&bits.to_le_bytes()[..]);
        let constant = self.builder.func.dfg.constants.insert(bytes);
        self.builder.ins().vconst(ty, constant)
    }
}

//! Copies of values in flat form.

use cranelift_codegen::ir::{self, BlockArg, InstBuilder, MemFlagsData, Value, types};
use cwasm_format::abi::{FlatType, PointerWidth};
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::Copier;
use super::variants::Cases;
use crate::ir::symbol::{Form, HandleOp};

impl Copier<'_, '_> {
    /// Copies a value from the flat form `values` of the source; appends the destination's flat
    /// form to `out`.
    pub(super) fn copy_flat(&mut self, ty: ValueType, values: &[Value], out: &mut Vec<Value>) {
        match self.shared(ty, Form::Flat) {
            Some(func) => out.extend(self.call_flat(func, values)),
            None => self.copy_flat_parts(ty, values, out),
        }
    }

    /// As [`Copier::copy_flat`], but does not call a shared function for the value as a whole.
    pub(super) fn copy_flat_parts(
        &mut self,
        ty: ValueType,
        values: &[Value],
        out: &mut Vec<Value>,
    ) {
        let ValueType::Def(id) = ty else {
            if ty == ValueType::String {
                let (pointer, len) = self.string(values[0], values[1]);
                out.extend([pointer, len]);
            } else {
                out.push(self.scalar(ty, values[0]));
            }
            return;
        };
        match self.types.def(id) {
            TypeDef::List(element) | TypeDef::Map(element) => {
                let (pointer, len) = self.list(*element, values[0], values[1]);
                out.extend([pointer, len]);
            }
            TypeDef::FixedList(element, len) => {
                self.flat_fields(std::iter::repeat_n(*element, *len as usize), values, out);
            }
            TypeDef::Record(fields) => {
                self.flat_fields(fields.iter().map(|(_, ty)| *ty), values, out);
            }
            TypeDef::Tuple(fields) => self.flat_fields(fields.iter().copied(), values, out),
            TypeDef::Flags(names) => out.push(self.mask_flags(values[0], names.len())),
            TypeDef::Own(resource) => out.push(self.own(values[0], *resource)),
            TypeDef::Borrow(resource) => {
                out.push(self.borrow(values[0], *resource, HandleOp::Note));
            }
            def => self.flat_variant(ty, &Cases::new(def), values, out),
        }
    }

    /// Copies values one after the other.
    pub(super) fn flat_fields(
        &mut self,
        fields: impl Iterator<Item = ValueType>,
        values: &[Value],
        out: &mut Vec<Value>,
    ) {
        let mut values = values;
        for ty in fields {
            let (own, rest) = values.split_at(self.types.abi(ty).flat.count());
            self.copy_flat(ty, own, out);
            values = rest;
        }
    }

    fn flat_variant(
        &mut self,
        ty: ValueType,
        cases: &Cases,
        values: &[Value],
        out: &mut Vec<Value>,
    ) {
        let discriminant = values[0];
        out.push(discriminant);
        if cases.payloads.is_empty() {
            self.check_discriminant(discriminant, cases.count());
            return;
        }
        // All payloads share these values, whose types can hold any of them.
        let joined = flat_types(self.types, ty, self.to.width)[1..].to_vec();
        let merge = self.builder.create_block();
        for ty in &joined {
            let value = self.builder.append_block_param(merge, *ty);
            out.push(value);
        }
        for (payload, block) in self.branch_to_cases(cases, discriminant) {
            self.builder.switch_to_block(block);
            let mut args = Vec::new();
            if let Some(payload) = payload {
                let types = flat_types(self.types, payload, self.from.width);
                let own: Vec<Value> = types
                    .iter()
                    .zip(&values[1..])
                    .map(|(ty, value)| self.split(*ty, *value))
                    .collect();
                self.copy_flat(payload, &own, &mut args);
            }
            let args: Vec<BlockArg> = joined
                .iter()
                .enumerate()
                .map(|(place, ty)| BlockArg::from(self.join(*ty, args.get(place).copied())))
                .collect();
            self.builder.ins().jump(merge, &args);
        }
        self.builder.switch_to_block(merge);
    }

    /// Converts a value that all payloads share to the payload's own type.
    fn split(&mut self, ty: ir::Type, value: Value) -> Value {
        let found = self.builder.func.dfg.value_type(value);
        match (found, ty) {
            _ if found == ty => value,
            (types::I64, types::I32) => self.builder.ins().ireduce(ty, value),
            (types::I64, types::F32) => {
                let bits = self.builder.ins().ireduce(types::I32, value);
                self.bitcast(ty, bits)
            }
            _ => self.bitcast(ty, value),
        }
    }

    /// Converts a payload's value to the type that all payloads share: zero if the payload has no
    /// value here.
    fn join(&mut self, ty: ir::Type, value: Option<Value>) -> Value {
        let Some(value) = value else {
            return match ty {
                types::F32 => self.builder.ins().f32const(0.0),
                types::F64 => self.builder.ins().f64const(0.0),
                ty => self.builder.ins().iconst(ty, 0),
            };
        };
        let found = self.builder.func.dfg.value_type(value);
        match (found, ty) {
            _ if found == ty => value,
            (types::I32, types::I64) => self.builder.ins().uextend(ty, value),
            (types::F32, types::I64) => {
                let bits = self.bitcast(types::I32, value);
                self.builder.ins().uextend(ty, bits)
            }
            _ => self.bitcast(ty, value),
        }
    }

    fn bitcast(&mut self, ty: ir::Type, value: Value) -> Value {
        self.builder.ins().bitcast(ty, MemFlagsData::new(), value)
    }
}

/// The core types of a type that is passed flat, where pointers have this width.
pub(super) fn flat_types(types: &Types, ty: ValueType, width: PointerWidth) -> Vec<ir::Type> {
    match types.abi(ty).flat.types() {
        Some(types) => types.iter().map(|ty| core_type(*ty, width)).collect(),
        None => unreachable!("what has too many flat values is passed in memory"),
    }
}

/// The core type of a flat value, where pointers have this width.
pub(super) fn core_type(ty: FlatType, width: PointerWidth) -> ir::Type {
    match ty.at(width) {
        FlatType::I32 => types::I32,
        FlatType::I64 => types::I64,
        FlatType::F32 => types::F32,
        FlatType::F64 => types::F64,
        FlatType::Pointer => unreachable!("a pointer of known width is a number"),
    }
}

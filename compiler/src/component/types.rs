//! From the validator's types to the format's.

use std::collections::HashMap;

use cwasm_format::abi::{FlatType, PointerWidth};
use cwasm_format::types::{FuncType, TypeDef, Types, ValueType};
use wasmparser::PrimitiveValType;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentFuncTypeId,
    ComponentValType,
};
use wasmparser::types::TypesRef;

use crate::error::{Error, Result};

/// Index of a function type in [`TypeBuilder::funcs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FuncTypeId(pub(crate) u32);

/// Collects the types of a component's functions. Each of the validator's types is taken over
/// once, so that shared types stay shared.
#[derive(Default)]
pub(crate) struct TypeBuilder {
    pub(crate) types: Types,
    pub(crate) funcs: Vec<FuncType>,
    known: HashMap<ComponentDefinedTypeId, ValueType>,
    known_funcs: HashMap<ComponentFuncTypeId, FuncTypeId>,
}

impl TypeBuilder {
    /// The function type of this id.
    pub(crate) fn get(&self, id: FuncTypeId) -> &FuncType {
        &self.funcs[id.0 as usize]
    }

    /// Takes over a function type. `offset` is where it is used, for errors.
    pub(crate) fn func(
        &mut self,
        id: ComponentFuncTypeId,
        types: TypesRef<'_>,
        offset: u64,
    ) -> Result<FuncTypeId> {
        if let Some(known) = self.known_funcs.get(&id) {
            return Ok(*known);
        }
        let func = &types[id];
        if func.async_ {
            return Err(Error::unsupported(
                "component-model async (an async function)",
                offset,
            ));
        }
        let params = func
            .params
            .iter()
            .map(|(name, ty)| Ok((name.to_string(), self.value(*ty, types, offset)?)))
            .collect::<Result<_>>()?;
        let result = func
            .result
            .map(|ty| self.value(ty, types, offset))
            .transpose()?;
        self.funcs.push(FuncType { params, result });
        let known = FuncTypeId(self.funcs.len() as u32 - 1);
        self.known_funcs.insert(id, known);
        Ok(known)
    }

    /// Takes over a type that the component gives a name to; `None` if it is not a value type, or
    /// not a supported one (which is an error only where a function uses it).
    pub(crate) fn any(&mut self, id: ComponentAnyTypeId, types: TypesRef<'_>) -> Option<ValueType> {
        match id {
            ComponentAnyTypeId::Defined(id) => self.defined(id, types, 0).ok(),
            _ => None,
        }
    }

    fn value(
        &mut self,
        ty: ComponentValType,
        types: TypesRef<'_>,
        offset: u64,
    ) -> Result<ValueType> {
        match ty {
            ComponentValType::Primitive(ty) => primitive(ty, offset),
            ComponentValType::Type(id) => self.defined(id, types, offset),
        }
    }

    /// Takes over a defined type, parts first. The validator bounds how deep types nest.
    fn defined(
        &mut self,
        id: ComponentDefinedTypeId,
        types: TypesRef<'_>,
        offset: u64,
    ) -> Result<ValueType> {
        let id = resolve_alias(id, types);
        if let Some(known) = self.known.get(&id) {
            return Ok(*known);
        }
        let value = |builder: &mut Self, ty| builder.value(ty, types, offset);
        let def = match &types[id] {
            ComponentDefinedType::Primitive(ty) => return primitive(*ty, offset),
            ComponentDefinedType::List { element, .. } => TypeDef::List(value(self, *element)?),
            ComponentDefinedType::FixedLengthList {
                element, length, ..
            } => TypeDef::FixedList(value(self, *element)?, *length),
            ComponentDefinedType::Map {
                key, value: held, ..
            } => {
                let (key, held) = (value(self, *key)?, value(self, *held)?);
                let ty = ValueType::Def(self.types.push_map(key, held));
                self.known.insert(id, ty);
                return Ok(ty);
            }
            ComponentDefinedType::Option { ty, .. } => TypeDef::Option(value(self, *ty)?),
            ComponentDefinedType::Result { ok, err, .. } => TypeDef::Result {
                ok: ok.map(|ty| value(self, ty)).transpose()?,
                err: err.map(|ty| value(self, ty)).transpose()?,
            },
            ComponentDefinedType::Record(record) => TypeDef::Record(
                record
                    .fields
                    .iter()
                    .map(|(name, ty)| Ok((name.to_string(), value(self, *ty)?)))
                    .collect::<Result<_>>()?,
            ),
            ComponentDefinedType::Tuple(tuple) => TypeDef::Tuple(
                tuple
                    .types
                    .iter()
                    .map(|ty| value(self, *ty))
                    .collect::<Result<_>>()?,
            ),
            ComponentDefinedType::Variant(variant) => TypeDef::Variant(
                variant
                    .cases
                    .iter()
                    .map(|(name, case)| {
                        let ty = case.ty.map(|ty| value(self, ty)).transpose()?;
                        Ok((name.to_string(), ty))
                    })
                    .collect::<Result<_>>()?,
            ),
            ComponentDefinedType::Enum(names) => {
                TypeDef::Enum(names.iter().map(|name| name.to_string()).collect())
            }
            ComponentDefinedType::Flags(names) => {
                TypeDef::Flags(names.iter().map(|name| name.to_string()).collect())
            }
            ComponentDefinedType::Own(_) => {
                return Err(Error::unsupported("resources (an own handle)", offset));
            }
            ComponentDefinedType::Borrow(_) => {
                return Err(Error::unsupported("resources (a borrow handle)", offset));
            }
            ComponentDefinedType::Future { .. } => {
                return Err(Error::unsupported(
                    "component-model async (a future)",
                    offset,
                ));
            }
            ComponentDefinedType::Stream { .. } => {
                return Err(Error::unsupported(
                    "component-model async (a stream)",
                    offset,
                ));
            }
        };
        let ty = ValueType::Def(self.types.push(def));
        self.known.insert(id, ty);
        Ok(ty)
    }
}

/// The id of the type itself: the validator gives an id of its own to each import, export and alias
/// of a type.
fn resolve_alias(id: ComponentDefinedTypeId, types: TypesRef<'_>) -> ComponentDefinedTypeId {
    let mut any = ComponentAnyTypeId::Defined(id);
    while let Some(aliased) = types.peel_alias(any) {
        any = aliased;
    }
    match any {
        ComponentAnyTypeId::Defined(id) => id,
        _ => unreachable!("an alias of a defined type is one"),
    }
}

fn primitive(ty: PrimitiveValType, offset: u64) -> Result<ValueType> {
    Ok(match ty {
        PrimitiveValType::Bool => ValueType::Bool,
        PrimitiveValType::S8 => ValueType::S8,
        PrimitiveValType::U8 => ValueType::U8,
        PrimitiveValType::S16 => ValueType::S16,
        PrimitiveValType::U16 => ValueType::U16,
        PrimitiveValType::S32 => ValueType::S32,
        PrimitiveValType::U32 => ValueType::U32,
        PrimitiveValType::S64 => ValueType::S64,
        PrimitiveValType::U64 => ValueType::U64,
        PrimitiveValType::F32 => ValueType::F32,
        PrimitiveValType::F64 => ValueType::F64,
        PrimitiveValType::Char => ValueType::Char,
        PrimitiveValType::String => ValueType::String,
        PrimitiveValType::ErrorContext => {
            return Err(Error::unsupported(
                "component-model async (error-context)",
                offset,
            ));
        }
    })
}

/// Core types of lowered functions.
impl TypeBuilder {
    /// The core type of a lowered function (`flatten_functype` with context `lower`): the flat
    /// parameters, or a pointer to them; the flat result, or a pointer to where it goes.
    pub(crate) fn lowered(&self, ty: FuncTypeId, width: PointerWidth) -> wasmparser::FuncType {
        let func = self.get(ty);
        let pointer = core_type(FlatType::Pointer, width);
        let mut params = match self.types.params_flat(func).types() {
            Some(types) => types.iter().map(|ty| core_type(*ty, width)).collect(),
            None => vec![pointer],
        };
        let mut results = Vec::new();
        match self.types.result_flat(func).types() {
            Some([]) => {}
            Some([one]) => results.push(core_type(*one, width)),
            Some(_) | None => params.push(pointer),
        }
        wasmparser::FuncType::new(params, results)
    }
}

fn core_type(ty: FlatType, width: PointerWidth) -> wasmparser::ValType {
    match ty.at(width) {
        FlatType::I32 => wasmparser::ValType::I32,
        FlatType::I64 => wasmparser::ValType::I64,
        FlatType::F32 => wasmparser::ValType::F32,
        FlatType::F64 => wasmparser::ValType::F64,
        FlatType::Pointer => unreachable!("a pointer of known width is a number"),
    }
}

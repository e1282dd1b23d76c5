//! Values as text: WAVE, the WebAssembly value encoding.

use std::collections::HashMap;

use cwasm::{Error, Result, Val};
use cwasm_format::types::{FuncType, TypeDef, TypeId, Types, ValueType};
use wasm_wave::value::{Type, Value};
use wasm_wave::wasm::{WasmTypeKind, WasmValue, WasmValueError};

use crate::invoke::Call;

/// The arguments of a call, by the types of the parameters.
pub(crate) fn read_params(call: &Call<'_>, types: &Types, func: &FuncType) -> Result<Vec<Val>> {
    let mut converter = Converter::new(types);
    let params: Vec<Type> = func
        .params
        .iter()
        .map(|(_, ty)| converter.ty(*ty))
        .collect::<Result<_>>()?;
    let values: Vec<Value> = call
        .untyped
        .to_wasm_params(&params)
        .map_err(|error| Error::new(error).context(mismatch(call, &params)))?;
    Ok(values.iter().map(to_val).collect())
}

fn mismatch(call: &Call<'_>, params: &[Type]) -> String {
    let params: Vec<_> = params.iter().map(Type::to_string).collect();
    let name = call.untyped.name();
    format!(
        "wrong arguments: `{name}` takes ({}), found `{}`",
        params.join(", "),
        call.untyped
    )
}

/// A value as text.
pub(crate) fn write(value: &Val, types: &Types, ty: ValueType) -> Result<String> {
    let ty = Converter::new(types).ty(ty)?;
    let value = to_value(value, &ty)?;
    Ok(wasm_wave::to_string(&value)?)
}

/// Makes WAVE's types of ours; shared types stay shared.
struct Converter<'a> {
    types: &'a Types,
    known: HashMap<TypeId, Type>,
}

impl Converter<'_> {
    fn new(types: &Types) -> Converter<'_> {
        Converter {
            types,
            known: HashMap::new(),
        }
    }

    fn ty(&mut self, ty: ValueType) -> Result<Type> {
        Ok(match ty {
            ValueType::Bool => Type::BOOL,
            ValueType::S8 => Type::S8,
            ValueType::U8 => Type::U8,
            ValueType::S16 => Type::S16,
            ValueType::U16 => Type::U16,
            ValueType::S32 => Type::S32,
            ValueType::U32 => Type::U32,
            ValueType::S64 => Type::S64,
            ValueType::U64 => Type::U64,
            ValueType::F32 => Type::F32,
            ValueType::F64 => Type::F64,
            ValueType::Char => Type::CHAR,
            ValueType::String => Type::STRING,
            ValueType::Def(id) => match self.known.get(&id) {
                Some(known) => known.clone(),
                None => {
                    let ty = self.def(self.types.def(id))?;
                    self.known.insert(id, ty.clone());
                    ty
                }
            },
        })
    }

    fn def(&mut self, def: &TypeDef) -> Result<Type> {
        let names = |names: &[String]| names.to_vec();
        let ty = match def {
            // WAVE reads no lists of fixed length; their length is checked when the call is made.
            TypeDef::List(ty) | TypeDef::FixedList(ty, _) => Some(Type::list(self.ty(*ty)?)),
            TypeDef::Map(entry) => match *self.types.fields_of(*entry) {
                [key, value] => Type::map(self.ty(key)?, self.ty(value)?),
                _ => None,
            },
            TypeDef::Option(ty) => Some(Type::option(self.ty(*ty)?)),
            TypeDef::Result { ok, err } => {
                Some(Type::result(self.payload(*ok)?, self.payload(*err)?))
            }
            TypeDef::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, ty)| Ok((name.clone(), self.ty(*ty)?)));
                Type::record(fields.collect::<Result<Vec<_>>>()?)
            }
            TypeDef::Tuple(fields) => {
                let fields = fields.iter().map(|ty| self.ty(*ty));
                Type::tuple(fields.collect::<Result<Vec<_>>>()?)
            }
            TypeDef::Variant(cases) => {
                let cases = cases
                    .iter()
                    .map(|(name, ty)| Ok((name.clone(), self.payload(*ty)?)));
                Type::variant(cases.collect::<Result<Vec<_>>>()?)
            }
            TypeDef::Enum(cases) => Type::enum_ty(names(cases)),
            TypeDef::Flags(flags) => Type::flags(names(flags)),
            TypeDef::Own(_) | TypeDef::Borrow(_) => {
                return Err(Error::msg(
                    "a handle of a resource cannot be written in WAVE",
                ));
            }
        };
        ty.ok_or_else(|| Error::msg("a type without any parts cannot be written in WAVE"))
    }

    fn payload(&mut self, ty: Option<ValueType>) -> Result<Option<Type>> {
        ty.map(|ty| self.ty(ty)).transpose()
    }
}

/// The loader's value for WAVE's.
fn to_val(value: &Value) -> Val {
    let boxed =
        |value: Option<std::borrow::Cow<'_, Value>>| value.map(|value| Box::new(to_val(&value)));
    match value.kind() {
        WasmTypeKind::Bool => Val::Bool(value.unwrap_bool()),
        WasmTypeKind::S8 => Val::S8(value.unwrap_s8()),
        WasmTypeKind::U8 => Val::U8(value.unwrap_u8()),
        WasmTypeKind::S16 => Val::S16(value.unwrap_s16()),
        WasmTypeKind::U16 => Val::U16(value.unwrap_u16()),
        WasmTypeKind::S32 => Val::S32(value.unwrap_s32()),
        WasmTypeKind::U32 => Val::U32(value.unwrap_u32()),
        WasmTypeKind::S64 => Val::S64(value.unwrap_s64()),
        WasmTypeKind::U64 => Val::U64(value.unwrap_u64()),
        WasmTypeKind::F32 => Val::F32(value.unwrap_f32()),
        WasmTypeKind::F64 => Val::F64(value.unwrap_f64()),
        WasmTypeKind::Char => Val::Char(value.unwrap_char()),
        WasmTypeKind::String => Val::String(value.unwrap_string().into()),
        WasmTypeKind::List => Val::List(value.unwrap_list().map(|value| to_val(&value)).collect()),
        WasmTypeKind::Map => {
            let pairs = value.unwrap_map();
            Val::Map(pairs.map(|(k, v)| (to_val(&k), to_val(&v))).collect())
        }
        WasmTypeKind::Tuple => {
            Val::Tuple(value.unwrap_tuple().map(|value| to_val(&value)).collect())
        }
        WasmTypeKind::Record => Val::Record(
            value
                .unwrap_record()
                .map(|(name, value)| (name.into(), to_val(&value)))
                .collect(),
        ),
        WasmTypeKind::Variant => {
            let (case, value) = value.unwrap_variant();
            Val::Variant(case.into(), boxed(value))
        }
        WasmTypeKind::Enum => Val::Enum(value.unwrap_enum().into()),
        WasmTypeKind::Option => Val::Option(boxed(value.unwrap_option())),
        WasmTypeKind::Result => Val::Result(match value.unwrap_result() {
            Ok(value) => Ok(boxed(value)),
            Err(value) => Err(boxed(value)),
        }),
        WasmTypeKind::Flags => Val::Flags(value.unwrap_flags().map(Into::into).collect()),
        kind => unreachable!("`Converter` makes no types of kind {kind}"),
    }
}

/// WAVE's value for the loader's.
fn to_value(value: &Val, ty: &Type) -> Result<Value, WasmValueError> {
    use wasm_wave::wasm::WasmType as _;
    let all = |values: &[Val], types: &mut dyn Iterator<Item = Type>| {
        values
            .iter()
            .zip(types)
            .map(|(value, ty)| to_value(value, &ty))
            .collect::<Result<Vec<_>, _>>()
    };
    let payload = |value: &Option<Box<Val>>, ty: Option<Type>| match (value, ty) {
        (Some(value), Some(ty)) => to_value(value, &ty).map(Some),
        _ => Ok(None),
    };
    match value {
        Val::Bool(value) => Ok(Value::make_bool(*value)),
        Val::S8(value) => Ok(Value::make_s8(*value)),
        Val::U8(value) => Ok(Value::make_u8(*value)),
        Val::S16(value) => Ok(Value::make_s16(*value)),
        Val::U16(value) => Ok(Value::make_u16(*value)),
        Val::S32(value) => Ok(Value::make_s32(*value)),
        Val::U32(value) => Ok(Value::make_u32(*value)),
        Val::S64(value) => Ok(Value::make_s64(*value)),
        Val::U64(value) => Ok(Value::make_u64(*value)),
        Val::F32(value) => Ok(Value::make_f32(*value)),
        Val::F64(value) => Ok(Value::make_f64(*value)),
        Val::Char(value) => Ok(Value::make_char(*value)),
        Val::String(value) => Ok(Value::make_string(value.as_str().into())),
        Val::List(values) => {
            let element = ty.list_element_type();
            let values = all(values, &mut element.iter().cycle().cloned())?;
            Value::make_list(ty, values)
        }
        Val::Map(pairs) => {
            // Without types of keys and values it is not a map, which `make_map` says.
            let types = ty.map_key_value_types();
            let pairs: Vec<_> = pairs
                .iter()
                .zip(types.iter().cycle())
                .map(|((k, v), (key, value))| Ok((to_value(k, key)?, to_value(v, value)?)))
                .collect::<Result<_, WasmValueError>>()?;
            Value::make_map(ty, pairs)
        }
        Val::Tuple(values) => {
            let values = all(values, &mut ty.tuple_element_types())?;
            Value::make_tuple(ty, values)
        }
        Val::Record(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .zip(ty.record_fields())
                .map(|((name, value), (_, ty))| Ok((name.as_str(), to_value(value, &ty)?)))
                .collect::<Result<_, WasmValueError>>()?;
            Value::make_record(ty, fields)
        }
        Val::Variant(case, value) => {
            let found = ty.variant_cases().find(|(name, _)| name == case.as_str());
            let value = payload(value, found.and_then(|(_, ty)| ty))?;
            Value::make_variant(ty, case, value)
        }
        Val::Enum(case) => Value::make_enum(ty, case),
        Val::Option(value) => Value::make_option(ty, payload(value, ty.option_some_type())?),
        Val::Result(value) => {
            let (ok, err) = ty.result_types().unwrap_or_default();
            let value = match value {
                Ok(value) => Ok(payload(value, ok)?),
                Err(value) => Err(payload(value, err)?),
            };
            Value::make_result(ty, value)
        }
        Val::Flags(names) => Value::make_flags(ty, names.iter().map(|name| name.as_str())),
        Val::Resource(_) => Err(WasmValueError::Other(
            "a handle of a resource cannot be written in WAVE".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str, defs: Vec<TypeDef>) {
        let ty = ValueType::Def(TypeId(defs.len() as u32 - 1));
        let types = Types::from_defs(defs).unwrap();
        let func = FuncType {
            params: vec![("x".into(), ty)],
            result: None,
        };
        let call = Call::parse(&format!("f({text})")).unwrap();
        let values = read_params(&call, &types, &func).unwrap();
        assert_eq!(write(&values[0], &types, ty).unwrap(), text);
    }

    #[test]
    fn values_come_back() {
        let id = |id| ValueType::Def(TypeId(id));
        round_trip("[1, 2, 3]", vec![TypeDef::List(ValueType::S32)]);
        let fixed = TypeDef::FixedList(ValueType::S32, 3);
        round_trip("[1, 2, 3]", vec![fixed]);
        let entry = TypeDef::Tuple(vec![ValueType::String, ValueType::U8]);
        let map = vec![entry, TypeDef::Map(id(0))];
        round_trip("{\"a\": 1, \"b\": 2}", map.clone());
        round_trip("{}", map);
        round_trip(
            "(\"a\\n\", 'x', true)",
            vec![TypeDef::Tuple(vec![
                ValueType::String,
                ValueType::Char,
                ValueType::Bool,
            ])],
        );
        let record = TypeDef::Record(vec![("a".into(), ValueType::U8), ("b".into(), id(0))]);
        round_trip(
            "{a: 1, b: some(-2.5)}",
            vec![TypeDef::Option(ValueType::F64), record.clone()],
        );
        round_trip("{a: 1}", vec![TypeDef::Option(ValueType::F64), record]);
        let variant = vec![("none".into(), None), ("num".into(), Some(ValueType::U64))];
        round_trip("num(7)", vec![TypeDef::Variant(variant.clone())]);
        round_trip("%none", vec![TypeDef::Variant(variant)]);
        round_trip(
            "red",
            vec![TypeDef::Enum(vec!["red".into(), "green".into()])],
        );
        round_trip(
            "{r, x}",
            vec![TypeDef::Flags(vec!["r".into(), "w".into(), "x".into()])],
        );
        let result = TypeDef::Result {
            ok: None,
            err: Some(ValueType::String),
        };
        round_trip("err(\"why\")", vec![result.clone()]);
        round_trip("ok", vec![result]);
    }

    #[test]
    fn wrong_arguments_are_explained() {
        let func = FuncType {
            params: vec![("n".into(), ValueType::U32)],
            result: None,
        };
        for call in ["f(-1)", "f(\"a\")", "f()", "f(1, 2)", "f(4294967296)"] {
            let call = Call::parse(call).unwrap();
            let error = read_params(&call, &Types::new(), &func).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("wrong arguments: `f` takes (u32), found `f(")
            );
        }
    }
}

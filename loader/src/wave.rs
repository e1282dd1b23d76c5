//! Values as text: [WAVE], the WebAssembly value encoding.
//!
//! [WAVE]: https://github.com/bytecodealliance/wasm-tools/tree/main/crates/wasm-wave

use std::borrow::Cow;

use wasm_wave::wasm::{WasmFunc, WasmType, WasmTypeKind, WasmValue, WasmValueError};

use cwasm_format::types::MAX_DEPTH;

use crate::dynamic::{check_stack, too_deep};
use crate::error::{Error, Result};
use crate::sys;
use crate::types::{ComponentFunc, Type};
use crate::val::Val;

impl Val {
    /// Reads a value of a type: `{name: "x", sizes: [1, 2]}`.
    ///
    /// # Errors
    /// If `text` is not WAVE, or no value of the type; or there are handles in the type, which WAVE
    /// does not have.
    pub fn from_wave(ty: &Type, text: &str) -> Result<Val> {
        // The parser goes as deep as brackets are nested, and with options left out, twice.
        let mut depth = 0usize;
        let depths = text.bytes().map(|byte| {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth
        });
        let deepest = 2 * depths.max().unwrap_or(0) + 2;
        check_depth(deepest.min(MAX_DEPTH as usize))?;
        wasm_wave::from_str(ty, text).map_err(Error::new)
    }

    /// Writes the value. Fields that are `none` are left out.
    ///
    /// # Errors
    /// If there are handles in it, which WAVE does not have.
    pub fn to_wave(&self) -> Result<String> {
        check_depth(depth(self)?)?;
        wasm_wave::to_string(self).map_err(Error::new)
    }
}

/// Checks that there is stack for values nested this deep.
fn check_depth(depth: usize) -> Result<()> {
    /// Bytes of stack that a level takes, when nothing is optimised.
    const LEVEL: usize = 4 << 10;
    match sys::thread::has_stack(depth.saturating_mul(LEVEL)) {
        true => Ok(()),
        false => Err(too_deep()),
    }
}

/// How deep a value is nested.
///
/// # Errors
/// If the stack that is left is too small to compute that.
fn depth(val: &Val) -> Result<usize> {
    check_stack()?;
    fn deepest<'v>(vals: impl IntoIterator<Item = &'v Val>) -> Result<usize> {
        let mut vals = vals.into_iter();
        vals.try_fold(0, |deepest, val| Ok(depth(val)?.max(deepest)))
    }
    let inner = match val {
        Val::List(vals) | Val::Tuple(vals) => deepest(vals)?,
        Val::Map(pairs) => deepest(pairs.iter().flat_map(|(key, val)| [key, val]))?,
        Val::Record(fields) => deepest(fields.iter().map(|(_, val)| val))?,
        Val::Variant(_, payload)
        | Val::Option(payload)
        | Val::Result(Ok(payload) | Err(payload)) => deepest(payload.as_deref())?,
        _ => 0,
    };
    Ok(inner + 1)
}

type Values<'a, T> = Box<dyn Iterator<Item = T> + 'a>;

impl WasmFunc for ComponentFunc {
    type Type = Type;

    fn params(&self) -> Values<'_, Type> {
        Box::new(self.params().map(|(_, ty)| ty))
    }

    fn param_names(&self) -> Values<'_, Cow<'_, str>> {
        Box::new(self.params().map(|(name, _)| name.into()))
    }

    fn results(&self) -> Values<'_, Type> {
        Box::new(self.results())
    }
}

impl WasmType for Type {
    fn kind(&self) -> WasmTypeKind {
        match self {
            Type::Bool => WasmTypeKind::Bool,
            Type::S8 => WasmTypeKind::S8,
            Type::U8 => WasmTypeKind::U8,
            Type::S16 => WasmTypeKind::S16,
            Type::U16 => WasmTypeKind::U16,
            Type::S32 => WasmTypeKind::S32,
            Type::U32 => WasmTypeKind::U32,
            Type::S64 => WasmTypeKind::S64,
            Type::U64 => WasmTypeKind::U64,
            Type::F32 => WasmTypeKind::F32,
            Type::F64 => WasmTypeKind::F64,
            Type::Char => WasmTypeKind::Char,
            Type::String => WasmTypeKind::String,
            // Those of fixed length are not read as such yet: `make_list` compares lengths.
            Type::List(_) | Type::FixedLengthList(_) => WasmTypeKind::List,
            Type::Map(_) => WasmTypeKind::Map,
            Type::Record(_) => WasmTypeKind::Record,
            Type::Tuple(_) => WasmTypeKind::Tuple,
            Type::Variant(_) => WasmTypeKind::Variant,
            Type::Enum(_) => WasmTypeKind::Enum,
            Type::Option(_) => WasmTypeKind::Option,
            Type::Result(_) => WasmTypeKind::Result,
            Type::Flags(_) => WasmTypeKind::Flags,
            Type::Own(_)
            | Type::Borrow(_)
            | Type::Stream(_)
            | Type::Future(_)
            | Type::ErrorContext(_) => WasmTypeKind::Unsupported,
        }
    }

    fn list_element_type(&self) -> Option<Type> {
        match self {
            Type::List(list) => Some(list.ty()),
            Type::FixedLengthList(list) => Some(list.ty()),
            _ => None,
        }
    }

    fn record_fields(&self) -> Values<'_, (Cow<'_, str>, Type)> {
        match self {
            Type::Record(record) => {
                Box::new(record.fields().map(|field| (field.name.into(), field.ty)))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    fn tuple_element_types(&self) -> Values<'_, Type> {
        match self {
            Type::Tuple(tuple) => Box::new(tuple.types()),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn variant_cases(&self) -> Values<'_, (Cow<'_, str>, Option<Type>)> {
        match self {
            Type::Variant(variant) => {
                Box::new(variant.cases().map(|case| (case.name.into(), case.ty)))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    fn enum_cases(&self) -> Values<'_, Cow<'_, str>> {
        match self {
            Type::Enum(cases) => Box::new(cases.names().map(Cow::from)),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn option_some_type(&self) -> Option<Type> {
        match self {
            Type::Option(option) => Some(option.ty()),
            _ => None,
        }
    }

    fn result_types(&self) -> Option<(Option<Type>, Option<Type>)> {
        match self {
            Type::Result(result) => Some((result.ok(), result.err())),
            _ => None,
        }
    }

    fn flags_names(&self) -> Values<'_, Cow<'_, str>> {
        match self {
            Type::Flags(flags) => Box::new(flags.names().map(Cow::from)),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn map_key_value_types(&self) -> Option<(Type, Type)> {
        match self {
            Type::Map(map) => Some((map.key(), map.value())),
            _ => None,
        }
    }
}

/// The functions of values that have no parts.
macro_rules! scalars {
    ($($variant:ident: $rust:ty, $make:ident, $unwrap:ident;)*) => {$(
        fn $make(value: $rust) -> Val {
            Val::$variant(value)
        }

        fn $unwrap(&self) -> $rust {
            match self {
                Val::$variant(value) => *value,
                other => wrong(other),
            }
        }
    )*};
}

/// Writers ask for what [`WasmValue::kind`] says only.
fn wrong(value: &Val) -> ! {
    unreachable!("found {}, expected another value", value.kind())
}

/// Checks whether a case, or a side of a result, has a payload.
fn payload(name: &str, ty: Option<Type>, value: Option<Val>) -> Result<Boxed, WasmValueError> {
    match (ty, value) {
        (Some(_), None) => Err(WasmValueError::MissingPayload(name.to_owned())),
        (None, Some(_)) => Err(WasmValueError::UnexpectedPayload(name.to_owned())),
        (_, value) => Ok(value.map(Box::new)),
    }
}

type Boxed = Option<Box<Val>>;

fn borrowed(value: &Boxed) -> Option<Cow<'_, Val>> {
    value.as_deref().map(Cow::Borrowed)
}

/// The parts that the parser makes are of the types that it asked for; what it does not check is
/// checked here.
impl WasmValue for Val {
    type Type = Type;

    fn kind(&self) -> WasmTypeKind {
        match self {
            Val::Bool(_) => WasmTypeKind::Bool,
            Val::S8(_) => WasmTypeKind::S8,
            Val::U8(_) => WasmTypeKind::U8,
            Val::S16(_) => WasmTypeKind::S16,
            Val::U16(_) => WasmTypeKind::U16,
            Val::S32(_) => WasmTypeKind::S32,
            Val::U32(_) => WasmTypeKind::U32,
            Val::S64(_) => WasmTypeKind::S64,
            Val::U64(_) => WasmTypeKind::U64,
            Val::F32(_) => WasmTypeKind::F32,
            Val::F64(_) => WasmTypeKind::F64,
            Val::Char(_) => WasmTypeKind::Char,
            Val::String(_) => WasmTypeKind::String,
            Val::List(_) => WasmTypeKind::List,
            Val::Map(_) => WasmTypeKind::Map,
            Val::Record(_) => WasmTypeKind::Record,
            Val::Tuple(_) => WasmTypeKind::Tuple,
            Val::Variant(..) => WasmTypeKind::Variant,
            Val::Enum(_) => WasmTypeKind::Enum,
            Val::Option(_) => WasmTypeKind::Option,
            Val::Result(_) => WasmTypeKind::Result,
            Val::Flags(_) => WasmTypeKind::Flags,
            Val::Resource(_) | Val::Stream(_) | Val::ErrorContext(_) => WasmTypeKind::Unsupported,
        }
    }

    scalars! {
        Bool: bool, make_bool, unwrap_bool;
        S8: i8, make_s8, unwrap_s8;
        U8: u8, make_u8, unwrap_u8;
        S16: i16, make_s16, unwrap_s16;
        U16: u16, make_u16, unwrap_u16;
        S32: i32, make_s32, unwrap_s32;
        U32: u32, make_u32, unwrap_u32;
        S64: i64, make_s64, unwrap_s64;
        U64: u64, make_u64, unwrap_u64;
        F32: f32, make_f32, unwrap_f32;
        F64: f64, make_f64, unwrap_f64;
        Char: char, make_char, unwrap_char;
    }

    fn make_string(value: Cow<'_, str>) -> Val {
        Val::String(value.into())
    }

    fn make_list(ty: &Type, values: impl IntoIterator<Item = Val>) -> Result<Val, WasmValueError> {
        let values: Vec<Val> = values.into_iter().collect();
        match ty {
            Type::FixedLengthList(list) if list.elements() as usize != values.len() => {
                let (found, expected) = (values.len(), list.elements());
                let message = format!("found {found} elements, expected {expected}");
                Err(WasmValueError::Other(message))
            }
            _ => Ok(Val::List(values)),
        }
    }

    fn make_map(
        _: &Type,
        entries: impl IntoIterator<Item = (Val, Val)>,
    ) -> Result<Val, WasmValueError> {
        Ok(Val::Map(entries.into_iter().collect()))
    }

    fn make_record<'a>(
        _: &Type,
        fields: impl IntoIterator<Item = (&'a str, Val)>,
    ) -> Result<Val, WasmValueError> {
        let fields = fields.into_iter();
        Ok(Val::Record(
            fields
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        ))
    }

    fn make_tuple(_: &Type, values: impl IntoIterator<Item = Val>) -> Result<Val, WasmValueError> {
        Ok(Val::Tuple(values.into_iter().collect()))
    }

    fn make_variant(ty: &Type, case: &str, value: Option<Val>) -> Result<Val, WasmValueError> {
        let mut cases = ty.variant_cases();
        let Some((_, ty)) = cases.find(|(name, _)| name == case) else {
            return Err(WasmValueError::UnknownCase(case.to_owned()));
        };
        Ok(Val::Variant(case.to_owned(), payload(case, ty, value)?))
    }

    fn make_enum(ty: &Type, case: &str) -> Result<Val, WasmValueError> {
        match ty.enum_cases().any(|name| name == case) {
            true => Ok(Val::Enum(case.to_owned())),
            false => Err(WasmValueError::UnknownCase(case.to_owned())),
        }
    }

    fn make_option(_: &Type, value: Option<Val>) -> Result<Val, WasmValueError> {
        Ok(Val::Option(value.map(Box::new)))
    }

    fn make_result(
        ty: &Type,
        value: Result<Option<Val>, Option<Val>>,
    ) -> Result<Val, WasmValueError> {
        let (ok, err) = ty.result_types().unwrap_or_default();
        Ok(Val::Result(match value {
            Ok(value) => Ok(payload("ok", ok, value)?),
            Err(value) => Err(payload("err", err, value)?),
        }))
    }

    fn make_flags<'a>(
        ty: &Type,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Val, WasmValueError> {
        let known = |name: &str| match ty.flags_names().any(|known| known == name) {
            true => Ok(name.to_owned()),
            false => Err(WasmValueError::UnknownCase(name.to_owned())),
        };
        let names = names.into_iter().map(known);
        Ok(Val::Flags(names.collect::<Result<_, _>>()?))
    }

    fn unwrap_string(&self) -> Cow<'_, str> {
        match self {
            Val::String(value) => value.into(),
            other => wrong(other),
        }
    }

    fn unwrap_list(&self) -> Values<'_, Cow<'_, Val>> {
        match self {
            Val::List(values) => Box::new(values.iter().map(Cow::Borrowed)),
            other => wrong(other),
        }
    }

    fn unwrap_map(&self) -> Values<'_, (Cow<'_, Val>, Cow<'_, Val>)> {
        match self {
            Val::Map(entries) => {
                let entries = entries.iter();
                Box::new(entries.map(|(key, value)| (Cow::Borrowed(key), Cow::Borrowed(value))))
            }
            other => wrong(other),
        }
    }

    fn unwrap_record(&self) -> Values<'_, (Cow<'_, str>, Cow<'_, Val>)> {
        match self {
            Val::Record(fields) => {
                let fields = fields.iter();
                Box::new(fields.map(|(name, value)| (name.into(), Cow::Borrowed(value))))
            }
            other => wrong(other),
        }
    }

    fn unwrap_tuple(&self) -> Values<'_, Cow<'_, Val>> {
        match self {
            Val::Tuple(values) => Box::new(values.iter().map(Cow::Borrowed)),
            other => wrong(other),
        }
    }

    fn unwrap_variant(&self) -> (Cow<'_, str>, Option<Cow<'_, Val>>) {
        match self {
            Val::Variant(case, value) => (case.into(), borrowed(value)),
            other => wrong(other),
        }
    }

    fn unwrap_enum(&self) -> Cow<'_, str> {
        match self {
            Val::Enum(case) => case.into(),
            other => wrong(other),
        }
    }

    fn unwrap_option(&self) -> Option<Cow<'_, Val>> {
        match self {
            Val::Option(value) => borrowed(value),
            other => wrong(other),
        }
    }

    fn unwrap_result(&self) -> Result<Option<Cow<'_, Val>>, Option<Cow<'_, Val>>> {
        match self {
            Val::Result(Ok(value)) => Ok(borrowed(value)),
            Val::Result(Err(value)) => Err(borrowed(value)),
            other => wrong(other),
        }
    }

    fn unwrap_flags(&self) -> Values<'_, Cow<'_, str>> {
        match self {
            Val::Flags(names) => Box::new(names.iter().map(Cow::from)),
            other => wrong(other),
        }
    }
}

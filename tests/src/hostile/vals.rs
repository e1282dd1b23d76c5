//! Values of the reference and of the dynamic API.

use cwasm::{Resource, ResourceAny, StoreContextMut, Val};

use super::run::Host;
use super::typed::{R0, R1};
use crate::reference::{Source, Text, Type, Value};

/// A string of the host.
pub(crate) fn text(text: String) -> Value {
    Value::String(Text {
        text,
        source: Source::Utf8,
    })
}

/// The bits of a float as the reference has them.
pub(crate) fn f32_value(float: f32) -> Value {
    Value::F32(if float.is_nan() {
        0x7fc0_0000
    } else {
        float.to_bits()
    })
}

/// The bits of a float as the reference has them.
pub(crate) fn f64_value(float: f64) -> Value {
    let canonical = 0x7ff8_0000_0000_0000;
    Value::F64(if float.is_nan() {
        canonical
    } else {
        float.to_bits()
    })
}

/// A value for the dynamic API.
pub(crate) fn to_val(store: &mut StoreContextMut<'_, Host>, ty: &Type, value: &Value) -> Val {
    match (ty, value) {
        (Type::Bool, Value::Bool(value)) => Val::Bool(*value),
        (Type::S8, Value::Int(int)) => Val::S8(*int as i8),
        (Type::U8, Value::Int(int)) => Val::U8(*int as u8),
        (Type::S16, Value::Int(int)) => Val::S16(*int as i16),
        (Type::U16, Value::Int(int)) => Val::U16(*int as u16),
        (Type::S32, Value::Int(int)) => Val::S32(*int as i32),
        (Type::U32, Value::Int(int)) => Val::U32(*int as u32),
        (Type::S64, Value::Int(int)) => Val::S64(*int as i64),
        (Type::U64, Value::Int(int)) => Val::U64(*int as u64),
        (Type::F32, Value::F32(bits)) => Val::F32(f32::from_bits(*bits)),
        (Type::F64, Value::F64(bits)) => Val::F64(f64::from_bits(*bits)),
        (Type::Char, Value::Char(char)) => Val::Char(*char),
        (Type::String, Value::String(text)) => Val::String(text.text.clone()),
        (Type::List(ty), Value::List(items)) | (Type::FixedList(ty, _), Value::Record(items)) => {
            Val::List(items.iter().map(|item| to_val(store, ty, item)).collect())
        }
        (Type::Map(pair), Value::List(items)) => {
            let items = items.iter().map(|item| match to_val(store, pair, item) {
                Val::Tuple(parts) => parts.try_into().expect("a pair"),
                val => panic!("{val:?} is not a pair"),
            });
            Val::Map(items.map(|[key, value]: [Val; 2]| (key, value)).collect())
        }
        (Type::Record(types), Value::Record(fields)) => {
            let fields = types.iter().zip(fields).enumerate();
            let named =
                fields.map(|(index, (ty, field))| (format!("f{index}"), to_val(store, ty, field)));
            Val::Record(named.collect())
        }
        (Type::Tuple(types), Value::Record(fields)) => {
            let fields = types.iter().zip(fields);
            Val::Tuple(fields.map(|(ty, field)| to_val(store, ty, field)).collect())
        }
        (Type::Variant(cases), Value::Case(case, payload)) => Val::Variant(
            format!("c{case}"),
            boxed(store, cases[*case].as_ref(), payload),
        ),
        (Type::Enum(_), Value::Case(case, None)) => Val::Enum(format!("c{case}")),
        (Type::Option(ty), Value::Case(_, payload)) => Val::Option(boxed(store, Some(ty), payload)),
        (Type::Result(ok, _), Value::Case(0, payload)) => {
            Val::Result(Ok(boxed(store, ok.as_deref(), payload)))
        }
        (Type::Result(_, error), Value::Case(1, payload)) => {
            Val::Result(Err(boxed(store, error.as_deref(), payload)))
        }
        (Type::Flags(count), Value::Flags(bits)) => {
            let set = (0..*count).filter(|bit| bits & 1 << bit != 0);
            Val::Flags(set.map(|bit| format!("n{bit}")).collect())
        }
        // What is lent to a guest is the host's before and after.
        (Type::Own(resource) | Type::Borrow(resource), Value::Resource(rep)) => {
            let made = match resource {
                0 => Resource::<R0>::new_own(*rep).try_into_resource_any(store),
                _ => Resource::<R1>::new_own(*rep).try_into_resource_any(store),
            };
            Val::Resource(made.expect("a new resource"))
        }
        (ty, value) => panic!("{value:?} is not of the type {ty:?}"),
    }
}

fn boxed(
    store: &mut StoreContextMut<'_, Host>,
    ty: Option<&Type>,
    payload: &Option<Box<Value>>,
) -> Option<Box<Val>> {
    let payload = ty.zip(payload.as_deref());
    payload.map(|(ty, payload)| Box::new(to_val(store, ty, payload)))
}

/// A value from the dynamic API; `None` if it is not of the type.
pub(crate) fn of_val(store: &mut StoreContextMut<'_, Host>, ty: &Type, val: &Val) -> Option<Value> {
    let int = |int: i128| Some(Value::Int(int));
    match (ty, val) {
        (Type::Bool, Val::Bool(value)) => Some(Value::Bool(*value)),
        (Type::S8, Val::S8(value)) => int((*value).into()),
        (Type::U8, Val::U8(value)) => int((*value).into()),
        (Type::S16, Val::S16(value)) => int((*value).into()),
        (Type::U16, Val::U16(value)) => int((*value).into()),
        (Type::S32, Val::S32(value)) => int((*value).into()),
        (Type::U32, Val::U32(value)) => int((*value).into()),
        (Type::S64, Val::S64(value)) => int((*value).into()),
        (Type::U64, Val::U64(value)) => int((*value).into()),
        (Type::F32, Val::F32(value)) => Some(f32_value(*value)),
        (Type::F64, Val::F64(value)) => Some(f64_value(*value)),
        (Type::Char, Val::Char(value)) => Some(Value::Char(*value)),
        (Type::String, Val::String(value)) => Some(text(value.clone())),
        (Type::List(ty), Val::List(items)) => {
            let items = items.iter().map(|item| of_val(store, ty, item));
            Some(Value::List(items.collect::<Option<_>>()?))
        }
        (Type::FixedList(ty, len), Val::List(items)) if items.len() == *len => {
            let items = items.iter().map(|item| of_val(store, ty, item));
            Some(Value::Record(items.collect::<Option<_>>()?))
        }
        (Type::Map(pair), Val::Map(items)) => {
            let items = items.iter().map(|(key, value)| {
                of_val(store, pair, &Val::Tuple(vec![key.clone(), value.clone()]))
            });
            Some(Value::List(items.collect::<Option<_>>()?))
        }
        (Type::Record(types), Val::Record(fields)) if types.len() == fields.len() => {
            let fields = types.iter().zip(fields).enumerate();
            let fields = fields.map(|(index, (ty, (name, field)))| {
                let expected = *name == format!("f{index}");
                expected.then(|| of_val(store, ty, field)).flatten()
            });
            Some(Value::Record(fields.collect::<Option<_>>()?))
        }
        (Type::Tuple(types), Val::Tuple(fields)) if types.len() == fields.len() => {
            let fields = types.iter().zip(fields);
            let fields = fields.map(|(ty, field)| of_val(store, ty, field));
            Some(Value::Record(fields.collect::<Option<_>>()?))
        }
        (Type::Variant(cases), Val::Variant(name, payload)) => {
            let case = number(name, 'c', cases.len())?;
            of_case(store, case, cases[case].as_ref(), payload)
        }
        (Type::Enum(count), Val::Enum(name)) => {
            of_case(store, number(name, 'c', *count)?, None, &None)
        }
        (Type::Option(_), Val::Option(None)) => of_case(store, 0, None, &None),
        (Type::Option(ty), Val::Option(payload)) => of_case(store, 1, Some(ty), payload),
        (Type::Result(ok, _), Val::Result(Ok(payload))) => {
            of_case(store, 0, ok.as_deref(), payload)
        }
        (Type::Result(_, ty), Val::Result(Err(payload))) => {
            of_case(store, 1, ty.as_deref(), payload)
        }
        (Type::Flags(count), Val::Flags(set)) => set
            .iter()
            .try_fold(0, |bits, name| Some(bits | 1 << number(name, 'n', *count)?))
            .map(Value::Flags),
        (Type::Own(resource), Val::Resource(any)) if any.owned() => rep_of(store, *resource, *any),
        (Type::Borrow(resource), Val::Resource(any)) if !any.owned() => {
            rep_of(store, *resource, *any)
        }
        _ => None,
    }
}

fn of_case(
    store: &mut StoreContextMut<'_, Host>,
    case: usize,
    ty: Option<&Type>,
    payload: &Option<Box<Val>>,
) -> Option<Value> {
    match (ty, payload) {
        (None, None) => Some(Value::Case(case, None)),
        (Some(ty), Some(val)) => Some(Value::Case(case, Some(Box::new(of_val(store, ty, val)?)))),
        _ => None,
    }
}

/// The representation of a resource of this type.
fn rep_of(
    store: &mut StoreContextMut<'_, Host>,
    resource: usize,
    any: ResourceAny,
) -> Option<Value> {
    let rep = match resource {
        0 => Resource::<R0>::try_from_resource_any(any, store)
            .ok()?
            .rep(),
        _ => Resource::<R1>::try_from_resource_any(any, store)
            .ok()?
            .rep(),
    };
    Some(Value::Resource(rep))
}

/// The number of a label.
fn number(name: &str, letter: char, count: usize) -> Option<usize> {
    let number = name.strip_prefix(letter)?.parse().ok()?;
    (number < count).then_some(number)
}

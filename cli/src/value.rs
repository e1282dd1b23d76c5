//! Prints values as WAVE, extended by handles, which WAVE does not have.

use cwasm::types::Type;
use cwasm::{Result, Val};

/// The text of a value of type `ty`. A handle is shown as `own<name>` or `borrow<name>`, an error
/// context as its message.
///
/// # Errors
/// If the value is not of the type.
pub(crate) fn text(value: Val, ty: &Type) -> Result<String> {
    shown(value, ty).to_wave()
}

/// The value with a name in place of each handle, and a message in place of an error context.
fn shown(value: Val, ty: &Type) -> Val {
    let boxed = |value: Option<Box<Val>>, ty: Option<Type>| match (value, ty) {
        (Some(value), Some(ty)) => Some(Box::new(shown(*value, &ty))),
        (value, _) => value,
    };
    match (value, ty) {
        (Val::Resource(_), Type::Own(own)) => handle("own", own.resource()),
        (Val::Resource(_), Type::Borrow(borrow)) => handle("borrow", borrow.resource()),
        (Val::ErrorContext(error), _) => Val::String(error.debug_message().to_owned()),
        (Val::List(values), Type::List(list)) => Val::List(all(values, &list.ty())),
        (Val::List(values), Type::FixedLengthList(list)) => Val::List(all(values, &list.ty())),
        (Val::Map(entries), Type::Map(map)) => {
            let (keys, values) = (map.key(), map.value());
            let entries = entries.into_iter();
            Val::Map(
                entries
                    .map(|(key, value)| (shown(key, &keys), shown(value, &values)))
                    .collect(),
            )
        }
        (Val::Record(fields), Type::Record(record)) => {
            let fields = fields.into_iter().zip(record.fields());
            Val::Record(
                fields
                    .map(|((name, value), field)| (name, shown(value, &field.ty)))
                    .collect(),
            )
        }
        (Val::Tuple(values), Type::Tuple(tuple)) => {
            let values = values.into_iter().zip(tuple.types());
            Val::Tuple(values.map(|(value, ty)| shown(value, &ty)).collect())
        }
        (Val::Variant(name, value), Type::Variant(variant)) => {
            let mut cases = variant.cases();
            let case = cases.find(|case| case.name == name);
            let ty = case.and_then(|case| case.ty);
            Val::Variant(name, boxed(value, ty))
        }
        (Val::Option(value), Type::Option(option)) => Val::Option(boxed(value, Some(option.ty()))),
        (Val::Result(Ok(value)), Type::Result(result)) => {
            Val::Result(Ok(boxed(value, result.ok())))
        }
        (Val::Result(Err(value)), Type::Result(result)) => {
            Val::Result(Err(boxed(value, result.err())))
        }
        (value, _) => value,
    }
}

fn all(values: Vec<Val>, ty: &Type) -> Vec<Val> {
    let values = values.into_iter();
    values.map(|value| shown(value, ty)).collect()
}

/// A value that the writer of WAVE prints unchanged.
fn handle(kind: &str, resource: &str) -> Val {
    let name = resource.rsplit('#').next().unwrap_or_default();
    let name = if name.is_empty() { "_" } else { name };
    Val::Enum(format!("{kind}<{name}>"))
}

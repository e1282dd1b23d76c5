//! Component types as the text format has them.

use cwasm_format::abi::{Flat, FlatType};
use cwasm_format::types::{TypeDef, Types, ValueType};

/// The type as the text of a component has it; what must have a name is defined and imported first.
pub(crate) fn text(types: &Types, ty: ValueType, defined: &mut String) -> String {
    let ValueType::Def(id) = ty else {
        return format!("{ty:?}").to_lowercase();
    };
    let mut part = |ty: &ValueType| text(types, *ty, defined);
    let name = format!("t{}", id.0);
    let definition = match types.def(id) {
        TypeDef::List(element) => return format!("(list {})", part(element)),
        TypeDef::FixedList(element, len) => return format!("(list {} {len})", part(element)),
        TypeDef::Map(entry) => {
            let fields: Vec<_> = types.fields_of(*entry).iter().map(part).collect();
            return format!("(map {})", fields.join(" "));
        }
        TypeDef::Option(payload) => return format!("(option {})", part(payload)),
        TypeDef::Tuple(fields) => {
            let fields: Vec<_> = fields.iter().map(part).collect();
            return format!("(tuple {})", fields.join(" "));
        }
        TypeDef::Result { ok, err } => {
            let ok = ok.as_ref().map(&mut part).unwrap_or_default();
            let err = err.as_ref().map(|ty| format!("(error {})", part(ty)));
            return format!("(result {ok} {})", err.unwrap_or_default());
        }
        TypeDef::Record(fields) => fields.iter().fold("record".to_owned(), |text, (name, ty)| {
            format!("{text} (field \"{name}\" {})", part(ty))
        }),
        TypeDef::Variant(cases) => cases.iter().fold("variant".to_owned(), |text, (name, ty)| {
            let payload = ty.as_ref().map(&mut part).unwrap_or_default();
            format!("{text} (case \"{name}\" {payload})")
        }),
        TypeDef::Enum(names) => format!("enum \"{}\"", names.join("\" \"")),
        TypeDef::Flags(names) => format!("flags \"{}\"", names.join("\" \"")),
        TypeDef::Own(_) | TypeDef::Borrow(_) => {
            unreachable!("handles need a resource of the component")
        }
        TypeDef::ErrorContext => return "error-context".to_owned(),
        TypeDef::Stream(payload) => {
            let payload = payload.as_ref().map(&mut part).unwrap_or_default();
            return format!("(stream {payload})");
        }
        TypeDef::Future(payload) => {
            let payload = payload.as_ref().map(&mut part).unwrap_or_default();
            return format!("(future {payload})");
        }
    };
    let known = format!("(type ${name} ");
    if !defined.contains(&known) {
        defined.push_str(&format!(
            "(type ${name}' ({definition})) (import \"{name}\" (type ${name} (eq ${name}')))\n"
        ));
    }
    format!("${name}")
}

/// The core types of a flat form that fits; pointers are of the type `pointer`.
pub(crate) fn core_types(flat: &Flat, pointer: &'static str) -> Option<String> {
    let names = flat.types()?.iter().map(|ty| match ty {
        FlatType::I32 => "i32",
        FlatType::I64 => "i64",
        FlatType::F32 => "f32",
        FlatType::F64 => "f64",
        FlatType::Pointer => pointer,
    });
    Some(names.collect::<Vec<_>>().join(" "))
}

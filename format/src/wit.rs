//! Prints types in the syntax of WIT, for errors and tools.

use core::cell::Cell;
use core::fmt::{self, Display, Formatter};

use crate::types::{FuncType, ResourceNumber, TypeDef, Types, ValueType};

/// Prints types of one table.
///
/// A type that has a name is printed as the name, others in full, even where WIT requires a name:
/// `record { x: s32, y: s32 }`. A very long text ends in `...`, because the text of a few types can
/// be exponentially long.
#[derive(Clone, Copy, Debug)]
pub struct Wit<'a> {
    types: &'a Types,
    names: &'a [(String, ValueType)],
    resources: &'a [(ResourceNumber, String)],
    max_types: u32,
}

/// The most types in one text.
const MAX_TYPES: u32 = 1000;

/// The keywords of WIT, which names have `%` before.
const KEYWORDS: &[&str] = &[
    "as",
    "async",
    "bool",
    "borrow",
    "char",
    "constructor",
    "enum",
    "error-context",
    "export",
    "f32",
    "f64",
    "flags",
    "from",
    "func",
    "future",
    "import",
    "include",
    "interface",
    "list",
    "map",
    "option",
    "own",
    "package",
    "record",
    "resource",
    "result",
    "s16",
    "s32",
    "s64",
    "s8",
    "static",
    "stream",
    "string",
    "tuple",
    "type",
    "u16",
    "u32",
    "u64",
    "u8",
    "use",
    "variant",
    "with",
    "world",
];

/// A name in the syntax of WIT: `list` is `%list`.
pub fn id(name: &str) -> impl Display {
    Id(name)
}

struct Id<'a>(&'a str);

impl Display for Id<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if KEYWORDS.contains(&self.0) {
            f.write_str("%")?;
        }
        // A name in an artifact may be any text.
        write!(f, "{}", crate::escape::name(self.0))
    }
}

impl<'a> Wit<'a> {
    /// Prints types in full.
    pub fn new(types: &'a Types) -> Wit<'a> {
        Wit::with_names(types, &[])
    }

    /// Prints these types by name: `name`, or the part after `#` of a path `instance#name`.
    pub fn with_names(types: &'a Types, names: &'a [(String, ValueType)]) -> Wit<'a> {
        Wit {
            types,
            names,
            resources: &[],
            max_types: MAX_TYPES,
        }
    }

    /// Prints resource types by these names, where there is one, and types of any length in full.
    /// For callers who know that no text is very long, because all large types have names.
    pub fn in_full(self, resources: &'a [(ResourceNumber, String)]) -> Wit<'a> {
        Wit {
            resources,
            max_types: u32::MAX,
            ..self
        }
    }

    /// The table of the types.
    pub fn types(self) -> &'a Types {
        self.types
    }

    /// A type: `list<u8>`.
    pub fn value(self, ty: ValueType) -> impl Display + 'a {
        Text {
            wit: self,
            what: What::Value(ty),
            left: Cell::new(self.max_types),
        }
    }

    /// A function's type: `func(name: string) -> u32`.
    pub fn func(self, func: &'a FuncType) -> impl Display + 'a {
        Text {
            wit: self,
            what: What::Func(func),
            left: Cell::new(self.max_types),
        }
    }

    /// The part of a function's or accessor's declaration after its name: `(name: string) -> u32`.
    pub fn signature(self, func: &'a FuncType) -> impl Display + 'a {
        Text {
            wit: self,
            what: What::Signature(func),
            left: Cell::new(self.max_types),
        }
    }

    /// The declaration of a named type: `record point { x: s32, y: s32 }`, `type bytes = list<u8>`.
    pub fn declaration(self, name: &'a str, ty: ValueType) -> impl Display + 'a {
        Text {
            wit: self,
            what: What::Declaration(name, ty),
            left: Cell::new(self.max_types),
        }
    }

    fn name(&self, ty: ValueType) -> Option<&'a str> {
        // A primitive type is printed as itself, even if a name stands for it.
        let named = self
            .names
            .iter()
            .find(|(_, named)| *named == ty && is_def(ty));
        named.map(|(path, _)| last_part(path))
    }
}

fn is_def(ty: ValueType) -> bool {
    matches!(ty, ValueType::Def(_))
}

/// The name at the end of a path.
fn last_part(path: &str) -> &str {
    path.rsplit_once('#').map_or(path, |(_, name)| name)
}

enum What<'a> {
    Value(ValueType),
    Func(&'a FuncType),
    Signature(&'a FuncType),
    Declaration(&'a str, ValueType),
}

struct Text<'a> {
    wit: Wit<'a>,
    what: What<'a>,
    /// The number of types that may still be printed.
    left: Cell<u32>,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Value(ty) => self.value(ty, f),
            What::Func(func) => {
                f.write_str(if func.is_async { "async func" } else { "func" })?;
                self.signature(func, f)
            }
            What::Signature(func) => self.signature(func, f),
            What::Declaration(path, ty) => self.declaration(last_part(path), ty, f),
        }
    }
}

impl Text<'_> {
    fn signature(&self, func: &FuncType, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        separated(f, &func.params, |f, (name, ty)| {
            if !name.is_empty() {
                write!(f, "{}: ", id(name))?;
            }
            self.value(*ty, f)
        })?;
        f.write_str(")")?;
        match func.result {
            Some(ty) => {
                f.write_str(" -> ")?;
                self.value(ty, f)
            }
            None => Ok(()),
        }
    }

    fn declaration(&self, name: &str, ty: ValueType, f: &mut Formatter<'_>) -> fmt::Result {
        let name = id(name);
        let def = match ty {
            ValueType::Def(id) => self.wit.types.def(id),
            primitive => return write!(f, "type {name} = {}", primitive_name(primitive)),
        };
        match keyword(def) {
            Some(keyword) => {
                write!(f, "{keyword} {name} ")?;
                self.body(def, f)
            }
            None => {
                write!(f, "type {name} = ")?;
                self.def(def, f)
            }
        }
    }

    fn value(&self, ty: ValueType, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(left) = self.left.get().checked_sub(1) else {
            return f.write_str("...");
        };
        self.left.set(left);
        match (self.wit.name(ty), ty) {
            (Some(name), _) => id(name).fmt(f),
            (None, ValueType::Def(id)) => self.def(self.wit.types.def(id), f),
            (None, primitive) => f.write_str(primitive_name(primitive)),
        }
    }

    fn def(&self, def: &TypeDef, f: &mut Formatter<'_>) -> fmt::Result {
        match def {
            TypeDef::List(element) => self.generic("list", &[*element], f),
            TypeDef::FixedList(element, len) => {
                f.write_str("list<")?;
                self.value(*element, f)?;
                write!(f, ", {len}>")
            }
            TypeDef::Map(entry) => self.generic("map", self.wit.types.fields_of(*entry), f),
            TypeDef::Tuple(fields) => self.generic("tuple", fields, f),
            TypeDef::Option(payload) => self.generic("option", &[*payload], f),
            TypeDef::Result { ok, err } => match (ok, err) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => self.generic("result", &[*ok], f),
                (Some(ok), Some(err)) => self.generic("result", &[*ok, *err], f),
                (None, Some(err)) => {
                    f.write_str("result<_, ")?;
                    self.value(*err, f)?;
                    f.write_str(">")
                }
            },
            TypeDef::Stream(None) => f.write_str("stream"),
            TypeDef::Stream(Some(payload)) => self.generic("stream", &[*payload], f),
            TypeDef::Future(None) => f.write_str("future"),
            TypeDef::Future(Some(payload)) => self.generic("future", &[*payload], f),
            TypeDef::ErrorContext => f.write_str("error-context"),
            TypeDef::Own(resource) => write!(f, "own<{}>", id(self.resource(*resource))),
            TypeDef::Borrow(resource) => write!(f, "borrow<{}>", id(self.resource(*resource))),
            TypeDef::Record(_) | TypeDef::Variant(_) | TypeDef::Enum(_) | TypeDef::Flags(_) => {
                write!(f, "{} ", keyword(def).unwrap_or_default())?;
                self.body(def, f)
            }
        }
    }

    /// The name of a resource type; `_` if it has none here.
    fn resource(&self, resource: ResourceNumber) -> &str {
        let resources = self.wit.resources;
        if let Some((_, name)) = resources.iter().find(|(of, _)| *of == resource) {
            return name;
        }
        let name = self.wit.types.resource_names.get(resource.0 as usize);
        name.map(|path| last_part(path))
            .filter(|name| !name.is_empty())
            .unwrap_or("_")
    }

    fn generic(&self, name: &str, parts: &[ValueType], f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{name}<")?;
        separated(f, parts, |f, ty| self.value(*ty, f))?;
        f.write_str(">")
    }

    /// Writes the part in braces.
    fn body(&self, def: &TypeDef, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("{ ")?;
        match def {
            TypeDef::Record(fields) => separated(f, fields, |f, (name, ty)| {
                write!(f, "{}: ", id(name))?;
                self.value(*ty, f)
            }),
            TypeDef::Variant(cases) => separated(f, cases, |f, (name, payload)| {
                id(name).fmt(f)?;
                let Some(ty) = payload else { return Ok(()) };
                f.write_str("(")?;
                self.value(*ty, f)?;
                f.write_str(")")
            }),
            TypeDef::Enum(names) | TypeDef::Flags(names) => {
                separated(f, names, |f, name| id(name).fmt(f))
            }
            _ => Ok(()),
        }?;
        f.write_str(" }")
    }
}

/// The keyword that a declaration of such a type starts with, if it has braces.
fn keyword(def: &TypeDef) -> Option<&'static str> {
    match def {
        TypeDef::Record(_) => Some("record"),
        TypeDef::Variant(_) => Some("variant"),
        TypeDef::Enum(_) => Some("enum"),
        TypeDef::Flags(_) => Some("flags"),
        _ => None,
    }
}

fn primitive_name(ty: ValueType) -> &'static str {
    match ty {
        ValueType::Bool => "bool",
        ValueType::S8 => "s8",
        ValueType::U8 => "u8",
        ValueType::S16 => "s16",
        ValueType::U16 => "u16",
        ValueType::S32 => "s32",
        ValueType::U32 => "u32",
        ValueType::S64 => "s64",
        ValueType::U64 => "u64",
        ValueType::F32 => "f32",
        ValueType::F64 => "f64",
        ValueType::Char => "char",
        ValueType::String => "string",
        ValueType::Def(_) => "?",
    }
}

/// Writes the items with commas between them.
fn separated<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    mut write: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index != 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_in_wit() {
        let mut types = Types::new();
        let mut push = |def| ValueType::Def(types.push(def));
        let bytes = push(TypeDef::List(ValueType::U8));
        let point = push(TypeDef::Record(vec![
            ("x".into(), ValueType::S32),
            ("tags".into(), bytes),
        ]));
        let shape = push(TypeDef::Variant(vec![
            ("dot".into(), Some(point)),
            ("none".into(), None),
        ]));
        let err = push(TypeDef::Result {
            ok: None,
            err: Some(shape),
        });
        let pair = push(TypeDef::Tuple(vec![err, ValueType::Char]));
        let fixed = push(TypeDef::FixedList(bytes, 3));
        let flags = push(TypeDef::Flags(vec!["r".into(), "w".into()]));
        let map = ValueType::Def(types.push_map(ValueType::String, fixed));
        let wit = Wit::new(&types);
        assert_eq!(
            wit.value(pair).to_string(),
            "tuple<result<_, variant { dot(record { x: s32, tags: list<u8> }), none }>, char>"
        );
        assert_eq!(wit.value(flags).to_string(), "flags { r, w }");
        let expected = "map<string, list<list<u8>, 3>>";
        assert_eq!(wit.value(map).to_string(), expected);
        let func = FuncType {
            params: vec![("a".into(), bytes), (String::new(), ValueType::U64)],
            result: Some(ValueType::String),
            is_async: false,
        };
        assert_eq!(
            wit.func(&func).to_string(),
            "func(a: list<u8>, u64) -> string"
        );
        let names = [("my:pkg/geo#point".into(), point), ("shape".into(), shape)];
        let wit = Wit::with_names(&types, &names);
        assert_eq!(wit.value(err).to_string(), "result<_, shape>");
        assert_eq!(
            wit.declaration("shape", shape).to_string(),
            "variant shape { dot(point), none }"
        );
        assert_eq!(
            wit.declaration("my:pkg/geo#bytes", bytes).to_string(),
            "type bytes = list<u8>"
        );
    }

    #[test]
    fn keywords_as_names_are_escaped() {
        let mut types = Types::new();
        let fields = vec![
            ("list".into(), ValueType::U8),
            ("lists".into(), ValueType::U8),
        ];
        let record = ValueType::Def(types.push(TypeDef::Record(fields)));
        let names = [("type".into(), record)];
        let wit = Wit::with_names(&types, &names);
        assert_eq!(
            wit.declaration("type", record).to_string(),
            "record %type { %list: u8, lists: u8 }"
        );
        let func = FuncType {
            params: vec![("from".into(), record)],
            result: Some(record),
            is_async: false,
        };
        assert_eq!(wit.func(&func).to_string(), "func(%from: %type) -> %type");
    }

    #[test]
    fn endless_types_end() {
        let mut types = Types::new();
        let mut ty = ValueType::U8;
        for _ in 0..64 {
            ty = ValueType::Def(types.push(TypeDef::Tuple(vec![ty, ty])));
        }
        let text = Wit::new(&types).value(ty).to_string();
        assert!(text.contains("...") && text.len() < 100_000);
    }
}

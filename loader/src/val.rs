//! Values whose types are known at run time only.

use crate::resource::ResourceAny;

/// A component value.
///
/// Two are equal if they are the same value of the same type; floats compare as floats do.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the component model's")]
pub enum Val {
    Bool(bool),
    S8(i8),
    U8(u8),
    S16(i16),
    U16(u16),
    S32(i32),
    U32(u32),
    S64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Char(char),
    String(String),
    /// The elements, of a list of fixed length too.
    List(Vec<Val>),
    /// Keys and values. A guest may give a key twice: the last pair counts.
    Map(Vec<(Val, Val)>),
    /// Names and values of all fields, in the order of the type.
    Record(Vec<(String, Val)>),
    Tuple(Vec<Val>),
    /// The case's name and its payload.
    Variant(String, Option<Box<Val>>),
    /// The case's name.
    Enum(String),
    Option(Option<Box<Val>>),
    /// The payload of either side, where that side has one.
    Result(Result<Option<Box<Val>>, Option<Box<Val>>>),
    /// The names of the flags that are set, in any order.
    Flags(Vec<String>),
    /// `own<R>` or `borrow<R>`.
    Resource(ResourceAny),
}

impl Val {
    /// The kind of value, for messages: `a string`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Val::Bool(_) => "a bool",
            Val::S8(_) => "an s8",
            Val::U8(_) => "a u8",
            Val::S16(_) => "an s16",
            Val::U16(_) => "a u16",
            Val::S32(_) => "an s32",
            Val::U32(_) => "a u32",
            Val::S64(_) => "an s64",
            Val::U64(_) => "a u64",
            Val::F32(_) => "an f32",
            Val::F64(_) => "an f64",
            Val::Char(_) => "a char",
            Val::String(_) => "a string",
            Val::List(_) => "a list",
            Val::Map(_) => "a map",
            Val::Record(_) => "a record",
            Val::Tuple(_) => "a tuple",
            Val::Variant(..) => "a variant",
            Val::Enum(_) => "an enum",
            Val::Option(_) => "an option",
            Val::Result(_) => "a result",
            Val::Flags(_) => "flags",
            Val::Resource(_) => "a resource",
        }
    }
}

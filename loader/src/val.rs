//! Values whose types are known at run time only.

use std::fmt;

use crate::resource::ResourceAny;
use crate::stream_any::StreamAny;
use crate::sys;
use crate::vm::error_context::ErrorContext;

/// A component value.
///
/// Two are equal if they are the same value of the same type; floats compare as floats do.
#[derive(Clone, PartialEq)]
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
    /// `stream<T>` or `future<T>`.
    Stream(StreamAny),
    ErrorContext(ErrorContext),
}

/// As derived, but for values that nest deeper than this thread's stack lasts: they are `...`.
impl fmt::Debug for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !sys::thread::has_stack(0) {
            return f.write_str("...");
        }
        let (name, fields): (&str, [Option<&dyn fmt::Debug>; 2]) = match self {
            Val::Bool(value) => ("Bool", [Some(value), None]),
            Val::S8(value) => ("S8", [Some(value), None]),
            Val::U8(value) => ("U8", [Some(value), None]),
            Val::S16(value) => ("S16", [Some(value), None]),
            Val::U16(value) => ("U16", [Some(value), None]),
            Val::S32(value) => ("S32", [Some(value), None]),
            Val::U32(value) => ("U32", [Some(value), None]),
            Val::S64(value) => ("S64", [Some(value), None]),
            Val::U64(value) => ("U64", [Some(value), None]),
            Val::F32(value) => ("F32", [Some(value), None]),
            Val::F64(value) => ("F64", [Some(value), None]),
            Val::Char(value) => ("Char", [Some(value), None]),
            Val::String(value) => ("String", [Some(value), None]),
            Val::List(values) => ("List", [Some(values), None]),
            Val::Map(pairs) => ("Map", [Some(pairs), None]),
            Val::Record(fields) => ("Record", [Some(fields), None]),
            Val::Tuple(values) => ("Tuple", [Some(values), None]),
            Val::Variant(case, payload) => ("Variant", [Some(case), Some(payload)]),
            Val::Enum(case) => ("Enum", [Some(case), None]),
            Val::Option(payload) => ("Option", [Some(payload), None]),
            Val::Result(payload) => ("Result", [Some(payload), None]),
            Val::Flags(names) => ("Flags", [Some(names), None]),
            Val::Resource(resource) => ("Resource", [Some(resource), None]),
            Val::Stream(stream) => ("Stream", [Some(stream), None]),
            // It has its own name in it.
            Val::ErrorContext(context) => return context.fmt(f),
        };
        let mut tuple = f.debug_tuple(name);
        for field in fields.into_iter().flatten() {
            tuple.field(field);
        }
        tuple.finish()
    }
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
            Val::Stream(stream) if stream.is_future => "a future",
            Val::Stream(_) => "a stream",
            Val::ErrorContext(_) => "an error context",
        }
    }
}

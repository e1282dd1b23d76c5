//! Types and values, and how the specification reduces types to few ("Despecialization").

use cwasm::TrapCode;

/// A component value type. Labels are numbered: fields `f0`, cases `c0`, flags `n0`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the component model's")]
pub enum Type {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    List(Box<Type>),
    /// A list of this number of elements.
    FixedList(Box<Type>, usize),
    /// Of the tuple of key and value.
    Map(Box<Type>),
    Record(Vec<Type>),
    Tuple(Vec<Type>),
    Variant(Vec<Option<Type>>),
    Enum(usize),
    Option(Box<Type>),
    Result(Option<Box<Type>>, Option<Box<Type>>),
    Flags(usize),
    /// Of resources of this number.
    Own(usize),
    /// Of resources of this number.
    Borrow(usize),
}

/// The part of a type that determines its form.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are the component model's")]
pub enum Shape<'t> {
    Bool,
    Int { bytes: usize, signed: bool },
    Float { bytes: usize },
    Char,
    String,
    List(&'t Type),
    Record(Vec<&'t Type>),
    Variant(Vec<Option<&'t Type>>),
    Flags(usize),
    Own(usize),
    Borrow(usize),
}

impl Type {
    /// "despecialize".
    pub fn shape(&self) -> Shape<'_> {
        let int = |bytes, signed| Shape::Int { bytes, signed };
        match self {
            Type::Bool => Shape::Bool,
            Type::S8 => int(1, true),
            Type::U8 => int(1, false),
            Type::S16 => int(2, true),
            Type::U16 => int(2, false),
            Type::S32 => int(4, true),
            Type::U32 => int(4, false),
            Type::S64 => int(8, true),
            Type::U64 => int(8, false),
            Type::F32 => Shape::Float { bytes: 4 },
            Type::F64 => Shape::Float { bytes: 8 },
            Type::Char => Shape::Char,
            Type::String => Shape::String,
            Type::List(element) | Type::Map(element) => Shape::List(element),
            // Not despecialized by the specification, but in all places treated alike.
            Type::FixedList(element, len) => Shape::Record(vec![element; *len]),
            Type::Record(fields) | Type::Tuple(fields) => Shape::Record(fields.iter().collect()),
            Type::Variant(cases) => Shape::Variant(cases.iter().map(Option::as_ref).collect()),
            Type::Enum(count) => Shape::Variant(vec![None; *count]),
            Type::Option(some) => Shape::Variant(vec![None, Some(some)]),
            Type::Result(ok, error) => Shape::Variant(vec![ok.as_deref(), error.as_deref()]),
            Type::Flags(count) => Shape::Flags(*count),
            Type::Own(resource) => Shape::Own(*resource),
            Type::Borrow(resource) => Shape::Borrow(*resource),
        }
    }

    /// Whether there are handles in it.
    pub fn has_handles(&self) -> bool {
        match self.shape() {
            Shape::Own(_) | Shape::Borrow(_) => true,
            Shape::List(element) => element.has_handles(),
            Shape::Record(fields) => fields.into_iter().any(Type::has_handles),
            Shape::Variant(cases) => cases.into_iter().flatten().any(Type::has_handles),
            _ => false,
        }
    }
}

/// A value, of whatever type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A bool.
    Bool(bool),
    /// An integer of any size.
    Int(i128),
    /// The bits of a float; those of the canonical NaN, if it is one.
    F32(u32),
    /// The bits of a float; those of the canonical NaN, if it is one.
    F64(u64),
    /// A char.
    Char(char),
    /// A string.
    String(Text),
    /// A list, or the pairs of a map.
    List(Vec<Value>),
    /// A record, tuple or list of fixed length.
    Record(Vec<Value>),
    /// A variant, enum, option or result.
    Case(usize, Option<Box<Value>>),
    /// Flags, the first one in the lowest bit.
    Flags(u32),
    /// A resource, owned or borrowed: what it stands for.
    Resource(u32),
    /// No value: it cannot be lifted, for this reason.
    Bad(TrapCode),
}

/// A string, and the form that it was lifted from, which decides how it is lowered.
///
/// Two are equal if their text is.
#[derive(Clone, Debug)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Its form before.
    pub source: Source,
}

/// The form of a string that is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// UTF-8: that of a guest, or the host's.
    Utf8,
    /// UTF-16.
    Utf16,
    /// Latin-1+UTF-16, and it is Latin-1.
    Latin1,
    /// Latin-1+UTF-16, and it is UTF-16.
    TaggedUtf16,
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.text == other.text
    }
}

impl Text {
    /// The number of code units in the form before.
    pub fn code_units(&self) -> usize {
        match self.source {
            Source::Utf8 => self.text.len(),
            Source::Latin1 => self.text.chars().count(),
            Source::Utf16 | Source::TaggedUtf16 => self.text.encode_utf16().count(),
        }
    }
}

/// How wide pointers and lengths are ("ptr_type"): as the addresses of the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 32 bits.
    W32,
    /// 64 bits.
    W64,
}

impl Width {
    /// "ptr_size"
    pub fn bytes(self) -> usize {
        match self {
            Width::W32 => 4,
            Width::W64 => 8,
        }
    }

    /// The bits of a pointer.
    pub fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }

    /// "utf16_tag": set in the length of a string in Latin-1+UTF-16 that is UTF-16.
    pub fn utf16_tag(self) -> u64 {
        1 << (8 * self.bytes() - 1)
    }
}

/// The canonical option `string-encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `utf8`
    Utf8,
    /// `utf16`
    Utf16,
    /// `latin1+utf16`
    Latin1Utf16,
}

impl Encoding {
    /// All three.
    pub const ALL: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Latin1Utf16];

    /// The name of the option.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf8",
            Encoding::Utf16 => "utf16",
            Encoding::Latin1Utf16 => "latin1+utf16",
        }
    }
}

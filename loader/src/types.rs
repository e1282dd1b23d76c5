//! Reflection: the types of a component's functions, for hosts that learn them when they run.
//!
//! ```text
//! Func::ty, Component::get_import, get_export -> ComponentFunc -> Type -> Record, Variant, ...
//! ```
//!
//! All are views of the component's descriptions, which are decoded when the first one is asked
//! for; they can outlive the component. Names are those of the component model's types
//! (`Explainer.md#type-definitions`).

use std::fmt::{self, Debug, Display, Formatter};
use std::sync::Arc;

use cwasm_format::describe::Description;
use cwasm_format::resources::HandleUse;
use cwasm_format::types::{FuncType, ResourceNumber, TypeDef, TypeId, Types, ValueType};
use cwasm_format::wit::Wit;

/// The type of a function. Printed as in WIT, with types in full: `func(name: string) -> u32`.
#[derive(Clone)]
pub struct ComponentFunc {
    description: Arc<Description>,
    /// Invariant 1: in the description.
    index: usize,
}

impl ComponentFunc {
    /// The function type at this place of the descriptions, if there is one.
    pub(crate) fn new(description: Arc<Description>, index: u32) -> Option<ComponentFunc> {
        let index = index as usize;
        (index < description.funcs.len()).then_some(ComponentFunc { description, index })
    }

    /// The type in the description.
    pub(crate) fn func(&self) -> &FuncType {
        &self.description.funcs[self.index]
    }

    /// The types that it is made of.
    pub(crate) fn types(&self) -> &Types {
        &self.description.types
    }

    /// Names and types of the parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (&str, Type)> {
        let params = self.func().params.iter();
        params.map(|(name, ty)| (name.as_str(), Type::new(&self.description, *ty)))
    }

    /// The types of the results: one or none.
    pub fn results(&self) -> impl ExactSizeIterator<Item = Type> {
        let result = self.func().result.iter();
        result.map(|ty| Type::new(&self.description, *ty))
    }
}

impl Display for ComponentFunc {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        wit(&self.description).func(self.func()).fmt(f)
    }
}

/// Equal if parameters and results are of equal names and types.
impl PartialEq for ComponentFunc {
    fn eq(&self, other: &ComponentFunc) -> bool {
        self.params().eq(other.params()) && self.results().eq(other.results())
    }
}

impl Eq for ComponentFunc {}

impl Debug for ComponentFunc {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

fn wit(description: &Description) -> Wit<'_> {
    Wit::new(&description.types)
}

/// A type that has parts.
#[derive(Clone)]
struct Def {
    description: Arc<Description>,
    /// Invariant 1: in the description.
    id: TypeId,
}

impl Def {
    fn get(&self) -> &TypeDef {
        self.description.types.def(self.id)
    }

    fn part(&self, ty: ValueType) -> Type {
        Type::new(&self.description, ty)
    }
}

macro_rules! types {
    ($($primitive:ident $(= $string:ident)?),*; $($(#[$docs:meta])* $variant:ident($view:ident),)*) => {
        /// The type of a value. Printed as in WIT, in full: `list<u8>`.
        ///
        /// Types are equal if they are made of equal parts with the same names; handles, if they
        /// are of the same resource of the same loaded component.
        #[derive(Clone)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "the names are the component model's")]
        pub enum Type {
            $($primitive,)*
            $($variant($view),)*
        }

        impl Type {
            fn parts(&self) -> (Option<&Def>, ValueType) {
                match self {
                    $(Type::$primitive => (None, ValueType::$primitive),)*
                    $(Type::$variant(view) => (Some(&view.0), ValueType::Def(view.0.id)),)*
                }
            }

            /// A type without parts, or the place of one that has some.
            fn primitive(ty: ValueType) -> Result<Type, TypeId> {
                match ty {
                    $(ValueType::$primitive => Ok(Type::$primitive),)*
                    ValueType::Def(id) => Err(id),
                }
            }
        }

        $(
            $(#[$docs])*
            #[derive(Clone)]
            pub struct $view(
                /// Invariant 1: is one of these.
                Def,
            );

            impl Debug for $view {
                fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                    let ty = ValueType::Def(self.0.id);
                    Display::fmt(&wit(&self.0.description).value(ty), f)
                }
            }
        )*
    };
}

types! {
    Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char, String;
    /// `list<T>`.
    List(List),
    /// `list<T, N>`.
    FixedLengthList(FixedLengthList),
    /// `map<K, V>`.
    Map(Map),
    /// Named fields.
    Record(Record),
    /// Unnamed fields.
    Tuple(Tuple),
    /// Named cases, with or without payload.
    Variant(Variant),
    /// Named cases without payload.
    Enum(Enum),
    /// `option<T>`.
    Option(OptionType),
    /// `result<T, E>`, either side may be absent.
    Result(ResultType),
    /// Named bits.
    Flags(Flags),
    /// `own<R>`.
    Own(Own),
    /// `borrow<R>`.
    Borrow(Borrow),
    /// `stream<T>`.
    Stream(StreamType),
    /// `future<T>`.
    Future(FutureType),
    /// `error-context`.
    ErrorContext(ErrorContextType),
}

impl Type {
    /// The view of a type that is in the description.
    fn new(description: &Arc<Description>, ty: ValueType) -> Type {
        let id = match Type::primitive(ty) {
            Ok(primitive) => return primitive,
            Err(id) => id,
        };
        let description = Arc::clone(description);
        let def = Def { description, id };
        match def.get() {
            TypeDef::List(_) => Type::List(List(def)),
            TypeDef::FixedList(..) => Type::FixedLengthList(FixedLengthList(def)),
            TypeDef::Map(_) => Type::Map(Map(def)),
            TypeDef::Record(_) => Type::Record(Record(def)),
            TypeDef::Tuple(_) => Type::Tuple(Tuple(def)),
            TypeDef::Variant(_) => Type::Variant(Variant(def)),
            TypeDef::Enum(_) => Type::Enum(Enum(def)),
            TypeDef::Option(_) => Type::Option(OptionType(def)),
            TypeDef::Result { .. } => Type::Result(ResultType(def)),
            TypeDef::Flags(_) => Type::Flags(Flags(def)),
            TypeDef::Own(_) => Type::Own(Own(def)),
            TypeDef::Borrow(_) => Type::Borrow(Borrow(def)),
            TypeDef::Stream(_) => Type::Stream(StreamType(def)),
            TypeDef::Future(_) => Type::Future(FutureType(def)),
            TypeDef::ErrorContext => Type::ErrorContext(ErrorContextType(def)),
        }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (Some(def), ty) => wit(&def.description).value(ty).fmt(f),
            (None, ty) => wit(&Description::default()).value(ty).fmt(f),
        }
    }
}

impl Debug for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        match (self.parts(), other.parts()) {
            ((None, a), (None, b)) => a == b,
            ((Some(a), this), (Some(b), that)) => {
                let (ours, theirs) = (&a.description.types, &b.description.types);
                // The hash is of the structure, in which all handles look the same.
                ours.abi(this).hash == theirs.abi(that).hash
                    && (!ours.has_handles(this)
                        || Arc::ptr_eq(&a.description, &b.description)
                            && handles(a, this) == handles(b, that))
            }
            _ => false,
        }
    }
}

impl Eq for Type {}

/// The handles in a type, in its order.
fn handles(def: &Def, ty: ValueType) -> Option<Vec<HandleUse>> {
    let func = FuncType {
        params: Vec::new(),
        result: Some(ty),
        is_async: false,
    };
    def.description.types.handles(&func, usize::MAX)
}

/// A named part of a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name.
    pub name: &'a str,
    /// The type.
    pub ty: Type,
}

/// A case of a [`Variant`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case<'a> {
    /// The name.
    pub name: &'a str,
    /// The type of the payload, if there is one.
    pub ty: Option<Type>,
}

/// The parts of a view's type, which is of this kind by the view's invariant.
macro_rules! def {
    ($view:expr, $pattern:pat => $value:expr) => {
        match $view.0.get() {
            $pattern => $value,
            _ => unreachable!("the view is of another type"),
        }
    };
}

impl List {
    /// The type of the elements.
    pub fn ty(&self) -> Type {
        def!(self, TypeDef::List(ty) => self.0.part(*ty))
    }
}

impl FixedLengthList {
    /// The type of the elements.
    pub fn ty(&self) -> Type {
        def!(self, TypeDef::FixedList(ty, _) => self.0.part(*ty))
    }

    /// How many there are.
    pub fn elements(&self) -> u32 {
        def!(self, TypeDef::FixedList(_, elements) => *elements)
    }
}

impl Map {
    /// The type of the keys.
    pub fn key(&self) -> Type {
        self.entry(0)
    }

    /// The type of the values.
    pub fn value(&self) -> Type {
        self.entry(1)
    }

    fn entry(&self, index: usize) -> Type {
        let entry = def!(self, TypeDef::Map(entry) => *entry);
        // Checked when the descriptions were decoded: a pair.
        self.0
            .part(self.0.description.types.fields_of(entry)[index])
    }
}

impl Record {
    /// The fields, in the order of the type.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        let fields = def!(self, TypeDef::Record(fields) => fields.iter());
        fields.map(|(name, ty)| Field {
            name,
            ty: self.0.part(*ty),
        })
    }
}

impl Tuple {
    /// The types of the fields.
    pub fn types(&self) -> impl ExactSizeIterator<Item = Type> {
        let fields = def!(self, TypeDef::Tuple(fields) => fields.iter());
        fields.map(|ty| self.0.part(*ty))
    }
}

impl Variant {
    /// The cases, in the order of the type.
    pub fn cases(&self) -> impl ExactSizeIterator<Item = Case<'_>> {
        let cases = def!(self, TypeDef::Variant(cases) => cases.iter());
        cases.map(|(name, ty)| Case {
            name,
            ty: ty.map(|ty| self.0.part(ty)),
        })
    }
}

impl Enum {
    /// The names of the cases, in the order of the type.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        def!(self, TypeDef::Enum(names) => names.iter().map(String::as_str))
    }
}

impl OptionType {
    /// The type of the payload.
    pub fn ty(&self) -> Type {
        def!(self, TypeDef::Option(ty) => self.0.part(*ty))
    }
}

impl ResultType {
    /// The type of the payload of `ok`, if it has one.
    pub fn ok(&self) -> Option<Type> {
        def!(self, TypeDef::Result { ok, .. } => ok.map(|ty| self.0.part(ty)))
    }

    /// The type of the payload of `err`, if it has one.
    pub fn err(&self) -> Option<Type> {
        def!(self, TypeDef::Result { err, .. } => err.map(|ty| self.0.part(ty)))
    }
}

impl Flags {
    /// The names of the bits, lowest first.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        def!(self, TypeDef::Flags(names) => names.iter().map(String::as_str))
    }
}

impl Own {
    /// The resource's name in the component; empty if it has none.
    pub fn resource(&self) -> &str {
        name_of(&self.0, def!(self, TypeDef::Own(resource) => *resource))
    }
}

impl Borrow {
    /// The resource's name in the component; empty if it has none.
    pub fn resource(&self) -> &str {
        name_of(&self.0, def!(self, TypeDef::Borrow(resource) => *resource))
    }
}

impl StreamType {
    /// The type of the payloads, if there are any.
    pub fn payload(&self) -> Option<Type> {
        let payload = def!(self, TypeDef::Stream(payload) => *payload);
        payload.map(|ty| Type::new(&self.0.description, ty))
    }
}

impl FutureType {
    /// The type of the payload, if there is one.
    pub fn payload(&self) -> Option<Type> {
        let payload = def!(self, TypeDef::Future(payload) => *payload);
        payload.map(|ty| Type::new(&self.0.description, ty))
    }
}

fn name_of(def: &Def, resource: ResourceNumber) -> &str {
    let names = &def.description.types.resource_names;
    names
        .get(resource.0 as usize)
        .map_or("", |name| name.as_str())
}

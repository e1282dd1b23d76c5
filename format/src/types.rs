//! The complete types of component values and functions.
//!
//! Types form a table in which the parts of a type come before it, so that shared parts stay shared
//! and no type contains itself. Layout, flat form and hash of a type are computed when it is added.

use bincode::{Decode, Encode};

use crate::abi::{
    Flat, FlatType, HANDLE_SIZE, Layout, MAX_BYTE_LENGTH, MAX_FLAT_PARAMS, PointerWidth,
};
use crate::hash::{Hasher, Tag, TypeHash};
use crate::resources::HandleUse;

/// The deepest nesting of types in a table: somewhat deeper than that of valid components.
pub const MAX_DEPTH: u32 = 128;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[allow(missing_docs, reason = "the names are the component model's")]
pub enum ValueType {
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
    /// A type of the table.
    Def(TypeId),
}

/// The place of a type in [`Types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct TypeId(pub u32);

/// A type that has parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum TypeDef {
    /// `list<T>`.
    List(ValueType),
    /// Named fields.
    Record(Vec<(String, ValueType)>),
    /// Unnamed fields.
    Tuple(Vec<ValueType>),
    /// Named cases, with or without payload.
    Variant(Vec<(String, Option<ValueType>)>),
    /// Named cases without payload.
    Enum(Vec<String>),
    /// `option<T>`.
    Option(ValueType),
    /// `result<T, E>`, either side may be absent.
    Result {
        /// The payload of `ok`.
        ok: Option<ValueType>,
        /// The payload of `err`.
        err: Option<ValueType>,
    },
    /// Named bits: at most 32.
    Flags(Vec<String>),
    /// `own<R>`: a handle that owns a resource.
    Own(ResourceNumber),
    /// `borrow<R>`: a handle for the time of a call.
    Borrow(ResourceNumber),
    /// `list<T, N>`.
    FixedList(ValueType, u32),
    /// `map<K, V>`: a list with elements of this type, which is `tuple<K, V>`.
    Map(ValueType),
    /// `stream<T>`, or `stream`: the readable end.
    Stream(Option<ValueType>),
    /// `future<T>`, or `future`: the readable end.
    Future(Option<ValueType>),
    /// `error-context`: an error with a message for people who debug.
    ErrorContext,
}

/// The number of a resource type: in an artifact, the place of its
/// [`ResourceRecord`](crate::resources::ResourceRecord).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct ResourceNumber(pub u32);

impl ResourceNumber {
    /// Any resource type: stands for the resource of a handle in a Rust type.
    pub const ANY: ResourceNumber = ResourceNumber(u32::MAX);
}

/// A component function's type.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FuncType {
    /// Names and types of the parameters.
    pub params: Vec<(String, ValueType)>,
    /// The type of the result.
    pub result: Option<ValueType>,
    /// Whether it is `async`: it may wait before it returns.
    pub is_async: bool,
}

/// The layout, flat form and hash of a type.
#[derive(Clone, Copy, Debug)]
pub struct TypeAbi {
    /// Its layout in memory.
    pub layout: Layout,
    /// Its flat form.
    pub flat: Flat,
    /// Its structural hash.
    pub hash: TypeHash,
    /// Whether it contains handles: of resources, streams, futures or error contexts.
    pub has_handles: bool,
    /// Whether it contains streams, futures or error contexts, which only the loader passes on.
    pub needs_loader: bool,
    /// Whether values can be copied as bytes: numbers, and what consists of them.
    pub is_plain: bool,
}

impl TypeAbi {
    const STRING: TypeAbi = TypeAbi {
        layout: Layout::POINTER_PAIR,
        flat: Flat::POINTER_PAIR,
        hash: TypeHash::primitive(Tag::String),
        has_handles: false,
        needs_loader: false,
        is_plain: false,
    };

    /// A type of `size` bytes that is one flat value.
    const fn scalar(tag: Tag, size: u32, flat: FlatType) -> TypeAbi {
        TypeAbi {
            layout: Layout::scalar(size),
            flat: Flat::one(flat),
            hash: TypeHash::primitive(tag),
            has_handles: false,
            needs_loader: false,
            is_plain: !matches!(tag, Tag::Bool | Tag::Char),
        }
    }
}

/// A table of types.
#[derive(Clone, Debug, Default)]
pub struct Types {
    defs: Vec<TypeDef>,
    abis: Vec<TypeAbi>,
    /// The names of resource types, by number; empty where there is none.
    pub resource_names: Vec<String>,
}

impl Types {
    /// An empty table.
    pub fn new() -> Types {
        Types::default()
    }

    /// A table of these types. `None` if they are not sound: if a part does not come before the
    /// type, or if no component can have the type: an empty record or list of fixed length, a map
    /// of other elements than pairs, more than 32 flags, a type of more than [`MAX_BYTE_LENGTH`]
    /// bytes or nested deeper than [`MAX_DEPTH`].
    pub fn from_defs(defs: Vec<TypeDef>) -> Option<Types> {
        let mut types = Types::new();
        let mut depths: Vec<u32> = Vec::with_capacity(defs.len());
        for def in defs {
            let mut deepest = 0;
            for part in def.parts() {
                if let ValueType::Def(id) = part {
                    deepest = deepest.max(*depths.get(id.0 as usize)?);
                }
            }
            if deepest >= MAX_DEPTH || !def.has_sound_count() || !types.has_sound_entry(&def) {
                return None;
            }
            depths.push(deepest + 1);
            let id = types.push(def);
            // No type is smaller with wider pointers.
            let extent = types.abi(ValueType::Def(id)).layout.at(PointerWidth::W64);
            if u64::from(extent.size) > MAX_BYTE_LENGTH {
                return None;
            }
        }
        Some(types)
    }

    /// Whether the entries of a map are pairs.
    fn has_sound_entry(&self, def: &TypeDef) -> bool {
        match def {
            TypeDef::Map(ValueType::Def(entry)) => {
                matches!(self.def(*entry), TypeDef::Tuple(fields) if fields.len() == 2)
            }
            TypeDef::Map(_) => false,
            _ => true,
        }
    }

    /// Adds `map<key, value>`, and the type of its entries.
    ///
    /// # Panics
    /// If a part is not in the table.
    pub fn push_map(&mut self, key: ValueType, value: ValueType) -> TypeId {
        let entry = self.push(TypeDef::Tuple(vec![key, value]));
        self.push(TypeDef::Map(ValueType::Def(entry)))
    }

    /// Adds a type, all of whose parts are in the table.
    ///
    /// # Panics
    /// If a part is not in the table.
    pub fn push(&mut self, def: TypeDef) -> TypeId {
        let abi = self.compute(&def);
        self.defs.push(def);
        self.abis.push(abi);
        TypeId(self.defs.len() as u32 - 1)
    }

    /// All types, parts first.
    pub fn defs(&self) -> &[TypeDef] {
        &self.defs
    }

    /// The type at this place.
    ///
    /// # Panics
    /// If it belongs to another table.
    pub fn def(&self, id: TypeId) -> &TypeDef {
        &self.defs[id.0 as usize]
    }

    /// The types of the fields of a tuple; none for other types.
    ///
    /// # Panics
    /// If it belongs to another table.
    pub fn fields_of(&self, ty: ValueType) -> &[ValueType] {
        match ty {
            ValueType::Def(id) => match self.def(id) {
                TypeDef::Tuple(fields) => fields,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// Whether `ty` is primitive or in this table.
    pub fn contains(&self, ty: ValueType) -> bool {
        !matches!(ty, ValueType::Def(id) if id.0 as usize >= self.defs.len())
    }

    /// Layout, flat form and hash of a type.
    ///
    /// # Panics
    /// If it belongs to another table.
    pub fn abi(&self, ty: ValueType) -> &TypeAbi {
        match ty {
            ValueType::Def(id) => &self.abis[id.0 as usize],
            ValueType::Bool => const { &TypeAbi::scalar(Tag::Bool, 1, FlatType::I32) },
            ValueType::S8 => const { &TypeAbi::scalar(Tag::S8, 1, FlatType::I32) },
            ValueType::U8 => const { &TypeAbi::scalar(Tag::U8, 1, FlatType::I32) },
            ValueType::S16 => const { &TypeAbi::scalar(Tag::S16, 2, FlatType::I32) },
            ValueType::U16 => const { &TypeAbi::scalar(Tag::U16, 2, FlatType::I32) },
            ValueType::S32 => const { &TypeAbi::scalar(Tag::S32, 4, FlatType::I32) },
            ValueType::U32 => const { &TypeAbi::scalar(Tag::U32, 4, FlatType::I32) },
            ValueType::S64 => const { &TypeAbi::scalar(Tag::S64, 8, FlatType::I64) },
            ValueType::U64 => const { &TypeAbi::scalar(Tag::U64, 8, FlatType::I64) },
            ValueType::F32 => const { &TypeAbi::scalar(Tag::F32, 4, FlatType::F32) },
            ValueType::F64 => const { &TypeAbi::scalar(Tag::F64, 8, FlatType::F64) },
            ValueType::Char => const { &TypeAbi::scalar(Tag::Char, 4, FlatType::I32) },
            ValueType::String => const { &TypeAbi::STRING },
        }
    }

    /// The hash of a function's type.
    pub fn func_hash(&self, func: &FuncType) -> TypeHash {
        let params: Vec<_> = func
            .params
            .iter()
            .map(|(_, ty)| self.abi(*ty).hash)
            .collect();
        TypeHash::func(&params, self.hash_or_none(func.result), func.is_async)
    }

    /// The layout of the parameters as a tuple, for when they are passed through memory.
    pub fn params_layout(&self, func: &FuncType) -> Layout {
        let fields: Vec<_> = func
            .params
            .iter()
            .map(|(_, ty)| self.abi(*ty).layout)
            .collect();
        Layout::record(&fields)
    }

    /// The flat form of the parameters.
    pub fn params_flat(&self, func: &FuncType) -> Flat {
        func.params
            .iter()
            .fold(Flat::EMPTY, |flat, (_, ty)| flat.concat(self.abi(*ty).flat))
    }

    /// How many flat values the parameters are; `None` if they are too many to be passed so.
    pub fn params_count(&self, func: &FuncType) -> Option<usize> {
        let counts = func.params.iter().map(|(_, ty)| {
            let flat = &self.abi(*ty).flat;
            flat.fits().then(|| flat.count())
        });
        let count = counts.sum::<Option<usize>>()?;
        (count <= MAX_FLAT_PARAMS).then_some(count)
    }

    /// The flat form of the result; empty without one.
    pub fn result_flat(&self, func: &FuncType) -> Flat {
        func.result.map_or(Flat::EMPTY, |ty| self.abi(ty).flat)
    }

    /// The handles in a function's type, in the order in which the type is written: parameters,
    /// then the result. The hash says where handles are; this says of which resource each is, and
    /// whether it is borrowed. `None` if there are more than `limit`.
    pub fn handles(&self, func: &FuncType, limit: usize) -> Option<Vec<HandleUse>> {
        let mut handles = Vec::new();
        let params = func.params.iter().map(|(_, ty)| *ty);
        let mut rest: Vec<ValueType> = params.chain(func.result).collect();
        rest.reverse();
        while let Some(ty) = rest.pop() {
            let ValueType::Def(id) = ty else { continue };
            match self.def(id) {
                TypeDef::Own(resource) => handles.push(HandleUse::own(*resource)),
                TypeDef::Borrow(resource) => handles.push(HandleUse::borrow(*resource)),
                def if self.has_handles(ty) => {
                    let start = rest.len();
                    rest.extend(def.parts());
                    rest[start..].reverse();
                }
                _ => {}
            }
            if handles.len() > limit {
                return None;
            }
        }
        Some(handles)
    }

    /// Whether values of this type contain handles.
    ///
    /// # Panics
    /// If it belongs to another table.
    pub fn has_handles(&self, ty: ValueType) -> bool {
        matches!(ty, ValueType::Def(id) if self.abis[id.0 as usize].has_handles)
    }

    /// Whether the parameters or the result contain handles.
    pub fn func_has_handles(&self, func: &FuncType) -> bool {
        let mut params = func.params.iter().map(|(_, ty)| *ty);
        params.any(|ty| self.has_handles(ty)) || func.result.is_some_and(|ty| self.has_handles(ty))
    }

    /// Whether the parameters or the result contain what only the loader passes on.
    pub fn func_needs_loader(&self, func: &FuncType) -> bool {
        let params = func.params.iter().map(|(_, ty)| *ty);
        let mut all = params.chain(func.result);
        all.any(|ty| self.abi(ty).needs_loader)
    }

    fn hash_or_none(&self, ty: Option<ValueType>) -> TypeHash {
        ty.map_or(TypeHash::NONE, |ty| self.abi(ty).hash)
    }

    fn compute(&self, def: &TypeDef) -> TypeAbi {
        let parts: Vec<Option<&TypeAbi>> = match def {
            TypeDef::Variant(cases) => cases
                .iter()
                .map(|(_, ty)| ty.map(|ty| self.abi(ty)))
                .collect(),
            TypeDef::Enum(names) => vec![None; names.len()],
            TypeDef::Option(ty) => vec![None, Some(self.abi(*ty))],
            TypeDef::Result { ok, err } => {
                [ok, err].map(|side| side.map(|ty| self.abi(ty))).to_vec()
            }
            _ => def.parts().map(|ty| Some(self.abi(ty))).collect(),
        };
        let layouts: Vec<_> = parts
            .iter()
            .map(|part| part.map_or(Layout::EMPTY, |abi| abi.layout))
            .collect();
        let flats: Vec<_> = parts
            .iter()
            .map(|part| part.map_or(Flat::EMPTY, |abi| abi.flat))
            .collect();
        let (layout, flat) = match def {
            TypeDef::List(_) | TypeDef::Map(_) => (Layout::POINTER_PAIR, Flat::POINTER_PAIR),
            TypeDef::FixedList(_, len) => (layouts[0].repeat(*len), flats[0].repeat(*len)),
            TypeDef::Record(_) | TypeDef::Tuple(_) => (
                Layout::record(&layouts),
                flats.into_iter().fold(Flat::EMPTY, Flat::concat),
            ),
            TypeDef::Variant(_)
            | TypeDef::Enum(_)
            | TypeDef::Option(_)
            | TypeDef::Result { .. } => (Layout::variant(&layouts), Flat::variant(&flats)),
            TypeDef::Flags(names) => (Layout::flags(names.len()), Flat::one(FlatType::I32)),
            TypeDef::Own(_)
            | TypeDef::Borrow(_)
            | TypeDef::Stream(_)
            | TypeDef::Future(_)
            | TypeDef::ErrorContext => (
                Layout::scalar(HANDLE_SIZE),
                const { Flat::one(FlatType::I32) },
            ),
        };
        let is_product = matches!(
            def,
            TypeDef::Record(_) | TypeDef::Tuple(_) | TypeDef::FixedList(..)
        );
        let is_loaders = matches!(
            def,
            TypeDef::Stream(_) | TypeDef::Future(_) | TypeDef::ErrorContext
        );
        let is_handle = is_loaders || matches!(def, TypeDef::Own(_) | TypeDef::Borrow(_));
        TypeAbi {
            layout,
            flat,
            hash: self.compute_hash(def),
            has_handles: is_handle || def.parts().any(|ty| self.has_handles(ty)),
            needs_loader: is_loaders || def.parts().any(|ty| self.abi(ty).needs_loader),
            is_plain: is_product && def.parts().all(|ty| self.abi(ty).is_plain),
        }
    }

    fn compute_hash(&self, def: &TypeDef) -> TypeHash {
        let hash = |ty: &ValueType| self.abi(*ty).hash;
        match def {
            TypeDef::List(ty) => TypeHash::of_parts(Tag::List, &[hash(ty)]),
            TypeDef::FixedList(ty, len) => TypeHash::fixed_list(hash(ty), *len),
            TypeDef::Map(entry) => TypeHash::of_parts(Tag::Map, &[hash(entry)]),
            TypeDef::Option(ty) => TypeHash::of_parts(Tag::Option, &[hash(ty)]),
            TypeDef::Result { ok, err } => TypeHash::of_parts(
                Tag::Result,
                &[self.hash_or_none(*ok), self.hash_or_none(*err)],
            ),
            TypeDef::Tuple(fields) => {
                TypeHash::of_parts(Tag::Tuple, &fields.iter().map(hash).collect::<Vec<_>>())
            }
            TypeDef::Record(fields) => {
                let parts = fields
                    .iter()
                    .map(|(name, ty)| (name.as_str(), Some(hash(ty))));
                named(Tag::Record, parts)
            }
            TypeDef::Variant(cases) => {
                let parts = cases
                    .iter()
                    .map(|(name, ty)| (name.as_str(), Some(self.hash_or_none(*ty))));
                named(Tag::Variant, parts)
            }
            TypeDef::Enum(names) => {
                named(Tag::Enum, names.iter().map(|name| (name.as_str(), None)))
            }
            TypeDef::Flags(names) => {
                named(Tag::Flags, names.iter().map(|name| (name.as_str(), None)))
            }
            TypeDef::Stream(ty) => TypeHash::of_parts(Tag::Stream, &[self.hash_or_none(*ty)]),
            TypeDef::Future(ty) => TypeHash::of_parts(Tag::Future, &[self.hash_or_none(*ty)]),
            TypeDef::ErrorContext => const { TypeHash::primitive(Tag::ErrorContext) },
            // The resource and its owner are not part of the structure: see `Types::handles`.
            TypeDef::Own(_) | TypeDef::Borrow(_) => const { TypeHash::primitive(Tag::Handle) },
        }
    }
}

/// The hash of a type whose parts have names: the number of parts, then each name and its type.
fn named<'a>(
    tag: Tag,
    parts: impl ExactSizeIterator<Item = (&'a str, Option<TypeHash>)>,
) -> TypeHash {
    let mut hasher = Hasher::new(tag);
    hasher.count(parts.len());
    for (name, part) in parts {
        hasher.name(name);
        if let Some(part) = part {
            hasher.part(part);
        }
    }
    hasher.finish()
}

impl TypeDef {
    /// The types of its parts, in order; absent payloads are left out.
    pub fn parts(&self) -> impl Iterator<Item = ValueType> + '_ {
        let parts: Vec<ValueType> = match self {
            TypeDef::List(ty)
            | TypeDef::FixedList(ty, _)
            | TypeDef::Map(ty)
            | TypeDef::Option(ty) => vec![*ty],
            TypeDef::Record(fields) => fields.iter().map(|(_, ty)| *ty).collect(),
            TypeDef::Tuple(fields) => fields.clone(),
            TypeDef::Variant(cases) => cases.iter().filter_map(|(_, ty)| *ty).collect(),
            TypeDef::Result { ok, err } => ok.iter().chain(err).copied().collect(),
            TypeDef::Stream(ty) | TypeDef::Future(ty) => ty.iter().copied().collect(),
            TypeDef::Enum(_)
            | TypeDef::Flags(_)
            | TypeDef::Own(_)
            | TypeDef::Borrow(_)
            | TypeDef::ErrorContext => vec![],
        };
        parts.into_iter()
    }

    /// As [`TypeDef::parts`], to change them.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = &mut ValueType> {
        let parts: Vec<&mut ValueType> = match self {
            TypeDef::List(ty)
            | TypeDef::FixedList(ty, _)
            | TypeDef::Map(ty)
            | TypeDef::Option(ty) => vec![ty],
            TypeDef::Record(fields) => fields.iter_mut().map(|(_, ty)| ty).collect(),
            TypeDef::Tuple(fields) => fields.iter_mut().collect(),
            TypeDef::Variant(cases) => cases.iter_mut().filter_map(|(_, ty)| ty.as_mut()).collect(),
            TypeDef::Result { ok, err } => ok.iter_mut().chain(err).collect(),
            TypeDef::Stream(ty) | TypeDef::Future(ty) => ty.iter_mut().collect(),
            TypeDef::Enum(_)
            | TypeDef::Flags(_)
            | TypeDef::Own(_)
            | TypeDef::Borrow(_)
            | TypeDef::ErrorContext => vec![],
        };
        parts.into_iter()
    }

    /// Whether its kind of type may have this many parts.
    fn has_sound_count(&self) -> bool {
        match self {
            TypeDef::List(_) | TypeDef::Map(_) | TypeDef::Option(_) | TypeDef::Result { .. } => {
                true
            }
            TypeDef::Own(_)
            | TypeDef::Borrow(_)
            | TypeDef::Stream(_)
            | TypeDef::Future(_)
            | TypeDef::ErrorContext => true,
            TypeDef::FixedList(_, len) => *len != 0,
            TypeDef::Record(fields) => !fields.is_empty(),
            TypeDef::Tuple(fields) => !fields.is_empty(),
            TypeDef::Variant(cases) => !cases.is_empty(),
            TypeDef::Enum(names) => !names.is_empty(),
            TypeDef::Flags(names) => (1..=32).contains(&names.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_parts_stay_small() {
        // Each level doubles the number of leaves; a tree would have 2^64 of them.
        let mut types = Types::new();
        let mut ty = ValueType::U8;
        for _ in 0..64 {
            ty = ValueType::Def(types.push(TypeDef::Tuple(vec![ty, ty])));
        }
        assert!(!types.abi(ty).flat.fits());
        assert_eq!(types.defs().len(), 64);
    }

    #[test]
    fn handles_are_listed_in_order() {
        let (a, b) = (ResourceNumber(0), ResourceNumber(1));
        let mut types = Types::new();
        let own = ValueType::Def(types.push(TypeDef::Own(a)));
        let borrow = ValueType::Def(types.push(TypeDef::Borrow(b)));
        let list = ValueType::Def(types.push(TypeDef::List(borrow)));
        let pair = ValueType::Def(types.push(TypeDef::Tuple(vec![list, ValueType::U8, own])));
        let func = FuncType {
            params: vec![("p".into(), pair), ("q".into(), ValueType::Bool)],
            result: Some(own),
            is_async: false,
        };
        let expected = [HandleUse::borrow(b), HandleUse::own(a), HandleUse::own(a)];
        assert_eq!(types.handles(&func, 3).as_deref(), Some(&expected[..]));
        assert_eq!(types.handles(&func, 2), None);
        assert!(types.func_has_handles(&func) && types.has_handles(list));
        assert!(!types.has_handles(ValueType::String));
        assert_eq!(types.abi(own).hash, types.abi(borrow).hash);
    }

    #[test]
    fn parts_must_come_first() {
        let loop_ = vec![TypeDef::List(ValueType::Def(TypeId(0)))];
        assert!(Types::from_defs(loop_).is_none());
    }

    #[test]
    fn what_no_component_has_is_refused() {
        let nested = |depth: u32| {
            let inner = (0..depth - 1).map(|id| TypeDef::List(ValueType::Def(TypeId(id))));
            let defs = [TypeDef::List(ValueType::U8)].into_iter().chain(inner);
            Types::from_defs(defs.collect())
        };
        assert!(nested(MAX_DEPTH).is_some() && nested(MAX_DEPTH + 1).is_none());
        assert!(Types::from_defs(vec![TypeDef::Tuple(vec![])]).is_none());
        assert!(Types::from_defs(vec![TypeDef::Flags(vec![String::new(); 33])]).is_none());
        let bytes = |len| vec![TypeDef::FixedList(ValueType::U8, len)];
        assert!(Types::from_defs(bytes(1)).is_some() && Types::from_defs(bytes(0)).is_none());
        assert!(Types::from_defs(bytes(u32::MAX)).is_none());
        let wide = |len| vec![TypeDef::FixedList(ValueType::String, len)];
        assert!(Types::from_defs(wide((1 << 24) - 1)).is_some());
        assert!(Types::from_defs(wide(1 << 24)).is_none());
        let map = |entry| vec![entry, TypeDef::Map(ValueType::Def(TypeId(0)))];
        assert!(Types::from_defs(map(TypeDef::Tuple(vec![ValueType::U8; 2]))).is_some());
        assert!(Types::from_defs(map(TypeDef::Tuple(vec![ValueType::U8; 3]))).is_none());
        assert!(Types::from_defs(map(TypeDef::List(ValueType::U8))).is_none());
        assert!(Types::from_defs(vec![TypeDef::Map(ValueType::U8)]).is_none());
        let doubled = |id| TypeDef::Tuple(vec![ValueType::Def(TypeId(id)); 2]);
        let first = [TypeDef::Tuple(vec![ValueType::U64; 2])];
        assert!(
            Types::from_defs(first.into_iter().chain((0..40).map(doubled)).collect()).is_none()
        );
    }
}

//! Lifting and lowering of [`Val`]s, by types that are known at run time only.
//!
//! The same forms and checks as in [`values`](crate::values), whose implementations do the work
//! for all types without parts. Types come from [`Types::from_defs`], so they are finite, not
//! nested deeply and of limited size.
//!
//! Values of the host are [checked](Check) against their types before a guest is entered, so that
//! a wrong one costs an error and not the instance.

use cwasm_format::TrapCode;
use cwasm_format::abi::{Extent, Layout, PointerWidth, discriminant_size};
use cwasm_format::resources::HandleUse;
use cwasm_format::types::{TypeDef, Types, ValueType};
use cwasm_format::wit::Wit;

use crate::error::{Error, Result};
use crate::resource::ResourceAny;
use crate::val::Val;
use crate::values::{
    Lift, LiftContext, Lower, LowerContext, elements_extent, pair_of_bytes, pair_of_flat,
    pair_to_flat, pair_to_memory, reserve,
};

macro_rules! primitives {
    ($($name:ident: $rust:ty),*) => {
        fn lower_primitive_flat(
            ty: ValueType,
            val: &Val,
            cx: &mut LowerContext<'_>,
            out: &mut [u64],
        ) -> Result<()> {
            match (ty, val) {
                $((ValueType::$name, Val::$name(value)) => value.lower_flat(cx, out),)*
                _ => Err(unchecked()),
            }
        }

        fn store_primitive(
            ty: ValueType,
            val: &Val,
            cx: &mut LowerContext<'_>,
            offset: usize,
        ) -> Result<()> {
            match (ty, val) {
                $((ValueType::$name, Val::$name(value)) => value.store(cx, offset),)*
                _ => Err(unchecked()),
            }
        }

        fn lift_primitive_flat(
            ty: ValueType,
            cx: &mut LiftContext<'_>,
            flat: &[u64],
        ) -> Result<Val> {
            match ty {
                $(ValueType::$name => <$rust>::lift_flat(cx, flat).map(Val::$name),)*
                ValueType::Def(_) => Err(unchecked()),
            }
        }

        fn load_primitive(ty: ValueType, cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Val> {
            match ty {
                $(ValueType::$name => <$rust>::load(cx, bytes).map(Val::$name),)*
                ValueType::Def(_) => Err(unchecked()),
            }
        }

        fn is_primitive(ty: ValueType, val: &Val) -> bool {
            matches!((ty, val), $((ValueType::$name, Val::$name(_)))|*)
        }
    };
}

primitives! {
    Bool: bool, S8: i8, U8: u8, S16: i16, U16: u16, S32: i32, U32: u32, S64: i64, U64: u64,
    F32: f32, F64: f64, Char: char, String: String
}

/// Checks values of the host against types.
pub(crate) struct Check<'c> {
    pub(crate) types: &'c Types,
    /// Whether a resource can be given where a function has this handle.
    pub(crate) handle: &'c dyn Fn(HandleUse, &ResourceAny) -> Result<()>,
}

impl Check<'_> {
    /// Checks that values have these types.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub(crate) fn all(
        &self,
        expected: impl ExactSizeIterator<Item = ValueType>,
        vals: &[Val],
        what: &str,
    ) -> Result<()> {
        if expected.len() != vals.len() {
            let (expected, found) = (expected.len(), vals.len());
            return Err(Error::msg(format_args!(
                "found {found} {what}s, expected {expected}"
            )));
        }
        for (index, (ty, val)) in expected.zip(vals).enumerate() {
            self.one(ty, val)
                .map_err(|error| error.context(format_args!("{what} {index}")))?;
        }
        Ok(())
    }

    /// Checks that a value has this type.
    fn one(&self, ty: ValueType, val: &Val) -> Result<()> {
        let mismatch = || mismatch(self.types, ty, val);
        let ValueType::Def(id) = ty else {
            return if is_primitive(ty, val) {
                Ok(())
            } else {
                Err(mismatch())
            };
        };
        match (self.types.def(id), val) {
            (TypeDef::List(element), Val::List(items)) => {
                items.iter().try_for_each(|item| self.one(*element, item))
            }
            (TypeDef::FixedList(element, len), Val::List(items))
                if items.len() == *len as usize =>
            {
                items.iter().try_for_each(|item| self.one(*element, item))
            }
            (TypeDef::Map(entry), Val::Map(pairs)) => {
                let (key, value) = entry_types(self.types, *entry)?;
                pairs.iter().try_for_each(|(k, v)| {
                    self.one(key, k)?;
                    self.one(value, v)
                })
            }
            (TypeDef::Record(fields), Val::Record(vals)) => {
                let names = fields.iter().map(|(name, _)| name);
                if !names.eq(vals.iter().map(|(name, _)| name)) {
                    return Err(mismatch());
                }
                let mut pairs = fields.iter().zip(vals);
                pairs.try_for_each(|((_, ty), (_, val))| self.one(*ty, val))
            }
            (TypeDef::Tuple(fields), Val::Tuple(vals)) if fields.len() == vals.len() => fields
                .iter()
                .zip(vals)
                .try_for_each(|(ty, val)| self.one(*ty, val)),
            (TypeDef::Flags(names), Val::Flags(set))
                if set.iter().all(|name| names.contains(name)) =>
            {
                Ok(())
            }
            (def, Val::Resource(resource)) => match handle_of(def) {
                Some(handle) => (self.handle)(handle, resource),
                None => Err(mismatch()),
            },
            (def, val) => match select(def, val) {
                Some((_, None)) => Ok(()),
                Some((_, Some((ty, val)))) => self.one(ty, val),
                None => Err(mismatch()),
            },
        }
    }
}

/// The handle that a type is, if it is one.
fn handle_of(def: &TypeDef) -> Option<HandleUse> {
    match def {
        TypeDef::Own(resource) => Some(HandleUse::own(*resource)),
        TypeDef::Borrow(resource) => Some(HandleUse::borrow(*resource)),
        _ => None,
    }
}

/// Gives the guest a handle.
fn lower_handle(def: &TypeDef, val: &Val, cx: &mut LowerContext<'_>) -> Result<u32> {
    match (handle_of(def), val) {
        (Some(handle), Val::Resource(resource)) => resource.lower_as(cx, handle),
        _ => Err(unchecked()),
    }
}

/// Takes a handle from the guest.
fn lift_handle(def: &TypeDef, cx: &mut LiftContext<'_>, handle: u32) -> Result<Val> {
    match handle_of(def) {
        Some(handle_use) => ResourceAny::lift_as(cx, handle_use, handle).map(Val::Resource),
        None => Err(unchecked()),
    }
}

#[cold]
fn mismatch(types: &Types, ty: ValueType, val: &Val) -> Error {
    let expected = Wit::new(types).value(ty);
    let found = val.kind();
    match val {
        Val::Variant(case, _) | Val::Enum(case) => Error::msg(format_args!(
            "found {found} of case `{case}`, expected `{expected}`"
        )),
        Val::Record(fields) => {
            let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join("`, `");
            Error::msg(format_args!(
                "found {found} of fields `{names}`, expected `{expected}`"
            ))
        }
        Val::List(items) => {
            let len = items.len();
            Error::msg(format_args!(
                "found {found} of {len} elements, expected `{expected}`"
            ))
        }
        _ => Error::msg(format_args!("found {found}, expected `{expected}`")),
    }
}

/// A value that [`Check`] would have refused.
#[cold]
fn unchecked() -> Error {
    Error::msg("a value is not of its type")
}

/// The types of the keys and values of a map with these entries.
fn entry_types(types: &Types, entry: ValueType) -> Result<(ValueType, ValueType)> {
    match *types.fields_of(entry) {
        [key, value] => Ok((key, value)),
        _ => Err(unchecked()),
    }
}

/// The case of a variant, enum, option or result that a value is, and its payload with its type.
/// `None` if the value is not of the type, as far as that can be seen without the payload.
fn select<'v>(def: &TypeDef, val: &'v Val) -> Option<(usize, Option<(ValueType, &'v Val)>)> {
    let (case, payload) = match (def, val) {
        (TypeDef::Variant(cases), Val::Variant(name, payload)) => (
            cases.iter().position(|(case, _)| case == name)?,
            payload.as_deref(),
        ),
        (TypeDef::Enum(names), Val::Enum(name)) => {
            (names.iter().position(|case| case == name)?, None)
        }
        (TypeDef::Option(_), Val::Option(payload)) => {
            (usize::from(payload.is_some()), payload.as_deref())
        }
        (TypeDef::Result { .. }, Val::Result(Ok(payload))) => (0, payload.as_deref()),
        (TypeDef::Result { .. }, Val::Result(Err(payload))) => (1, payload.as_deref()),
        _ => return None,
    };
    match (payload_type(def, case)?, payload) {
        (None, None) => Some((case, None)),
        (Some(ty), Some(val)) => Some((case, Some((ty, val)))),
        _ => None,
    }
}

/// The number of cases of a variant, enum, option or result.
fn case_count(def: &TypeDef) -> usize {
    match def {
        TypeDef::Variant(cases) => cases.len(),
        TypeDef::Enum(names) => names.len(),
        _ => 2,
    }
}

/// The type of the payload of a case; `None` if there is no such case.
fn payload_type(def: &TypeDef, case: usize) -> Option<Option<ValueType>> {
    match (def, case) {
        (TypeDef::Variant(cases), _) => cases.get(case).map(|(_, payload)| *payload),
        (TypeDef::Enum(names), _) => names.get(case).map(|_| None),
        (TypeDef::Option(_), 0) => Some(None),
        (TypeDef::Option(payload), 1) => Some(Some(*payload)),
        (TypeDef::Result { ok, .. }, 0) => Some(*ok),
        (TypeDef::Result { err, .. }, 1) => Some(*err),
        _ => None,
    }
}

/// The value of a case that [`payload_type`] knows.
fn build_case(def: &TypeDef, case: usize, payload: Option<Val>) -> Val {
    let payload = payload.map(Box::new);
    match def {
        TypeDef::Variant(cases) => Val::Variant(cases[case].0.clone(), payload),
        TypeDef::Enum(names) => Val::Enum(names[case].clone()),
        TypeDef::Option(_) => Val::Option(payload),
        _ if case == 0 => Val::Result(Ok(payload)),
        _ => Val::Result(Err(payload)),
    }
}

/// The bits of the flags that are set.
fn flag_bits(names: &[String], val: &Val) -> Result<u32> {
    let Val::Flags(set) = val else {
        return Err(unchecked());
    };
    let mut bits = 0;
    for name in set {
        let bit = names
            .iter()
            .position(|flag| flag == name)
            .ok_or_else(unchecked)?;
        bits |= 1 << bit;
    }
    Ok(bits)
}

/// The flags of these bits; bits without a name are ignored.
fn build_flags(names: &[String], bits: u32) -> Val {
    let set = names
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 != 0);
    Val::Flags(set.map(|(_, name)| name.clone()).collect())
}

/// Gives each field of a record or tuple, or element of a list of fixed length, and its value to
/// `visit`.
fn each_field<'v>(
    def: &TypeDef,
    val: &'v Val,
    mut visit: impl FnMut(ValueType, &'v Val) -> Result<()>,
) -> Result<()> {
    match (def, val) {
        (TypeDef::Record(fields), Val::Record(vals)) => fields
            .iter()
            .zip(vals)
            .try_for_each(|((_, ty), (_, val))| visit(*ty, val)),
        (TypeDef::Tuple(fields), Val::Tuple(vals)) => fields
            .iter()
            .zip(vals)
            .try_for_each(|(ty, val)| visit(*ty, val)),
        (TypeDef::FixedList(element, _), Val::List(items)) => {
            items.iter().try_for_each(|item| visit(*element, item))
        }
        _ => Err(unchecked()),
    }
}

/// A record, tuple or list of fixed length of what `visit` makes of each field or element.
fn build_fields(def: &TypeDef, mut visit: impl FnMut(ValueType) -> Result<Val>) -> Result<Val> {
    match def {
        TypeDef::Record(fields) => {
            let vals = fields
                .iter()
                .map(|(name, ty)| Ok((name.clone(), visit(*ty)?)));
            vals.collect::<Result<_>>().map(Val::Record)
        }
        TypeDef::Tuple(fields) => fields
            .iter()
            .map(|ty| visit(*ty))
            .collect::<Result<_>>()
            .map(Val::Tuple),
        TypeDef::FixedList(element, len) => {
            let mut items = reserve(*len as usize)?;
            for _ in 0..*len {
                items.push(visit(*element)?);
            }
            Ok(Val::List(items))
        }
        _ => Err(unchecked()),
    }
}

/// Goes through the fields of a record: the place of each.
pub(crate) struct Places {
    flat: usize,
    extent: Extent,
    width: PointerWidth,
}

impl Places {
    /// The places in flat values, or in a memory of this pointer width.
    pub(crate) fn new(width: PointerWidth) -> Places {
        Places {
            flat: 0,
            extent: Extent::EMPTY,
            width,
        }
    }

    /// The range of the next field's flat form.
    pub(crate) fn next_flat(&mut self, types: &Types, ty: ValueType) -> std::ops::Range<usize> {
        let start = self.flat;
        self.flat += types.abi(ty).flat.count();
        start..self.flat
    }

    /// The range of the next field's bytes.
    pub(crate) fn next_bytes(&mut self, types: &Types, ty: ValueType) -> std::ops::Range<usize> {
        let field = types.abi(ty).layout.at(self.width);
        let (offset, extent) = self.extent.push_field(field);
        self.extent = extent;
        offset as usize..offset as usize + field.size as usize
    }
}

/// Writes the flat form of a checked value.
pub(crate) fn lower_flat(
    types: &Types,
    ty: ValueType,
    val: &Val,
    cx: &mut LowerContext<'_>,
    out: &mut [u64],
) -> Result<()> {
    let ValueType::Def(id) = ty else {
        return lower_primitive_flat(ty, val, cx, out);
    };
    match types.def(id) {
        TypeDef::List(element) | TypeDef::Map(element) => {
            pair_to_flat(lower_list(types, *element, val, cx)?, out);
            Ok(())
        }
        def @ (TypeDef::Record(_) | TypeDef::Tuple(_) | TypeDef::FixedList(..)) => {
            let mut places = Places::new(cx.width());
            each_field(def, val, |ty, val| {
                lower_flat(types, ty, val, cx, &mut out[places.next_flat(types, ty)])
            })
        }
        TypeDef::Flags(names) => {
            out[0] = flag_bits(names, val)?.into();
            Ok(())
        }
        def @ (TypeDef::Own(_) | TypeDef::Borrow(_)) => {
            out[0] = lower_handle(def, val, cx)?.into();
            Ok(())
        }
        def => {
            let (case, payload) = select(def, val).ok_or_else(unchecked)?;
            out.fill(0);
            out[0] = case as u64;
            let Some((ty, val)) = payload else {
                return Ok(());
            };
            lower_flat(types, ty, val, cx, &mut out[1..=types.abi(ty).flat.count()])
        }
    }
}

/// Writes a checked value to memory.
pub(crate) fn store(
    types: &Types,
    ty: ValueType,
    val: &Val,
    cx: &mut LowerContext<'_>,
    offset: usize,
) -> Result<()> {
    let ValueType::Def(id) = ty else {
        return store_primitive(ty, val, cx, offset);
    };
    match types.def(id) {
        TypeDef::List(element) | TypeDef::Map(element) => {
            let pair = lower_list(types, *element, val, cx)?;
            pair_to_memory(pair, cx, offset);
            Ok(())
        }
        def @ (TypeDef::Record(_) | TypeDef::Tuple(_) | TypeDef::FixedList(..)) => {
            let mut places = Places::new(cx.width());
            each_field(def, val, |ty, val| {
                store(
                    types,
                    ty,
                    val,
                    cx,
                    offset + places.next_bytes(types, ty).start,
                )
            })
        }
        TypeDef::Flags(names) => {
            let bits = flag_bits(names, val)?.to_le_bytes();
            let size = Layout::flags(names.len()).at(cx.width()).size;
            cx.write(offset, &bits[..size as usize]);
            Ok(())
        }
        def @ (TypeDef::Own(_) | TypeDef::Borrow(_)) => {
            let handle = lower_handle(def, val, cx)?;
            cx.write(offset, &handle.to_le_bytes());
            Ok(())
        }
        def => {
            let (case, payload) = select(def, val).ok_or_else(unchecked)?;
            let count = case_count(def);
            // Types are of limited size: so are their numbers of cases.
            let discriminant = (case as u32).to_le_bytes();
            cx.write(offset, &discriminant[..discriminant_size(count) as usize]);
            let Some((ty, val)) = payload else {
                return Ok(());
            };
            let extent = types.abi(ValueType::Def(id)).layout.at(cx.width());
            let payload_offset = extent.payload_offset(count);
            store(types, ty, val, cx, offset + payload_offset as usize)
        }
    }
}

/// Copies a list or map to the guest's memory: pointer and length.
fn lower_list(
    types: &Types,
    element: ValueType,
    val: &Val,
    cx: &mut LowerContext<'_>,
) -> Result<(u64, u64)> {
    let extent = types.abi(element).layout.at(cx.width());
    let (pointer, len) = match val {
        Val::List(items) => {
            let pointer = allocate_list(items.len(), extent, cx)?;
            let offsets = (pointer..).step_by(extent.size as usize);
            for (item, offset) in items.iter().zip(offsets) {
                store(types, element, item, cx, offset)?;
            }
            (pointer, items.len())
        }
        Val::Map(pairs) => {
            let (key, value) = entry_types(types, element)?;
            let mut places = Places::new(cx.width());
            let [key_offset, value_offset] =
                [key, value].map(|ty| places.next_bytes(types, ty).start);
            let pointer = allocate_list(pairs.len(), extent, cx)?;
            let offsets = (pointer..).step_by(extent.size as usize);
            for ((k, v), offset) in pairs.iter().zip(offsets) {
                store(types, key, k, cx, offset + key_offset)?;
                store(types, value, v, cx, offset + value_offset)?;
            }
            (pointer, pairs.len())
        }
        _ => return Err(unchecked()),
    };
    Ok((pointer as u64, len as u64))
}

fn allocate_list(len: usize, element: Extent, cx: &mut LowerContext<'_>) -> Result<usize> {
    let all = elements_extent(len as u64, element)?;
    cx.allocate(all, TrapCode::ListOutOfBounds)
}

/// Reads the flat form of a value.
pub(crate) fn lift_flat(
    types: &Types,
    ty: ValueType,
    cx: &mut LiftContext<'_>,
    flat: &[u64],
) -> Result<Val> {
    let ValueType::Def(id) = ty else {
        return lift_primitive_flat(ty, cx, flat);
    };
    cx.charge(1, own_size(types.def(id)))?;
    match types.def(id) {
        TypeDef::List(element) => {
            let pair = pair_of_flat(cx, flat);
            lift_list(types, *element, cx, pair).map(Val::List)
        }
        TypeDef::Map(entry) => {
            let pair = pair_of_flat(cx, flat);
            lift_map(types, *entry, cx, pair)
        }
        def @ (TypeDef::Record(_) | TypeDef::Tuple(_) | TypeDef::FixedList(..)) => {
            let mut places = Places::new(cx.width());
            build_fields(def, |ty| {
                lift_flat(types, ty, cx, &flat[places.next_flat(types, ty)])
            })
        }
        TypeDef::Flags(names) => Ok(build_flags(names, flat[0] as u32)),
        def @ (TypeDef::Own(_) | TypeDef::Borrow(_)) => lift_handle(def, cx, flat[0] as u32),
        def => lift_case(def, flat[0] as u32, |ty| {
            lift_flat(types, ty, cx, &flat[1..=types.abi(ty).flat.count()])
        }),
    }
}

/// Reads a value in memory.
pub(crate) fn load(
    types: &Types,
    ty: ValueType,
    cx: &mut LiftContext<'_>,
    bytes: &[u8],
) -> Result<Val> {
    let ValueType::Def(id) = ty else {
        return load_primitive(ty, cx, bytes);
    };
    cx.charge(1, own_size(types.def(id)))?;
    match types.def(id) {
        TypeDef::List(element) => {
            let pair = pair_of_bytes(cx, bytes);
            lift_list(types, *element, cx, pair).map(Val::List)
        }
        TypeDef::Map(entry) => {
            let pair = pair_of_bytes(cx, bytes);
            lift_map(types, *entry, cx, pair)
        }
        def @ (TypeDef::Record(_) | TypeDef::Tuple(_) | TypeDef::FixedList(..)) => {
            let mut places = Places::new(cx.width());
            build_fields(def, |ty| {
                load(types, ty, cx, &bytes[places.next_bytes(types, ty)])
            })
        }
        TypeDef::Flags(names) => {
            let size = Layout::flags(names.len()).at(cx.width()).size as usize;
            Ok(build_flags(names, number(&bytes[..size])))
        }
        def @ (TypeDef::Own(_) | TypeDef::Borrow(_)) => lift_handle(def, cx, number(&bytes[..4])),
        def => {
            let count = case_count(def);
            let case = number(&bytes[..discriminant_size(count) as usize]);
            let width = cx.width();
            let extent = types.abi(ValueType::Def(id)).layout.at(width);
            let payload_offset = extent.payload_offset(count);
            lift_case(def, case, |ty| {
                let size = types.abi(ty).layout.at(width).size as usize;
                load(types, ty, cx, &bytes[payload_offset as usize..][..size])
            })
        }
    }
}

/// Bytes of the host's memory that a value of this type takes beside the [`Val`] itself, but for what
/// its parts take, and the elements of lists: names, and places of fields.
fn own_size(def: &TypeDef) -> usize {
    let sum = |names: &[String]| {
        names
            .iter()
            .map(|name| size_of::<String>() + name.len())
            .sum()
    };
    let longest = |names: &mut dyn Iterator<Item = &String>| names.map(String::len).max();
    match def {
        // What the host's table takes is counted when it is added there.
        TypeDef::List(_) | TypeDef::Map(_) | TypeDef::Own(_) | TypeDef::Borrow(_) => 0,
        TypeDef::FixedList(_, len) => *len as usize * size_of::<Val>(),
        TypeDef::Record(fields) => fields
            .iter()
            .map(|(name, _)| size_of::<(String, Val)>() + name.len())
            .sum(),
        TypeDef::Tuple(fields) => fields.len() * size_of::<Val>(),
        TypeDef::Flags(names) => sum(names),
        TypeDef::Enum(names) => longest(&mut names.iter()).unwrap_or(0),
        TypeDef::Variant(cases) => {
            size_of::<Val>() + longest(&mut cases.iter().map(|(name, _)| name)).unwrap_or(0)
        }
        TypeDef::Option(_) | TypeDef::Result { .. } => size_of::<Val>(),
    }
}

/// The number that up to four bytes are.
fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The value of a case, whose payload `lift` reads.
fn lift_case(def: &TypeDef, case: u32, lift: impl FnOnce(ValueType) -> Result<Val>) -> Result<Val> {
    let case = case as usize;
    let Some(payload) = payload_type(def, case) else {
        return Err(Error::trapped(TrapCode::InvalidDiscriminant));
    };
    let payload = payload.map(lift).transpose()?;
    Ok(build_case(def, case, payload))
}

fn lift_list(
    types: &Types,
    element: ValueType,
    cx: &mut LiftContext<'_>,
    (pointer, len): (u64, u64),
) -> Result<Vec<Val>> {
    let extent = types.abi(element).layout.at(cx.width());
    let all = elements_extent(len, extent)?;
    let bytes = cx.bytes(pointer, all, TrapCode::ListOutOfBounds)?;
    cx.charge(len as usize, size_of::<Val>())?;
    let mut items = reserve(len as usize)?;
    for bytes in bytes.chunks_exact(extent.size as usize) {
        items.push(load(types, element, cx, bytes)?);
    }
    Ok(items)
}

fn lift_map(
    types: &Types,
    entry: ValueType,
    cx: &mut LiftContext<'_>,
    (pointer, len): (u64, u64),
) -> Result<Val> {
    let (key, value) = entry_types(types, entry)?;
    let mut places = Places::new(cx.width());
    let [key_range, value_range] = [key, value].map(|ty| places.next_bytes(types, ty));
    let extent = types.abi(entry).layout.at(cx.width());
    let all = elements_extent(len, extent)?;
    let bytes = cx.bytes(pointer, all, TrapCode::ListOutOfBounds)?;
    let mut pairs = reserve(len as usize)?;
    for bytes in bytes.chunks_exact(extent.size as usize) {
        let key = load(types, key, cx, &bytes[key_range.clone()])?;
        let value = load(types, value, cx, &bytes[value_range.clone()])?;
        pairs.push((key, value));
    }
    Ok(Val::Map(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::raw::fake::Guest;

    /// A check of values without resources.
    fn check_of(types: &Types) -> Check<'_> {
        Check {
            types,
            handle: &|_, _| Err(unchecked()),
        }
    }

    fn check(types: &Types, ty: ValueType, val: &Val) -> Result<()> {
        check_of(types).one(ty, val)
    }

    /// What the typed side makes of a value, the dynamic side makes of the same value, in memory
    /// and flat, and both read it back.
    fn same<T: Lower + Lift>(value: &T, val: Val) {
        for width in PointerWidth::ALL {
            same_at(width, value, &val);
        }
    }

    fn same_at<T: Lower + Lift>(width: PointerWidth, value: &T, val: &Val) {
        let mut types = Types::new();
        let ty = T::describe(&mut types).unwrap();
        check(&types, ty, val).unwrap();
        let lowered = |lower: &dyn Fn(&mut LowerContext<'_>, &mut [u64])| {
            let mut guest = Guest::with_width(width);
            let mut out = vec![u64::MAX; T::FLAT.count()];
            guest.lower(|cx| lower(cx, &mut out));
            (out, guest.memory().to_vec(), guest.take_reallocs())
        };
        let typed = lowered(&|cx, out| {
            value.lower_flat(cx, out).unwrap();
            value.store(cx, 512).unwrap();
        });
        let by_val = lowered(&|cx, out| {
            lower_flat(&types, ty, val, cx, out).unwrap();
            store(&types, ty, val, cx, 512).unwrap();
        });
        assert!(typed == by_val);
        let (flat, memory, _) = by_val;
        let mut guest = Guest::with_width(width);
        guest.memory().copy_from_slice(&memory);
        let bytes = &memory[512..][..T::LAYOUT.at(width).size as usize];
        let from_flat = guest.lift(|cx| lift_flat(&types, ty, cx, &flat)).unwrap();
        assert_eq!(&from_flat, val);
        let loaded = guest.lift(|cx| load(&types, ty, cx, bytes)).unwrap();
        assert_eq!(&loaded, val);
    }

    /// A list.
    fn list(vals: impl IntoIterator<Item = Val>) -> Val {
        Val::List(vals.into_iter().collect())
    }

    #[test]
    fn arrays_and_maps_agree() {
        same(&[1u8, 2, 3], list([1, 2, 3].map(Val::U8)));
        let texts = ["a", "bc"].map(String::from);
        same(&texts, list(texts.clone().map(Val::String)));
        same(
            &Some([1.5f64; 2]),
            some(list([Val::F64(1.5), Val::F64(1.5)])),
        );
        let pair = (Val::String("k".into()), list([Val::Bool(true)]));
        let map = BTreeMap::from([(String::from("k"), vec![true])]);
        same(&map, Val::Map(vec![pair.clone()]));
        same(
            &(7u8, [map]),
            Val::Tuple(vec![Val::U8(7), list([Val::Map(vec![pair])])]),
        );
        let mut guest = Guest::new();
        guest.memory()[512..516].copy_from_slice(&[1, 2, 1, 3]);
        let mut types = Types::new();
        let ty = ValueType::Def(types.push_map(ValueType::U8, ValueType::U8));
        let twice = guest
            .lift(|cx| lift_flat(&types, ty, cx, &[512, 2]))
            .unwrap();
        let expected = [(1, 2), (1, 3)].map(|(k, v)| (Val::U8(k), Val::U8(v)));
        assert_eq!(twice, Val::Map(expected.into()));
    }

    fn some(val: Val) -> Val {
        Val::Option(Some(Box::new(val)))
    }

    #[test]
    fn both_sides_agree() {
        same(
            &(true, -1i8, 2u8, -3i16),
            Val::Tuple(vec![Val::Bool(true), Val::S8(-1), Val::U8(2), Val::S16(-3)]),
        );
        same(
            &(4u16, -5i32, 6u32, -7i64),
            Val::Tuple(vec![Val::U16(4), Val::S32(-5), Val::U32(6), Val::S64(-7)]),
        );
        same(
            &(8u64, 9.5f32, -1.25f64, 'ü'),
            Val::Tuple(vec![
                Val::U64(8),
                Val::F32(9.5),
                Val::F64(-1.25),
                Val::Char('ü'),
            ]),
        );
        same(&String::from("ü☃"), Val::String("ü☃".into()));
        same(&vec![1u16, 2], Val::List(vec![Val::U16(1), Val::U16(2)]));
        let strings = vec![Some(String::from("a")), None];
        same(
            &strings,
            Val::List(vec![some(Val::String("a".into())), Val::Option(None)]),
        );
        same(
            &Ok::<f32, u64>(1.5),
            Val::Result(Ok(Some(Box::new(Val::F32(1.5))))),
        );
        same(&Err::<(), ()>(()), Val::Result(Err(None)));
        same(
            &Some((1u8, 2u64)),
            some(Val::Tuple(vec![Val::U8(1), Val::U64(2)])),
        );
    }

    /// Lowers and lifts a value of a type that Rust has no type for yet.
    fn round_trip(types: &Types, ty: ValueType, val: &Val) -> (Vec<u64>, Vec<u8>) {
        check(types, ty, val).unwrap();
        let abi = types.abi(ty);
        let mut guest = Guest::new();
        let mut flat = vec![u64::MAX; abi.flat.count()];
        guest
            .lower(|cx| lower_flat(types, ty, val, cx, &mut flat))
            .unwrap();
        guest.lower(|cx| store(types, ty, val, cx, 512)).unwrap();
        let bytes =
            guest.memory()[512..][..abi.layout.at(PointerWidth::W32).size as usize].to_vec();
        assert_eq!(
            guest.lift(|cx| lift_flat(types, ty, cx, &flat)).unwrap(),
            *val
        );
        assert_eq!(guest.lift(|cx| load(types, ty, cx, &bytes)).unwrap(), *val);
        (flat, bytes)
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("n{index}")).collect()
    }

    #[test]
    fn named_types_lower_as_the_specification_says() {
        let mut types = Types::new();
        let mut push = |def| ValueType::Def(types.push(def));
        let record = push(TypeDef::Record(vec![
            ("a".into(), ValueType::U8),
            ("b".into(), ValueType::U32),
        ]));
        let variant = push(TypeDef::Variant(vec![
            ("none".into(), None),
            ("record".into(), Some(record)),
            ("float".into(), Some(ValueType::F64)),
        ]));
        let wide = push(TypeDef::Enum(names(300)));
        let flags = push(TypeDef::Flags(names(9)));
        let fields = vec![("a".into(), Val::U8(1)), ("b".into(), Val::U32(2))];
        let (flat, bytes) = round_trip(&types, record, &Val::Record(fields.clone()));
        assert_eq!((flat, bytes), (vec![1, 2], vec![1, 0, 0, 0, 2, 0, 0, 0]));
        let case = Val::Variant("record".into(), Some(Box::new(Val::Record(fields))));
        assert_eq!(round_trip(&types, variant, &case).0, [1, 1, 2]);
        let case = Val::Variant("float".into(), Some(Box::new(Val::F64(1.0))));
        assert_eq!(
            round_trip(&types, variant, &case).0,
            [2, 1.0f64.to_bits(), 0]
        );
        let case = Val::Variant("none".into(), None);
        assert_eq!(round_trip(&types, variant, &case).0, [0, 0, 0]);
        assert_eq!(
            round_trip(&types, wide, &Val::Enum("n299".into())).1,
            [43, 1]
        );
        let set = Val::Flags(vec!["n0".into(), "n8".into()]);
        assert_eq!(round_trip(&types, flags, &set), (vec![0x101], vec![1, 1]));

        let mut guest = Guest::new();
        // Unknown bits are ignored; unknown cases are not.
        assert_eq!(
            guest
                .lift(|cx| lift_flat(&types, flags, cx, &[0xffff_f101]))
                .unwrap(),
            set
        );
        let mut code = |ty, flat: &[u64], bytes: &[u8]| {
            let flat = guest
                .lift(|cx| lift_flat(&types, ty, cx, flat))
                .unwrap_err();
            let loaded = guest.lift(|cx| load(&types, ty, cx, bytes)).unwrap_err();
            assert_eq!(flat.trap().unwrap().code(), loaded.trap().unwrap().code());
            flat.trap().unwrap().code()
        };
        assert_eq!(code(wide, &[300], &[44, 1]), TrapCode::InvalidDiscriminant);
        assert_eq!(
            code(variant, &[3, 0, 0], &[3; 16]),
            TrapCode::InvalidDiscriminant
        );
    }

    #[test]
    fn wrong_values_are_explained() {
        let mut types = Types::new();
        let mut push = |def| ValueType::Def(types.push(def));
        let point = push(TypeDef::Record(vec![("x".into(), ValueType::S32)]));
        let variant = push(TypeDef::Variant(vec![
            ("p".into(), Some(point)),
            ("q".into(), None),
        ]));
        let flags = push(TypeDef::Flags(names(2)));
        let list = push(TypeDef::List(variant));
        let message = |ty, val| format!("{}", check(&types, ty, &val).unwrap_err());
        assert_eq!(
            message(ValueType::U32, Val::S32(1)),
            "found an s32, expected `u32`"
        );
        assert_eq!(
            message(point, Val::Record(vec![("y".into(), Val::S32(1))])),
            "found a record of fields `y`, expected `record { x: s32 }`"
        );
        let case = |payload: Option<Val>| Val::Variant("p".into(), payload.map(Box::new));
        let expected =
            "found a variant of case `p`, expected `variant { p(record { x: s32 }), q }`";
        assert_eq!(message(variant, case(None)), expected);
        assert_eq!(message(list, Val::List(vec![case(None)])), expected);
        assert_eq!(
            message(variant, case(Some(Val::Bool(true)))),
            "found a bool, expected `record { x: s32 }`"
        );
        assert_eq!(
            message(flags, Val::Flags(vec!["n2".into()])),
            "found flags, expected `flags { n0, n1 }`"
        );
        let mut push = |def| ValueType::Def(types.push(def));
        let two = push(TypeDef::FixedList(ValueType::U8, 2));
        let map = ValueType::Def(types.push_map(ValueType::U8, two));
        let message = |ty, val| format!("{}", check(&types, ty, &val).unwrap_err());
        let three = || Val::List(vec![Val::U8(1); 3]);
        let expected = "found a list of 3 elements, expected `list<u8, 2>`";
        assert_eq!(message(two, three()), expected);
        let pair = vec![(Val::U8(1), three())];
        assert_eq!(message(map, Val::Map(pair)), expected);
        let pair = vec![(Val::S8(1), Val::List(vec![Val::U8(1); 2]))];
        assert_eq!(message(map, Val::Map(pair)), "found an s8, expected `u8`");
        let expected = "found a map, expected `list<u8, 2>`";
        assert_eq!(message(two, Val::Map(vec![])), expected);
        let all = [ValueType::U8, ValueType::U8].into_iter();
        let error = check_of(&types)
            .all(all.clone(), &[Val::U8(1)], "parameter")
            .unwrap_err();
        assert_eq!(error.to_string(), "found 1 parameters, expected 2");
        let error = check_of(&types)
            .all(all, &[Val::U8(1), Val::U16(1)], "parameter")
            .unwrap_err();
        assert_eq!(error.chain().count(), 2);
    }
}

//! Lifting: flat values, or bytes in a guest's memory, become values of the host.

use cwasm_format::TrapCode;
use cwasm_format::abi::{Layout, discriminant_size};
use cwasm_format::hash::TypeHash;
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::{Places, case_count, check_stack, entry_types, handle_of, payload_type, unchecked};
use crate::error::{Error, Result};
use crate::resource::ResourceAny;
use crate::val::Val;
use crate::values::{
    Lift, LiftContext, block_size, elements_extent, pair_of_bytes, pair_of_flat, reserve,
};
use crate::vm::error_context::ErrorContext;

macro_rules! lift_primitives {
    ($($name:ident: $rust:ty),*) => {
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
    };
}

primitives!(lift_primitives);

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
    check_stack()?;
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
        def @ (TypeDef::Stream(payload) | TypeDef::Future(payload)) => {
            lift_stream(types, (def, *payload), cx, flat[0] as u32)
        }
        TypeDef::ErrorContext => ErrorContext::lift_flat(cx, flat).map(Val::ErrorContext),
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
    check_stack()?;
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
        def @ (TypeDef::Stream(payload) | TypeDef::Future(payload)) => {
            lift_stream(types, (def, *payload), cx, number(&bytes[..4]))
        }
        TypeDef::ErrorContext => ErrorContext::load(cx, bytes).map(Val::ErrorContext),
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

/// Takes a handle from the guest.
fn lift_handle(def: &TypeDef, cx: &mut LiftContext<'_>, handle: u32) -> Result<Val> {
    match handle_of(def) {
        Some(handle_use) => ResourceAny::lift_as(cx, handle_use, handle).map(Val::Resource),
        None => Err(unchecked()),
    }
}

/// Takes the readable end of a stream or future from the guest.
fn lift_stream(
    types: &Types,
    (def, payload): (&TypeDef, Option<ValueType>),
    cx: &mut LiftContext<'_>,
    handle: u32,
) -> Result<Val> {
    let is_future = matches!(def, TypeDef::Future(_));
    let payload = payload.map_or(TypeHash::NONE, |ty| types.abi(ty).hash);
    cx.take_end(is_future, payload, handle).map(Val::Stream)
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

/// The flags of these bits; bits without a name are ignored.
fn build_flags(names: &[String], bits: u32) -> Val {
    let set = names
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 != 0);
    let mut flags = Vec::with_capacity(set.clone().count());
    flags.extend(set.map(|(_, name)| name.clone()));
    Val::Flags(flags)
}

/// A record, tuple or list of fixed length of what `visit` makes of each field or element.
fn build_fields(def: &TypeDef, mut visit: impl FnMut(ValueType) -> Result<Val>) -> Result<Val> {
    match def {
        TypeDef::Record(fields) => {
            let mut vals = reserve(fields.len())?;
            for (name, ty) in fields {
                vals.push((name.clone(), visit(*ty)?));
            }
            Ok(Val::Record(vals))
        }
        TypeDef::Tuple(fields) => {
            let mut vals = reserve(fields.len())?;
            for ty in fields {
                vals.push(visit(*ty)?);
            }
            Ok(Val::Tuple(vals))
        }
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

/// Bytes of the host's memory that a value of this type takes beside the [`Val`] itself, but for
/// what its parts take, and the elements of lists: names, and places of fields.
fn own_size(def: &TypeDef) -> usize {
    let name_size = |name: &String| block_size(name.len());
    match def {
        // The entry in the host's table is counted when it is added there.
        TypeDef::List(_)
        | TypeDef::Map(_)
        | TypeDef::Own(_)
        | TypeDef::Borrow(_)
        | TypeDef::Stream(_)
        | TypeDef::Future(_)
        | TypeDef::ErrorContext => 0,
        TypeDef::FixedList(_, len) => block_size(*len as usize * size_of::<Val>()),
        TypeDef::Record(fields) => {
            let names = fields.iter().map(|(name, _)| name_size(name));
            block_size(fields.len() * size_of::<(String, Val)>()) + names.sum::<usize>()
        }
        TypeDef::Tuple(fields) => block_size(fields.len() * size_of::<Val>()),
        TypeDef::Flags(names) => {
            let all = names.iter().map(name_size);
            block_size(names.len() * size_of::<String>()) + all.sum::<usize>()
        }
        TypeDef::Enum(names) => names.iter().map(name_size).max().unwrap_or(0),
        TypeDef::Variant(cases) => {
            let longest = cases.iter().map(|(name, _)| name_size(name)).max();
            block_size(size_of::<Val>()) + longest.unwrap_or(0)
        }
        TypeDef::Option(_) | TypeDef::Result { .. } => block_size(size_of::<Val>()),
    }
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
    cx.charge_block(len as usize, size_of::<Val>())?;
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
    cx.charge_block(len as usize, size_of::<(Val, Val)>())?;
    let mut pairs = reserve(len as usize)?;
    for bytes in bytes.chunks_exact(extent.size as usize) {
        let key = load(types, key, cx, &bytes[key_range.clone()])?;
        let value = load(types, value, cx, &bytes[value_range.clone()])?;
        pairs.push((key, value));
    }
    Ok(Val::Map(pairs))
}

/// The number that up to four bytes are.
fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

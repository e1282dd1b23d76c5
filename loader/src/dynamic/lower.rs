//! Lowering: values of the host become flat values, or bytes in a guest's memory.

use cwasm_format::TrapCode;
use cwasm_format::abi::{Extent, Layout, discriminant_size};
use cwasm_format::hash::TypeHash;
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::{Places, case_count, check_stack, entry_types, handle_of, select, unchecked};
use crate::error::Result;
use crate::val::Val;
use crate::values::{Lower, LowerContext, elements_extent, pair_to_flat, pair_to_memory};

macro_rules! lower_primitives {
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
    };
}

primitives!(lower_primitives);

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
    check_stack()?;
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
        TypeDef::ErrorContext => match val {
            Val::ErrorContext(given) => given.lower_flat(cx, out),
            _ => Err(unchecked()),
        },
        TypeDef::Stream(payload) | TypeDef::Future(payload) => {
            out[0] = lower_stream(types, *payload, val, cx)?.into();
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
    check_stack()?;
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
        TypeDef::ErrorContext => match val {
            Val::ErrorContext(given) => given.store(cx, offset),
            _ => Err(unchecked()),
        },
        TypeDef::Stream(payload) | TypeDef::Future(payload) => {
            let handle = lower_stream(types, *payload, val, cx)?;
            cx.write(offset, &handle.to_le_bytes());
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

/// Gives the readable end of a stream or future to the guest.
fn lower_stream(
    types: &Types,
    payload: Option<ValueType>,
    val: &Val,
    cx: &mut LowerContext<'_>,
) -> Result<u32> {
    let payload = payload.map_or(TypeHash::NONE, |ty| types.abi(ty).hash);
    match val {
        Val::Stream(stream) => cx.add_end(stream, payload),
        _ => Err(unchecked()),
    }
}

/// Gives the guest a handle.
fn lower_handle(def: &TypeDef, val: &Val, cx: &mut LowerContext<'_>) -> Result<u32> {
    match (handle_of(def), val) {
        (Some(handle), Val::Resource(resource)) => resource.lower_as(cx, handle),
        _ => Err(unchecked()),
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

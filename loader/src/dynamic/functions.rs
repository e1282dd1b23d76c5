//! The parameters and results of functions: flat, or in memory if they would be too many.

use cwasm_format::abi::MAX_FLAT_RESULTS;
use cwasm_format::types::{FuncType, Types, ValueType};

use super::{Places, lift_flat, load, lower_flat, store};
use crate::error::Result;
use crate::val::Val;
use crate::values::{LiftContext, LowerContext};

/// Lowers parameters of checked types: how many arguments they are.
///
/// # Errors
/// If the guest's `realloc` fails, or a handle cannot be given.
pub(crate) fn lower_params(
    types: &Types,
    func: &FuncType,
    params: &[Val],
    cx: &mut LowerContext<'_>,
    args: &mut [u64],
) -> Result<usize> {
    let fields = func.params.iter().map(|(_, ty)| *ty).zip(params);
    let mut places = Places::new(cx.width());
    if let Some(count) = types.params_count(func) {
        for (ty, val) in fields {
            lower_flat(types, ty, val, cx, &mut args[places.next_flat(types, ty)])?;
        }
        return Ok(count);
    }
    let pointer = cx.allocate_value(types.params_layout(func))?;
    for (ty, val) in fields {
        let place = places.next_bytes(types, ty);
        store(types, ty, val, cx, pointer + place.start)?;
    }
    args[0] = pointer as u64;
    Ok(1)
}

/// Lifts parameters from flat values, or from a pointer if they would be more than `max`.
///
/// # Errors
/// A trap that says what is wrong with the guest's values.
pub(crate) fn lift_params(
    types: &Types,
    func: &FuncType,
    cx: &mut LiftContext<'_>,
    args: &[u64],
    max: usize,
) -> Result<Vec<Val>> {
    let params = func.params.iter().map(|(_, ty)| *ty);
    let mut places = Places::new(cx.width());
    if types.params_count(func).is_some_and(|count| count <= max) {
        let lift = |ty| lift_flat(types, ty, cx, &args[places.next_flat(types, ty)]);
        return params.map(lift).collect();
    }
    let bytes = cx.pointed(args[0], types.params_layout(func))?;
    params
        .map(|ty| load(types, ty, cx, &bytes[places.next_bytes(types, ty)]))
        .collect()
}

/// Lowers a result: flat, if that is allowed and one value, or else to the pointer.
///
/// # Errors
/// As [`lower_params`].
pub(crate) fn lower_result(
    types: &Types,
    ty: ValueType,
    cx: &mut LowerContext<'_>,
    result: &Val,
    (is_flat, pointer): (bool, u64),
) -> Result<u64> {
    let abi = types.abi(ty);
    if is_flat && abi.flat.count() <= MAX_FLAT_RESULTS {
        let mut value = [0; MAX_FLAT_RESULTS];
        lower_flat(types, ty, result, cx, &mut value[..abi.flat.count()])?;
        return Ok(value[0]);
    }
    let offset = cx.out_pointer(pointer, abi.layout)?;
    store(types, ty, result, cx, offset)?;
    Ok(0)
}

/// Lifts a result from flat values, or from a pointer if they would be more than `max`.
///
/// # Errors
/// As [`lift_params`].
pub(crate) fn lift_result(
    types: &Types,
    ty: ValueType,
    cx: &mut LiftContext<'_>,
    flat: &[u64],
    max: usize,
) -> Result<Val> {
    let abi = types.abi(ty);
    if abi.flat.fits() && abi.flat.count() <= max {
        return lift_flat(types, ty, cx, &flat[..abi.flat.count()]);
    }
    let bytes = cx.pointed(flat[0], abi.layout)?;
    load(types, ty, cx, bytes)
}

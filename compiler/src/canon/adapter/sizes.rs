//! How large adapters may get: their code follows the types, and types are cheap to multiply.

use cwasm_format::types::{TypeDef, Types, ValueType};

use super::memory::is_plain;
use crate::error::{Error, Result};
use crate::plan::Plan;

/// The most parts that the types of one call may have, each counted as often as code is made for
/// it.
const MAX_PARTS: u64 = 20_000;
/// The most that all calls between components may have together.
const MAX_ALL_PARTS: u64 = 200_000;
/// A string is as much code as this many numbers.
const STRING_PARTS: u64 = 8;

/// Checks that the adapters of a plan have a sensible size.
pub(crate) fn check_sizes(plan: &Plan) -> Result<()> {
    let types = &plan.types;
    if plan.adapters.is_empty() {
        return Ok(());
    }
    let parts = parts_of_defs(&types.types);
    let mut total = 0u64;
    for adapter in &plan.adapters {
        let func = types.get(adapter.callee.ty);
        let values = func.params.iter().map(|(_, ty)| *ty).chain(func.result);
        let found = sum(values.map(|ty| parts_of(&parts, ty)));
        if found > MAX_PARTS {
            return Err(Error::limit(
                "parts of the types of a call between components",
                found,
                MAX_PARTS,
            ));
        }
        total += found + 1;
        if total > MAX_ALL_PARTS {
            return Err(Error::limit(
                "parts of the types of all calls between components",
                total,
                MAX_ALL_PARTS,
            ));
        }
    }
    Ok(())
}

/// The parts of each type of the table.
fn parts_of_defs(types: &Types) -> Vec<u64> {
    let mut parts: Vec<u64> = Vec::with_capacity(types.defs().len());
    for def in types.defs() {
        let found = match def {
            // Cases with the same payload are the same code.
            TypeDef::Variant(cases) => {
                let mut payloads: Vec<ValueType> = Vec::new();
                for ty in cases.iter().filter_map(|(_, ty)| *ty) {
                    if !payloads.contains(&ty) {
                        payloads.push(ty);
                    }
                }
                let table = cases.len() as u64 / 8;
                sum(payloads.iter().map(|ty| parts_of(&parts, *ty))).saturating_add(table)
            }
            TypeDef::List(element) | TypeDef::FixedList(element, _)
                if is_plain(types, *element) =>
            {
                1
            }
            // In memory a loop, flat a copy for each.
            TypeDef::FixedList(element, len) => {
                let copies = match types.abi(*element).flat.repeat(*len).fits() {
                    true => u64::from(*len),
                    false => 1,
                };
                parts_of(&parts, *element).saturating_mul(copies)
            }
            def => sum(def.parts().map(|ty| parts_of(&parts, ty))),
        };
        parts.push(found.saturating_add(1));
    }
    parts
}

fn parts_of(defs: &[u64], ty: ValueType) -> u64 {
    match ty {
        ValueType::Def(id) => defs[id.0 as usize],
        ValueType::String => STRING_PARTS,
        _ => 1,
    }
}

fn sum(parts: impl Iterator<Item = u64>) -> u64 {
    parts.fold(0, u64::saturating_add)
}

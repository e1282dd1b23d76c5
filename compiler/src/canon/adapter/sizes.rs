//! Decides how much code each type needs, and which types are copied by functions that adapters
//! share.
//!
//! Types form a graph: a tuple of two tuples of two tuples is three definitions, but eight fields.
//! Code for all paths through the graph can be exponential in the component's size. So an adapter
//! that would be large calls a function for each large type in it
//! ([`CopyFunc`](crate::ir::symbol::CopyFunc)), which other adapters between the same two sides
//! call too: all code together is linear in types times pairs of sides.

use std::collections::{HashMap, HashSet};

use cwasm_format::abi::PointerWidth;
use cwasm_format::types::{FuncType, TypeDef, TypeId, Types, ValueType};

use crate::error::{Error, Result};
use crate::options::Options;
use crate::plan::{Adapter, CanonicalOptions, ComponentInstanceId, Plan};

/// A large adapter calls a function for each type with more parts.
const MAX_SMALL_PARTS: u64 = 8;
/// The code for a string is as large as that for this many numbers.
const STRING_PARTS: u64 = 9;

/// The source and destination of copies.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Direction {
    pub(super) from: End,
    pub(super) to: End,
}

/// A component instance, and how values pass through its memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct End {
    pub(super) component: ComponentInstanceId,
    pub(super) options: CanonicalOptions,
}

/// The numbers of an adapter's directions.
#[derive(Clone, Copy)]
pub(super) struct Directions {
    pub(super) params: u32,
    pub(super) results: u32,
}

/// The sizes of types, and the directions, that the adapters of a plan share.
pub(crate) struct Sharing {
    directions: Vec<Direction>,
    of_adapters: Vec<Directions>,
    sizes: Sizes,
}

impl Sharing {
    /// Finds the directions of all adapters and computes the sizes of all types.
    ///
    /// # Errors
    /// If the types of all calls have more parts than the limit. The parts that a shared function
    /// copies count once.
    pub(crate) fn new(plan: &Plan, options: &Options) -> Result<Sharing> {
        let mut numbers = HashMap::new();
        let mut sharing = Sharing {
            directions: Vec::new(),
            of_adapters: Vec::new(),
            sizes: Sizes::default(),
        };
        if plan.adapters.is_empty() {
            return Ok(sharing);
        }
        sharing.sizes = Sizes::new(&plan.types.types, options.inline_parts);
        let mut total = Total {
            sizes: &sharing.sizes,
            types: &plan.types.types,
            seen: HashSet::new(),
            parts: 0,
            limit: options.limits.adapter_parts,
        };
        for adapter in &plan.adapters {
            let func = plan.types.get(adapter.callee.ty);
            let directions = directions(adapter);
            let [params, results] = directions.map(|direction| {
                *numbers.entry(direction).or_insert_with(|| {
                    sharing.directions.push(direction);
                    sharing.directions.len() as u32 - 1
                })
            });
            sharing.of_adapters.push(Directions { params, results });
            total.add(func, Directions { params, results })?;
        }
        Ok(sharing)
    }

    pub(super) fn direction(&self, number: u32) -> &Direction {
        &self.directions[number as usize]
    }

    pub(super) fn of_adapter(&self, index: u32) -> Directions {
        self.of_adapters[index as usize]
    }

    /// Whether the adapter of a function calls shared functions.
    pub(super) fn is_large_func(&self, func: &FuncType) -> bool {
        self.sizes.is_large_func(func)
    }

    /// Whether a function that copies this type calls shared functions.
    pub(super) fn is_large(&self, ty: ValueType) -> bool {
        self.sizes.is_large(ty)
    }

    /// Whether large functions call a shared function to copy this type.
    pub(super) fn is_shared(&self, ty: ValueType) -> bool {
        self.sizes.is_shared(ty)
    }

    /// Whether all bits of the type are valid and mean the same in each guest, so that its bytes
    /// can be copied unchanged: numbers, and records of them without padding (the other side must
    /// not see the bytes in padding).
    pub(super) fn is_plain(&self, ty: ValueType) -> bool {
        self.sizes.is_plain(ty)
    }
}

/// The directions of an adapter's parameters and results.
fn directions(adapter: &Adapter) -> [Direction; 2] {
    let end = |component, options: CanonicalOptions| End {
        component,
        options: CanonicalOptions {
            post_return: None,
            ..options
        },
    };
    let caller = end(adapter.component, adapter.options);
    let callee = end(adapter.callee.component, adapter.callee.options);
    let params = Direction {
        from: caller,
        to: callee,
    };
    let results = Direction {
        from: callee,
        to: caller,
    };
    [params, results]
}

/// The sizes of all types of the table.
#[derive(Default)]
struct Sizes {
    /// The most parts that one function copies without a call; small adapters call nothing.
    inline: u64,
    parts: Vec<u64>,
    plain: Vec<bool>,
}

impl Sizes {
    fn new(types: &Types, inline: u64) -> Sizes {
        let mut sizes = Sizes {
            inline,
            ..Sizes::default()
        };
        for (place, def) in types.defs().iter().enumerate() {
            let size = types
                .abi(ValueType::Def(TypeId(place as u32)))
                .layout
                .at(PointerWidth::W32)
                .size;
            let plain = sizes.is_plain_def(types, def, size.into());
            let parts = sizes.parts_of_def(types, def);
            sizes.plain.push(plain);
            sizes.parts.push(parts.saturating_add(1));
        }
        sizes
    }

    fn is_plain(&self, ty: ValueType) -> bool {
        match ty {
            ValueType::Def(id) => self.plain[id.0 as usize],
            _ => !matches!(ty, ValueType::Bool | ValueType::Char | ValueType::String),
        }
    }

    fn is_plain_def(&self, types: &Types, def: &TypeDef, size: u64) -> bool {
        // A plain type has no pointers, so the width does not matter.
        let size_of = |ty| u64::from(types.abi(ty).layout.at(PointerWidth::W32).size);
        match def {
            TypeDef::FixedList(element, _) => self.is_plain(*element),
            TypeDef::Record(_) | TypeDef::Tuple(_) => {
                let fields: u64 = def.parts().map(size_of).sum();
                fields == size && def.parts().all(|ty| self.is_plain(ty))
            }
            TypeDef::Flags(names) => size * 8 == names.len() as u64,
            _ => false,
        }
    }

    /// The parts of a type, each counted as often as code is made for it without shared functions.
    fn parts_of_def(&self, types: &Types, def: &TypeDef) -> u64 {
        match def {
            // Cases with the same payload share code.
            TypeDef::Variant(cases) => {
                let payloads: HashSet<ValueType> = cases.iter().filter_map(|(_, ty)| *ty).collect();
                let table = cases.len() as u64 / 8;
                sum(payloads.iter().map(|ty| self.parts(*ty))).saturating_add(table)
            }
            TypeDef::List(element) | TypeDef::FixedList(element, _) if self.is_plain(*element) => 1,
            // In memory it is a loop; in flat form a copy for each element.
            TypeDef::FixedList(element, len) => {
                let copies = match types.abi(*element).flat.repeat(*len).fits() {
                    true => u64::from(*len),
                    false => 1,
                };
                self.parts(*element).saturating_mul(copies)
            }
            def => sum(def.parts().map(|ty| self.parts(ty))),
        }
    }

    fn parts(&self, ty: ValueType) -> u64 {
        match ty {
            ValueType::Def(id) => self.parts[id.0 as usize],
            ValueType::String => STRING_PARTS,
            _ => 1,
        }
    }

    fn is_large_func(&self, func: &FuncType) -> bool {
        sum(values(func).map(|(ty, _)| self.parts(ty))) > self.inline
    }

    fn is_large(&self, ty: ValueType) -> bool {
        self.parts(ty) > self.inline
    }

    fn is_shared(&self, ty: ValueType) -> bool {
        self.parts(ty) > MAX_SMALL_PARTS.min(self.inline)
    }
}

/// The number of parts that all functions copy.
struct Total<'t> {
    sizes: &'t Sizes,
    types: &'t Types,
    /// The types that are copied by shared functions already, by direction.
    seen: HashSet<(u32, ValueType)>,
    parts: u64,
    limit: u64,
}

impl Total<'_> {
    /// Adds the parts of an adapter.
    fn add(&mut self, func: &FuncType, directions: Directions) -> Result<()> {
        if !self.sizes.is_large_func(func) {
            return self.count(sum(values(func).map(|(ty, _)| self.sizes.parts(ty))));
        }
        let mut rest: Vec<(u32, ValueType)> = Vec::new();
        for (ty, is_result) in values(func) {
            let direction = match is_result {
                false => directions.params,
                true => directions.results,
            };
            self.part(direction, ty, &mut rest)?;
        }
        while let Some((direction, ty)) = rest.pop() {
            let ValueType::Def(id) = ty else { continue };
            if !self.sizes.is_large(ty) {
                self.count(self.sizes.parts(ty))?;
                continue;
            }
            for ty in self.types.def(id).parts() {
                self.part(direction, ty, &mut rest)?;
            }
        }
        Ok(())
    }

    /// Counts a part of a large type. A type that a shared function copies is put off for later
    /// when it occurs first.
    fn part(
        &mut self,
        direction: u32,
        ty: ValueType,
        rest: &mut Vec<(u32, ValueType)>,
    ) -> Result<()> {
        if self.sizes.is_shared(ty) && self.seen.insert((direction, ty)) {
            rest.push((direction, ty));
        }
        self.count(self.sizes.parts(ty).min(MAX_SMALL_PARTS))
    }

    fn count(&mut self, parts: u64) -> Result<()> {
        self.parts = self.parts.saturating_add(parts).saturating_add(1);
        match self.parts > self.limit {
            true => Err(Error::limit(
                "parts of the types of all calls between components",
                self.parts,
                self.limit,
            )),
            false => Ok(()),
        }
    }
}

/// The types of a function's values, and whether each is the result's.
fn values(func: &FuncType) -> impl Iterator<Item = (ValueType, bool)> {
    let params = func.params.iter().map(|(_, ty)| (*ty, false));
    params.chain(func.result.map(|ty| (ty, true)))
}

fn sum(parts: impl Iterator<Item = u64>) -> u64 {
    parts.fold(0, u64::saturating_add)
}

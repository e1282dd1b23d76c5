//! The order of the text, as far as the plan decides it.
//!
//! ```text
//! core functions of each instance | lowers | adapters | functions for resources | built-in
//! functions | bridges | ...
//! ```
//!
//! Only this module decides the order. Layout takes functions' numbers from it; the work list
//! starts with its functions and adds others that it finds to be needed.

use std::ops::Range;

use crate::ir::symbol::FuncId;
use crate::module::Module;
use crate::plan::{CoreFunc, Plan};

/// A function that the plan already decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planned {
    /// Function `index` of a core instance's index space.
    Core { instance: u32, index: u32 },
    /// The trampoline of a lowered host function, by index into the plan's lowers.
    Lower(u32),
    /// By index into the plan's adapters.
    Adapter(u32),
    /// `resource.new`, `resource.rep` or `resource.drop`, by index into the plan's functions for
    /// resources.
    Resource(u32),
    /// A built-in function, by index into the plan's operations.
    Op(u32),
    /// Calls a function that an imported module exports, by number.
    Bridge(u32),
}

/// All planned functions in the order of the text.
pub(crate) struct TextOrder {
    /// For each core instance, its functions that are not imported.
    cores: Vec<CoreFuncs>,
    lowers: Range<u32>,
    adapters: Range<u32>,
    resources: Range<u32>,
    ops: Range<u32>,
    bridges: Range<u32>,
}

struct CoreFuncs {
    /// How many functions the module imports: they come first in its index space.
    imported: u32,
    ids: Range<u32>,
}

impl TextOrder {
    /// The order of a plan's functions.
    pub(crate) fn new(plan: &Plan, modules: &[Module<'_>]) -> TextOrder {
        let mut end = 0;
        let mut next = |count: usize| {
            let start = end;
            end += count as u32;
            start..end
        };
        let instances = plan.instances.iter();
        let module_of = |module: crate::plan::ModuleId| &modules[module.0 as usize];
        let instances = instances.map(|instance| module_of(instance.module));
        let cores = instances.clone().map(|module| CoreFuncs {
            imported: module.imported_funcs,
            ids: next(module.bodies.len()),
        });
        let cores = cores.collect();
        let declared = instances.filter(|module| module.is_declared);
        let bridges = declared.map(|module| module.imported_funcs as usize).sum();
        TextOrder {
            cores,
            lowers: next(plan.lowers.len()),
            adapters: next(plan.adapters.len()),
            resources: next(plan.resource_funcs.len()),
            ops: next(plan.concurrent.built_ins),
            bridges: next(bridges),
        }
    }

    /// How many core functions there are: they come first.
    pub(crate) fn core_funcs(&self) -> u32 {
        self.lowers.start
    }

    /// The number of a function.
    pub(crate) fn id(&self, func: Planned) -> FuncId {
        let (ids, place) = match func {
            Planned::Core { instance, index } => {
                let CoreFuncs { imported, ids } = &self.cores[instance as usize];
                (ids, index - imported)
            }
            Planned::Lower(place) => (&self.lowers, place),
            Planned::Adapter(place) => (&self.adapters, place),
            Planned::Resource(place) => (&self.resources, place),
            Planned::Op(place) => (&self.ops, place),
            Planned::Bridge(place) => (&self.bridges, place),
        };
        debug_assert!(place < ids.end - ids.start);
        FuncId(ids.start + place)
    }

    /// All functions, by number.
    pub(crate) fn planned(&self) -> impl Iterator<Item = Planned> {
        let cores = (0..).zip(&self.cores).flat_map(|(instance, funcs)| {
            let places = 0..funcs.ids.end - funcs.ids.start;
            places.map(move |place| Planned::Core {
                instance,
                index: funcs.imported + place,
            })
        });
        let places = |ids: &Range<u32>| 0..ids.end - ids.start;
        cores
            .chain(places(&self.lowers).map(Planned::Lower))
            .chain(places(&self.adapters).map(Planned::Adapter))
            .chain(places(&self.resources).map(Planned::Resource))
            .chain(places(&self.ops).map(Planned::Op))
            .chain(places(&self.bridges).map(Planned::Bridge))
    }

    /// The lowers, adapters and functions for resources, each with its key in the plan.
    pub(crate) fn trampolines(&self) -> impl Iterator<Item = (FuncId, CoreFunc)> {
        let funcs = self.planned().filter_map(|func| match func {
            Planned::Lower(index) => Some((func, CoreFunc::Lower(index))),
            Planned::Adapter(index) => Some((func, CoreFunc::Adapter(index))),
            Planned::Resource(index) => Some((func, CoreFunc::Resource(index))),
            Planned::Op(index) => Some((func, CoreFunc::Op(index))),
            Planned::Core { .. } | Planned::Bridge(_) => None,
        });
        funcs.map(|(func, core)| (self.id(func), core))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_order() {
        let core = |imported, ids| CoreFuncs { imported, ids };
        let order = TextOrder {
            cores: vec![core(2, 0..3), core(0, 3..3), core(7, 3..5)],
            lowers: 5..7,
            adapters: 7..8,
            resources: 8..8,
            ops: 8..8,
            bridges: 8..11,
        };
        let ids: Vec<u32> = order.planned().map(|func| order.id(func).0).collect();
        assert_eq!(ids, (0..11).collect::<Vec<_>>());
        let first = order.planned().next();
        let expected = Planned::Core {
            instance: 0,
            index: 2,
        };
        assert_eq!(first, Some(expected));
        assert_eq!(order.core_funcs(), 5);
        let trampolines: Vec<_> = order.trampolines().collect();
        let expected = [
            (FuncId(5), CoreFunc::Lower(0)),
            (FuncId(6), CoreFunc::Lower(1)),
            (FuncId(7), CoreFunc::Adapter(0)),
        ];
        assert_eq!(trampolines, expected);
    }
}

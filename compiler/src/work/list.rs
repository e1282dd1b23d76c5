//! The list of functions to compile, in the order of the text.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use cwasm_format::builtin::Builtin;
use cwasm_format::header::Kind;
use wasmparser::FuncType;

use crate::ir::symbol::{CopyFunc, FuncId, HandleOp};
use crate::layout::{Planned, Step, UnitLayout};
use crate::plan::{CoreFunc, Plan, ResourceOrigin};

/// The most steps that one function runs, because the compiler's memory grows with a function's
/// length.
const MAX_STEPS: usize = 500;

/// A function to compile.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// Function `index` of a core instance's index space.
    Core { instance: u32, index: u32 },
    /// The trampoline of a lowered host function, by index into the plan's lowers.
    Lower(u32),
    /// The adapter of a function that a component lifts and another lowers.
    Adapter(u32),
    /// `resource.new`, `resource.rep` or `resource.drop` of a component, by index.
    Resource(u32),
    /// A built-in function of the asynchronous ABI, by index.
    Op(u32),
    /// A function on handles that all callers share.
    Handle(HandleOp),
    /// A function that adapters share.
    Copy(CopyFunc),
    /// A thunk that enters a function of the unit.
    Thunk { func: FuncId, ty: FuncType },
    /// The array thunk of a type of an open unit, by number.
    ArrayThunk(u32),
    /// The trampoline to host functions of a type of an open unit, by number.
    HostFunc(u32),
    /// Calls a function of an imported module's instance, by index into the unit's bridges.
    Bridge(u32),
    /// Runs some of the steps of instantiation.
    Steps { start: u32, end: u32 },
    /// Calls `count` functions that run steps, one after the other.
    Init { first: FuncId, count: u32 },
    /// The trampoline to a builtin.
    Builtin(Builtin),
}

impl From<Planned> for Entry {
    fn from(func: Planned) -> Entry {
        match func {
            Planned::Core { instance, index } => Entry::Core { instance, index },
            Planned::Lower(index) => Entry::Lower(index),
            Planned::Adapter(index) => Entry::Adapter(index),
            Planned::Resource(index) => Entry::Resource(index),
            Planned::Op(index) => Entry::Op(index),
            Planned::Bridge(index) => Entry::Bridge(index),
        }
    }
}

/// All entries, and the places of those that records refer to.
#[derive(Default)]
pub(crate) struct WorkList {
    pub(crate) entries: Vec<Entry>,
    /// How many core functions there are: they come first.
    pub(crate) core_funcs: usize,
    thunks: HashMap<FuncId, FuncId>,
    pub(crate) array_thunks: HashMap<u32, FuncId>,
    pub(crate) host_funcs: HashMap<u32, FuncId>,
    /// For each part of the steps, the thunk that runs it: one part before each instance of an
    /// imported module, and one after the last.
    pub(crate) init_thunks: Vec<Option<FuncId>>,
}

impl WorkList {
    /// The list of a unit, without shared functions, which are added when it is known which are
    /// used.
    pub(crate) fn new(unit: &UnitLayout<'_>, plan: &Plan) -> WorkList {
        let mut list = WorkList::default();
        list.entries
            .extend(unit.text_order.planned().map(Entry::from));
        list.core_funcs = unit.text_order.core_funcs() as usize;
        let options = |func: &Option<CoreFunc>| func.iter().copied().collect::<Vec<_>>();
        for lift in plan.lifts.iter().chain(&plan.concurrent.tasks) {
            list.add_thunk(unit, plan, lift.func);
            let more = [
                options(&lift.options.realloc),
                options(&lift.options.post_return),
                options(&lift.options.callback),
            ];
            more.concat()
                .into_iter()
                .for_each(|func| list.add_thunk(unit, plan, func));
        }
        let lowers = plan.lowers.iter().map(|lower| &lower.options);
        let ops = plan.concurrent.ops.iter().map(|op| &op.options);
        for lowered in lowers.chain(ops) {
            for func in options(&lowered.realloc) {
                list.add_thunk(unit, plan, func);
            }
        }
        for resource in &plan.resources {
            if let ResourceOrigin::Guest {
                dtor: Some(dtor), ..
            } = resource.origin
            {
                list.add_thunk(unit, plan, dtor);
            }
        }
        list.add_open(unit);
        for steps in parts(&unit.steps) {
            let thunk = list.add_init(steps);
            list.init_thunks.push(thunk);
        }
        list
    }

    /// Adds the functions that run these steps; `None` if there are none.
    fn add_init(&mut self, steps: Range<usize>) -> Option<FuncId> {
        let starts = steps.clone().step_by(MAX_STEPS);
        let pieces = starts.map(|start| {
            self.push(Entry::Steps {
                start: start as u32,
                end: steps.end.min(start + MAX_STEPS) as u32,
            })
        });
        let pieces: Vec<FuncId> = pieces.collect();
        let func = match pieces[..] {
            [] => return None,
            [piece] => piece,
            [first, ..] => self.push(Entry::Init {
                first,
                count: pieces.len() as u32,
            }),
        };
        let ty = FuncType::new([], []);
        Some(self.push(Entry::Thunk { func, ty }))
    }

    fn push(&mut self, entry: Entry) -> FuncId {
        self.entries.push(entry);
        FuncId(self.entries.len() as u32 - 1)
    }

    fn add_thunk(&mut self, unit: &UnitLayout<'_>, plan: &Plan, func: CoreFunc) {
        let (id, ty) = unit.resolve(plan, func);
        if !self.thunks.contains_key(&id) {
            let thunk = self.push(Entry::Thunk { func: id, ty });
            self.thunks.insert(id, thunk);
        }
    }

    /// The thunk of a function that a lift or lower names.
    pub(crate) fn thunk(&self, unit: &UnitLayout<'_>, plan: &Plan, func: CoreFunc) -> FuncId {
        self.thunks[&unit.resolve(plan, func).0]
    }

    /// Adds array thunks for functions that can leave an open unit, and trampolines for those that
    /// it imports.
    fn add_open(&mut self, unit: &UnitLayout<'_>) {
        if unit.kind != Kind::Module {
            return;
        }
        let env = &unit.envs[0];
        let number = |index: u32| env.type_numbers[env.module.funcs[index as usize] as usize];
        let imported: BTreeSet<u32> = (0..env.module.imported_funcs).map(number).collect();
        let exported = env
            .module
            .exports
            .iter()
            .filter(|export| export.kind == wasmparser::ExternalKind::Func)
            .map(|export| number(export.index));
        let escaped = unit.func_refs.iter().map(|func_ref| func_ref.type_number);
        let escaped = escaped.chain(unit.escaped_imports.iter().copied());
        for ty in exported.chain(escaped).collect::<BTreeSet<_>>() {
            let thunk = self.push(Entry::ArrayThunk(ty));
            self.array_thunks.insert(ty, thunk);
        }
        for ty in imported {
            let trampoline = self.push(Entry::HostFunc(ty));
            self.host_funcs.insert(ty, trampoline);
        }
    }
}

/// The steps before, between and after those that make instances of imported modules.
fn parts(steps: &[Step]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (place, step) in steps.iter().enumerate() {
        if let Step::Instantiate { .. } = step {
            parts.push(start..place);
            start = place + 1;
        }
    }
    parts.push(start..steps.len());
    parts
}

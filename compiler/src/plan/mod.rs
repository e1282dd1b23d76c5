//! The plan of a unit: a component flattened, or a core module on its own.
//!
//! It lists core instances, where each of their imports comes from, what the host must provide
//! ([`Lower`]) and what it can call ([`Lift`]).

pub(crate) mod concurrent;
pub(crate) mod types;

use cwasm_format::abi::PointerWidth;
use cwasm_format::describe::Extern;
use cwasm_format::encoding::StringEncoding;
use cwasm_format::types::{ResourceNumber, ValueType};

use crate::module::Module;
use concurrent::Concurrent;
use types::{FuncTypeId, UnitTypes};

/// A core module: those of the input in the order of the binary, then those that stand for imported
/// modules, then those that are made for functions that pass through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ModuleId(pub(crate) u32);

/// A core instance of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct InstanceId(pub(crate) u32);

/// A component instance of the plan. Each has flags of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ComponentInstanceId(pub(crate) u32);

/// A function that a core instance can import or that can be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CoreFunc {
    /// Function `index` (of the whole index space) of an instance.
    Export { instance: InstanceId, index: u32 },
    /// A lowered host function: an index into [`Plan::lowers`].
    Lower(u32),
    /// A function that one component lifts and another lowers: an index into [`Plan::adapters`].
    Adapter(u32),
    /// `resource.new`, `resource.rep` or `resource.drop`: an index into [`Plan::resource_funcs`].
    Resource(u32),
    /// A built-in function of the asynchronous ABI: an index into [`Concurrent::ops`].
    Op(u32),
}

/// An operation of a component on its handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ResourceOp {
    New,
    Rep,
    Drop,
}

impl ResourceOp {
    /// The core type of the operation as a function.
    pub(crate) fn core_type(self) -> wasmparser::FuncType {
        let results = match self {
            ResourceOp::New | ResourceOp::Rep => vec![wasmparser::ValType::I32],
            ResourceOp::Drop => vec![],
        };
        wasmparser::FuncType::new([wasmparser::ValType::I32], results)
    }
}

/// Anything else that a core instance can import: item `index` of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CoreItem {
    pub(crate) instance: InstanceId,
    pub(crate) index: u32,
}

/// Something that a core instance exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CoreDef {
    Func(CoreFunc),
    Table(CoreItem),
    Memory(CoreItem),
    Global(CoreItem),
    Tag(CoreItem),
}

/// The canonical options of a lift or lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CanonicalOptions {
    pub(crate) memory: Option<CoreItem>,
    pub(crate) realloc: Option<CoreFunc>,
    pub(crate) post_return: Option<CoreFunc>,
    pub(crate) string_encoding: StringEncoding,
    /// The width of the memory's addresses.
    pub(crate) width: PointerWidth,
    pub(crate) is_async: bool,
    pub(crate) callback: Option<CoreFunc>,
}

impl CanonicalOptions {
    /// No options.
    pub(crate) const NONE: CanonicalOptions = CanonicalOptions {
        memory: None,
        realloc: None,
        post_return: None,
        string_encoding: StringEncoding::Utf8,
        width: PointerWidth::W32,
        is_async: false,
        callback: None,
    };
}

/// A component flattened.
#[derive(Default)]
pub(crate) struct Plan {
    /// Core instances in the order of instantiation.
    pub(crate) instances: Vec<PlanInstance>,
    /// Host functions as core functions.
    pub(crate) lowers: Vec<Lower>,
    /// Functions of one component instance that another calls, as core functions.
    pub(crate) adapters: Vec<Adapter>,
    /// Core functions as component functions.
    pub(crate) lifts: Vec<Lift>,
    pub(crate) imports: Vec<PlanImport>,
    pub(crate) exports: Vec<PlanExport>,
    /// Functions that the component imports and exports unchanged and that have a core module, in
    /// the order of these modules.
    pub(crate) pass_throughs: Vec<PassThrough>,
    /// Resource types by number.
    pub(crate) resources: Vec<PlanResource>,
    pub(crate) resource_funcs: Vec<ResourceFunc>,
    pub(crate) concurrent: Concurrent,
    pub(crate) component_instances: u32,
    /// For each component instance, its component's name for tools; may be empty.
    pub(crate) component_names: Vec<String>,
    /// The types of all functions.
    pub(crate) types: UnitTypes,
    /// The types to which the outermost component gives names, by path.
    pub(crate) type_names: Vec<(String, ValueType)>,
    /// Annotations of imports of the outermost component (`implements`, `external-id`), by path,
    /// where there are any.
    pub(crate) import_externs: Vec<(String, Extern)>,
    /// The same of exports.
    pub(crate) export_externs: Vec<(String, Extern)>,
}

impl Plan {
    /// The plan of a core module that is not in a component: one instance, whose imports are the
    /// unit's.
    pub(crate) fn of_module(module: ModuleId) -> Plan {
        Plan {
            instances: vec![PlanInstance {
                module,
                component: ComponentInstanceId(0),
                imports: Vec::new(),
            }],
            ..Plan::default()
        }
    }

    /// The modules of the input that have no instance.
    pub(crate) fn unused<'m, 'a>(&self, modules: &'m [Module<'a>]) -> Vec<&'m Module<'a>> {
        let mut used = vec![false; modules.len()];
        self.instances
            .iter()
            .for_each(|instance| used[instance.module.0 as usize] = true);
        modules
            .iter()
            .zip(used)
            .filter(|(_, used)| !used)
            .map(|(module, _)| module)
            .collect()
    }

    /// The modules of the input that the component exports, each once.
    pub(crate) fn exported_modules(&self, modules: &[Module<'_>]) -> Vec<ModuleId> {
        let ids = self.exports.iter().filter_map(|export| match export.item {
            ExportItem::Module(id) if !modules[id.0 as usize].is_declared => Some(id),
            _ => None,
        });
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The import of a declared module.
    pub(crate) fn module_import(&self, module: ModuleId) -> u32 {
        let is_found = |import: &PlanImport| import.item == ImportItem::Module(module);
        match self.imports.iter().position(is_found) {
            Some(import) => import as u32,
            None => unreachable!("what stands for a module is that of an import"),
        }
    }

    /// The core type of a function that no core instance defines.
    pub(crate) fn trampoline_type(&self, func: CoreFunc) -> wasmparser::FuncType {
        match func {
            CoreFunc::Lower(index) => {
                let lower = &self.lowers[index as usize];
                self.types.lowered_as(lower.ty, &lower.options)
            }
            CoreFunc::Adapter(index) => {
                let adapter = &self.adapters[index as usize];
                self.types.lowered_as(adapter.callee.ty, &adapter.options)
            }
            CoreFunc::Op(index) => {
                let concurrent = &self.concurrent;
                concurrent.ops[index as usize].core_type(&self.types, &concurrent.numbered)
            }
            CoreFunc::Resource(index) => self.resource_funcs[index as usize].op.core_type(),
            CoreFunc::Export { .. } => unreachable!("its module has its type"),
        }
    }

    /// For each component instance, whether it has handles.
    pub(crate) fn instances_with_handles(&self) -> Vec<bool> {
        let mut found = vec![false; self.component_instances as usize];
        for (found, is_concurrent) in found.iter_mut().zip(&self.concurrent.instances) {
            *found = *is_concurrent;
        }
        let mut mark = |id: ComponentInstanceId| found[id.0 as usize] = true;
        let has_handles = |ty: FuncTypeId| self.types.types.func_has_handles(self.types.get(ty));
        for func in &self.resource_funcs {
            mark(func.component);
        }
        for lower in self.lowers.iter().filter(|lower| has_handles(lower.ty)) {
            mark(lower.component);
        }
        for lift in self.lifts.iter().filter(|lift| has_handles(lift.ty)) {
            mark(lift.component);
        }
        for adapter in &self.adapters {
            if has_handles(adapter.callee.ty) {
                mark(adapter.component);
                mark(adapter.callee.component);
            }
        }
        found
    }

    /// For each component instance, whether it calls itself, an instance that it is nested in, or
    /// one that is nested in it.
    pub(crate) fn instances_that_nest(&self) -> Vec<bool> {
        let mut found = vec![false; self.component_instances as usize];
        let adapters = self.adapters.iter().filter(|adapter| adapter.is_nested);
        let funcs = self.resource_funcs.iter().filter(|func| func.is_nested);
        let callers = adapters.map(|adapter| adapter.component);
        for caller in callers.chain(funcs.map(|func| func.component)) {
            found[caller.0 as usize] = true;
        }
        found
    }
}

pub(crate) struct PlanInstance {
    pub(crate) module: ModuleId,
    /// The component instance that it is a part of.
    pub(crate) component: ComponentInstanceId,
    /// Where each of the module's imports comes from, in their order.
    pub(crate) imports: Vec<CoreDef>,
}

pub(crate) struct Lower {
    /// Index into [`Plan::imports`].
    pub(crate) import: u32,
    pub(crate) ty: FuncTypeId,
    pub(crate) options: CanonicalOptions,
    pub(crate) component: ComponentInstanceId,
    /// If the call goes through the loader: an index into [`Concurrent::ops`].
    pub(crate) op: Option<u32>,
}

/// A call from one component instance into another: a lift that is lowered.
pub(crate) struct Adapter {
    /// The lifted function. Caller and callee have the same view of its type.
    pub(crate) callee: Lift,
    /// The options of the lowering.
    pub(crate) options: CanonicalOptions,
    /// The calling component instance.
    pub(crate) component: ComponentInstanceId,
    /// Whether the instances are the same or one is nested in the other: hosts may refuse such
    /// calls.
    pub(crate) is_nested: bool,
    /// If the call goes through the loader: an index into [`Concurrent::ops`].
    pub(crate) op: Option<u32>,
}

#[derive(Clone, Copy)]
pub(crate) struct Lift {
    pub(crate) func: CoreFunc,
    pub(crate) ty: FuncTypeId,
    pub(crate) options: CanonicalOptions,
    pub(crate) component: ComponentInstanceId,
    /// If the host's calls go through the loader: an index into [`Concurrent::tasks`].
    pub(crate) task: Option<u32>,
}

pub(crate) struct PlanImport {
    pub(crate) path: String,
    pub(crate) item: ImportItem,
}

/// An item that the host provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportItem {
    Func(FuncTypeId),
    Instance,
    Resource(ResourceNumber),
    /// The module that stands for it.
    Module(ModuleId),
}

pub(crate) struct PlanExport {
    pub(crate) path: String,
    pub(crate) item: ExportItem,
}

/// An item that the host can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExportItem {
    /// Index into [`Plan::lifts`].
    Func(u32),
    Instance,
    Resource(ResourceNumber),
    Module(ModuleId),
}

/// A resource type. Each instance of a component that defines one has its own.
pub(crate) struct PlanResource {
    /// The path by which it is imported or exported; may be empty.
    pub(crate) name: String,
    pub(crate) origin: ResourceOrigin,
}

/// Who defines a resource type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ResourceOrigin {
    /// The host: an index into [`Plan::imports`].
    Host { import: u32 },
    Guest {
        component: ComponentInstanceId,
        dtor: Option<CoreFunc>,
    },
}

impl PlanResource {
    /// Whether this component instance defines it.
    pub(crate) fn is_defined_by(&self, id: ComponentInstanceId) -> bool {
        matches!(self.origin, ResourceOrigin::Guest { component, .. } if component == id)
    }
}

/// `resource.new`, `resource.rep` or `resource.drop` in a component instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResourceFunc {
    pub(crate) op: ResourceOp,
    pub(crate) resource: ResourceNumber,
    pub(crate) component: ComponentInstanceId,
    /// Whether the instance that defines the resource is nested in this one, or the other way
    /// round: hosts may refuse calls of its destructor.
    pub(crate) is_nested: bool,
    /// If the loader does it: an index into [`Concurrent::ops`].
    pub(crate) loader_op: Option<u32>,
}

/// A function that the component imports and exports unchanged, with a core instance of its own
/// between lower and lift. [`crate::pass_through`] makes the instance's module.
pub(crate) struct PassThrough {
    pub(crate) ty: FuncTypeId,
    /// The flat parameters that are borrowed handles, which are dropped after the call.
    pub(crate) dropped: Vec<u32>,
}

impl PassThrough {
    /// The functions of its module, by their places after the imported ones: the lowered function,
    /// and one `resource.drop` for each of `dropped`.
    pub(crate) const REALLOC: u32 = 0;
    pub(crate) const CALL: u32 = 1;
    pub(crate) const POST_RETURN: u32 = 2;
}

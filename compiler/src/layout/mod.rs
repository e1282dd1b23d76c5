//! Lays a unit out: decides where in the context everything is, its initial contents, and which
//! steps of instantiation must run.
//!
//! The result gives each core instance an [`Env`], from which its functions are translated, and
//! the bytes of the context image. Core instances are laid out in the order of instantiation, so
//! that what one imports has its place already.

mod constant;
mod image;
mod imports;
mod memories;
mod order;
mod segments;
mod tables;
mod text_order;

use std::collections::HashMap;

use cwasm_format::data::{MemoryRecord, TableRecord};
use cwasm_format::exceptions::catch;
use cwasm_format::header::{Kind, NONE, PAGE_SIZE};
use cwasm_format::vmctx::{
    self, VmConcurrent, VmContext, VmFuncRef, VmHandles, VmHostImport, VmTag, flags,
};
use wasmparser::FuncType;

use crate::core_types::CoreTypes;
use crate::env::{
    ConstRef, ConstValue, Env, FuncLoc, FuncRefs, GlobalLoc, MemoryBase, RefSource, TableLoc,
    TagLoc,
};
use crate::error::{Error, Result};
use crate::ir::symbol::FuncId;
use crate::module::Module;
use crate::options::{Bounds, Options};
use crate::plan::concurrent::OpKind;
use crate::plan::{CoreFunc, CoreItem, ModuleId, Plan, PlanInstance, ResourceOp, ResourceOrigin};
pub(crate) use image::Image;
use order::{Order, Target};
use tables::{PlacedTables, TableUse};
pub(crate) use text_order::{Planned, TextOrder};

/// The largest context in bytes: every offset in it must fit a signed 32-bit displacement with
/// room for a memory's guard.
const MAX_CONTEXT_SIZE: u64 = 1 << 30;

/// The largest data section in bytes.
const MAX_DATA_SIZE: u64 = 1 << 31;

/// Bytes of function bodies that a unit may have beyond [`MAX_CODE_FACTOR`] times those of the
/// input.
const FREE_CODE_SIZE: u64 = 1 << 20;
/// See [`FREE_CODE_SIZE`]. A module is compiled once per instance, and nesting could multiply
/// instances exponentially.
const MAX_CODE_FACTOR: u64 = 8;

/// A unit laid out.
pub(crate) struct UnitLayout<'a> {
    pub(crate) kind: Kind,
    /// Whether the unit is open: code that was not compiled with it can be linked to it, so that
    /// references are addresses.
    pub(crate) is_open: bool,
    /// One per core instance.
    pub(crate) envs: Vec<Env<'a>>,
    /// The order of the text.
    pub(crate) text_order: TextOrder,
    /// The functions that imported modules export.
    pub(crate) bridges: Vec<Bridge>,
    /// Distance from the context to the first memory.
    pub(crate) context_size: u32,
    /// Initial bytes of the context.
    pub(crate) context: Image,
    /// References in the context to functions, which are filled in when the text is laid out.
    pub(crate) context_refs: Vec<RefPatch>,
    /// The bytes of the data section.
    pub(crate) data: Vec<u8>,
    /// References to functions in the data section.
    pub(crate) data_refs: Vec<RefPatch>,
    pub(crate) memories: Vec<MemoryRecord>,
    pub(crate) images: Vec<Image>,
    pub(crate) tables: Vec<TableRecord>,
    /// Context offset of each host import of the plan, or [`NONE`].
    pub(crate) host_slots: Vec<u32>,
    /// Context offset of each import of a module, in their order; of a component, those of the
    /// exports of imported modules' instances.
    pub(crate) import_slots: Vec<u32>,
    /// Context offset of each component instance's flags.
    pub(crate) flags: Vec<u32>,
    /// For each component instance, whether its flags may differ from the initial ones outside of
    /// `realloc` and post-return: see [`flags::MAY_NEST`].
    pub(crate) nests: Vec<bool>,
    /// Context offset of each component instance's `VmHandles`, or [`NONE`].
    pub(crate) handles: Vec<u32>,
    /// Context offset of each component instance's `VmConcurrent`, or [`NONE`].
    pub(crate) concurrent: Vec<u32>,
    /// Context offset of the storage of each component instance's running task, if its code uses
    /// that.
    pub(crate) storage: Vec<Option<u32>>,
    /// The tags, by number.
    pub(crate) tags: Vec<UnitTag>,
    /// Whether exceptions may come to the unit's adapters.
    pub(crate) may_throw: bool,
    /// Function types by number.
    pub(crate) types: Vec<UnitType>,
    /// Context offset of the type ids, or [`NONE`].
    pub(crate) type_ids: u32,
    /// Context offset of the address of the page that interruptible code checks.
    pub(crate) interrupt_slot: Option<u32>,
    /// In an open unit, the numbers of the types of imported functions to which there are
    /// references.
    pub(crate) escaped_imports: Vec<u32>,
    /// `VmFuncRef`s of an open unit.
    pub(crate) func_refs: Vec<FuncRef>,
    /// References in the context of an open unit that the loader fills in: context offset and where
    /// it finds each.
    pub(crate) ref_slots: Vec<(u32, RefSource)>,
    /// The steps that must run at instantiation, in order.
    pub(crate) steps: Vec<Step>,
}

impl UnitLayout<'_> {
    /// The function and core type of a core function of the plan.
    pub(crate) fn resolve(&self, plan: &Plan, func: CoreFunc) -> (FuncId, FuncType) {
        let planned = match func {
            CoreFunc::Lower(index) => Planned::Lower(index),
            CoreFunc::Adapter(index) => Planned::Adapter(index),
            CoreFunc::Resource(index) => Planned::Resource(index),
            CoreFunc::Op(index) => Planned::Op(index),
            CoreFunc::Export { instance, index } => {
                let env = &self.envs[instance.0 as usize];
                match env.funcs[index as usize] {
                    FuncLoc::Local { func, .. } => {
                        return (func, env.module.func_type(index).clone());
                    }
                    FuncLoc::Import { slot } => {
                        // Bridges got their slots in this order.
                        let place = self
                            .bridges
                            .binary_search_by_key(&slot, |bridge| bridge.slot);
                        let Ok(place) = place else {
                            unreachable!("each function of an imported module has a bridge")
                        };
                        let func = self.text_order.id(Planned::Bridge(place as u32));
                        return (func, self.bridges[place].ty.clone());
                    }
                }
            }
        };
        (self.text_order.id(planned), plan.trampoline_type(func))
    }
}

/// A function type.
pub(crate) struct UnitType {
    pub(crate) ty: FuncType,
    /// The encoding in the artifact: equal types have equal bytes.
    pub(crate) encoded: Vec<u8>,
}

/// A tag that an instance defines, or that an open unit imports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnitTag {
    /// As in [`TagLoc`].
    pub(crate) slot: u32,
    pub(crate) instance: u32,
    /// Its index in the instance's module.
    pub(crate) index: u32,
    /// The number of its type.
    pub(crate) type_number: u32,
}

/// Eight bytes that become a closed function reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefPatch {
    pub(crate) offset: u32,
    pub(crate) func: FuncId,
    pub(crate) type_number: u32,
}

/// A function that an instance of an imported module exports.
pub(crate) struct Bridge {
    /// Context offset of its `VmFuncImport`.
    pub(crate) slot: u32,
    pub(crate) ty: FuncType,
}

/// A `VmFuncRef` in the context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FuncRef {
    pub(crate) slot: u32,
    pub(crate) func: FuncId,
    pub(crate) type_number: u32,
}

/// A step of instantiation. Indices are the module's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Evaluate the initial value of a global.
    Global { instance: u32, index: u32 },
    /// Fill a table with the value of its initial expression.
    TableFill { instance: u32, index: u32 },
    /// Evaluate an element of a segment.
    ElementItem {
        instance: u32,
        segment: u32,
        item: u32,
    },
    /// Copy an active element segment into its table and drop it.
    Element { instance: u32, segment: u32 },
    /// Copy an active data segment into its memory and drop it.
    Data { instance: u32, segment: u32 },
    /// Call the start function.
    Start { instance: u32, func: u32 },
    /// Make an instance of an imported module. The loader does this, between the functions that run
    /// the steps before and after it.
    Instantiate { instance: u32 },
}

impl Step {
    /// The core instance whose step it is.
    pub(crate) fn instance(&self) -> u32 {
        match *self {
            Step::Global { instance, .. }
            | Step::TableFill { instance, .. }
            | Step::ElementItem { instance, .. }
            | Step::Element { instance, .. }
            | Step::Data { instance, .. }
            | Step::Start { instance, .. }
            | Step::Instantiate { instance } => instance,
        }
    }
}

/// Lays out the unit of `plan`.
pub(crate) fn layout<'a>(
    kind: Kind,
    plan: &Plan,
    modules: &'a [Module<'a>],
    options: &Options,
) -> Result<UnitLayout<'a>> {
    check_code_size(plan, modules)?;
    let is_declared = |instance: &PlanInstance| modules[instance.module.0 as usize].is_declared;
    let is_open = kind == Kind::Module || plan.instances.iter().any(is_declared);
    let mut builder = Builder {
        unit: UnitLayout {
            kind,
            is_open,
            envs: Vec::new(),
            text_order: TextOrder::new(plan, modules),
            bridges: Vec::new(),
            context_size: 0,
            context: Image::default(),
            context_refs: Vec::new(),
            data: Vec::new(),
            data_refs: Vec::new(),
            memories: Vec::new(),
            images: Vec::new(),
            tables: Vec::new(),
            host_slots: Vec::new(),
            import_slots: Vec::new(),
            flags: Vec::new(),
            nests: Vec::new(),
            handles: Vec::new(),
            concurrent: Vec::new(),
            storage: Vec::new(),
            tags: Vec::new(),
            may_throw: false,
            types: Vec::new(),
            type_ids: NONE,
            interrupt_slot: None,
            escaped_imports: Vec::new(),
            func_refs: Vec::new(),
            ref_slots: Vec::new(),
            steps: Vec::new(),
        },
        context_end: size_of::<VmContext>() as u64,
        dropped: None,
        type_numbers: HashMap::new(),
        memory_numbers: HashMap::new(),
        order: Order::default(),
        memory_orders: Vec::new(),
        segments: HashMap::new(),
        placed_tables: PlacedTables::default(),
        table_uses: tables::table_uses(plan, modules),
        trampoline_refs: Vec::new(),
        bounds: options.bounds,
    };
    if options.interruptible {
        builder.unit.interrupt_slot = Some(builder.reserve(size_of::<u64>(), 8));
    }
    builder.host(plan);
    if is_open {
        builder.trampoline_refs(plan)?;
    }
    builder.memories(plan, modules);
    for (id, instance) in plan.instances.iter().enumerate() {
        builder.instance(id as u32, instance.module, plan, modules)?;
    }
    builder.finish(plan)
}

/// Checks that instances do not multiply the code beyond the limit.
fn check_code_size(plan: &Plan, modules: &[Module<'_>]) -> Result<()> {
    let input: u64 = modules.iter().map(Module::code_size).sum();
    let instances = plan.instances.iter();
    let total = instances
        .map(|instance| modules[instance.module.0 as usize].code_size())
        .sum();
    let limit = input * MAX_CODE_FACTOR + FREE_CODE_SIZE;
    if total > limit {
        return Err(Error::limit(
            "bytes of function bodies of all core instances",
            total,
            limit,
        ));
    }
    Ok(())
}

struct Builder<'a> {
    unit: UnitLayout<'a>,
    /// Bytes of the context so far.
    context_end: u64,
    /// Context offset of the length of segments that are dropped from the start.
    dropped: Option<u32>,
    /// The number of each type, by encoding.
    type_numbers: HashMap<Vec<u8>, u32>,
    /// The number of each memory that an instance defines.
    memory_numbers: HashMap<CoreItem, u32>,
    /// Which segments can still be folded.
    order: Order,
    /// Per memory: whether segments can still be folded into its image.
    memory_orders: Vec<Target>,
    /// Where the bytes of modules' data segments are, except folded ones.
    segments: HashMap<(ModuleId, usize), u32>,
    /// Tables whose elements get their place at the end.
    placed_tables: PlacedTables,
    /// Context offsets of the `VmFuncRef`s of lowered functions, adapters and functions for
    /// resources of an open unit.
    trampoline_refs: Vec<u32>,
    /// The ways in which code uses the tables of each module of the unit.
    table_uses: HashMap<ModuleId, Vec<TableUse>>,
    bounds: Bounds,
}

impl<'a> Builder<'a> {
    /// Reserves `size` bytes of the context, which are zeros. Offsets may overflow: `finish`
    /// returns the error if the context is too large.
    fn reserve(&mut self, size: usize, align: usize) -> u32 {
        let offset = self.context_end.next_multiple_of(align as u64);
        self.context_end = offset.saturating_add(size as u64);
        offset.min(MAX_CONTEXT_SIZE) as u32
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) {
        self.unit.context.write(offset.into(), bytes);
    }

    fn type_number(&mut self, ty: &FuncType, encoded: &[u8]) -> u32 {
        if let Some(number) = self.type_numbers.get(encoded) {
            return *number;
        }
        let number = self.unit.types.len() as u32;
        self.unit.types.push(UnitType {
            ty: ty.clone(),
            encoded: encoded.to_vec(),
        });
        self.type_numbers.insert(encoded.to_vec(), number);
        number
    }

    /// Reserves flags, handle tables and host imports: every call touches these, so they come
    /// first.
    fn host(&mut self, plan: &Plan) {
        for _ in 0..plan.component_instances {
            let offset = self.reserve(4, 4);
            self.write(offset, &flags::INITIAL.to_le_bytes());
            self.unit.flags.push(offset);
        }
        self.unit.nests = plan.instances_that_nest();
        for has_handles in plan.instances_with_handles() {
            let offset = match has_handles {
                true => self.reserve(size_of::<VmHandles>(), 8),
                false => NONE,
            };
            self.unit.handles.push(offset);
        }
        for is_concurrent in &plan.concurrent.instances {
            let offset = match is_concurrent {
                true => self.reserve(size_of::<VmConcurrent>(), 8),
                false => NONE,
            };
            self.unit.concurrent.push(offset);
        }
        self.unit.storage = vec![None; plan.concurrent.instances.len()];
        for op in &plan.concurrent.ops {
            if let OpKind::ContextGet { .. } | OpKind::ContextSet { .. } = op.kind {
                let component = op.component.0 as usize;
                self.unit.storage[component] = Some(self.unit.concurrent[component]);
            }
        }
        let mut used = vec![false; plan.imports.len()];
        plan.lowers
            .iter()
            .for_each(|lower| used[lower.import as usize] = true);
        for func in &plan.resource_funcs {
            let origin = plan.resources[func.resource.0 as usize].origin;
            if let (ResourceOp::Drop, ResourceOrigin::Host { import }) = (func.op, origin) {
                used[import as usize] = true;
            }
        }
        for used in used {
            let slot = if used {
                self.reserve(size_of::<VmHostImport>(), 8)
            } else {
                NONE
            };
            self.unit.host_slots.push(slot);
        }
    }

    fn instance(
        &mut self,
        id: u32,
        module_id: ModuleId,
        plan: &Plan,
        modules: &'a [Module<'a>],
    ) -> Result<()> {
        let module = &modules[module_id.0 as usize];
        let planned = &plan.instances[id as usize];
        let refs = match self.unit.is_open {
            false => FuncRefs::Closed,
            true => FuncRefs::Open { type_ids: NONE },
        };
        let types = module.types.iter().zip(module.core_types.all_encoded());
        let type_numbers = types.map(|(ty, encoded)| self.type_number(ty, encoded));
        let type_numbers: Vec<u32> = type_numbers.collect();
        let mut env = Env {
            module,
            instance: id,
            funcs: Vec::new(),
            tables: Vec::new(),
            memories: Vec::new(),
            globals: Vec::new(),
            tags: Vec::new(),
            data: Vec::new(),
            elements: Vec::new(),
            type_numbers,
            refs,
            interrupt_slot: self.unit.interrupt_slot,
        };
        if module.is_declared {
            self.declared_exports(&mut env);
            self.unit.steps.push(Step::Instantiate { instance: id });
            self.order.code_runs();
            self.unit.envs.push(env);
            return Ok(());
        }
        match self.unit.kind {
            Kind::Component => self.linked_imports(&mut env, &planned.imports),
            Kind::Module => self.open_imports(&mut env),
        }
        self.define_funcs(&mut env);
        self.define_memories(&mut env);
        self.define_tables(&mut env)?;
        self.define_globals(&mut env)?;
        self.define_tags(&mut env)?;
        self.element_segments(&mut env)?;
        self.data_segments(&mut env, module_id)?;
        self.check_data_size()?;
        if let Some(func) = module.start {
            self.unit.steps.push(Step::Start { instance: id, func });
            self.order.code_runs();
        }
        self.unit.envs.push(env);
        Ok(())
    }

    /// Reserves the references to functions that are not core functions and may be given to an
    /// imported module.
    fn trampoline_refs(&mut self, plan: &Plan) -> Result<()> {
        let trampolines: Vec<_> = self.unit.text_order.trampolines().collect();
        for (func, core_func) in trampolines {
            let ty = plan.trampoline_type(core_func);
            let mut core_types = CoreTypes::default();
            core_types.push_group(std::slice::from_ref(&ty))?;
            let type_number = self.type_number(&ty, core_types.encoded(0));
            let slot = self.reserve(size_of::<VmFuncRef>(), 8);
            self.unit.func_refs.push(FuncRef {
                slot,
                func,
                type_number,
            });
            self.trampoline_refs.push(slot);
        }
        Ok(())
    }

    fn define_funcs(&mut self, env: &mut Env<'a>) {
        let module = env.module;
        let instance = env.instance;
        let escaped = match self.unit.is_open {
            false => Vec::new(),
            true => escaped_funcs(module),
        };
        let imported = (0..module.imported_funcs as usize).zip(&escaped);
        for (index, _) in imported.filter(|(_, escaped)| **escaped) {
            let type_number = env.type_numbers[module.funcs[index] as usize];
            self.unit.escaped_imports.push(type_number);
        }
        for index in module.imported_funcs..module.funcs.len() as u32 {
            let func = self.unit.text_order.id(Planned::Core { instance, index });
            let func_ref = escaped
                .get(index as usize)
                .is_some_and(|escaped| *escaped)
                .then(|| {
                    let slot = self.reserve(size_of::<VmFuncRef>(), 8);
                    let type_number = env.type_numbers[module.funcs[index as usize] as usize];
                    self.unit.func_refs.push(FuncRef {
                        slot,
                        func,
                        type_number,
                    });
                    slot
                });
            env.funcs.push(FuncLoc::Local { func, func_ref });
        }
    }

    fn define_tags(&mut self, env: &mut Env<'a>) -> Result<()> {
        for _ in env.module.imported_tags..env.module.tags.len() as u32 {
            let slot = match self.unit.is_open {
                true => self.reserve(size_of::<VmTag>(), 8),
                false => NONE,
            };
            self.add_tag(env, slot);
        }
        let (found, limit) = (self.unit.tags.len() as u64, u64::from(catch::TAG));
        if found > limit {
            return Err(Error::limit("tags of all core instances", found, limit));
        }
        Ok(())
    }

    /// Gives the next tag of an instance a number.
    fn add_tag(&mut self, env: &mut Env<'a>, slot: u32) {
        let index = env.tags.len();
        env.tags.push(TagLoc {
            number: self.unit.tags.len() as u32,
            slot,
        });
        self.unit.tags.push(UnitTag {
            slot,
            instance: env.instance,
            index: index as u32,
            type_number: env.type_numbers[env.module.tags[index] as usize],
        });
    }

    fn evaluate(
        &self,
        env: &Env<'a>,
        expr: &wasmparser::ConstExpr<'_>,
    ) -> Result<Option<ConstValue>> {
        constant::evaluate(expr, &env.globals, |func| self.reference(env, func))
    }

    /// The reference to a function; `None` if it is only known at run time.
    fn reference(&self, env: &Env<'a>, func: u32) -> Option<ConstRef> {
        match env.funcs[func as usize] {
            FuncLoc::Local {
                func: id,
                func_ref: None,
            } => Some(ConstRef::Closed {
                func: id,
                type_number: env.type_numbers[env.module.funcs[func as usize] as usize],
            }),
            FuncLoc::Local {
                func_ref: Some(slot),
                ..
            } => Some(ConstRef::Open(RefSource::FuncRef(slot))),
            // The imports of a module are known before anything runs, those of a component may not
            // be.
            FuncLoc::Import { slot } => match self.unit.kind {
                Kind::Module => Some(ConstRef::Open(RefSource::Import(slot))),
                Kind::Component => None,
            },
        }
    }

    fn define_globals(&mut self, env: &mut Env<'a>) -> Result<()> {
        let imported = env.module.imported_globals;
        // Globals that others can see must have a place.
        let mut is_visible = vec![false; env.module.globals.len()];
        for export in env.module.exports.iter().filter(|_| self.unit.is_open) {
            if export.kind == wasmparser::ExternalKind::Global {
                is_visible[export.index as usize] = true;
            }
        }
        for (own, expr) in env.module.global_inits.iter().enumerate() {
            let index = imported + own as u32;
            let ty = &env.module.globals[index as usize];
            let value = self.evaluate(env, expr)?;
            let is_visible = is_visible[index as usize];
            if let (Some(value), false, false) = (value, ty.mutable, is_visible) {
                env.globals.push(GlobalLoc::Const(value));
                continue;
            }
            let size = if ty.content_type == wasmparser::ValType::V128 {
                16
            } else {
                8
            };
            let offset = self.reserve(size, size);
            match value {
                Some(value) => self.write_value(offset, value),
                None => self.unit.steps.push(Step::Global {
                    instance: env.instance,
                    index,
                }),
            }
            env.globals.push(GlobalLoc::Own { offset });
        }
        Ok(())
    }

    /// Writes a known value into the context.
    fn write_value(&mut self, offset: u32, value: ConstValue) {
        match value {
            ConstValue::I32(value) | ConstValue::F32(value) => {
                self.write(offset, &value.to_le_bytes());
            }
            ConstValue::I64(value) | ConstValue::F64(value) => {
                self.write(offset, &value.to_le_bytes());
            }
            ConstValue::V128(value) => self.write(offset, &value.to_le_bytes()),
            ConstValue::Ref(reference) => self.write_reference(offset, reference),
        }
    }

    /// Writes a reference into the context.
    fn write_reference(&mut self, offset: u32, reference: ConstRef) {
        match reference {
            ConstRef::Null => {}
            ConstRef::Closed { func, type_number } => {
                self.unit.context_refs.push(RefPatch {
                    offset,
                    func,
                    type_number,
                });
            }
            ConstRef::Open(source) => self.unit.ref_slots.push((offset, source)),
        }
    }

    /// Offsets in the data section are 32 bits wide.
    fn check_data_size(&self) -> Result<()> {
        let size = self.unit.data.len() as u64;
        if size > MAX_DATA_SIZE {
            return Err(Error::limit("bytes of segments", size, MAX_DATA_SIZE));
        }
        Ok(())
    }

    fn finish(mut self, plan: &Plan) -> Result<UnitLayout<'a>> {
        if self.unit.is_open {
            let type_ids = self.reserve(4 * self.unit.types.len(), 4);
            self.unit.type_ids = type_ids;
            self.unit
                .envs
                .iter_mut()
                .for_each(|env| env.refs = FuncRefs::Open { type_ids });
        }
        self.unit.may_throw = self.unit.is_open || !self.unit.tags.is_empty();
        let places = self.place_tables(plan);
        self.check_data_size()?;
        let size = self.context_end.next_multiple_of(PAGE_SIZE);
        if size > MAX_CONTEXT_SIZE {
            return Err(Error::limit(
                "bytes of globals and tables",
                size,
                MAX_CONTEXT_SIZE,
            ));
        }
        self.unit.context_size = size as u32;
        for env in &mut self.unit.envs {
            for memory in &mut env.memories {
                if let MemoryBase::First { context_size, .. } = &mut memory.base {
                    *context_size = size as u32;
                }
            }
            for table in &mut env.tables {
                if let TableLoc::Own { desc } = table {
                    *table = places.get(desc).copied().unwrap_or(*table);
                }
            }
        }
        Ok(self.unit)
    }
}

/// For each function, whether there may be references to it: whether it occurs in the module
/// outside of bodies.
fn escaped_funcs(module: &Module<'_>) -> Vec<bool> {
    use crate::module::ElementItems;
    let mut escaped = vec![false; module.funcs.len()];
    let mark_expr = |expr: &wasmparser::ConstExpr<'_>, escaped: &mut Vec<bool>| {
        for op in expr.get_operators_reader().into_iter().flatten() {
            if let wasmparser::Operator::RefFunc { function_index } = op {
                escaped[function_index as usize] = true;
            }
        }
    };
    for export in &module.exports {
        if export.kind == wasmparser::ExternalKind::Func {
            escaped[export.index as usize] = true;
        }
    }
    for element in &module.elements {
        match &element.items {
            ElementItems::Funcs(funcs) => {
                funcs.iter().for_each(|func| escaped[*func as usize] = true);
            }
            ElementItems::Exprs(exprs) => {
                exprs.iter().for_each(|expr| mark_expr(expr, &mut escaped));
            }
        }
    }
    module
        .global_inits
        .iter()
        .for_each(|expr| mark_expr(expr, &mut escaped));
    module
        .table_inits
        .iter()
        .flatten()
        .for_each(|expr| mark_expr(expr, &mut escaped));
    escaped
}

/// The eight bytes of a closed function reference, once the text is laid out.
pub(crate) fn patch(patch: &RefPatch, text_offset: impl Fn(FuncId) -> u32) -> [u8; 8] {
    vmctx::closed_func_ref(patch.type_number, text_offset(patch.func)).to_le_bytes()
}

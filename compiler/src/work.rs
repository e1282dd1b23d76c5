//! The work list: every function of the text, compiled in parallel.
//!
//! Core functions, trampolines, thunks and what runs at instantiation are entries of one list; an
//! entry's place is its [`FuncId`] and its place in the text. Each thread takes the largest entry
//! that is left, results are put in the list's order: the output does not depend on threads.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::{Context, FinalizedMachReloc, FinalizedRelocTarget, binemit, ir};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use cwasm_format::header::Kind;
use wasmparser::FuncType;

use crate::canon::handles::{self, HandleOp};
use crate::canon::{adapter, thunk, trampoline};
use crate::component::{CoreFunc, Plan, ResourceOrigin};
use crate::env::{FuncId, FuncLoc, Symbol};
use crate::error::{Error, Result};
use crate::inline::Bodies;
use crate::isa::Target;
use crate::layout::{Bridge, Step, Unit};
use crate::link::FUNCTION_ALIGN;
use crate::translate::{self, Checks, TranslateState};
use crate::{Progress, barriers, init};

/// A function to compile.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// Function `index` of a core instance's index space.
    Core { instance: u32, index: u32 },
    /// The trampoline of a lowered host function.
    Lower { index: u32, ty: FuncType },
    /// The adapter of a function that a component lifts and another lowers.
    Adapter(u32),
    /// `resource.new` and the like of a component, by index.
    Resource(u32),
    /// What all that work with handles share.
    Handle(HandleOp),
    /// A thunk that enters a function of the unit.
    Thunk { func: FuncId, ty: FuncType },
    /// The array thunk of a type of an open unit, by number.
    ArrayThunk(u32),
    /// The trampoline to host functions of a type of an open unit, by number.
    HostFunc(u32),
    /// Calls a function of an imported module's instance, by index into the unit's bridges.
    Bridge(u32),
    /// What runs at instantiation: a part of the steps, by number.
    Init(u32),
    /// The trampoline to a builtin.
    Builtin(Builtin),
}

/// All entries, and where those that records refer to are.
#[derive(Default)]
pub(crate) struct WorkList {
    pub(crate) entries: Vec<Entry>,
    /// How many core functions there are: they come first.
    pub(crate) core_funcs: usize,
    thunks: HashMap<FuncId, FuncId>,
    pub(crate) array_thunks: HashMap<u32, FuncId>,
    pub(crate) host_funcs: HashMap<u32, FuncId>,
    /// For each part of the steps, what runs it: before each instance of an imported module, and
    /// behind the last.
    pub(crate) init_thunks: Vec<Option<FuncId>>,
    builtins: HashMap<Builtin, FuncId>,
    handles: HashMap<HandleOp, FuncId>,
}

impl WorkList {
    /// The list of a unit, but for builtins, which are added when it is known which are used.
    pub(crate) fn new(unit: &Unit<'_>, plan: &Plan) -> WorkList {
        let mut list = WorkList::default();
        for env in &unit.envs {
            let imported = env.module.imported_funcs;
            let indices = imported..imported + env.module.bodies.len() as u32;
            let instance = env.instance;
            list.entries
                .extend(indices.map(|index| Entry::Core { instance, index }));
        }
        list.core_funcs = list.entries.len();
        for (index, lower) in plan.lowers.iter().enumerate() {
            let ty = plan.types.lowered(lower.ty, lower.options.width);
            list.entries.push(Entry::Lower {
                index: index as u32,
                ty,
            });
        }
        let adapters = 0..plan.adapters.len() as u32;
        list.entries.extend(adapters.map(Entry::Adapter));
        let resource_funcs = 0..plan.resource_funcs.len() as u32;
        list.entries.extend(resource_funcs.map(Entry::Resource));
        let bridges = 0..unit.bridges.len() as u32;
        list.entries.extend(bridges.map(Entry::Bridge));
        let options = |func: &Option<CoreFunc>| func.iter().copied().collect::<Vec<_>>();
        for lift in &plan.lifts {
            list.add_thunk(unit, plan, lift.func);
            let more = [
                options(&lift.options.realloc),
                options(&lift.options.post_return),
            ];
            more.concat()
                .into_iter()
                .for_each(|func| list.add_thunk(unit, plan, func));
        }
        for lower in &plan.lowers {
            for func in options(&lower.options.realloc) {
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
        for (number, steps) in parts(&unit.steps).enumerate() {
            let thunk = (!steps.is_empty()).then(|| {
                let func = list.push(Entry::Init(number as u32));
                let ty = FuncType::new([], []);
                list.push(Entry::Thunk { func, ty })
            });
            list.init_thunks.push(thunk);
        }
        list
    }

    fn push(&mut self, entry: Entry) -> FuncId {
        self.entries.push(entry);
        FuncId(self.entries.len() as u32 - 1)
    }

    fn add_thunk(&mut self, unit: &Unit<'_>, plan: &Plan, func: CoreFunc) {
        let (id, ty) = resolve(unit, plan, func);
        if !self.thunks.contains_key(&id) {
            let thunk = self.push(Entry::Thunk { func: id, ty });
            self.thunks.insert(id, thunk);
        }
    }

    /// The thunk of a function that a lift or lower names.
    pub(crate) fn thunk(&self, unit: &Unit<'_>, plan: &Plan, func: CoreFunc) -> FuncId {
        self.thunks[&resolve(unit, plan, func).0]
    }

    /// Array thunks for functions that can leave an open unit, trampolines for those it imports.
    fn add_open(&mut self, unit: &Unit<'_>) {
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
        for ty in exported.chain(escaped).collect::<BTreeSet<_>>() {
            let thunk = self.push(Entry::ArrayThunk(ty));
            self.array_thunks.insert(ty, thunk);
        }
        for ty in imported {
            let trampoline = self.push(Entry::HostFunc(ty));
            self.host_funcs.insert(ty, trampoline);
        }
    }

    /// The function that a symbol means; `None` if it is not a function.
    pub(crate) fn func(&self, symbol: Symbol) -> Option<FuncId> {
        match symbol {
            Symbol::Func(func) => Some(func),
            Symbol::Builtin(builtin) => self.builtins.get(&builtin).copied(),
            Symbol::Handle(op) => self.handles.get(&op).copied(),
            Symbol::Text | Symbol::Data(_) | Symbol::Lower(_) => None,
        }
    }
}

/// The steps before, between and behind those that make instances of imported modules.
fn parts(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.split(|step| matches!(step, Step::Instantiate { .. }))
}

/// The function and core type behind a core function of the plan.
pub(crate) fn resolve(unit: &Unit<'_>, plan: &Plan, func: CoreFunc) -> (FuncId, FuncType) {
    match func {
        CoreFunc::Lower(index) => {
            let lower = &plan.lowers[index as usize];
            let ty = plan.types.lowered(lower.ty, lower.options.width);
            (FuncId(unit.first_lower.0 + index), ty)
        }
        CoreFunc::Adapter(index) => {
            let adapter = &plan.adapters[index as usize];
            let ty = plan.types.lowered(adapter.callee.ty, adapter.options.width);
            (FuncId(unit.first_adapter.0 + index), ty)
        }
        CoreFunc::Resource(index) => {
            let ty = handles::core_type(plan.resource_funcs[index as usize].op);
            (FuncId(unit.first_resource.0 + index), ty)
        }
        CoreFunc::Export { instance, index } => {
            let env = &unit.envs[instance.0 as usize];
            match env.funcs[index as usize] {
                FuncLoc::Local { func, .. } => (func, env.module.func_type(index).clone()),
                FuncLoc::Import { slot } => {
                    let mut slots = unit.bridges.iter().map(|bridge| bridge.slot);
                    let Some(place) = slots.position(|found| found == slot) else {
                        unreachable!("each function of an imported module has a bridge")
                    };
                    let func = FuncId(unit.first_bridge.0 + place as u32);
                    (func, unit.bridges[place].ty.clone())
                }
            }
        }
    }
}

/// A compiled function.
pub(crate) struct Compiled {
    pub(crate) code: Vec<u8>,
    pub(crate) relocs: Vec<Reloc>,
    /// Offset of each instruction that can trap, and why.
    pub(crate) traps: Vec<(u32, TrapCode)>,
    /// For thunks: the call into wasm.
    pub(crate) enter: Option<EnterCall>,
}

/// A place in code that depends on where something else is.
pub(crate) struct Reloc {
    pub(crate) offset: u32,
    pub(crate) kind: binemit::Reloc,
    pub(crate) symbol: Symbol,
    pub(crate) addend: i64,
}

/// Offsets as in [`cwasm_format::code::EntryRecord`], from the start of the function.
pub(crate) struct EnterCall {
    pub(crate) return_offset: u32,
    pub(crate) handler_offset: u32,
    pub(crate) frame_size: u32,
    pub(crate) context_offset: u32,
}

/// What compiling an entry needs.
#[derive(Clone, Copy)]
pub(crate) struct Job<'j, 'a> {
    pub(crate) unit: &'j Unit<'a>,
    pub(crate) plan: &'j Plan,
    pub(crate) target: &'j Target,
}

/// What a thread keeps from one entry to the next.
pub(crate) struct Worker {
    pub(crate) context: Context,
    builder: FunctionBuilderContext,
    translate: TranslateState,
}

impl Worker {
    pub(crate) fn new() -> Worker {
        Worker {
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            translate: TranslateState::default(),
        }
    }
}

/// Compiles all entries, and then what they share: functions for handles, and the builtins'
/// trampolines.
pub(crate) fn compile(
    list: &mut WorkList,
    job: Job<'_, '_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Compiled>> {
    let bodies = Bodies::new(list, job);
    let mut compiled = compile_entries(&list.entries, job, &bodies, progress)?;
    for op in used(&compiled, |symbol| match symbol {
        Symbol::Handle(op) => Some(op),
        _ => None,
    }) {
        compiled.extend(compile_entries(
            &[Entry::Handle(op)],
            job,
            &bodies,
            &|_| {},
        )?);
        let id = list.push(Entry::Handle(op));
        list.handles.insert(op, id);
    }
    let builtins = used(&compiled, |symbol| match symbol {
        Symbol::Builtin(builtin) => Some(builtin),
        _ => None,
    });
    let entries: Vec<Entry> = builtins.iter().copied().map(Entry::Builtin).collect();
    compiled.extend(compile_entries(&entries, job, &bodies, &|_| {})?);
    for builtin in builtins {
        let id = list.push(Entry::Builtin(builtin));
        list.builtins.insert(builtin, id);
    }
    Ok(compiled)
}

/// What compiled functions refer to, of the symbols that `select` knows.
fn used<T: Ord>(compiled: &[Compiled], select: impl Fn(Symbol) -> Option<T>) -> BTreeSet<T> {
    let relocs = compiled.iter().flat_map(|compiled| &compiled.relocs);
    relocs.filter_map(|reloc| select(reloc.symbol)).collect()
}

fn compile_entries(
    entries: &[Entry],
    job: Job<'_, '_>,
    bodies: &Bodies,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Compiled>> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|place| std::cmp::Reverse(size_hint(&entries[*place], job.unit)));
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    // The place of the first entry, in the list's order, that is known to fail. Those behind it need
    // not be compiled, those before it must be: the error is the same whatever the threads do.
    let failed = AtomicUsize::new(usize::MAX);
    let results: Vec<Vec<(usize, Result<Compiled>)>> = rayon::broadcast(|_| {
        let mut worker = Worker::new();
        let mut results = Vec::new();
        while let Some(place) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if *place > failed.load(Ordering::Relaxed) {
                continue;
            }
            let result = compile_entry(&entries[*place], job, bodies, &mut worker);
            if result.is_err() {
                failed.fetch_min(*place, Ordering::Relaxed);
                // What was half built is still in there.
                worker = Worker::new();
            }
            results.push((*place, result));
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(Progress {
                done,
                total: entries.len(),
            });
        }
        results
    });
    let mut compiled: Vec<Option<Compiled>> = entries.iter().map(|_| None).collect();
    let mut first_error: Option<Error> = None;
    for (place, result) in results.into_iter().flatten() {
        match result {
            Ok(result) => compiled[place] = Some(result),
            Err(error) if place == failed.load(Ordering::Relaxed) => first_error = Some(error),
            Err(_) => {}
        }
    }
    match first_error {
        Some(error) => Err(error),
        None => Ok(compiled.into_iter().flatten().collect()),
    }
}

/// How long a core function is in its module, in bytes.
pub(crate) fn size_hint(entry: &Entry, unit: &Unit<'_>) -> u64 {
    match *entry {
        Entry::Core { instance, index } => {
            let module = unit.envs[instance as usize].module;
            let range = module.bodies[(index - module.imported_funcs) as usize]
                .body
                .range();
            range.end - range.start
        }
        _ => 0,
    }
}

fn compile_entry(
    entry: &Entry,
    job: Job<'_, '_>,
    bodies: &Bodies,
    worker: &mut Worker,
) -> Result<Compiled> {
    worker.context.clear();
    build(entry, job, bodies, worker)?;
    let context = &mut worker.context;
    // What a component gave to an imported module may come back as that module's export: it has two
    // names then.
    let is_aliased = job.unit.is_open && job.unit.kind == Kind::Component;
    if is_aliased || !job.target.alias_analysis {
        barriers::insert(&mut context.func);
    }
    let code = context
        .compile(&*job.target.isa, &mut ControlPlane::default())
        .map_err(|error| Error::codegen(format!("{entry:?}"), format!("{:?}", error.inner)))?;
    let buffer = &code.buffer;
    assert!(buffer.alignment <= FUNCTION_ALIGN);
    let enter = buffer.call_sites().find_map(|site| {
        let handler = site
            .exception_handlers
            .iter()
            .find_map(|handler| match handler {
                cranelift_codegen::FinalizedMachExceptionHandler::Default(offset) => Some(*offset),
                _ => None,
            })?;
        let layout = buffer.frame_layout();
        let context_offset = match layout.and_then(|layout| layout.stackslots.values().next()) {
            Some(slot) => slot.offset,
            None => unreachable!("a thunk keeps its context in its only stack slot"),
        };
        Some(EnterCall {
            return_offset: site.ret_addr,
            handler_offset: handler,
            frame_size: site.frame_offset.unwrap_or(0),
            context_offset,
        })
    });
    let traps = buffer
        .traps()
        .iter()
        .map(|trap| (trap.offset, translate::from_trap_code(trap.code)))
        .collect();
    let (bytes, relocs) = (buffer.data().to_vec(), buffer.relocs().to_vec());
    let relocs = relocs
        .iter()
        .map(|found| reloc(found, &context.func))
        .collect::<Result<_>>()?;
    Ok(Compiled {
        code: bytes,
        relocs,
        traps,
        enter,
    })
}

fn reloc(found: &FinalizedMachReloc, func: &ir::Function) -> Result<Reloc> {
    let FinalizedRelocTarget::ExternalName(ir::ExternalName::User(name)) = found.target else {
        return Err(Error::codegen(
            format!("{}", func.name),
            format!("a relocation to {:?}", found.target),
        ));
    };
    let symbol = Symbol::from_name(&func.params.user_named_funcs()[name]);
    Ok(Reloc {
        offset: found.offset,
        kind: found.kind,
        symbol,
        addend: found.addend,
    })
}

/// Builds the IR of an entry in the worker's context, and inlines what it calls.
pub(crate) fn build(
    entry: &Entry,
    job: Job<'_, '_>,
    bodies: &Bodies,
    worker: &mut Worker,
) -> Result<()> {
    let Job { unit, plan, target } = job;
    let func = &mut worker.context.func;
    if let Entry::Core { instance, index } = *entry {
        let env = &unit.envs[instance as usize];
        let state = &mut worker.translate;
        translate::translate_function(env, index, &*target.isa, state, func)?;
        return bodies.inline_into(&mut worker.context);
    }
    let mut builder = FunctionBuilder::new(func, &mut worker.builder);
    match entry {
        Entry::Core { .. } => unreachable!("translated above"),
        Entry::Lower { index, ty } => {
            let lower = &plan.lowers[*index as usize];
            let flags = unit.flags[lower.component.0 as usize];
            let slot = unit.host_slots[lower.import as usize];
            let signature = translate::core_signature(ty);
            trampoline::lower(&mut builder, &signature, flags, slot, *index);
        }
        Entry::Adapter(index) => {
            let adapter = &plan.adapters[*index as usize];
            let (callee, _) = resolve(unit, plan, adapter.callee.func);
            let is_leaf = callee.0 < unit.first_lower.0 && bodies.contains(callee);
            adapter::build(&mut builder, unit, plan, adapter, is_leaf);
        }
        Entry::Resource(index) => {
            let func = &plan.resource_funcs[*index as usize];
            handles::resource_func(&mut builder, unit, plan, func);
        }
        Entry::Handle(op) => handles::shared(&mut builder, *op),
        Entry::Thunk { func, ty } => {
            thunk::thunk(
                &mut builder,
                Symbol::Func(*func),
                &translate::core_signature(ty),
            );
        }
        Entry::ArrayThunk(ty) => {
            let signature = translate::core_signature(&unit.types[*ty as usize].ty);
            thunk::array_thunk(&mut builder, &signature);
        }
        Entry::HostFunc(ty) => {
            let signature = translate::core_signature(&unit.types[*ty as usize].ty);
            trampoline::host_func(&mut builder, &signature);
        }
        Entry::Bridge(index) => {
            let Bridge { slot, ty } = &unit.bridges[*index as usize];
            trampoline::bridge(&mut builder, &translate::core_signature(ty), *slot);
        }
        Entry::Init(number) => {
            let steps = parts(&unit.steps).nth(*number as usize).unwrap_or_default();
            init::build(&mut builder, &mut worker.translate.references, unit, steps)?;
        }
        Entry::Builtin(builtin) => {
            let checks = Checks::new(unit.interrupt_slot);
            trampoline::builtin(&mut builder, *builtin, checks);
        }
    }
    builder.finalize(target.isa.frontend_config());
    match entry {
        Entry::Adapter(_) => bodies.inline_into(&mut worker.context),
        _ => Ok(()),
    }
}

/// The IR of all entries as text.
pub(crate) fn clif(list: &WorkList, job: Job<'_, '_>) -> Result<String> {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut worker = Worker::new();
    let bodies = Bodies::new(list, job);
    for (place, entry) in list.entries.iter().enumerate() {
        worker.context.clear();
        build(entry, job, &bodies, &mut worker)?;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "; {place}: {entry:?}\n{}",
            worker.context.func.display()
        );
    }
    Ok(text)
}

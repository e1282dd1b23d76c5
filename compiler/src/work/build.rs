//! Builds the IR of an entry.

use cranelift_codegen::Context;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

use super::init;
use super::inline::Bodies;
use super::list::Entry;
use super::machine::Registers;
use crate::canon::adapter::Sharing;
use crate::canon::{adapter, concurrent, handles, thunk, trampoline};
use crate::error::Result;
use crate::ir::check::Checks;
use crate::ir::function::clear;
use crate::ir::symbol::Symbol;
use crate::ir::types::core_signature;
use crate::isa::Target;
use crate::layout::{Bridge, UnitLayout};
use crate::options::OptLevel;
use crate::plan::concurrent::OpKind;
use crate::plan::{CoreFunc, Plan};
use crate::translate::{self, TranslateState};

/// All that compiling an entry needs.
#[derive(Clone, Copy)]
pub(crate) struct Job<'j, 'a> {
    pub(crate) unit: &'j UnitLayout<'a>,
    pub(crate) plan: &'j Plan,
    pub(crate) target: &'j Target,
    pub(crate) sharing: &'j Sharing,
    /// Whether it is measured what each entry takes.
    pub(crate) is_timed: bool,
}

/// Buffers that a thread keeps from one entry to the next.
pub(crate) struct Worker {
    pub(crate) context: Context,
    builder: FunctionBuilderContext,
    pub(super) translate: TranslateState,
    pub(super) registers: Registers,
}

impl Worker {
    pub(crate) fn new() -> Worker {
        Worker {
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            translate: TranslateState::default(),
            registers: Registers::default(),
        }
    }
}

/// The bytes of a core function in its module.
pub(crate) fn size_hint(entry: &Entry, unit: &UnitLayout<'_>) -> u64 {
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

/// Builds the IR of an entry in the worker's context, and inlines what it calls.
pub(crate) fn build(
    entry: &Entry,
    job: Job<'_, '_>,
    bodies: &Bodies,
    worker: &mut Worker,
) -> Result<()> {
    let Job {
        unit,
        plan,
        target,
        sharing,
        ..
    } = job;
    worker.context.clear();
    let func = &mut worker.context.func;
    clear(func);
    if let Entry::Core { instance, index } = *entry {
        let env = &unit.envs[instance as usize];
        let state = &mut worker.translate;
        state.locals_in_frame = target.locals_in_frame;
        state.unrolls = target.opt != OptLevel::Size;
        let is_labeled = target.dwarf && env.module.has_dwarf();
        state.labels = is_labeled.then(|| state.labels.take().unwrap_or_default());
        translate::translate_function(env, index, &*target.isa, state, func)?;
        return bodies.inline_into(&mut worker.context);
    }
    let mut builder = FunctionBuilder::new(func, &mut worker.builder);
    match entry {
        Entry::Core { .. } => unreachable!("translated above"),
        Entry::Lower(index) => {
            let lower = &plan.lowers[*index as usize];
            if let Some(op) = lower.op {
                let ty = plan.trampoline_type(CoreFunc::Lower(*index));
                concurrent::op(&mut builder, &core_signature(&ty), op);
                finish(builder, target);
                return Ok(());
            }
            let flags = unit.flags[lower.component.0 as usize];
            let slot = unit.host_slots[lower.import as usize];
            let ty = plan.trampoline_type(CoreFunc::Lower(*index));
            let signature = core_signature(&ty);
            trampoline::lower(&mut builder, &signature, flags, slot, *index);
        }
        Entry::Adapter(index) => {
            let adapter = &plan.adapters[*index as usize];
            if let Some(op) = adapter.op {
                let ty = plan.trampoline_type(CoreFunc::Adapter(*index));
                concurrent::op(&mut builder, &core_signature(&ty), op);
                finish(builder, target);
                return Ok(());
            }
            let (callee, _) = unit.resolve(plan, adapter.callee.func);
            let is_leaf = callee.0 < unit.text_order.core_funcs() && bodies.contains(callee);
            adapter::build(&mut builder, unit, plan, (sharing, *index), is_leaf);
        }
        Entry::Resource(index) => {
            let func = &plan.resource_funcs[*index as usize];
            if let Some(op) = func.loader_op {
                let ty = plan.trampoline_type(CoreFunc::Resource(*index));
                concurrent::op(&mut builder, &core_signature(&ty), op);
                finish(builder, target);
                return Ok(());
            }
            handles::resource_func(&mut builder, unit, plan, func);
        }
        Entry::Op(index) => {
            let ty = plan.trampoline_type(CoreFunc::Op(*index));
            let signature = core_signature(&ty);
            let op = &plan.concurrent.ops[*index as usize];
            let instance = unit.concurrent[op.component.0 as usize];
            match op.kind {
                OpKind::ContextGet { slot, .. } | OpKind::ContextSet { slot, .. } => {
                    concurrent::context(&mut builder, &signature, instance, slot);
                }
                _ => concurrent::op(&mut builder, &signature, *index),
            }
        }
        Entry::Copy(func) => adapter::shared::build(&mut builder, unit, plan, sharing, *func),
        Entry::Handle(op) => handles::shared(&mut builder, *op),
        Entry::Thunk { func, ty } => {
            thunk::thunk(&mut builder, Symbol::Func(*func), &core_signature(ty));
        }
        Entry::ArrayThunk(ty) => {
            let signature = core_signature(&unit.types[*ty as usize].ty);
            thunk::array_thunk(&mut builder, &signature);
        }
        Entry::HostFunc(ty) => {
            let signature = core_signature(&unit.types[*ty as usize].ty);
            trampoline::host_func(&mut builder, &signature);
        }
        Entry::Bridge(index) => {
            let Bridge { slot, ty } = &unit.bridges[*index as usize];
            trampoline::bridge(&mut builder, &core_signature(ty), *slot);
        }
        Entry::Steps { start, end } => {
            let steps = &unit.steps[*start as usize..*end as usize];
            init::build(&mut builder, &mut worker.translate.references, unit, steps)?;
        }
        Entry::Init { first, count } => init::calls(&mut builder, *first, *count),
        Entry::Builtin(builtin) => {
            let checks = Checks::new(unit.interrupt_slot);
            trampoline::builtin(&mut builder, *builtin, checks);
        }
    }
    finish(builder, target);
    match entry {
        Entry::Adapter(_) => bodies.inline_into(&mut worker.context),
        _ => Ok(()),
    }
}

fn finish(builder: FunctionBuilder<'_>, target: &Target) {
    builder.finalize(target.isa.frontend_config());
}

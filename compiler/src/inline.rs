//! Inlining of calls between components.
//!
//! ```text
//! core function --call--> adapter --call--> leaf       becomes one function
//! ```
//!
//! A *leaf* is a small core function that neither calls nor traps. Its callers are not seen in a
//! backtrace that it makes, since it makes none, and nobody can see the flags of its instance while
//! it runs: its adapter need not write them. Small adapters are inlined into the core functions that
//! call them; what traps in an adapter has never been a frame of its own.
//!
//! What checks whether to stop is not inlined: two checks of a function must not be alike.
//!
//! Accesses of adapters have no alias region, those of core functions have one, and Cranelift orders a
//! load without region behind stores without region, calls and fences only. **Invariant:** an inlined
//! adapter that loads from a memory stores what it has loaded, or calls, before the core function goes
//! on: results go to the caller's memory, and what takes parameters from memory calls `realloc`.
//!
//! What is inlined is built before everything else; what cannot be built is left alone, so that
//! errors are those of compiling it.

use std::collections::HashMap;

use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::{Context, ir};

use crate::env::{FuncId, Symbol};
use crate::error::{Error, Result};
use crate::work::{self, Entry, Job, WorkList, Worker};

/// The most bytes that a leaf has in the module.
const MAX_LEAF_BYTES: u64 = 64;
/// The most instructions of IR that an inlined function has.
const MAX_INSTS: usize = 32;
/// The most instructions that are inlined into one function: a call is two bytes of a module, so
/// that hostile ones would make much code of little.
const MAX_INLINED: usize = 20_000;

/// The functions that are inlined, by their place in the work list.
#[derive(Default)]
pub(crate) struct Bodies {
    funcs: HashMap<FuncId, ir::Function>,
}

impl Bodies {
    /// Leaves that adapters call, and adapters, as far as they are small.
    pub(crate) fn new(list: &WorkList, job: Job<'_, '_>) -> Bodies {
        let mut bodies = Bodies::default();
        if job.plan.adapters.is_empty() {
            return bodies;
        }
        let mut worker = Worker::new();
        for adapter in &job.plan.adapters {
            let (id, _) = work::resolve(job.unit, job.plan, adapter.callee.func);
            let entry = &list.entries[id.0 as usize];
            let is_small = matches!(entry, Entry::Core { .. })
                && work::size_hint(entry, job.unit) <= MAX_LEAF_BYTES;
            if is_small && !bodies.funcs.contains_key(&id) {
                bodies.add(id, entry, job, &mut worker, is_leaf);
            }
        }
        for index in 0..job.plan.adapters.len() as u32 {
            let id = FuncId(job.unit.first_adapter.0 + index);
            bodies.add(id, &Entry::Adapter(index), job, &mut worker, |_| true);
        }
        bodies
    }

    /// Adds a function if it is small and `is_fit`.
    fn add(
        &mut self,
        id: FuncId,
        entry: &Entry,
        job: Job<'_, '_>,
        worker: &mut Worker,
        is_fit: impl FnOnce(&ir::Function) -> bool,
    ) {
        worker.context.clear();
        if work::build(entry, job, self, worker).is_err() {
            *worker = Worker::new();
            return;
        }
        let func = &worker.context.func;
        let is_small = count_insts(func) <= MAX_INSTS;
        if is_small && !insts(func).any(|inst| faults(func, inst)) && is_fit(func) {
            self.funcs.insert(id, func.clone());
        }
    }

    /// Whether a function is here, which for core functions means that it is a leaf.
    pub(crate) fn contains(&self, id: FuncId) -> bool {
        self.funcs.contains_key(&id)
    }

    /// Inlines what the function in `context` calls.
    pub(crate) fn inline_into(&self, context: &mut Context) -> Result<()> {
        let names = context.func.params.user_named_funcs();
        if !names.values().any(|name| self.get(name).is_some()) {
            return Ok(());
        }
        let inliner = Inliner {
            bodies: self,
            left: MAX_INLINED,
        };
        match context.inline(inliner) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::codegen(
                format!("{}", context.func.name),
                format!("{error:?}"),
            )),
        }
    }

    fn get(&self, name: &ir::UserExternalName) -> Option<&ir::Function> {
        match Symbol::from_name(name) {
            Symbol::Func(id) => self.funcs.get(&id),
            _ => None,
        }
    }
}

/// Decides for each call of one function.
struct Inliner<'b> {
    bodies: &'b Bodies,
    /// How many more instructions may be inlined.
    left: usize,
}

impl Inline for Inliner<'_> {
    fn inline(
        &mut self,
        caller: &ir::Function,
        _: ir::Inst,
        _: ir::Opcode,
        callee: ir::FuncRef,
        _: &[ir::Value],
    ) -> InlineCommand<'_> {
        let ir::ExternalName::User(name) = caller.dfg.ext_funcs[callee].name else {
            return InlineCommand::KeepCall;
        };
        let found = self.bodies.get(&caller.params.user_named_funcs()[name]);
        let Some(callee) = found else {
            return InlineCommand::KeepCall;
        };
        match self.left.checked_sub(count_insts(callee)) {
            Some(left) => self.left = left,
            None => return InlineCommand::KeepCall,
        }
        InlineCommand::Inline {
            callee: std::borrow::Cow::Borrowed(callee),
            // What it calls was inlined into it already.
            visit_callee: false,
        }
    }
}

/// Whether a function, of which no access to memory faults, neither calls nor traps.
fn is_leaf(func: &ir::Function) -> bool {
    insts(func).all(|inst| {
        let data = &func.dfg.insts[inst];
        let opcode = data.opcode();
        let is_access = data.memflags().is_some();
        !opcode.is_call() && (is_access || !opcode.can_trap())
    })
}

/// Whether an instruction is an access to memory that may fault, as checks whether to stop do.
fn faults(func: &ir::Function, inst: ir::Inst) -> bool {
    let flags = func.dfg.insts[inst].memflags_data(&func.dfg);
    flags.is_some_and(|flags| flags.trap_code().is_some())
}

fn count_insts(func: &ir::Function) -> usize {
    insts(func).count()
}

fn insts(func: &ir::Function) -> impl Iterator<Item = ir::Inst> {
    let blocks = func.layout.blocks();
    blocks.flat_map(|block| func.layout.block_insts(block))
}

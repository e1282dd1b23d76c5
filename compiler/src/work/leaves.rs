//! Finds the functions that are inlined: small adapters, and the small leaves that adapters call.

use cranelift_codegen::ir;

use super::build::{Job, Worker, build, size_hint};
use super::inline::{Bodies, count_insts, insts};
use super::list::{Entry, WorkList};
use crate::ir::symbol::FuncId;
use crate::layout::Planned;
use crate::options::OptLevel;

/// The most bytes of a leaf in its module.
const MAX_LEAF_BYTES: u64 = 64;
/// The most instructions of IR of an inlined function.
const MAX_INSTS: usize = 32;

/// The functions that are inlined, built.
pub(super) fn bodies(list: &WorkList, job: Job<'_, '_>) -> Bodies {
    let mut bodies = Bodies::default();
    if job.plan.adapters.is_empty() || job.target.opt == OptLevel::Size {
        return bodies;
    }
    let mut worker = Worker::new();
    // Those of the loader's calls only pass on where their record is.
    let adapters = job.plan.adapters.iter();
    let adapters = adapters
        .enumerate()
        .filter(|(_, adapter)| adapter.op.is_none());
    for (_, adapter) in adapters.clone() {
        let (id, _) = job.unit.resolve(job.plan, adapter.callee.func);
        let entry = &list.entries[id.0 as usize];
        let is_small =
            matches!(entry, Entry::Core { .. }) && size_hint(entry, job.unit) <= MAX_LEAF_BYTES;
        if is_small && !bodies.contains(id) {
            add(&mut bodies, (id, entry), job, &mut worker, is_leaf);
        }
    }
    for (index, _) in adapters {
        let index = index as u32;
        let id = job.unit.text_order.id(Planned::Adapter(index));
        add(
            &mut bodies,
            (id, &Entry::Adapter(index)),
            job,
            &mut worker,
            |_| true,
        );
    }
    bodies
}

/// Adds a function if it is small and `is_fit` accepts it.
fn add(
    bodies: &mut Bodies,
    (id, entry): (FuncId, &Entry),
    job: Job<'_, '_>,
    worker: &mut Worker,
    is_fit: impl FnOnce(&ir::Function) -> bool,
) {
    if build(entry, job, bodies, worker).is_err() {
        *worker = Worker::new();
        return;
    }
    let func = &worker.context.func;
    let is_small = count_insts(func) <= MAX_INSTS;
    if is_small && !insts(func).any(|inst| faults(func, inst)) && is_fit(func) {
        bodies.insert(id, func.clone());
    }
}

/// Whether a function neither calls nor traps. Assumes that no access to memory faults.
fn is_leaf(func: &ir::Function) -> bool {
    insts(func).all(|inst| {
        let data = &func.dfg.insts[inst];
        let opcode = data.opcode();
        let is_access = data.memflags().is_some();
        !opcode.is_call() && (is_access || !opcode.can_trap())
    })
}

/// Whether an instruction is an access to memory that may fault. Interrupt checks are such
/// accesses.
fn faults(func: &ir::Function, inst: ir::Inst) -> bool {
    let flags = func.dfg.insts[inst].memflags_data(&func.dfg);
    flags.is_some_and(|flags| flags.trap_code().is_some())
}

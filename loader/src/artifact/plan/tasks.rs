//! The records of concurrent component instances.

use cwasm_format::FormatError;
use cwasm_format::concurrent::{Op, PLAIN};
use cwasm_format::exports::kind;
use cwasm_format::header::{NONE, SectionId};
use cwasm_format::vmctx::{VmConcurrent, VmHandles};

use super::Claims;
use crate::artifact::records::{OptionSlots, Records, record_id};

/// The most arguments of an operation.
const MAX_ARGS: u32 = 17;

/// Checks the records of tasks.
pub(super) fn check(
    records: &Records<'_>,
    claims: &Claims,
    slots: &OptionSlots,
) -> Result<(), FormatError> {
    let artifact = records.artifact;
    let instances = artifact.concurrent();
    let flags_of = |instance: u32| instances.get(instance as usize).map(|found| found.flags);
    for (index, found) in instances.iter().enumerate() {
        let record = record_id(SectionId::Concurrent, index);
        claims.check_free::<u32>(records, record, "flags", found.flags, false)?;
        claims.check_free::<VmConcurrent>(records, record, "slot", found.slot, false)?;
        records.check_slot::<VmHandles>(record, "handles", found.handles, 1)?;
        let is_table =
            |table: &cwasm_format::resources::HandleTableRecord| table.slot == found.handles;
        if !artifact.handle_tables().iter().any(is_table) {
            return Err(record.error("handles", found.handles));
        }
    }
    for (index, task) in artifact.tasks().iter().enumerate() {
        let record = record_id(SectionId::Tasks, index);
        let Some(flags) = flags_of(task.instance) else {
            return Err(record.error("instance", task.instance));
        };
        records.code(record, "thunk", task.thunk)?;
        records.optional_code(record, "post_return", task.post_return)?;
        records.optional_code(record, "callback", task.callback)?;
        records.check_options(slots, record, &task.options, flags)?;
    }
    let (tasks, imports) = (artifact.tasks().len(), artifact.imports());
    for (index, op) in artifact.ops().iter().enumerate() {
        let record = record_id(SectionId::Ops, index);
        let Some(flags) = flags_of(op.instance) else {
            return Err(record.error("instance", op.instance));
        };
        records.check_options(slots, record, &op.options, flags)?;
        if op.count > MAX_ARGS {
            return Err(record.error("count", op.count));
        }
        let is_known = match Op::from_number(op.op) {
            None => return Err(record.error("op", op.op)),
            Some(Op::Call) => (op.target as usize) < tasks,
            Some(Op::CallHost) => imports
                .get(op.target as usize)
                .is_some_and(|import| import.kind == kind::FUNC && import.slot != NONE),
            Some(Op::ResourceDrop) => (op.target as usize) < artifact.resources().len(),
            Some(_) => (op.align & !PLAIN).is_power_of_two() || op.align & !PLAIN == 0,
        };
        if !is_known {
            return Err(record.error("target", op.target));
        }
    }
    for (index, lift) in artifact.lifts().iter().enumerate() {
        if lift.task as usize > tasks {
            return Err(record_id(SectionId::Lifts, index).error("task", lift.task));
        }
    }
    Ok(())
}

//! Where the machine code of a function comes from: kept with `--debug` only.

use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{CompiledCode, LabelValueLoc};

use crate::ir::label::{FrameLocals, Operand};
use crate::ir::saved::Saved;
use crate::isa::Relaxed;
use crate::translate::labels::Labels;

/// Where the machine code of a core function comes from. Offsets in code are bytes from its start.
pub(crate) struct Origins {
    /// Where code starts, in order, that comes from the operator so many bytes after the start of
    /// the function's body; `None` if it comes from no operator.
    pub(crate) code: Vec<(u32, Option<u32>)>,
    /// The return addresses of calls, in order.
    pub(crate) returns: Vec<u32>,
    /// Where values are, by [label](crate::ir::label) and start: in one place at a time.
    pub(crate) values: Vec<Value>,
    /// What has been left on the operand stack, by number.
    pub(crate) operands: Vec<Operand>,
    /// Locals that are always the value with the label [`label::sum`](crate::ir::label::sum) and a
    /// number, by index.
    pub(crate) sums: Vec<(u32, i64)>,
}

/// Where a value is while code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value {
    pub(crate) label: u32,
    /// The code: offsets from the function's start.
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) at: ValuePlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValuePlace {
    /// A register, by its number in DWARF.
    Register(u16),
    /// In the frame: bytes from the canonical frame address.
    Frame(i32),
}

impl Origins {
    pub(super) fn of(
        compiled: &CompiledCode,
        isa: &dyn TargetIsa,
        labels: Option<&Labels>,
        saved: &Saved,
    ) -> Origins {
        let buffer = &compiled.buffer;
        let mut code: Vec<(u32, Option<u32>)> = Vec::new();
        let mut end = 0;
        for range in buffer.get_srclocs_sorted() {
            if range.start > end {
                push(&mut code, end, None);
            }
            let offset = (!range.loc.is_default()).then(|| range.loc.bits());
            push(&mut code, range.start, offset);
            end = range.end;
        }
        if (end as usize) < buffer.data().len() {
            push(&mut code, end, None);
        }
        let in_frame = labels.and_then(|labels| labels.in_frame.as_ref());
        let in_frame = in_frame.map(|locals| (locals, saved));
        Origins {
            code,
            returns: buffer.call_sites().map(|site| site.ret_addr).collect(),
            values: values(compiled, isa, in_frame),
            operands: labels.map_or_else(Vec::new, |labels| labels.operands.clone()),
            sums: labels.into_iter().flat_map(Labels::sums).collect(),
        }
    }

    /// The operator that the code at this offset comes from: bytes from the start of the body.
    pub(crate) fn find(&self, offset: u32) -> Option<u32> {
        let after = self.code.partition_point(|(start, _)| *start <= offset);
        self.code[after.checked_sub(1)?].1
    }

    /// Follows the code when it is made shorter.
    pub(super) fn relax(&mut self, relaxed: &Relaxed) {
        for (start, _) in &mut self.code {
            *start = relaxed.moved(*start);
        }
        for end in &mut self.returns {
            // What follows the call may be aligned.
            *end = relaxed.moved(*end - 1) + 1;
        }
        for value in &mut self.values {
            value.start = relaxed.moved(value.start);
            value.end = relaxed.moved(value.end);
        }
    }
}

fn values(
    compiled: &CompiledCode,
    isa: &dyn TargetIsa,
    locals: Option<(&FrameLocals, &Saved)>,
) -> Vec<Value> {
    let mut values = Vec::new();
    for (label, ranges) in &compiled.value_labels_ranges {
        for range in ranges {
            let at = match range.loc {
                LabelValueLoc::Reg(register) => {
                    let Ok(number) = isa.map_regalloc_reg_to_dwarf(register) else {
                        continue;
                    };
                    ValuePlace::Register(number)
                }
                LabelValueLoc::CFAOffset(offset) => {
                    let Ok(offset) = i32::try_from(offset) else {
                        continue;
                    };
                    ValuePlace::Frame(offset)
                }
            };
            values.push(Value {
                label: label.as_u32(),
                start: range.start,
                end: range.end,
                at,
            });
        }
    }
    if let Some((locals, saved)) = locals {
        values.extend(in_frame(compiled, locals, saved));
    }
    values.sort_unstable();
    // Where a value is in two places, the first is as good.
    let (mut label, mut end) = (0, 0);
    values.retain_mut(|value| {
        if value.label != label {
            (label, end) = (value.label, 0);
        }
        value.start = value.start.max(end);
        end = end.max(value.end);
        value.start < value.end
    });
    values
}

/// The places of locals that are in the frame.
fn in_frame(
    compiled: &CompiledCode,
    locals: &FrameLocals,
    saved: &Saved,
) -> impl Iterator<Item = Value> {
    let layout = compiled.buffer.frame_layout();
    let end = compiled.buffer.data().len() as u32;
    let slot = layout.map(|layout| {
        // Frames are much smaller than 2 GiB.
        let slot = layout.stackslots[locals.slot].offset as i32;
        slot - layout.frame_to_fp_offset as i32 - saved.above
    });
    let offsets = (0..).zip(&locals.offsets);
    offsets.filter_map(move |(label, offset)| {
        Some(Value {
            label,
            start: 0,
            end,
            at: ValuePlace::Frame(slot? + (*offset)?),
        })
    })
}

fn push(code: &mut Vec<(u32, Option<u32>)>, start: u32, from: Option<u32>) {
    if code.last().is_none_or(|(_, last)| *last != from) {
        code.push((start, from));
    }
}

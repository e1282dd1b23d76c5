//! Where the code of a core function is in the text.

use std::ops::Range;

use wasmparser::ValType;

use super::super::budget::{Budget, Refusal};
use super::super::modules::Code;
use super::Function;
use crate::ir::label;
use crate::module::Module;
use crate::work::origins::{Origins, Value};

/// Values that are left on the operand stack between one and an operator that takes it, at most.
const MAX_OPERANDS: usize = 1000;

/// Where the code of a core function is.
pub(super) struct Places<'f> {
    /// In the module's code section.
    pub(super) start: u32,
    /// In the text: addresses.
    pub(super) native: Range<u64>,
    /// Code that comes from one address of the module: that, and where it is, by the first.
    parts: Vec<(u32, Range<u64>)>,
    /// The same in the order of the text. `None` is code that comes from no operator.
    pub(super) code: Vec<(u64, Option<u32>)>,
    /// The types of locals: the number of the first one after those of a type, and the type.
    locals: Vec<(u32, ValType)>,
    /// What is left on the operand stack, by number: the operator's place in the module's code
    /// section, and how many values are below.
    operands: Vec<(u32, u8)>,
    origins: &'f Origins,
}

impl<'f> Places<'f> {
    /// `None` for a function that was added to its module.
    pub(super) fn of(
        function: &Function<'f, '_>,
        module: &Module<'_>,
        index: u32,
        code: &Code<'_>,
    ) -> Option<Places<'f>> {
        let origins = function.code.origins.as_ref()?;
        let body = (index - module.imported_funcs) as usize;
        let start = code.start(module, body)?.checked_sub(code.start)?;
        let end = function.address + function.code.code.len() as u64;
        let places = origins.code.iter().map(|(offset, from)| {
            let from = from.map(|from| start.saturating_add(code.offset(body, from)));
            (function.address + u64::from(*offset), from)
        });
        let operands = origins.operands.iter().map(|operand| {
            let offset = code.offset(body, operand.offset);
            (start.saturating_add(offset), operand.depth)
        });
        let native: Vec<(u64, Option<u32>)> = places.collect();
        let ends = native.iter().skip(1).map(|(start, _)| *start).chain([end]);
        let parts = native.iter().zip(ends);
        let mut parts: Vec<(u32, Range<u64>)> = parts
            .filter_map(|((start, from), end)| Some((from.as_ref().copied()?, *start..end)))
            .collect();
        parts.sort_by_key(|(from, range)| (*from, range.start));
        Some(Places {
            start,
            native: function.address..end,
            parts,
            code: native,
            locals: locals(module, index, body),
            operands: operands.collect(),
            origins,
        })
    }

    /// Bytes of the integer with this label; `None` of other values.
    pub(super) fn int_bytes(&self, label: u32) -> Option<u8> {
        if let Some(number) = label::operand_number(label) {
            return self.origins.operands.get(number)?.int_bytes;
        }
        let place = self.locals.partition_point(|(end, _)| *end <= label);
        match self.locals.get(place)?.1 {
            ValType::I32 => Some(4),
            ValType::I64 => Some(8),
            ValType::F32 | ValType::F64 | ValType::V128 | ValType::Ref(_) => None,
        }
    }

    /// What is added to the value with the label [`label::sum`] for this local, if it is always
    /// such a sum.
    pub(super) fn added(&self, local: u32) -> Option<i64> {
        let sums = &self.origins.sums;
        let place = sums.binary_search_by_key(&local, |(local, _)| *local);
        Some(sums[place.ok()?].1)
    }

    /// The label of the value on the operand stack that so many are below, before the operator at
    /// this place in the code section.
    pub(super) fn operand(&self, depth: u32, before: u32) -> Option<u32> {
        let after = self.operands.partition_point(|(at, _)| *at < before);
        let first = after.saturating_sub(MAX_OPERANDS);
        let mut found = self.operands[first..after].iter();
        // The last one that is not above it: if that is below, nothing is there any more.
        let last = found.rposition(|(_, other)| u32::from(*other) <= depth)? + first;
        (u32::from(self.operands[last].1) == depth).then(|| label::operand(last))
    }

    /// The code that comes from a range of the module, in order.
    ///
    /// # Errors
    /// If that takes too many steps.
    pub(super) fn find(
        &self,
        from: &Range<u32>,
        budget: &mut Budget,
        found: &mut Vec<Range<u64>>,
    ) -> Result<(), Refusal> {
        let first = self.parts.partition_point(|(at, _)| *at < from.start);
        let parts = self.parts[first..].iter();
        let first = found.len();
        found.extend(
            parts
                .take_while(|(at, _)| *at < from.end)
                .map(|(_, range)| range.clone()),
        );
        budget.take((found.len() - first) as u64)?;
        found.sort_by_key(|range| range.start);
        // Neighbours become one.
        found.dedup_by(|next, range| {
            let touches = next.start <= range.end;
            if touches {
                range.end = range.end.max(next.end);
            }
            touches
        });
        Ok(())
    }

    /// Where the value with this label is while code of a range runs, by address.
    pub(super) fn values(
        &self,
        label: u32,
        code: &Range<u64>,
    ) -> impl Iterator<Item = (Range<u64>, &'f Value)> {
        let start = self.native.start;
        let place =
            move |value: &Value| start + u64::from(value.start)..start + u64::from(value.end);
        let values = &self.origins.values;
        let (first, end) = (code.start, code.end);
        let first =
            values.partition_point(|value| (value.label, place(value).end) <= (label, first));
        let values = values[first..]
            .iter()
            .map(move |value| (place(value), value));
        values.take_while(move |(range, value)| value.label == label && range.start < end)
    }
}

/// The types of a function's locals, as [`Places`] has them.
fn locals(module: &Module<'_>, index: u32, body: usize) -> Vec<(u32, ValType)> {
    let params = module.func_type(index).params();
    let mut types: Vec<(u32, ValType)> = (1..).zip(params.iter().copied()).collect();
    let mut end = types.len() as u32;
    // Bodies have been validated.
    let declared = module.bodies[body].body.get_locals_reader();
    for (count, ty) in declared.into_iter().flatten().flatten() {
        end += count;
        types.push((end, ty));
    }
    types
}

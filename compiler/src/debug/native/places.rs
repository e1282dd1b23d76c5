//! Where the code of a core function is in the text.

use std::ops::Range;

use super::super::budget::{Budget, Refusal};
use super::super::modules::Code;
use super::Function;
use crate::module::Module;
use crate::work::origins::{Origins, Value};

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
            origins,
        })
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

    /// Where the value with this label is, by address.
    pub(super) fn values(&self, label: u32) -> impl Iterator<Item = (Range<u64>, &'f Value)> {
        let values = &self.origins.values;
        let first = values.partition_point(|value| value.label < label);
        let values = values[first..].iter();
        let start = self.native.start;
        values
            .take_while(move |value| value.label == label)
            .map(move |value| {
                let range = start + u64::from(value.start)..start + u64::from(value.end);
                (range, value)
            })
    }
}

//! Segments: active ones are folded into tables' initial elements and memories' images if no code
//! can tell the difference; the others get a place in the data section or the context.

use cwasm_format::data::MAX_RESERVATION;

use super::{Builder, RefPatch, Step};
use crate::env::{ConstRef, ConstValue, Env, MemoryBase, SegmentLoc, SegmentStart, TableLoc};
use crate::error::Result;
use crate::module::{ElementItems, SegmentMode};
use crate::plan::ModuleId;

impl<'a> Builder<'a> {
    pub(super) fn element_segments(&mut self, env: &mut Env<'a>) -> Result<()> {
        for (segment, element) in env.module.elements.iter().enumerate() {
            let values = self.element_values(env, &element.items)?;
            let is_dropped = match &element.mode {
                SegmentMode::Declared => true,
                SegmentMode::Passive => false,
                SegmentMode::Active { index, offset } => {
                    let offset = self.evaluate(env, offset)?.map(const_index);
                    self.fold_elements(env, *index, offset, &values)
                }
            };
            let location = match is_dropped {
                true => self.dropped_segment(),
                false => self.kept_elements(env, segment as u32, &values),
            };
            // The step comes after those that evaluate the elements.
            if let (SegmentMode::Active { .. }, false) = (&element.mode, is_dropped) {
                self.unit.steps.push(Step::Element {
                    instance: env.instance,
                    segment: segment as u32,
                });
            }
            env.elements.push(Some(location));
        }
        Ok(())
    }

    /// The elements of a segment; `None` for those that are only known at run time.
    fn element_values(
        &self,
        env: &Env<'a>,
        items: &ElementItems<'_>,
    ) -> Result<Vec<Option<ConstRef>>> {
        match items {
            ElementItems::Funcs(funcs) => {
                let values = funcs.iter().map(|func| self.reference(env, *func));
                Ok(values.collect())
            }
            ElementItems::Exprs(exprs) => {
                let reference = |value: Option<ConstValue>| match value {
                    Some(ConstValue::Ref(reference)) => Some(reference),
                    None => None,
                    Some(_) => unreachable!("elements are references"),
                };
                let values = exprs.iter().map(|expr| self.evaluate(env, expr));
                values.map(|value| value.map(reference)).collect()
            }
        }
    }

    /// Folds an active segment into its table's initial elements, if no code can tell the
    /// difference. Returns whether it was folded; otherwise a step must copy it.
    fn fold_elements(
        &mut self,
        env: &Env<'a>,
        index: u32,
        offset: Option<u64>,
        values: &[Option<ConstRef>],
    ) -> bool {
        let location = env.tables[index as usize];
        let table = match location {
            TableLoc::Own { desc } => self.placed_tables.find_mut(desc),
            _ => None,
        };
        let declared = env.module.tables[index as usize].initial;
        let len = table.as_ref().map_or(declared, |table| table.len);
        let start = offset.filter(|start| is_inside(*start, values.len(), len));
        if let Some(table) = table {
            let start = start.and_then(|start| u32::try_from(start).ok());
            if let Some(start) = start
                && self.order.can_fold(&table.order)
                && values.iter().all(Option::is_some)
            {
                let places = (start..).zip(values.iter().flatten().copied());
                table.elements.extend(places);
                return true;
            }
            table.order.written();
        }
        if start.is_none() {
            self.order.may_trap();
        }
        if let TableLoc::Import { .. } = location {
            self.order.escapes();
        }
        false
    }

    /// The place of a segment that is dropped before anything runs. All of them share one
    /// length, 0.
    fn dropped_segment(&mut self) -> SegmentLoc {
        let len = match self.dropped {
            Some(len) => len,
            None => self.reserve(8, 8),
        };
        self.dropped = Some(len);
        SegmentLoc {
            start: SegmentStart::Data(0),
            len,
        }
    }

    /// Gives a segment's elements a place.
    fn kept_elements(
        &mut self,
        env: &Env<'a>,
        segment: u32,
        values: &[Option<ConstRef>],
    ) -> SegmentLoc {
        let start = match self.unit.is_open {
            false => self.element_data(values),
            true => self.element_slots(env, segment, values),
        };
        let len = self.reserve(8, 8);
        self.write(len, &(values.len() as u64).to_le_bytes());
        SegmentLoc { start, len }
    }

    /// Puts the elements of a segment of a closed unit into the data section.
    pub(super) fn element_data(&mut self, values: &[Option<ConstRef>]) -> SegmentStart {
        let start = self.unit.data.len().next_multiple_of(8);
        self.unit.data.resize(start + 8 * values.len(), 0);
        for (place, value) in values.iter().enumerate() {
            if let Some(ConstRef::Closed { func, type_number }) = *value {
                let offset = (start + 8 * place) as u32;
                self.unit.data_refs.push(RefPatch {
                    offset,
                    func,
                    type_number,
                });
            }
        }
        SegmentStart::Data(start as u32)
    }

    /// Reserves the elements of a segment of an open unit in the context; the loader or the first
    /// steps fill them.
    fn element_slots(
        &mut self,
        env: &Env<'a>,
        segment: u32,
        values: &[Option<ConstRef>],
    ) -> SegmentStart {
        let start = self.reserve(8 * values.len(), 8);
        for (item, value) in (0..).zip(values) {
            match *value {
                Some(reference) => self.write_reference(start + 8 * item, reference),
                None => self.unit.steps.push(Step::ElementItem {
                    instance: env.instance,
                    segment,
                    item,
                }),
            }
        }
        SegmentStart::Context(start)
    }

    pub(super) fn data_segments(&mut self, env: &mut Env<'a>, id: ModuleId) -> Result<()> {
        for (segment, data) in env.module.data.iter().enumerate() {
            let is_dropped = match &data.mode {
                SegmentMode::Active { index, offset } => {
                    let offset = self.evaluate(env, offset)?.map(const_index);
                    self.fold_data(env, *index, offset, data.bytes)
                }
                SegmentMode::Passive | SegmentMode::Declared => false,
            };
            let location = match is_dropped {
                true => self.dropped_segment(),
                false => self.kept_data((id, segment), data.bytes),
            };
            if let (SegmentMode::Active { .. }, false) = (&data.mode, is_dropped) {
                self.unit.steps.push(Step::Data {
                    instance: env.instance,
                    segment: segment as u32,
                });
            }
            env.data.push(Some(location));
        }
        Ok(())
    }

    /// As [`fold_elements`](Self::fold_elements), of a data segment and its memory's image.
    fn fold_data(&mut self, env: &Env<'a>, index: u32, offset: Option<u64>, bytes: &[u8]) -> bool {
        let location = &env.memories[index as usize];
        let number = match location.base {
            MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => {
                // Memories got their descriptors in this order.
                let memories = &self.unit.memories;
                memories
                    .binary_search_by_key(&desc, |record| record.slot)
                    .ok()
            }
            MemoryBase::Import { .. } => None,
        };
        let start = offset.filter(|start| is_inside(*start, bytes.len(), location.min_byte_len));
        // A memory that is too large for any instance is still valid.
        let is_possible = location.min_byte_len <= MAX_RESERVATION;
        if let Some(number) = number.filter(|_| is_possible) {
            let target = &mut self.memory_orders[number];
            if let Some(start) = start
                && self.order.can_fold(target)
            {
                self.unit.images[number].write(start, bytes);
                return true;
            }
            target.written();
        }
        if start.is_none() {
            self.order.may_trap();
        }
        false
    }

    /// Gives a segment's bytes a place. All instances of a module read the same bytes.
    fn kept_data(&mut self, segment: (ModuleId, usize), bytes: &[u8]) -> SegmentLoc {
        let unit_data = &mut self.unit.data;
        let start = *self.segments.entry(segment).or_insert_with(|| {
            unit_data.extend_from_slice(bytes);
            (unit_data.len() - bytes.len()) as u32
        });
        let len = self.reserve(8, 8);
        self.write(len, &(bytes.len() as u64).to_le_bytes());
        SegmentLoc {
            start: SegmentStart::Data(start),
            len,
        }
    }
}

/// Whether `count` items from `start` on are within `size`.
fn is_inside(start: u64, count: usize, size: u64) -> bool {
    let end = start.checked_add(count as u64);
    end.is_some_and(|end| end <= size)
}

fn const_index(value: ConstValue) -> u64 {
    match value {
        ConstValue::I32(value) => value.into(),
        ConstValue::I64(value) => value,
        _ => unreachable!("offsets of segments are integers"),
    }
}

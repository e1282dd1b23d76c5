//! Segments: active ones are folded into tables' initial elements and memories' images where nothing
//! that runs can tell the difference; the others get a place in the data section or the context.

use cwasm_format::header::Kind;

use super::{Builder, RefPatch, Step};
use crate::env::{ConstValue, Env, FuncLoc, MemoryBase, SegmentLoc, SegmentStart, TableLoc};
use crate::error::Result;
use crate::plan::ModuleId;

impl<'a> Builder<'a> {
    pub(super) fn element_segments(&mut self, env: &mut Env<'a>) -> Result<()> {
        use crate::module::{ElementItems, SegmentMode};
        let module = env.module;
        for (segment, element) in module.elements.iter().enumerate() {
            let segment = segment as u32;
            let values = match &element.items {
                ElementItems::Funcs(funcs) => funcs
                    .iter()
                    .map(|func| match env.funcs[*func as usize] {
                        FuncLoc::Local {
                            func: id,
                            func_ref: None,
                        } => Some(ConstValue::Func {
                            func: id,
                            type_number: env.type_numbers[module.funcs[*func as usize] as usize],
                        }),
                        _ => None,
                    })
                    .collect(),
                ElementItems::Exprs(exprs) => exprs
                    .iter()
                    .map(|expr| self.evaluate(env, expr))
                    .collect::<Result<Vec<_>>>()?,
            };
            if let SegmentMode::Active { index, offset } = &element.mode {
                let offset = self.evaluate(env, offset)?;
                if self.fold_elements(env, *index, offset, &values) {
                    // The segment counts as dropped.
                    let len = self.reserve(8, 8);
                    env.elements.push(Some(SegmentLoc {
                        start: SegmentStart::Data(0),
                        len,
                    }));
                    continue;
                }
            }
            let start = match self.unit.is_open {
                false => self.element_data(&values),
                true => self.element_slots(env, segment, &values),
            };
            let len = self.reserve(8, 8);
            if !matches!(element.mode, SegmentMode::Declared) {
                self.write(len, &(values.len() as u64).to_le_bytes());
            }
            env.elements.push(Some(SegmentLoc { start, len }));
            if matches!(element.mode, SegmentMode::Active { .. }) {
                self.unit.steps.push(Step::Element {
                    instance: env.instance,
                    segment,
                });
            }
        }
        Ok(())
    }

    /// Writes an active segment into its table's initial elements, if nothing that runs can tell
    /// the difference.
    fn fold_elements(
        &mut self,
        env: &Env<'a>,
        table: u32,
        offset: Option<ConstValue>,
        values: &[Option<ConstValue>],
    ) -> bool {
        let Some(ConstValue::I32(_) | ConstValue::I64(_)) = offset else {
            return false;
        };
        let TableLoc::Own { desc } = env.tables[table as usize] else {
            return false;
        };
        let steps = self.unit.steps.len();
        let Some(table) = self
            .table_elements
            .iter_mut()
            .find(|table| table.desc == desc)
        else {
            return false;
        };
        let start = const_index(offset);
        let end = start.checked_add(values.len() as u64);
        let fits = end.is_some_and(|end| end <= table.elements.len() as u64);
        if !fits || table.stepped != steps || values.iter().any(Option::is_none) {
            return false;
        }
        let places = &mut table.elements[start as usize..];
        places
            .iter_mut()
            .zip(values.iter().flatten())
            .for_each(|(place, value)| *place = *value);
        true
    }

    /// Puts the elements of a segment of a closed unit into the data section.
    pub(super) fn element_data(&mut self, values: &[Option<ConstValue>]) -> SegmentStart {
        let start = self.unit.data.len().next_multiple_of(8);
        self.unit.data.resize(start + 8 * values.len(), 0);
        for (place, value) in values.iter().enumerate() {
            if let Some(ConstValue::Func { func, type_number }) = *value {
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
        values: &[Option<ConstValue>],
    ) -> SegmentStart {
        use crate::module::ElementItems;
        let start = self.reserve(8 * values.len(), 8);
        for (place, value) in values.iter().enumerate() {
            let slot = start + 8 * place as u32;
            if value.is_some() {
                // Known values of an open unit are null.
                continue;
            }
            let func = match &env.module.elements[segment as usize].items {
                ElementItems::Funcs(funcs) => Some(env.funcs[funcs[place] as usize]),
                ElementItems::Exprs(_) => None,
            };
            match func {
                Some(func @ FuncLoc::Local { .. }) => self.unit.ref_slots.push((slot, func)),
                // The imports of a module are there before anything runs.
                Some(func) if self.unit.kind == Kind::Module => {
                    self.unit.ref_slots.push((slot, func));
                }
                _ => self.unit.steps.push(Step::ElementItem {
                    instance: env.instance,
                    segment,
                    item: place as u32,
                }),
            }
        }
        SegmentStart::Context(start)
    }

    pub(super) fn data_segments(&mut self, env: &mut Env<'a>, id: ModuleId) -> Result<()> {
        use crate::module::SegmentMode;
        let module = env.module;
        for (segment, data) in module.data.iter().enumerate() {
            let len = self.reserve(8, 8);
            if let SegmentMode::Active { index, offset } = &data.mode {
                let offset = self.evaluate(env, offset)?;
                if self.fold_data(env, *index, offset, data.bytes) {
                    env.data.push(Some(SegmentLoc {
                        start: SegmentStart::Data(0),
                        len,
                    }));
                    continue;
                }
                let segment = segment as u32;
                self.unit.steps.push(Step::Data {
                    instance: env.instance,
                    segment,
                });
            }
            // All instances of a module read the same bytes.
            let unit_data = &mut self.unit.data;
            let start = *self.segments.entry((id, segment)).or_insert_with(|| {
                unit_data.extend_from_slice(data.bytes);
                (unit_data.len() - data.bytes.len()) as u32
            });
            self.write(len, &(data.bytes.len() as u64).to_le_bytes());
            env.data.push(Some(SegmentLoc {
                start: SegmentStart::Data(start),
                len,
            }));
        }
        Ok(())
    }

    /// Writes an active segment into its memory's image, if nothing that runs can tell the
    /// difference.
    fn fold_data(
        &mut self,
        env: &Env<'a>,
        memory: u32,
        offset: Option<ConstValue>,
        bytes: &[u8],
    ) -> bool {
        let Some(ConstValue::I32(_) | ConstValue::I64(_)) = offset else {
            return false;
        };
        let loc = &env.memories[memory as usize];
        let (MemoryBase::First { desc, .. } | MemoryBase::Own { desc }) = loc.base else {
            return false;
        };
        let Some(number) = self
            .unit
            .memories
            .iter()
            .position(|record| record.slot == desc)
        else {
            return false;
        };
        let start = const_index(offset);
        let end = start.checked_add(bytes.len() as u64);
        let fits = end.is_some_and(|end| end <= loc.min_byte_len);
        if !fits || self.stepped[number] != self.unit.steps.len() {
            return false;
        }
        self.unit.images[number].write(start, bytes);
        true
    }
}

fn const_index(value: Option<ConstValue>) -> u64 {
    match value {
        Some(ConstValue::I32(value)) => value.into(),
        Some(ConstValue::I64(value)) => value,
        _ => unreachable!("offsets of segments are integers"),
    }
}

//! Where the values of variables are.

use std::collections::BTreeSet;
use std::ops::Range;

use cwasm_format::vmctx::VmMemory;
use gimli::write::{Address, Expression, Location};
use gimli::{Register, constants};

use super::super::budget::{Budget, Refusal};
use super::expression::{Place, Step, Steps, Variable};
use super::places::Places;
use crate::env::{MemoryBase, MemoryLoc};
use crate::ir::label;
use crate::work::origins::{Value, ValuePlace};

/// Where a `VmMemory` has its address.
const BASE: u64 = std::mem::offset_of!(VmMemory, base) as u64;

/// Steps of a part of the code in which a variable is somewhere.
const LOCATION: u64 = 12;

/// The function that a variable is in.
#[derive(Clone, Copy)]
pub(super) struct Function<'f> {
    pub(super) places: &'f Places<'f>,
    /// The first memory of its instance.
    pub(super) memory: Option<&'f MemoryLoc>,
}

/// A part of the code, and where the values with certain labels are in it.
struct Span {
    code: Range<u64>,
    values: Vec<Known>,
}

/// A value that is somewhere.
#[derive(Clone, Copy)]
struct Known {
    at: ValuePlace,
    /// What is added to the value that is there.
    added: i64,
}

impl<'f> Function<'f> {
    /// Where a variable is while code of `ranges` runs.
    ///
    /// # Errors
    /// If that takes too many steps.
    pub(super) fn locations(
        self,
        variable: &Variable,
        ranges: &[Range<u64>],
        budget: &mut Budget,
        found: &mut Vec<Location>,
    ) -> Result<(), Refusal> {
        let pieces: Vec<(Option<u64>, &Place)> = match variable {
            Variable::Whole(place) => vec![(None, place)],
            Variable::Pieces(pieces) => {
                let pieces = pieces.iter().map(|piece| (Some(piece.size), &piece.place));
                pieces.collect()
            }
        };
        let mut known = Vec::new();
        for (_, place) in &pieces {
            known.push(match self.labels(place) {
                Some(labels) => {
                    let spans = self.spans(&labels, ranges, budget)?;
                    (labels, spans)
                }
                None => Default::default(),
            });
        }
        let spans = known.iter().flat_map(|(_, spans)| spans);
        let bounds = spans.flat_map(|span| [span.code.start, span.code.end]);
        let bounds: BTreeSet<u64> = bounds.collect();
        let mut next = vec![0; pieces.len()];
        for (start, end) in bounds.iter().zip(bounds.iter().skip(1)) {
            budget.take(LOCATION * pieces.len() as u64)?;
            let mut data = Expression::new();
            let mut is_somewhere = false;
            for (((size, place), (labels, spans)), next) in pieces.iter().zip(&known).zip(&mut next)
            {
                while spans.get(*next).is_some_and(|span| span.code.end <= *start) {
                    *next += 1;
                }
                if let Some(span) = spans.get(*next)
                    && span.code.start <= *start
                {
                    budget.take(place.len() as u64)?;
                    self.write(place, labels, span, &mut data);
                    is_somewhere = true;
                }
                if let Some(size) = size {
                    data.op_piece(*size);
                }
            }
            if is_somewhere {
                found.push(Location::StartEnd {
                    begin: Address::Constant(*start),
                    end: Address::Constant(*end),
                    data,
                });
            }
        }
        Ok(())
    }

    /// Where the first byte of the memory is, in all of the function's code.
    ///
    /// # Errors
    /// If that takes too many steps.
    pub(super) fn memory_locations(
        self,
        budget: &mut Budget,
        found: &mut Vec<Location>,
    ) -> Result<(), Refusal> {
        let start = Variable::Whole(Place::Memory(Steps {
            steps: vec![Step::Constant(0)],
            width: None,
        }));
        let code = [self.places.native.clone()];
        self.locations(&start, &code, budget, found)
    }

    /// The labels of the values that a piece is made from; `None` if it is nowhere.
    fn labels(self, place: &Place) -> Option<BTreeSet<u32>> {
        let (steps, is_in_memory) = match place {
            Place::Nowhere => return None,
            Place::Label(label) => return Some(BTreeSet::from([*label])),
            Place::Bytes(_) => return Some(BTreeSet::new()),
            Place::Value(steps) => (steps, steps.reads_memory()),
            Place::Memory(steps) => (steps, true),
        };
        let mut labels = steps.labels();
        for label in &labels {
            // Nothing can be calculated with what is in other registers.
            let bytes = self.places.int_bytes(*label)?;
            if steps.width.is_some_and(|width| width != bytes) {
                return None;
            }
        }
        if is_in_memory {
            self.memory?;
            labels.insert(label::CONTEXT);
        }
        Some(labels)
    }

    /// The parts of `ranges` in which all values with these labels are somewhere.
    fn spans(
        self,
        labels: &BTreeSet<u32>,
        ranges: &[Range<u64>],
        budget: &mut Budget,
    ) -> Result<Vec<Span>, Refusal> {
        budget.take(1 + ranges.len() as u64)?;
        let mut spans: Vec<Span> = ranges
            .iter()
            .map(|range| Span {
                code: range.clone(),
                values: Vec::new(),
            })
            .collect();
        for label in labels {
            let mut parts = Vec::new();
            for span in &spans {
                let mut start = span.code.start;
                for (code, value) in self.places.values(*label, &span.code) {
                    self.sum_parts(*label, (span, start..code.start), budget, &mut parts)?;
                    start = code.end;
                    span.add(code, (value, 0), budget, &mut parts)?;
                }
                self.sum_parts(*label, (span, start..span.code.end), budget, &mut parts)?;
            }
            spans = parts;
        }
        Ok(spans)
    }

    /// The parts of a range in which a local is nowhere, but what it is the sum of is somewhere.
    fn sum_parts(
        self,
        label: u32,
        (span, code): (&Span, Range<u64>),
        budget: &mut Budget,
        parts: &mut Vec<Span>,
    ) -> Result<(), Refusal> {
        budget.take(1)?;
        let added = self.places.added(label);
        let Some(added) = added.filter(|_| !code.is_empty()) else {
            return Ok(());
        };
        for (found, value) in self.places.values(label::sum(label), &code) {
            let found = found.start.max(code.start)..found.end.min(code.end);
            span.add(found, (value, added), budget, parts)?;
        }
        Ok(())
    }

    /// Writes where a piece is.
    fn write(
        self,
        place: &Place,
        labels: &BTreeSet<u32>,
        span: &Span,
        expression: &mut Expression,
    ) {
        let known = Values { labels, span };
        match place {
            Place::Nowhere => {}
            Place::Label(label) => match known.get(*label) {
                Some(Known { at, added: 0 }) => match at {
                    ValuePlace::Register(number) => expression.op_reg(Register(number)),
                    ValuePlace::Frame(offset) => in_frame(offset, expression),
                },
                _ => {
                    known.push(*label, expression);
                    expression.op(constants::DW_OP_stack_value);
                }
            },
            Place::Value(steps) => {
                self.steps(steps, &known, expression);
                expression.op(constants::DW_OP_stack_value);
            }
            Place::Memory(steps) => {
                self.steps(steps, &known, expression);
                self.native_address(&known, expression);
            }
            Place::Bytes(bytes) => expression.op_implicit_value(bytes.clone().into()),
        }
    }

    fn steps(self, steps: &Steps, known: &Values<'_>, expression: &mut Expression) {
        for step in &steps.steps {
            match *step {
                Step::Label(label) => known.push(label, expression),
                Step::Constant(value) => expression.op_constu(value),
                Step::Add(value) => match i64::try_from(value) {
                    Ok(_) => expression.op_plus_uconst(value),
                    Err(_) => {
                        expression.op_consts(value as i64);
                        expression.op(constants::DW_OP_plus);
                    }
                },
                Step::Pick(index) => expression.op_pick(index),
                Step::Operator(op) => expression.op(op),
                Step::Load(bytes) => {
                    self.native_address(known, expression);
                    match bytes {
                        8 => expression.op_deref(),
                        _ => expression.op_deref_size(bytes),
                    }
                }
                Step::Extend { bytes: 8, .. } => {}
                Step::Extend {
                    bytes,
                    is_signed: false,
                } => {
                    expression.op_constu((1 << (8 * bytes)) - 1);
                    expression.op(constants::DW_OP_and);
                }
                Step::Extend {
                    bytes,
                    is_signed: true,
                } => {
                    for op in [constants::DW_OP_shl, constants::DW_OP_shra] {
                        expression.op_constu(64 - 8 * u64::from(bytes));
                        expression.op(op);
                    }
                }
            }
        }
    }

    /// Makes an address in the first memory of the instance a native one.
    fn native_address(self, known: &Values<'_>, expression: &mut Expression) {
        let Some(memory) = self.memory else {
            return;
        };
        if !memory.is_64 {
            expression.op_constu(u32::MAX.into());
            expression.op(constants::DW_OP_and);
        }
        known.push(label::CONTEXT, expression);
        match memory.base {
            MemoryBase::First { context_size, .. } => {
                expression.op_plus_uconst(context_size.into());
            }
            MemoryBase::Own { desc } => {
                expression.op_plus_uconst(u64::from(desc) + BASE);
                expression.op_deref();
            }
            MemoryBase::Import { slot } => {
                expression.op_plus_uconst(slot.into());
                expression.op_deref();
                expression.op_plus_uconst(BASE);
                expression.op_deref();
            }
        }
        expression.op(constants::DW_OP_plus);
    }
}

impl Span {
    /// Adds the part of it in which another value is somewhere, too.
    fn add(
        &self,
        code: Range<u64>,
        (value, added): (&Value, i64),
        budget: &mut Budget,
        parts: &mut Vec<Span>,
    ) -> Result<(), Refusal> {
        budget.take(LOCATION)?;
        let code = code.start.max(self.code.start)..code.end.min(self.code.end);
        if !code.is_empty() {
            let mut values = self.values.clone();
            values.push(Known {
                at: value.at,
                added,
            });
            parts.push(Span { code, values });
        }
        Ok(())
    }
}

/// The values with labels in a part of the code.
struct Values<'k> {
    labels: &'k BTreeSet<u32>,
    span: &'k Span,
}

impl Values<'_> {
    fn get(&self, label: u32) -> Option<Known> {
        let place = self.labels.iter().position(|known| *known == label)?;
        Some(self.span.values[place])
    }

    /// Pushes a value.
    fn push(&self, label: u32, expression: &mut Expression) {
        let Some(Known { at, added }) = self.get(label) else {
            return;
        };
        match at {
            ValuePlace::Register(number) => expression.op_breg(Register(number), added),
            ValuePlace::Frame(offset) => {
                in_frame(offset, expression);
                expression.op_deref();
                if added != 0 {
                    expression.op_consts(added);
                    expression.op(constants::DW_OP_plus);
                }
            }
        }
    }
}

/// Pushes the address of a place in the frame: frame bases are something else here.
fn in_frame(offset: i32, expression: &mut Expression) {
    expression.op(constants::DW_OP_call_frame_cfa);
    expression.op_consts(offset.into());
    expression.op(constants::DW_OP_plus);
}

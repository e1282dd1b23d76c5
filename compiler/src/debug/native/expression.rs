//! What a module says of where the value of a variable is.
//!
//! DWARF expressions (DWARF 5, section 2.5, with `DW_OP_WASM_location` of
//! <https://yurydelendik.github.io/webassembly-dwarf/>) become steps that mean the same on a
//! machine whose addresses have eight bytes. Steps of guests whose addresses have four keep the
//! lower four bytes right; where an operator depends on more, they are extended before.

use std::collections::BTreeSet;

use gimli::constants::{self, DwOp};
use gimli::{Operation, UnitOffset};

use super::super::dwarf::Slice;
use super::places::Places;
use crate::ir::label;

/// Operations of an expression, and steps of a piece, at most.
const MAX_STEPS: usize = 128;

/// Where a variable is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Whole(Place),
    /// In pieces, in order.
    Pieces(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes.
    pub(super) size: u64,
    pub(super) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    /// It is the value with this [label](crate::ir::label), of any type.
    Label(u32),
    /// It is what the steps leave.
    Value(Steps),
    /// In memory, at the address that the steps leave.
    Memory(Steps),
    /// It is these bytes.
    Bytes(Vec<u8>),
}

/// Steps that leave one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// The bytes that all values with labels must have, if the result depends on that.
    pub(super) width: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Pushes the value with this label, which is an integer.
    Label(u32),
    Constant(u64),
    Add(u64),
    Pick(u8),
    /// An operator of the stack's topmost values.
    Operator(DwOp),
    /// Reads so many bytes of memory.
    Load(u8),
    /// Extends the lowest bytes.
    Extend {
        bytes: u8,
        is_signed: bool,
    },
}

/// What expressions of a unit may refer to.
pub(super) struct Surroundings<'s, 'a> {
    pub(super) sections: &'s gimli::Dwarf<Slice<'a>>,
    pub(super) unit: &'s gimli::Unit<Slice<'a>>,
    /// What leaves the address of the function's frame in memory.
    pub(super) frame_base: Option<&'s Steps>,
    /// The function, and the operator before which the expression holds first: bytes from the start
    /// of the module's code section. `None` of expressions that hold everywhere.
    pub(super) place: Option<(&'s Places<'s>, u32)>,
}

impl Variable {
    /// What an expression means. `None` for all that is not known here.
    pub(super) fn of<'a>(
        expression: gimli::Expression<Slice<'a>>,
        around: &Surroundings<'_, 'a>,
    ) -> Option<Variable> {
        let mut reading = Reading::new(around);
        let mut operations = expression.operations(around.unit.header.encoding());
        let mut pieces: Vec<Piece> = Vec::new();
        let mut count = 0;
        while let Some(operation) = operations.next().ok()? {
            count += 1;
            if count > MAX_STEPS {
                return None;
            }
            let Operation::Piece {
                size_in_bits,
                bit_offset,
            } = operation
            else {
                reading.operation(operation)?;
                continue;
            };
            if bit_offset.is_some() || size_in_bits % 8 != 0 {
                return None;
            }
            let place = std::mem::replace(&mut reading, Reading::new(around)).finish()?;
            pieces.push(Piece {
                size: size_in_bits / 8,
                place,
            });
        }
        if pieces.is_empty() {
            return Some(Variable::Whole(reading.finish()?));
        }
        reading.is_empty().then_some(Variable::Pieces(pieces))
    }

    /// The steps that leave its value, if it is a whole one.
    pub(super) fn into_value(self) -> Option<Steps> {
        match self {
            Variable::Whole(Place::Value(steps)) => Some(steps),
            Variable::Whole(Place::Label(label)) => Some(Steps {
                steps: vec![Step::Label(label)],
                width: None,
            }),
            _ => None,
        }
    }

    /// Its address, if that is always the same.
    pub(super) fn into_address(self) -> Option<i64> {
        let Variable::Whole(Place::Memory(steps)) = self else {
            return None;
        };
        let [Step::Constant(address), added @ ..] = &steps.steps[..] else {
            return None;
        };
        let mut address = *address;
        for step in added {
            let Step::Add(value) = step else {
                return None;
            };
            address = address.checked_add(*value)?;
        }
        i64::try_from(address).ok()
    }
}

impl Place {
    /// How much there is to write.
    pub(super) fn len(&self) -> usize {
        match self {
            Place::Nowhere | Place::Label(_) => 1,
            Place::Value(steps) | Place::Memory(steps) => steps.steps.len(),
            Place::Bytes(bytes) => bytes.len(),
        }
    }
}

impl Steps {
    /// The labels of the values that they push.
    pub(super) fn labels(&self) -> BTreeSet<u32> {
        let labels = self.steps.iter().filter_map(|step| match step {
            Step::Label(label) => Some(*label),
            _ => None,
        });
        labels.collect()
    }

    pub(super) fn reads_memory(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Load(_)))
    }
}

/// The expression of one piece that is being read.
struct Reading<'s, 'a> {
    around: &'s Surroundings<'s, 'a>,
    steps: Steps,
    /// Values on the stack.
    depth: usize,
    /// Whether values have been converted to sizes of their own.
    is_converted: bool,
    /// What the piece is, once that is said: nothing may come after.
    place: Option<Place>,
}

impl<'s, 'a> Reading<'s, 'a> {
    fn new(around: &'s Surroundings<'s, 'a>) -> Reading<'s, 'a> {
        Reading {
            around,
            steps: Steps::default(),
            depth: 0,
            is_converted: false,
            place: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.steps.steps.is_empty() && self.place.is_none()
    }

    fn finish(self) -> Option<Place> {
        if let Some(place) = self.place {
            return Some(place);
        }
        if self.steps.steps.is_empty() {
            return Some(Place::Nowhere);
        }
        (self.depth > 0).then_some(Place::Memory(self.steps))
    }

    /// Adds a step that takes values from the stack and leaves others.
    fn step(&mut self, takes: usize, leaves: usize, step: Step) -> Option<()> {
        self.depth = self.depth.checked_sub(takes)? + leaves;
        self.steps.steps.push(step);
        (self.steps.steps.len() <= MAX_STEPS).then_some(())
    }

    /// Bytes of an address.
    fn address_size(&self) -> u8 {
        self.around.unit.header.address_size()
    }

    /// Adds an operator whose result depends on all bytes of its operands, which are as long as an
    /// address: those of four are extended.
    fn sized(&mut self, op: DwOp, operands: Operands) -> Option<()> {
        if self.is_converted {
            return None;
        }
        self.steps.width = Some(self.address_size());
        let extend = |is_signed| Step::Extend {
            bytes: 4,
            is_signed,
        };
        let swap = Step::Operator(constants::DW_OP_swap);
        let (takes, steps) = match operands {
            Operands::One => (1, vec![extend(true)]),
            Operands::Both => (2, vec![extend(true), swap, extend(true), swap]),
            Operands::Bits => (2, vec![swap, extend(false), swap]),
            Operands::Number => (2, vec![swap, extend(true), swap]),
        };
        if self.address_size() != 8 {
            self.steps.steps.extend(steps);
        }
        self.step(takes, 1, Step::Operator(op))
    }

    /// Pushes an address of data; `None` for the one that linkers give what they have left out.
    fn address(&mut self, address: u64) -> Option<()> {
        let bits = 8 * u32::from(self.address_size().min(8));
        let left_out = u64::MAX.checked_shr(64 - bits)?;
        (address != left_out).then_some(())?;
        self.step(0, 1, Step::Constant(address))
    }

    fn operation(&mut self, operation: Operation<Slice<'a>>) -> Option<()> {
        if self.place.is_some() {
            return None;
        }
        let op = Step::Operator;
        match operation {
            Operation::Nop => Some(()),
            // The labels of locals are their indices; those of other values come after.
            Operation::WasmLocal { index } if index < label::CONTEXT => {
                self.step(0, 1, Step::Label(index))
            }
            Operation::WasmStack { index } => {
                let (places, before) = self.around.place?;
                self.step(0, 1, Step::Label(places.operand(index, before)?))
            }
            Operation::FrameOffset { offset } => {
                let base = self.around.frame_base?;
                self.steps.steps.extend(&base.steps);
                self.steps.width = self.steps.width.or(base.width);
                self.step(0, 1, Step::Add(offset as u64))
            }
            Operation::Address { address } => self.address(address),
            Operation::AddressIndex { index } => {
                let Surroundings { sections, unit, .. } = self.around;
                self.address(sections.address(unit, index).ok()?)
            }
            Operation::ConstantIndex { index } => {
                let Surroundings { sections, unit, .. } = self.around;
                let value = sections.address(unit, index).ok()?;
                self.step(0, 1, Step::Constant(value))
            }
            Operation::UnsignedConstant { value } => self.step(0, 1, Step::Constant(value)),
            Operation::SignedConstant { value } => self.step(0, 1, Step::Constant(value as u64)),
            Operation::PlusConstant { value } => self.step(1, 1, Step::Add(value)),
            Operation::Pick { index } => {
                let picked = usize::from(index) + 1;
                self.step(picked, picked + 1, Step::Pick(index))
            }
            Operation::Drop => self.step(1, 0, op(constants::DW_OP_drop)),
            Operation::Swap => self.step(2, 2, op(constants::DW_OP_swap)),
            Operation::Rot => self.step(3, 3, op(constants::DW_OP_rot)),
            Operation::And => self.step(2, 1, op(constants::DW_OP_and)),
            Operation::Or => self.step(2, 1, op(constants::DW_OP_or)),
            Operation::Xor => self.step(2, 1, op(constants::DW_OP_xor)),
            Operation::Plus => self.step(2, 1, op(constants::DW_OP_plus)),
            Operation::Minus => self.step(2, 1, op(constants::DW_OP_minus)),
            Operation::Mul => self.step(2, 1, op(constants::DW_OP_mul)),
            Operation::Shl => self.step(2, 1, op(constants::DW_OP_shl)),
            Operation::Neg => self.step(1, 1, op(constants::DW_OP_neg)),
            Operation::Not => self.step(1, 1, op(constants::DW_OP_not)),
            Operation::Abs => self.sized(constants::DW_OP_abs, Operands::One),
            Operation::Div => self.sized(constants::DW_OP_div, Operands::Both),
            Operation::Eq => self.sized(constants::DW_OP_eq, Operands::Both),
            Operation::Ne => self.sized(constants::DW_OP_ne, Operands::Both),
            Operation::Ge => self.sized(constants::DW_OP_ge, Operands::Both),
            Operation::Gt => self.sized(constants::DW_OP_gt, Operands::Both),
            Operation::Le => self.sized(constants::DW_OP_le, Operands::Both),
            Operation::Lt => self.sized(constants::DW_OP_lt, Operands::Both),
            Operation::Shr => self.sized(constants::DW_OP_shr, Operands::Bits),
            Operation::Shra => self.sized(constants::DW_OP_shra, Operands::Number),
            Operation::Deref {
                base_type: UnitOffset(0),
                size,
                space: false,
            } if matches!(size, 1 | 2 | 4 | 8) => self.step(1, 1, Step::Load(size)),
            Operation::Convert { base_type } => {
                let extend = self.conversion(base_type)?;
                self.is_converted = true;
                self.step(1, 1, extend)
            }
            Operation::StackValue => {
                let steps = std::mem::take(&mut self.steps);
                self.place = Some(match steps.steps[..] {
                    [] => return None,
                    [Step::Label(label)] => Place::Label(label),
                    _ if self.depth == 0 => return None,
                    _ => Place::Value(steps),
                });
                Some(())
            }
            Operation::ImplicitValue { data } if self.steps.steps.is_empty() => {
                self.place = Some(Place::Bytes(data.slice().to_vec()));
                Some(())
            }
            _ => None,
        }
    }

    /// The step that makes a value one of an integer type.
    fn conversion(&self, base_type: UnitOffset) -> Option<Step> {
        // The generic type is as long as an address.
        if base_type == UnitOffset(0) {
            return Some(Step::Extend {
                bytes: self.address_size(),
                is_signed: false,
            });
        }
        let entry = self.around.unit.entry(base_type).ok()?;
        if entry.tag() != constants::DW_TAG_base_type {
            return None;
        }
        let size = entry.attr_value(constants::DW_AT_byte_size)?;
        let is_signed = match entry.attr_value(constants::DW_AT_encoding)? {
            gimli::AttributeValue::Encoding(
                constants::DW_ATE_signed | constants::DW_ATE_signed_char,
            ) => true,
            gimli::AttributeValue::Encoding(
                constants::DW_ATE_unsigned
                | constants::DW_ATE_unsigned_char
                | constants::DW_ATE_boolean,
            ) => false,
            _ => return None,
        };
        let bytes = u8::try_from(size.udata_value()?).ok()?;
        matches!(bytes, 1 | 2 | 4 | 8).then_some(Step::Extend { bytes, is_signed })
    }
}

/// Which operands of an operator are extended, and those with a sign but for `Bits`.
enum Operands {
    One,
    Both,
    /// The lower one, whose bits are shifted.
    Bits,
    /// The lower one, which is shifted as a number with a sign.
    Number,
}

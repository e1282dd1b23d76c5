//! Replaces instructions by cheaper ones, where Cranelift's own rules do not.
//!
//! Runs after Cranelift's optimisations, some of which go the other way.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8, I8X16, I16, I32, I64};
use cranelift_codegen::ir::{
    ConstantData, Endianness, Function, Immediate, Inst, InstBuilder, InstructionData,
    MemFlagsData, Opcode, Type, Value, ValueDef,
};

/// How many operands, each of the next, are looked at to know the bits of a value.
const MAX_DEPTH: u32 = 4;
/// What a swizzle gives zero for.
const ZERO_LANE: u8 = 0x80;

/// Improves the instructions of `func`.
///
/// `swizzle` is what [`isa::swizzle`](crate::isa::swizzle) says.
/// Answers whether it leaves aliases.
pub(super) fn improve(func: &mut Function, swizzle: Option<Opcode>) -> bool {
    let tested = tested(func);
    let mut improver = Improver {
        func,
        swizzle,
        tested,
        leaves_aliases: false,
    };
    let mut next_block = improver.func.layout.entry_block();
    while let Some(block) = next_block {
        let mut next = improver.func.layout.first_inst(block);
        while let Some(inst) = next {
            next = improver.func.layout.next_inst(inst);
            improver.improve(inst);
        }
        next_block = improver.func.layout.next_block(block);
    }
    improver.leaves_aliases
}

/// The values that are compared with zero: a comparison and the `band` before it are one
/// instruction.
fn tested(func: &Function) -> EntitySet<Value> {
    let mut tested = EntitySet::new();
    for block in func.layout.blocks() {
        for inst in func.layout.block_insts(block) {
            match func.dfg.insts[inst] {
                InstructionData::IntCompare { args, .. } if is_zero(func, args[1]) => {
                    tested.insert(args[0]);
                }
                InstructionData::Brif { arg, .. } => {
                    tested.insert(arg);
                }
                InstructionData::Ternary {
                    opcode: Opcode::Select,
                    args,
                } => {
                    tested.insert(args[0]);
                }
                _ => {}
            }
        }
    }
    tested
}

fn is_zero(func: &Function, value: Value) -> bool {
    constant(func, value) == Some(0)
}

/// The value of a number, if it is a constant.
fn constant(func: &Function, value: Value) -> Option<u64> {
    let inst = func.dfg.value_def(value).inst()?;
    match func.dfg.insts[inst] {
        InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } => Some(imm.bits() as u64 & mask(func.dfg.value_type(value))),
        _ => None,
    }
}

/// All bits of a number of this type.
fn mask(ty: Type) -> u64 {
    u64::MAX >> (64 - ty.bits().min(64))
}

/// The bits of a number that may be other than zero.
fn possible_bits(func: &Function, value: Value, depth: u32) -> u64 {
    let all = mask(func.dfg.value_type(value));
    let (Some(depth), ValueDef::Result(inst, _)) =
        (depth.checked_sub(1), func.dfg.value_def(value))
    else {
        return all;
    };
    let of = |value| possible_bits(func, value, depth);
    match func.dfg.insts[inst] {
        InstructionData::UnaryImm { .. } => constant(func, value).unwrap_or(all),
        InstructionData::IntCompare { .. } | InstructionData::FloatCompare { .. } => all & 1,
        InstructionData::Unary {
            opcode: Opcode::Uextend,
            arg,
        } => of(arg),
        InstructionData::Binary {
            opcode: Opcode::Band,
            args: [a, b],
        } => of(a) & of(b),
        InstructionData::Binary {
            opcode: Opcode::Bor | Opcode::Bxor,
            args: [a, b],
        } => of(a) | of(b),
        InstructionData::Load {
            opcode: Opcode::Uload8,
            ..
        } => 0xff,
        InstructionData::Load {
            opcode: Opcode::Uload16,
            ..
        } => 0xffff,
        _ => all,
    }
}

/// The order of two numbers, as a number.
struct Order {
    a: Value,
    b: Value,
    /// The condition for 1.
    greater: IntCC,
    /// The number for less.
    less: u64,
}

struct Improver<'f> {
    func: &'f mut Function,
    swizzle: Option<Opcode>,
    tested: EntitySet<Value>,
    leaves_aliases: bool,
}

impl Improver<'_> {
    fn improve(&mut self, inst: Inst) {
        match self.func.dfg.insts[inst] {
            InstructionData::Binary {
                opcode: Opcode::Band,
                args: [a, b],
            } => self.band(inst, a, b),
            InstructionData::Binary {
                opcode: Opcode::Ishl | Opcode::Ushr | Opcode::Sshr | Opcode::Rotl | Opcode::Rotr,
                args: [value, amount],
            } => self.shift(inst, value, amount),
            InstructionData::Store {
                opcode: Opcode::Store,
                args: [value, _],
                ..
            } => self.store(inst, value),
            InstructionData::IntCompare { cond, args, .. } => self.compare(inst, cond, args),
            InstructionData::Brif { arg, .. } => {
                if let Some(order) = self.order(arg) {
                    let mut cursor = FuncCursor::new(self.func).at_inst(inst);
                    let differ = cursor.ins().icmp(IntCC::NotEqual, order.a, order.b);
                    self.func.dfg.inst_args_mut(inst)[0] = differ;
                }
            }
            InstructionData::Shuffle { args, imm, .. } => {
                if let Some(swizzle) = self.swizzle {
                    self.shuffle(inst, args, imm, swizzle);
                }
            }
            _ => {}
        }
    }

    /// A mask of bits that are zero anyway does nothing, and one of the lowest 8 or 16 bits is an
    /// extension, which needs no copy of its operand before it.
    fn band(&mut self, inst: Inst, a: Value, b: Value) {
        let result = self.func.dfg.first_result(inst);
        let ty = self.func.dfg.value_type(result);
        if ty != I32 && ty != I64 {
            return;
        }
        let (operand, bits) = match (constant(self.func, a), constant(self.func, b)) {
            (None, Some(bits)) => (a, bits),
            (Some(bits), None) => (b, bits),
            _ => return,
        };
        if possible_bits(self.func, operand, MAX_DEPTH) & !bits == 0 {
            self.replace(inst, operand);
            return;
        }
        let narrow = match bits {
            0xff => I8,
            0xffff => I16,
            _ => return,
        };
        if !self.tested.contains(result) {
            let mut cursor = FuncCursor::new(self.func).at_inst(inst);
            let lowest = cursor.ins().ireduce(narrow, operand);
            self.func.dfg.insts[inst] = InstructionData::Unary {
                opcode: Opcode::Uextend,
                arg: lowest,
            };
        }
    }

    /// What an order is compared with says which comparison it is: of -1, 0 and 1, only 1 means
    /// that one operand is greater than the other.
    fn compare(&mut self, inst: Inst, condition: IntCC, args: [Value; 2]) {
        let (Some(order), Some(number)) = (self.order(args[0]), constant(self.func, args[1]))
        else {
            return;
        };
        let is = match number {
            0 => IntCC::Equal,
            1 => order.greater,
            number if number == order.less => order.greater.swap_args(),
            _ => return,
        };
        let condition = match condition {
            IntCC::Equal => is,
            IntCC::NotEqual => is.complement(),
            _ => return,
        };
        self.func.dfg.insts[inst] = InstructionData::IntCompare {
            opcode: Opcode::Icmp,
            args: [order.a, order.b],
            cond: condition,
        };
    }

    /// What a value compares, if it is `(a > b) - (a < b)`, maybe with only the lowest 8 bits.
    fn order(&self, value: Value) -> Option<Order> {
        let dfg = &self.func.dfg;
        let (difference, less) = match dfg.insts[dfg.value_def(value).inst()?] {
            InstructionData::Binary {
                opcode: Opcode::Band,
                args: [difference, bits],
            } if constant(self.func, bits) == Some(0xff) => (difference, 0xff),
            // What `band` makes of it.
            InstructionData::Unary {
                opcode: Opcode::Uextend,
                arg,
            } if dfg.value_type(arg) == I8 => match dfg.insts[dfg.value_def(arg).inst()?] {
                InstructionData::Unary {
                    opcode: Opcode::Ireduce,
                    arg,
                } => (arg, 0xff),
                _ => return None,
            },
            _ => (value, mask(dfg.value_type(value))),
        };
        let InstructionData::Binary {
            opcode: Opcode::Isub,
            args,
        } = dfg.insts[dfg.value_def(difference).inst()?]
        else {
            return None;
        };
        let [Some((greater, [a, b])), Some((other, others))] = args.map(|arg| self.compared(arg))
        else {
            return None;
        };
        let is_strict = matches!(
            greater,
            IntCC::SignedGreaterThan
                | IntCC::SignedLessThan
                | IntCC::UnsignedGreaterThan
                | IntCC::UnsignedLessThan
        );
        let is_reverse = match others {
            others if others == [a, b] => other == greater.swap_args(),
            others if others == [b, a] => other == greater,
            _ => false,
        };
        (is_strict && is_reverse).then_some(Order {
            a,
            b,
            greater,
            less,
        })
    }

    /// The condition and the operands of a comparison, extended or not.
    fn compared(&self, value: Value) -> Option<(IntCC, [Value; 2])> {
        let dfg = &self.func.dfg;
        match dfg.insts[dfg.value_def(value).inst()?] {
            InstructionData::Unary {
                opcode: Opcode::Uextend,
                arg,
            } => self.compared(arg),
            InstructionData::IntCompare { cond, args, .. } => {
                Some((cond, args.map(|arg| dfg.resolve_aliases(arg))))
            }
            _ => None,
        }
    }

    /// Only the lowest bits of the amount of a shift count.
    fn shift(&mut self, inst: Inst, value: Value, amount: Value) {
        let ty = self.func.dfg.value_type(value);
        if ty != I32 && ty != I64 {
            return;
        }
        let used = u64::from(ty.bits()) - 1;
        let ValueDef::Result(mask, _) = self.func.dfg.value_def(amount) else {
            return;
        };
        let InstructionData::Binary {
            opcode: Opcode::Band,
            args: [a, b],
        } = self.func.dfg.insts[mask]
        else {
            return;
        };
        let is_superfluous = |bits: Option<u64>| bits.is_some_and(|bits| bits & used == used);
        let amount = match (constant(self.func, a), constant(self.func, b)) {
            (None, bits) if is_superfluous(bits) => a,
            (bits, None) if is_superfluous(bits) => b,
            _ => return,
        };
        self.func.dfg.inst_args_mut(inst)[1] = amount;
    }

    /// The first lane of a vector is stored by a simpler instruction if it is a float.
    fn store(&mut self, inst: Inst, value: Value) {
        let dfg = &mut self.func.dfg;
        let Some(extract) = dfg.value_def(value).inst() else {
            return;
        };
        let InstructionData::BinaryImm8 {
            opcode: Opcode::Extractlane,
            arg: vector,
            imm: 0,
        } = dfg.insts[extract]
        else {
            return;
        };
        let lanes = match dfg.value_type(value) {
            I32 => F32X4,
            I64 => F64X2,
            _ => return,
        };
        let mut cursor = FuncCursor::new(self.func).at_inst(inst);
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        let floats = cursor.ins().bitcast(lanes, flags, vector);
        let float = cursor.ins().extractlane(floats, 0);
        cursor.func.dfg.inst_args_mut(inst)[0] = float;
    }

    /// If one operand of a shuffle is zero, it needs only one instruction, for the other operand.
    fn shuffle(&mut self, inst: Inst, args: [Value; 2], imm: Immediate, swizzle: Opcode) {
        let zero = match args.map(|arg| self.is_zero_vector(arg)) {
            [false, true] => 1,
            [true, false] => 0,
            _ => return,
        };
        let dfg = &mut self.func.dfg;
        let lanes = dfg.immediates[imm].as_slice();
        if is_single_shuffle(lanes) {
            return;
        }
        let lanes: Vec<u8> = lanes
            .iter()
            .map(|lane| match usize::from(lane / 16) == zero {
                true => ZERO_LANE,
                false => lane % 16,
            })
            .collect();
        let ValueDef::Result(place, _) = dfg.value_def(args[zero]) else {
            return;
        };
        let lanes = dfg.constants.insert(ConstantData::from(&lanes[..]));
        // Where the zeros are: before a loop, usually.
        let mut cursor = FuncCursor::new(self.func).after_inst(place);
        let lanes = cursor.ins().vconst(I8X16, lanes);
        self.func.dfg.insts[inst] = InstructionData::Binary {
            opcode: swizzle,
            args: [args[1 - zero], lanes],
        };
    }

    /// Removes an instruction, whose result is `value`.
    fn replace(&mut self, inst: Inst, value: Value) {
        let dfg = &mut self.func.dfg;
        let result = dfg.first_result(inst);
        dfg.clear_results(inst);
        dfg.change_to_alias(result, value);
        self.func.layout.remove_inst(inst);
        self.leaves_aliases = true;
    }

    fn is_zero_vector(&self, value: Value) -> bool {
        let dfg = &self.func.dfg;
        let mut value = value;
        while let Some(inst) = dfg.value_def(value).inst() {
            match dfg.insts[inst] {
                InstructionData::UnaryConst {
                    opcode: Opcode::Vconst,
                    constant_handle,
                } => {
                    return dfg
                        .constants
                        .get(constant_handle)
                        .iter()
                        .all(|byte| *byte == 0);
                }
                InstructionData::LoadNoOffset {
                    opcode: Opcode::Bitcast,
                    arg,
                    ..
                } => value = arg,
                _ => return false,
            }
        }
        false
    }
}

/// Whether Cranelift has an instruction for these lanes of two vectors: one that takes whole words,
/// or that moves or interleaves bytes.
fn is_single_shuffle(lanes: &[u8]) -> bool {
    let pairs = || lanes.chunks(2).enumerate();
    let are_words = pairs().all(|(_, pair)| pair[0] % 2 == 0 && pair[0] + 1 == pair[1]);
    let are_moved = lanes.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let are_interleaved = [0, 8].into_iter().any(|first| {
        pairs().all(|(place, pair)| {
            let lane = (first + place) as u8;
            pair[0] % 16 == lane && pair[1] % 16 == lane
        })
    });
    are_words || are_moved || are_interleaved
}

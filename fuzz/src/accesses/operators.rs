//! All loads and stores, and how their values become numbers.

use wasm_encoder::{Function, Instruction as I, MemArg};

use crate::program::Proposals;
use crate::rng::Rng;
use crate::value::Type;

/// An instruction that uses a memory.
#[derive(Clone, Copy)]
pub(super) struct Operator {
    pub(super) instruction: fn(MemArg) -> I<'static>,
    pub(super) kind: Kind,
    /// Bytes that it reads or writes.
    pub(super) size: u64,
    /// Log2 of the alignment that it says it has.
    pub(super) align: u32,
}

/// Its operands besides the address, and its result.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Load(Type),
    Store(Type),
    /// Takes a value and gives one.
    Change(Type),
}

const fn operator(instruction: fn(MemArg) -> I<'static>, kind: Kind, size: u64) -> Operator {
    Operator {
        instruction,
        kind,
        size,
        align: 0,
    }
}

/// Atomic accesses must say their own size.
const fn atomic(instruction: fn(MemArg) -> I<'static>, kind: Kind, size: u64) -> Operator {
    Operator {
        align: size.ilog2(),
        ..operator(instruction, kind, size)
    }
}

const OPERATORS: &[Operator] = &[
    operator(I::I32Load, Kind::Load(Type::I32), 4),
    operator(I::I64Load, Kind::Load(Type::I64), 8),
    operator(I::F32Load, Kind::Load(Type::F32), 4),
    operator(I::F64Load, Kind::Load(Type::F64), 8),
    operator(I::I32Load8S, Kind::Load(Type::I32), 1),
    operator(I::I32Load8U, Kind::Load(Type::I32), 1),
    operator(I::I32Load16S, Kind::Load(Type::I32), 2),
    operator(I::I32Load16U, Kind::Load(Type::I32), 2),
    operator(I::I64Load8S, Kind::Load(Type::I64), 1),
    operator(I::I64Load8U, Kind::Load(Type::I64), 1),
    operator(I::I64Load16S, Kind::Load(Type::I64), 2),
    operator(I::I64Load16U, Kind::Load(Type::I64), 2),
    operator(I::I64Load32S, Kind::Load(Type::I64), 4),
    operator(I::I64Load32U, Kind::Load(Type::I64), 4),
    operator(I::I32Store, Kind::Store(Type::I32), 4),
    operator(I::I64Store, Kind::Store(Type::I64), 8),
    operator(I::F32Store, Kind::Store(Type::F32), 4),
    operator(I::F64Store, Kind::Store(Type::F64), 8),
    operator(I::I32Store8, Kind::Store(Type::I32), 1),
    operator(I::I32Store16, Kind::Store(Type::I32), 2),
    operator(I::I64Store8, Kind::Store(Type::I64), 1),
    operator(I::I64Store16, Kind::Store(Type::I64), 2),
    operator(I::I64Store32, Kind::Store(Type::I64), 4),
];

const VECTORS: &[Operator] = &[
    operator(I::V128Load, Kind::Load(Type::V128), 16),
    operator(I::V128Load8x8S, Kind::Load(Type::V128), 8),
    operator(I::V128Load8x8U, Kind::Load(Type::V128), 8),
    operator(I::V128Load16x4S, Kind::Load(Type::V128), 8),
    operator(I::V128Load16x4U, Kind::Load(Type::V128), 8),
    operator(I::V128Load32x2S, Kind::Load(Type::V128), 8),
    operator(I::V128Load32x2U, Kind::Load(Type::V128), 8),
    operator(I::V128Load8Splat, Kind::Load(Type::V128), 1),
    operator(I::V128Load16Splat, Kind::Load(Type::V128), 2),
    operator(I::V128Load32Splat, Kind::Load(Type::V128), 4),
    operator(I::V128Load64Splat, Kind::Load(Type::V128), 8),
    operator(I::V128Load32Zero, Kind::Load(Type::V128), 4),
    operator(I::V128Load64Zero, Kind::Load(Type::V128), 8),
    operator(I::V128Store, Kind::Store(Type::V128), 16),
    operator(
        |memarg| I::V128Load8Lane { memarg, lane: 15 },
        Kind::Change(Type::V128),
        1,
    ),
    operator(
        |memarg| I::V128Load16Lane { memarg, lane: 7 },
        Kind::Change(Type::V128),
        2,
    ),
    operator(
        |memarg| I::V128Load32Lane { memarg, lane: 1 },
        Kind::Change(Type::V128),
        4,
    ),
    operator(
        |memarg| I::V128Load64Lane { memarg, lane: 0 },
        Kind::Change(Type::V128),
        8,
    ),
    operator(
        |memarg| I::V128Store8Lane { memarg, lane: 0 },
        Kind::Store(Type::V128),
        1,
    ),
    operator(
        |memarg| I::V128Store16Lane { memarg, lane: 3 },
        Kind::Store(Type::V128),
        2,
    ),
    operator(
        |memarg| I::V128Store32Lane { memarg, lane: 3 },
        Kind::Store(Type::V128),
        4,
    ),
    operator(
        |memarg| I::V128Store64Lane { memarg, lane: 1 },
        Kind::Store(Type::V128),
        8,
    ),
];

const ATOMICS: &[Operator] = &[
    atomic(I::I32AtomicLoad, Kind::Load(Type::I32), 4),
    atomic(I::I64AtomicLoad, Kind::Load(Type::I64), 8),
    atomic(I::I64AtomicLoad16U, Kind::Load(Type::I64), 2),
    atomic(I::I32AtomicStore, Kind::Store(Type::I32), 4),
    atomic(I::I64AtomicStore8, Kind::Store(Type::I64), 1),
    atomic(I::I64AtomicStore, Kind::Store(Type::I64), 8),
    atomic(I::I32AtomicRmwAdd, Kind::Change(Type::I32), 4),
    atomic(I::I32AtomicRmw16XorU, Kind::Change(Type::I32), 2),
    atomic(I::I64AtomicRmwXchg, Kind::Change(Type::I64), 8),
    atomic(I::I64AtomicRmw32AndU, Kind::Change(Type::I64), 4),
];

/// One of the instructions, plain ones most often.
pub(super) fn pick(rng: &mut Rng, proposals: Proposals) -> Operator {
    match rng.below(16) {
        0 if proposals != Proposals::Common => rng.pick(ATOMICS),
        1..4 => rng.pick(VECTORS),
        _ => rng.pick(OPERATORS),
    }
}

/// Makes an i64 of the loaded value on the stack, sometimes by an operator that can take its
/// operand from memory. No bits of a NaN that was calculated get into it.
pub(super) fn consume(ty: Type, rng: &mut Rng, code: &mut Function) {
    let absorbs = rng.one_in(2);
    match (ty, absorbs) {
        (Type::I32, true) => {
            code.instruction(&I::LocalGet(0)).instruction(&I::I32Add);
            code.instruction(&I::I64ExtendI32U);
        }
        (Type::I32, false) => {
            code.instruction(&I::I64ExtendI32U);
        }
        (Type::I64, true) => {
            code.instruction(&I::LocalGet(2)).instruction(&I::I64Sub);
        }
        (Type::F32, true) => {
            code.instruction(&I::F32Const(1.5.into()))
                .instruction(&I::F32Mul);
            code.instruction(&I::F32Const(2.5.into()))
                .instruction(&I::F32Lt);
            code.instruction(&I::I64ExtendI32U);
        }
        (Type::F32, false) => {
            code.instruction(&I::I32ReinterpretF32)
                .instruction(&I::I64ExtendI32U);
        }
        (Type::F64, true) => {
            code.instruction(&I::F64Sqrt)
                .instruction(&I::I64TruncSatF64S);
        }
        (Type::F64, false) => {
            code.instruction(&I::I64ReinterpretF64);
        }
        (Type::V128, absorbs) => {
            if absorbs {
                let operators = [
                    I::I32x4Add,
                    I::I8x16MinU,
                    I::I16x8Mul,
                    I::V128Xor,
                    I::I64x2Sub,
                ];
                let operator = &operators[rng.below(operators.len() as u64) as usize];
                code.instruction(&I::LocalGet(2))
                    .instruction(&I::I64x2Splat);
                code.instruction(operator);
            }
            let lane = rng.below(2) as u8;
            code.instruction(&I::I64x2ExtractLane(lane));
        }
        (Type::I64 | Type::Func | Type::Extern | Type::Exn, _) => {}
    }
}

/// Makes a value of the digest, to be stored.
pub(super) fn produce(ty: Type, digest: u32, code: &mut Function) {
    code.instruction(&I::LocalGet(digest));
    let conversion: &[I<'_>] = match ty {
        Type::I32 => &[I::I32WrapI64],
        Type::F32 => &[I::I32WrapI64, I::F32ReinterpretI32],
        Type::F64 => &[I::F64ReinterpretI64],
        Type::V128 => &[I::I64x2Splat],
        Type::I64 | Type::Func | Type::Extern | Type::Exn => &[],
    };
    for instruction in conversion {
        code.instruction(instruction);
    }
}

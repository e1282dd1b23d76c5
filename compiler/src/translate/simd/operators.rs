//! The translation of each vector operator: one arm each.

use cranelift_codegen::ir::Opcode;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cwasm_format::builtin::Builtin;
use wasmparser::Operator;

use super::Translator;
use super::integer::{SIGNED, UNSIGNED};
use crate::env::ConstValue;
use crate::error::Result;

impl Translator<'_, '_> {
    /// Translates an operator on vectors that has been validated.
    pub(in crate::translate) fn vector_operator(
        &mut self,
        op: &Operator<'_>,
        offset: u64,
    ) -> Result<()> {
        match op {
            Operator::V128Const { value } => {
                self.constant(ConstValue::V128(u128::from_le_bytes(*value.bytes())));
            }

            Operator::V128Load { memarg } => self.vector_load(memarg, Opcode::Load, I8X16),
            Operator::V128Load8x8S { memarg } => self.vector_load(memarg, Opcode::Sload8x8, I16X8),
            Operator::V128Load8x8U { memarg } => self.vector_load(memarg, Opcode::Uload8x8, I16X8),
            Operator::V128Load16x4S { memarg } => {
                self.vector_load(memarg, Opcode::Sload16x4, I32X4)
            }
            Operator::V128Load16x4U { memarg } => {
                self.vector_load(memarg, Opcode::Uload16x4, I32X4)
            }
            Operator::V128Load32x2S { memarg } => {
                self.vector_load(memarg, Opcode::Sload32x2, I64X2)
            }
            Operator::V128Load32x2U { memarg } => {
                self.vector_load(memarg, Opcode::Uload32x2, I64X2)
            }
            Operator::V128Load8Splat { memarg } => self.load_splat(memarg, I8X16),
            Operator::V128Load16Splat { memarg } => self.load_splat(memarg, I16X8),
            Operator::V128Load32Splat { memarg } => self.load_splat(memarg, I32X4),
            Operator::V128Load64Splat { memarg } => self.load_splat(memarg, I64X2),
            Operator::V128Load32Zero { memarg } => self.load_zero(memarg, I32X4),
            Operator::V128Load64Zero { memarg } => self.load_zero(memarg, I64X2),
            Operator::V128Load8Lane { memarg, lane } => self.load_lane(memarg, I8X16, *lane),
            Operator::V128Load16Lane { memarg, lane } => self.load_lane(memarg, I16X8, *lane),
            Operator::V128Load32Lane { memarg, lane } => self.load_lane(memarg, I32X4, *lane),
            Operator::V128Load64Lane { memarg, lane } => self.load_lane(memarg, I64X2, *lane),
            Operator::V128Store { memarg } => self.vector_store(memarg),
            Operator::V128Store8Lane { memarg, lane } => self.store_lane(memarg, I8X16, *lane),
            Operator::V128Store16Lane { memarg, lane } => self.store_lane(memarg, I16X8, *lane),
            Operator::V128Store32Lane { memarg, lane } => self.store_lane(memarg, I32X4, *lane),
            Operator::V128Store64Lane { memarg, lane } => self.store_lane(memarg, I64X2, *lane),

            Operator::I8x16Splat => self.splat_narrow(I8X16),
            Operator::I16x8Splat => self.splat_narrow(I16X8),
            Operator::I32x4Splat => self.splat(I32X4),
            Operator::I64x2Splat => self.splat(I64X2),
            Operator::F32x4Splat => self.splat(F32X4),
            Operator::F64x2Splat => self.splat(F64X2),
            Operator::I8x16ExtractLaneS { lane } => {
                self.extract_narrow(I8X16, *lane, Opcode::Sextend);
            }
            Operator::I8x16ExtractLaneU { lane } => {
                self.extract_narrow(I8X16, *lane, Opcode::Uextend);
            }
            Operator::I16x8ExtractLaneS { lane } => {
                self.extract_narrow(I16X8, *lane, Opcode::Sextend);
            }
            Operator::I16x8ExtractLaneU { lane } => {
                self.extract_narrow(I16X8, *lane, Opcode::Uextend);
            }
            Operator::I32x4ExtractLane { lane } => self.extract(I32X4, *lane),
            Operator::I64x2ExtractLane { lane } => self.extract(I64X2, *lane),
            Operator::F32x4ExtractLane { lane } => self.extract(F32X4, *lane),
            Operator::F64x2ExtractLane { lane } => self.extract(F64X2, *lane),
            Operator::I8x16ReplaceLane { lane } => self.replace_narrow(I8X16, *lane),
            Operator::I16x8ReplaceLane { lane } => self.replace_narrow(I16X8, *lane),
            Operator::I32x4ReplaceLane { lane } => self.replace(I32X4, *lane),
            Operator::I64x2ReplaceLane { lane } => self.replace(I64X2, *lane),
            Operator::F32x4ReplaceLane { lane } => self.replace(F32X4, *lane),
            Operator::F64x2ReplaceLane { lane } => self.replace(F64X2, *lane),
            Operator::I8x16Shuffle { lanes } => self.shuffle(lanes),
            // `relaxed` says which results the relaxed operators of this list choose.
            Operator::I8x16Swizzle | Operator::I8x16RelaxedSwizzle => self.swizzle(),

            Operator::V128Not => self.vector_unary(Opcode::Bnot, I8X16),
            Operator::V128And => self.vector_binary(Opcode::Band, I8X16),
            Operator::V128AndNot => self.and_not(),
            Operator::V128Or => self.vector_binary(Opcode::Bor, I8X16),
            Operator::V128Xor => self.vector_binary(Opcode::Bxor, I8X16),
            Operator::V128Bitselect
            | Operator::I8x16RelaxedLaneselect
            | Operator::I16x8RelaxedLaneselect
            | Operator::I32x4RelaxedLaneselect
            | Operator::I64x2RelaxedLaneselect => self.bitselect(),
            Operator::V128AnyTrue => self.any_true(),
            Operator::I8x16AllTrue => self.all_true(I8X16),
            Operator::I16x8AllTrue => self.all_true(I16X8),
            Operator::I32x4AllTrue => self.all_true(I32X4),
            Operator::I64x2AllTrue => self.all_true(I64X2),
            Operator::I8x16Bitmask => self.bitmask(I8X16),
            Operator::I16x8Bitmask => self.bitmask(I16X8),
            Operator::I32x4Bitmask => self.bitmask(I32X4),
            Operator::I64x2Bitmask => self.bitmask(I64X2),

            Operator::I8x16Eq => self.vector_int_compare(IntCC::Equal, I8X16),
            Operator::I16x8Eq => self.vector_int_compare(IntCC::Equal, I16X8),
            Operator::I32x4Eq => self.vector_int_compare(IntCC::Equal, I32X4),
            Operator::I64x2Eq => self.vector_int_compare(IntCC::Equal, I64X2),
            Operator::I8x16Ne => self.vector_int_compare(IntCC::NotEqual, I8X16),
            Operator::I16x8Ne => self.vector_int_compare(IntCC::NotEqual, I16X8),
            Operator::I32x4Ne => self.vector_int_compare(IntCC::NotEqual, I32X4),
            Operator::I64x2Ne => self.vector_int_compare(IntCC::NotEqual, I64X2),
            Operator::I8x16LtS => self.vector_int_compare(IntCC::SignedLessThan, I8X16),
            Operator::I16x8LtS => self.vector_int_compare(IntCC::SignedLessThan, I16X8),
            Operator::I32x4LtS => self.vector_int_compare(IntCC::SignedLessThan, I32X4),
            Operator::I64x2LtS => self.vector_int_compare(IntCC::SignedLessThan, I64X2),
            Operator::I8x16LtU => self.vector_int_compare(IntCC::UnsignedLessThan, I8X16),
            Operator::I16x8LtU => self.vector_int_compare(IntCC::UnsignedLessThan, I16X8),
            Operator::I32x4LtU => self.vector_int_compare(IntCC::UnsignedLessThan, I32X4),
            Operator::I8x16GtS => self.vector_int_compare(IntCC::SignedGreaterThan, I8X16),
            Operator::I16x8GtS => self.vector_int_compare(IntCC::SignedGreaterThan, I16X8),
            Operator::I32x4GtS => self.vector_int_compare(IntCC::SignedGreaterThan, I32X4),
            Operator::I64x2GtS => self.vector_int_compare(IntCC::SignedGreaterThan, I64X2),
            Operator::I8x16GtU => self.vector_int_compare(IntCC::UnsignedGreaterThan, I8X16),
            Operator::I16x8GtU => self.vector_int_compare(IntCC::UnsignedGreaterThan, I16X8),
            Operator::I32x4GtU => self.vector_int_compare(IntCC::UnsignedGreaterThan, I32X4),
            Operator::I8x16LeS => self.vector_int_compare(IntCC::SignedLessThanOrEqual, I8X16),
            Operator::I16x8LeS => self.vector_int_compare(IntCC::SignedLessThanOrEqual, I16X8),
            Operator::I32x4LeS => self.vector_int_compare(IntCC::SignedLessThanOrEqual, I32X4),
            Operator::I64x2LeS => self.vector_int_compare(IntCC::SignedLessThanOrEqual, I64X2),
            Operator::I8x16LeU => self.vector_int_compare(IntCC::UnsignedLessThanOrEqual, I8X16),
            Operator::I16x8LeU => self.vector_int_compare(IntCC::UnsignedLessThanOrEqual, I16X8),
            Operator::I32x4LeU => self.vector_int_compare(IntCC::UnsignedLessThanOrEqual, I32X4),
            Operator::I8x16GeS => self.vector_int_compare(IntCC::SignedGreaterThanOrEqual, I8X16),
            Operator::I16x8GeS => self.vector_int_compare(IntCC::SignedGreaterThanOrEqual, I16X8),
            Operator::I32x4GeS => self.vector_int_compare(IntCC::SignedGreaterThanOrEqual, I32X4),
            Operator::I64x2GeS => self.vector_int_compare(IntCC::SignedGreaterThanOrEqual, I64X2),
            Operator::I8x16GeU => self.vector_int_compare(IntCC::UnsignedGreaterThanOrEqual, I8X16),
            Operator::I16x8GeU => self.vector_int_compare(IntCC::UnsignedGreaterThanOrEqual, I16X8),
            Operator::I32x4GeU => self.vector_int_compare(IntCC::UnsignedGreaterThanOrEqual, I32X4),
            Operator::F32x4Eq => self.vector_float_compare(FloatCC::Equal, F32X4),
            Operator::F64x2Eq => self.vector_float_compare(FloatCC::Equal, F64X2),
            Operator::F32x4Ne => self.vector_float_compare(FloatCC::NotEqual, F32X4),
            Operator::F64x2Ne => self.vector_float_compare(FloatCC::NotEqual, F64X2),
            Operator::F32x4Lt => self.vector_float_compare(FloatCC::LessThan, F32X4),
            Operator::F64x2Lt => self.vector_float_compare(FloatCC::LessThan, F64X2),
            Operator::F32x4Gt => self.vector_float_compare(FloatCC::GreaterThan, F32X4),
            Operator::F64x2Gt => self.vector_float_compare(FloatCC::GreaterThan, F64X2),
            Operator::F32x4Le => self.vector_float_compare(FloatCC::LessThanOrEqual, F32X4),
            Operator::F64x2Le => self.vector_float_compare(FloatCC::LessThanOrEqual, F64X2),
            Operator::F32x4Ge => self.vector_float_compare(FloatCC::GreaterThanOrEqual, F32X4),
            Operator::F64x2Ge => self.vector_float_compare(FloatCC::GreaterThanOrEqual, F64X2),

            Operator::I8x16Abs => self.vector_unary(Opcode::Iabs, I8X16),
            Operator::I16x8Abs => self.vector_unary(Opcode::Iabs, I16X8),
            Operator::I32x4Abs => self.vector_unary(Opcode::Iabs, I32X4),
            Operator::I64x2Abs => self.vector_unary(Opcode::Iabs, I64X2),
            Operator::I8x16Neg => self.vector_unary(Opcode::Ineg, I8X16),
            Operator::I16x8Neg => self.vector_unary(Opcode::Ineg, I16X8),
            Operator::I32x4Neg => self.vector_unary(Opcode::Ineg, I32X4),
            Operator::I64x2Neg => self.vector_unary(Opcode::Ineg, I64X2),
            Operator::I8x16Popcnt => self.vector_unary(Opcode::Popcnt, I8X16),
            Operator::I8x16Shl => self.vector_shift(Opcode::Ishl, I8X16),
            Operator::I16x8Shl => self.vector_shift(Opcode::Ishl, I16X8),
            Operator::I32x4Shl => self.vector_shift(Opcode::Ishl, I32X4),
            Operator::I64x2Shl => self.vector_shift(Opcode::Ishl, I64X2),
            Operator::I8x16ShrS => self.vector_shift(Opcode::Sshr, I8X16),
            Operator::I16x8ShrS => self.vector_shift(Opcode::Sshr, I16X8),
            Operator::I32x4ShrS => self.vector_shift(Opcode::Sshr, I32X4),
            Operator::I64x2ShrS => self.vector_shift(Opcode::Sshr, I64X2),
            Operator::I8x16ShrU => self.vector_shift(Opcode::Ushr, I8X16),
            Operator::I16x8ShrU => self.vector_shift(Opcode::Ushr, I16X8),
            Operator::I32x4ShrU => self.vector_shift(Opcode::Ushr, I32X4),
            Operator::I64x2ShrU => self.vector_shift(Opcode::Ushr, I64X2),
            Operator::I8x16Add => self.vector_binary(Opcode::Iadd, I8X16),
            Operator::I16x8Add => self.vector_binary(Opcode::Iadd, I16X8),
            Operator::I32x4Add => self.vector_binary(Opcode::Iadd, I32X4),
            Operator::I64x2Add => self.vector_binary(Opcode::Iadd, I64X2),
            Operator::I8x16AddSatS => self.vector_binary(Opcode::SaddSat, I8X16),
            Operator::I16x8AddSatS => self.vector_binary(Opcode::SaddSat, I16X8),
            Operator::I8x16AddSatU => self.vector_binary(Opcode::UaddSat, I8X16),
            Operator::I16x8AddSatU => self.vector_binary(Opcode::UaddSat, I16X8),
            Operator::I8x16Sub => self.vector_binary(Opcode::Isub, I8X16),
            Operator::I16x8Sub => self.vector_binary(Opcode::Isub, I16X8),
            Operator::I32x4Sub => self.vector_binary(Opcode::Isub, I32X4),
            Operator::I64x2Sub => self.vector_binary(Opcode::Isub, I64X2),
            Operator::I8x16SubSatS => self.vector_binary(Opcode::SsubSat, I8X16),
            Operator::I16x8SubSatS => self.vector_binary(Opcode::SsubSat, I16X8),
            Operator::I8x16SubSatU => self.vector_binary(Opcode::UsubSat, I8X16),
            Operator::I16x8SubSatU => self.vector_binary(Opcode::UsubSat, I16X8),
            Operator::I16x8Mul => self.vector_binary(Opcode::Imul, I16X8),
            Operator::I32x4Mul => self.vector_binary(Opcode::Imul, I32X4),
            Operator::I64x2Mul => self.vector_binary(Opcode::Imul, I64X2),
            Operator::I8x16MinS => self.vector_binary(Opcode::Smin, I8X16),
            Operator::I16x8MinS => self.vector_binary(Opcode::Smin, I16X8),
            Operator::I32x4MinS => self.vector_binary(Opcode::Smin, I32X4),
            Operator::I8x16MinU => self.vector_binary(Opcode::Umin, I8X16),
            Operator::I16x8MinU => self.vector_binary(Opcode::Umin, I16X8),
            Operator::I32x4MinU => self.vector_binary(Opcode::Umin, I32X4),
            Operator::I8x16MaxS => self.vector_binary(Opcode::Smax, I8X16),
            Operator::I16x8MaxS => self.vector_binary(Opcode::Smax, I16X8),
            Operator::I32x4MaxS => self.vector_binary(Opcode::Smax, I32X4),
            Operator::I8x16MaxU => self.vector_binary(Opcode::Umax, I8X16),
            Operator::I16x8MaxU => self.vector_binary(Opcode::Umax, I16X8),
            Operator::I32x4MaxU => self.vector_binary(Opcode::Umax, I32X4),
            Operator::I8x16AvgrU => self.vector_binary(Opcode::AvgRound, I8X16),
            Operator::I16x8AvgrU => self.vector_binary(Opcode::AvgRound, I16X8),
            Operator::I16x8Q15MulrSatS | Operator::I16x8RelaxedQ15mulrS => {
                self.vector_binary(Opcode::SqmulRoundSat, I16X8);
            }
            Operator::I8x16NarrowI16x8S => self.vector_binary(Opcode::Snarrow, I16X8),
            Operator::I16x8NarrowI32x4S => self.vector_binary(Opcode::Snarrow, I32X4),
            Operator::I8x16NarrowI16x8U => self.vector_binary(Opcode::Unarrow, I16X8),
            Operator::I16x8NarrowI32x4U => self.vector_binary(Opcode::Unarrow, I32X4),
            Operator::I16x8ExtendLowI8x16S => self.vector_unary(Opcode::SwidenLow, I8X16),
            Operator::I32x4ExtendLowI16x8S => self.vector_unary(Opcode::SwidenLow, I16X8),
            Operator::I64x2ExtendLowI32x4S => self.vector_unary(Opcode::SwidenLow, I32X4),
            Operator::I16x8ExtendHighI8x16S => self.vector_unary(Opcode::SwidenHigh, I8X16),
            Operator::I32x4ExtendHighI16x8S => self.vector_unary(Opcode::SwidenHigh, I16X8),
            Operator::I64x2ExtendHighI32x4S => self.vector_unary(Opcode::SwidenHigh, I32X4),
            Operator::I16x8ExtendLowI8x16U => self.vector_unary(Opcode::UwidenLow, I8X16),
            Operator::I32x4ExtendLowI16x8U => self.vector_unary(Opcode::UwidenLow, I16X8),
            Operator::I64x2ExtendLowI32x4U => self.vector_unary(Opcode::UwidenLow, I32X4),
            Operator::I16x8ExtendHighI8x16U => self.vector_unary(Opcode::UwidenHigh, I8X16),
            Operator::I32x4ExtendHighI16x8U => self.vector_unary(Opcode::UwidenHigh, I16X8),
            Operator::I64x2ExtendHighI32x4U => self.vector_unary(Opcode::UwidenHigh, I32X4),
            Operator::I16x8ExtMulLowI8x16S => self.widening_mul(Opcode::SwidenLow, I8X16),
            Operator::I32x4ExtMulLowI16x8S => self.widening_mul(Opcode::SwidenLow, I16X8),
            Operator::I64x2ExtMulLowI32x4S => self.widening_mul(Opcode::SwidenLow, I32X4),
            Operator::I16x8ExtMulHighI8x16S => self.widening_mul(Opcode::SwidenHigh, I8X16),
            Operator::I32x4ExtMulHighI16x8S => self.widening_mul(Opcode::SwidenHigh, I16X8),
            Operator::I64x2ExtMulHighI32x4S => self.widening_mul(Opcode::SwidenHigh, I32X4),
            Operator::I16x8ExtMulLowI8x16U => self.widening_mul(Opcode::UwidenLow, I8X16),
            Operator::I32x4ExtMulLowI16x8U => self.widening_mul(Opcode::UwidenLow, I16X8),
            Operator::I64x2ExtMulLowI32x4U => self.widening_mul(Opcode::UwidenLow, I32X4),
            Operator::I16x8ExtMulHighI8x16U => self.widening_mul(Opcode::UwidenHigh, I8X16),
            Operator::I32x4ExtMulHighI16x8U => self.widening_mul(Opcode::UwidenHigh, I16X8),
            Operator::I64x2ExtMulHighI32x4U => self.widening_mul(Opcode::UwidenHigh, I32X4),
            Operator::I16x8ExtAddPairwiseI8x16S => self.widening_add_pairwise(SIGNED, I8X16),
            Operator::I32x4ExtAddPairwiseI16x8S => self.widening_add_pairwise(SIGNED, I16X8),
            Operator::I16x8ExtAddPairwiseI8x16U => self.widening_add_pairwise(UNSIGNED, I8X16),
            Operator::I32x4ExtAddPairwiseI16x8U => self.widening_add_pairwise(UNSIGNED, I16X8),
            Operator::I32x4DotI16x8S => self.dot(),

            Operator::F32x4Abs => self.vector_unary(Opcode::Fabs, F32X4),
            Operator::F64x2Abs => self.vector_unary(Opcode::Fabs, F64X2),
            Operator::F32x4Neg => self.vector_unary(Opcode::Fneg, F32X4),
            Operator::F64x2Neg => self.vector_unary(Opcode::Fneg, F64X2),
            Operator::F32x4Sqrt => self.vector_unary(Opcode::Sqrt, F32X4),
            Operator::F64x2Sqrt => self.vector_unary(Opcode::Sqrt, F64X2),
            Operator::F32x4Ceil => self.vector_round(Builtin::F32Ceil, Opcode::Ceil, F32X4),
            Operator::F64x2Ceil => self.vector_round(Builtin::F64Ceil, Opcode::Ceil, F64X2),
            Operator::F32x4Floor => self.vector_round(Builtin::F32Floor, Opcode::Floor, F32X4),
            Operator::F64x2Floor => self.vector_round(Builtin::F64Floor, Opcode::Floor, F64X2),
            Operator::F32x4Trunc => self.vector_round(Builtin::F32Trunc, Opcode::Trunc, F32X4),
            Operator::F64x2Trunc => self.vector_round(Builtin::F64Trunc, Opcode::Trunc, F64X2),
            Operator::F32x4Nearest => {
                self.vector_round(Builtin::F32Nearest, Opcode::Nearest, F32X4);
            }
            Operator::F64x2Nearest => {
                self.vector_round(Builtin::F64Nearest, Opcode::Nearest, F64X2);
            }
            Operator::F32x4Add => self.vector_binary(Opcode::Fadd, F32X4),
            Operator::F64x2Add => self.vector_binary(Opcode::Fadd, F64X2),
            Operator::F32x4Sub => self.vector_binary(Opcode::Fsub, F32X4),
            Operator::F64x2Sub => self.vector_binary(Opcode::Fsub, F64X2),
            Operator::F32x4Mul => self.vector_binary(Opcode::Fmul, F32X4),
            Operator::F64x2Mul => self.vector_binary(Opcode::Fmul, F64X2),
            Operator::F32x4Div => self.vector_binary(Opcode::Fdiv, F32X4),
            Operator::F64x2Div => self.vector_binary(Opcode::Fdiv, F64X2),
            Operator::F32x4Min | Operator::F32x4RelaxedMin => {
                self.vector_binary(Opcode::Fmin, F32X4);
            }
            Operator::F64x2Min | Operator::F64x2RelaxedMin => {
                self.vector_binary(Opcode::Fmin, F64X2);
            }
            Operator::F32x4Max | Operator::F32x4RelaxedMax => {
                self.vector_binary(Opcode::Fmax, F32X4);
            }
            Operator::F64x2Max | Operator::F64x2RelaxedMax => {
                self.vector_binary(Opcode::Fmax, F64X2);
            }
            Operator::F32x4PMin => self.pseudo_min(F32X4),
            Operator::F64x2PMin => self.pseudo_min(F64X2),
            Operator::F32x4PMax => self.pseudo_max(F32X4),
            Operator::F64x2PMax => self.pseudo_max(F64X2),
            Operator::F32x4RelaxedMadd => self.madd(F32X4),
            Operator::F64x2RelaxedMadd => self.madd(F64X2),
            Operator::F32x4RelaxedNmadd => self.nmadd(F32X4),
            Operator::F64x2RelaxedNmadd => self.nmadd(F64X2),

            Operator::F32x4ConvertI32x4S => {
                self.vector_convert(Opcode::FcvtFromSint, I32X4, F32X4);
            }
            Operator::F32x4ConvertI32x4U => {
                self.vector_convert(Opcode::FcvtFromUint, I32X4, F32X4);
            }
            Operator::F64x2ConvertLowI32x4S => {
                self.convert_low(Opcode::SwidenLow, Opcode::FcvtFromSint);
            }
            Operator::F64x2ConvertLowI32x4U => {
                self.convert_low(Opcode::UwidenLow, Opcode::FcvtFromUint);
            }
            Operator::F32x4DemoteF64x2Zero => self.vector_convert(Opcode::Fvdemote, F64X2, F32X4),
            Operator::F64x2PromoteLowF32x4 => {
                self.vector_convert(Opcode::FvpromoteLow, F32X4, F64X2);
            }
            Operator::I32x4TruncSatF32x4S | Operator::I32x4RelaxedTruncF32x4S => {
                self.vector_convert(Opcode::FcvtToSintSat, F32X4, I32X4);
            }
            Operator::I32x4TruncSatF32x4U | Operator::I32x4RelaxedTruncF32x4U => {
                self.vector_convert(Opcode::FcvtToUintSat, F32X4, I32X4);
            }
            Operator::I32x4TruncSatF64x2SZero | Operator::I32x4RelaxedTruncF64x2SZero => {
                self.trunc_zero_signed();
            }
            Operator::I32x4TruncSatF64x2UZero | Operator::I32x4RelaxedTruncF64x2UZero => {
                self.trunc_zero_unsigned();
            }
            Operator::I16x8RelaxedDotI8x16I7x16S => self.relaxed_dot(),
            Operator::I32x4RelaxedDotI8x16I7x16AddS => self.relaxed_dot_add(),
            op => return self.atomic_operator(op, offset),
        }
        Ok(())
    }
}

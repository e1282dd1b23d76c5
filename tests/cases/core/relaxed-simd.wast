;; The relaxed operators where the specification leaves a choice: always that of the deterministic
;; profile, whatever the CPU.

(module
  (func (export "swizzle") (param v128 v128) (result v128)
    (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))
  (func (export "trunc_f32_s") (param v128) (result v128)
    (i32x4.relaxed_trunc_f32x4_s (local.get 0)))
  (func (export "trunc_f32_u") (param v128) (result v128)
    (i32x4.relaxed_trunc_f32x4_u (local.get 0)))
  (func (export "trunc_f64_s") (param v128) (result v128)
    (i32x4.relaxed_trunc_f64x2_s_zero (local.get 0)))
  (func (export "trunc_f64_u") (param v128) (result v128)
    (i32x4.relaxed_trunc_f64x2_u_zero (local.get 0)))
  (func (export "f32_madd") (param v128 v128 v128) (result v128)
    (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "f32_nmadd") (param v128 v128 v128) (result v128)
    (f32x4.relaxed_nmadd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "f64_madd") (param v128 v128 v128) (result v128)
    (f64x2.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "f64_nmadd") (param v128 v128 v128) (result v128)
    (f64x2.relaxed_nmadd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "i8_select") (param v128 v128 v128) (result v128)
    (i8x16.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "i16_select") (param v128 v128 v128) (result v128)
    (i16x8.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "i32_select") (param v128 v128 v128) (result v128)
    (i32x4.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "i64_select") (param v128 v128 v128) (result v128)
    (i64x2.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "f32_min") (param v128 v128) (result v128)
    (f32x4.relaxed_min (local.get 0) (local.get 1)))
  (func (export "f32_max") (param v128 v128) (result v128)
    (f32x4.relaxed_max (local.get 0) (local.get 1)))
  (func (export "f64_min") (param v128 v128) (result v128)
    (f64x2.relaxed_min (local.get 0) (local.get 1)))
  (func (export "f64_max") (param v128 v128) (result v128)
    (f64x2.relaxed_max (local.get 0) (local.get 1)))
  (func (export "q15mulr") (param v128 v128) (result v128)
    (i16x8.relaxed_q15mulr_s (local.get 0) (local.get 1)))
  (func (export "dot") (param v128 v128) (result v128)
    (i16x8.relaxed_dot_i8x16_i7x16_s (local.get 0) (local.get 1)))
  (func (export "dot_add") (param v128 v128 v128) (result v128)
    (i32x4.relaxed_dot_i8x16_i7x16_add_s (local.get 0) (local.get 1) (local.get 2))))

;; Indices beyond the lanes give 0.
(assert_return (invoke "swizzle"
    (v128.const i8x16 9 8 7 6 5 4 3 2 1 0 1 2 3 4 5 6)
    (v128.const i8x16 0 15 16 17 31 32 127 128 129 143 144 255 1 2 3 4))
  (v128.const i8x16 9 6 0 0 0 0 0 0 0 0 0 0 8 7 6 5))

;; What does not fit is saturated, NaN is 0.
(assert_return (invoke "trunc_f32_s" (v128.const f32x4 nan 3e9 -3e9 -1.9))
  (v128.const i32x4 0 0x7fffffff 0x80000000 -1))
(assert_return (invoke "trunc_f32_u" (v128.const f32x4 nan 5e9 -1 3e9))
  (v128.const i32x4 0 0xffffffff 0 3000000000))
(assert_return (invoke "trunc_f64_s" (v128.const f64x2 nan 3e9))
  (v128.const i32x4 0 0x7fffffff 0 0))
(assert_return (invoke "trunc_f64_u" (v128.const f64x2 -1 5e9))
  (v128.const i32x4 0 0xffffffff 0 0))

;; The product is rounded: (1 + 2^-n)(1 - 2^-n) - 1 is 0, and not -2^-2n.
(assert_return (invoke "f32_madd"
    (v128.const f32x4 0x1.000002p0 0x1.fffffep127 2 3)
    (v128.const f32x4 0x1.fffffcp-1 2 3 4)
    (v128.const f32x4 -1 -0x1.fffffep127 4 5))
  (v128.const f32x4 0 inf 10 17))
(assert_return (invoke "f32_nmadd"
    (v128.const f32x4 0x1.000002p0 0x1.fffffep127 2 3)
    (v128.const f32x4 0x1.fffffcp-1 2 3 4)
    (v128.const f32x4 1 0x1.fffffep127 4 5))
  (v128.const f32x4 0 -inf -2 -7))
(assert_return (invoke "f64_madd"
    (v128.const f64x2 0x1.0000000000001p0 2)
    (v128.const f64x2 0x1.ffffffffffffep-1 3)
    (v128.const f64x2 -1 4))
  (v128.const f64x2 0 10))
(assert_return (invoke "f64_nmadd"
    (v128.const f64x2 0x1.0000000000001p0 2)
    (v128.const f64x2 0x1.ffffffffffffep-1 3)
    (v128.const f64x2 1 4))
  (v128.const f64x2 0 -2))

;; Each bit of the mask selects.
(assert_return (invoke "i8_select" (v128.const i64x2 -1 -1) (v128.const i64x2 0 0)
    (v128.const i8x16 0x80 0x7f 1 2 3 4 5 6 7 8 9 10 11 12 13 14))
  (v128.const i8x16 0x80 0x7f 1 2 3 4 5 6 7 8 9 10 11 12 13 14))
(assert_return (invoke "i16_select" (v128.const i64x2 -1 -1) (v128.const i64x2 0 0)
    (v128.const i16x8 0x8000 0x7fff 0x8080 1 2 3 4 5))
  (v128.const i16x8 0x8000 0x7fff 0x8080 1 2 3 4 5))
(assert_return (invoke "i32_select" (v128.const i64x2 -1 -1) (v128.const i64x2 0 0)
    (v128.const i32x4 0x80000000 0x7fffffff 1 2))
  (v128.const i32x4 0x80000000 0x7fffffff 1 2))
(assert_return (invoke "i64_select" (v128.const i64x2 -1 -1) (v128.const i64x2 0 0)
    (v128.const i64x2 0x8000000000000000 0x7fffffffffffffff))
  (v128.const i64x2 0x8000000000000000 0x7fffffffffffffff))

;; Minimum and maximum propagate NaN and order the zeros.
(assert_return (invoke "f32_min" (v128.const f32x4 nan 1 -0 0) (v128.const f32x4 1 nan 0 -0))
  (v128.const f32x4 nan:canonical nan:canonical -0 -0))
(assert_return (invoke "f32_max" (v128.const f32x4 nan 1 -0 0) (v128.const f32x4 1 nan 0 -0))
  (v128.const f32x4 nan:canonical nan:canonical 0 0))
(assert_return (invoke "f64_min" (v128.const f64x2 nan 0) (v128.const f64x2 1 -0))
  (v128.const f64x2 nan:canonical -0))
(assert_return (invoke "f64_max" (v128.const f64x2 1 -0) (v128.const f64x2 nan 0))
  (v128.const f64x2 nan:canonical 0))

(assert_return (invoke "q15mulr"
    (v128.const i16x8 0x8000 0x8000 1 0x4000 0 0 0 0)
    (v128.const i16x8 0x8000 0x7fff 0x4000 0x4000 0 0 0 0))
  (v128.const i16x8 0x7fff 0x8001 1 0x2000 0 0 0 0))

;; Both operands are signed; the sum of two products saturates, also on the way to a sum of four.
(assert_return (invoke "dot"
    (v128.const i8x16 -128 -128 -128 -128 127 127 1 2 0 0 0 0 0 0 0 0)
    (v128.const i8x16 -128 -128 -127 -127 -128 -128 3 -4 0 0 0 0 0 0 0 0))
  (v128.const i16x8 32767 32512 -32512 -5 0 0 0 0))
(assert_return (invoke "dot_add"
    (v128.const i8x16 -128 -128 -128 -128 127 127 1 2 0 0 0 0 0 0 0 0)
    (v128.const i8x16 -128 -128 -127 -127 -128 -128 3 -4 0 0 0 0 0 0 0 0)
    (v128.const i32x4 1 2 3 0x7fffffff))
  (v128.const i32x4 65280 -32515 3 0x7fffffff))

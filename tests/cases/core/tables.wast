;; Tables whose elements start with a value, and segments that are written over it.

(module
  (type $get (func (result i32)))
  (func $seven (type $get) (i32.const 7))
  (func $eight (type $get) (i32.const 8))
  (table $t 4 4 (ref null $get) (ref.func $seven))
  (elem (table $t) (i32.const 1) (ref null $get) (ref.null $get))
  (elem (table $t) (i32.const 2) (ref null $get) (ref.func $eight) (ref.null $get))
  (func (export "is_null") (param i32) (result i32)
    (ref.is_null (table.get $t (local.get 0))))
  (func (export "call") (param i32) (result i32)
    (call_indirect $t (type $get) (local.get 0))))

(assert_return (invoke "is_null" (i32.const 0)) (i32.const 0))
(assert_return (invoke "is_null" (i32.const 1)) (i32.const 1))
(assert_return (invoke "is_null" (i32.const 2)) (i32.const 0))
(assert_return (invoke "is_null" (i32.const 3)) (i32.const 1))
(assert_return (invoke "call" (i32.const 0)) (i32.const 7))
(assert_trap (invoke "call" (i32.const 1)) "uninitialized element")
(assert_return (invoke "call" (i32.const 2)) (i32.const 8))
(assert_trap (invoke "call" (i32.const 3)) "uninitialized element")

;; The value comes from an imported global; a second table has none.
(module $values
  (func $nine (result i32) (i32.const 9))
  (global (export "nine") funcref (ref.func $nine)))
(register "values" $values)

(module
  (import "values" "nine" (global $nine funcref))
  (table $t 3 funcref (global.get $nine))
  (table $u 3 funcref)
  (elem (table $t) (i32.const 1) funcref (ref.null func))
  (elem (table $u) (i32.const 1) funcref (global.get $nine) (ref.null func))
  (func (export "t") (param i32) (result i32) (call_indirect $t (result i32) (local.get 0)))
  (func (export "u") (param i32) (result i32) (call_indirect $u (result i32) (local.get 0))))

(assert_return (invoke "t" (i32.const 0)) (i32.const 9))
(assert_trap (invoke "t" (i32.const 1)) "uninitialized element")
(assert_return (invoke "t" (i32.const 2)) (i32.const 9))
(assert_trap (invoke "u" (i32.const 0)) "uninitialized element")
(assert_return (invoke "u" (i32.const 1)) (i32.const 9))
(assert_trap (invoke "u" (i32.const 2)) "uninitialized element")

;; Three tables. One that nothing writes is a constant of the artifact: neither base nor bound is loaded,
;; the type is one comparison; there is none if all elements have it. One that is written but never grows
;; lies in the context. One that grows has a base and a bound to load.
(component
  (core module $m
    (type $t (func (param i32) (result i32)))
    (table $constant 4 8 funcref)
    (elem (table $constant) (i32.const 0) func $inc $dec)
    (table $of-type 2 2 funcref)
    (elem (table $of-type) (i32.const 0) func $inc $dec)
    (table $written 4 8 funcref)
    (elem (table $written) (i32.const 0) func $inc $dec)
    (table $grown 4 8 funcref)
    (elem (table $grown) (i32.const 0) func $inc $dec)
    (func $inc (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func $dec (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
    (func $constant (export "constant") (param i32 i32) (result i32)
      (call_indirect $constant (type $t) (local.get 1) (local.get 0)))
    (func $of-type (export "of-type") (param i32 i32) (result i32)
      (call_indirect $of-type (type $t) (local.get 1) (local.get 0)))
    (func $written (export "written") (param i32 i32) (result i32)
      (table.set $written (local.get 1) (ref.func $dec))
      (call_indirect $written (type $t) (local.get 1) (local.get 0)))
    (func $grown (export "grown") (param i32 i32) (result i32)
      (drop (table.grow $grown (ref.null func) (i32.const 1)))
      (call_indirect $grown (type $t) (local.get 1) (local.get 0))))
  (core instance $i (instantiate $m))
  (func (export "constant") (param "f" u32) (param "x" u32) (result u32)
    (canon lift (core func $i "constant"))))

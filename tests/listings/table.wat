;; A table that never grows lies in the context: no base is loaded, the bound is a constant, the
;; type is one comparison.
(component
  (core module $m
    (type $t (func (param i32) (result i32)))
    (table 4 4 funcref)
    (elem (i32.const 0) $inc $dec)
    (func $inc (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func $dec (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
    (func $apply (export "apply") (param i32 i32) (result i32)
      (call_indirect (type $t) (local.get 1) (local.get 0))))
  (core instance $i (instantiate $m))
  (func (export "apply") (param "f" u32) (param "x" u32) (result u32)
    (canon lift (core func $i "apply"))))

;;! --bounds check
(module
  (memory 1)
  (memory $shared 1 2 shared)
  ;; One comparison for all accesses at the same index.
  (func (export "repeated") (param $p i32) (result i32)
    (i32.add
      (i32.load offset=8 (local.get $p))
      (i32.load offset=4 (local.get $p))))
  ;; The size is loaded before the loop.
  (func (export "sum") (param $p i32) (param $end i32) (result i32)
    (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $p))))
      (i32.store offset=4 (local.get $p) (local.get $sum))
      (br_if $next
        (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 8))) (local.get $end))))
    (local.get $sum))
  ;; What was checked in one branch only is checked again behind it.
  (func (export "branch") (param $p i32) (param $c i32) (result i32)
    (if (local.get $c) (then (i32.store (local.get $p) (i32.const 1))))
    (i32.load (local.get $p)))
  ;; Globals of a program: their address is in the offset.
  (func (export "global") (param $i i32) (result i32)
    (i32.load offset=0x8008 (i32.shl (local.get $i) (i32.const 2))))
  ;; Beyond the smallest size.
  (func (export "far") (param $p i32) (result i32)
    (i32.load offset=0x20000 (local.get $p)))
  ;; A branch in front of an access that may not fault.
  (func (export "shared") (param $p i32) (result i32)
    (i32.load $shared offset=4 (local.get $p)))
  ;; A constant in the smallest size needs no check.
  (func (export "constant") (result i32)
    (i32.load offset=4 (i32.const 16))))

;;! interruptible
;; A check is a load from the page whose address is in the context: in loops (every other iteration
;; of small ones), and in functions that call others; not in those that do not.
(module
  (memory 1)
  (func $leaf (param i32) (result i32)
    (i32.add (local.get 0) (i32.const 1)))
  (func $caller (param i32) (result i32)
    (call $leaf (local.get 0)))
  (func $small (param $at i32) (result i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
      (br_if $next (local.tee $at (i32.sub (local.get $at) (i32.const 4)))))
    (local.get $sum))
  (func $outer (param $n i32)
    (loop $next
      (drop (call $caller (local.get $n)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "fill") (param i32 i32)
    (memory.fill (i32.const 0) (local.get 0) (local.get 1))))

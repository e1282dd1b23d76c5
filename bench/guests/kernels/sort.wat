;; Sorts n pseudo-random numbers with quicksort (Hoare's partition) and returns the one in the middle.
(component
  (core module $m
    (memory 16)
    (func $sort (param $low i32) (param $high i32)
      (local $i i32) (local $j i32) (local $pivot i32) (local $a i32) (local $b i32)
      (if (i32.ge_u (local.get $low) (local.get $high)) (then (return)))
      (local.set $pivot (i32.load (i32.and
        (i32.shr_u (i32.add (local.get $low) (local.get $high)) (i32.const 1)) (i32.const -4))))
      (local.set $i (i32.sub (local.get $low) (i32.const 4)))
      (local.set $j (i32.add (local.get $high) (i32.const 4)))
      (block $done
        (loop $swap
          (loop $up
            (local.set $i (i32.add (local.get $i) (i32.const 4)))
            (br_if $up (i32.lt_u (local.tee $a (i32.load (local.get $i))) (local.get $pivot))))
          (loop $down
            (local.set $j (i32.sub (local.get $j) (i32.const 4)))
            (br_if $down (i32.gt_u (local.tee $b (i32.load (local.get $j))) (local.get $pivot))))
          (br_if $done (i32.ge_u (local.get $i) (local.get $j)))
          (i32.store (local.get $i) (local.get $b))
          (i32.store (local.get $j) (local.get $a))
          (br $swap)))
      (call $sort (local.get $low) (local.get $j))
      (call $sort (i32.add (local.get $j) (i32.const 4)) (local.get $high)))
    (func (export "run") (param $n i32) (result i32) (local $at i32) (local $seed i32) (local $end i32)
      (local.set $at (i32.const 16))
      (local.set $end (i32.add (i32.const 16) (i32.shl (local.get $n) (i32.const 2))))
      (local.set $seed (i32.const 1))
      (loop $fill
        (local.set $seed (i32.add
          (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
        (i32.store (local.get $at) (i32.shr_u (local.get $seed) (i32.const 8)))
        (br_if $fill (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $end))))
      (call $sort (i32.const 16) (i32.sub (local.get $end) (i32.const 4)))
      (i32.load (i32.add (i32.const 16)
        (i32.shl (i32.shr_u (local.get $n) (i32.const 1)) (i32.const 2))))))
  (core instance $i (instantiate $m))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))

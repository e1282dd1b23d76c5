;; Multiplies two n by n matrices of doubles: three loops in each other, the inner one a few
;; instructions.
(component
  (core module $m
    (memory 16)
    ;; Matrices are at 0, 256 KiB and 512 KiB.
    (func $fill (param $bytes i32) (local $at i32)
      (loop $next
        (f64.store (local.get $at) (f64.convert_i32_u (i32.rem_u (local.get $at) (i32.const 13))))
        (f64.store offset=0x40000 (local.get $at)
          (f64.convert_i32_u (i32.rem_u (local.get $at) (i32.const 7))))
        (br_if $next (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $bytes)))))
    (func (export "run") (param $n i32) (result i32)
      (local $i i32) (local $j i32) (local $row i32) (local $bytes i32)
      (local $a i32) (local $b i32) (local $end i32) (local $sum f64) (local $total f64)
      (local.set $row (i32.shl (local.get $n) (i32.const 3)))
      (local.set $bytes (i32.mul (local.get $row) (local.get $n)))
      (call $fill (local.get $bytes))
      (loop $rows
        (local.set $j (i32.const 0))
        (loop $columns
          (local.set $a (local.get $i))
          (local.set $end (i32.add (local.get $i) (local.get $row)))
          (local.set $b (local.get $j))
          (local.set $sum (f64.const 0))
          (loop $inner
            (local.set $sum (f64.add (local.get $sum) (f64.mul
              (f64.load (local.get $a)) (f64.load offset=0x40000 (local.get $b)))))
            (local.set $b (i32.add (local.get $b) (local.get $row)))
            (br_if $inner (i32.lt_u
              (local.tee $a (i32.add (local.get $a) (i32.const 8))) (local.get $end))))
          (f64.store offset=0x80000 (i32.add (local.get $i) (local.get $j)) (local.get $sum))
          (local.set $total (f64.add (local.get $total) (local.get $sum)))
          (br_if $columns (i32.lt_u
            (local.tee $j (i32.add (local.get $j) (i32.const 8))) (local.get $row))))
        (br_if $rows (i32.lt_u
          (local.tee $i (i32.add (local.get $i) (local.get $row))) (local.get $bytes))))
      (i32.trunc_f64_u (local.get $total))))
  (core instance $i (instantiate $m))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))

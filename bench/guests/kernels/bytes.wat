;; How many of the first n bytes of a memory are less than 32: the smallest loop there is.
(component
  (core module $m
    (memory 2)
    (func (export "run") (param $n i32) (result i32) (local $at i32) (local $count i32)
      (loop $next
        (local.set $count (i32.add (local.get $count)
          (i32.lt_u (i32.load8_u (i32.and (local.get $at) (i32.const 0xffff))) (i32.const 32))))
        (br_if $next (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $n))))
      (local.get $count)))
  (core instance $i (instantiate $m))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))

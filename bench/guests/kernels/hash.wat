;; Hashes n strings of 1 to 32 bytes with FNV-1a and counts them in a table: short loops, many calls.
(component
  (core module $m
    (memory 4)
    (func $hash (param $at i32) (param $len i32) (result i32) (local $end i32) (local $hash i32)
      (local.set $hash (i32.const 0x811c9dc5))
      (local.set $end (i32.add (local.get $at) (local.get $len)))
      (loop $next
        (local.set $hash (i32.mul (i32.const 0x01000193)
          (i32.xor (local.get $hash) (i32.load8_u (local.get $at)))))
        (br_if $next (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
      (local.get $hash))
    (func (export "run") (param $n i32) (result i32) (local $at i32) (local $i i32) (local $slot i32)
      (loop $fill
        (i32.store8 (local.get $at) (i32.mul (local.get $at) (i32.const 97)))
        (br_if $fill (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 0x1000))))
      (loop $strings
        (local.set $slot (i32.and (i32.const 0xfffc) (call $hash
          (i32.and (i32.mul (local.get $i) (i32.const 7)) (i32.const 0xfff))
          (i32.add (i32.and (local.get $i) (i32.const 31)) (i32.const 1)))))
        (i32.store offset=0x10000 (local.get $slot)
          (i32.add (i32.load offset=0x10000 (local.get $slot)) (i32.const 1)))
        (br_if $strings (i32.lt_u
          (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
      (i32.load offset=0x10000 (local.get $slot))))
  (core instance $i (instantiate $m))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))

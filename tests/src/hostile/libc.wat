(core module $libc
  (import "host" "tick" (func $tick))
  ;; What the canonical ABI sees.
  (memory $memory (export "memory") POINTER MIN MAX)
  ;; What it does not see: `hostile/wat.rs` has the places.
  (memory $control (export "control") 5 5)

  ;; Between numbers of 64 bits, which all of this is about, and pointers.
  (func $narrow (param i64) (result POINTER) NARROW)
  (func $widen (param POINTER) (result i64) WIDEN)
  (func $memory-size (result i64)
    (i64.shl (call $widen (memory.size $memory)) (i64.const 16)))

  (func (export "realloc") (param POINTER POINTER POINTER POINTER) (result POINTER)
    (call $narrow (call $realloc (call $widen (local.get 0)) (call $widen (local.get 1))
      (call $widen (local.get 2)) (call $widen (local.get 3)))))

  ;; The reference has the same in `reference/guest.rs`.
  (func $realloc (param $old i64) (param $old-size i64) (param $align i64) (param $size i64) (result i64)
    (local $call i32) (local $at i32) (local $action i32) (local $value i64)
    (local.set $call (i32.load $control (i32.const 0x00)))
    (i32.store $control (i32.const 0x00) (i32.add (local.get $call) (i32.const 1)))
    (if (i32.lt_u (local.get $call) (i32.const 512)) (then
      (local.set $at (i32.add (i32.const 0x1000) (i32.shl (local.get $call) (i32.const 5))))
      (i64.store $control (local.get $at) (local.get $old))
      (i64.store $control offset=8 (local.get $at) (local.get $old-size))
      (i64.store $control offset=16 (local.get $at) (local.get $align))
      (i64.store $control offset=24 (local.get $at) (local.get $size))))
    (if (i32.lt_u (local.get $call) (i32.const 16)) (then
      (local.set $at (i32.shl (local.get $call) (i32.const 4)))
      (local.set $action (i32.load $control offset=0x40 (local.get $at)))
      (local.set $value (i64.load $control offset=0x48 (local.get $at)))))
    (block $end (block $return (block $in-place (block $leave (block $scribble (block $grow (block $recurse (block $trap
      (block $behave
        (br_table $behave $return $grow $scribble $trap $recurse $in-place $behave $behave $end $leave
          (local.get $action)))
      (return (call $behave (local.get $old) (local.get $old-size) (local.get $align) (local.get $size)
        (local.get $action) (local.get $value))))
      ;; $trap
      (unreachable))
      ;; $recurse
      (return (i64.extend_i32_u (call $recurse (i32.const 1)))))
      ;; $grow
      (if (i64.ne (call $widen (memory.grow $memory (call $narrow (i64.const 1)))) (call $widen (call $narrow (i64.const -1)))) (then
        (i64.store $control (i32.const 0x08) (i64.sub (call $memory-size) (i64.const 0x10000)))))
      (return (call $behave (local.get $old) (local.get $old-size) (local.get $align) (local.get $size)
        (i32.const 0) (i64.const 0))))
      ;; $scribble
      (local.set $value (call $widen (call $narrow (local.get $value))))
      (if (i32.and
            (i64.le_u (local.get $value) (call $memory-size))
            (i64.le_u (i64.add (local.get $value) (i64.const 24)) (call $memory-size))) (then
        (memory.fill $memory (call $narrow (local.get $value)) (i32.const 0x5a) (call $narrow (i64.const 24)))))
      (return (call $behave (local.get $old) (local.get $old-size) (local.get $align) (local.get $size)
        (i32.const 0) (i64.const 0))))
      ;; $leave
      (call $tick)
      (return (i64.const 0)))
      ;; $in-place
      (if (i64.eqz (local.get $old-size)) (then
        (return (call $behave (local.get $old) (local.get $old-size) (local.get $align) (local.get $size)
          (i32.const 0) (i64.const 0)))))
      (return (local.get $old)))
      ;; $return
      (return (local.get $value)))
    ;; $end
    (i64.add (local.get $value) (i64.sub (call $memory-size) (local.get $size))))

  ;; The next free place. 7 copies nothing, 8 adds a value.
  (func $behave (param $old i64) (param $old-size i64) (param $align i64) (param $size i64) (param $action i32) (param $value i64) (result i64)
    (local $at i64)
    (local.set $at
      (i64.and
        (i64.add (i64.load $control (i32.const 0x08)) (i64.sub (local.get $align) (i64.const 1)))
        (i64.sub (i64.const 0) (local.get $align))))
    (i64.store $control (i32.const 0x08) (i64.add (local.get $at) (local.get $size)))
    (if (i32.eq (local.get $action) (i32.const 7)) (then (return (local.get $at))))
    (if (i32.eq (local.get $action) (i32.const 8)) (then
      (local.set $at (i64.add (local.get $at) (local.get $value)))))
    (memory.copy $memory $memory (call $narrow (local.get $at)) (call $narrow (local.get $old))
      (call $narrow
        (select (local.get $old-size) (local.get $size) (i64.lt_u (local.get $old-size) (local.get $size)))))
    (local.get $at))

  (func $recurse (param i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (local.get 0)))

  (func (export "control-realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x2000))
  (func (export "reset") (param $at i32) (param $len i32)
    (memory.copy $memory $control (call $narrow (i64.const 0)) (i32.add (local.get $at) (i32.const 0x1000))
      (i32.sub (local.get $len) (i32.const 0x1000)))
    (memory.copy $control $control (i32.const 0) (local.get $at) (i32.const 0x1000)))
  (func (export "report") (result i32) (local $size i32)
    (local.set $size (i32.wrap_i64 (call $memory-size)))
    (memory.copy $control $memory (i32.const 0x5000) (call $narrow (i64.const 0)) (local.get $size))
    (i32.store $control (i32.const 0xff0) (i32.const 0))
    (i32.store $control (i32.const 0xff4) (i32.add (i32.const 0x5000) (local.get $size)))
    (i32.const 0xff0)))
(core instance $libc (instantiate $libc (with "host" (instance (export "tick" (func $tick'))))))
(alias core export $libc "memory" (core memory $memory))
(alias core export $libc "control" (core memory $control))
(alias core export $libc "realloc" (core func $realloc))
(alias core export $libc "control-realloc" (core func $control-realloc))
(func (export "reset") (param "state" (list u8))
  (canon lift (core func $libc "reset") (memory $control) (realloc $control-realloc)))
(func (export "report") (result (list u8)) (canon lift (core func $libc "report") (memory $control)))

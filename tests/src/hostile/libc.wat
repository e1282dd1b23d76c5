(core module $libc
  (import "host" "tick" (func $tick))
  ;; What the canonical ABI sees.
  (memory $memory (export "memory") MIN MAX)
  ;; What it does not see: `hostile/wat.rs` has the places.
  (memory $control (export "control") 5 5)

  ;; The reference has the same in `reference/guest.rs`.
  (func $realloc (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $call i32) (local $at i32) (local $action i32) (local $value i32)
    (local.set $call (i32.load $control (i32.const 0x00)))
    (i32.store $control (i32.const 0x00) (i32.add (local.get $call) (i32.const 1)))
    (if (i32.lt_u (local.get $call) (i32.const 512)) (then
      (local.set $at (i32.add (i32.const 0x1000) (i32.shl (local.get $call) (i32.const 4))))
      (i32.store $control (local.get $at) (local.get $old))
      (i32.store $control offset=4 (local.get $at) (local.get $old-size))
      (i32.store $control offset=8 (local.get $at) (local.get $align))
      (i32.store $control offset=12 (local.get $at) (local.get $size))))
    (if (i32.lt_u (local.get $call) (i32.const 16)) (then
      (local.set $at (i32.shl (local.get $call) (i32.const 3)))
      (local.set $action (i32.load $control offset=0x40 (local.get $at)))
      (local.set $value (i32.load $control offset=0x44 (local.get $at)))))
    (block $end (block $return (block $in-place (block $leave (block $scribble (block $grow (block $recurse (block $trap
      (block $behave
        (br_table $behave $return $grow $scribble $trap $recurse $in-place $behave $behave $end $leave
          (local.get $action)))
      (return (call $behave (local.get $old) (local.get $old-size) (local.get $align) (local.get $size)
        (local.get $action) (local.get $value))))
      ;; $trap
      (unreachable))
      ;; $recurse
      (return (call $recurse (i32.const 1))))
      ;; $grow
      (local.set $at (memory.grow $memory (i32.const 1)))
      (if (i32.ne (local.get $at) (i32.const -1)) (then
        (i32.store $control (i32.const 0x04) (i32.shl (local.get $at) (i32.const 16)))))
      (return (call $behave (local.get $old) (local.get $old-size) (local.get $align) (local.get $size)
        (i32.const 0) (i32.const 0))))
      ;; $scribble
      (if (i64.le_u (i64.add (i64.extend_i32_u (local.get $value)) (i64.const 24))
                    (i64.shl (i64.extend_i32_u (memory.size $memory)) (i64.const 16))) (then
        (memory.fill $memory (local.get $value) (i32.const 0x5a) (i32.const 24))))
      (return (call $behave (local.get $old) (local.get $old-size) (local.get $align) (local.get $size)
        (i32.const 0) (i32.const 0))))
      ;; $leave
      (call $tick)
      (return (i32.const 0)))
      ;; $in-place
      (if (i32.eqz (local.get $old-size)) (then
        (return (call $behave (local.get $old) (local.get $old-size) (local.get $align) (local.get $size)
          (i32.const 0) (i32.const 0)))))
      (return (local.get $old)))
      ;; $return
      (return (local.get $value)))
    ;; $end
    (i32.add (local.get $value)
      (i32.sub (i32.shl (memory.size $memory) (i32.const 16)) (local.get $size))))

  ;; The next free place. 7 copies nothing, 8 adds a value.
  (func $behave (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (param $action i32) (param $value i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and
        (i32.add (i32.load $control (i32.const 0x04)) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (i32.store $control (i32.const 0x04) (i32.add (local.get $at) (local.get $size)))
    (if (i32.eq (local.get $action) (i32.const 7)) (then (return (local.get $at))))
    (if (i32.eq (local.get $action) (i32.const 8)) (then
      (local.set $at (i32.add (local.get $at) (local.get $value)))))
    (memory.copy $memory $memory (local.get $at) (local.get $old)
      (select (local.get $old-size) (local.get $size) (i32.lt_u (local.get $old-size) (local.get $size))))
    (local.get $at))

  (func $recurse (param i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (local.get 0)))

  (func (export "control-realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x2000))
  (func (export "reset") (param $at i32) (param $len i32)
    (memory.copy $memory $control (i32.const 0) (i32.add (local.get $at) (i32.const 0x1000))
      (i32.sub (local.get $len) (i32.const 0x1000)))
    (memory.copy $control $control (i32.const 0) (local.get $at) (i32.const 0x1000)))
  (func (export "report") (result i32)
    (memory.copy $control $memory (i32.const 0x3000) (i32.const 0) (i32.shl (memory.size $memory) (i32.const 16)))
    (i32.store $control (i32.const 0xff0) (i32.const 0))
    (i32.store $control (i32.const 0xff4) (i32.add (i32.const 0x3000) (i32.shl (memory.size $memory) (i32.const 16))))
    (i32.const 0xff0)))
(core instance $libc (instantiate $libc (with "host" (instance (export "tick" (func $tick'))))))
(alias core export $libc "memory" (core memory $memory))
(alias core export $libc "control" (core memory $control))
(alias core export $libc "realloc" (core func $realloc))
(alias core export $libc "control-realloc" (core func $control-realloc))
(func (export "reset") (param "state" (list u8))
  (canon lift (core func $libc "reset") (memory $control) (realloc $control-realloc)))
(func (export "report") (result (list u8)) (canon lift (core func $libc "report") (memory $control)))

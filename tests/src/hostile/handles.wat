(core func $make0' (canon lower (func $make0)))
(core func $make1' (canon lower (func $make1)))
(core func $drop0' (canon resource.drop $r0))
(core func $drop1' (canon resource.drop $r1))
(core module $handles-module
  (import "host" "make0" (func $make0 (param i32) (result i32)))
  (import "host" "make1" (func $make1 (param i32) (result i32)))
  (import "host" "drop0" (func $drop0 (param i32)))
  (import "host" "drop1" (func $drop1 (param i32)))
  (import "libc" "control" (memory $control 5 5))
  ;; Makes a resource of one of the types, or drops one.
  (func (export "make") (param $type i32) (param $rep i32) (result i32)
    (if (result i32) (local.get $type)
      (then (call $make1 (local.get $rep)))
      (else (call $make0 (local.get $rep)))))
  (func $drop (export "drop") (param $type i32) (param $handle i32)
    (if (local.get $type)
      (then (call $drop1 (local.get $handle)))
      (else (call $drop0 (local.get $handle)))))
  ;; Drops what `hostile/wat.rs` says at the end of a call.
  (func (export "drop-all") (local $at i32) (local $end i32)
    (local.set $at (i32.const 0x400))
    (local.set $end (i32.add (i32.const 0x400) (i32.shl (i32.load $control (i32.const 0x28)) (i32.const 3))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (call $drop (i32.load $control (local.get $at)) (i32.load $control offset=4 (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next)))))
(core instance $handles (instantiate $handles-module (with "libc" (instance $libc)) (with "host" (instance
  (export "make0" (func $make0')) (export "make1" (func $make1'))
  (export "drop0" (func $drop0')) (export "drop1" (func $drop1'))))))
(func (export "make") (param "type" u32) (param "rep" u32) (result u32) (canon lift (core func $handles "make")))
(func (export "drop") (param "type" u32) (param "handle" u32) (canon lift (core func $handles "drop")))

;; Two core modules linked with each other. The call from one into the other is direct, the
;; imported memory is reached from the context with no pointer loaded, a load at a constant offset
;; is one address.
(component
  (core module $lib
    (memory (export "memory") 1)
    (global $count (export "count") (mut i32) (i32.const 0))
    (func $get (export "get") (param i32) (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (i32.load offset=16 (local.get 0))))
  (core module $app
    (import "lib" "memory" (memory 1))
    (import "lib" "count" (global $count (mut i32)))
    (import "lib" "get" (func $get (param i32) (result i32)))
    (func $call (param i32) (result i32)
      (i32.add (call $get (local.get 0)) (global.get $count)))
    (func $constant (result i32)
      (i32.load offset=8 (i32.const 1024)))
    (func $indexed (param i32) (result i64)
      (i64.load offset=24 (local.get 0)))
    (func $store (param i32 i32)
      (i32.store8 (local.get 0) (local.get 1)))
    (export "call" (func $call))
    (export "constant" (func $constant))
    (export "indexed" (func $indexed))
    (export "store" (func $store)))
  (core instance $lib (instantiate $lib))
  (core instance $app (instantiate $app (with "lib" (instance $lib))))
  (func (export "call") (param "x" u32) (result u32) (canon lift (core func $app "call"))))

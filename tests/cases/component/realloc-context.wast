;; `realloc` is called as a task of its own (`LiftLowerContext.reallocate`): `context.get` is 0
;; there, and what it sets is gone when it returns. The tasks keep theirs. Between guests of which
;; both use `context`, of which only the caller does, and between host and guest.

(component
  (component $Both
    (core func $get (canon context.get i32 0))
    (core func $set (canon context.set i32 0))
    (core module $libc
      (import "" "get" (func $get (result i32)))
      (import "" "set" (func $set (param i32)))
      (memory (export "mem") 1)
      (global $next (mut i32) (i32.const 1024))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (if (call $get) (then unreachable))
        (call $set (i32.const 1))
        (global.get $next)
        (global.set $next (i32.add (global.get $next) (local.get 3)))))
    (core instance $libc (instantiate $libc (with "" (instance
      (export "get" (func $get)) (export "set" (func $set))))))
    (core module $m
      (import "libc" "mem" (memory 1))
      (import "" "get" (func $get (result i32)))
      (import "" "set" (func $set (param i32)))
      (func (export "twice") (param i32 i32 i32 i32) (result i32)
        (if (call $get) (then unreachable))
        (call $set (i32.const 2))
        (i32.store (i32.const 16) (local.get 0))
        (i32.store (i32.const 20) (local.get 1))
        (i32.store (i32.const 24) (local.get 2))
        (i32.store (i32.const 28) (local.get 3))
        (i32.const 16))
      (func (export "post") (param i32)
        (if (i32.ne (call $get) (i32.const 2)) (then unreachable))))
    (core instance $i (instantiate $m
      (with "libc" (instance $libc))
      (with "" (instance (export "get" (func $get)) (export "set" (func $set))))))
    (func (export "twice") (param "a" string) (param "b" string) (result (tuple string string))
      (canon lift (core func $i "twice") (memory (core memory $libc "mem"))
        (realloc (core func $libc "realloc")) (post-return (core func $i "post")))))

  (component $Plain
    (core module $m
      (memory (export "mem") 1)
      (global $next (mut i32) (i32.const 1024))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $next)
        (global.set $next (i32.add (global.get $next) (local.get 3))))
      (func (export "twice") (param i32 i32 i32 i32) (result i32)
        (i32.store (i32.const 16) (local.get 0))
        (i32.store (i32.const 20) (local.get 1))
        (i32.store (i32.const 24) (local.get 2))
        (i32.store (i32.const 28) (local.get 3))
        (i32.const 16)))
    (core instance $i (instantiate $m))
    (func (export "twice") (param "a" string) (param "b" string) (result (tuple string string))
      (canon lift (core func $i "twice") (memory (core memory $i "mem"))
        (realloc (core func $i "realloc")))))

  ;; Calls `twice`, and has its own storage before and after.
  (component $Caller
    (import "twice" (func $twice
      (param "a" string) (param "b" string) (result (tuple string string))))
    (core func $get (canon context.get i64 0))
    (core func $set (canon context.set i64 0))
    (core module $libc
      (import "" "get" (func $get (result i64)))
      (import "" "set" (func $set (param i64)))
      (memory (export "mem") 1)
      (global $next (mut i32) (i32.const 1024))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (if (i64.ne (call $get) (i64.const 0)) (then unreachable))
        (call $set (i64.const -1))
        (global.get $next)
        (global.set $next (i32.add (global.get $next) (local.get 3)))))
    (core instance $libc (instantiate $libc (with "" (instance
      (export "get" (func $get)) (export "set" (func $set))))))
    (core func $twice (canon lower (func $twice) (memory (core memory $libc "mem"))
      (realloc (core func $libc "realloc"))))
    (core module $m
      (import "libc" "mem" (memory 1))
      (import "" "get" (func $get (result i64)))
      (import "" "set" (func $set (param i64)))
      (import "" "twice" (func $twice (param i32 i32 i32 i32 i32)))
      (func (export "call") (param i32 i32) (result i32)
        (if (i64.ne (call $get) (i64.const 0)) (then unreachable))
        (call $set (i64.const 0x123456789a))
        (call $twice (local.get 0) (local.get 1) (local.get 0) (local.get 1) (i32.const 16))
        (if (i64.ne (call $get) (i64.const 0x123456789a)) (then unreachable))
        (i32.const 16)))
    (core instance $i (instantiate $m
      (with "libc" (instance $libc))
      (with "" (instance (export "get" (func $get)) (export "set" (func $set))
        (export "twice" (func $twice))))))
    (func (export "call") (param "text" string) (result (tuple string string))
      (canon lift (core func $i "call") (memory (core memory $libc "mem"))
        (realloc (core func $libc "realloc")))))

  (instance $both (instantiate $Both))
  (instance $plain (instantiate $Plain))
  (instance $a (instantiate $Caller (with "twice" (func $both "twice"))))
  (instance $b (instantiate $Caller (with "twice" (func $plain "twice"))))
  (export "both" (func $a "call"))
  (export "caller" (func $b "call"))
  (export "host" (func $both "twice")))

(assert_return (invoke "host" (str.const "a") (str.const "bc"))
  (tuple.const (str.const "a") (str.const "bc")))
(assert_return (invoke "both" (str.const "some text"))
  (tuple.const (str.const "some text") (str.const "some text")))
(assert_return (invoke "caller" (str.const "some text"))
  (tuple.const (str.const "some text") (str.const "some text")))

;; Core modules linked with each other inside a component.

;; One memory, one table and globals, shared by two modules.
(component
  (core module $libc
    (memory (export "memory") 1 4)
    (table (export "table") 4 funcref)
    (global (export "base") i32 (i32.const 100))
    (global (export "count") (mut i32) (i32.const 0))
    (type $unary (func (param i32) (result i32)))
    (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
    (elem (i32.const 0) $double)
    (data (i32.const 8) "\2a")
    (func (export "apply") (param $slot i32) (param $value i32) (result i32)
      (call_indirect (type $unary) (local.get $value) (local.get $slot))))
  (core module $app
    (import "libc" "memory" (memory 1))
    (import "libc" "table" (table 4 funcref))
    (import "libc" "base" (global $base i32))
    (import "libc" "count" (global $count (mut i32)))
    (import "libc" "apply" (func $apply (param i32 i32) (result i32)))
    (type $unary (func (param i32) (result i32)))
    (func $square (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
    ;; Both fill the same memory and table; the offset is an import's value.
    (elem (i32.const 1) $square)
    (data (global.get $base) "\2b")
    (global $own (mut i32) (global.get $base))
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "grow") (result i32) (memory.grow (i32.const 1)))
    (func (export "size") (result i32) (memory.size))
    (func (export "apply") (param i32 i32) (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (call $apply (local.get 0) (local.get 1)))
    (func (export "apply-here") (param i32 i32) (result i32)
      (call_indirect (type $unary) (local.get 1) (local.get 0)))
    (func (export "own") (result i32) (global.get $own)))
  (core module $reader
    (import "libc" "count" (global $count (mut i32)))
    (import "libc" "memory" (memory 1))
    (func (export "count") (result i32) (global.get $count))
    (func (export "size") (result i32) (memory.size)))
  (core instance $libc (instantiate $libc))
  (core instance $app (instantiate $app (with "libc" (instance $libc))))
  (core instance $reader (instantiate $reader (with "libc" (instance $libc))))
  (func (export "load") (param "at" u32) (result u8) (canon lift (core func $app "load")))
  (func (export "grow") (result s32) (canon lift (core func $app "grow")))
  (func (export "size") (result u32) (canon lift (core func $app "size")))
  (func (export "reader-size") (result u32) (canon lift (core func $reader "size")))
  (func (export "apply") (param "slot" u32) (param "value" u32) (result u32)
    (canon lift (core func $app "apply")))
  (func (export "apply-here") (param "slot" u32) (param "value" u32) (result u32)
    (canon lift (core func $app "apply-here")))
  (func (export "own") (result u32) (canon lift (core func $app "own")))
  (func (export "count") (result u32) (canon lift (core func $reader "count")))
)
(assert_return (invoke "load" (u32.const 8)) (u8.const 0x2a))
(assert_return (invoke "load" (u32.const 100)) (u8.const 0x2b))
(assert_return (invoke "own") (u32.const 100))
(assert_return (invoke "apply" (u32.const 0) (u32.const 5)) (u32.const 10))
(assert_return (invoke "apply" (u32.const 1) (u32.const 5)) (u32.const 25))
(assert_return (invoke "apply-here" (u32.const 0) (u32.const 6)) (u32.const 12))
(assert_return (invoke "apply-here" (u32.const 1) (u32.const 6)) (u32.const 36))
(assert_return (invoke "count") (u32.const 2))
(assert_return (invoke "size") (u32.const 1))
(assert_return (invoke "grow") (s32.const 1))
(assert_return (invoke "size") (u32.const 2))
(assert_return (invoke "reader-size") (u32.const 2))
(assert_return (invoke "load" (u32.const 70000)) (u8.const 0))
(assert_return (invoke "grow") (s32.const 2))
(assert_return (invoke "grow") (s32.const 3))
;; The declared maximum is 4.
(assert_return (invoke "grow") (s32.const -1))
(assert_trap (invoke "apply" (u32.const 2) (u32.const 0)) "uninitialized element")

;; A fixed-up table, as `wasm-tools component new` makes: functions that are lowered before the
;; memory exists call through a table that is filled later.
(component
  (import "host" (instance $host
    (export "count" (func (param "s" string) (result u32)))))
  (core module $shim
    (table (export "table") 1 funcref)
    (type $t (func (param i32 i32) (result i32)))
    (func (export "count") (param i32 i32) (result i32)
      (call_indirect (type $t) (local.get 0) (local.get 1) (i32.const 0))))
  (core module $main
    (import "host" "count" (func $count (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "twelve bytes")
    (func (export "run") (result i32) (call $count (i32.const 16) (i32.const 12))))
  (core module $fixup
    (import "" "table" (table 1 funcref))
    (import "" "count" (func $count (param i32 i32) (result i32)))
    (elem (i32.const 0) func $count))
  (core instance $shim (instantiate $shim))
  (core instance $main (instantiate $main
    (with "host" (instance (export "count" (func $shim "count"))))))
  (core func $count (canon lower (func $host "count") (memory (core memory $main "memory"))))
  (core instance (instantiate $fixup
    (with "" (instance
      (export "table" (table $shim "table"))
      (export "count" (func $count))))))
  (func (export "run") (result u32) (canon lift (core func $main "run")))
)
(assert_return (invoke "run") (u32.const 12))

;; Start functions run in the order of the instances, and see what is there by then.
(component
  (core module $log
    (global $trace (mut i32) (i32.const 0))
    (func $append (export "append") (param i32)
      (global.set $trace (i32.add (i32.mul (global.get $trace) (i32.const 10)) (local.get 0))))
    (func $start (call $append (i32.const 1)))
    (start $start)
    (func (export "trace") (result i32) (global.get $trace)))
  (core module $user
    (import "log" "append" (func $append (param i32)))
    (import "me" "id" (global $id i32))
    (memory 1)
    (data (i32.const 0) "\05")
    (func $start
      (call $append (global.get $id))
      (call $append (i32.load8_u (i32.const 0))))
    (start $start))
  (core module $ids (global (export "a") i32 (i32.const 2)) (global (export "b") i32 (i32.const 3)))
  (core instance $log (instantiate $log))
  (core instance $ids (instantiate $ids))
  (core instance $a (instantiate $user
    (with "log" (instance $log))
    (with "me" (instance (export "id" (global $ids "a"))))))
  (core instance $b (instantiate $user
    (with "log" (instance $log))
    (with "me" (instance (export "id" (global $ids "b"))))))
  (func (export "trace") (result u32) (canon lift (core func $log "trace")))
)
(assert_return (invoke "trace") (u32.const 12535))

;; A start function that traps, and segments that do not fit: the instance is never there.
(assert_trap
  (component
    (core module $m (func $start (unreachable)) (start $start))
    (core instance (instantiate $m)))
  "unreachable")
(assert_trap
  (component
    (core module $m (memory 1) (data (i32.const 65536) "x"))
    (core instance (instantiate $m)))
  "out of bounds memory access")
(assert_trap
  (component
    (core module $m (table 1 funcref) (func $f) (elem (i32.const 1) $f))
    (core instance (instantiate $m)))
  "out of bounds table access")

;; One module, many instances: equal code is kept once, state is not.
(component
  (core module $cell
    (global $value (mut i32) (i32.const 0))
    (func (export "swap") (param i32) (result i32)
      (global.get $value)
      (global.set $value (local.get 0))))
  (core instance $a (instantiate $cell))
  (core instance $b (instantiate $cell))
  (core instance $c (instantiate $cell))
  (func (export "a") (param "v" u32) (result u32) (canon lift (core func $a "swap")))
  (func (export "b") (param "v" u32) (result u32) (canon lift (core func $b "swap")))
  (func (export "c") (param "v" u32) (result u32) (canon lift (core func $c "swap")))
)
(assert_return (invoke "a" (u32.const 1)) (u32.const 0))
(assert_return (invoke "b" (u32.const 2)) (u32.const 0))
(assert_return (invoke "c" (u32.const 3)) (u32.const 0))
(assert_return (invoke "a" (u32.const 0)) (u32.const 1))
(assert_return (invoke "b" (u32.const 0)) (u32.const 2))
(assert_return (invoke "c" (u32.const 0)) (u32.const 3))

;; Two memories: each function's options say whose.
(component
  (core module $m
    (memory (export "memory") 1)
    (global $id (mut i32) (i32.const 0))
    (func (export "set") (param i32) (i32.store8 (i32.const 32) (local.get 0)))
    (func (export "get") (result i32)
      (i32.store (i32.const 16) (i32.const 32))
      (i32.store (i32.const 20) (i32.const 1))
      (i32.const 16)))
  (core instance $a (instantiate $m))
  (core instance $b (instantiate $m))
  (func (export "set-a") (param "byte" u8) (canon lift (core func $a "set")))
  (func (export "set-b") (param "byte" u8) (canon lift (core func $b "set")))
  (func (export "get-a") (result string)
    (canon lift (core func $a "get") (memory (core memory $a "memory"))))
  (func (export "get-b") (result string)
    (canon lift (core func $b "get") (memory (core memory $b "memory"))))
)
(assert_return (invoke "set-a" (u8.const 97)))
(assert_return (invoke "set-b" (u8.const 98)))
(assert_return (invoke "get-a") (str.const "a"))
(assert_return (invoke "get-b") (str.const "b"))

;; Bulk operations between instances that share a memory, with passive segments of their own.
(component
  (core module $libc (memory (export "memory") 1))
  (core module $m
    (import "libc" "memory" (memory 1))
    (data $hello "hello")
    (data (i32.const 0) "....")
    (func (export "init") (param i32) (memory.init $hello (local.get 0) (i32.const 1) (i32.const 4)))
    (func (export "drop") (data.drop $hello))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))
  (core instance $libc (instantiate $libc))
  (core instance $a (instantiate $m (with "libc" (instance $libc))))
  (core instance $b (instantiate $m (with "libc" (instance $libc))))
  (func (export "init-a") (param "at" u32) (canon lift (core func $a "init")))
  (func (export "init-b") (param "at" u32) (canon lift (core func $b "init")))
  (func (export "drop-a") (canon lift (core func $a "drop")))
  (func (export "load") (param "at" u32) (result u32) (canon lift (core func $b "load")))
)
(assert_return (invoke "load" (u32.const 0)) (u32.const 0x2e2e2e2e))
(assert_return (invoke "init-a" (u32.const 64)))
(assert_return (invoke "load" (u32.const 64)) (u32.const 0x6f6c6c65))
(assert_return (invoke "drop-a"))
(assert_return (invoke "init-b" (u32.const 128)))
(assert_return (invoke "load" (u32.const 128)) (u32.const 0x6f6c6c65))
(assert_trap (invoke "init-a" (u32.const 0)) "out of bounds memory access")

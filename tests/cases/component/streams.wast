;; A read that has copied all that it has room for, and whose event nobody has seen, is not a read
;; of nothing: a write of nothing that meets it waits for the next read. One that meets a read of
;; nothing is over at once.
(component
  (type $bytes (stream u8))
  (core module $libc (memory (export "mem") 1))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (core module $m
    (import "" "new" (func $new (result i64)))
    (import "" "read" (func $read (param i32 i32 i32) (result i32)))
    (import "" "write" (func $write (param i32 i32 i32) (result i32)))
    ;; Reads so many, writes as many, and then none: what the last write says.
    (func (export "run") (param $n i32) (result i32) (local $ends i64) (local $to i32)
      (local.set $ends (call $new))
      (local.set $to (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
      (if (i32.ne
            (call $read (i32.wrap_i64 (local.get $ends)) (i32.const 0) (local.get $n))
            (i32.const -1))
        (then unreachable))
      (if (local.get $n) (then
        (if (i32.ne
              (call $write (local.get $to) (i32.const 64) (local.get $n))
              (i32.shl (local.get $n) (i32.const 4)))
          (then unreachable))))
      (call $write (local.get $to) (i32.const 64) (i32.const 0))))
  (canon stream.new $bytes (core func $new))
  (canon stream.read $bytes async (memory $mem) (core func $read))
  (canon stream.write $bytes async (memory $mem) (core func $write))
  (core instance $i (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "read" (func $read)) (export "write" (func $write))))))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))
(assert_return (invoke "run" (u32.const 3)) (u32.const 0xffffffff))
(assert_return (invoke "run" (u32.const 0)) (u32.const 0))

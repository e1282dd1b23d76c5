;; A guest that knows nothing of waiting, whose host functions may wait: loops that call them.
(component
  (import "ready" (func $ready (param "n" u32) (result u32)))
  (import "pending" (func $pending (param "n" u32) (result u32)))
  (core func $ready (canon lower (func $ready)))
  (core func $pending (canon lower (func $pending)))
  (core module $guest
    (import "host" "ready" (func $ready (param i32) (result i32)))
    (import "host" "pending" (func $pending (param i32) (result i32)))
    (func (export "add") (param i32 i32) (result i32)
      (i32.add (local.get 0) (local.get 1)))
    ;; The host adds one, n times.
    (func (export "ready") (param $n i32) (result i32)
      (local $sum i32)
      (loop $again
        (if (local.get $n)
          (then
            (local.set $sum (call $ready (local.get $sum)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $again))))
      (local.get $sum))
    (func (export "pending") (param $n i32) (result i32)
      (local $sum i32)
      (loop $again
        (if (local.get $n)
          (then
            (local.set $sum (call $pending (local.get $sum)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $again))))
      (local.get $sum)))
  (core instance $guest (instantiate $guest
    (with "host" (instance
      (export "ready" (func $ready))
      (export "pending" (func $pending))))))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32)
    (canon lift (core func $guest "add")))
  (func (export "ready") (param "n" u32) (result u32)
    (canon lift (core func $guest "ready")))
  (func (export "pending") (param "n" u32) (result u32)
    (canon lift (core func $guest "pending"))))

;; The thunk of `add(u32, u32)` takes its arguments in registers; a host function is reached through
;; its slot in the context.
(component
  (import "log" (func $log (param "x" u32) (result u32)))
  (core func $log (canon lower (func $log)))
  (core module $m
    (import "" "log" (func $log (param i32) (result i32)))
    (func $add (export "add") (param i32 i32) (result i32)
      (i32.add (local.get 0) (local.get 1)))
    (func $twice (export "twice") (param i32) (result i32)
      (call $log (call $log (local.get 0)))))
  (core instance $i (instantiate $m (with "" (instance (export "log" (func $log))))))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32)
    (canon lift (core func $i "add")))
  (func (export "twice") (param "a" u32) (result u32)
    (canon lift (core func $i "twice"))))

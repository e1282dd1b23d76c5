;; `task.return` must have the memory of the task (`LiftOptions.equal`), unless it has none and needs
;; none.

(component definition $With
  (core module $libc (memory (export "mem") 1))
  (core instance $libc (instantiate $libc))
  (core func $return (canon task.return (result u32) (memory (core memory $libc "mem"))))
  (core func $return-plain (canon task.return (result u32)))
  (core module $m
    (import "" "return" (func $return (param i32)))
    (import "" "return-plain" (func $return-plain (param i32)))
    (func (export "f") (call $return (i32.const 1)))
    (func (export "plain") (call $return-plain (i32.const 2))))
  (core instance $i (instantiate $m (with "" (instance
    (export "return" (func $return)) (export "return-plain" (func $return-plain))))))
  (func (export "with-with") async (result u32)
    (canon lift (core func $i "f") async (memory (core memory $libc "mem"))))
  (func (export "without-with") async (result u32) (canon lift (core func $i "f") async))
  (func (export "with-without") async (result u32)
    (canon lift (core func $i "plain") async (memory (core memory $libc "mem"))))
  (func (export "without-without") async (result u32) (canon lift (core func $i "plain") async)))

(component instance $a $With)
(assert_return (invoke "with-with") (u32.const 1))
(assert_return (invoke "with-without") (u32.const 2))
(assert_return (invoke "without-without") (u32.const 2))
(assert_trap (invoke "without-with")
  "invalid `task.return` signature and/or options for current task")

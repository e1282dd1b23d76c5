;; Components in components: instances, aliases, arguments and re-exports are all resolved by the
;; compiler.

;; An inner component's function, exported as it is, renamed, and inside an instance.
(component
  (component $inner
    (core module $m
      (global $count (mut i32) (i32.const 0))
      (func (export "count") (result i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (global.get $count)))
    (core instance $i (instantiate $m))
    (func (export "count") (result u32) (canon lift (core func $i "count"))))
  (instance $a (instantiate $inner))
  (instance $b (instantiate $inner))
  (export "a" (func $a "count"))
  (export "b" (func $b "count"))
  (export "instance-b" (instance $b))
)
;; Two instances of the same component do not share their state; two names of one do.
(assert_return (invoke "a") (u32.const 1))
(assert_return (invoke "a") (u32.const 2))
(assert_return (invoke "b") (u32.const 1))
(assert_return (invoke "instance-b#count") (u32.const 2))
(assert_return (invoke "a") (u32.const 3))
(assert_return (invoke "b") (u32.const 3))

;; Three levels, with an outer alias to a core module and a module as argument.
(component
  (core module $seven (func (export "f") (result i32) (i32.const 7)))
  (core module $eight (func (export "f") (result i32) (i32.const 8)))
  (component $middle
    (import "m" (core module $m (export "f" (func (result i32)))))
    (component $inner
      (alias outer 2 $seven (core module $outer-seven))
      (core instance $i (instantiate $outer-seven))
      (func (export "f") (result u32) (canon lift (core func $i "f"))))
    (instance $inner (instantiate $inner))
    (core instance $i (instantiate $m))
    (func $f (result u32) (canon lift (core func $i "f")))
    (export "given" (func $f))
    (export "taken" (func $inner "f")))
  (instance $x (instantiate $middle (with "m" (core module $eight))))
  (instance $y (instantiate $middle (with "m" (core module $seven))))
  (export "x-given" (func $x "given"))
  (export "x-taken" (func $x "taken"))
  (export "y-given" (func $y "given"))
)
(assert_return (invoke "x-given") (u32.const 8))
(assert_return (invoke "x-taken") (u32.const 7))
(assert_return (invoke "y-given") (u32.const 7))

;; A component as argument, instantiated by whom it is given to.
(component
  (component $one
    (core module $m (func (export "f") (result i32) (i32.const 1)))
    (core instance $i (instantiate $m))
    (func (export "f") (result u32) (canon lift (core func $i "f"))))
  (component $user
    (import "c" (component $c (export "f" (func (result u32)))))
    (instance $i (instantiate $c))
    (export "f" (func $i "f")))
  (instance $u (instantiate $user (with "c" (component $one))))
  (export "f" (func $u "f"))
)
(assert_return (invoke "f") (u32.const 1))

;; Instances made of single items, and types that pass through them.
(component
  (type $pair' (record (field "a" u32) (field "b" u32)))
  (core module $m (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $i (instantiate $m))
  (component $inner
    (type $p' (record (field "a" u32) (field "b" u32)))
    (export $p "pair" (type $p'))
    (core module $m (func (export "mul") (param i32 i32) (result i32) (i32.mul (local.get 0) (local.get 1))))
    (core instance $i (instantiate $m))
    (func (export "mul") (param "p" $p) (result u32) (canon lift (core func $i "mul"))))
  (instance $inner (instantiate $inner))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (instance $bag (export "add" (func $add)) (export "sum" (func $add)))
  (export "test:math/bag@1.2.3" (instance $bag))
  (export "test:math/mul" (instance $inner))
)
(assert_return (invoke "test:math/bag@1.2.3#add" (u32.const 2) (u32.const 3)) (u32.const 5))
(assert_return (invoke "test:math/bag@1.2.3#sum" (u32.const 2) (u32.const 4)) (u32.const 6))
(assert_return (invoke "test:math/mul#mul" (record.const (field "a" u32.const 6) (field "b" u32.const 7))) (u32.const 42))

;; A host function handed down two levels.
(component
  (import "host-echo-u32" (func $echo (param "v" u32) (result u32)))
  (component $outer
    (import "f" (func $f (param "v" u32) (result u32)))
    (component $inner
      (import "g" (func $g (param "v" u32) (result u32)))
      (core func $g' (canon lower (func $g)))
      (core module $m
        (import "" "g" (func $g (param i32) (result i32)))
        (func (export "h") (param i32) (result i32)
          (i32.add (call $g (local.get 0)) (i32.const 1))))
      (core instance $i (instantiate $m (with "" (instance (export "g" (func $g'))))))
      (func (export "h") (param "v" u32) (result u32) (canon lift (core func $i "h"))))
    (instance $inner (instantiate $inner (with "g" (func $f))))
    (export "h" (func $inner "h")))
  (instance $o (instantiate $outer (with "f" (func $echo))))
  (export "h" (func $o "h"))
)
(assert_return (invoke "h" (u32.const 9)) (u32.const 10))

;; A name that is exported twice, or is not there.
(assert_invalid
  (component
    (core module $m (func (export "f")))
    (core instance $i (instantiate $m))
    (func $f (canon lift (core func $i "f")))
    (export "f" (func $f))
    (export "f" (func $f)))
  "conflicts")
(assert_invalid
  (component
    (component $c)
    (instance $i (instantiate $c))
    (alias export $i "f" (func $f)))
  "no export")

;; Calls between components: the caller's flag is checked, and nothing is written. Small adapters are
;; inlined, and so are leaves: `add` is, `div` can trap. A list of numbers
;; is one bounds check on each side and one copy; a short copy does not leave wasm.
(component
  (component $C
    (core module $m
      (memory (export "memory") 1)
      (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
      (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
      (func $div (export "div") (param i32 i32) (result i32) (i32.div_u (local.get 0) (local.get 1)))
      (func $take (export "take") (param i32 i32)))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
    (func (export "div") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "div")))
    (func (export "take") (param "l" (list u32))
      (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (component $D
    (import "add" (func $add (param "a" u32) (param "b" u32) (result u32)))
    (import "div" (func $div (param "a" u32) (param "b" u32) (result u32)))
    (import "take" (func $take (param "l" (list u32))))
    (core module $libc (memory (export "memory") 1))
    (core instance $libc (instantiate $libc))
    (core func $add (canon lower (func $add)))
    (core func $div (canon lower (func $div)))
    (core func $take (canon lower (func $take) (memory (core memory $libc "memory"))))
    (core module $m
      (import "" "add" (func $add (param i32 i32) (result i32)))
      (import "" "div" (func $div (param i32 i32) (result i32)))
      (import "" "take" (func $take (param i32 i32)))
      (func $run (export "run") (result i32)
        (call $take (i32.const 8) (i32.const 2))
        (call $div (call $add (i32.const 1) (i32.const 2)) (i32.const 3))))
    (core instance $i (instantiate $m (with "" (instance (export "add" (func $add)) (export "div" (func $div)) (export "take" (func $take))))))
    (func (export "run") (result u32) (canon lift (core func $i "run"))))
  (instance $c (instantiate $C))
  (instance $d (instantiate $D (with "add" (func $c "add")) (with "div" (func $c "div")) (with "take" (func $c "take"))))
  (export "run" (func $d "run")))

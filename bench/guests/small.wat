;; About the smallest component there is: its artifact is loaded to compare with a large one.
(component
  (core module $guest
    (func (export "run") (param i32) (result i32)
      (i32.add (local.get 0) (i32.const 1))))
  (core instance $guest (instantiate $guest))
  (func (export "run") (param "seed" u32) (result u32) (canon lift (core func $guest "run"))))

;; Grows its memory by a page of 64 KiB and uses both ends, as an allocator does that finds the
;; initial memory full: each instance of a guest written in Rust or C does so at its first
;; allocation.
(component
  (core module $guest
    (memory 17)
    (func (export "run") (param $pages i32) (result i32)
      (local $start i32)
      (local.set $start (i32.shl (memory.grow (local.get $pages)) (i32.const 16)))
      ;; What is there must be zero.
      (if (i32.or (i32.load (local.get $start)) (i32.load offset=65528 (local.get $start)))
        (then (unreachable)))
      (i32.store (local.get $start) (i32.const 1))
      (i32.store offset=65528 (local.get $start) (i32.const 1))
      (memory.size)))
  (core instance $guest (instantiate $guest))
  (func (export "run") (param "pages" u32) (result u32)
    (canon lift (core func $guest "run"))))

;; Writes to a number of pages of its memory: what an instance leaves when it is dropped.
(component
  (core module $guest
    ;; 1 MiB.
    (memory 16)
    (data (i32.const 1024) "An image of a few bytes.")
    (func (export "run") (param $pages i32) (result i32)
      (local $page i32) (local $sum i32)
      (block $done
        (loop $next
          (br_if $done (i32.ge_u (local.get $page) (local.get $pages)))
          ;; What is there must be what an instance starts with.
          (local.set $sum
            (i32.add (local.get $sum) (i32.load8_u offset=1024 (i32.shl (local.get $page) (i32.const 12)))))
          (i32.store8 offset=1024 (i32.shl (local.get $page) (i32.const 12)) (i32.const 7))
          (local.set $page (i32.add (local.get $page) (i32.const 1)))
          (br $next)))
      (local.get $sum)))
  (core instance $guest (instantiate $guest))
  (func (export "run") (param "pages" u32) (result u32)
    (canon lift (core func $guest "run"))))

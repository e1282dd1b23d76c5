;; The example of the component model's SharedEverythingDynamicLinking.md: `zipper` and `imgmgk` share the code of
;; libc, libzip and libimg, and each has a memory, a table and variables of its own. The modules are arguments of
;; the components. tests/shared_everything.rs runs the same components with modules that the host gives.

(component
  ;; The modules.
  (core module $libc
    (memory (export "memory") 1)
    (table (export "table") 4 funcref)
    (global (export "zip-base") i32 (i32.const 1))
    (global (export "img-base") i32 (i32.const 2))
    (global $next (export "next") (mut i32) (i32.const 1024))
    (type $byte-to-byte (func (param i32) (result i32)))
    (func $malloc (export "malloc") (param $size i32) (result i32)
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get $size))))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (call $malloc (local.get $size)))
    ;; Makes something else of each byte, by a function of the table.
    (func (export "map") (param $func i32) (param $at i32) (param $len i32) (local $end i32)
      (local.set $end (i32.add (local.get $at) (local.get $len)))
      (block $done
        (loop $next-byte
          (br_if $done (i32.eq (local.get $at) (local.get $end)))
          (i32.store8 (local.get $at)
            (call_indirect (type $byte-to-byte) (i32.load8_u (local.get $at)) (local.get $func)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next-byte)))))
  (core module $libzip
    (import "libc" "memory" (memory 1))
    (import "libc" "table" (table 4 funcref))
    (import "libc" "zip-base" (global $base i32))
    (import "libc" "malloc" (func $malloc (param i32) (result i32)))
    (import "libc" "map" (func $map (param i32 i32 i32)))
    ;; How often `zip` was called, in the memory of whoever calls it.
    (data (i32.const 8) "\64")
    (elem (global.get $base) func $increment)
    (func $increment (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    ;; A copy, with a byte before it that counts calls; all bytes but that one are greater by one.
    (func (export "zip") (param $at i32) (param $len i32) (result i32) (local $to i32)
      (i32.store8 (i32.const 8) (i32.add (i32.load8_u (i32.const 8)) (i32.const 1)))
      (local.set $to (call $malloc (i32.add (local.get $len) (i32.const 1))))
      (i32.store8 (local.get $to) (i32.load8_u (i32.const 8)))
      (memory.copy (i32.add (local.get $to) (i32.const 1)) (local.get $at) (local.get $len))
      (call $map (global.get $base) (i32.add (local.get $to) (i32.const 1)) (local.get $len))
      (local.get $to)))
  (core module $libimg
    (import "libc" "memory" (memory 1))
    (import "libc" "table" (table 4 funcref))
    (import "libc" "img-base" (global $base i32))
    (import "libc" "map" (func $map (param i32 i32 i32)))
    (import "libzip" "zip" (func $zip (param i32 i32) (result i32)))
    (elem (global.get $base) func $invert)
    (func $invert (param i32) (result i32) (i32.xor (local.get 0) (i32.const 0xff)))
    ;; Inverts in place, and zips.
    (func (export "compress") (param $at i32) (param $len i32) (result i32)
      (call $map (global.get $base) (local.get $at) (local.get $len))
      (call $zip (local.get $at) (local.get $len))))
  ;; The components.
  (component $zipper'
    (import "libc" (core module $libc
      (export "memory" (memory 1))
      (export "table" (table 4 funcref))
      (export "zip-base" (global i32))
      (export "img-base" (global i32))
      (export "next" (global (mut i32)))
      (export "malloc" (func (param i32) (result i32)))
      (export "realloc" (func (param i32 i32 i32 i32) (result i32)))
      (export "map" (func (param i32 i32 i32)))))
    (import "libzip" (core module $libzip
      (import "libc" "memory" (memory 1))
      (import "libc" "table" (table 4 funcref))
      (import "libc" "zip-base" (global i32))
      (import "libc" "malloc" (func (param i32) (result i32)))
      (import "libc" "map" (func (param i32 i32 i32)))
      (export "zip" (func (param i32 i32) (result i32)))))
    (core module $main
      (import "libc" "memory" (memory 1))
      (import "libc" "next" (global $next (mut i32)))
      (import "libzip" "zip" (func $zip (param i32 i32) (result i32)))
      (func (export "zip") (param i32 i32) (result i32)
        (i32.store (i32.const 16) (call $zip (local.get 0) (local.get 1)))
        (i32.store (i32.const 20) (i32.add (local.get 1) (i32.const 1)))
        (i32.const 16))
      (func (export "used") (result i32) (i32.sub (global.get $next) (i32.const 1024))))
    (core instance $libc (instantiate $libc))
    (core instance $libzip (instantiate $libzip (with "libc" (instance $libc))))
    (core instance $main (instantiate $main
      (with "libc" (instance $libc)) (with "libzip" (instance $libzip))))
    (func (export "zip") (param "data" (list u8)) (result (list u8)) (canon lift
      (core func $main "zip") (memory (core memory $libc "memory"))
      (realloc (core func $libc "realloc"))))
    (func (export "used") (result u32) (canon lift (core func $main "used"))))
  (component $imgmgk'
    (import "libc" (core module $libc
      (export "memory" (memory 1))
      (export "table" (table 4 funcref))
      (export "zip-base" (global i32))
      (export "img-base" (global i32))
      (export "next" (global (mut i32)))
      (export "malloc" (func (param i32) (result i32)))
      (export "realloc" (func (param i32 i32 i32 i32) (result i32)))
      (export "map" (func (param i32 i32 i32)))))
    (import "libzip" (core module $libzip
      (import "libc" "memory" (memory 1))
      (import "libc" "table" (table 4 funcref))
      (import "libc" "zip-base" (global i32))
      (import "libc" "malloc" (func (param i32) (result i32)))
      (import "libc" "map" (func (param i32 i32 i32)))
      (export "zip" (func (param i32 i32) (result i32)))))
    (import "libimg" (core module $libimg
      (import "libc" "memory" (memory 1))
      (import "libc" "table" (table 4 funcref))
      (import "libc" "img-base" (global i32))
      (import "libc" "map" (func (param i32 i32 i32)))
      (import "libzip" "zip" (func (param i32 i32) (result i32)))
      (export "compress" (func (param i32 i32) (result i32)))))
    (core module $main
      (import "libc" "memory" (memory 1))
      (import "libc" "table" (table $table 4 funcref))
      (import "libimg" "compress" (func $compress (param i32 i32) (result i32)))
      (type $byte-to-byte (func (param i32) (result i32)))
      (func (export "transform") (param i32 i32) (result i32)
        (i32.store (i32.const 16) (call $compress (local.get 0) (local.get 1)))
        (i32.store (i32.const 20) (i32.add (local.get 1) (i32.const 1)))
        (i32.const 16))
      ;; What is in the table.
      (func (export "call") (param $func i32) (param $value i32) (result i32)
        (call_indirect $table (type $byte-to-byte) (local.get $value) (local.get $func))))
    (core instance $libc (instantiate $libc))
    (core instance $libzip (instantiate $libzip (with "libc" (instance $libc))))
    (core instance $libimg (instantiate $libimg
      (with "libc" (instance $libc)) (with "libzip" (instance $libzip))))
    (core instance $main (instantiate $main
      (with "libc" (instance $libc)) (with "libimg" (instance $libimg))))
    (func (export "transform") (param "data" (list u8)) (result (list u8)) (canon lift
      (core func $main "transform") (memory (core memory $libc "memory"))
      (realloc (core func $libc "realloc"))))
    (func (export "call") (param "func" u32) (param "value" u32) (result u32)
      (canon lift (core func $main "call"))))
  (component $app'
    (import "libc" (core module $libc
      (export "memory" (memory 1))
      (export "realloc" (func (param i32 i32 i32 i32) (result i32)))
      (export "next" (global (mut i32)))))
    (import "zipper" (instance $zipper
      (export "zip" (func (param "data" (list u8)) (result (list u8))))))
    (import "imgmgk" (instance $imgmgk
      (export "transform" (func (param "data" (list u8)) (result (list u8))))))
    (core instance $libc (instantiate $libc))
    (core func $zip (canon lower (func $zipper "zip")
      (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $transform (canon lower (func $imgmgk "transform")
      (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core module $main
      (import "libc" "memory" (memory 1))
      (import "libc" "next" (global $next (mut i32)))
      (import "app" "zip" (func $zip (param i32 i32 i32)))
      (import "app" "transform" (func $transform (param i32 i32 i32)))
      ;; Zips what was transformed.
      (func (export "run") (param i32 i32) (result i32)
        (call $transform (local.get 0) (local.get 1) (i32.const 16))
        (call $zip (i32.load (i32.const 16)) (i32.load (i32.const 20)) (i32.const 16))
        (i32.const 16))
      (func (export "used") (result i32) (i32.sub (global.get $next) (i32.const 1024)))
      ;; What the count of libzip is elsewhere.
      (func (export "count") (result i32) (i32.load8_u (i32.const 8))))
    (core instance $main (instantiate $main
      (with "libc" (instance $libc))
      (with "app" (instance (export "zip" (func $zip)) (export "transform" (func $transform))))))
    (func (export "run") (param "data" (list u8)) (result (list u8)) (canon lift
      (core func $main "run") (memory (core memory $libc "memory"))
      (realloc (core func $libc "realloc"))))
    (func (export "used") (result u32) (canon lift (core func $main "used")))
    (func (export "count") (result u32) (canon lift (core func $main "count"))))
  (instance $zipper (instantiate $zipper'
    (with "libc" (core module $libc)) (with "libzip" (core module $libzip))))
  (instance $imgmgk (instantiate $imgmgk'
    (with "libc" (core module $libc)) (with "libzip" (core module $libzip))
    (with "libimg" (core module $libimg))))
  (instance $app (instantiate $app'
    (with "libc" (core module $libc))
    (with "zipper" (instance $zipper)) (with "imgmgk" (instance $imgmgk))))
  (export "run" (func $app "run"))
  (export "app-used" (func $app "used"))
  (export "app-count" (func $app "count"))
  (export "zip" (func $zipper "zip"))
  (export "zipper-used" (func $zipper "used"))
  (export "transform" (func $imgmgk "transform"))
  (export "call" (func $imgmgk "call"))
)

;; Each has counted its own calls of `zip`: 100 were there before.
(assert_return (invoke "zip" (list.const (u8.const 1) (u8.const 2)))
  (list.const (u8.const 101) (u8.const 2) (u8.const 3)))
(assert_return (invoke "zip" (list.const (u8.const 7))) (list.const (u8.const 102) (u8.const 8)))
(assert_return (invoke "transform" (list.const (u8.const 0xf0) (u8.const 0)))
  (list.const (u8.const 101) (u8.const 0x10) (u8.const 0)))
;; 0x0f is 0xf0 and then 0xf1 in imgmgk; its count before that and both are one more in zipper.
(assert_return (invoke "run" (list.const (u8.const 0x0f)))
  (list.const (u8.const 103) (u8.const 103) (u8.const 0xf2)))
(assert_return (invoke "app-count") (u32.const 0))
;; Arguments and results: 2 + 3 + 1 + 2 and 2 + 3 bytes in zipper, 1 + 2 + 3 in app.
(assert_return (invoke "zipper-used") (u32.const 13))
(assert_return (invoke "app-used") (u32.const 6))
;; libzip's function and libimg's are in one table; no others are.
(assert_return (invoke "call" (u32.const 1) (u32.const 5)) (u32.const 6))
(assert_return (invoke "call" (u32.const 2) (u32.const 5)) (u32.const 0xfa))
(assert_trap (invoke "call" (u32.const 0) (u32.const 5)) "uninitialized element")

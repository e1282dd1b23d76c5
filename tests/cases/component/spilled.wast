;; More than 16 flat parameters pass through memory, as one record; more than one flat result too.

(component definition $Spilled
  (core module $m
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at
        (i32.and
          (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (local.get $at))
    ;; Each parameter times its place, from 1 on.
    (func (export "sum-16") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
      (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.add (i32.const 0) (i32.mul (local.get 0) (i32.const 1))) (i32.mul (local.get 1) (i32.const 2))) (i32.mul (local.get 2) (i32.const 3))) (i32.mul (local.get 3) (i32.const 4))) (i32.mul (local.get 4) (i32.const 5))) (i32.mul (local.get 5) (i32.const 6))) (i32.mul (local.get 6) (i32.const 7))) (i32.mul (local.get 7) (i32.const 8))) (i32.mul (local.get 8) (i32.const 9))) (i32.mul (local.get 9) (i32.const 10))) (i32.mul (local.get 10) (i32.const 11))) (i32.mul (local.get 11) (i32.const 12))) (i32.mul (local.get 12) (i32.const 13))) (i32.mul (local.get 13) (i32.const 14))) (i32.mul (local.get 14) (i32.const 15))) (i32.mul (local.get 15) (i32.const 16))))
    (func (export "sum-17") (param $pointer i32) (result i32)
      (local $place i32) (local $sum i32)
      (loop $next
        (local.set $place (i32.add (local.get $place) (i32.const 1)))
        (local.set $sum
          (i32.add (local.get $sum) (i32.mul (i32.load (local.get $pointer)) (local.get $place))))
        (local.set $pointer (i32.add (local.get $pointer) (i32.const 4)))
        (br_if $next (i32.lt_u (local.get $place) (i32.const 17))))
      (local.get $sum))
    ;; string x 9: 18 flat values. Answers the pair at this place.
    (func (export "nth") (param $pointer i32) (result i32)
      (i32.add (local.get $pointer) (i32.const 40)))
    ;; (u8, u64) x 9 in a record: 0, 8, 16, 24, ...
    (func (export "mixed") (param $pointer i32) (result i64)
      (i64.add
        (i64.extend_i32_u (i32.load8_u offset=128 (local.get $pointer)))
        (i64.load offset=136 (local.get $pointer))))
    (func (export "identity") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "sum-16") (param "p0" u32) (param "p1" u32) (param "p2" u32) (param "p3" u32) (param "p4" u32) (param "p5" u32) (param "p6" u32) (param "p7" u32) (param "p8" u32) (param "p9" u32) (param "p10" u32) (param "p11" u32) (param "p12" u32) (param "p13" u32) (param "p14" u32) (param "p15" u32) (result u32)
    (canon lift (core func $i "sum-16")))
  (func (export "sum-17") (param "p0" u32) (param "p1" u32) (param "p2" u32) (param "p3" u32) (param "p4" u32) (param "p5" u32) (param "p6" u32) (param "p7" u32) (param "p8" u32) (param "p9" u32) (param "p10" u32) (param "p11" u32) (param "p12" u32) (param "p13" u32) (param "p14" u32) (param "p15" u32) (param "p16" u32) (result u32)
    (canon lift (core func $i "sum-17") (memory $memory) (realloc $realloc)))
  (func (export "sixth") (param "p0" string) (param "p1" string) (param "p2" string) (param "p3" string) (param "p4" string) (param "p5" string) (param "p6" string) (param "p7" string) (param "p8" string) (result string)
    (canon lift (core func $i "nth") (memory $memory) (realloc $realloc)))
  (func (export "mixed") (param "a0" u8) (param "b0" u64) (param "a1" u8) (param "b1" u64) (param "a2" u8) (param "b2" u64) (param "a3" u8) (param "b3" u64) (param "a4" u8) (param "b4" u64) (param "a5" u8) (param "b5" u64) (param "a6" u8) (param "b6" u64) (param "a7" u8) (param "b7" u64) (param "a8" u8) (param "b8" u64) (result u64)
    (canon lift (core func $i "mixed") (memory $memory) (realloc $realloc)))
  ;; Parameters and result through memory, of the same layout.
  (type $wide' (record (field "f0" s16) (field "f1" s16) (field "f2" s16) (field "f3" s16) (field "f4" s16) (field "f5" s16) (field "f6" s16) (field "f7" s16) (field "f8" s16) (field "f9" s16) (field "f10" s16) (field "f11" s16) (field "f12" s16) (field "f13" s16) (field "f14" s16) (field "f15" s16) (field "f16" s16) (field "f17" s16) (field "f18" s16) (field "f19" s16)))
  (export $wide "wide-record" (type $wide'))
  (func (export "wide") (param "w" $wide) (result $wide)
    (canon lift (core func $i "identity") (memory $memory) (realloc $realloc)))
)
(component instance $s $Spilled)
(assert_return (invoke "sum-16" (u32.const 1) (u32.const 2) (u32.const 3) (u32.const 4) (u32.const 5) (u32.const 6) (u32.const 7) (u32.const 8) (u32.const 9) (u32.const 10) (u32.const 11) (u32.const 12) (u32.const 13) (u32.const 14) (u32.const 15) (u32.const 16)) (u32.const 1496))
(assert_return (invoke "sum-17" (u32.const 1) (u32.const 2) (u32.const 3) (u32.const 4) (u32.const 5) (u32.const 6) (u32.const 7) (u32.const 8) (u32.const 9) (u32.const 10) (u32.const 11) (u32.const 12) (u32.const 13) (u32.const 14) (u32.const 15) (u32.const 16) (u32.const 17)) (u32.const 1785))
(assert_return
  (invoke "sixth" (str.const "a") (str.const "bb") (str.const "ccc") (str.const "dddd") (str.const "eeeee") (str.const "ffffff") (str.const "ggggggg") (str.const "hhhhhhhh") (str.const "iiiiiiiii"))
  (str.const "ffffff"))
(assert_return
  (invoke "mixed" (u8.const 0) (u64.const 0) (u8.const 1) (u64.const 1000) (u8.const 2) (u64.const 2000) (u8.const 3) (u64.const 3000) (u8.const 4) (u64.const 4000) (u8.const 5) (u64.const 5000) (u8.const 6) (u64.const 6000) (u8.const 7) (u64.const 7000) (u8.const 8) (u64.const 8000))
  (u64.const 8008))
(assert_return
  (invoke "wide" (record.const (field "f0" s16.const -10) (field "f1" s16.const -9) (field "f2" s16.const -8) (field "f3" s16.const -7) (field "f4" s16.const -6) (field "f5" s16.const -5) (field "f6" s16.const -4) (field "f7" s16.const -3) (field "f8" s16.const -2) (field "f9" s16.const -1) (field "f10" s16.const 0) (field "f11" s16.const 1) (field "f12" s16.const 2) (field "f13" s16.const 3) (field "f14" s16.const 4) (field "f15" s16.const 5) (field "f16" s16.const 6) (field "f17" s16.const 7) (field "f18" s16.const 8) (field "f19" s16.const 9)))
  (record.const (field "f0" s16.const -10) (field "f1" s16.const -9) (field "f2" s16.const -8) (field "f3" s16.const -7) (field "f4" s16.const -6) (field "f5" s16.const -5) (field "f6" s16.const -4) (field "f7" s16.const -3) (field "f8" s16.const -2) (field "f9" s16.const -1) (field "f10" s16.const 0) (field "f11" s16.const 1) (field "f12" s16.const 2) (field "f13" s16.const 3) (field "f14" s16.const 4) (field "f15" s16.const 5) (field "f16" s16.const 6) (field "f17" s16.const 7) (field "f18" s16.const 8) (field "f19" s16.const 9)))

;; The record of the parameters is where `realloc` says, which must be a good place.
(component definition $BadPlace
  (core module $m
    (memory (export "memory") 1)
    (global $answer (mut i32) (i32.const 0))
    (func (export "set") (param i32) (global.set $answer (local.get 0)))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (global.get $answer))
    (func (export "last") (param $pointer i32) (result i32) (i32.load offset=64 (local.get $pointer))))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "set") (param "answer" u32) (canon lift (core func $i "set")))
  (func (export "last") (param "p0" u32) (param "p1" u32) (param "p2" u32) (param "p3" u32) (param "p4" u32) (param "p5" u32) (param "p6" u32) (param "p7" u32) (param "p8" u32) (param "p9" u32) (param "p10" u32) (param "p11" u32) (param "p12" u32) (param "p13" u32) (param "p14" u32) (param "p15" u32) (param "p16" u32) (result u32)
    (canon lift (core func $i "last") (memory $memory) (realloc $realloc)))
)
(component instance $b $BadPlace)
(assert_return (invoke "set" (u32.const 65468)))
(assert_return (invoke "last" (u32.const 1) (u32.const 2) (u32.const 3) (u32.const 4) (u32.const 5) (u32.const 6) (u32.const 7) (u32.const 8) (u32.const 9) (u32.const 10) (u32.const 11) (u32.const 12) (u32.const 13) (u32.const 14) (u32.const 15) (u32.const 16) (u32.const 17)) (u32.const 17))
(assert_return (invoke "set" (u32.const 65472)))
(assert_trap (invoke "last" (u32.const 1) (u32.const 2) (u32.const 3) (u32.const 4) (u32.const 5) (u32.const 6) (u32.const 7) (u32.const 8) (u32.const 9) (u32.const 10) (u32.const 11) (u32.const 12) (u32.const 13) (u32.const 14) (u32.const 15) (u32.const 16) (u32.const 17)) "out of bounds memory access")
(component instance $b $BadPlace)
(assert_return (invoke "set" (u32.const 2)))
(assert_trap (invoke "last" (u32.const 1) (u32.const 2) (u32.const 3) (u32.const 4) (u32.const 5) (u32.const 6) (u32.const 7) (u32.const 8) (u32.const 9) (u32.const 10) (u32.const 11) (u32.const 12) (u32.const 13) (u32.const 14) (u32.const 15) (u32.const 16) (u32.const 17)) "unaligned pointer")

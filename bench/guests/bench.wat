;; The guest whose calls are timed: it does as little as its types allow, so that what is measured
;; is the way in and out.
(component
  (import "nop" (func $nop))
  (import "add" (func $add (param "a" u32) (param "b" u32) (result u32)))
  (core func $nop-core (canon lower (func $nop)))
  (core func $add-core (canon lower (func $add)))
  (import "len" (func $len (param "text" string) (result u32)))
  (core module $text (memory (export "memory") 1) (data (i32.const 64) "A string of 32 bytes, not of 31."))
  (core instance $text (instantiate $text))
  (core func $len-core (canon lower (func $len) (memory (core memory $text "memory"))))

  (core module $guest
    (import "host" "nop" (func $host-nop))
    (import "host" "add" (func $host-add (param i32 i32) (result i32)))
    (import "host" "len" (func $host-len (param i32 i32) (result i32)))
    ;; 4 MiB: lists of 1 MiB in at the heap, lists of at most 1 MiB out at $out.
    (memory (export "memory") 64 64)
    (global $heap i32 (i32.const 16))
    (global $next (mut i32) (i32.const 16))
    (global $out i32 (i32.const 0x300000))
    (global $filled (mut i32) (i32.const 0))

    ;; Memory is handed out in order, and taken back all at once when a call is over.
    (func $reset (global.set $next (global.get $heap)))
    (func $alloc (param $align i32) (param $size i32) (result i32)
      (local $result i32)
      (local.set $result
        (i32.and
          (i32.sub (i32.add (global.get $next) (local.get $align)) (i32.const 1))
          (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $result) (local.get $size)))
      (if (i32.gt_u (global.get $next) (global.get $out)) (then unreachable))
      (local.get $result))
    ;; Nothing here is ever allocated again: the old address and size are of no use.
    (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
      (call $alloc (local.get $align) (local.get $size)))
    (func (export "reset") (param i32) (call $reset))

    (func (export "nop"))
    (func (export "add") (param i32 i32) (result i32)
      (i32.add (local.get 0) (local.get 1)))

    ;; Copies the string, as a guest does that returns one of its own.
    (func (export "echo") (param $from i32) (param $len i32) (result i32)
      (local $record i32) (local $to i32)
      (local.set $record (call $alloc (i32.const 4) (i32.const 8)))
      (local.set $to (call $alloc (i32.const 1) (local.get $len)))
      (memory.copy (local.get $to) (local.get $from) (local.get $len))
      (i32.store offset=0 (local.get $record) (local.get $to))
      (i32.store offset=4 (local.get $record) (local.get $len))
      (local.get $record))

    ;; Returns the string where it is: for long ones, whose copy is most of the time.
    (func (export "same") (param $from i32) (param $len i32) (result i32)
      (local $record i32)
      (local.set $record (call $alloc (i32.const 4) (i32.const 8)))
      (i32.store offset=0 (local.get $record) (local.get $from))
      (i32.store offset=4 (local.get $record) (local.get $len))
      (local.get $record))

    ;; Length and both ends: to add up all elements would take longer than to bring them here.
    (func (export "list-u8-in") (param $from i32) (param $len i32) (result i32)
      (call $reset)
      (if (i32.eqz (local.get $len)) (then (return (i32.const 0))))
      (i32.add
        (local.get $len)
        (i32.add
          (i32.load8_u (local.get $from))
          (i32.load8_u
            (i32.sub (i32.add (local.get $from) (local.get $len)) (i32.const 1))))))

    ;; Length and the last field of the last record.
    (func (export "records") (param $from i32) (param $len i32) (result i32)
      (call $reset)
      (i32.add
        (local.get $len)
        (i32.load8_u
          (i32.sub
            (i32.add (local.get $from) (i32.mul (local.get $len) (i32.const 12)))
            (i32.const 4)))))

    ;; Fills the list at the first call only, for the same reason.
    (func (export "list-u8-out") (param $len i32) (result i32)
      (local $record i32)
      (if (i32.gt_u (local.get $len) (i32.const 0x100000)) (then unreachable))
      (if (i32.lt_u (global.get $filled) (local.get $len))
        (then
          (memory.fill (global.get $out) (i32.const 0xa5) (local.get $len))
          (global.set $filled (local.get $len))))
      (local.set $record (call $alloc (i32.const 4) (i32.const 8)))
      (i32.store offset=0 (local.get $record) (global.get $out))
      (i32.store offset=4 (local.get $record) (local.get $len))
      (local.get $record))

    (func (export "run-host-nop") (param $n i32)
      (loop $again
        (if (local.get $n)
          (then
            (call $host-nop)
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $again)))))

    ;; 1 added n times to nothing.
    (func (export "run-host-add") (param $n i32) (result i32)
      (local $sum i32)
      (loop $again
        (if (local.get $n)
          (then
            (local.set $sum (call $host-add (local.get $sum) (i32.const 1)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $again))))
      (local.get $sum))

    ;; The length of a string, added up n times.
    (func (export "run-host-len") (param $n i32) (result i32)
      (local $sum i32)
      (loop $again
        (if (local.get $n)
          (then
            (local.set $sum
              (i32.add (local.get $sum) (call $host-len (i32.const 64) (i32.const 32))))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $again))))
      (local.get $sum))
  )

  (core instance $guest (instantiate $guest
    (with "host" (instance
      (export "nop" (func $nop-core))
      (export "add" (func $add-core))
      (export "len" (func $len-core))))))

  (alias core export $guest "memory" (core memory $memory))
  (alias core export $guest "cabi_realloc" (core func $realloc))
  (alias core export $guest "reset" (core func $reset))

  (func (export "nop") (canon lift (core func $guest "nop")))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32)
    (canon lift (core func $guest "add")))
  (func (export "echo") (param "text" string) (result string)
    (canon lift (core func $guest "echo")
      (memory $memory) (realloc $realloc) (post-return $reset)))
  (func (export "same") (param "text" string) (result string)
    (canon lift (core func $guest "same")
      (memory $memory) (realloc $realloc) (post-return $reset)))
  (func (export "list-u8-in") (param "bytes" (list u8)) (result u32)
    (canon lift (core func $guest "list-u8-in") (memory $memory) (realloc $realloc)))
  (func (export "list-u8-out") (param "len" u32) (result (list u8))
    (canon lift (core func $guest "list-u8-out") (memory $memory) (post-return $reset)))
  (func (export "records") (param "records" (list (tuple f32 f32 u8))) (result u32)
    (canon lift (core func $guest "records") (memory $memory) (realloc $realloc)))
  (func (export "run-host-len") (param "n" u32) (result u32)
    (canon lift (core func $guest "run-host-len")))
  (func (export "run-host-nop") (param "n" u32)
    (canon lift (core func $guest "run-host-nop")))
  (func (export "run-host-add") (param "n" u32) (result u32)
    (canon lift (core func $guest "run-host-add")))
)

;; Two components, one of which calls the other in loops. The callee does as little as its types
;; allow; the caller runs long enough for the way in from the host not to count.
(component
  (component $callee
    (core module $guest
      (memory (export "memory") 32 32)
      ;; One value at a time, always in the same place. Nothing is ever allocated again.
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x10000))

      (func (export "add") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1)))
      ;; Not a leaf: it can trap, so its instance must be marked as running.
      (func (export "div") (param i32 i32) (result i32)
        (i32.div_u (local.get 0) (local.get 1)))

      ;; Length and both ends: to add up all elements would take longer than to bring them here.
      (func $bytes (export "bytes") (param $from i32) (param $len i32) (result i32)
        (i32.add
          (local.get $len)
          (i32.add
            (i32.load8_u (local.get $from))
            (i32.load8_u
              (i32.sub (i32.add (local.get $from) (local.get $len)) (i32.const 1))))))
      (func (export "words") (param $from i32) (param $len i32) (result i32)
        (call $bytes (local.get $from) (i32.shl (local.get $len) (i32.const 2))))
    )
    (core instance $guest (instantiate $guest))
    (alias core export $guest "memory" (core memory $memory))
    (alias core export $guest "cabi_realloc" (core func $realloc))

    ;; A resource that is a number.
    (type $thing (resource (rep i32)))
    (core func $thing-new (canon resource.new $thing))
    (core module $things
      (import "" "new" (func $new (param i32) (result i32)))
      (func (export "new") (param i32) (result i32) (call $new (local.get 0)))
      (func (export "number") (param i32) (result i32) (local.get 0)))
    (core instance $things (instantiate $things
      (with "" (instance (export "new" (func $thing-new))))))
    (export $thing-out "thing" (type $thing))
    (func (export "[constructor]thing") (param "number" u32) (result (own $thing-out))
      (canon lift (core func $things "new")))
    (func (export "[method]thing.number") (param "self" (borrow $thing-out)) (result u32)
      (canon lift (core func $things "number")))

    (func (export "add") (param "a" u32) (param "b" u32) (result u32)
      (canon lift (core func $guest "add")))
    (func (export "div") (param "a" u32) (param "b" u32) (result u32)
      (canon lift (core func $guest "div")))
    (func (export "list-u8") (param "list" (list u8)) (result u32)
      (canon lift (core func $guest "bytes") (memory $memory) (realloc $realloc)))
    (func (export "list-u32") (param "list" (list u32)) (result u32)
      (canon lift (core func $guest "words") (memory $memory) (realloc $realloc)))
    (func (export "text") (param "text" string) (result u32)
      (canon lift (core func $guest "bytes") (memory $memory) (realloc $realloc))))

  (component $caller
    (import "callee" (instance $callee
      (export "thing" (type $thing (sub resource)))
      (export "[constructor]thing" (func (param "number" u32) (result (own $thing))))
      (export "[method]thing.number" (func (param "self" (borrow $thing)) (result u32)))
      (export "add" (func (param "a" u32) (param "b" u32) (result u32)))
      (export "div" (func (param "a" u32) (param "b" u32) (result u32)))
      (export "list-u8" (func (param "list" (list u8)) (result u32)))
      (export "list-u32" (func (param "list" (list u32)) (result u32)))
      (export "text" (func (param "text" string) (result u32)))))
    (core module $libc
      ;; From 0x100000 on a MiB of ASCII, from 0x200000 on one of text.
      (memory (export "memory") 48 48)
      (data (i32.const 0x100000) "A string of 32 bytes, not of 31.")
      (data (i32.const 0x200000)
        "Gr\u{f6}\u{df}e; \u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}, \u{43c}\u{438}\u{440}! "
        "\u{4f60}\u{597d}\u{4e16}\u{754c}\u{3002} \u{1f370} na\u{ef}ve pi\u{f9} "))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias export $callee "thing" (type $thing))
    (core func $thing-drop (canon resource.drop $thing))
    (core func $thing-new (canon lower (func $callee "[constructor]thing")))
    (core func $thing-number (canon lower (func $callee "[method]thing.number")))
    (core func $add (canon lower (func $callee "add")))
    (core func $div (canon lower (func $callee "div")))
    (core func $list-u8 (canon lower (func $callee "list-u8") (memory $memory)))
    (core func $list-u32 (canon lower (func $callee "list-u32") (memory $memory)))
    (core func $text (canon lower (func $callee "text") (memory $memory)))

    (core module $guest
      (import "callee" "thing-new" (func $thing-new (param i32) (result i32)))
      (import "callee" "thing-number" (func $thing-number (param i32) (result i32)))
      (import "callee" "thing-drop" (func $thing-drop (param i32)))
      (import "callee" "add" (func $add (param i32 i32) (result i32)))
      (import "callee" "div" (func $div (param i32 i32) (result i32)))
      (import "callee" "list-u8" (func $list-u8 (param i32 i32) (result i32)))
      (import "callee" "list-u32" (func $list-u32 (param i32 i32) (result i32)))
      (import "callee" "text" (func $text (param i32 i32) (result i32)))
      (import "libc" "memory" (memory 48))

      ;; Repeats what is at an address until it has filled a MiB.
      (func $repeat (param $at i32) (param $len i32)
        (loop $again
          (if (i32.lt_u (local.get $len) (i32.const 0x100000))
            (then
              (memory.copy
                (i32.add (local.get $at) (local.get $len)) (local.get $at) (local.get $len))
              (local.set $len (i32.shl (local.get $len) (i32.const 1)))
              (br $again)))))
      (func $start
        (call $repeat (i32.const 0x100000) (i32.const 32))
        (call $repeat (i32.const 0x200000) (i32.const 64)))
      (start $start)

      ;; The number of a resource, 7, n times.
      (func (export "resource") (param $n i32) (result i32)
        (local $sum i32) (local $thing i32)
        (local.set $thing (call $thing-new (i32.const 7)))
        (loop $again
          (if (local.get $n)
            (then
              (local.set $sum
                (i32.add (local.get $sum) (call $thing-number (local.get $thing))))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br $again))))
        (call $thing-drop (local.get $thing))
        (local.get $sum))
      ;; n resources, one after the other.
      (func (export "resource-new") (param $n i32) (result i32)
        (local $count i32)
        (loop $again
          (if (local.get $n)
            (then
              (call $thing-drop (call $thing-new (local.get $n)))
              (local.set $count (i32.add (local.get $count) (i32.const 1)))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br $again))))
        (local.get $count))
      ;; 1 added n times to nothing.
      (func (export "add") (param $n i32) (result i32)
        (local $sum i32)
        (loop $again
          (if (local.get $n)
            (then
              (local.set $sum (call $add (local.get $sum) (i32.const 1)))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br $again))))
        (local.get $sum))
      ;; n divided by 1 as often, and added up.
      (func (export "div") (param $n i32) (result i32)
        (local $sum i32)
        (loop $again
          (if (local.get $n)
            (then
              (local.set $sum
                (i32.add (local.get $sum) (call $div (local.get $n) (i32.const 1))))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br $again))))
        (local.get $sum))
      (func (export "list-u8") (param $n i32) (result i32)
        (local $sum i32)
        (loop $again
          (if (local.get $n)
            (then
              (local.set $sum
                (i32.add
                  (local.get $sum)
                  (call $list-u8 (i32.const 0x100000) (i32.const 0x100000))))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br $again))))
        (local.get $sum))
      (func (export "list-u32") (param $n i32) (result i32)
        (local $sum i32)
        (loop $again
          (if (local.get $n)
            (then
              (local.set $sum
                (i32.add
                  (local.get $sum)
                  (call $list-u32 (i32.const 0x100000) (i32.const 0x40000))))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br $again))))
        (local.get $sum))
      (func $texts (param $at i32) (param $len i32) (param $n i32) (result i32)
        (local $sum i32)
        (loop $again
          (if (local.get $n)
            (then
              (local.set $sum
                (i32.add (local.get $sum) (call $text (local.get $at) (local.get $len))))
              (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br $again))))
        (local.get $sum))
      (func (export "string32") (param $n i32) (result i32)
        (call $texts (i32.const 0x100000) (i32.const 32) (local.get $n)))
      (func (export "string-ascii") (param $n i32) (result i32)
        (call $texts (i32.const 0x100000) (i32.const 0x100000) (local.get $n)))
      (func (export "string-text") (param $n i32) (result i32)
        (call $texts (i32.const 0x200000) (i32.const 0x100000) (local.get $n)))
    )
    (core instance $guest (instantiate $guest
      (with "libc" (instance $libc))
      (with "callee" (instance
        (export "thing-new" (func $thing-new))
        (export "thing-number" (func $thing-number))
        (export "thing-drop" (func $thing-drop))
        (export "add" (func $add))
        (export "div" (func $div))
        (export "list-u8" (func $list-u8))
        (export "list-u32" (func $list-u32))
        (export "text" (func $text))))))
    (func (export "resource") (param "n" u32) (result u32)
      (canon lift (core func $guest "resource")))
    (func (export "resource-new") (param "n" u32) (result u32)
      (canon lift (core func $guest "resource-new")))
    (func (export "add") (param "n" u32) (result u32) (canon lift (core func $guest "add")))
    (func (export "div") (param "n" u32) (result u32) (canon lift (core func $guest "div")))
    (func (export "list-u8") (param "n" u32) (result u32)
      (canon lift (core func $guest "list-u8")))
    (func (export "list-u32") (param "n" u32) (result u32)
      (canon lift (core func $guest "list-u32")))
    (func (export "string32") (param "n" u32) (result u32)
      (canon lift (core func $guest "string32")))
    (func (export "string-ascii") (param "n" u32) (result u32)
      (canon lift (core func $guest "string-ascii")))
    (func (export "string-text") (param "n" u32) (result u32)
      (canon lift (core func $guest "string-text"))))

  (instance $callee (instantiate $callee))
  (instance $caller (instantiate $caller (with "callee" (instance $callee))))
  (export "resource" (func $caller "resource"))
  (export "resource-new" (func $caller "resource-new"))
  (export "add" (func $caller "add"))
  (export "div" (func $caller "div"))
  (export "list-u8" (func $caller "list-u8"))
  (export "list-u32" (func $caller "list-u32"))
  (export "string32" (func $caller "string32"))
  (export "string-ascii" (func $caller "string-ascii"))
  (export "string-text" (func $caller "string-text"))
)

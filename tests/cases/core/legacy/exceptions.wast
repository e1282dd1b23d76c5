;; The instructions of exceptions before 3.0, beyond their suite.

(module
  (tag $e (param i32))
  (tag $f (param i64))
  (tag $none)
  (func $throw-e (param i32) (throw $e (local.get 0)))
  (func $throw-f (param i64) (throw $f (local.get 0)))
  (func $throw (param i32)
    (if (i32.eqz (local.get 0)) (then (return)))
    (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $e (i32.const 11))))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $f (i64.const 22))))
    (throw $none))

  (func (export "clauses") (param i32) (result i32)
    try (result i32)
      local.get 0
      call $throw
      i32.const 100
    catch $e
    catch $f
      i32.wrap_i64
      i32.const 1000
      i32.add
    catch_all
      i32.const -1
    end)

  ;; The locals that a clause sees are those at the call.
  (func (export "locals") (param i32) (result i32)
    (local $x i32)
    i32.const 1
    local.set $x
    try
      i32.const 2
      local.set $x
      local.get 0
      call $throw
      i32.const 3
      local.set $x
    catch_all
      local.get $x
      i32.const 10
      i32.mul
      local.set $x
    end
    local.get $x)

  ;; Thrown again to the next `try`, also from a block in the clause, and from a nested clause.
  (func (export "rethrow") (param i32) (result i32)
    try (result i32)
      try (result i32)
        local.get 0
        call $throw
        i32.const 5
      catch $e
        drop
        block
          try
            i32.const 7
            call $throw-e
          catch $e
            drop
            rethrow 2
          end
        end
        i32.const 6
      end
    catch $e
      i32.const 2000
      i32.add
    catch_all
      i32.const -2
    end)

  ;; To the second `try` outwards, past the first.
  (func (export "delegate") (param i32) (result i32)
    try $outer (result i32)
      try $inner (result i32)
        try (result i32)
          local.get 0
          call $throw
          i32.const 1
        delegate $outer
      catch_all
        i32.const -3
      end
    catch $e
      i32.const 3000
      i32.add
    catch_all
      i32.const 4000
    end)

  ;; Delegated to a `try` from inside of its clause: it is not caught there.
  (func $from-clause (param i32) (result i32)
    try $t (result i32)
      i32.const 1
      call $throw-e
      i32.const 0
    catch $e
      drop
      try (result i32)
        local.get 0
        call $throw
        i32.const 8
      delegate $t
    end)
  (func (export "delegate-from-clause") (param i32) (result i32)
    try (result i32)
      local.get 0
      call $from-clause
    catch_all
      i32.const -8
    end)

  ;; To the caller.
  (func $to-caller (param i32) (result i32)
    try (result i32)
      try (result i32)
        local.get 0
        call $throw
        i32.const 1
      delegate 1
    catch_all
      i32.const -4
    end)
  (func (export "delegate-to-caller") (param i32) (result i32)
    try (result i32)
      local.get 0
      call $to-caller
    catch $e
    catch_all
      i32.const -5
    end)

  ;; Without clauses, and in code that is never reached.
  (func (export "bare") (param i32) (result i32)
    try (result i32)
      local.get 0
      call $throw
      i32.const 9
    end)
  (func (export "dead") (result i32)
    i32.const 1
    return
    try
      try
      delegate 0
      unreachable
    catch $e
      drop
      rethrow 0
    catch_all
      try
      catch_all
        rethrow 1
      end
    end
    try (result i32)
      i32.const 2
    catch_all
      i32.const 3
    end)
  (func (export "dead-clause") (result i32)
    try (result i32)
      i32.const 4
    catch $e
      try (result i32)
        i32.const 1
        call $throw-e
        i32.const 2
      catch_all
        rethrow 1
      end
      i32.add
    catch_all
      try
        rethrow 1
      catch_all
      end
      i32.const 5
    end)

  ;; In a loop whose clause branches back.
  (func (export "loop") (param $n i32) (result i32)
    (local $sum i32)
    loop $l
      try
        local.get $n
        call $throw-e
      catch $e
        local.get $sum
        i32.add
        local.set $sum
        local.get $n
        i32.const 1
        i32.sub
        local.tee $n
        br_if $l
      end
    end
    local.get $sum))
(assert_return (invoke "clauses" (i32.const 0)) (i32.const 100))
(assert_return (invoke "clauses" (i32.const 1)) (i32.const 11))
(assert_return (invoke "clauses" (i32.const 2)) (i32.const 1022))
(assert_return (invoke "clauses" (i32.const 3)) (i32.const -1))
(assert_return (invoke "locals" (i32.const 0)) (i32.const 3))
(assert_return (invoke "locals" (i32.const 1)) (i32.const 20))
(assert_return (invoke "rethrow" (i32.const 0)) (i32.const 5))
(assert_return (invoke "rethrow" (i32.const 1)) (i32.const 2011))
(assert_return (invoke "rethrow" (i32.const 2)) (i32.const -2))
(assert_return (invoke "delegate" (i32.const 0)) (i32.const 1))
(assert_return (invoke "delegate" (i32.const 1)) (i32.const 3011))
(assert_return (invoke "delegate" (i32.const 2)) (i32.const 4000))
(assert_return (invoke "delegate-from-clause" (i32.const 0)) (i32.const 8))
(assert_return (invoke "delegate-from-clause" (i32.const 3)) (i32.const -8))
(assert_return (invoke "delegate-to-caller" (i32.const 0)) (i32.const 1))
(assert_return (invoke "delegate-to-caller" (i32.const 1)) (i32.const 11))
(assert_return (invoke "delegate-to-caller" (i32.const 2)) (i32.const -5))
(assert_return (invoke "bare" (i32.const 0)) (i32.const 9))
(assert_exception (invoke "bare" (i32.const 3)))
(assert_return (invoke "dead") (i32.const 1))
(assert_return (invoke "dead-clause") (i32.const 4))
(assert_return (invoke "loop" (i32.const 100)) (i32.const 5050))

;; Both forms in one module, and in one function.
(module
  (tag $e (param i32))
  (func $throw (param i32) (throw $e (local.get 0)))
  (func (export "mixed") (param i32) (result i32)
    block $h (result i32)
      try_table (catch $e $h)
        try
          local.get 0
          call $throw
        catch $e
          i32.const 1
          i32.add
          call $throw
        end
      end
      i32.const -1
    end)
  (func (export "mixed-inside") (param i32) (result i32)
    try (result i32)
      block $h (result i32 exnref)
        try_table (catch_ref $e $h)
          local.get 0
          call $throw
        end
        i32.const -1
        return
      end
      throw_ref
    catch $e
      i32.const 2
      i32.add
    end))
(assert_return (invoke "mixed" (i32.const 5)) (i32.const 6))
(assert_return (invoke "mixed-inside" (i32.const 5)) (i32.const 7))

(assert_invalid (module (func try delegate 1)) "unknown label")
(assert_invalid (module (func try catch 3 end)) "unknown tag")
(assert_invalid (module (func try rethrow 0 catch_all end)) "invalid rethrow label")

;; More clauses than the tables have.
(module
  (tag $t0 (param i32))
  (tag $t1 (param i32))
  (tag $t2 (param i32))
  (tag $t3 (param i32))
  (tag $t4 (param i32))
  (tag $t5 (param i32))
  (tag $t6 (param i32))
  (tag $t7 (param i32))
  (tag $t8 (param i32))
  (tag $t9 (param i32))
  (tag $t10 (param i32))
  (tag $t11 (param i32))
  (tag $t12 (param i32))
  (tag $t13 (param i32))
  (tag $t14 (param i32))
  (tag $t15 (param i32))
  (tag $t16 (param i32))
  (tag $t17 (param i32))
  (tag $t18 (param i32))
  (tag $t19 (param i32))
  (tag $t20 (param i32))
  (tag $t21 (param i32))
  (tag $t22 (param i32))
  (tag $t23 (param i32))
  (tag $t24 (param i32))
  (tag $t25 (param i32))
  (tag $t26 (param i32))
  (tag $t27 (param i32))
  (tag $t28 (param i32))
  (tag $t29 (param i32))
  (func $throw (param i32)
    (if (i32.eq (local.get 0) (i32.const 0)) (then (throw $t0 (i32.const 0))))
    (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $t1 (i32.const 1))))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $t2 (i32.const 4))))
    (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $t3 (i32.const 9))))
    (if (i32.eq (local.get 0) (i32.const 4)) (then (throw $t4 (i32.const 16))))
    (if (i32.eq (local.get 0) (i32.const 5)) (then (throw $t5 (i32.const 25))))
    (if (i32.eq (local.get 0) (i32.const 6)) (then (throw $t6 (i32.const 36))))
    (if (i32.eq (local.get 0) (i32.const 7)) (then (throw $t7 (i32.const 49))))
    (if (i32.eq (local.get 0) (i32.const 8)) (then (throw $t8 (i32.const 64))))
    (if (i32.eq (local.get 0) (i32.const 9)) (then (throw $t9 (i32.const 81))))
    (if (i32.eq (local.get 0) (i32.const 10)) (then (throw $t10 (i32.const 100))))
    (if (i32.eq (local.get 0) (i32.const 11)) (then (throw $t11 (i32.const 121))))
    (if (i32.eq (local.get 0) (i32.const 12)) (then (throw $t12 (i32.const 144))))
    (if (i32.eq (local.get 0) (i32.const 13)) (then (throw $t13 (i32.const 169))))
    (if (i32.eq (local.get 0) (i32.const 14)) (then (throw $t14 (i32.const 196))))
    (if (i32.eq (local.get 0) (i32.const 15)) (then (throw $t15 (i32.const 225))))
    (if (i32.eq (local.get 0) (i32.const 16)) (then (throw $t16 (i32.const 256))))
    (if (i32.eq (local.get 0) (i32.const 17)) (then (throw $t17 (i32.const 289))))
    (if (i32.eq (local.get 0) (i32.const 18)) (then (throw $t18 (i32.const 324))))
    (if (i32.eq (local.get 0) (i32.const 19)) (then (throw $t19 (i32.const 361))))
    (if (i32.eq (local.get 0) (i32.const 20)) (then (throw $t20 (i32.const 400))))
    (if (i32.eq (local.get 0) (i32.const 21)) (then (throw $t21 (i32.const 441))))
    (if (i32.eq (local.get 0) (i32.const 22)) (then (throw $t22 (i32.const 484))))
    (if (i32.eq (local.get 0) (i32.const 23)) (then (throw $t23 (i32.const 529))))
    (if (i32.eq (local.get 0) (i32.const 24)) (then (throw $t24 (i32.const 576))))
    (if (i32.eq (local.get 0) (i32.const 25)) (then (throw $t25 (i32.const 625))))
    (if (i32.eq (local.get 0) (i32.const 26)) (then (throw $t26 (i32.const 676))))
    (if (i32.eq (local.get 0) (i32.const 27)) (then (throw $t27 (i32.const 729))))
    (if (i32.eq (local.get 0) (i32.const 28)) (then (throw $t28 (i32.const 784))))
    (if (i32.eq (local.get 0) (i32.const 29)) (then (throw $t29 (i32.const 841))))
    (throw $t0 (i32.const -5)))
  (func (export "wide") (param i32) (result i32)
    try (result i32)
      local.get 0
      call $throw
      i32.const -1
    catch $t1
      i32.const 10000
      i32.add
    catch $t2
      i32.const 20000
      i32.add
    catch $t3
      i32.const 30000
      i32.add
    catch $t4
      i32.const 40000
      i32.add
    catch $t5
      i32.const 50000
      i32.add
    catch $t6
      i32.const 60000
      i32.add
    catch $t7
      i32.const 70000
      i32.add
    catch $t8
      i32.const 80000
      i32.add
    catch $t9
      i32.const 90000
      i32.add
    catch $t10
      i32.const 100000
      i32.add
    catch $t11
      i32.const 110000
      i32.add
    catch $t12
      i32.const 120000
      i32.add
    catch $t13
      i32.const 130000
      i32.add
    catch $t14
      i32.const 140000
      i32.add
    catch $t15
      i32.const 150000
      i32.add
    catch $t16
      i32.const 160000
      i32.add
    catch $t17
      i32.const 170000
      i32.add
    catch $t18
      i32.const 180000
      i32.add
    catch $t19
      i32.const 190000
      i32.add
    catch $t20
      i32.const 200000
      i32.add
    catch $t21
      i32.const 210000
      i32.add
    catch $t22
      i32.const 220000
      i32.add
    catch $t23
      i32.const 230000
      i32.add
    catch $t24
      i32.const 240000
      i32.add
    catch $t25
      i32.const 250000
      i32.add
    catch $t26
      i32.const 260000
      i32.add
    catch $t27
      i32.const 270000
      i32.add
    catch $t28
      i32.const 280000
      i32.add
    catch $t29
      i32.const 290000
      i32.add
    end)
  (func (export "outer") (param i32) (result i32)
    try (result i32)
      local.get 0
      call 1
    catch $t0
    end)
)
(assert_return (invoke "wide" (i32.const 1)) (i32.const 10001))
(assert_return (invoke "wide" (i32.const 2)) (i32.const 20004))
(assert_return (invoke "wide" (i32.const 8)) (i32.const 80064))
(assert_return (invoke "wide" (i32.const 9)) (i32.const 90081))
(assert_return (invoke "wide" (i32.const 29)) (i32.const 290841))
(assert_return (invoke "outer" (i32.const 77)) (i32.const -5))

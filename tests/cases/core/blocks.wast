;; Found by `cwasm-fuzz differential`: the parameters of a loop stayed on the stack below its
;; results, so that what follows the loop took them for its operands.
(module
  (func (export "below") (param i32) (result i32)
    local.get 0
    i32.const 7
    loop (param i32)
      drop
    end
  )
  (func (export "between") (param i32 i32) (result i32)
    local.get 0
    local.get 1
    i32.const 100
    loop (param i32) (result i32)
      i32.const 1
      i32.sub
    end
    i32.mul
    i32.sub
  )
  (func (export "again") (param i32) (result i32)
    (local i32)
    i32.const 1000
    local.get 0
    loop (param i32) (result i32)
      i32.const 2
      i32.mul
      local.get 1
      i32.const 1
      i32.add
      local.tee 1
      i32.const 3
      i32.lt_u
      br_if 0
    end
    i32.sub
  )
)
(assert_return (invoke "below" (i32.const 5)) (i32.const 5))
(assert_return (invoke "between" (i32.const 500) (i32.const 3)) (i32.const 203))
(assert_return (invoke "again" (i32.const 5)) (i32.const 960))

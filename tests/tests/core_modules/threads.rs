//! Shared memories: instances in several stores, each on a thread of its own.

use std::sync::atomic::Ordering;

use cwasm::{CoreMemory, CoreVal, Extern, Module, SharedMemory, Store};
use cwasm_tests::artifact::Workshop;

/// A mutex, a counter that it guards, and a turn that is waited for.
const GUEST: &str = r#"(module
  (memory (import "" "memory") 1 8 shared)
  (func $lock
    (block $locked
      (loop $again
        (br_if $locked (i32.eqz (i32.atomic.rmw.cmpxchg (i32.const 0) (i32.const 0) (i32.const 1))))
        (drop (memory.atomic.wait32 (i32.const 0) (i32.const 1) (i64.const 1000000)))
        (br $again))))
  (func $unlock
    (i32.atomic.store (i32.const 0) (i32.const 0))
    (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
  (func (export "count") (param $times i32)
    (loop $again
      (call $lock)
      (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1)))
      (call $unlock)
      (drop (i64.atomic.rmw.add (i32.const 8) (i64.const 1)))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1))))))
  (func (export "wait") (result i32)
    (memory.atomic.wait64 (i32.const 16) (i64.const 0) (i64.const -1)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1)))
  (func (export "last") (result i32)
    (i32.load (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)))))"#;

/// Calls an export in a new store.
fn call(
    module: &Module,
    memory: &SharedMemory,
    workshop: &Workshop,
    name: &str,
    args: &[CoreVal],
) -> Vec<CoreVal> {
    let mut store = Store::new(workshop.engine(), ());
    let memory = CoreMemory::from_shared(&mut store, memory);
    assert!(memory.data(&store).is_err());
    let instance = module
        .instantiate(&mut store, &[Extern::Memory(memory)])
        .unwrap();
    let Some(Extern::Func(func)) = instance.get(&store, name).unwrap() else {
        panic!("no function `{name}`");
    };
    func.call(&mut store, args).unwrap()
}

#[test]
fn stores_on_several_threads_share_a_memory() {
    const TIMES: i32 = 2_000;
    let workshop = Workshop::new();
    let module = workshop
        .map_module(&workshop.compile(GUEST.as_bytes()).unwrap())
        .unwrap();
    let memory = SharedMemory::new(workshop.engine(), 1, 8).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| call(&module, &memory, &workshop, "wait", &[]));
        for _ in 0..3 {
            scope.spawn(|| call(&module, &memory, &workshop, "count", &[CoreVal::I32(TIMES)]));
        }
        for _ in 0..4 {
            scope.spawn(|| {
                assert!(matches!(
                    call(&module, &memory, &workshop, "grow", &[])[..],
                    [CoreVal::I32(1..8)]
                ));
                assert!(matches!(
                    call(&module, &memory, &workshop, "last", &[])[..],
                    [CoreVal::I32(0)]
                ));
            });
        }
        // A value that nobody expects ends waiting, too, if it was not reached yet.
        let guest = "(module (memory (import \"\" \"\") 1 8 shared)
            (func (export \"wake\") (result i32)
                (i64.atomic.store (i32.const 16) (i64.const 1))
                (memory.atomic.notify (i32.const 16) (i32.const 1))))";
        let waker = workshop
            .map_module(&workshop.compile(guest.as_bytes()).unwrap())
            .unwrap();
        let [CoreVal::I32(woken)] = call(&waker, &memory, &workshop, "wake", &[])[..] else {
            panic!("one result");
        };
        let [CoreVal::I32(waited)] = waiter.join().unwrap()[..] else {
            panic!("one result");
        };
        assert_eq!((woken, waited), if woken == 1 { (1, 0) } else { (0, 1) });
    });
    let byte = |at: usize| u32::from(memory.bytes()[at].load(Ordering::SeqCst));
    let word = |at: usize| (0..4).map(|i| byte(at + i) << (8 * i)).sum::<u32>();
    assert_eq!(
        (word(0), word(4), word(8)),
        (0, 3 * TIMES as u32, 3 * TIMES as u32)
    );
    assert_eq!(memory.size(), 5);
    assert_eq!(
        (memory.grow(4), memory.grow(3), memory.size()),
        (None, Some(5), 8)
    );
}

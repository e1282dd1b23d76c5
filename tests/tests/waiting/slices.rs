//! Time slices: calls that compute give way to the executor.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use cwasm::{Component, Instance, Linker, Store, TrapCode};
use cwasm_compiler::Options;
use cwasm_tests::artifact::Workshop;

const SLICE: Duration = Duration::from_millis(2);

/// `mix` computes with numbers of all kinds in many registers, and tells the host now and then.
/// `spin` never ends. `descend` calls itself, and makes the same at the bottom.
const GUEST: &str = r#"(component
  (import "told" (func $told (param "n" u32)))
  (core module $m
    (import "" "told" (func $told (param i32)))
    (func $mix (export "mix") (param $n i32) (result i64)
      (local $a i64) (local $b i64) (local $c i64) (local $d i64) (local $e i64) (local $f i64)
      (local $x f64) (local $y f32) (local $v v128) (local $w v128)
      (local.set $a (i64.const 1)) (local.set $b (i64.const 2)) (local.set $c (i64.const 3))
      (local.set $d (i64.const 5)) (local.set $e (i64.const 7)) (local.set $f (i64.const 11))
      (local.set $x (f64.const 1.5)) (local.set $y (f32.const 2.5))
      (local.set $v (v128.const i32x4 1 2 3 4)) (local.set $w (v128.const i32x4 5 6 7 8))
      (loop $next
        (local.set $a (i64.add (i64.mul (local.get $a) (i64.const 6364136223846793005)) (local.get $b)))
        (local.set $b (i64.xor (local.get $b) (i64.rotl (local.get $a) (local.get $c))))
        (local.set $c (i64.add (local.get $c) (i64.extend_i32_u (i64.lt_u (local.get $a) (local.get $d)))))
        (local.set $d (i64.sub (local.get $d) (i64.shr_u (local.get $b) (i64.const 7))))
        (local.set $e (i64.add (local.get $e) (i64.extend_i32_u (i64.gt_s (local.get $d) (local.get $f)))))
        (local.set $f (i64.xor (local.get $f) (local.get $e)))
        (local.set $x (f64.add (f64.mul (local.get $x) (f64.const 0.999)) (f64.convert_i64_u (local.get $c))))
        (local.set $y (f32.add (f32.mul (local.get $y) (f32.const 0.5)) (f32.demote_f64 (local.get $x))))
        (local.set $v (i32x4.add (local.get $v) (i32x4.mul (local.get $w) (local.get $v))))
        (local.set $w (v128.xor (local.get $w) (local.get $v)))
        (if (i32.eqz (i32.and (local.get $n) (i32.const 0xffff))) (then (call $told (local.get $n))))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (i64.xor (i64.xor (i64.xor (local.get $a) (local.get $b)) (i64.xor (local.get $c) (local.get $d)))
        (i64.xor (i64.xor (local.get $e) (local.get $f))
          (i64.xor (i64.xor (i64.reinterpret_f64 (local.get $x)) (i64.extend_i32_u (i32.reinterpret_f32 (local.get $y))))
            (i64.xor (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $w)))))))
    (func $descend (export "descend") (param $depth i32) (result i64)
      (if (result i64) (local.get $depth)
        (then (i64.add (i64.const 1) (call $descend (i32.sub (local.get $depth) (i32.const 1)))))
        (else (call $mix (i32.const 3000000)))))
    (func (export "spin") (loop $next (br $next))))
  (core func $told (canon lower (func $told)))
  (core instance $i (instantiate $m (with "" (instance (export "told" (func $told))))))
  (func (export "mix") (param "n" u32) (result u64) (canon lift (core func $i "mix")))
  (func (export "descend") (param "depth" u32) (result u64) (canon lift (core func $i "descend")))
  (func (export "spin") (canon lift (core func $i "spin"))))"#;

struct Bench {
    workshop: Workshop,
    component: Component,
}

impl Bench {
    fn new() -> Bench {
        Bench::of(GUEST)
    }

    fn of(guest: &str) -> Bench {
        let options = Options {
            interruptible: true,
            ..Options::default()
        };
        let workshop = Workshop::with_options(options);
        let artifact = workshop.compile(guest.as_bytes()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        Bench {
            workshop,
            component,
        }
    }

    /// A store, which counts what the host is told.
    fn store(&self, slice: Option<Duration>) -> (Store<u32>, Instance) {
        let mut linker = Linker::new(self.workshop.engine());
        let told = |mut store: cwasm::StoreContextMut<'_, u32>, (_,): (u32,)| {
            *store.data_mut() += 1;
            Ok(())
        };
        linker.root().func_wrap("told", told).unwrap();
        let mut store = Store::new(self.workshop.engine(), 0);
        store.set_time_slice(slice).unwrap();
        let instance = linker.instantiate(&mut store, &self.component).unwrap();
        (store, instance)
    }
}

/// Polls until it is ready, and says how often it was pending, and how long a poll took at most.
fn drive<R>(future: impl Future<Output = R>) -> (R, u32, Duration) {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    let (mut pending, mut longest) = (0, Duration::ZERO);
    loop {
        let start = Instant::now();
        let polled = future.as_mut().poll(&mut context);
        longest = longest.max(start.elapsed());
        match polled {
            Poll::Ready(result) => return (result, pending, longest),
            Poll::Pending => pending += 1,
        }
    }
}

#[test]
fn calls_give_way_and_compute_the_same() {
    let bench = Bench::new();
    let (mut store, instance) = bench.store(None);
    let mix = instance
        .get_typed_func::<(u32,), (u64,)>(&mut store, "mix")
        .unwrap();
    let (expected,) = mix.call(&mut store, (30_000_000,)).unwrap();
    let told = *store.data();
    let (result, pending, _) = drive(mix.call_async(&mut store, (30_000_000,)));
    assert_eq!((result.unwrap(), pending), ((expected,), 0));

    let (mut store, instance) = bench.store(Some(SLICE));
    let mix = instance
        .get_typed_func::<(u32,), (u64,)>(&mut store, "mix")
        .unwrap();
    for _ in 0..3 {
        *store.data_mut() = 0;
        let start = Instant::now();
        let (result, pending, _) = drive(mix.call_async(&mut store, (30_000_000,)));
        let time = start.elapsed();
        assert_eq!((result.unwrap(), *store.data()), ((expected,), told));
        let slices = time.as_nanos() / SLICE.as_nanos();
        assert!(
            pending >= 3,
            "{pending} of about {slices} slices in {time:?}"
        );
    }
    // A call that cannot wait does not.
    assert_eq!(mix.call(&mut store, (30_000_000,)).unwrap(), (expected,));
}

#[test]
fn deep_calls_give_way_too() {
    let bench = Bench::new();
    let (mut store, instance) = bench.store(None);
    let descend = instance
        .get_typed_func::<(u32,), (u64,)>(&mut store, "descend")
        .unwrap();
    let expected = descend.call(&mut store, (2000,)).unwrap();
    let (mut store, instance) = bench.store(Some(Duration::from_micros(200)));
    let descend = instance
        .get_typed_func::<(u32,), (u64,)>(&mut store, "descend")
        .unwrap();
    let (result, pending, _) = drive(descend.call_async(&mut store, (2000,)));
    assert_eq!(result.unwrap(), expected);
    assert!(pending > 0);
}

#[test]
fn stores_on_one_thread_share_it() {
    let bench = Bench::new();
    let mut stores: Vec<_> = (0..4).map(|_| bench.store(Some(SLICE))).collect();
    let mut calls: Vec<_> = stores
        .iter_mut()
        .map(|(store, instance)| {
            let mix = instance
                .get_typed_func::<(u32,), (u64,)>(&mut *store, "mix")
                .unwrap();
            Box::pin(async move { mix.call_async(store, (10_000_000,)).await })
        })
        .collect();
    let mut context = Context::from_waker(Waker::noop());
    let (mut results, mut rounds) = (Vec::new(), 0);
    while !calls.is_empty() {
        rounds += 1;
        calls.retain_mut(|call| match call.as_mut().poll(&mut context) {
            Poll::Ready(result) => {
                results.push(result.unwrap());
                false
            }
            Poll::Pending => true,
        });
    }
    assert!(rounds > 2, "{rounds}");
    assert!(results.len() == 4 && results.iter().all(|result| *result == results[0]));
}

#[test]
fn what_never_ends_is_dropped() {
    let bench = Bench::new();
    for polls in 1..5 {
        let (mut store, instance) = bench.store(Some(SLICE));
        let spin = instance
            .get_typed_func::<(), ()>(&mut store, "spin")
            .unwrap();
        let mut call = Box::pin(spin.call_async(&mut store, ()));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            assert!(call.as_mut().poll(&mut context).is_pending());
        }
        drop(call);
        // Nothing of the component runs any more, and others do.
        let error = spin.call(&mut store, ()).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
        let (mut store, instance) = bench.store(Some(SLICE));
        let mix = instance
            .get_typed_func::<(u32,), (u64,)>(&mut store, "mix")
            .unwrap();
        mix.call(&mut store, (1000,)).unwrap();
    }
}

#[test]
fn interrupts_and_deadlines_stop_calls_with_slices() {
    let bench = Bench::new();
    let (mut store, instance) = bench.store(Some(SLICE));
    let spin = instance
        .get_typed_func::<(), ()>(&mut store, "spin")
        .unwrap();
    store
        .set_deadline(Some(Instant::now() + 10 * SLICE))
        .unwrap();
    let (result, pending, _) = drive(spin.call_async(&mut store, ()));
    assert_eq!(
        result.unwrap_err().trap().unwrap().code(),
        TrapCode::Interrupt
    );
    assert!(pending > 0);

    let (mut store, instance) = bench.store(Some(SLICE));
    let spin = instance
        .get_typed_func::<(), ()>(&mut store, "spin")
        .unwrap();
    let handle = store.interrupt_handle();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(10 * SLICE);
        handle.interrupt().unwrap();
    });
    let (result, ..) = drive(spin.call_async(&mut store, ()));
    assert_eq!(
        result.unwrap_err().trap().unwrap().code(),
        TrapCode::Interrupt
    );
    thread.join().unwrap();
}

/// Two functions of an async component, one of which computes, while the other one waits for turns;
/// and one that calls the first by way of another component.
const TASKS: &str = r#"(component
  (component $inner
    (core module $m
      (import "" "return" (func $return (param i32)))
      (func (export "busy") (param $n i32) (result i32)
        (loop $next (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (call $return (i32.const 7)) (i32.const 0))
      (func (export "turns") (param $n i32) (result i32) (i32.const 1))
      (func (export "callback") (param i32 i32 i32) (result i32)
        (call $return (i32.const 3)) (i32.const 0)))
    (core func $return (canon task.return (result u32)))
    (core instance $i (instantiate $m (with "" (instance (export "return" (func $return))))))
    (func (export "busy") async (param "n" u32) (result u32)
      (canon lift (core func $i "busy") async (callback (core func $i "callback"))))
    (func (export "turns") async (param "n" u32) (result u32)
      (canon lift (core func $i "turns") async (callback (core func $i "callback")))))
  (component $outer
    (import "busy" (func $busy async (param "n" u32) (result u32)))
    (core func $busy (canon lower (func $busy)))
    (core module $m
      (import "" "busy" (func $busy (param i32) (result i32)))
      (func (export "both") (param $n i32) (result i32) (local $m i32)
        (local.set $m (local.get $n))
        (drop (call $busy (local.get $n)))
        (loop $next (br_if $next (local.tee $m (i32.sub (local.get $m) (i32.const 1)))))
        (call $busy (local.get $n))))
    (core instance $i (instantiate $m (with "" (instance (export "busy" (func $busy))))))
    (func (export "both") async (param "n" u32) (result u32) (canon lift (core func $i "both"))))
  (instance $inner (instantiate $inner))
  (instance $outer (instantiate $outer (with "busy" (func $inner "busy"))))
  (func (export "busy") (alias export $inner "busy"))
  (func (export "turns") (alias export $inner "turns"))
  (func (export "both") (alias export $outer "both")))"#;

#[test]
fn tasks_give_way() {
    let bench = Bench::of(TASKS);
    for (name, expected) in [("busy", 7), ("turns", 3), ("both", 7)] {
        for slice in [None, Some(SLICE)] {
            let linker = Linker::<()>::new(bench.workshop.engine());
            let mut store = Store::new(bench.workshop.engine(), ());
            store.set_time_slice(slice).unwrap();
            let instance = linker.instantiate(&mut store, &bench.component).unwrap();
            let func = instance
                .get_typed_func::<(u32,), (u32,)>(&mut store, name)
                .unwrap();
            let (result, pending, _) = drive(func.call_async(&mut store, (200_000_000,)));
            assert_eq!(result.unwrap(), (expected,), "{name}");
            let gives_way = slice.is_some() && name != "turns";
            assert!(
                pending >= 2 * u32::from(gives_way),
                "{name} {slice:?}: {pending}"
            );
        }
    }
}

/// A host function calls another guest, which cannot give way, for longer than a slice: the first
/// one does when it goes on.
#[test]
fn calls_of_host_functions_do_not_give_way() {
    type Mix = cwasm::TypedFunc<(u32,), (u64,)>;
    let bench = Bench::new();
    let mut linker = Linker::<(Option<Mix>, u64)>::new(bench.workshop.engine());
    let told = |mut store: cwasm::StoreContextMut<'_, (Option<Mix>, u64)>, (_,): (u32,)| {
        if let Some(inner) = store.data_mut().0.take() {
            let (result,) = inner.call(&mut store, (20_000_000,))?;
            store.data_mut().1 = result;
        }
        Ok(())
    };
    linker.root().func_wrap("told", told).unwrap();
    let mut store = Store::new(bench.workshop.engine(), (None, 0));
    let mut mix = || {
        let instance = linker.instantiate(&mut store, &bench.component).unwrap();
        instance.get_typed_func(&mut store, "mix").unwrap()
    };
    let [inner, outer]: [Mix; 2] = [mix(), mix()];
    let expected = inner.call(&mut store, (20_000_000,)).unwrap();
    store.set_time_slice(Some(SLICE)).unwrap();
    store.data_mut().0 = Some(inner);
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut call = pin!(outer.call_async(&mut store, (60_000_000,)));
        let mut pending = 0;
        while call.as_mut().poll(&mut context).is_pending() {
            pending += 1;
        }
        assert!(pending >= 3, "{pending}");
    }
    assert_eq!(store.data().1, expected.0);
}

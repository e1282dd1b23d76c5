//! Host functions that wait: synchronous components whose calls have stacks of their own. Each file
//! has one subject.

#[path = "../common/child.rs"]
#[allow(dead_code, reason = "a part is used")]
mod child;

mod calls;
mod cancelled;
mod executors;
mod faults;
mod hooks;
mod many;
mod nested;
mod resources;
mod slices;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use cwasm::{Component, Config, Instance, Linker, Store, StoreContextMut, TypedFunc};
use cwasm_compiler::Options;
use cwasm_tests::artifact::Workshop;

/// `sum(n)` adds up what the host's `wait` makes of n, n - 1, ... 1. `text` passes a string through
/// the host, and grows its memory by each. `deep(n)` calls itself n times, then `wait`, then itself
/// again; `recurse` does so without end. `trap` waits, then traps; `spin` waits, then never ends.
/// `block` calls what does not wait. `plain` calls nothing.
const GUEST: &str = r#"(component
  (import "wait" (func $wait (param "n" u32) (result u32)))
  (import "text" (func $text (param "s" string) (result string)))
  (import "block" (func $block (param "n" u32) (result u32)))
  (core module $libc
    (memory (export "memory") 1 100)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (local.get $at) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8))))
      (drop (memory.grow (i32.const 1)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (core func $wait (canon lower (func $wait)))
  (core func $block (canon lower (func $block)))
  (core func $text (canon lower (func $text) (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m
    (import "" "wait" (func $wait (param i32) (result i32)))
    (import "" "block" (func $block (param i32) (result i32)))
    (import "" "text" (func $text (param i32 i32 i32)))
    (func (export "sum") (param $n i32) (result i32) (local $sum i32)
      (loop $more
        (if (local.get $n) (then
          (local.set $sum (i32.add (local.get $sum) (call $wait (local.get $n))))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $more))))
      (local.get $sum))
    (func (export "text") (param i32 i32) (result i32)
      (call $text (local.get 0) (local.get 1) (i32.const 64))
      (i32.const 64))
    (func $deep (export "deep") (param $n i32) (result i32)
      (if (result i32) (local.get $n)
        (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get $n) (i32.const 1)))))
        (else (call $wait (i32.const 7)))))
    (func $recurse (export "recurse") (param $n i32) (result i32)
      (i32.add (call $wait (local.get $n)) (call $endless (local.get $n))))
    (func $endless (param $n i32) (result i32)
      (i32.add (i32.const 1) (call $endless (local.get $n))))
    (func (export "trap") (param i32) (result i32) (drop (call $wait (local.get 0))) unreachable)
    (func (export "spin") (param i32) (result i32) (drop (call $wait (local.get 0))) (loop $l (br $l)) unreachable)
    (func (export "block") (param i32) (result i32) (call $block (local.get 0)))
    (func (export "plain") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m (with "" (instance
    (export "wait" (func $wait)) (export "block" (func $block)) (export "text" (func $text))))))
  (func (export "sum") (param "n" u32) (result u32) (canon lift (core func $i "sum")))
  (func (export "text") (param "s" string) (result string) (canon lift (core func $i "text")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (func (export "deep") (param "n" u32) (result u32) (canon lift (core func $i "deep")))
  (func (export "recurse") (param "n" u32) (result u32) (canon lift (core func $i "recurse")))
  (func (export "trap") (param "n" u32) (result u32) (canon lift (core func $i "trap")))
  (func (export "spin") (param "n" u32) (result u32) (canon lift (core func $i "spin")))
  (func (export "block") (param "n" u32) (result u32) (canon lift (core func $i "block")))
  (func (export "plain") (param "n" u32) (result u32) (canon lift (core func $i "plain"))))"#;

/// What a function of the host returns that waits.
type Boxed<'a, R> = Box<dyn Future<Output = cwasm::Result<R>> + Send + 'a>;

/// The state of host functions.
#[derive(Default)]
struct Host {
    instance: Option<Instance>,
    /// How many times a future has been dropped.
    dropped: Arc<AtomicU32>,
    /// How often `wait` was called.
    calls: u32,
}

/// Counts when it is dropped.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Is ready at the poll of this number, and wakes its task at those before.
struct After(u32);

impl Future for After {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

struct Bench {
    workshop: Workshop,
    linker: Linker<Host>,
    component: Component,
}

/// `wait(n)` is `2 n` after n polls.
fn wait(mut store: StoreContextMut<'_, Host>, (n,): (u32,)) -> Boxed<'_, (u32,)> {
    let dropped = Dropped(Arc::clone(&store.data().dropped));
    Box::new(async move {
        let _dropped = dropped;
        After(n).await;
        store.data_mut().calls += 1;
        Ok((2 * n,))
    })
}

fn text(_: StoreContextMut<'_, Host>, (text,): (String,)) -> Boxed<'_, (String,)> {
    Box::new(async move {
        After(3).await;
        Ok((text.repeat(2),))
    })
}

fn block(_: StoreContextMut<'_, Host>, (n,): (u32,)) -> cwasm::Result<(u32,)> {
    Ok((n + 1,))
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Workshop::new())
    }

    fn interruptible() -> Bench {
        Bench::with(Workshop::with_options(Options {
            interruptible: true,
            ..Options::default()
        }))
    }

    fn configured(config: &Config) -> Bench {
        Bench::with(Workshop::with_config(config))
    }

    fn with(workshop: Workshop) -> Bench {
        let mut linker = Linker::new(workshop.engine());
        let mut root = linker.root();
        root.func_wrap_async("wait", wait).unwrap();
        root.func_wrap_async("text", text).unwrap();
        root.func_wrap("block", block).unwrap();
        let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        Bench {
            workshop,
            linker,
            component,
        }
    }

    /// The same with another function, instead of the one of that name.
    fn replacing(mut self, replace: impl FnOnce(&mut Linker<Host>) -> cwasm::Result<()>) -> Bench {
        self.linker.allow_shadowing(true);
        replace(&mut self.linker).unwrap();
        self
    }

    fn store(&self) -> Store<Host> {
        Store::new(self.workshop.engine(), Host::default())
    }

    /// A store with an instance.
    fn instance(&self) -> (Store<Host>, Instance) {
        let mut store = self.store();
        let instance = self
            .linker
            .instantiate(&mut store, &self.component)
            .unwrap();
        store.data_mut().instance = Some(instance);
        (store, instance)
    }

    /// A store with a function that takes and returns a number.
    fn func(&self, name: &str) -> (Store<Host>, TypedFunc<(u32,), (u32,)>) {
        let (mut store, instance) = self.instance();
        let func = instance.get_typed_func(&mut store, name).unwrap();
        (store, func)
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls until it is ready, and says how often it was pending.
fn drive<R>(future: impl Future<Output = R>) -> (R, u32) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let mut pending = 0;
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return (result, pending),
            Poll::Pending => pending += 1,
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), pending, "it is woken");
    }
}

/// Polls so often, which must not be enough.
fn poll_times<F: Future>(future: &mut Pin<Box<F>>, times: u32) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..times {
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
}

fn dropped(store: &Store<Host>) -> u32 {
    store.data().dropped.load(Ordering::Relaxed)
}

//! The asynchronous canonical ABI and its host: functions that are `async` in a component's type.
//! Each file has one subject.

#[path = "../common/child.rs"]
#[allow(dead_code, reason = "a part is used")]
mod child;

mod accessors;
mod builtins;
mod calls;
mod crowds;
mod dropped;
mod error_contexts;
mod exceptions;
mod faults;
mod handles;
mod hostile;
mod last;
mod pairs;
mod payloads;
mod plain;
mod resources;
mod schedules;
mod streams;
mod threads;
mod traps;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use cwasm::{Accessor, Component, Config, Instance, Linker, Result, Store, TypedFunc};
use cwasm_tests::artifact::Workshop;

/// Functions that take a number and return what the host's `wait` makes of it, each lifted in
/// another way: `callback` waits in its callback, `stackful` for a set of waitables, `blocking` and
/// `plain` in a synchronous call of `wait`; `plain` has no `async` option.
///
/// `early` returns n before `wait` is over, and calls the host's `note` with the result. `trap`
/// waits, then traps. `empty` waits for a set that has nothing in it; `stuck` does so in its
/// callback. `cancel` starts `wait`, cancels it, and returns the state in which it ended.
const GUEST: &str = r#"(component
  (import "wait" (func $wait async (param "n" u32) (result u32)))
  (import "note" (func $note (param "n" u32)))
  (core module $libc (memory (export "mem") 32))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (core module $m
    (import "" "mem" (memory 1))
    (import "" "wait" (func $wait (param i32 i32) (result i32)))
    (import "" "wait-sync" (func $wait-sync (param i32) (result i32)))
    (import "" "note" (func $note (param i32)))
    (import "" "return" (func $return (param i32)))
    (import "" "set.new" (func $set.new (result i32)))
    (import "" "set.wait" (func $set.wait (param i32 i32) (result i32)))
    (import "" "set.drop" (func $set.drop (param i32)))
    (import "" "join" (func $join (param i32 i32)))
    (import "" "subtask.drop" (func $subtask.drop (param i32)))
    (import "" "subtask.cancel" (func $subtask.cancel (param i32) (result i32)))
    (import "" "context.get" (func $context.get (result i32)))
    (import "" "context.set" (func $context.set (param i32)))
    (global $next (mut i32) (i32.const 1024))
    ;; A place for an event (8 bytes), a result, and the set.
    (func $place (result i32) (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (local.get $at) (i32.const 16)))
      (local.get $at))
    ;; Starts `wait`: zero, or the set that has its subtask.
    (func $start (param $n i32) (param $at i32) (result i32) (local $state i32) (local $set i32)
      (local.set $state (call $wait (local.get $n) (i32.add (local.get $at) (i32.const 8))))
      (if (i32.eq (local.get $state) (i32.const 2)) (then (return (i32.const 0))))
      (if (i32.ne (i32.and (local.get $state) (i32.const 15)) (i32.const 1)) (then unreachable))
      (local.set $set (call $set.new))
      (call $join (i32.shr_u (local.get $state) (i32.const 4)) (local.get $set))
      (i32.store offset=12 (local.get $at) (local.get $set))
      (local.get $set))
    ;; The event must be that a subtask has returned.
    (func $ended (param $at i32) (param $code i32) (param $subtask i32) (param $state i32)
      (if (i32.ne (local.get $code) (i32.const 1)) (then unreachable))
      (if (i32.ne (local.get $state) (i32.const 2)) (then unreachable))
      (call $subtask.drop (local.get $subtask))
      (call $set.drop (i32.load offset=12 (local.get $at))))
    (func $await (param $set i32) (param $at i32)
      (if (local.get $set) (then
        (call $ended (local.get $at) (call $set.wait (local.get $set) (local.get $at))
          (i32.load (local.get $at)) (i32.load offset=4 (local.get $at))))))
    (func $waiting (param $set i32) (result i32)
      (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))

    (func (export "callback") (param $n i32) (result i32) (local $at i32) (local $set i32)
      (local.set $at (call $place))
      (call $context.set (local.get $at))
      (local.set $set (call $start (local.get $n) (local.get $at)))
      (if (local.get $set) (then (return (call $waiting (local.get $set)))))
      (call $return (i32.load offset=8 (local.get $at)))
      (i32.const 0))
    (func (export "callback-cb") (param $code i32) (param $subtask i32) (param $state i32) (result i32)
      (call $ended (call $context.get) (local.get $code) (local.get $subtask) (local.get $state))
      (call $return (i32.load offset=8 (call $context.get)))
      (i32.const 0))
    (func (export "stackful") (param $n i32) (local $at i32)
      (local.set $at (call $place))
      (call $await (call $start (local.get $n) (local.get $at)) (local.get $at))
      (call $return (i32.load offset=8 (local.get $at))))
    (func (export "blocking") (param $n i32)
      (call $return (call $wait-sync (local.get $n))))
    (func (export "plain") (param $n i32) (result i32)
      (call $wait-sync (local.get $n)))
    (func (export "early") (param $n i32) (result i32) (local $at i32) (local $set i32)
      (local.set $at (call $place))
      (call $context.set (local.get $at))
      (local.set $set (call $start (local.get $n) (local.get $at)))
      (call $return (local.get $n))
      (if (local.get $set) (then (return (call $waiting (local.get $set)))))
      (call $note (i32.load offset=8 (local.get $at)))
      (i32.const 0))
    (func (export "early-cb") (param $code i32) (param $subtask i32) (param $state i32) (result i32)
      (call $ended (call $context.get) (local.get $code) (local.get $subtask) (local.get $state))
      (call $note (i32.load offset=8 (call $context.get)))
      (i32.const 0))
    (func (export "trap") (param $n i32) (result i32) (local $at i32) (local $set i32)
      (local.set $at (call $place))
      (call $context.set (local.get $at))
      (local.set $set (call $start (local.get $n) (local.get $at)))
      (if (local.get $set) (then (return (call $waiting (local.get $set)))))
      unreachable)
    (func (export "trap-cb") (param i32 i32 i32) (result i32) unreachable)
    (func (export "empty") (param i32)
      (drop (call $set.wait (call $set.new) (call $place)))
      unreachable)
    (func (export "stuck") (param i32) (result i32) (call $waiting (call $set.new)))
    (func (export "stuck-cb") (param i32 i32 i32) (result i32) unreachable)
    (func (export "cancel") (param $n i32) (result i32) (local $state i32) (local $subtask i32)
      (local.set $state (call $wait (local.get $n) (call $place)))
      (local.set $subtask (i32.shr_u (local.get $state) (i32.const 4)))
      (local.set $state (call $subtask.cancel (local.get $subtask)))
      (call $subtask.drop (local.get $subtask))
      (call $return (local.get $state))
      (i32.const 0))
    (func (export "cancel-cb") (param i32 i32 i32) (result i32) unreachable))
  (canon lower (func $wait) async (memory $mem) (core func $wait))
  (canon lower (func $wait) (core func $wait-sync))
  (canon lower (func $note) (core func $note))
  (canon task.return (result u32) (core func $return))
  (canon waitable-set.new (core func $set.new))
  (canon waitable-set.wait (memory $mem) (core func $set.wait))
  (canon waitable-set.drop (core func $set.drop))
  (canon waitable.join (core func $join))
  (canon subtask.drop (core func $subtask.drop))
  (canon subtask.cancel (core func $subtask.cancel))
  (canon context.get i32 0 (core func $context.get))
  (canon context.set i32 0 (core func $context.set))
  (core instance $i (instantiate $m (with "" (instance
    (export "mem" (memory $mem))
    (export "wait" (func $wait)) (export "wait-sync" (func $wait-sync))
    (export "note" (func $note)) (export "return" (func $return))
    (export "set.new" (func $set.new)) (export "set.wait" (func $set.wait))
    (export "set.drop" (func $set.drop)) (export "join" (func $join))
    (export "subtask.drop" (func $subtask.drop)) (export "subtask.cancel" (func $subtask.cancel))
    (export "context.get" (func $context.get)) (export "context.set" (func $context.set))))))
  (func (export "callback") async (param "n" u32) (result u32)
    (canon lift (core func $i "callback") async (callback (core func $i "callback-cb"))))
  (func (export "stackful") async (param "n" u32) (result u32)
    (canon lift (core func $i "stackful") async))
  (func (export "blocking") async (param "n" u32) (result u32)
    (canon lift (core func $i "blocking") async))
  (func (export "plain") async (param "n" u32) (result u32)
    (canon lift (core func $i "plain")))
  (func (export "early") async (param "n" u32) (result u32)
    (canon lift (core func $i "early") async (callback (core func $i "early-cb"))))
  (func (export "trap") async (param "n" u32) (result u32)
    (canon lift (core func $i "trap") async (callback (core func $i "trap-cb"))))
  (func (export "empty") async (param "n" u32) (result u32)
    (canon lift (core func $i "empty") async))
  (func (export "stuck") async (param "n" u32) (result u32)
    (canon lift (core func $i "stuck") async (callback (core func $i "stuck-cb"))))
  (func (export "cancel") async (param "n" u32) (result u32)
    (canon lift (core func $i "cancel") async (callback (core func $i "cancel-cb")))))"#;

/// The functions of the guest that return what `wait` does.
const WAITING: [&str; 4] = ["callback", "stackful", "blocking", "plain"];

/// What a function of the host returns.
type Boxed<'a, R> = Pin<Box<dyn Future<Output = Result<R>> + Send + 'a>>;

type Func = TypedFunc<(u32,), (u32,)>;

/// The state of host functions.
#[derive(Default)]
struct Host {
    /// How many futures of `wait` there are.
    live: Arc<AtomicU32>,
    /// How many of them there were at most.
    most: u32,
    /// How many have begun.
    calls: u32,
    /// What `note` was called with.
    notes: Vec<u32>,
}

/// Counted as long as it is there.
struct Live(Arc<AtomicU32>);

impl Live {
    fn new(accessor: &Accessor<Host>) -> Live {
        accessor.with(|mut store| {
            let host = store.data_mut();
            host.calls += 1;
            let live = host.live.fetch_add(1, Ordering::Relaxed) + 1;
            host.most = host.most.max(live);
            Live(Arc::clone(&host.live))
        })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Is ready at the poll of this number. It is woken by [`tick`] for each, not before: what it wakes
/// is polled by the executor each time.
struct After(u32);

thread_local! {
    /// Who waits for the next tick of this thread.
    static WAITS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

impl Future for After {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        WAITS.with_borrow_mut(|waits| waits.push(context.waker().clone()));
        Poll::Pending
    }
}

/// Wakes what waits in this thread.
fn tick() {
    WAITS.take().into_iter().for_each(Waker::wake);
}

/// `wait(n)` is `2 n` after n polls, and never if n is [`NEVER`].
fn wait(accessor: &Accessor<Host>, (n,): (u32,)) -> Boxed<'_, (u32,)> {
    let live = Live::new(accessor);
    Box::pin(async move {
        let _live = live;
        match n {
            NEVER => std::future::pending().await,
            n => After(n).await,
        }
        Ok((2 * n,))
    })
}

const NEVER: u32 = u32::MAX;

struct Bench {
    workshop: Workshop,
    linker: Linker<Host>,
    component: Component,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Workshop::new())
    }

    /// With tasks that go on in an order that depends on `seed`.
    fn seeded(seed: u64) -> Bench {
        Bench::with(Workshop::with_config(Config::new().schedule_seed(seed)))
    }

    /// With this guest instead.
    fn of(guest: &str) -> Bench {
        Bench::made(Workshop::new(), guest)
    }

    fn with(workshop: Workshop) -> Bench {
        Bench::made(workshop, GUEST)
    }

    fn made(workshop: Workshop, guest: &str) -> Bench {
        let mut linker = Linker::<Host>::new(workshop.engine());
        let mut root = linker.root();
        root.func_wrap_concurrent("wait", wait).unwrap();
        root.func_wrap("note", |mut store, (n,): (u32,)| {
            store.data_mut().notes.push(n);
            Ok(())
        })
        .unwrap();
        let component = component(&workshop, guest);
        Bench {
            workshop,
            linker,
            component,
        }
    }

    /// The same with another `wait`.
    fn waiting_by<F>(mut self, wait: F) -> Bench
    where
        F: for<'a> Fn(&'a Accessor<Host>, (u32,)) -> Boxed<'a, (u32,)> + Send + Sync + 'static,
    {
        self.linker.allow_shadowing(true);
        let mut root = self.linker.root();
        root.func_wrap_concurrent("wait", wait).unwrap();
        self
    }

    fn instance(&self) -> (Store<Host>, Instance) {
        let mut store = Store::new(self.workshop.engine(), Host::default());
        let instance = self.linker.instantiate(&mut store, &self.component);
        let instance = instance.unwrap();
        (store, instance)
    }

    /// A store with a function of an instance.
    fn func(&self, name: &str) -> (Store<Host>, Func) {
        let (mut store, instance) = self.instance();
        let func = instance.get_typed_func(&mut store, name).unwrap();
        (store, func)
    }

    /// A store with functions of one instance.
    fn funcs<const N: usize>(&self, names: [&str; N]) -> (Store<Host>, [Func; N]) {
        let (mut store, instance) = self.instance();
        let funcs = names.map(|name| instance.get_typed_func(&mut store, name).unwrap());
        (store, funcs)
    }
}

fn component(workshop: &Workshop, text: &str) -> Component {
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    workshop.map_component(&artifact).unwrap()
}

/// How many futures of `wait` there are.
fn live(store: &Store<Host>) -> u32 {
    store.data().live.load(Ordering::Relaxed)
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls until it is ready, and says how often it was pending. Something must wake it each time.
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
        tick();
        let woken = woken.0.swap(0, Ordering::Relaxed);
        assert!(woken > 0, "nobody wakes it after poll {pending}");
    }
}

/// Polls so often, which must not be enough, with ticks after each.
fn poll_times<F: Future>(future: Pin<&mut F>, times: u32) {
    let mut future = future;
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..times {
        assert!(future.as_mut().poll(&mut context).is_pending());
        tick();
    }
}

/// Waits for all, beside each other: their results, in their order.
async fn all<R>(futures: impl IntoIterator<Item = impl Future<Output = R>>) -> Vec<R> {
    let mut futures: Vec<_> = futures.into_iter().map(|it| Some(Box::pin(it))).collect();
    let mut results: Vec<Option<R>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (slot, result) in futures.iter_mut().zip(&mut results) {
            if let Some(future) = slot
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                (*slot, *result) = (None, Some(ready));
            }
        }
        match results.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

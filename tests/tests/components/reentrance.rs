//! Hosts that enter an instance while it waits for them, and what then happens when something goes
//! wrong. Guests that do it among themselves are in `cases/component/reentrance.wast`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use cwasm::{
    AsContextMut, Component, Config, Engine, Error, Instance, Linker, Resource, ResourceTable,
    ResourceType, Store, StoreContextMut, TrapCode, Val, WasmStr,
};
use cwasm_tests::artifact::Workshop;

/// `act` does what a number says, its last digit first: 0 nothing, 1 makes a resource, 2 drops it,
/// 3 drops the last one on loan, 4 the one before that, 5 calls the host with the other digits, 6
/// the same with its resource on loan, 7 with its resource twice in a list, 8 makes a thousand
/// more. It returns how often it has been called.
const GUEST: &str = r#"(component
  (import "thing" (type $R (sub resource)))
  (import "make" (func $make (result (own $R))))
  (import "again" (func $again (param "what" u32) (result u32)))
  (import "lend" (func $lend (param "what" u32) (param "r" (borrow $R)) (result u32)))
  (import "lend-list" (func $lend-list (param "what" u32) (param "r" (list (borrow $R))) (result u32)))
  (import "text" (func $text (param "s" string) (result string)))
  (core module $libc
    (memory (export "memory") 1 2)
    (global $next (export "next") (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (local.get $at) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8))))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (core func $make (canon lower (func $make)))
  (core func $drop (canon resource.drop $R))
  (core func $again (canon lower (func $again)))
  (core func $lend (canon lower (func $lend)))
  (core func $lend-list (canon lower (func $lend-list) (memory (core memory $libc "memory"))))
  (core func $text (canon lower (func $text) (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m
    (import "libc" "memory" (memory 1 2))
    (import "libc" "next" (global $next (mut i32)))
    (import "" "make" (func $make (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (import "" "again" (func $again (param i32) (result i32)))
    (import "" "lend" (func $lend (param i32 i32) (result i32)))
    (import "" "lend-list" (func $lend-list (param i32 i32 i32) (result i32)))
    (import "" "text" (func $text (param i32 i32 i32)))
    (global $calls (mut i32) (i32.const 0))
    (global $own (mut i32) (i32.const 0))
    (global $last (mut i32) (i32.const 0))
    (global $before (mut i32) (i32.const 0))
    (func $digit (param $digit i32) (param $rest i32) (local $i i32)
      (block $none (block $1 (block $2 (block $3 (block $4 (block $5 (block $6 (block $7 (block $8 (block $9
        (br_table $none $1 $2 $3 $4 $5 $6 $7 $8 $9 (local.get $digit)))
      (unreachable))
      (loop $more (drop (call $make))
        (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
      (return))
      (i32.store (i32.const 0) (global.get $own)) (i32.store (i32.const 4) (global.get $own))
      (drop (call $lend-list (local.get $rest) (i32.const 0) (i32.const 2))) (return))
      (drop (call $lend (local.get $rest) (global.get $own))) (return))
      (drop (call $again (local.get $rest))) (return))
      (call $drop (global.get $before)) (return))
      (call $drop (global.get $last)) (return))
      (call $drop (global.get $own)) (return))
      (global.set $own (call $make)) (return)))
    (func $act (export "act") (param $what i32) (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (call $digit (i32.rem_u (local.get $what) (i32.const 10)) (i32.div_u (local.get $what) (i32.const 10)))
      (global.get $calls))
    ;; Two things: the thousands, and the rest.
    (func (export "act-with") (param $what i32) (param $r i32) (result i32)
      (global.set $before (global.get $last))
      (global.set $last (local.get $r))
      (drop (call $act (i32.div_u (local.get $what) (i32.const 1000))))
      (call $act (i32.rem_u (local.get $what) (i32.const 1000))))
    ;; What the host makes of "abc": in memory at 32.
    (func (export "text") (result i32)
      (i32.store (i32.const 64) (i32.const 0x00636261))
      (call $text (i32.const 64) (i32.const 3) (i32.const 32))
      (i32.const 32))
    ;; Overwrites what is passed by `text`, and makes the memory longer.
    (func (export "scribble") (i32.store (i32.const 64) (i32.const -1)) (drop (memory.grow (i32.const 1))))
    (func (export "post") (param i32) (i32.store (i32.const 32) (i32.const 0)))
    (func (export "allocated") (result i32) (global.get $next)))
  (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "" (instance
    (export "make" (func $make)) (export "drop" (func $drop)) (export "again" (func $again))
    (export "lend" (func $lend)) (export "lend-list" (func $lend-list)) (export "text" (func $text))))))
  (func (export "act") (param "what" u32) (result u32) (canon lift (core func $i "act")))
  (func (export "act-with") (param "what" u32) (param "r" (borrow $R)) (result u32)
    (canon lift (core func $i "act-with")))
  (func (export "text") (result string)
    (canon lift (core func $i "text") (memory (core memory $libc "memory")) (post-return (core func $i "post"))))
  (func (export "scribble") (canon lift (core func $i "scribble")))
  (func (export "allocated") (result u32) (canon lift (core func $i "allocated"))))"#;

/// The resource type.
struct Thing;

type Again = dyn Fn(StoreContextMut<'_, Host>, u32) -> cwasm::Result<u32> + Send + Sync;
type Text = dyn Fn(StoreContextMut<'_, Host>, WasmStr) -> cwasm::Result<String> + Send + Sync;

/// The state of host functions.
struct Host {
    instance: Option<Instance>,
    things: ResourceTable,
    /// The function `again`.
    again: Arc<Again>,
    /// The function `text`.
    text: Arc<Text>,
}

/// A guest, with functions that call it.
struct Bench {
    _workshop: Workshop,
    linker: Linker<Host>,
    component: Component,
    store: Store<Host>,
    instance: Instance,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Workshop::new())
    }

    fn with(workshop: Workshop) -> Bench {
        let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let linker = linker(workshop.engine()).unwrap();
        let host = Host {
            instance: None,
            things: ResourceTable::new(),
            again: Arc::new(|_, _| Ok(0)),
            text: Arc::new(|store, text| Ok(text.to_str(&store)?.to_uppercase())),
        };
        let mut store = Store::new(workshop.engine(), host);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        store.data_mut().instance = Some(instance);
        Bench {
            _workshop: workshop,
            linker,
            component,
            store,
            instance,
        }
    }

    fn again(
        &mut self,
        again: impl Fn(StoreContextMut<'_, Host>, u32) -> cwasm::Result<u32> + Send + Sync + 'static,
    ) {
        self.store.data_mut().again = Arc::new(again);
    }

    fn act(&mut self, what: u32) -> cwasm::Result<u32> {
        act(self.store.as_context_mut(), self.instance, what)
    }

    /// Checks that nothing enters the instance any more, and that others are well.
    fn check_closed(&mut self) {
        assert_eq!(code(self.act(0)), TrapCode::CannotEnter);
        let text = self
            .instance
            .get_typed_func::<(), (String,)>(&mut self.store, "text");
        assert_eq!(
            code(text.unwrap().call(&mut self.store, ())),
            TrapCode::CannotEnter
        );
        let other = self.linker.instantiate(&mut self.store, &self.component);
        assert_eq!(
            act(self.store.as_context_mut(), other.unwrap(), 0).unwrap(),
            1
        );
    }
}

fn linker(engine: &Engine) -> cwasm::Result<Linker<Host>> {
    let mut linker = Linker::<Host>::new(engine);
    let mut root = linker.root();
    root.resource("thing", ResourceType::host::<Thing>(), |mut store, rep| {
        let thing = Resource::<Thing>::new_own(rep);
        store.data_mut().things.delete(thing)?;
        Ok(())
    })?;
    root.func_wrap("make", |mut store: StoreContextMut<'_, Host>, (): ()| {
        Ok((store.data_mut().things.push(Thing)?,))
    })?;
    root.func_wrap(
        "again",
        |store: StoreContextMut<'_, Host>, (what,): (u32,)| {
            let again = Arc::clone(&store.data().again);
            Ok((again(store, what)?,))
        },
    )?;
    root.func_wrap(
        "lend",
        |mut store: StoreContextMut<'_, Host>, (what, thing): (u32, Resource<Thing>)| {
            let calls = act_with(store.as_context_mut(), what, &thing)?;
            // It is still there: its owner cannot drop it meanwhile.
            store.data().things.get(&thing)?;
            Ok((calls,))
        },
    )?;
    root.func_new("lend-list", |mut store, _, args, results| {
        let instance = store.data().instance.expect("an instance");
        let (Val::U32(what), Val::List(things)) = (args[0].clone(), &args[1]) else {
            return Err(Error::msg("other arguments"));
        };
        let func = instance
            .get_func(&mut store, "act-with")
            .expect("a function");
        func.call(&mut store, &[Val::U32(what), things[1].clone()], results)
    })?;
    root.func_wrap(
        "text",
        |store: StoreContextMut<'_, Host>, (text,): (WasmStr,)| {
            let make = Arc::clone(&store.data().text);
            Ok((make(store, text)?,))
        },
    )?;
    Ok(linker)
}

fn act(mut store: StoreContextMut<'_, Host>, instance: Instance, what: u32) -> cwasm::Result<u32> {
    let act = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "act")?;
    Ok(act.call(store, (what,))?.0)
}

/// As [`act`], of the instance that calls.
fn act_again(store: StoreContextMut<'_, Host>, what: u32) -> cwasm::Result<u32> {
    let instance = store.data().instance.expect("an instance");
    act(store, instance, what)
}

fn act_with(
    mut store: StoreContextMut<'_, Host>,
    what: u32,
    thing: &Resource<Thing>,
) -> cwasm::Result<u32> {
    let instance = store.data().instance.expect("an instance");
    let lent = Resource::<Thing>::new_borrow(thing.rep());
    let func = instance.get_typed_func::<(u32, Resource<Thing>), (u32,)>(&mut store, "act-with")?;
    Ok(func.call(store, (what, lent))?.0)
}

fn code<T: std::fmt::Debug>(result: cwasm::Result<T>) -> TrapCode {
    let error = result.unwrap_err();
    error.trap().unwrap_or_else(|| panic!("{error:?}")).code()
}

/// Checks that a call ended with this trap, which the host's functions have passed on.
fn check_cause<T: std::fmt::Debug>(result: cwasm::Result<T>, code: TrapCode, what: u32) {
    let error = result.unwrap_err();
    let cause = error.chain().last().expect("a cause").to_string();
    let expected = format!("wasm trap: {code}");
    assert_eq!(cause.lines().next(), Some(&*expected), "{what}: {error:?}");
}

#[test]
fn an_instance_is_entered_again_while_it_waits() {
    let mut bench = Bench::new();
    bench.again(act_again);
    assert_eq!(bench.act(0).unwrap(), 1);
    assert_eq!(bench.act(5555).unwrap(), 6);
    // As deep as there is stack, and by calls of either kind.
    bench.again(|mut store, depth| {
        if depth == 0 {
            return Ok(0);
        }
        let again = store.data().instance.unwrap();
        if depth % 2 == 0 {
            let func = again.get_func(&mut store, "act").unwrap();
            let mut results = [Val::Bool(false)];
            func.call(&mut store, &[Val::U32(10 * (depth - 1) + 5)], &mut results)?;
            return Ok(0);
        }
        act(store, again, 10 * (depth - 1) + 5)
    });
    assert_eq!(bench.act(1005).unwrap(), 107);
    let error = bench.act(100_000_005).unwrap_err();
    let cause = error.chain().last().expect("a cause").to_string();
    assert!(cause.contains(TrapCode::StackOverflow.message()), "{cause}");
    bench.check_closed();
}

#[test]
fn after_a_trap_within_nothing_goes_on_outside() {
    // The host gets the trap, or a panic, and goes on as if nothing had been.
    for what in [9, 95, 999, 2] {
        let mut bench = Bench::new();
        bench.again(|store, what| match act_again(store, what) {
            Ok(_) => panic!("it traps"),
            Err(_) => Ok(7),
        });
        let outer = bench.act(10 * what + 5);
        assert_eq!(code(outer), TrapCode::CannotEnter, "{what}");
        bench.check_closed();
    }
    // It fails, too: its own error is what counts.
    let mut bench = Bench::new();
    bench.again(|store, what| {
        let error = act_again(store, what).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::Unreachable);
        Err(std::fmt::Error.into())
    });
    assert!(bench.act(95).unwrap_err().is::<std::fmt::Error>());
    bench.check_closed();
    // A panic of a host function within.
    let mut bench = Bench::new();
    bench.again(|store, what| {
        if what == 0 {
            resume_unwind(Box::new(1));
        }
        let call = AssertUnwindSafe(|| act_again(store, what));
        assert!(catch_unwind(call).is_err());
        Ok(7)
    });
    assert_eq!(code(bench.act(55)), TrapCode::CannotEnter);
    bench.check_closed();
    // What traps is another instance: the outer one is none of its business.
    let mut bench = Bench::new();
    let other = bench
        .linker
        .instantiate(&mut bench.store, &bench.component)
        .unwrap();
    bench.again(move |store, what| {
        assert!(act(store, other, what).is_err());
        Ok(7)
    });
    assert_eq!(bench.act(95).unwrap(), 1);
    assert_eq!(bench.act(95).unwrap(), 2);
}

#[test]
fn a_closed_instance_is_given_no_results() {
    let mut bench = Bench::new();
    let instance = bench.instance;
    let text = instance
        .get_typed_func::<(), (String,)>(&mut bench.store, "text")
        .unwrap();
    assert_eq!(
        text.call(&mut bench.store, ()).unwrap(),
        ("ABC".to_owned(),)
    );
    bench.store.data_mut().text = Arc::new(|mut store, _| {
        assert_eq!(
            code(act_again(store.as_context_mut(), 9)),
            TrapCode::Unreachable
        );
        Ok("which takes memory".to_owned())
    });
    let error = text.call(&mut bench.store, ()).unwrap_err();
    let trap = error.trap().unwrap();
    assert_eq!(trap.code(), TrapCode::CannotEnter);
    // It was not `realloc` that could not be entered, but the function that could not go on.
    assert_ne!(trap.frames()[0].core_instance, 0, "{trap}");
    bench.check_closed();
}

#[test]
fn views_are_checked_when_they_are_read() {
    let mut bench = Bench::new();
    let text = bench
        .instance
        .get_typed_func::<(), (String,)>(&mut bench.store, "text")
        .unwrap();
    bench.store.data_mut().text = Arc::new(|mut store, text| {
        assert_eq!(text.to_str(&store)?, "abc");
        let instance = store.data().instance.expect("an instance");
        let scribble = instance.get_typed_func::<(), ()>(&mut store, "scribble")?;
        scribble.call(&mut store, ())?;
        let read = text.to_str(&store).map(|_| ());
        assert_eq!(code(read), TrapCode::InvalidStringEncoding);
        Ok("fine".to_owned())
    });
    assert_eq!(
        text.call(&mut bench.store, ()).unwrap(),
        ("fine".to_owned(),)
    );
    assert_eq!(
        text.call(&mut bench.store, ()).unwrap(),
        ("fine".to_owned(),)
    );
}

#[test]
fn nothing_enters_between_a_deferred_call_and_its_post_return() {
    let mut bench = Bench::new();
    let text = bench
        .instance
        .get_typed_func::<(), (WasmStr,)>(&mut bench.store, "text")
        .unwrap();
    let result = text.call_deferred(&mut bench.store, ()).unwrap();
    assert_eq!(code(bench.act(0)), TrapCode::CannotEnter);
    assert_eq!(result.0.to_str(&bench.store).unwrap(), "ABC");
    text.post_return(&mut bench.store, result).unwrap();
    assert_eq!(bench.act(0).unwrap(), 1);
    // Within a host function.
    bench.again(move |mut store, _| {
        let result = text.call_deferred(&mut store, ())?;
        assert_eq!(
            code(act_again(store.as_context_mut(), 0)),
            TrapCode::CannotEnter
        );
        text.post_return(&mut store, result)?;
        act_again(store, 0)
    });
    assert_eq!(bench.act(5).unwrap(), 3);
    // The instance does not go on either.
    bench.again(move |mut store, _| {
        let _result = text.call_deferred(&mut store, ())?;
        Ok(0)
    });
    let error = bench.act(5).unwrap_err();
    assert!(format!("{error:?}").contains("post_return"), "{error:?}");
    bench.check_closed();
    // One that was begun before a trap is not ended after it.
    let mut bench = Bench::new();
    let text = bench
        .instance
        .get_typed_func::<(), (WasmStr,)>(&mut bench.store, "text")
        .unwrap();
    let kept: Arc<std::sync::Mutex<Option<cwasm::Deferred<(WasmStr,)>>>> = Arc::default();
    let keep = Arc::clone(&kept);
    bench.again(move |mut store, _| {
        *keep.lock().unwrap() = Some(text.call_deferred(&mut store, ())?);
        Ok(0)
    });
    assert!(bench.act(5).is_err());
    let result = kept.lock().unwrap().take().unwrap();
    let ended = text.post_return(&mut bench.store, result);
    assert_eq!(code(ended), TrapCode::CannotEnter);
    bench.check_closed();
}

#[test]
fn borrows_are_counted_by_call() {
    let made = |whats: &[u32]| {
        let mut bench = Bench::new();
        bench.again(act_again);
        bench.act(1).unwrap();
        let mut result = Ok(0);
        for what in whats {
            result = bench.act(*what).map(|_| 0);
        }
        if result.is_err() {
            bench.check_closed();
        } else {
            bench.act(2).unwrap();
            assert_eq!(bench.store.data().things.len(), 0);
        }
        result
    };
    // Each drops its own: 3000 is "drop the last, then nothing".
    made(&[30006, 30007]).unwrap();
    // None does: it remains.
    for what in [6, 7] {
        check_cause(made(&[what]), TrapCode::BorrowsRemain, what);
    }
    // A call within that has got nothing drops it.
    made(&[350_006, 350_007]).unwrap();
    // Two on loan: the inner one is dropped within, the outer one outside; or both within.
    made(&[300_060_046, 300_070_046, 300_060_047, 400_360_006]).unwrap();
    // The outer one is dropped within, the inner one is not: as many as before, but not the same.
    for what in [400_060_006, 400_070_006, 400_060_007] {
        check_cause(made(&[what]), TrapCode::BorrowsRemain, what);
    }
}

#[test]
fn what_is_lent_to_the_host_is_kept_until_it_returns() {
    // Dropped while it is lent; also after a call within has lent it, too, and is over.
    let whats = [
        20006,
        20007,
        300_060_026,
        300_070_026,
        300_060_027,
        300_070_027,
    ];
    for what in whats {
        let mut bench = Bench::new();
        bench.act(1).unwrap();
        check_cause(bench.act(what), TrapCode::ResourceBorrowed, what);
        bench.check_closed();
    }
    // The table grows meanwhile.
    for what in [80036, 80037] {
        let mut bench = Bench::new();
        bench.act(1).unwrap();
        bench.act(what).unwrap();
        bench.act(what).unwrap();
        bench.act(2).unwrap();
        assert_eq!(bench.store.data().things.len(), 2000);
        assert_eq!(code(bench.act(2)), TrapCode::UnknownHandle);
    }
}

#[test]
fn hosts_may_want_that_active_instances_are_not_entered() {
    let mut config = Config::new();
    config.allow_reentrance(false);
    let mut bench = Bench::with(Workshop::with_config(&config));
    for round in 0..3 {
        bench.again(|mut store, what| {
            let instance = store.data().instance.expect("an instance");
            assert_eq!(
                code(act_again(store.as_context_mut(), 0)),
                TrapCode::CannotEnter
            );
            let text = instance.get_typed_func::<(), (WasmStr,)>(&mut store, "text")?;
            assert_eq!(
                code(text.call_deferred(&mut store, ())),
                TrapCode::CannotEnter
            );
            match what {
                0 => Ok(0),
                _ => Err(std::fmt::Error.into()),
            }
        });
        // What was refused is no trap of the instance that is active.
        assert_eq!(bench.act(5).unwrap(), round + 1);
    }
    // Others may be.
    let other = bench
        .linker
        .instantiate(&mut bench.store, &bench.component)
        .unwrap();
    bench.again(move |store, what| act(store, other, what));
    assert_eq!(bench.act(5).unwrap(), 4);
    // Destructors and functions with handles.
    bench.act(1).unwrap();
    bench.again(act_again);
    let refused = bench.act(6).unwrap_err();
    let cause = refused.chain().last().expect("a cause").to_string();
    assert!(cause.contains(TrapCode::CannotEnter.message()), "{cause}");
    bench.check_closed();
}

//! Code that another thread can stop, how soon it stops, and the state that it leaves.

#[path = "common/fork.rs"]
mod fork;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cwasm::{
    CoreFunc, CoreMemory, CoreVal, Extern, FuncType, InterruptHandle, Linker, Module,
    ModuleInstance, SharedMemory, Store, TrapCode, ValType,
};
use cwasm_compiler::{OptLevel, Options};
use cwasm_tests::artifact::Workshop;

use crate::fork::in_fork;

/// How soon something must stop. The machine may be busy: the quickest of some attempts counts.
const SOON: Duration = Duration::from_millis(10);
/// How late any attempt may be.
const LATE: Duration = Duration::from_secs(5);

fn workshop() -> Workshop {
    workshop_for(OptLevel::Speed)
}

fn workshop_for(opt: OptLevel) -> Workshop {
    Workshop::with_options(Options {
        opt,
        interruptible: true,
        ..Options::default()
    })
}

fn module(workshop: &Workshop, text: &str) -> Module {
    let module = workshop.map_module(&workshop.compile(text.as_bytes()).unwrap());
    module.unwrap()
}

fn func(store: &Store<()>, instance: ModuleInstance, name: &str) -> CoreFunc {
    match instance.get(store, name) {
        Ok(Some(Extern::Func(func))) => func,
        other => panic!("no function `{name}`: {other:?}"),
    }
}

fn code(error: &cwasm::Error) -> TrapCode {
    match error.trap() {
        Some(trap) => trap.code(),
        None => panic!("no trap: {error:?}"),
    }
}

/// Interrupts what `run` does after a while: how long it went on.
fn latency<R: std::fmt::Debug>(
    handle: InterruptHandle,
    run: impl FnOnce() -> cwasm::Result<R>,
) -> Duration {
    let interrupter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        let at = Instant::now();
        handle.interrupt().unwrap();
        at
    });
    let result = run();
    let end = Instant::now();
    assert_eq!(code(&result.unwrap_err()), TrapCode::Interrupt);
    end - interrupter.join().unwrap()
}

/// Checks that what `attempt` measures is soon, seldom late.
fn assert_soon(what: &str, mut attempt: impl FnMut() -> Duration) {
    let latencies: Vec<Duration> = (0..5).map(|_| attempt()).collect();
    assert!(
        latencies.iter().min() < Some(&SOON) && latencies.iter().max() < Some(&LATE),
        "{what}: {latencies:?}"
    );
}

/// Checks that each function that a module exports can be stopped, again and again.
fn assert_stops(workshop: &Workshop, text: &str) {
    let module = module(workshop, text);
    assert!(module.is_interruptible());
    let mut store = Store::new(workshop.engine(), ());
    let instance = module.instantiate(&mut store, &[]).unwrap();
    let names: Vec<String> = module
        .exports()
        .unwrap()
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert!(!names.is_empty());
    for name in names {
        let func = func(&store, instance, &name);
        assert_soon(&name, || {
            let handle = store.interrupt_handle();
            latency(handle, || func.call(&mut store, &[]))
        });
    }
}

#[test]
fn loops_stop() {
    let text = r#"(module
        (memory 1)
        (func (export "empty") (loop $l (br $l)))
        (func (export "nested") (loop $a (loop $b (br_if $b (i32.const 0))) (br $a)))
        (func (export "inner") (loop $a (loop $b (br $b)) (br $a)))
        (func (export "switch") (local i32)
            (loop $a (loop $b
                (local.set 0 (i32.add (local.get 0) (i32.const 1)))
                (br_table $a $b $a (i32.rem_u (local.get 0) (i32.const 3))))))
        (func (export "with parameters") (result i64)
            (i64.const 0)
            (loop $l (param i64) (result i64) (i64.add (i64.const 1)) (br $l)))
        (func (export "with branches") (local i32)
            (loop $l
                (local.set 0 (i32.add (local.get 0) (i32.const 1)))
                (br_if $l (i32.and (local.get 0) (i32.const 1)))
                (if (i32.and (local.get 0) (i32.const 2)) (then (br $l)) (else (br $l)))))
        (func (export "with stores")
            (loop $l (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
                (br $l)))
        (func (export "large") (local i64)
            (loop $l LARGE (br $l))))"#;
    let large = "(local.set 0 (i64.add (local.get 0) (i64.const 3)))".repeat(2000);
    let text = text.replace("LARGE", &large);
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        assert_stops(&workshop_for(opt), &text);
    }
}

/// More loops in a function than the page that they check has bytes.
#[test]
fn functions_of_very_many_loops_stop() {
    let mut text = String::from("(module (func (export \"many\") (local i32) (loop $all\n");
    for count in 0..5000 {
        let _ = write!(
            text,
            "(loop (br_if 0 (i32.eq (local.get 0) (i32.const {})))) ",
            count + 1
        );
    }
    text.push_str("(br $all))) (func (export \"last\")\n");
    text.push_str(&"(loop (br_if 0 (i32.const 0))) ".repeat(4100));
    text.push_str("(if (i32.const 1) (then (loop (br 0))) (else (loop (br 0))))))");
    assert_stops(&workshop(), &text);
}

#[test]
fn calls_stop() {
    let mut text = String::from(
        r#"(module
        (type $f (func))
        (table 2 funcref) (elem (i32.const 0) $ping $pong)
        (func $fib (param i32) (result i32)
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
                (then (i32.const 1))
                (else (i32.add
                    (call $fib (i32.sub (local.get 0) (i32.const 1)))
                    (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func (export "recursion") (drop (call $fib (i32.const 80))))
        (func $self (return_call $self))
        (func (export "tail calls") (return_call $self))
        (func $ping (return_call $pong))
        (func $pong (return_call $ping))
        (func (export "tail calls in turns") (call $ping))
        (func $indirect (return_call_indirect (type $f) (i32.const 1)))
        (elem declare func $by_ref)
        (func $by_ref (return_call_ref $f (ref.func $by_ref)))
        (func (export "tail calls by reference") (call $by_ref))
        (func $many (param i64 i64 i64 i64 i64 i64 i64 i64) (return_call $few (i64.const 1)))
        (func $few (param i64) (return_call $many
            (local.get 0) (local.get 0) (local.get 0) (local.get 0)
            (local.get 0) (local.get 0) (local.get 0) (local.get 0)))
        (func (export "tail calls on the stack") (call $few (i64.const 1)))
        (func (export "no recursion at all") (call $f0))
        "#,
    );
    // Each function calls the next one twice.
    for depth in 0..60 {
        let _ = writeln!(
            text,
            "(func $f{depth} (call $f{0}) (call $f{0}))",
            depth + 1
        );
    }
    text.push_str("(func $f60))");
    for opt in [OptLevel::None, OptLevel::Speed] {
        assert_stops(&workshop_for(opt), &text);
    }
}

/// A recursion as deep as the stack allows, which has something to do in each frame on the way
/// back: there is no loop, and no function begins.
#[test]
fn returning_from_a_deep_recursion_stops() {
    let rest = "(local.set 1 (i64.div_u (local.get 1) (i64.or (local.get 1) (i64.const 1))))";
    let text = format!(
        r#"(module
            (global $depth (export "depth") (mut i32) (i32.const 0))
            (func $down (param i32) (local i64)
                (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1)))))
                (global.set $depth (local.get 0))
                (local.set 1 (i64.extend_i32_u (local.get 0)))
                {})
            (func (export "down") (call $down (i32.const 20000))))"#,
        rest.repeat(2000)
    );
    let workshop = workshop();
    let module = module(&workshop, &text);
    let mut store = Store::new(workshop.engine(), ());
    let instance = module.instantiate(&mut store, &[]).unwrap();
    let down = func(&store, instance, "down");
    assert_soon("returning", || {
        let handle = store.interrupt_handle();
        latency(handle, || down.call(&mut store, &[]))
    });
    let Some(Extern::Global(depth)) = instance.get(&store, "depth").unwrap() else {
        panic!("the global is exported");
    };
    // It was on the way back.
    assert!(matches!(depth.get(&store).unwrap(), CoreVal::I32(1..20000)));
}

#[test]
fn bulk_operations_stop() {
    let text = r#"(module
        (memory 32768)
        (memory $other 32768)
        (data $data "0123456789")
        (table $t 5000000 funcref)
        (table $u 4000000 funcref)
        (func (export "memory.fill") (loop $l
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x7fff0000)) (br $l)))
        (func (export "memory.copy") (loop $l
            (memory.copy (i32.const 0) (i32.const 0x1000) (i32.const 0x7fff0000)) (br $l)))
        (func (export "memory.copy upwards") (loop $l
            (memory.copy (i32.const 0x1000) (i32.const 0) (i32.const 0x7fff0000)) (br $l)))
        (func (export "memory.copy between memories") (loop $l
            (memory.copy 0 $other (i32.const 0) (i32.const 0) (i32.const 0x7fff0000)) (br $l)))
        (func (export "memory.init") (loop $l
            (memory.init $data (i32.const 0) (i32.const 0) (i32.const 10)) (br $l)))
        (func (export "table.fill") (loop $l
            (table.fill $t (i32.const 0) (ref.null func) (i32.const 5000000)) (br $l)))
        (func (export "table.copy") (loop $l
            (table.copy $t $u (i32.const 0) (i32.const 0) (i32.const 4000000)) (br $l)))
        (func (export "memory.grow") (loop $l
            (drop (memory.grow (i32.const 1))) (br $l)))
        (func (export "table.grow") (loop $l
            (drop (table.grow $u (ref.null func) (i32.const 1))) (br $l))))"#;
    assert_stops(&workshop(), text);
}

/// An operation that was stopped halfway leaves a table and a memory that can be used.
#[test]
fn a_table_that_did_not_grow_is_as_before() {
    let workshop = workshop();
    let text = r#"(module
        (table $t 10 10000000 funcref)
        (func (export "grow") (result i32)
            (table.grow $t (ref.func $f) (i32.const 9999990)))
        (func $f) (elem declare func $f)
        (func (export "size") (result i32) (table.size $t))
        (func (export "loop") (loop (br 0))))"#;
    let module = module(&workshop, text);
    let mut store = Store::new(workshop.engine(), ());
    let instance = module.instantiate(&mut store, &[]).unwrap();
    let (grow, size) = (
        func(&store, instance, "grow"),
        func(&store, instance, "size"),
    );
    store.interrupt_handle().interrupt().unwrap();
    // The request is there already: it stops at the first chance.
    let error = grow.call(&mut store, &[]).unwrap_err();
    assert_eq!(code(&error), TrapCode::Interrupt);
    let found = size.call(&mut store, &[]).unwrap();
    assert!(matches!(found[..], [CoreVal::I32(10)]), "{found:?}");
    let found = grow.call(&mut store, &[]).unwrap();
    assert!(matches!(found[..], [CoreVal::I32(10)]), "{found:?}");
}

#[test]
fn start_functions_stop() {
    let workshop = workshop();
    let core = module(&workshop, "(module (func $run (loop (br 0))) (start $run))");
    let component = r#"(component
        (core module $m (func $run (loop (br 0))) (start $run))
        (core instance (instantiate $m)))"#;
    let component = workshop.compile(component.as_bytes()).unwrap();
    let component = workshop.map_component(&component).unwrap();
    assert!(component.is_interruptible());
    let linker = Linker::new(workshop.engine());
    assert_soon("start", || {
        let mut store = Store::new(workshop.engine(), ());
        let handle = store.interrupt_handle();
        latency(handle, || core.instantiate(&mut store, &[]))
    });
    let mut store = Store::new(workshop.engine(), ());
    assert_soon("start of a component", || {
        let handle = store.interrupt_handle();
        latency(handle, || linker.instantiate(&mut store, &component))
    });
}

#[test]
fn waiting_stops() {
    let workshop = workshop();
    let text = r#"(module
        (memory (import "" "") 1 8 shared)
        (func (export "32") (drop (memory.atomic.wait32
            (i32.const 8) (i32.const 0) (i64.const -1))))
        (func (export "64") (drop (memory.atomic.wait64
            (i32.const 8) (i64.const 0) (i64.const 3600_000_000_000))))
        (func (export "notify") (result i32)
            (memory.atomic.notify (i32.const 8) (i32.const -1))))"#;
    let module = module(&workshop, text);
    let memory = SharedMemory::new(workshop.engine(), 1, 8).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let import = Extern::Memory(CoreMemory::from_shared(&mut store, &memory));
    let instance = module.instantiate(&mut store, &[import]).unwrap();
    for name in ["32", "64"] {
        let wait = func(&store, instance, name);
        assert_soon(name, || {
            let handle = store.interrupt_handle();
            latency(handle, || wait.call(&mut store, &[]))
        });
        // A request that is there already.
        store.interrupt_handle().interrupt().unwrap();
        let error = wait.call(&mut store, &[]).unwrap_err();
        assert_eq!(code(&error), TrapCode::Interrupt);
    }
    // Nobody waits any more.
    let woken = func(&store, instance, "notify").call(&mut store, &[]);
    assert!(matches!(woken.unwrap()[..], [CoreVal::I32(0)]));
}

/// A component that calls another one with a list or string of many bytes.
fn caller(ty: &str, len: u32, [from, to]: [&str; 2]) -> String {
    format!(
        r#"(component
            (component $callee
                (core module $m
                    (memory (export "memory") 16384)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                    (func (export "take") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func (export "take") (param "value" {ty}) (canon lift (core func $i "take")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc")) string-encoding={to})))
            (component $caller
                (import "take" (func $take (param "value" {ty})))
                (core module $memory (memory (export "memory") 16384))
                (core instance $memory (instantiate $memory))
                (core func $take (canon lower (func $take)
                    (memory (core memory $memory "memory")) string-encoding={from}))
                (core module $m
                    (import "" "take" (func $take (param i32 i32)))
                    (func (export "run") (loop (call $take (i32.const 0) (i32.const {len:#x})) (br 0))))
                (core instance $i (instantiate $m
                    (with "" (instance (export "take" (func $take))))))
                (func (export "run") (canon lift (core func $i "run"))))
            (instance $callee (instantiate $callee))
            (instance $caller (instantiate $caller (with "take" (func $callee "take"))))
            (export "run" (func $caller "run")))"#
    )
}

#[test]
fn adapters_stop() {
    let workshop = workshop();
    let (most, utf8) = ((1u32 << 28) - 1, ["utf8"; 2]);
    let cases = [
        ("(list u8)", most, utf8),
        ("(list bool)", most, utf8),
        ("(list char)", most / 4, utf8),
        ("(list (option u8))", most / 2, utf8),
        ("(list (tuple u8 u32))", most / 8, utf8),
        ("(list string)", most / 8, utf8),
        ("string", most, utf8),
        ("string", most / 2, ["utf16", "utf16"]),
        ("string", most / 6, ["utf16", "utf8"]),
        ("string", most / 2, ["utf8", "utf16"]),
        ("string", most / 2, ["utf8", "latin1+utf16"]),
        ("string", most / 2, ["utf16", "latin1+utf16"]),
        ("string", most / 2, ["latin1+utf16", "utf16"]),
        ("string", most / 2, ["latin1+utf16", "utf8"]),
        ("string", most / 2, ["latin1+utf16", "latin1+utf16"]),
        // The same as UTF-16.
        (
            "string",
            (1 << 31) | (most / 2),
            ["latin1+utf16", "latin1+utf16"],
        ),
    ];
    for (ty, len, encodings) in cases {
        let text = caller(ty, len, encodings);
        let component = workshop
            .map_component(&workshop.compile(text.as_bytes()).unwrap())
            .unwrap();
        assert_soon(&format!("{ty} {encodings:?}"), || {
            let mut store = Store::new(workshop.engine(), ());
            let linker = Linker::new(workshop.engine());
            let instance = linker.instantiate(&mut store, &component).unwrap();
            let run = instance
                .get_typed_func::<(), ()>(&mut store, "run")
                .unwrap();
            let handle = store.interrupt_handle();
            latency(handle, || run.call(&mut store, ()))
        });
    }
}

const LOOP_AND_LEAF: &str = r#"(module
    (import "" "host" (func $host))
    (func (export "loop") (param $n i32) (result i32) (local $i i32)
        (loop $l
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
        (local.get $i))
    (func (export "leaf") (result i32) (i32.const 7))
    (func (export "call host") (result i32) (local $i i32)
        (call $host)
        (loop $l
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 10))))
        (local.get $i)))"#;

fn host_func(
    store: &mut Store<()>,
    call: impl Fn() -> cwasm::Result<()> + Send + Sync + 'static,
) -> Extern {
    let ty = FuncType::new([], []);
    Extern::Func(CoreFunc::new(store, ty, move |_| {
        call()?;
        Ok(Vec::new())
    }))
}

/// Storms of requests: each call returns what it should or is stopped, and other stores never are.
#[test]
fn storms_of_requests_stop_calls_and_nothing_else() {
    const STOPPED: u32 = 200;
    const REQUESTS: u32 = 5000;
    const ARG: i32 = 200_000;
    let workshop = workshop();
    let module = module(&workshop, LOOP_AND_LEAF);
    let instantiate = |store: &mut Store<()>| {
        let host = host_func(store, || Ok(()));
        let instance = module.instantiate(&mut *store, &[host]).unwrap();
        func(store, instance, "loop")
    };
    // Whether it was stopped.
    let call = |store: &mut Store<()>, work: CoreFunc| match work.call(store, &[CoreVal::I32(ARG)])
    {
        Ok(found) => {
            assert!(matches!(found[..], [CoreVal::I32(ARG)]), "{found:?}");
            false
        }
        Err(error) => {
            assert_eq!(code(&error), TrapCode::Interrupt);
            true
        }
    };
    let done = &AtomicBool::new(false);
    let requests = &AtomicU32::new(0);
    std::thread::scope(|scope| {
        let mut store = Store::new(workshop.engine(), ());
        let handle = store.interrupt_handle();
        for _ in 0..2 {
            let handle = handle.clone();
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    handle.interrupt().unwrap();
                    requests.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                }
            });
        }
        scope.spawn(move || {
            let work = instantiate(&mut store);
            let mut stopped = 0;
            while stopped < STOPPED || requests.load(Ordering::Relaxed) < REQUESTS {
                stopped += u32::from(call(&mut store, work));
            }
            done.store(true, Ordering::Relaxed);
        });
        scope.spawn(move || {
            let mut store = Store::new(workshop.engine(), ());
            let work = instantiate(&mut store);
            while !done.load(Ordering::Relaxed) {
                assert!(!call(&mut store, work));
            }
        });
    });
}

#[test]
fn a_request_waits_for_the_next_call_that_checks() {
    let workshop = workshop();
    let module = module(&workshop, LOOP_AND_LEAF);
    let mut store = Store::new(workshop.engine(), ());
    let host = host_func(&mut store, || Ok(()));
    let handle = store.interrupt_handle();
    handle.interrupt().unwrap();
    // Two instances: a request is the store's.
    let instances = [0; 2].map(|_| module.instantiate(&mut store, &[host]).unwrap());
    let run = |store: &mut Store<()>, index: usize, name: &str, args: &[CoreVal]| {
        let func = func(store, instances[index], name);
        func.call(store, args)
            .map(drop)
            .map_err(|error| code(&error))
    };
    let arg = [CoreVal::I32(5)];
    assert_eq!(run(&mut store, 0, "leaf", &[]), Ok(()));
    assert_eq!(run(&mut store, 1, "loop", &arg), Err(TrapCode::Interrupt));
    for index in [0, 1] {
        assert_eq!(run(&mut store, index, "loop", &arg), Ok(()));
    }
    handle.interrupt().unwrap();
    handle.interrupt().unwrap();
    store.clear_interrupt();
    assert_eq!(run(&mut store, 0, "loop", &arg), Ok(()));
    handle.interrupt().unwrap();
    handle.interrupt().unwrap();
    assert_eq!(run(&mut store, 0, "loop", &arg), Err(TrapCode::Interrupt));
    assert_eq!(run(&mut store, 0, "loop", &arg), Ok(()));
    // Instances of a store that has a request, which is dropped with it.
    handle.interrupt().unwrap();
    drop(store);
    handle.interrupt().unwrap();
    let mut other = Store::new(workshop.engine(), ());
    let host = host_func(&mut other, || Ok(()));
    let instance = module.instantiate(&mut other, &[host]).unwrap();
    let found = func(&other, instance, "loop").call(&mut other, &arg);
    assert!(found.is_ok(), "{found:?}");
}

#[test]
fn requests_during_host_functions_stop_the_guest_behind_them() {
    let workshop = workshop();
    let module = module(&workshop, LOOP_AND_LEAF);
    let mut store = Store::new(workshop.engine(), ());
    let handle = store.interrupt_handle();
    let host = host_func(&mut store, move || handle.interrupt());
    let instance = module.instantiate(&mut store, &[host]).unwrap();
    let call = func(&store, instance, "call host");
    for _ in 0..3 {
        let error = call.call(&mut store, &[]).unwrap_err();
        assert_eq!(code(&error), TrapCode::Interrupt);
    }
}

/// A host function that calls the guest again is told that this call was stopped; the one around it
/// goes on.
#[test]
fn a_request_stops_the_innermost_call() {
    let text = r#"(component
        (import "host" (func $host))
        (core func $host (canon lower (func $host)))
        (core module $m
            (import "" "host" (func $host))
            (func (export "outer") (result i32) (local $i i32)
                (call $host)
                (loop $l
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $l (i32.lt_u (local.get $i) (i32.const 10))))
                (local.get $i)))
        (core module $n (func (export "inner") (loop (br 0))))
        (core instance $i (instantiate $m (with "" (instance (export "host" (func $host))))))
        (core instance $j (instantiate $n))
        (func (export "outer") (result u32) (canon lift (core func $i "outer")))
        (func (export "inner") (canon lift (core func $j "inner"))))"#;
    let workshop = workshop();
    let component = workshop
        .map_component(&workshop.compile(text.as_bytes()).unwrap())
        .unwrap();
    let mut linker =
        Linker::<Option<(cwasm::TypedFunc<(), ()>, InterruptHandle)>>::new(workshop.engine());
    linker
        .root()
        .func_wrap(
            "host",
            |mut store: cwasm::StoreContextMut<'_, _>, (): ()| {
                let inner: Option<(cwasm::TypedFunc<(), ()>, InterruptHandle)> =
                    store.data().clone();
                let Some((inner, handle)) = inner else {
                    return Ok(());
                };
                handle.interrupt()?;
                let error = inner.call(&mut store, ()).unwrap_err();
                assert_eq!(code(&error), TrapCode::Interrupt);
                Ok(())
            },
        )
        .unwrap();
    let mut store = Store::new(workshop.engine(), None);
    let [outer, inner] = [0; 2].map(|_| linker.instantiate(&mut store, &component).unwrap());
    let outer = outer
        .get_typed_func::<(), (u32,)>(&mut store, "outer")
        .unwrap();
    let inner = inner.get_typed_func::<(), ()>(&mut store, "inner").unwrap();
    *store.data_mut() = Some((inner, store.interrupt_handle()));
    assert_eq!(outer.call(&mut store, ()).unwrap(), (10,));
    // As after any trap.
    let error = inner.call(&mut store, ()).unwrap_err();
    assert_eq!(code(&error), TrapCode::CannotEnter);
    let handle = store.interrupt_handle();
    *store.data_mut() = None;
    handle.interrupt().unwrap();
    let error = outer.call(&mut store, ()).unwrap_err();
    assert_eq!(code(&error), TrapCode::Interrupt);
}

#[test]
fn deadlines_stop() {
    let workshop = workshop();
    let module = module(&workshop, LOOP_AND_LEAF);
    let mut store = Store::new(workshop.engine(), ());
    let host = host_func(&mut store, || Ok(()));
    let instance = module.instantiate(&mut store, &[host]).unwrap();
    let work = func(&store, instance, "loop");
    let run = |store: &mut Store<()>, n: i32| {
        work.call(store, &[CoreVal::I32(n)])
            .map(drop)
            .map_err(|error| code(&error))
    };
    assert_soon("deadline", || {
        let deadline = Instant::now() + Duration::from_millis(5);
        store.set_deadline(Some(deadline)).unwrap();
        while run(&mut store, -1).is_ok() {}
        Instant::now() - deadline
    });
    // One call only.
    assert_eq!(run(&mut store, 1000), Ok(()));
    // One that has passed stops the next call, unless it is taken back.
    let past = Instant::now();
    for take_back in [false, true] {
        store.set_deadline(Some(past)).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        if take_back {
            store.set_deadline(None).unwrap();
        }
        let expected = if take_back {
            Ok(())
        } else {
            Err(TrapCode::Interrupt)
        };
        assert_eq!(run(&mut store, 1000), expected);
    }
    // The first of several comes first, and a store that is gone is none.
    let mut others: Vec<_> = (1..50)
        .map(|hour| {
            let mut other = Store::new(workshop.engine(), ());
            let deadline = Instant::now() + Duration::from_secs(3600 * hour);
            other.set_deadline(Some(deadline)).unwrap();
            other
        })
        .collect();
    others.truncate(25);
    let soon = Instant::now() + Duration::from_millis(5);
    store.set_deadline(Some(soon)).unwrap();
    let mut late = Instant::now();
    while run(&mut store, -1).is_ok() {
        late = Instant::now();
    }
    assert!(late.saturating_duration_since(soon) < LATE);
}

/// Code that was compiled without the option runs on, whatever is requested.
#[test]
fn other_code_does_not_notice() {
    let workshop = Workshop::new();
    let text = r#"(module
        (memory 100)
        (func (export "run") (param $n i32) (result i32) (local $i i32)
            (memory.fill (i32.const 0) (i32.const 7) (i32.const 6553600))
            (loop $l
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
            (i32.load8_u (i32.const 6553599))))"#;
    let module = module(&workshop, text);
    assert!(!module.is_interruptible());
    let mut store = Store::new(workshop.engine(), ());
    let handle = store.interrupt_handle();
    handle.interrupt().unwrap();
    let instance = module.instantiate(&mut store, &[]).unwrap();
    let run = func(&store, instance, "run");
    handle.interrupt().unwrap();
    let found = run.call(&mut store, &[CoreVal::I32(1000)]).unwrap();
    assert!(matches!(found[..], [CoreVal::I32(7)]));
    assert_eq!(run.ty(&store).unwrap().params(), [ValType::I32]);
}

const FOREVER: &str = r#"(module (func (export "run") (param i32) (result i32)
    (loop $l (br_if $l (local.get 0))) (i32.const 7)))"#;

#[test]
fn deadlines_are_waited_for_after_a_fork() {
    let workshop = workshop();
    let module = module(&workshop, FOREVER);
    let instance = || {
        let mut store = Store::new(workshop.engine(), ());
        let instance = module.instantiate(&mut store, &[]).unwrap();
        let run = func(&store, instance, "run");
        (store, run)
    };
    let stops = |store: &mut Store<()>, run: CoreFunc| {
        let error = run.call(store, &[CoreVal::I32(1)]).unwrap_err();
        assert_eq!(code(&error), TrapCode::Interrupt);
    };
    // The engine's thread is there.
    let (mut store, run) = instance();
    store.set_deadline(Some(Instant::now())).unwrap();
    stops(&mut store, run);
    // One that is set before, one after; and in the child of a child.
    store
        .set_deadline(Some(Instant::now() + Duration::from_millis(300)))
        .unwrap();
    assert!(in_fork(|| {
        stops(&mut store, run);
        let (mut new, run) = instance();
        new.set_deadline(Some(Instant::now() + Duration::from_millis(5)))
            .unwrap();
        stops(&mut new, run);
        assert!(in_fork(|| {
            let (mut new, run) = instance();
            new.set_deadline(Some(Instant::now() + Duration::from_millis(5)))
                .unwrap();
            stops(&mut new, run);
        }));
    }));
    // Nothing has changed here.
    stops(&mut store, run);
}

/// The module of an artifact that a test has just compiled, without a file: processes that come
/// from one would give it the same name.
#[allow(unsafe_code, reason = "loads an artifact that the test just compiled")]
fn load(engine: &cwasm::Engine, artifact: &[u8]) -> Module {
    // SAFETY: the artifact comes from this compiler.
    unsafe { Module::from_bytes(engine, artifact) }.unwrap()
}

#[test]
fn locks_are_free_after_a_fork() {
    let workshop = workshop();
    let text = r#"(module (memory 1) (type (func (param i64 f32))) (table 1 funcref)
        (func (export "run") (param i32) (result i32) (local.get 0)))"#;
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    let over = AtomicBool::new(false);
    let work = |store: &mut Store<()>| {
        let module = load(workshop.engine(), &artifact);
        let instance = module.instantiate(&mut *store, &[]).unwrap();
        let run = func(store, instance, "run");
        store.interrupt_handle().interrupt().unwrap();
        store.clear_interrupt();
        let far = Instant::now() + Duration::from_secs(3600);
        store.set_deadline(Some(far)).unwrap();
        run.call(&mut *store, &[CoreVal::I32(1)]).unwrap();
        store.set_deadline(None).unwrap();
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    work(&mut Store::new(workshop.engine(), ()));
                }
            });
        }
        let all = (0..100).all(|_| in_fork(|| work(&mut Store::new(workshop.engine(), ()))));
        over.store(true, Ordering::Relaxed);
        assert!(all, "a child did not end");
    });
}

//! Instances that are made of what others have left: nothing of these is seen.
//!
//! Each test has a guest write to all that it can reach, drops it, and looks from the next
//! instance, which must see what the first one has seen. Whether instances were really reused is
//! told by the engine's metrics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use cwasm::{
    Component, Config, Engine, InstancePre, Linker, Store, StoreContextMut, StoreLimits, TrapCode,
};
use cwasm_compiler::{Bounds, Options};

use crate::common::fork::in_fork;
use crate::common::swap::{page_out, swapped};

/// `digest` depends on all memories, tables and globals, `spoil` writes to all of them, with
/// `grow` after growing them. `end` is what it does last: 0 returns, 1 traps, 2 calls the host, 3
/// never ends.
const GUEST: &str = r#"(component
  (import "end" (func $end))
  (core func $end (canon lower (func $end)))
  (core module $m
    (import "" "end" (func $end))
    (import "" "new" (func $new (param i32) (result i32)))
    (memory $a 17 40)
    (memory $b 1 9)
    (data (memory $a) (i32.const 5000) "what an instance starts with")
    (data (memory $a) (i32.const 1050000) "more of it")
    (data (memory $b) (i32.const 65500) "at the end")
    (data $passive "passive")
    (table $t 20 400 funcref)
    (table $u 3 3 externref)
    (elem (table $t) (i32.const 4) func $f $g)
    (elem $dropped func $g)
    (global $i (mut i32) (i32.const 11))
    (global $l (mut i64) (i64.const 12))
    (global $d (mut f64) (f64.const 1.5))
    (global $v (mut v128) (v128.const i64x2 1 2))
    (global $r (mut funcref) (ref.func $f))
    (type $nullary (func (result i32)))
    (func $f (result i32) (i32.const 71))
    (func $g (result i32) (i32.const 72))
    (elem declare func $f $g)

    (global $hash (mut i64) (i64.const 0))
    (func $mix (param $word i64)
      (global.set $hash
        (i64.mul
          (i64.xor (i64.add (global.get $hash) (i64.const 1)) (local.get $word))
          (i64.const 0x9E3779B97F4A7C15))))
    (func $called (param $index i32) (result i64)
      (if (result i64) (ref.is_null (table.get $t (local.get $index)))
        (then (i64.const -1))
        (else (i64.extend_i32_u (call_indirect $t (type $nullary) (local.get $index))))))
    (func (export "digest") (result i64)
      (local $at i32) (local $result i64)
      (loop $next
        (call $mix (i64.load $a (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (i32.shl (memory.size $a) (i32.const 16)))))
      (local.set $at (i32.const 0))
      (loop $next
        (call $mix (i64.load $b (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (i32.shl (memory.size $b) (i32.const 16)))))
      (local.set $at (i32.const 0))
      (loop $next
        (call $mix (call $called (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $at) (table.size $t))))
      (call $mix (i64.extend_i32_u (memory.size $a)))
      (call $mix (i64.extend_i32_u (memory.size $b)))
      (call $mix (i64.extend_i32_u (table.size $t)))
      (call $mix (i64.extend_i32_u (ref.is_null (table.get $u (i32.const 2)))))
      (call $mix (i64.extend_i32_u (global.get $i)))
      (call $mix (global.get $l))
      (call $mix (i64.reinterpret_f64 (global.get $d)))
      (call $mix (i64x2.extract_lane 0 (global.get $v)))
      (call $mix (i64x2.extract_lane 1 (global.get $v)))
      (call $mix (i64.extend_i32_u (ref.is_null (global.get $r))))
      ;; The first handle of a table that has none.
      (call $mix (i64.extend_i32_u (call $new (i32.const 1))))
      ;; Segments that were dropped would trap.
      (memory.init $a $passive (i32.const 900) (i32.const 0) (i32.const 7))
      (table.init $t $dropped (i32.const 0) (i32.const 0) (i32.const 1))
      (local.set $result (global.get $hash))
      (global.set $hash (i64.const 0))
      (local.get $result))

    (func (export "spoil") (param $grow i32) (param $end i32)
      (if (local.get $grow)
        (then
          (drop (memory.grow $a (i32.const 3)))
          (drop (memory.grow $b (i32.const 2)))
          (drop (table.grow $t (ref.func $g) (i32.const 300)))))
      (memory.fill $a (i32.const 0) (i32.const 0x5e) (i32.shl (memory.size $a) (i32.const 16)))
      (memory.fill $b (i32.const 0) (i32.const 0x5e) (i32.shl (memory.size $b) (i32.const 16)))
      (table.fill $t (i32.const 0) (ref.func $g) (table.size $t))
      (data.drop $passive)
      (elem.drop $dropped)
      (global.set $i (i32.const -1))
      (global.set $l (i64.const -1))
      (global.set $d (f64.const -1))
      (global.set $v (v128.const i64x2 -1 -1))
      (global.set $r (ref.null func))
      (drop (call $new (i32.const 99)))
      (drop (call $new (i32.const 98)))
      (block $never (block $host (block $trap (block $return
        (br_table $return $trap $host $never (local.get $end)))
        return)
        unreachable)
        (call $end)
        return)
      (loop $for_ever (br $for_ever))))
  (type $R (resource (rep i32)))
  (core func $new (canon resource.new $R))
  (core instance $i (instantiate $m (with "" (instance
    (export "end" (func $end)) (export "new" (func $new))))))
  (func (export "digest") (result u64) (canon lift (core func $i "digest")))
  (func (export "spoil") (param "grow" bool) (param "end" u32)
    (canon lift (core func $i "spoil"))))"#;

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Returns,
    Traps,
    Panics,
    IsInterrupted,
}

const ENDS: [End; 4] = [End::Returns, End::Traps, End::Panics, End::IsInterrupted];

#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
pub(crate) fn compile(engine: &Engine, text: &str, options: &Options) -> Component {
    let wasm = wat::parse_str(text).unwrap();
    let artifact = cwasm_compiler::compile(&wasm, options).unwrap();
    // SAFETY: the artifact comes from this compiler.
    unsafe { Component::from_bytes(engine, &artifact.bytes) }.unwrap()
}

fn interruptible(bounds: Bounds) -> Options {
    Options {
        interruptible: true,
        bounds,
        ..Options::default()
    }
}

fn link(engine: &Engine, component: &Component) -> InstancePre<()> {
    let mut linker = Linker::new(engine);
    let end = |_: StoreContextMut<'_, ()>, (): ()| -> cwasm::Result<()> { panic!("by a test") };
    linker.root().func_wrap("end", end).unwrap();
    linker.instantiate_pre(component).unwrap()
}

fn digest(pre: &InstancePre<()>) -> u64 {
    let mut store = Store::new(pre.component().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    let digest = instance
        .get_typed_func::<(), (u64,)>(&mut store, "digest")
        .unwrap();
    digest.call(&mut store, ()).unwrap().0
}

fn spoil(pre: &InstancePre<()>, grow: bool, end: End) {
    let mut store = Store::new(pre.component().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    let spoil = instance
        .get_typed_func::<(bool, u32), ()>(&mut store, "spoil")
        .unwrap();
    if end == End::IsInterrupted {
        let soon = Instant::now() + Duration::from_millis(20);
        store.set_deadline(Some(soon)).unwrap();
    }
    let number = ENDS.iter().position(|other| *other == end).unwrap() as u32;
    let called = catch_unwind(AssertUnwindSafe(|| spoil.call(&mut store, (grow, number))));
    match (end, called) {
        (End::Returns, Ok(Ok(()))) | (End::Panics, Err(_)) => {}
        (End::Traps, Ok(Err(error))) => {
            assert_eq!(error.trap().unwrap().code(), TrapCode::Unreachable);
        }
        (End::IsInterrupted, Ok(Err(error))) => {
            assert_eq!(error.trap().unwrap().code(), TrapCode::Interrupt);
        }
        (_, other) => panic!("{end:?}: {other:?}"),
    }
}

/// Engines that keep instances in each way there is, and one that keeps none.
fn engines() -> Vec<(&'static str, Engine)> {
    let engine = |change: fn(&mut Config)| {
        let mut config = Config::new();
        change(&mut config);
        Engine::new(&config).unwrap()
    };
    vec![
        ("scan", engine(|_| {})),
        (
            "no scan",
            engine(|config| {
                config.scan_pages(false);
            }),
        ),
        // Less than the guest writes to: its pages are given back.
        (
            "little memory",
            engine(|config| {
                config.max_idle_memory(400 << 10);
            }),
        ),
        (
            "nothing kept",
            engine(|config| {
                config.max_idle_instances(0);
            }),
        ),
    ]
}

#[test]
fn nothing_is_seen_of_the_instance_before() {
    for (name, engine) in engines() {
        for bounds in [Bounds::Guard, Bounds::Check] {
            let component = compile(&engine, GUEST, &interruptible(bounds));
            let pre = link(&engine, &component);
            let first = digest(&pre);
            for end in ENDS {
                for grow in [false, true, true, false] {
                    spoil(&pre, grow, end);
                    let found = digest(&pre);
                    assert_eq!(found, first, "{name}, {bounds:?}, {end:?}, grow: {grow}");
                }
            }
        }
        let metrics = engine.instance_metrics();
        match name {
            "nothing kept" => assert_eq!((metrics.reused, metrics.idle), (0, 0)),
            _ => assert!(
                metrics.reused >= 60 && metrics.made <= 8,
                "{name}: {metrics:?}"
            ),
        }
        if name == "no scan" {
            assert_eq!(metrics.copied_bytes, 0);
            // All but the last one of each way to keep accesses in bounds were used again.
            assert_eq!(metrics.emptied, metrics.reused + 2);
        }
    }
}

#[test]
fn nothing_is_seen_by_other_components() {
    for (name, engine) in engines() {
        let component = compile(&engine, GUEST, &interruptible(Bounds::Guard));
        // The same sizes, other images.
        let other = GUEST.replace("what an instance starts with", "");
        let other = compile(
            &engine,
            &other.replace("at the end", ""),
            &Options::default(),
        );
        let expected = digest(&link(&engine, &other));
        for end in [End::Returns, End::Traps, End::Panics] {
            let pre = link(&engine, &component);
            spoil(&pre, true, end);
            // The address space that is kept goes to whoever needs it.
            drop(pre);
            assert_eq!(digest(&link(&engine, &other)), expected, "{name}, {end:?}");
        }
        engine.release_unused();
        assert_eq!(digest(&link(&engine, &other)), expected, "{name}");
    }
}

/// What an instance has written may be in swap when it is dropped, and when the next one is made.
#[test]
fn nothing_is_seen_of_what_was_swapped_out() {
    let mut most = 0;
    let mut has_swap = false;
    for (name, engine) in engines() {
        for bounds in [Bounds::Guard, Bounds::Check] {
            let component = compile(&engine, GUEST, &interruptible(bounds));
            let mut linker = Linker::<()>::new(&engine);
            let end = |_: StoreContextMut<'_, ()>, (): ()| {
                page_out();
                Ok(())
            };
            linker.root().func_wrap("end", end).unwrap();
            let pre = linker.instantiate_pre(&component).unwrap();
            let first = digest(&pre);
            for grow in [false, true, false, false, false, false, true] {
                let mut store = Store::new(&engine, ());
                let instance = pre.instantiate(&mut store).unwrap();
                let spoil = instance
                    .get_typed_func::<(bool, u32), ()>(&mut store, "spoil")
                    .unwrap();
                // It calls `end` last.
                spoil.call(&mut store, (grow, 2)).unwrap();
                most = most.max(swapped());
                drop(store);
                has_swap = page_out();
                assert_eq!(digest(&pre), first, "{name}, {bounds:?}, grow: {grow}");
            }
        }
    }
    // At least the two memories of one instance.
    assert!(!has_swap || most > 1 << 20, "{most} bytes were swapped out");
}

#[test]
fn threads_see_nothing_of_each_other() {
    let engine = Engine::default();
    let component = compile(&engine, GUEST, &interruptible(Bounds::Guard));
    let pre = link(&engine, &component);
    let first = digest(&pre);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pre = pre.clone();
            scope.spawn(move || {
                for round in 0..40 {
                    spoil(&pre, (thread + round) % 3 == 0, ENDS[round % 3]);
                    assert_eq!(digest(&pre), first);
                }
            });
        }
    });
    let metrics = engine.instance_metrics();
    // One for each thread and CPU; and those that are gathered on each CPU.
    let most = 8 + 16 * std::thread::available_parallelism().unwrap().get() as u64;
    assert!(metrics.made <= most, "{metrics:?}");
    assert_eq!(metrics.made + metrics.reused, 321);
}

/// An instance may be dropped by another thread than the one that made it.
#[test]
fn instances_move_between_threads() {
    let engine = Engine::default();
    let component = compile(&engine, GUEST, &interruptible(Bounds::Guard));
    let pre = link(&engine, &component);
    let first = digest(&pre);
    for _ in 0..20 {
        let mut store = Store::new(&engine, ());
        let instance = pre.instantiate(&mut store).unwrap();
        let spoil = instance
            .get_typed_func::<(bool, u32), ()>(&mut store, "spoil")
            .unwrap();
        std::thread::spawn(move || spoil.call(&mut store, (true, 0)).unwrap())
            .join()
            .unwrap();
        assert_eq!(digest(&pre), first);
    }
    assert!(engine.instance_metrics().made <= 2);
}

/// Stores with an instance each, all at the same time.
fn hold(pre: &InstancePre<()>, count: usize) -> Vec<Store<()>> {
    let make = |_| {
        let mut store = Store::new(pre.component().engine(), ());
        pre.instantiate(&mut store).unwrap();
        store
    };
    (0..count).map(make).collect()
}

/// What is kept stays within the limits, and is given back.
#[test]
fn what_is_kept_is_bounded() {
    let mut config = Config::new();
    config.max_idle_instances(5);
    let engine = Engine::new(&config).unwrap();
    let component = compile(&engine, GUEST, &interruptible(Bounds::Guard));
    let pres: Vec<_> = (0..3).map(|_| link(&engine, &component)).collect();
    for pre in &pres {
        drop(hold(pre, 9));
        let metrics = engine.instance_metrics();
        assert!((1..=5).contains(&metrics.idle), "{metrics:?}");
    }
    // Each of them finds room, though others had taken all.
    let before = engine.instance_metrics().reused;
    for pre in pres.iter().cycle().take(30) {
        digest(pre);
    }
    let metrics = engine.instance_metrics();
    assert!(metrics.reused >= before + 20, "{metrics:?}");
    assert!(metrics.idle <= 5 && metrics.idle_bytes > 0, "{metrics:?}");
    engine.release_unused();
    let metrics = engine.instance_metrics();
    assert_eq!((metrics.idle, metrics.idle_bytes), (0, 0));
    digest(&pres[0]);
    drop(pres);
    assert_eq!(engine.instance_metrics().idle, 0, "nobody could use them");
}

/// However little memory may be kept, no more is.
#[test]
fn memory_that_is_kept_is_bounded() {
    for bytes in [0, 16 << 10, 64 << 10, 300 << 10, 1 << 20] {
        let mut config = Config::new();
        config.max_idle_memory(bytes);
        let engine = Engine::new(&config).unwrap();
        let component = compile(&engine, WRITER, &Options::default());
        let pres: Vec<InstancePre<()>> = (0..3)
            .map(|_| Linker::new(&engine).instantiate_pre(&component).unwrap())
            .collect();
        for pre in pres.iter().cycle().take(60) {
            drop(hold(pre, 5));
            let metrics = engine.instance_metrics();
            assert!(metrics.idle_bytes <= bytes, "{bytes}: {metrics:?}");
        }
        let metrics = engine.instance_metrics();
        // 15 instances keep four pages each.
        let is_room = bytes >= 300 << 10;
        assert!(metrics.reused > 0 || !is_room, "{bytes}: {metrics:?}");
        // Without room, nothing is made clean in vain.
        let is_vain = bytes == 0 && metrics.emptied + metrics.copied_bytes != 0;
        assert!(!is_vain, "{metrics:?}");
    }
}

/// A store with other limits than the one before gets memories that can grow as far as these say.
#[test]
fn limits_are_those_of_the_store() {
    let engine = Engine::default();
    let text = r#"(component
      (core module $m
        (memory 1)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
      (core instance $i (instantiate $m))
      (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $i "grow"))))"#;
    for bounds in [Bounds::Guard, Bounds::Check] {
        let options = Options {
            bounds,
            ..Options::default()
        };
        let component = compile(&engine, text, &options);
        let pre = Linker::<()>::new(&engine)
            .instantiate_pre(&component)
            .unwrap();
        let grow = |limit: u64, pages: u32| {
            let mut store = Store::new(&engine, ());
            let mut limits = StoreLimits::new();
            limits.memory_size(limit);
            store.set_limits(limits);
            let instance = pre.instantiate(&mut store).unwrap();
            let grow = instance
                .get_typed_func::<(u32,), (i32,)>(&mut store, "grow")
                .unwrap();
            grow.call(&mut store, (pages,)).unwrap().0
        };
        for _ in 0..2 {
            assert_eq!(grow(4 << 16, 3), 1, "{bounds:?}");
            assert_eq!(grow(4 << 16, 4), -1, "{bounds:?}");
            assert_eq!(grow(400 << 16, 399), 1, "{bounds:?}");
            assert_eq!(grow(1 << 16, 1), -1, "{bounds:?}");
        }
    }
}

/// Writes to its memory in each way there is; `regular` writes to its first page only.
const WRITER: &str = r#"(component
  (component $writer
    (core module $m
      (memory (export "memory") 8)
      (data (i32.const 70000) "an image")
      (data $d "abc")
      (global $next (mut i32) (i32.const 0))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (global.get $next))
      (func (export "regular") (i32.store (i32.const 8) (i32.const -1)))
      (func (export "at") (param i32) (global.set $next (local.get 0)))
      (func (export "take") (param i32 i32) (result i32) (local.get 1))
      (func (export "write") (param $how i32) (param $at i32)
        (block $grow (block $init (block $copy (block $fill (block $simd (block $store
          (br_table $store $simd $fill $copy $init $grow (local.get $how)))
          (i32.store8 (local.get $at) (i32.const 1))
          return)
          (v128.store (local.get $at) (v128.const i64x2 1 1))
          return)
          (memory.fill (local.get $at) (i32.const 7) (i32.const 16))
          return)
          (i64.store (i32.const 16) (i64.const -1))
          (memory.copy (local.get $at) (i32.const 16) (i32.const 8))
          return)
          (memory.init $d (local.get $at) (i32.const 0) (i32.const 3))
          return)
        (drop (memory.grow (i32.const 1)))
        (i32.store8 (local.get $at) (i32.const 1))
        (i32.store8 (i32.const 524288) (i32.const 1)))
      (func (export "sum") (result i64)
        (local $at i32) (local $sum i64)
        (loop $next
          (local.set $sum
            (i64.add
              (i64.mul (local.get $sum) (i64.const 31))
              (i64.load (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if $next (i32.lt_u (local.get $at) (i32.shl (memory.size) (i32.const 16)))))
        (local.get $sum)))
    (core instance $i (instantiate $m))
    (func (export "regular") (canon lift (core func $i "regular")))
    (func (export "at") (param "to" u32) (canon lift (core func $i "at")))
    (func (export "write") (param "how" u32) (param "at" u32) (canon lift (core func $i "write")))
    (func (export "sum") (result u64) (canon lift (core func $i "sum")))
    (func (export "take") (param "text" string) (result u32)
      (canon lift (core func $i "take")
        (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (func (export "take16") (param "text" string) (result u32)
      (canon lift (core func $i "take") string-encoding=utf16
        (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (component $sender
    (import "take" (func $take (param "text" string) (result u32)))
    (core module $text (memory (export "memory") 1) (data (i32.const 32) "from another component"))
    (core instance $text (instantiate $text))
    (core func $take (canon lower (func $take) (memory (core memory $text "memory"))))
    (core module $m
      (import "" "take" (func $take (param i32 i32) (result i32)))
      (func (export "send") (result i32) (call $take (i32.const 32) (i32.const 22))))
    (core instance $i (instantiate $m (with "" (instance (export "take" (func $take))))))
    (func (export "send") (result u32) (canon lift (core func $i "send"))))
  (instance $w (instantiate $writer))
  (instance $s (instantiate $sender (with "take" (func $w "take"))))
  (instance $s16 (instantiate $sender (with "take" (func $w "take16"))))
  (export "regular" (func $w "regular"))
  (export "at" (func $w "at"))
  (export "write" (func $w "write"))
  (export "sum" (func $w "sum"))
  (export "take" (func $w "take"))
  (export "send" (func $s "send"))
  (export "send16" (func $s16 "send")))"#;

/// How a test writes to the memory.
#[derive(Clone, Copy, Debug)]
enum Write {
    /// The guest, by this instruction.
    Guest(u32),
    /// The host, with a string.
    Host,
    /// Another component, with a string that is copied or transcoded.
    Sends(&'static str),
}

fn write(pre: &InstancePre<()>, how: Write, at: u32) {
    let mut store = Store::new(pre.component().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    let next = instance
        .get_typed_func::<(u32,), ()>(&mut store, "at")
        .unwrap();
    next.call(&mut store, (at,)).unwrap();
    match how {
        Write::Guest(how) => {
            let write = instance
                .get_typed_func::<(u32, u32), ()>(&mut store, "write")
                .unwrap();
            write.call(&mut store, (how, at)).unwrap();
        }
        Write::Host => {
            let take = instance
                .get_typed_func::<(&str,), (u32,)>(&mut store, "take")
                .unwrap();
            assert_eq!(take.call(&mut store, ("a string",)).unwrap(), (8,));
        }
        Write::Sends(name) => {
            // UTF-16 is aligned.
            next.call(&mut store, (at & !1,)).unwrap();
            let send = instance
                .get_typed_func::<(), (u32,)>(&mut store, name)
                .unwrap();
            assert_eq!(send.call(&mut store, ()).unwrap(), (22,));
        }
    }
    // What it wrote is there: another instance would see it, if it could.
    assert_ne!(sum_of(&instance, &mut store), sum(pre));
}

fn sum_of(instance: &cwasm::Instance, store: &mut Store<()>) -> u64 {
    let sum = instance
        .get_typed_func::<(), (u64,)>(&mut *store, "sum")
        .unwrap();
    sum.call(store, ()).unwrap().0
}

/// What an instance sees.
fn sum(pre: &InstancePre<()>) -> u64 {
    let mut store = Store::new(pre.component().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    sum_of(&instance, &mut store)
}

/// An instance that does what others do.
fn regular(pre: &InstancePre<()>) {
    let mut store = Store::new(pre.component().engine(), ());
    let instance = pre.instantiate(&mut store).unwrap();
    let regular = instance
        .get_typed_func::<(), ()>(&mut store, "regular")
        .unwrap();
    regular.call(&mut store, ()).unwrap();
}

/// Each write beyond the pages that all instances before have written to is noticed, whoever does
/// it, on each page.
#[test]
fn writes_beyond_fences_are_noticed() {
    let ways =
        (0..6)
            .map(Write::Guest)
            .chain([Write::Host, Write::Sends("send"), Write::Sends("send16")]);
    for bounds in [Bounds::Guard, Bounds::Check] {
        let engine = Engine::default();
        let options = Options {
            bounds,
            ..Options::default()
        };
        let component = compile(&engine, WRITER, &options);
        for how in ways.clone() {
            for page in 0..128 {
                // Also across the boundary of two pages.
                let at = page * 4096 + 4096 - [1, 8, 4000][page as usize % 3] - 100 * (page / 127);
                let pre = Linker::new(&engine).instantiate_pre(&component).unwrap();
                let first = sum(&pre);
                (0..8).for_each(|_| regular(&pre));
                let before = engine.instance_metrics().fenced;
                regular(&pre);
                let fenced = engine.instance_metrics().fenced - before;
                write(&pre, how, at);
                for _ in 0..3 {
                    assert_eq!(sum(&pre), first, "{bounds:?}, {how:?}, page {page}");
                }
                assert_eq!(fenced, 1, "{bounds:?}, {how:?}, page {page}");
            }
        }
    }
}

/// A child has the instances that were kept when it was forked, and learns what its own write to.
#[test]
fn children_keep_their_own() {
    let engine = Engine::default();
    let component = compile(&engine, WRITER, &Options::default());
    let pre = Linker::new(&engine).instantiate_pre(&component).unwrap();
    let first = sum(&pre);
    let work = || {
        for round in 0..40 {
            match round % 10 {
                9 => write(&pre, Write::Guest(0), 4096 * round),
                _ => regular(&pre),
            }
            assert_eq!(sum(&pre), first);
        }
    };
    work();
    assert!(in_fork(|| {
        let before = engine.instance_metrics();
        work();
        assert!(in_fork(work));
        work();
        let after = engine.instance_metrics();
        // What the parent has opened to ask the kernel shows the parent's memory.
        assert_eq!(after.emptied, before.emptied, "{after:?}");
        assert!(after.made <= before.made + 1, "{after:?}");
    }));
    work();
}

/// Instances that write to other pages each time are not slowed down by signals for ever.
#[test]
fn fences_are_given_up() {
    let engine = Engine::default();
    let component = compile(&engine, WRITER, &Options::default());
    let pre = Linker::new(&engine).instantiate_pre(&component).unwrap();
    let first = sum(&pre);
    for round in 0..2000u32 {
        write(
            &pre,
            Write::Guest(0),
            round.wrapping_mul(2_654_435_761) % 0x8_0000,
        );
        assert_eq!(sum(&pre), first);
    }
    let metrics = engine.instance_metrics();
    assert!(metrics.made <= 4, "{metrics:?}");
}

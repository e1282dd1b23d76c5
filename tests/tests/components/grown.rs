//! Memories that grow, in instances that are made of what others have left: at each size, all of
//! the memory can be used, starts with zeros, and nothing beyond it can be touched.

use cwasm::{Config, Engine, InstancePre, Linker, Store, StoreLimits, TrapCode};
use cwasm_compiler::{Bounds, Options};

use crate::common::cpus;
use crate::common::fork::in_fork;
use crate::common::swap::page_out;
use crate::recycled::compile;

/// Bytes of a page of the guest's memory, and the pages that it starts with: with the smallest
/// pages, memories end within pages of the system.
const SIZES: [(u32, u32); 3] = [(16, 1), (0, 5000), (0, 1)];

fn guest(page_log2: u32, initial: u32) -> String {
    let page_size = 1 << page_log2;
    format!(
        r#"(component
      (core module $m
        (memory {initial} (pagesize {page_size}))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "sum") (param i32 i32) (result i32)
          (local $sum i32)
          (local.set $sum (i32.load8_u (i32.sub (local.get 1) (i32.const 1))))
          (block $done
            (loop $next
              (br_if $done (i32.ge_u (local.get 0) (local.get 1)))
              (local.set $sum (i32.or (local.get $sum) (i32.load8_u (local.get 0))))
              (i32.store8 (local.get 0) (i32.const 0x5a))
              (local.set 0 (i32.add (local.get 0) (i32.const 61)))
              (br $next)))
          (i32.store8 (i32.sub (local.get 1) (i32.const 1)) (i32.const 0x5a))
          (local.get $sum))
        (func (export "near") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "wide") (param i32) (result i32)
          (i32.wrap_i64 (i64.load (local.get 0))))
        (func (export "far") (param i32) (result i32) (i32.load8_u offset=65535 (local.get 0)))
        (func (export "write") (param i32) (result i32)
          (i64.store offset=1 (local.get 0) (i64.const -1)) (i32.const 0)))
      (core instance $i (instantiate $m))
      {})"#,
        ["grow", "near", "wide", "far", "write"]
            .iter()
            .map(|name| format!(
                r#"(func (export "{name}") (param "a" u32) (result u32)
                     (canon lift (core func $i "{name}")))"#
            ))
            .chain([
                r#"(func (export "sum") (param "a" u32) (param "b" u32) (result u32)
                         (canon lift (core func $i "sum")))"#
                    .to_owned()
            ])
            .collect::<String>()
    )
}

/// An instance that grows by these pages, and looks at the end each time; at last `probe` must
/// trap.
fn grow(pre: &InstancePre<()>, (page_log2, initial): (u32, u32), steps: &[u32], probe: &str) {
    drop(grown(pre, (page_log2, initial), steps, probe));
}

/// As [`grow`]: the instance's store.
fn grown(
    pre: &InstancePre<()>,
    (page_log2, initial): (u32, u32),
    steps: &[u32],
    probe: &str,
) -> Store<()> {
    let mut store = Store::new(pre.component().engine(), ());
    let mut limits = StoreLimits::new();
    limits.memory_size(4 << 20);
    store.set_limits(limits);
    let instance = pre.instantiate(&mut store).unwrap();
    let [grow, probe] = ["grow", probe].map(|name| {
        let func = instance.get_typed_func::<(u32,), (u32,)>(&mut store, name);
        func.unwrap()
    });
    let sum = instance
        .get_typed_func::<(u32, u32), (u32,)>(&mut store, "sum")
        .unwrap();
    let mut pages = initial;
    let seen = sum.call(&mut store, (0, pages << page_log2)).unwrap();
    assert_eq!(seen, (0,), "{initial} pages at first");
    for step in steps {
        assert_eq!(grow.call(&mut store, (*step,)).unwrap(), (pages,));
        let (start, end) = (pages << page_log2, (pages + step) << page_log2);
        pages += step;
        if start < end {
            let seen = sum.call(&mut store, (start, end)).unwrap();
            assert_eq!(seen, (0,), "{steps:?}");
        }
    }
    let error = probe.call(&mut store, (pages << page_log2,)).unwrap_err();
    let code = error.trap().map(|trap| trap.code());
    assert_eq!(code, Some(TrapCode::MemoryOutOfBounds), "{error:?}");
    store
}

#[test]
fn memories_end_where_they_end() {
    const STEPS: &[&[u32]] = &[
        &[],
        &[1],
        &[],
        &[1],
        &[1],
        &[1],
        &[1],
        &[],
        &[3, 0, 4],
        &[16],
        &[2],
        &[],
        &[1, 1, 1, 1],
        // As far as the limit: what follows is another instance's.
        &[63],
        &[],
        &[60, 3],
    ];
    let mut engines = vec![("default", Engine::default())];
    let mut config = Config::new();
    config.scan_pages(false);
    engines.push(("no scan", Engine::new(&config).unwrap()));
    config.max_idle_memory(0);
    engines.push(("nothing kept", Engine::new(&config).unwrap()));
    for (name, engine) in &engines {
        for bounds in [Bounds::Guard, Bounds::Check] {
            for sizes in SIZES {
                let options = Options {
                    bounds,
                    ..Options::default()
                };
                let component = compile(engine, &guest(sizes.0, sizes.1), &options);
                let pre = Linker::<()>::new(engine)
                    .instantiate_pre(&component)
                    .unwrap();
                let all = || {
                    for steps in STEPS {
                        for probe in ["near", "wide", "far", "write"] {
                            // Small pages: as far as the others, in all.
                            let scale = if sizes.0 == 0 { 3001 } else { 1 };
                            let steps: Vec<u32> = steps.iter().map(|step| step * scale).collect();
                            grow(&pre, sizes, &steps, probe);
                        }
                    }
                };
                all();
                assert!(in_fork(all), "{name}, {bounds:?}, {sizes:?} in a child");
                all();
            }
        }
    }
}

const PROBES: [&str; 4] = ["near", "wide", "far", "write"];

/// Calls `each` with numbers, each time on the next one of two CPUs, where the store that the call
/// before has returned is dropped: as often as makes a crowd of instances that grow, each of which
/// is dropped elsewhere than it was made.
fn in_a_crowd(times: usize, mut each: impl FnMut(usize) -> Store<()>) {
    let all = cpus::allowed();
    let mut last = None;
    for number in 0..times {
        cpus::run_on(&all[number % all.len().min(2)..][..1]);
        last = Some(each(number));
    }
    drop(last);
    cpus::run_on(&all);
}

fn link(engine: &Engine, sizes: (u32, u32), bounds: Bounds) -> InstancePre<()> {
    let options = Options {
        bounds,
        ..Options::default()
    };
    let component = compile(engine, &guest(sizes.0, sizes.1), &options);
    let linker = Linker::<()>::new(engine);
    linker.instantiate_pre(&component).unwrap()
}

/// Whether instances in a crowd are gathered: not on one CPU, nor where memory has no guards.
fn are_gathered(engine: &Engine) -> bool {
    let before = engine.instance_metrics().gathered;
    let pre = link(engine, (16, 1), Bounds::Guard);
    in_a_crowd(200, |_| grown(&pre, (16, 1), &[1], "near"));
    engine.instance_metrics().gathered > before
}

#[test]
fn memories_that_are_gathered_end_where_they_end() {
    const STEPS: &[&[u32]] = &[
        &[1],
        &[2],
        &[],
        &[1],
        &[1, 1],
        &[0, 1, 0],
        &[4],
        &[1],
        &[1, 1, 1, 1],
        // Beyond what may be marked, and in two steps of which one is.
        &[1],
        &[5],
        &[1],
        &[1, 8],
    ];
    let engines = [
        ("default", Config::new()),
        ("no scan", {
            let mut config = Config::new();
            config.scan_pages(false);
            config
        }),
        ("little memory", {
            let mut config = Config::new();
            config.max_idle_memory(1 << 20);
            config
        }),
        ("few instances", {
            let mut config = Config::new();
            config.max_idle_instances(3);
            config
        }),
        ("few mappings", {
            let mut config = Config::new();
            config.max_mappings(30);
            config
        }),
    ];
    let can_gather = are_gathered(&Engine::default());
    for (name, config) in engines {
        let engine = Engine::new(&config).unwrap();
        for bounds in [Bounds::Guard, Bounds::Check] {
            for sizes in [(16, 1), (16, 17), (0, 5000)] {
                let pre = link(&engine, sizes, bounds);
                let scale = if sizes.0 == 0 { 3001 } else { 1 };
                let run = |number: usize, steps: &[u32]| {
                    let steps: Vec<u32> = steps.iter().map(|step| step * scale).collect();
                    grown(&pre, sizes, &steps, PROBES[number / 2 % PROBES.len()])
                };
                let all = || {
                    // As far as is marked, further, and back.
                    in_a_crowd(150, |number| run(number, &[1]));
                    in_a_crowd(4 * 3 * STEPS.len(), |number| {
                        run(number, STEPS[number / 4 % STEPS.len()])
                    });
                    in_a_crowd(100, |number| run(number, STEPS[number % 2]));
                };
                all();
                assert!(in_fork(all), "{name}, {bounds:?}, {sizes:?} in a child");
                all();
                let alone = in_fork(|| {
                    cpus::run_on(&cpus::allowed()[..1]);
                    (0..200).for_each(|number| drop(run(number, &[1])));
                    let before = engine.instance_metrics().gathered;
                    (0..20).for_each(|number| drop(run(number, STEPS[number % 5])));
                    assert_eq!(engine.instance_metrics().gathered, before);
                });
                assert!(
                    alone,
                    "{name}, {bounds:?}, {sizes:?}: gathered without need"
                );
            }
        }
        let metrics = engine.instance_metrics();
        if name != "no scan" && name != "few mappings" && can_gather {
            assert!(metrics.gathered > 100, "{name}: {metrics:?}");
        }
    }
}

/// What the instances before have written is in swap when it is made clean.
#[test]
fn nothing_is_seen_of_what_was_gathered_and_swapped_out() {
    let engine = Engine::default();
    let pre = link(&engine, (16, 1), Bounds::Guard);
    in_a_crowd(300, |number| {
        let store = grown(&pre, (16, 1), &[1, 1], PROBES[number % 4]);
        if number > 100 && number % 10 < 3 {
            page_out();
        }
        store
    });
}

/// Instances are dropped by other threads than those that made them, on either CPU.
#[test]
fn instances_that_are_gathered_move() {
    let engine = Engine::default();
    let pre = link(&engine, (16, 1), Bounds::Guard);
    let all = cpus::allowed();
    let mut before = Vec::new();
    in_a_crowd(400, |number| {
        let steps = [&[1][..], &[1, 1], &[], &[3]][number / 3 % 4];
        before.push(grown(&pre, (16, 1), steps, PROBES[number / 2 % 4]));
        if number % 2 == 1 {
            let store = before.swap_remove(0);
            let cpu = number / 2 % all.len().min(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    cpus::run_on(&all[cpu..][..1]);
                    drop(store);
                });
            });
        }
        if number % 50 == 0 {
            before.truncate(1);
            engine.release_unused();
        }
        grown(&pre, (16, 1), &[1, 0, 1], PROBES[number % 4])
    });
}

/// Guards are not possible in memory that is locked.
#[test]
#[allow(unsafe_code, reason = "locks memory")]
fn memory_may_be_locked_meanwhile() {
    let engine = Engine::default();
    let pre = link(&engine, (16, 1), Bounds::Guard);
    let run = |number: usize| grown(&pre, (16, 1), &[1, 1], PROBES[number / 2 % 4]);
    let in_child = in_fork(|| {
        in_a_crowd(105, run);
        // SAFETY: changes what is in no memory.
        let locked = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) };
        if locked != 0 {
            eprintln!("memory cannot be locked here");
            return;
        }
        in_a_crowd(200, run);
        // SAFETY: as above.
        unsafe { libc::munlockall() };
        in_a_crowd(200, run);
    });
    assert!(in_child);
}

/// Two threads at once, which take each other's instances now and then.
#[test]
fn threads_that_gather_see_nothing_of_each_other() {
    let engine = Engine::default();
    let pre = link(&engine, (16, 1), Bounds::Guard);
    let all = cpus::allowed();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (pre, all) = (&pre, &all);
            scope.spawn(move || {
                for number in 0..1000 {
                    if number % 100 == 0 {
                        cpus::run_on(&all[(thread + number / 100) % all.len()..][..1]);
                    }
                    let steps = [&[1][..], &[1, 1], &[4], &[]][number / 7 % 4];
                    grow(pre, (16, 1), steps, PROBES[number % 4]);
                }
            });
        }
    });
}

/// Their address space goes to whoever needs it.
#[test]
fn what_was_gathered_is_others_afterwards() {
    let engine = Engine::default();
    for pages in [1, 2, 3, 5, 1] {
        let pre = link(&engine, (16, 1), Bounds::Guard);
        in_a_crowd(140, |number| grown(&pre, (16, 1), &[2], PROBES[number % 4]));
        // One is in use, and has grown by less than the others.
        let used = grown(&pre, (16, 1), &[1], "near");
        drop(pre);
        drop(used);
        let others: Vec<_> = (0..40)
            .map(|number| {
                let other = link(&engine, (16, pages), Bounds::Guard);
                grown(&other, (16, pages), &[1, 3], PROBES[number % 4])
            })
            .collect();
        drop(others);
    }
}

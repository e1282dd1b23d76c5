//! Many loads, and many artifacts at once: memory, file descriptors and time stay flat.
//!
//! One test only: it looks at the whole process.

mod common;

use std::time::{Duration, Instant};

use cwasm::{Component, Config, Linker, Store, StoreLimits};
use cwasm_compiler::{Bounds, Options};
use cwasm_tests::artifact::Workshop;

/// Loads and drops.
const LOADS: usize = 10_000;

/// Instances one after another, and at the same time.
const INSTANCES: usize = 100_000;
const ALIVE: usize = 5000;

/// Artifacts that stay.
const RESIDENT: usize = 1000;

/// Bytes of address space of this process, and of its own memory: pages of files are shared.
fn memory() -> (usize, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let field = |index| {
        let pages = statm.split(' ').nth(index).unwrap();
        pages.parse::<usize>().unwrap() * 4096
    };
    (field(0), field(1).saturating_sub(field(2)))
}

/// Mappings of this process.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().count()
}

fn file_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Instances one after another, on one thread and on several, and many at a time.
fn instances_leave_nothing_behind(workshop: &Workshop) {
    let text = r#"(component
      (core module $m
        (memory 2 9)
        (data (i32.const 100) "an image")
        (func (export "run") (param i32) (result i32)
          (i32.store8 (i32.const 100) (local.get 0))
          ;; Now and then it does something else.
          (if (i32.eqz (i32.and (local.get 0) (i32.const 1023)))
            (then
              (drop (memory.grow (i32.const 1)))
              (memory.fill (i32.const 0) (i32.const 1) (i32.const 131072))))
          (i32.load8_u (i32.const 101))))
      (core instance $i (instantiate $m))
      (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#;
    let component = workshop.map_component(&workshop.compile(text.as_bytes()).unwrap());
    let pre = Linker::<()>::new(workshop.engine())
        .instantiate_pre(&component.unwrap())
        .unwrap();
    let make = |number: usize| {
        let mut store = Store::new(workshop.engine(), ());
        let instance = pre.instantiate(&mut store).unwrap();
        let run = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, "run")
            .unwrap();
        let (found,) = run.call(&mut store, (number as u32,)).unwrap();
        let expected = if number.is_multiple_of(1024) {
            1
        } else {
            b'n'.into()
        };
        assert_eq!(found, expected);
        store
    };
    (0..5000).for_each(|number| drop(make(number)));
    let before = (memory(), mappings(), file_descriptors());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let make = &make;
            scope.spawn(move || (thread..INSTANCES).step_by(2).for_each(|n| drop(make(n))));
        }
    });
    let flat = |((space, own), maps, descriptors): ((usize, usize), usize, usize)| {
        let ((space_now, own_now), maps_now) = (memory(), mappings());
        // A thread that ended leaves the arena of its allocator.
        assert!(
            space_now < space + (80 << 30),
            "address space: {space}, then {space_now}"
        );
        assert!(own_now < own + (8 << 20), "memory: {own}, then {own_now}");
        assert!(maps_now < maps + 100, "mappings: {maps}, then {maps_now}");
        assert_eq!(file_descriptors(), descriptors);
    };
    flat(before);
    let alive: Vec<_> = (1..=ALIVE).map(make).collect();
    let each = (mappings() - before.1) as f64 / ALIVE as f64;
    assert!(each < 2.1, "{each} mappings for each instance");
    let (_, own) = memory();
    let each = own.saturating_sub(before.0.1) / ALIVE;
    assert!(each < 40 << 10, "{each} bytes for each instance");
    drop(alive);
    workshop.engine().release_unused();
    flat(before);
}

/// Guests cannot make the host keep more memory than it wants to, however they divide it among
/// their memories.
fn instances_keep_what_they_may() {
    let mut config = Config::new();
    config.max_idle_memory(16 << 20);
    let workshop = Workshop::with_config(&config);
    // Each writes to 3 and 2 MiB of two memories: more than a quarter of that.
    let text = r#"(component
      (core module $m
        (memory $a 48)
        (memory $b 32)
        (func (export "run")
          (memory.fill $a (i32.const 0) (i32.const 1) (i32.const 3145728))
          (memory.fill $b (i32.const 0) (i32.const 1) (i32.const 2097152))))
      (core instance $i (instantiate $m))
      (func (export "run") (canon lift (core func $i "run"))))"#;
    let component = workshop.map_component(&workshop.compile(text.as_bytes()).unwrap());
    let pre = Linker::<()>::new(workshop.engine())
        .instantiate_pre(&component.unwrap())
        .unwrap();
    let (_, before) = memory();
    let make = |_| {
        let mut store = Store::new(workshop.engine(), ());
        let instance = pre.instantiate(&mut store).unwrap();
        let run = instance
            .get_typed_func::<(), ()>(&mut store, "run")
            .unwrap();
        run.call(&mut store, ()).unwrap();
        store
    };
    let alive: Vec<Store<()>> = (0..40).map(make).collect();
    drop(alive);
    let (_, own) = memory();
    let kept = own.saturating_sub(before);
    assert!(
        kept < 24 << 20,
        "{kept}: {:?}",
        workshop.engine().instance_metrics()
    );
}

/// Whether this is Linux 6.13 or later, which has guards that take no mapping.
fn has_guards() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|char: char| !char.is_ascii_digit());
    let mut next = || numbers.next().unwrap().parse::<u32>().unwrap();
    (next(), next()) >= (6, 13)
}

/// Instances without a memory, and those whose accesses are checked, share mappings: there can be
/// more of them than a process has mappings.
fn many_instances_are_alive() {
    const MANY: usize = 50_000;
    let without = r#"(component
      (core module $m
        (global $n (mut i32) (i32.const 7))
        (func (export "run") (param i32) (result i32)
          (global.get $n)
          (global.set $n (local.get 0))))
      (core instance $i (instantiate $m))
      (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#;
    let checked = r#"(component
      (core module $m
        (memory 1)
        (data (i32.const 8) "\07")
        (func (export "run") (param i32) (result i32)
          (i32.load8_u (i32.const 8))
          (i32.store8 (i32.const 8) (local.get 0))
          ;; The first byte beyond the memory, and the last, which grows.
          (i32.store8
            (i32.shl (memory.grow (i32.const 3)) (i32.const 16)) (local.get 0))
          (i32.store8
            (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 1)) (local.get 0))))
      (core instance $i (instantiate $m))
      (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#;
    let options = Options {
        bounds: Bounds::Check,
        ..Options::default()
    };
    for (text, is_shared) in [(without, true), (checked, has_guards())] {
        let workshop = Workshop::new();
        let wasm = wat::parse_str(text).unwrap();
        let artifact = cwasm_compiler::compile(&wasm, &options).unwrap().bytes;
        let component = workshop.map_component(&artifact).unwrap();
        let pre = Linker::<()>::new(workshop.engine())
            .instantiate_pre(&component)
            .unwrap();
        let make = |number: usize| {
            let mut store = Store::new(workshop.engine(), ());
            let mut limits = StoreLimits::new();
            limits.memory_size(16 << 20);
            store.set_limits(limits);
            let instance = pre.instantiate(&mut store).unwrap();
            let run = instance
                .get_typed_func::<(u32,), (u32,)>(&mut store, "run")
                .unwrap();
            assert_eq!(run.call(&mut store, (number as u32,)).unwrap(), (7,));
            store
        };
        let before = (memory().1, mappings());
        let many = if is_shared { MANY } else { 5000 };
        for _ in 0..2 {
            let alive: Vec<_> = (0..many).map(make).collect();
            let taken = mappings().saturating_sub(before.1);
            assert!(!is_shared || taken < 1000, "{taken} mappings");
            let each = memory().1.saturating_sub(before.0) / many;
            assert!(each < 24 << 10, "{each} bytes for each instance");
            drop(alive);
        }
        workshop.engine().release_unused();
        let own = memory().1;
        assert!(own < before.0 + (96 << 20), "{before:?}, then {own}");
        assert!(mappings() < before.1 + 100);
    }
}

#[test]
fn loads_leave_nothing_behind() {
    instances_keep_what_they_may();
    many_instances_are_alive();
    let workshop = Workshop::new();
    instances_leave_nothing_behind(&workshop);
    let artifact = workshop.compile(&common::greet()).unwrap();
    let path = workshop.write(&artifact);
    let load = || workshop.map_component_at(&path).unwrap();
    let time_of_load = || {
        let mut times: Vec<Duration> = (0..500)
            .map(|_| {
                let start = Instant::now();
                let component = load();
                let time = start.elapsed();
                drop(component);
                time
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };

    for _ in 0..100 {
        drop(load());
    }
    let (space, own) = memory();
    let descriptors = file_descriptors();
    let alone = time_of_load();
    for _ in 0..LOADS {
        drop(load());
    }
    let (space_after, own_after) = memory();
    assert_eq!(file_descriptors(), descriptors);
    assert!(
        space_after < space + (1 << 20),
        "address space: {space}, then {space_after}"
    );
    assert!(
        own_after < own + (4 << 20),
        "memory: {own}, then {own_after}"
    );

    let components: Vec<Component> = (0..RESIDENT).map(|_| load()).collect();
    assert_eq!(file_descriptors(), descriptors);
    let (_, with_many) = memory();
    let each = with_many.saturating_sub(own) / RESIDENT;
    assert!(each < 8 << 10, "{each} bytes for each resident artifact");
    let crowded = time_of_load();
    assert!(
        crowded < 3 * alone + Duration::from_micros(50),
        "a load takes {alone:?} alone, {crowded:?} with {RESIDENT} others"
    );
    drop(components);
    let (space_at_end, _) = memory();
    assert!(
        space_at_end < space + (1 << 20),
        "address space: {space}, then {space_at_end}"
    );
}

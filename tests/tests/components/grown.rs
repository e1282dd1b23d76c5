//! Memories that grow, in instances that are made of what others have left: at each size, all of
//! the memory can be used, starts with zeros, and nothing beyond it can be touched.

use cwasm::{Config, Engine, InstancePre, Linker, Store, StoreLimits, TrapCode};
use cwasm_compiler::{Bounds, Options};

use crate::common::fork::in_fork;
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

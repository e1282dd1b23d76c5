//! Limits for a store's guests, and hooks that a host has on their calls.

use std::sync::{Arc, Mutex};

use cwasm::{
    CallHook, CoreMemory, CoreTable, CoreVal, Error, Extern, HeapType, Instance, Linker, RefType,
    SharedMemory, Store, StoreLimits, TrapCode, Val, ValType,
};
use cwasm_tests::artifact::Workshop;

const GUEST: &str = r#"(component
  (import "host" (func $host (result u32)))
  (core func $host (canon lower (func $host)))
  (core module $m
    (import "" "host" (func $host (result i32)))
    (memory (export "memory") 2 10)
    (table 3 9 funcref)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "grow-table") (param i32) (result i32)
      (table.grow (ref.null func) (local.get 0)))
    (func (export "host") (result i32) (call $host))
    (func (export "trap") (unreachable))
    ;; So many elements, each of which is the list of all bytes. All are ASCII for some numbers.
    (func (export "lists") (param i32) (result i32) (local $i i32)
      (loop $next
        (i32.store offset=16 (i32.mul (local.get $i) (i32.const 8)) (i32.const 0))
        (i32.store offset=20 (i32.mul (local.get $i) (i32.const 8)) (i32.const 131072))
        (br_if $next (i32.lt_u
          (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0))))
      (i32.store (i32.const 0) (i32.const 16))
      (i32.store (i32.const 4) (local.get 0))
      (i32.const 0)))
  (core instance $i (instantiate $m (with "" (instance (export "host" (func $host))))))
  (func (export "grow") (param "n" u32) (result s32) (canon lift (core func $i "grow")))
  (func (export "grow-table") (param "n" u32) (result s32)
    (canon lift (core func $i "grow-table")))
  (func (export "host") (result u32) (canon lift (core func $i "host")))
  (func (export "trap") (canon lift (core func $i "trap")))
  (func (export "bytes") (param "n" u32) (result (list (list u8)))
    (canon lift (core func $i "lists") (memory (core memory $i "memory"))))
  (func (export "strings") (param "n" u32) (result (list string))
    (canon lift (core func $i "lists") (memory (core memory $i "memory")))))"#;

fn linker<T: 'static>(workshop: &Workshop) -> (cwasm::Component, Linker<T>) {
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::new(workshop.engine());
    linker
        .root()
        .func_wrap("host", |_, (): ()| Ok((7u32,)))
        .unwrap();
    (component, linker)
}

fn limited(set: impl FnOnce(&mut StoreLimits)) -> (Store<()>, cwasm::Result<Instance>) {
    let workshop = Workshop::new();
    let (component, linker) = linker(&workshop);
    let mut limits = StoreLimits::new();
    set(&mut limits);
    let mut store = Store::new(workshop.engine(), ());
    store.set_limits(limits);
    let instance = linker.instantiate(&mut store, &component);
    (store, instance)
}

fn call<P, R>(store: &mut Store<()>, instance: Instance, name: &str, params: P) -> cwasm::Result<R>
where
    P: cwasm::ComponentNamedList + cwasm::Lower,
    R: cwasm::ComponentNamedList + cwasm::Lift,
{
    let func = instance.get_typed_func::<P, R>(&mut *store, name)?;
    func.call(store, params)
}

#[test]
fn memories_and_tables_grow_to_the_limit() {
    let (mut store, instance) = limited(|limits| {
        limits.memory_size(5 << 16).table_elements(4);
    });
    let instance = instance.unwrap();
    let mut grow = |name, n: u32| {
        call::<_, (i32,)>(&mut store, instance, name, (n,))
            .unwrap()
            .0
    };
    assert_eq!(grow("grow", 4), -1);
    assert_eq!(grow("grow", 3), 2);
    assert_eq!(grow("grow", 1), -1);
    assert_eq!(grow("grow-table", 2), -1);
    assert_eq!(grow("grow-table", 1), 3);
    // Without limits, the declared maximum counts.
    let (mut store, instance) = limited(|_| {});
    let instance = instance.unwrap();
    assert_eq!(
        call::<_, (i32,)>(&mut store, instance, "grow", (8u32,)).unwrap(),
        (2,)
    );
    assert_eq!(
        call::<_, (i32,)>(&mut store, instance, "grow", (1u32,)).unwrap(),
        (-1,)
    );
}

#[test]
fn what_the_host_makes_for_guests_grows_to_the_limit() {
    let workshop = Workshop::new();
    let mut store = Store::new(workshop.engine(), ());
    let mut limits = StoreLimits::new();
    limits.memory_size(5 << 16).table_elements(4);
    store.set_limits(limits);
    let memory = CoreMemory::new(&mut store, 2, None).unwrap();
    assert_eq!(memory.grow(&mut store, 4).unwrap(), None);
    assert_eq!(memory.grow(&mut store, 3).unwrap(), Some(2));
    let funcs = ValType::Ref(RefType {
        nullable: true,
        heap: HeapType::Func,
    });
    let table = CoreTable::new(&mut store, funcs, 3, Some(9)).unwrap();
    let guest = br#"(module (import "" "" (table 3 9 funcref))
        (func (export "grow") (param i32) (result i32)
          (table.grow (ref.null func) (local.get 0))))"#;
    let module = workshop.map_module(&workshop.compile(guest).unwrap());
    let instance = module
        .unwrap()
        .instantiate(&mut store, &[Extern::Table(table)]);
    let Ok(Some(Extern::Func(grow))) = instance.unwrap().get(&store, "grow") else {
        panic!("no function `grow`")
    };
    let mut grow = |n| grow.call(&mut store, &[CoreVal::I32(n)]).unwrap();
    assert!(matches!(grow(2)[..], [CoreVal::I32(-1)]));
    assert!(matches!(grow(1)[..], [CoreVal::I32(3)]));
    let error = CoreMemory::new(&mut store, 6, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("limit of 327680 bytes of a memory"),
        "{error}"
    );
    let error = CoreTable::new(&mut store, funcs, 5, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("limit of 4 elements of a table"), "{error}");
}

#[test]
fn what_starts_beyond_a_limit_is_refused_with_its_name() {
    let refused = |set: fn(&mut StoreLimits), expected: &str| {
        let error = limited(set).1.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(
        |limits| {
            limits.memory_size(0xffff);
        },
        "limit of 65535 bytes of a memory is exceeded: 131072",
    );
    refused(
        |limits| {
            limits.table_elements(2);
        },
        "limit of 2 elements of a table is exceeded: 3",
    );
    refused(
        |limits| {
            limits.instances(0);
        },
        "limit of 0 instances",
    );
    refused(
        |limits| {
            limits.memories(0);
        },
        "limit of 0 memories",
    );
    refused(
        |limits| {
            limits.tables(0);
        },
        "limit of 0 tables",
    );
}

#[test]
fn instances_are_counted_while_they_live() {
    let workshop = Workshop::new();
    let (component, linker) = linker(&workshop);
    let mut store = Store::new(workshop.engine(), ());
    let mut limits = StoreLimits::new();
    store.set_limits(limits.instances(2).memories(2).clone());
    for _ in 0..2 {
        linker.instantiate(&mut store, &component).unwrap();
    }
    assert!(linker.instantiate(&mut store, &component).is_err());
    // Another store has limits of its own.
    linker
        .instantiate(&mut Store::new(workshop.engine(), ()), &component)
        .unwrap();
}

#[test]
fn what_points_to_the_same_place_many_times_does_not_take_all_memory() {
    let refused = |limits: fn(&mut StoreLimits), n: u32, is_refused: bool| {
        for name in ["bytes", "strings"] {
            let (mut store, instance) = limited(limits);
            let instance = instance.unwrap();
            let typed = match name {
                "bytes" => call::<_, (Vec<Vec<u8>>,)>(&mut store, instance, name, (n,)).map(drop),
                _ => call::<_, (Vec<String>,)>(&mut store, instance, name, (n,)).map(drop),
            };
            assert_eq!(typed.is_err(), is_refused, "{typed:?}");
            let (mut store, instance) = limited(limits);
            let func = instance.unwrap().get_func(&mut store, name).unwrap();
            let dynamic = func.call(&mut store, &[Val::U32(n)], &mut [Val::Bool(false)]);
            assert_eq!(dynamic.is_err(), is_refused, "{dynamic:?}");
            if let Err(error) = dynamic {
                assert!(error.to_string().contains("lift_size"), "{error}");
                // As after a trap.
                let again = func.call(&mut store, &[Val::U32(1)], &mut [Val::Bool(false)]);
                let code = again.unwrap_err().trap().map(|trap| trap.code());
                assert_eq!(code, Some(TrapCode::CannotEnter));
            }
        }
    };
    // 2,049 times 128 KiB are more than 128 MiB.
    refused(|_| {}, 2_049, true);
    refused(|_| {}, 2, false);
    let small = |limits: &mut StoreLimits| {
        limits.lift_size(100_000);
    };
    refused(small, 1, true);
}

#[test]
fn hosts_are_told_of_calls() {
    let workshop = Workshop::new();
    let (component, linker) = linker::<()>(&workshop);
    let mut store = Store::new(workshop.engine(), ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    store.set_call_hook(move |_, event| {
        told.lock().unwrap().push(event);
        Ok(())
    });
    assert_eq!(
        call::<_, (u32,)>(&mut store, instance, "host", ()).unwrap(),
        (7,)
    );
    let take = || std::mem::take(&mut *events.lock().unwrap());
    assert_eq!(
        take(),
        [
            CallHook::CallingWasm,
            CallHook::CallingHost,
            CallHook::ReturningFromHost,
            CallHook::ReturningFromWasm
        ]
    );
    let func = instance.get_func(&mut store, "grow").unwrap();
    func.call(&mut store, &[Val::U32(0)], &mut [Val::Bool(false)])
        .unwrap();
    assert_eq!(take(), [CallHook::CallingWasm, CallHook::ReturningFromWasm]);
    assert!(call::<_, ()>(&mut store, instance, "trap", ()).is_err());
    assert_eq!(take(), [CallHook::CallingWasm, CallHook::ReturningFromWasm]);
}

#[test]
fn a_hook_that_fails_fails_the_call() {
    for failing in [
        CallHook::CallingWasm,
        CallHook::CallingHost,
        CallHook::ReturningFromHost,
        CallHook::ReturningFromWasm,
    ] {
        let workshop = Workshop::new();
        let (component, linker) = linker::<()>(&workshop);
        let mut store = Store::new(workshop.engine(), ());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        store.set_call_hook(move |_, event| match event == failing {
            true => Err(Error::new(std::fmt::Error)),
            false => Ok(()),
        });
        let error = call::<_, (u32,)>(&mut store, instance, "host", ()).unwrap_err();
        assert!(error.is::<std::fmt::Error>(), "{failing:?}: {error:?}");
        // The guest was stopped only if it was running.
        store.set_call_hook(|_, _| Ok(()));
        let again = call::<_, (u32,)>(&mut store, instance, "host", ());
        assert_eq!(
            again.is_ok(),
            matches!(failing, CallHook::CallingWasm | CallHook::ReturningFromWasm)
        );
    }
}

/// Pairs of a map, and 4 KiB elements, of which a few lists in lists make many.
const COSTLY: &str = r#"(component
  (core module $m (memory (export "memory") 40)
    (func (export "pairs") (param i32) (result i32)
      (i32.store (i32.const 0) (i32.const 8))
      (i32.store (i32.const 4) (local.get 0))
      (i32.const 0))
    (func (export "blocks") (param i32) (result i32) (local $i i32)
      (loop $next
        (i32.store offset=131072 (i32.mul (local.get $i) (i32.const 8)) (i32.const 4096))
        (i32.store offset=131076 (i32.mul (local.get $i) (i32.const 8)) (i32.const 16))
        (br_if $next (i32.lt_u
          (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0))))
      (i32.store (i32.const 0) (i32.const 131072))
      (i32.store (i32.const 4) (local.get 0))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "map") (param "n" u32) (result (map u8 u8))
    (canon lift (core func $i "pairs") (memory (core memory $i "memory"))))
  (func (export "blocks") (param "n" u32) (result (list (list (list u8 4096))))
    (canon lift (core func $i "blocks") (memory (core memory $i "memory")))))"#;

#[test]
fn maps_and_boxes_count_as_what_they_take() {
    let workshop = Workshop::new();
    let artifact = workshop.compile(COSTLY.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let linker = Linker::<()>::new(workshop.engine());
    let mut store = Store::new(workshop.engine(), ());
    let mut limits = StoreLimits::new();
    limits.lift_size(1 << 20);
    store.set_limits(limits);
    let message = "StoreLimits::lift_size";
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let map = instance.get_func(&mut store, "map").unwrap();
    let mut results = [Val::Bool(false)];
    map.call(&mut store, &[Val::U32(1000)], &mut results)
        .unwrap();
    let error = map.call(&mut store, &[Val::U32(1_000_000)], &mut results);
    let error = error.unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
    let instance = linker.instantiate(&mut store, &component).unwrap();
    type Blocks = Vec<Vec<Box<[u8; 4096]>>>;
    let blocks = instance.get_typed_func::<(u32,), (Blocks,)>(&mut store, "blocks");
    let blocks = blocks.unwrap();
    assert_eq!(blocks.call(&mut store, (2,)).unwrap().0.len(), 2);
    let error = blocks.call(&mut store, (100,)).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn a_memory_does_not_start_beyond_its_maximum() {
    let workshop = Workshop::new();
    let mut store = Store::new(workshop.engine(), ());
    let expected = "starts with 5 pages cannot have at most 2";
    let own = CoreMemory::new(&mut store, 5, Some(2))
        .unwrap_err()
        .to_string();
    assert!(own.contains(expected), "{own}");
    let shared = SharedMemory::new(workshop.engine(), 5, 2)
        .unwrap_err()
        .to_string();
    assert!(shared.contains(expected), "{shared}");
}

/// As many mappings as the process has.
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

#[test]
fn instances_do_not_take_all_mappings_of_the_process() {
    let workshop = Workshop::new();
    let memories = "(memory 1 1)".repeat(100);
    let text = format!("(component (core module $m {memories}) (core instance (instantiate $m)))");
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let linker = Linker::<()>::new(workshop.engine());
    let before = mappings();
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let most: usize = most.trim().parse().unwrap();
    let mut stores = Vec::new();
    let error = loop {
        let mut store = Store::new(workshop.engine(), ());
        match linker.instantiate(&mut store, &component) {
            Ok(_) => stores.push(store),
            Err(error) => break error,
        }
        assert!(stores.len() * 200 < most, "nothing is refused");
    };
    let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
    let chain = chain.join(": ");
    let expected = format!(
        "limit of {} memory mappings (Config::max_mappings)",
        most / 2
    );
    assert!(chain.contains(&expected), "{chain}");
    assert!(stores.len() > most / 2 / 200 - 2, "{}", stores.len());
    assert!(mappings() - before <= most / 2, "{} of {most}", mappings());
    // What is dropped and kept for the next ones counts; it makes room where it must.
    stores.truncate(stores.len() - 2);
    let other = r#"(component (core module $m (memory 2 2)) (core instance (instantiate $m)))"#;
    let other = workshop.compile(other.as_bytes()).unwrap();
    let other = workshop.map_component(&other).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    for _ in 0..100 {
        linker.instantiate(&mut store, &other).unwrap();
    }
}

#[test]
fn a_store_has_a_limit_of_mappings() {
    let workshop = Workshop::new();
    let (component, linker) = linker(&workshop);
    let mut store = Store::new(workshop.engine(), ());
    let mut limits = StoreLimits::new();
    store.set_limits(limits.mappings(5).clone());
    for _ in 0..2 {
        linker.instantiate(&mut store, &component).unwrap();
    }
    let error = linker
        .instantiate(&mut store, &component)
        .unwrap_err()
        .to_string();
    let expected = "limit of 5 memory mappings is exceeded: 6 are needed";
    assert!(error.contains(expected), "{error}");
}

/// Each of the instances has a table of handles of its own.
const NESTED: &str = r#"(component
  (component $c
    (type $r (resource (rep i32)))
    (core func $new (canon resource.new $r))
    (core module $m
      (import "" "new" (func $new (param i32) (result i32)))
      (func (export "make") (param i32) (local $i i32)
        (loop $next
          (drop (call $new (i32.const 7)))
          (br_if $next (i32.lt_u
            (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0))))))
    (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
    (func (export "make") (param "n" u32) (canon lift (core func $i "make"))))
  (instance $a (instantiate $c))
  (instance $b (instantiate $c))
  (export "a" (func $a "make"))
  (export "b" (func $b "make")))"#;

#[test]
fn nested_instances_share_the_limit_of_handles() {
    let workshop = Workshop::new();
    let artifact = workshop.compile(NESTED.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let make = |limit: u32, calls: &[(&str, u32)]| {
        let mut store = Store::new(workshop.engine(), ());
        let mut limits = StoreLimits::new();
        store.set_limits(limits.handles(limit).clone());
        let linker = Linker::<()>::new(workshop.engine());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let results = calls
            .iter()
            .map(|(name, n)| call::<_, ()>(&mut store, instance, name, (*n,)).is_ok());
        results.collect::<Vec<_>>()
    };
    assert_eq!(make(100, &[("a", 100), ("b", 1)]), [true, false]);
    assert_eq!(make(100, &[("a", 40), ("b", 37)]), [true, true]);
    assert_eq!(make(100, &[("a", 40), ("b", 61)]), [true, false]);
    assert_eq!(make(100, &[("b", 101)]), [false]);
}

/// The heap memory of a value, without the value itself.
fn heap_size(val: &Val) -> usize {
    // Two words for each block, and not less than four.
    let block = |bytes: usize| match bytes {
        0 => 0,
        _ => (bytes + 8).next_multiple_of(16).max(32),
    };
    let string = |string: &String| block(string.capacity());
    let boxed = |payload: &Option<Box<Val>>| {
        let inner = payload.as_deref();
        inner.map_or(0, |val| block(size_of::<Val>()) + heap_size(val))
    };
    match val {
        Val::String(text) | Val::Enum(text) => string(text),
        Val::List(vals) | Val::Tuple(vals) => {
            block(vals.capacity() * size_of::<Val>()) + vals.iter().map(heap_size).sum::<usize>()
        }
        Val::Map(pairs) => {
            let inner = pairs
                .iter()
                .map(|(key, val)| heap_size(key) + heap_size(val));
            block(pairs.capacity() * size_of::<(Val, Val)>()) + inner.sum::<usize>()
        }
        Val::Record(fields) => {
            let inner = fields
                .iter()
                .map(|(name, val)| string(name) + heap_size(val));
            block(fields.capacity() * size_of::<(String, Val)>()) + inner.sum::<usize>()
        }
        Val::Flags(names) => {
            block(names.capacity() * size_of::<String>()) + names.iter().map(string).sum::<usize>()
        }
        Val::Variant(name, payload) => string(name) + boxed(payload),
        Val::Option(payload) | Val::Result(Ok(payload) | Err(payload)) => boxed(payload),
        _ => 0,
    }
}

#[test]
fn dynamic_values_take_no_more_than_the_limit() {
    const LIMIT: usize = 1 << 20;
    let types = [
        "(list u8)",
        "(list string)",
        "(list (option u8))",
        "(list (tuple u8))",
        "(list (tuple u8 u8 u8))",
        "(list $record)",
        "(list $flags)",
        "(list $enum)",
        "(list $variant)",
        "(list (result u8 (error u8)))",
        "(list (list u8))",
        "(list (list u8 5))",
        "(list (map u8 u8))",
        "(list (option (option (option string))))",
    ];
    let mut worst = 0;
    for ty in types {
        // Zeros, except that pointers and lengths say: one byte at 1.
        let text = format!(
            r#"(component
              (type $record' (record (field "a" u8) (field "some-longer-name" u8) (field "c" u8)))
              (export $record "record" (type $record'))
              (type $flags' (flags "a" "b" "some-longer-name"))
              (export $flags "flags" (type $flags'))
              (type $enum' (enum "a-case-of-some-length" "b"))
              (export $enum "enum" (type $enum'))
              (type $variant' (variant (case "a" u8) (case "b")))
              (export $variant "variant" (type $variant'))
              (core module $m (memory (export "memory") 40)
                (func (export "f") (param i32 i32) (result i32)
                  (memory.fill (i32.const 16) (local.get 1) (i32.const 2000000))
                  (i32.store (i32.const 0) (i32.const 16))
                  (i32.store (i32.const 4) (local.get 0))
                  (i32.const 0)))
              (core instance $i (instantiate $m))
              (func (export "f") (param "n" u32) (param "fill" u32) (result {ty})
                (canon lift (core func $i "f") (memory (core memory $i "memory")))))"#
        );
        let workshop = Workshop::new();
        let component = workshop.map_component(&workshop.compile(text.as_bytes()).unwrap());
        let component = component.unwrap();
        for fill in [0, 1] {
            let mut largest = 0;
            for n in (0..16).map(|step| (1000 << (step / 2)) | ((step % 2) * (500 << (step / 2)))) {
                let mut store = Store::new(workshop.engine(), ());
                let mut limits = StoreLimits::new();
                store.set_limits(limits.lift_size(LIMIT).clone());
                let linker = Linker::<()>::new(workshop.engine());
                let instance = linker.instantiate(&mut store, &component).unwrap();
                let func = instance.get_func(&mut store, "f").unwrap();
                let mut results = [Val::Bool(false)];
                let params = [Val::U32(n), Val::U32(fill)];
                match func.call(&mut store, &params, &mut results) {
                    Ok(()) => largest = largest.max(heap_size(&results[0])),
                    Err(error) if error.trap().is_some() => {}
                    Err(error) => assert!(error.to_string().contains("lift_size"), "{error}"),
                }
            }
            assert!(largest <= LIMIT, "{ty}: {largest} bytes");
            worst = worst.max(largest);
        }
    }
    // The limit is what is taken, and not a multiple of it.
    assert!(worst > LIMIT / 2, "{worst}");
}

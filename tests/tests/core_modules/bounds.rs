//! Code that compares each access with the memory's size (`--bounds check`): what is checked where,
//! and with how little address space it gets along.
//!
//! Tests that limit their process's address space run in a child: the test starts itself again with
//! `CHILD` set.

use crate::common::child;
use cwasm::{CoreFunc, CoreVal, Extern, Module, ModuleInstance, Store, StoreLimits, TrapCode};
use cwasm_compiler::{Bounds, OptLevel, Options};
use cwasm_tests::artifact::Workshop;

const PAGE: u32 = 1 << 16;

fn workshop(bounds: Bounds) -> Workshop {
    Workshop::with_options(Options {
        bounds,
        ..Options::default()
    })
}

fn module(workshop: &Workshop, text: &str) -> Module {
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    workshop.map_module(&artifact).unwrap()
}

/// Instantiates a module in a store of its own.
fn instantiate(module: &Module, workshop: &Workshop) -> cwasm::Result<(Store<()>, ModuleInstance)> {
    let mut store = Store::new(workshop.engine(), ());
    let instance = module.instantiate(&mut store, &[])?;
    Ok((store, instance))
}

fn func(store: &Store<()>, instance: ModuleInstance, name: &str) -> CoreFunc {
    match instance.get(store, name) {
        Ok(Some(Extern::Func(func))) => func,
        other => panic!("no function `{name}`: {other:?}"),
    }
}

/// Calls a function of `i32`s: its result, or the trap.
fn call(
    store: &mut Store<()>,
    instance: ModuleInstance,
    name: &str,
    args: &[u32],
) -> Result<Option<u32>, TrapCode> {
    let args: Vec<_> = args.iter().map(|arg| CoreVal::I32(*arg as i32)).collect();
    match func(store, instance, name).call(store, &args) {
        Ok(values) => Ok(match values[..] {
            [CoreVal::I32(value)] => Some(value as u32),
            [] => None,
            _ => panic!("not an i32: {values:?}"),
        }),
        Err(error) => Err(error.trap().expect("a trap").code()),
    }
}

/// Functions in which a check elsewhere must not spare an access its own; each is called with an
/// index and a number that says where to go.
const PATHS: &str = r#"(module
    (memory 1 4)
    (func (export "grow") (param i32 i32) (result i32) (memory.grow (local.get 0)))
    ;; The second access ends after the first.
    (func (export "longer") (param i32 i32) (result i32)
        (drop (i32.load8_u (local.get 0))) (i32.load offset=1 (local.get 0)))
    ;; The index is another one the second time.
    (func (export "other") (param i32 i32) (result i32)
        (drop (i32.load (i32.const 0)))
        (local.set 1 (i32.add (local.get 1) (local.get 0)))
        (i32.load (local.get 1)))
    ;; Far after the index, twice with the same comparison and once with another.
    (func (export "bias") (param i32 i32) (result i32)
        (i32.add (i32.load8_u offset=0x8000 (local.get 0))
        (i32.add (i32.load8_u offset=0x8004 (local.get 0))
            (i32.load offset=0xfff0 (local.get 0)))))
    (func (export "far") (param i32 i32) (result i32) (i32.load offset=0x10004 (local.get 0)))
    ;; Checked in one branch only.
    (func (export "then") (param i32 i32) (result i32)
        (if (local.get 1) (then (drop (i32.load (local.get 0)))))
        (i32.load (local.get 0)))
    (func (export "else") (param i32 i32) (result i32)
        (if (result i32) (local.get 1)
            (then (i32.load (local.get 0)))
            (else (i32.load (local.get 0)))))
    ;; The branch leaves the block before the check.
    (func (export "block") (param i32 i32) (result i32)
        (block $out
            (br_if $out (i32.eqz (local.get 1)))
            (drop (i32.load (local.get 0))))
        (i32.load (local.get 0)))
    (func (export "table") (param i32 i32) (result i32)
        (block $a (block $b
            (br_table $b $a (local.get 1)))
            (drop (i32.load (local.get 0))))
        (i32.load (local.get 0)))
    ;; The index of the next iteration is new.
    (func (export "loop") (param i32 i32) (result i32) (local $i i32) (local $last i32)
        (local.set $i (i32.and (local.get 0) (i32.const 3)))
        (loop $next
            (local.set $last (i32.load (local.get $i)))
            (local.set $i (i32.add (local.get $i) (i32.const 4)))
            (br_if $next (i32.le_u (local.get $i) (local.get 0))))
        (local.get $last))
    ;; The second iteration goes where the first did not, with the same index.
    (func (export "again") (param i32 i32) (result i32) (local $found i32)
        (block $out (loop $next
            (br_if $out (i32.eqz (local.get 1)))
            (local.set $found (i32.load (local.get 0)))
            (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
            (br $next)))
        (i32.add (local.get $found) (i32.load (local.get 0))))
    ;; Stores up to the first that is outside are done.
    (func (export "stores") (param i32 i32) (result i32)
        (i32.store8 (local.get 0) (i32.const 7))
        (i32.store offset=1 (local.get 0) (i32.const 7))
        (i32.const 0))
    (func (export "byte") (param i32 i32) (result i32) (i32.load8_u (local.get 0))))"#;

#[test]
fn each_path_has_its_check() {
    let loads = ["then", "else", "block", "table", "loop", "again"];
    for (opt, interruptible) in [
        (OptLevel::Speed, false),
        (OptLevel::Speed, true),
        (OptLevel::None, false),
    ] {
        let workshop = Workshop::with_options(Options {
            bounds: Bounds::Check,
            opt,
            interruptible,
            ..Options::default()
        });
        let (mut store, instance) = instantiate(&module(&workshop, PATHS), &workshop).unwrap();
        let outside = Err(TrapCode::MemoryOutOfBounds);
        for pages in 1..=3 {
            let end = pages * PAGE;
            let mut call = |name: &str, index, path| {
                let found = call(&mut store, instance, name, &[index, path]);
                (format!("{name} at {index} by {path}"), found)
            };
            for path in 0..=2 {
                for name in loads {
                    let (what, found) = call(name, end - 4, path);
                    assert_eq!(found, Ok(Some(0)), "{what}");
                    for index in [end - 3, end, 0x7fff_ffff, u32::MAX] {
                        let (what, found) = call(name, index, path);
                        assert_eq!(found, outside, "{what}");
                    }
                }
            }
            for (name, last) in [("longer", end - 5), ("other", end - 4)] {
                assert_eq!(call(name, last, 0).1, Ok(Some(0)), "{name}");
                assert_eq!(call(name, last + 1, 0).1, outside, "{name}");
                assert_eq!(call(name, last, 1).1.is_ok(), name == "longer");
            }
            assert_eq!(call("bias", end - 0xfff4, 0).1, Ok(Some(0)));
            assert_eq!(call("bias", end - 0xfff3, 0).1, outside);
            assert_eq!(call("bias", u32::MAX - 0xffff, 0).1, outside);
            let far = call("far", end.wrapping_sub(0x10008), 0).1;
            assert_eq!(far.is_ok(), pages > 1);
            assert_eq!(call("far", end.wrapping_sub(0x10007), 0).1, outside);
            assert_eq!(call("stores", end - 1, 0).1, outside);
            assert_eq!(call("byte", end - 1, 0).1, Ok(Some(7)));
            assert_eq!(call("grow", 1, 0).1, Ok(Some(pages)));
        }
    }
}

#[test]
fn a_memory_without_a_guard_is_for_code_that_needs_none() {
    const EXPORTER: &str = r#"(module (memory (export "m") 1 2))"#;
    const IMPORTER: &str = r#"(module (memory (import "" "m") 1 2)
        (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;
    let engine = workshop(Bounds::Check);
    let compile = |bounds, text: &str| {
        let artifact = workshop(bounds).compile(text.as_bytes()).unwrap();
        engine.map_module(&artifact).unwrap()
    };
    for from in [Bounds::Guard, Bounds::Check] {
        for to in [Bounds::Guard, Bounds::Check] {
            let mut store = Store::new(engine.engine(), ());
            let exporter = compile(from, EXPORTER)
                .instantiate(&mut store, &[])
                .unwrap();
            let memory = exporter.get(&store, "m").unwrap().unwrap();
            let importer = compile(to, IMPORTER).instantiate(&mut store, &[memory]);
            if (from, to) == (Bounds::Check, Bounds::Guard) {
                let message = format!("{:?}", importer.unwrap_err());
                assert!(message.contains("too small a guard"), "{message}");
                assert!(message.contains("--bounds check"), "{message}");
                continue;
            }
            let importer = importer.unwrap();
            let mut load = |index| call(&mut store, importer, "load", &[index]);
            assert_eq!(load(PAGE - 4), Ok(Some(0)));
            assert_eq!(load(PAGE - 3), Err(TrapCode::MemoryOutOfBounds));
            assert_eq!(load(u32::MAX), Err(TrapCode::MemoryOutOfBounds));
        }
    }
}

/// A module whose memory starts with `pages` pages and has no maximum.
fn memory(pages: u32) -> String {
    format!(
        r#"(module (memory {pages})
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 1))))"#
    )
}

/// The pages that a memory has when it cannot grow any more; its last byte can be written.
fn grow_to_the_end(store: &mut Store<()>, instance: ModuleInstance) -> u32 {
    let mut call = |name: &str, arg| call(store, instance, name, &[arg]);
    let mut step = 1 << 15;
    while step > 0 {
        if call("grow", step) == Ok(Some(u32::MAX)) {
            step /= 2;
        }
    }
    let pages = call("grow", 0).unwrap().unwrap();
    assert_eq!(call("store", pages * PAGE - 1), Ok(None));
    let outside = Err(TrapCode::MemoryOutOfBounds);
    assert_eq!(call("store", pages * PAGE), outside);
    pages
}

/// Bytes of address space that this process has.
fn address_space() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

#[allow(unsafe_code, reason = "limits this process")]
fn limit_address_space(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: reads the structure that it is given.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

/// Runs `body` in a child process, which is this test's only purpose there.
fn in_child(test: &str, body: impl FnOnce()) {
    if let Some(output) = child::run(module_path!(), test, body) {
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_small_address_space_is_shared_with_the_host() {
    in_child("a_small_address_space_is_shared_with_the_host", || {
        let workshop = workshop(Bounds::Check);
        // Compiled before, because that takes address space too.
        let [one, many, most] = [1, 7000, 30000].map(|pages| module(&workshop, &memory(pages)));
        let instantiate = |module| instantiate(module, &workshop);
        limit_address_space(address_space() + (1 << 30) + (64 << 20));
        // 4 and 2 GiB do not fit; 1 GiB would not leave as much, 512 MiB do.
        let (mut store, instance) = instantiate(&one).unwrap();
        assert_eq!(grow_to_the_end(&mut store, instance), 512 << 4);
        // Its initial size is more than half of what is left.
        let (mut other, instance) = instantiate(&many).unwrap();
        assert_eq!(grow_to_the_end(&mut other, instance), 7000);
        // The initial size does not fit.
        let message = format!("{:?}", instantiate(&most).err().unwrap());
        for part in ["cannot reserve 4.0 GiB, nor 1.8 GiB,", "os error 12"] {
            assert!(message.contains(part), "{message}");
        }
    });
}

#[test]
fn what_a_guard_needs_is_said() {
    in_child("what_a_guard_needs_is_said", || {
        let workshop = workshop(Bounds::Guard);
        let module = module(&workshop, &memory(2));
        limit_address_space(address_space() + (1 << 30));
        let message = format!("{:?}", instantiate(&module, &workshop).err().unwrap());
        for part in [
            "cannot reserve 4.0 GiB of address space",
            "`--bounds check` can do with 128 KiB",
            "os error 12",
        ] {
            assert!(message.contains(part), "{message}");
        }
    });
}

#[test]
fn sizes_that_no_machine_has_are_refused_with_what_they_need() {
    let workshop = workshop(Bounds::Guard);
    let cases = [
        (
            "(memory i64 0x1000000000000)",
            "the store's limit of 17179869184 bytes of a memory is exceeded",
        ),
        (
            "(memory i64 0x1000000000000 0x1000000000000)",
            "the store's limit of 17179869184 bytes of a memory is exceeded",
        ),
        (
            "(memory i64 0x1000000000000) (data (i64.const -2) \"a\")",
            "the store's limit of 17179869184 bytes of a memory is exceeded",
        ),
        (
            "(memory i64 0xffffffffffffffff (pagesize 1)) (data (i64.const -3) \"a\")
             (data (i64.const -16000) \"b\") (data (i64.const 0) \"c\")",
            "the store's limit of 17179869184 bytes of a memory is exceeded",
        ),
        (
            "(memory i64 0xffffffffffff) (data (i64.const 0) \"x\")",
            "the store's limit of 17179869184 bytes of a memory is exceeded",
        ),
        (
            "(table i64 0xffffffffffffffff funcref)",
            "the store's limit of 10000000 elements of a table is exceeded",
        ),
        (
            "(table 0x10000001 funcref)",
            "the store's limit of 10000000 elements of a table is exceeded",
        ),
    ];
    for (items, expected) in cases {
        let module = module(&workshop, &format!("(module {items})"));
        let message = format!("{:?}", instantiate(&module, &workshop).err().unwrap());
        assert!(message.contains(expected), "{items}: {message}");
    }
}

#[test]
fn a_reservation_is_no_larger_than_the_memory_may_get() {
    in_child("a_reservation_is_no_larger_than_the_memory_may_get", || {
        let workshop = workshop(Bounds::Check);
        let reserved = |text: &str, limits: &StoreLimits| {
            let module = module(&workshop, text);
            let mut store = Store::new(workshop.engine(), ());
            store.set_limits(limits.clone());
            let before = address_space();
            module.instantiate(&mut store, &[]).unwrap();
            // The compiler's threads may end meanwhile, and give back their stacks.
            address_space().saturating_sub(before)
        };
        // What the memory's own maximum is, can be had.
        let whole = module(&workshop, &memory(1));
        let (mut store, instance) = instantiate(&whole, &workshop).unwrap();
        assert_eq!(call(&mut store, instance, "grow", &[0xffff]), Ok(Some(1)));
        let mut limits = StoreLimits::new();
        assert!(reserved(&memory(1), &limits) >= 4 << 30);
        let most = 32 << 20;
        assert!(reserved("(module (memory 1 256))", &limits) < most);
        limits.memory_size(16 << 20);
        assert!(reserved(&memory(2), &limits) < most);
    });
}

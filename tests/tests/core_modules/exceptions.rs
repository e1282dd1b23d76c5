//! Exceptions between modules and the host: tags, what leaves a call, what a host throws, and the
//! memory of what references keep.

use cwasm::{
    CoreException, CoreFunc, CoreGlobal, CoreTable, CoreTag, CoreVal, Error, Extern, ExternType,
    FuncType, ModuleInstance, Store, StoreLimits, Trap, TrapCode, ValType,
};
use cwasm_compiler::{OptLevel, Options};
use cwasm_tests::artifact::Workshop;

struct Guest {
    store: Store<()>,
    instance: ModuleInstance,
}

impl Guest {
    fn new(text: &str, imports: impl FnOnce(&mut Store<()>) -> Vec<Extern>) -> Guest {
        Guest::try_new(&Workshop::new(), text, imports).unwrap()
    }

    fn try_new(
        workshop: &Workshop,
        text: &str,
        imports: impl FnOnce(&mut Store<()>) -> Vec<Extern>,
    ) -> cwasm::Result<Guest> {
        let wasm = wat::parse_str(text).unwrap();
        let artifact = workshop.compile(&wasm).unwrap();
        let module = workshop.map_module(&artifact)?;
        let mut store = Store::new(workshop.engine(), ());
        let imports = imports(&mut store);
        let instance = module.instantiate(&mut store, &imports)?;
        Ok(Guest { store, instance })
    }

    fn get(&self, name: &str) -> Extern {
        self.instance.get(&self.store, name).unwrap().unwrap()
    }

    fn tag(&self, name: &str) -> CoreTag {
        match self.get(name) {
            Extern::Tag(tag) => tag,
            other => panic!("{other:?} is no tag"),
        }
    }

    fn func(&self, name: &str) -> CoreFunc {
        match self.get(name) {
            Extern::Func(func) => func,
            other => panic!("{other:?} is no function"),
        }
    }

    fn call(&mut self, name: &str, args: &[CoreVal]) -> cwasm::Result<Vec<CoreVal>> {
        self.func(name).call(&mut self.store, args)
    }

    fn number(&mut self, name: &str, argument: i32) -> i32 {
        let results = self.call(name, &[CoreVal::I32(argument)]).unwrap();
        i32_of(&results[0])
    }
}

fn none(_: &mut Store<()>) -> Vec<Extern> {
    Vec::new()
}

fn i32_of(value: &CoreVal) -> i32 {
    match value {
        CoreVal::I32(value) => *value,
        other => panic!("{other:?} is no i32"),
    }
}

fn exception(error: &Error) -> &CoreException {
    error.downcast_ref::<CoreException>().unwrap()
}

const THROWS: &str = r#"(module
    (tag $e (export "e") (param i32 f64 v128))
    (tag $other (export "other"))
    (func $deep (export "deep") (param i32)
      (if (i32.eqz (local.get 0))
        (then (throw $e (i32.const 7) (f64.const 1.5) (v128.const i32x4 1 2 3 4))))
      (call $deep (i32.sub (local.get 0) (i32.const 1)))))"#;

#[test]
fn what_leaves_a_call_is_a_typed_error() {
    let mut guest = Guest::new(THROWS, none);
    let (tag, other) = (guest.tag("e"), guest.tag("other"));
    assert_ne!(tag, other);
    let ty = FuncType::new([ValType::I32, ValType::F64, ValType::V128], []);
    assert_eq!(tag.ty(&guest.store).unwrap(), ty);
    let error = guest.call("deep", &[CoreVal::I32(2)]).unwrap_err();
    let thrown = exception(&error);
    assert_eq!(thrown.tag(), tag);
    let values = thrown.values();
    assert!(matches!(values[0], CoreVal::I32(7)), "{values:?}");
    assert!(matches!(values[1], CoreVal::F64(bits) if bits == 1.5f64.to_bits()));
    let lanes = 1u128 | 2 << 32 | 3 << 64 | 4 << 96;
    assert!(matches!(values[2], CoreVal::V128(bits) if bits == lanes));
    // It is a trap as well, which says where it was thrown.
    let trap = error.trap().unwrap();
    assert_eq!(trap.code(), TrapCode::UncaughtException);
    assert_eq!(trap.frames().len(), 3);
    assert_eq!(trap.tag().unwrap().name.as_deref(), Some("e"));
    let text = error.to_string();
    let first = "wasm trap: uncaught exception: tag 0 of core instance 0 (`e`)\n";
    assert!(text.starts_with(first), "{text}");
    // The store can go on.
    assert!(guest.call("deep", &[CoreVal::I32(0)]).is_err());
}

#[test]
fn a_trap_says_who_has_thrown_first() {
    let text = r#"(module
        (tag $e)
        (func $throws (throw $e))
        (func (export "cleans-up")
          (block $h (result exnref)
            (try_table (catch_all_ref $h) (call $throws))
            (return))
          throw_ref))"#;
    let mut guest = Guest::new(text, none);
    let error = guest.call("cleans-up", &[]).unwrap_err();
    let trap = error.trap().unwrap();
    let thrown_by = trap.tag().unwrap().thrown_by().unwrap();
    assert_eq!((thrown_by.func_index, trap.frames()[0].func_index), (0, 1));
    let text = trap.to_string();
    assert!(
        text.contains("\n  thrown by ") && text.ends_with("- throws"),
        "{text}"
    );
}

#[test]
fn modules_export_and_import_tags() {
    let workshop = Workshop::new();
    let wasm = wat::parse_str(THROWS).unwrap();
    let module = workshop.map_module(&workshop.compile(&wasm).unwrap());
    let module = module.unwrap();
    let exports = module.exports().unwrap();
    let tags: Vec<_> = exports
        .iter()
        .filter(|(_, ty)| matches!(ty, ExternType::Tag(_)))
        .map(|(name, ty)| format!("{name}: {ty}"))
        .collect();
    assert_eq!(
        tags,
        [
            "e: tag of func (i32, f64, v128) -> ()",
            "other: tag of func () -> ()"
        ]
    );
    let importer = r#"(module (import "m" "t" (tag (param i32))))"#;
    let import = |tag: fn(&mut Store<()>) -> Extern| {
        Guest::try_new(&Workshop::new(), importer, |store| vec![tag(store)])
    };
    assert!(import(|store| Extern::Tag(CoreTag::new(store, [ValType::I32]))).is_ok());
    let wrong = |error: Option<Error>, expected: &str| {
        let text = format!("{:#}", error.unwrap());
        assert!(text.contains(expected), "{text}");
    };
    let other_type = import(|store| Extern::Tag(CoreTag::new(store, [ValType::I64])));
    wrong(other_type.err(), "tag of func (i64) -> ()");
    let no_tag = import(|store| {
        let value = CoreVal::I32(1);
        Extern::Global(CoreGlobal::new(store, ValType::I32, false, value).unwrap())
    });
    wrong(no_tag.err(), "global i32");
}

/// A host function that throws an exception of its first import, if its argument is not zero.
fn thrower(store: &mut Store<()>, tag: CoreTag) -> Extern {
    let thrown = CoreException::new(&*store, tag, [CoreVal::I32(40)]).unwrap();
    let ty = FuncType::new([ValType::I32], []);
    Extern::Func(CoreFunc::new(store, ty, move |args| {
        match args[0] {
            CoreVal::I32(0) => Ok(Vec::new()),
            CoreVal::I32(1) => Err(thrown.clone().into()),
            // Not an exception: nothing catches it.
            _ => Err(Error::msg("no exception")),
        }
    }))
}

#[test]
fn a_host_function_throws() {
    let text = r#"(module
        (import "host" "tag" (tag $e (param i32)))
        (import "host" "throw" (func $throw (param i32)))
        (tag $own (param i32))
        (func (export "caught") (param i32) (result i32)
          (block $h (result i32)
            (try_table (catch $own $h) (catch $e $h) (call $throw (local.get 0)))
            (i32.const -1)))
        (func (export "all") (param i32) (result i32)
          (block $h
            (try_table (catch_all $h) (call $throw (local.get 0)))
            (return (i32.const 1)))
          (i32.const 2))
        (func (export "again") (param i32)
          (block $h (result exnref)
            (try_table (catch_all_ref $h) (call $throw (local.get 0)))
            (return))
          throw_ref)
        (func (export "missed") (param i32)
          (block $h (result i32)
            (try_table (catch $own $h) (call $throw (local.get 0)))
            (return))
          drop))"#;
    let mut tag = None;
    let mut guest = Guest::new(text, |store| {
        let made = CoreTag::new(&mut *store, [ValType::I32]);
        tag = Some(made);
        vec![Extern::Tag(made), thrower(store, made)]
    });
    assert_eq!(guest.number("caught", 0), -1);
    assert_eq!(guest.number("caught", 1), 40);
    assert_eq!(guest.number("all", 0), 1);
    assert_eq!(guest.number("all", 1), 2);
    for name in ["again", "missed"] {
        let error = guest.call(name, &[CoreVal::I32(1)]).unwrap_err();
        assert_eq!(exception(&error).tag(), tag.unwrap());
        assert_eq!(i32_of(&exception(&error).values()[0]), 40);
        // Nobody but the host has thrown it.
        assert!(error.trap().unwrap().tag().is_none());
    }
    for name in ["all", "caught", "again"] {
        let error = guest.call(name, &[CoreVal::I32(2)]).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::HostError);
        assert!(format!("{error:#}").contains("no exception"), "{error:?}");
        assert!(!error.is::<CoreException>());
    }
    // What a host function has not thrown does not come later.
    assert_eq!(guest.number("caught", 0), -1);
}

#[test]
fn an_exception_passes_through_a_host_function() {
    let inner = r#"(module
        (tag $e (export "e") (param i32))
        (func (export "throw") (param i32) (throw $e (local.get 0))))"#;
    let mut guest = Guest::new(inner, none);
    let (tag, throw) = (guest.tag("e"), guest.func("throw"));
    // The same store has no place for a call inside of a host function of core modules, so that
    // the error is kept and returned.
    let error = throw
        .call(&mut guest.store, &[CoreVal::I32(3)])
        .unwrap_err();
    let kept = std::sync::Mutex::new(Some(error));
    let ty = FuncType::new([], []);
    let host = CoreFunc::new(&mut guest.store, ty, move |_| {
        Err(kept.lock().unwrap().take().unwrap())
    });
    let outer = r#"(module
        (import "" "e" (tag $e (param i32)))
        (import "" "host" (func $host))
        (func (export "run") (result i32)
          (block $h (result i32)
            (try_table (catch $e $h) (call $host))
            (i32.const -1))))"#;
    let workshop = Workshop::new().configured(&cwasm::Config::default());
    drop(workshop);
    let engine = guest.store.engine().clone();
    let wasm = wat::parse_str(outer).unwrap();
    let artifact = cwasm_compiler::compile(&wasm, &Options::default()).unwrap();
    let module = module_of(&engine, &artifact.bytes);
    let imports = [Extern::Tag(tag), Extern::Func(host)];
    let instance = module.instantiate(&mut guest.store, &imports).unwrap();
    let Some(Extern::Func(run)) = instance.get(&guest.store, "run").unwrap() else {
        panic!("the module exports `run`")
    };
    let results = run.call(&mut guest.store, &[]).unwrap();
    assert_eq!(i32_of(&results[0]), 3);
}

#[allow(
    unsafe_code,
    reason = "an artifact that the compiler made a moment ago is mapped"
)]
fn module_of(engine: &cwasm::Engine, artifact: &[u8]) -> cwasm::Module {
    // SAFETY: as the compiler wrote it.
    unsafe { cwasm::Module::from_bytes(engine, artifact) }.unwrap()
}

#[test]
fn a_start_function_throws() {
    let text = r#"(module
        (tag $e (export "e") (param i64))
        (func $start (throw $e (i64.const 5)))
        (start $start))"#;
    let error = Guest::try_new(&Workshop::new(), text, none).err().unwrap();
    let values = exception(&error).values();
    assert!(matches!(values, [CoreVal::I64(5)]), "{values:?}");
}

#[test]
fn instances_of_one_module_have_tags_of_their_own() {
    let text = r#"(module
        (import "" "f" (func $f))
        (tag $e (export "e"))
        (func (export "throw") (throw $e))
        (func (export "catch") (result i32)
          (block $h
            (try_table (catch $e $h) (call $f))
            (return (i32.const 0)))
          (i32.const 1)))"#;
    let workshop = Workshop::new();
    let wasm = wat::parse_str(text).unwrap();
    let module = workshop
        .map_module(&workshop.compile(&wasm).unwrap())
        .unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let nothing = CoreFunc::new(&mut store, FuncType::new([], []), |_| Ok(Vec::new()));
    let first = module
        .instantiate(&mut store, &[nothing.into_extern()])
        .unwrap();
    let Some(throw) = first.get(&store, "throw").unwrap() else {
        panic!("it exports `throw`")
    };
    let second = module.instantiate(&mut store, &[throw]).unwrap();
    let tag = |instance: ModuleInstance, store: &Store<()>| match instance.get(store, "e") {
        Ok(Some(Extern::Tag(tag))) => tag,
        other => panic!("{other:?}"),
    };
    assert_ne!(tag(first, &store), tag(second, &store));
    let Some(Extern::Func(catch)) = second.get(&store, "catch").unwrap() else {
        panic!("it exports `catch`")
    };
    let error = catch.call(&mut store, &[]).unwrap_err();
    assert_eq!(exception(&error).tag(), tag(first, &store));
}

trait IntoExtern {
    fn into_extern(self) -> Extern;
}

impl IntoExtern for CoreFunc {
    fn into_extern(self) -> Extern {
        Extern::Func(self)
    }
}

#[test]
fn exceptions_of_other_stores_are_refused() {
    let engine = cwasm::Engine::default();
    let (mut a, mut b) = (Store::new(&engine, ()), Store::new(&engine, ()));
    let tag = CoreTag::new(&mut a, [ValType::I32]);
    assert!(tag.ty(&a).is_ok() && tag.ty(&b).is_err());
    assert!(CoreException::new(&b, tag, [CoreVal::I32(1)]).is_err());
    let other = CoreTag::new(&mut b, [ValType::I32]);
    assert_ne!(tag, other);
    let wrong_count = CoreException::new(&a, tag, []).unwrap_err();
    assert!(
        wrong_count.to_string().contains("expected 1 values"),
        "{wrong_count}"
    );
    let wrong_type = CoreException::new(&a, tag, [CoreVal::I64(1)]).unwrap_err();
    assert!(
        wrong_type
            .to_string()
            .contains("expected a value of type i32"),
        "{wrong_type}"
    );
}

const REFERENCES: &str = r#"(module
    (tag $e (param i32))
    (tag $nested (param exnref i32))
    (global $g (export "g") (mut exnref) (ref.null exn))
    (table $t (export "t") 4 100 exnref)
    (table $grows 0 exnref)
    (func $throw (param i32) (throw $e (local.get 0)))
    (func $caught (export "caught") (param i32) (result exnref)
      (block $h (result exnref)
        (try_table (catch_all_ref $h) (call $throw (local.get 0)))
        unreachable))
    (func (export "again") (param exnref) (result i32)
      (block $h (result i32)
        (try_table (catch $e $h) (throw_ref (local.get 0)))
        unreachable))
    ;; Catches so many, and then throws again what is in a local, the global, the tables, and
    ;; in another exception.
    (func (export "churn") (param $n i32) (result i32)
      (local $mine exnref) (local $outer exnref) (local $i i32) (local $sum i32)
      (local.set $mine (call $caught (i32.const 1)))
      (global.set $g (call $caught (i32.const 10)))
      (table.set $t (i32.const 3) (call $caught (i32.const 100)))
      (drop (table.grow $grows (call $caught (i32.const 1000)) (i32.const 50)))
      (block $h (result exnref)
        (try_table (catch_all_ref $h)
          (throw $nested (call $caught (i32.const 10000)) (i32.const 5)))
        unreachable)
      (local.set $outer)
      (loop $l
        (drop (call $caught (local.get $i)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
      (i32.add (call $thrown (local.get $mine)) (call $thrown (global.get $g)))
      (i32.add (call $thrown (table.get $t (i32.const 3))))
      (i32.add (call $thrown (table.get $grows (i32.const 49))))
      (block $h2 (result exnref i32)
        (try_table (catch $nested $h2) (throw_ref (local.get $outer)))
        unreachable)
      (local.set $i)
      (call $thrown)
      (i32.add)
      (i32.add (local.get $i)))
    (func $thrown (param exnref) (result i32)
      (block $h (result i32)
        (try_table (catch $e $h) (throw_ref (local.get 0)))
        unreachable))
    ;; In each of so many frames.
    (func $frames (export "frames") (param $n i32) (result i32)
      (local $x exnref)
      (if (i32.eqz (local.get $n))
        (then
          (local.set $n (i32.const 20000))
          (loop $l
            (drop (call $caught (i32.const -1)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
          (return (i32.const 0))))
      (local.set $x (call $caught (local.get $n)))
      (call $frames (i32.sub (local.get $n) (i32.const 1)))
      (i32.add (call $thrown (local.get $x))))
    (table $keeps 0 exnref)
    (func (export "keep") (param $n i32) (result i32)
      (local $i i32)
      (loop $l
        (drop (table.grow $keeps (call $caught (local.get $i)) (i32.const 1)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
      (call $thrown (table.get $keeps (i32.sub (local.get $n) (i32.const 1))))))"#;

#[test]
fn only_what_is_referred_to_is_kept() {
    for opt in [OptLevel::None, OptLevel::Speed] {
        let workshop = Workshop::with_options(Options {
            opt,
            ..Options::default()
        });
        let mut guest = Guest::try_new(&workshop, REFERENCES, none).unwrap();
        // Far more than the limit has room for.
        let mut limits = StoreLimits::new();
        limits.exception_size(1 << 20);
        guest.store.set_limits(limits);
        assert_eq!(guest.number("churn", 300_000), 11_116);
        assert_eq!(guest.number("churn", 300_000), 11_116);
        assert_eq!(guest.number("frames", 100), 5_050);
    }
}

#[test]
fn a_million_exceptions_are_too_many() {
    let mut guest = Guest::new(REFERENCES, none);
    assert_eq!(guest.number("keep", 1000), 999);
    let error = guest.call("keep", &[CoreVal::I32(1_000_000)]).unwrap_err();
    assert_eq!(
        error.trap().map(Trap::code),
        Some(TrapCode::TooManyExceptions)
    );
    // With a limit that has room for them, all are there.
    let mut guest = Guest::new(REFERENCES, none);
    let mut limits = StoreLimits::new();
    limits.exception_size(120 << 20);
    guest.store.set_limits(limits);
    assert_eq!(guest.number("keep", 1_000_000), 999_999);
}

#[test]
fn the_host_has_references_too() {
    let mut guest = Guest::new(REFERENCES, none);
    let caught = guest.call("caught", &[CoreVal::I32(5)]).unwrap()[0];
    let CoreVal::ExnRef(Some(held)) = caught else {
        panic!("{caught:?} is no reference")
    };
    assert_eq!(guest.number("churn", 100_000), 11_116);
    assert_eq!(i32_of(&guest.call("again", &[caught]).unwrap()[0]), 5);
    let thrown = held.exception(&guest.store).unwrap();
    assert_eq!(i32_of(&thrown.values()[0]), 5);
    // Through a global and a table of the module, and those of the host.
    let (Extern::Global(global), Extern::Table(table)) = (guest.get("g"), guest.get("t")) else {
        panic!("the module exports a global and a table")
    };
    global.set(&mut guest.store, caught).unwrap();
    table.set_element(&mut guest.store, 0, caught).unwrap();
    for found in [
        global.get(&guest.store).unwrap(),
        table.element(&guest.store, 0).unwrap().unwrap(),
    ] {
        assert!(matches!(found, CoreVal::ExnRef(Some(found)) if found == held));
    }
    let own = CoreTable::new(&mut guest.store, ValType::EXNREF, 2, None).unwrap();
    own.set_element(&mut guest.store, 1, caught).unwrap();
    assert!(matches!(
        own.element(&guest.store, 0).unwrap(),
        Some(CoreVal::ExnRef(None))
    ));
    // A null reference is one of both types.
    let trap = guest.call("again", &[CoreVal::ExnRef(None)]).unwrap_err();
    assert_eq!(trap.trap().unwrap().code(), TrapCode::NullReference);
    let other = Guest::new(REFERENCES, none);
    assert!(held.exception(&other.store).is_err());
    let mut other = other;
    assert!(other.call("again", &[caught]).is_err());
}

#[test]
fn a_table_of_the_host_keeps_exceptions() {
    let text = r#"(module
        (import "" "t" (table $t 1 exnref))
        (import "" "g" (global $g (mut exnref)))
        (tag $e (param i32))
        (func $caught (param i32) (result exnref)
          (block $h (result exnref)
            (try_table (catch_all_ref $h) (throw $e (local.get 0)))
            unreachable))
        (func $thrown (param exnref) (result i32)
          (block $h (result i32)
            (try_table (catch $e $h) (throw_ref (local.get 0)))
            unreachable))
        (func (export "run") (param $n i32) (result i32)
          (table.set $t (i32.const 0) (call $caught (i32.const 3)))
          (global.set $g (call $caught (i32.const 4)))
          (loop $l
            (drop (call $caught (i32.const -1)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
          (i32.add (call $thrown (table.get $t (i32.const 0))) (call $thrown (global.get $g)))))"#;
    let mut guest = Guest::new(text, |store| {
        let table = CoreTable::new(&mut *store, ValType::EXNREF, 1, None).unwrap();
        let null = CoreVal::ExnRef(None);
        let global = CoreGlobal::new(store, ValType::EXNREF, true, null).unwrap();
        vec![Extern::Table(table), Extern::Global(global)]
    });
    assert_eq!(guest.number("run", 200_000), 7);
}

#[test]
fn code_that_throws_for_ever_is_stopped() {
    let text = r#"(module
        (tag $e (param i32))
        (func $throw (param i32) (throw $e (local.get 0)))
        (func (export "loop") (param i32)
          (loop $l
            (block $h (result i32)
              (try_table (catch $e $h) (call $throw (local.get 0)))
              unreachable)
            (br_if $l)))
        ;; A handler in each frame goes on in another one: no loop, and no end in this life.
        (func $both (export "both") (param $n i32)
          (if (i32.eqz (local.get $n)) (then (throw $e (i32.const 0))))
          (block $h (result i32)
            (try_table (catch $e $h) (call $both (i32.sub (local.get $n) (i32.const 1))))
            (return))
          drop
          (call $both (i32.sub (local.get $n) (i32.const 1))))
        ;; Nothing but handlers that throw again.
        (func (export "again") (param i32) (local $x exnref)
          (block $first (result exnref)
            (try_table (catch_all_ref $first) (call $throw (local.get 0)))
            unreachable)
          (loop $l (param exnref)
            (local.set $x)
            (try_table (catch_all_ref $l) (throw_ref (local.get $x))))))"#;
    for (name, argument) in [("loop", 1), ("both", 60), ("again", 1)] {
        let workshop = Workshop::with_options(Options {
            interruptible: true,
            ..Options::default()
        });
        let mut guest = Guest::try_new(&workshop, text, none).unwrap();
        let handle = guest.store.interrupt_handle();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            handle.interrupt().unwrap();
        });
        let error = guest.call(name, &[CoreVal::I32(argument)]).unwrap_err();
        assert_eq!(
            error.trap().map(Trap::code),
            Some(TrapCode::Interrupt),
            "{name}"
        );
        thread.join().unwrap();
    }
}

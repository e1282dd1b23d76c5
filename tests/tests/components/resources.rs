//! Handles that guests give away or lend: every way in which one can be bad, wherever a handle can
//! be in a type, to another guest and to the host, as a parameter and as a result.

use cwasm::{
    Error, Func, Instance, Linker, Resource, ResourceAny, ResourceType, Store, StoreContextMut,
    TrapCode, Val,
};
use cwasm_tests::artifact::Workshop;

/// The resources of the host.
struct A;
struct B;

/// A place of a handle in a type.
struct Position {
    name: &'static str,
    /// The type; `H` is the handle.
    ty: &'static str,
    /// Writes the value of `$h` to address 64.
    store: &'static str,
    /// The flat value, once it is written.
    args: &'static str,
    /// The handle in the flat value that a function got.
    found: &'static str,
}

const POSITIONS: &[Position] = &[
    Position {
        name: "flat",
        ty: "H",
        store: "(i32.store (i32.const 64) (local.get $h))",
        args: "(local.get $h)",
        found: "(local.get 0)",
    },
    Position {
        name: "tuple",
        ty: "(tuple H u32)",
        store: "(i32.store (i32.const 64) (local.get $h))",
        args: "(local.get $h) (i32.const 7)",
        found: "(local.get 0)",
    },
    Position {
        name: "option",
        ty: "(option H)",
        store: "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (local.get $h))",
        args: "(i32.const 1) (local.get $h)",
        found: "(local.get 1)",
    },
    Position {
        name: "ok",
        ty: "(result H)",
        store: "(i32.store8 (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (local.get $h))",
        args: "(i32.const 0) (local.get $h)",
        found: "(local.get 1)",
    },
    Position {
        name: "err",
        ty: "(result H (error H))",
        store: "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (local.get $h))",
        args: "(i32.const 1) (local.get $h)",
        found: "(local.get 1)",
    },
    Position {
        name: "list",
        ty: "(list H)",
        store: "(i32.store (i32.const 64) (i32.const 128)) (i32.store (i32.const 68) (i32.const 1))
          (i32.store (i32.const 128) (local.get $h))",
        args: "(i32.const 128) (i32.const 1)",
        found: "(i32.load (local.get 0))",
    },
    Position {
        name: "spilled",
        ty: "(tuple H (tuple u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64))",
        store: "(i32.store (i32.const 64) (local.get $h))",
        args: "(i32.const 64)",
        found: "(i32.load (local.get 0))",
    },
    Position {
        name: "options",
        ty: "(list (option H))",
        store: "(i32.store (i32.const 64) (i32.const 128)) (i32.store (i32.const 68) (i32.const 1))
          (i32.store8 (i32.const 128) (i32.const 1)) (i32.store (i32.const 132) (local.get $h))",
        args: "(i32.const 128) (i32.const 1)",
        found: "(i32.load offset=4 (local.get 0))",
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ownership {
    Own,
    Borrow,
}

/// The use of a handle that a guest gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callee {
    Drops,
    Keeps,
}

/// Which handle the guest gives: the cases of `$pick` below.
const CASES: [&str; 8] = [
    "its own",
    "0",
    "5",
    "2^32-1",
    "a dropped one",
    "another type's",
    "a borrow",
    "a free one",
];

/// The trap of a case; `None` if it is fine.
fn expected(case: usize, ownership: Ownership) -> Option<TrapCode> {
    match (case, ownership) {
        (0, _) | (6, Ownership::Borrow) => None,
        (5, _) => Some(TrapCode::WrongResourceType),
        (6, Ownership::Own) => Some(TrapCode::NotOwned),
        _ => Some(TrapCode::UnknownHandle),
    }
}

impl Position {
    fn is_flat(&self) -> bool {
        self.ty == "H"
    }

    fn params(&self) -> String {
        match self.args.matches('(').count() {
            1 => "i32".to_owned(),
            _ => "i32 i32".to_owned(),
        }
    }

    fn ty(&self, ownership: Ownership) -> String {
        let handle = match ownership {
            Ownership::Own => "(own $R)",
            Ownership::Borrow => "(borrow $R)",
        };
        self.ty.replace('H', handle)
    }
}

/// The component whose core functions give handles away: it imports resources `r` and `r2`, `make`
/// and `make2`, which make them, and `f`, to which `run` gives one; `give` returns one.
fn caller(position: &Position, ownership: Ownership) -> String {
    let (ty, own) = (position.ty(ownership), position.ty(Ownership::Own));
    let (params, store, args) = (position.params(), position.store, position.args);
    let result = match position.is_flat() {
        true => "(local.get $h)",
        false => "(i32.const 64)",
    };
    format!(
        r#"(import "r" (type $R (sub resource)))
        (import "r2" (type $R2 (sub resource)))
        (import "make" (func $make (result (own $R))))
        (import "make2" (func $make2 (result (own $R2))))
        (import "f" (func $f (param "v" {ty})))
        (core module $libc (memory (export "memory") 1)
          (global $next (mut i32) (i32.const 1024))
          (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $next)
            (global.set $next (i32.add (global.get $next) (i32.const 1024)))))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))
        (core func $make (canon lower (func $make)))
        (core func $make2 (canon lower (func $make2)))
        (core func $f (canon lower (func $f) (memory $memory) (realloc $realloc)))
        (core func $drop (canon resource.drop $R))
        (core module $m
          (import "" "memory" (memory 1))
          (import "" "make" (func $make (result i32)))
          (import "" "make2" (func $make2 (result i32)))
          (import "" "f" (func $f (param {params})))
          (import "" "drop" (func $drop (param i32)))
          (func $pick (param $case i32) (param $borrow i32) (result i32) (local $h i32)
            (block $free (block $borrowed (block $other (block $dropped (block $max (block $five
            (block $zero (block $good
              (br_table $good $zero $five $max $dropped $other $borrowed $free (local.get $case)))
              (return (call $make)))
              (return (i32.const 0)))
              (return (i32.const 5)))
              (return (i32.const -1)))
              (local.set $h (call $make)) (call $drop (local.get $h)) (return (local.get $h)))
              (return (call $make2)))
              (return (local.get $borrow)))
              (return (i32.const 15)))
          (func (export "run") (param $case i32) (param $borrow i32) (local $h i32)
            (local.set $h (call $pick (local.get $case) (local.get $borrow)))
            {store}
            (call $f {args})
            (call $drop (local.get $borrow)))
          (func (export "give") (param $case i32) (param $borrow i32) (result i32) (local $h i32)
            (local.set $h (call $pick (local.get $case) (local.get $borrow)))
            {store}
            (if (i32.eqz (local.get $case)) (then (call $drop (local.get $borrow))))
            {result}))
        (core instance $i (instantiate $m (with "" (instance
          (export "memory" (memory $memory)) (export "make" (func $make))
          (export "make2" (func $make2)) (export "f" (func $f)) (export "drop" (func $drop))))))
        (func (export "run") (param "case" u32) (param "b" (borrow $R))
          (canon lift (core func $i "run")))
        (func (export "give") (param "case" u32) (param "b" (borrow $R)) (result {own})
          (canon lift (core func $i "give") (memory $memory)))"#
    )
}

/// [`caller`] with two other guests: one defines the resources, one is the callee; `use-give` calls
/// `give` from a fourth.
fn guests(position: &Position, ownership: Ownership, callee: Callee) -> String {
    let caller = caller(position, ownership);
    let (ty, own) = (position.ty(ownership), position.ty(Ownership::Own));
    let (params, found) = (position.params(), position.found);
    let (drop, give, call) = (
        match callee {
            Callee::Drops => format!("(call $drop {found})"),
            _ => String::new(),
        },
        match position.is_flat() {
            true => "(param i32 i32) (result i32)",
            false => "(param i32 i32 i32)",
        },
        match position.is_flat() {
            true => "(drop (call $give (local.get 0) (local.get 1)))",
            false => "(call $give (local.get 0) (local.get 1) (i32.const 64))",
        },
    );
    let libc = r#"(core module $libc (memory (export "memory") 1)
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))"#;
    format!(
        r#"(component
      (component $Def
        (core module $m
          (import "" "new" (func $new (param i32) (result i32)))
          (import "" "new2" (func $new2 (param i32) (result i32)))
          (func (export "make") (result i32) (call $new (i32.const 1)))
          (func (export "make2") (result i32) (call $new2 (i32.const 2))))
        (type $R' (resource (rep i32)))
        (type $R2' (resource (rep i32)))
        (core func $new (canon resource.new $R'))
        (core func $new2 (canon resource.new $R2'))
        (core instance $i (instantiate $m (with "" (instance
          (export "new" (func $new)) (export "new2" (func $new2))))))
        (export $R "r" (type $R'))
        (export $R2 "r2" (type $R2'))
        (func (export "make") (result (own $R)) (canon lift (core func $i "make")))
        (func (export "make2") (result (own $R2)) (canon lift (core func $i "make2"))))
      (component $Callee
        (import "r" (type $R (sub resource)))
        {libc}
        (core func $drop (canon resource.drop $R))
        (core module $m
          (import "" "memory" (memory 1))
          (import "" "drop" (func $drop (param i32)))
          (func (export "f") (param {params}) {drop}))
        (core instance $i (instantiate $m (with "" (instance
          (export "memory" (memory $memory)) (export "drop" (func $drop))))))
        (func (export "f") (param "v" {ty})
          (canon lift (core func $i "f") (memory $memory) (realloc $realloc))))
      (component $Caller {caller})
      (component $User
        (import "r" (type $R (sub resource)))
        (import "give" (func $give (param "case" u32) (param "b" (borrow $R)) (result {own})))
        {libc}
        (core func $give (canon lower (func $give) (memory $memory) (realloc $realloc)))
        (core func $drop (canon resource.drop $R))
        (core module $m
          (import "" "give" (func $give {give}))
          (import "" "drop" (func $drop (param i32)))
          (func (export "use-give") (param i32 i32) {call} (call $drop (local.get 1))))
        (core instance $i (instantiate $m (with "" (instance
          (export "give" (func $give)) (export "drop" (func $drop))))))
        (func (export "use-give") (param "case" u32) (param "b" (borrow $R))
          (canon lift (core func $i "use-give"))))
      (instance $def (instantiate $Def))
      (alias export $def "r" (type $R'))
      (instance $callee (instantiate $Callee (with "r" (type $R'))))
      (instance $caller (instantiate $Caller
        (with "r" (type $R')) (with "r2" (type $def "r2"))
        (with "make" (func $def "make")) (with "make2" (func $def "make2"))
        (with "f" (func $callee "f"))))
      (instance $user (instantiate $User
        (with "r" (type $R')) (with "give" (func $caller "give"))))
      (export $R "r" (type $R'))
      (export "make" (func $def "make") (func (result (own $R))))
      (export "run" (func $caller "run") (func (param "case" u32) (param "b" (borrow $R))))
      (export "give" (func $caller "give")
        (func (param "case" u32) (param "b" (borrow $R)) (result {own})))
      (export "use-give" (func $user "use-give") (func (param "case" u32) (param "b" (borrow $R)))))"#
    )
}

/// A store with an instance, and something to borrow.
struct Bench {
    store: Store<()>,
    instance: Instance,
    borrowed: ResourceAny,
}

fn guest_bench(workshop: &Workshop, component: &cwasm::Component) -> Bench {
    let mut store = Store::new(workshop.engine(), ());
    let linker = Linker::new(workshop.engine());
    let instance = linker.instantiate(&mut store, component).unwrap();
    let make = instance.get_typed_func::<(), (ResourceAny,)>(&mut store, "make");
    let (borrowed,) = make.unwrap().call(&mut store, ()).unwrap();
    Bench {
        store,
        instance,
        borrowed,
    }
}

fn host_bench(workshop: &Workshop, component: &cwasm::Component, typed: Option<&str>) -> Bench {
    let mut store = Store::new(workshop.engine(), ());
    let mut linker = Linker::new(workshop.engine());
    let mut root = linker.root();
    root.resource("r", ResourceType::host::<A>(), |_, _| Ok(()))
        .unwrap();
    root.resource("r2", ResourceType::host::<B>(), |_, _| Ok(()))
        .unwrap();
    root.func_wrap("make", |_, (): ()| Ok((Resource::<A>::new_own(1),)))
        .unwrap();
    root.func_wrap("make2", |_, (): ()| Ok((Resource::<B>::new_own(2),)))
        .unwrap();
    match typed {
        None => root.func_new("f", |_, _, _, _| Ok(())).unwrap(),
        Some(position) => wrap(&mut root, position),
    }
    let instance = linker.instantiate(&mut store, component).unwrap();
    let borrowed = Resource::<A>::new_own(3)
        .try_into_resource_any(&mut store)
        .unwrap();
    Bench {
        store,
        instance,
        borrowed,
    }
}

type Many = (
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
);
type Store_<'a> = StoreContextMut<'a, ()>;

/// Defines `f` with the Rust type of a position.
fn wrap(root: &mut cwasm::LinkerInstance<'_, ()>, position: &str) {
    type R = Resource<A>;
    let defined = match position {
        "flat" => root.func_wrap("f", |_: Store_<'_>, (_,): (R,)| Ok(())),
        "tuple" => root.func_wrap("f", |_: Store_<'_>, ((_, n),): ((R, u32),)| {
            assert_eq!(n, 7);
            Ok(())
        }),
        "option" => root.func_wrap("f", |_: Store_<'_>, (r,): (Option<R>,)| {
            assert!(r.is_some());
            Ok(())
        }),
        "ok" => root.func_wrap("f", |_: Store_<'_>, (r,): (Result<R, ()>,)| {
            assert!(r.is_ok());
            Ok(())
        }),
        "err" => root.func_wrap("f", |_: Store_<'_>, (r,): (Result<R, R>,)| {
            assert!(r.is_err());
            Ok(())
        }),
        "list" => root.func_wrap("f", |_: Store_<'_>, (r,): (Vec<R>,)| {
            assert_eq!(r.len(), 1);
            Ok(())
        }),
        "spilled" => root.func_wrap("f", |_: Store_<'_>, (_,): ((R, Many),)| Ok(())),
        _ => root.func_wrap("f", |_: Store_<'_>, (r,): (Vec<Option<R>>,)| {
            assert!(r.len() == 1 && r[0].is_some());
            Ok(())
        }),
    };
    defined.unwrap();
}

/// Calls `give` with the Rust type of a position.
fn typed_give(bench: &mut Bench, position: &str, case: u32) -> cwasm::Result<()> {
    type R = ResourceAny;
    macro_rules! give {
        ($ty:ty) => {{
            let give = bench
                .instance
                .get_typed_func::<(u32, R), ($ty,)>(&mut bench.store, "give")
                .unwrap();
            give.call(&mut bench.store, (case, bench.borrowed))
                .map(drop)
        }};
    }
    match position {
        "flat" => give!(R),
        "tuple" => give!((R, u32)),
        "option" => give!(Option<R>),
        "ok" => give!(Result<R, ()>),
        "err" => give!(Result<R, R>),
        "list" => give!(Vec<R>),
        "spilled" => give!((R, Many)),
        _ => give!(Vec<Option<R>>),
    }
}

fn code(result: &cwasm::Result<()>) -> Option<TrapCode> {
    let error = result.as_ref().err()?;
    Some(error.trap().unwrap_or_else(|| panic!("{error:?}")).code())
}

impl Bench {
    fn func(&mut self, name: &str) -> Func {
        self.instance.get_func(&mut self.store, name).unwrap()
    }

    /// Calls a function with a case and something to borrow.
    fn call(&mut self, name: &str, case: usize) -> cwasm::Result<()> {
        let args = [Val::U32(case as u32), Val::Resource(self.borrowed)];
        let mut results = vec![Val::Bool(false); usize::from(name == "give")];
        let func = self.func(name);
        func.call(&mut self.store, &args, &mut results)
    }

    /// Checks what a call ended with, and that after a trap nothing more can be called.
    fn check(&mut self, result: cwasm::Result<()>, expected: Option<TrapCode>, what: &str) {
        assert_eq!(code(&result), expected, "{what}");
        let again = self.call("run", 0);
        let after = expected.map(|_| TrapCode::CannotEnter);
        assert_eq!(code(&again), after, "{what}, again");
        // Whatever happened, what was lent is the host's again.
        self.borrowed.ty(&self.store).unwrap();
        let (is_hosts, owned) = self.store_takes_it_back();
        // A guest's destructor is a part of the component that has trapped.
        let closed = expected.filter(|_| !is_hosts);
        let closed = closed.map(|_| TrapCode::CannotEnter);
        assert_eq!(code(&owned), closed, "{what}, taken back");
    }

    /// Takes what was lent out of the store, which fails while it is lent: whether it is the
    /// host's.
    fn store_takes_it_back(&mut self) -> (bool, Result<(), Error>) {
        match Resource::<A>::try_from_resource_any(self.borrowed, &mut self.store) {
            Ok(_) => (true, Ok(())),
            Err(_) => (false, self.borrowed.resource_drop(&mut self.store)),
        }
    }
}

#[test]
fn handles_between_guests_are_checked() {
    let workshop = Workshop::new();
    for position in POSITIONS {
        for ownership in [Ownership::Own, Ownership::Borrow] {
            let text = guests(position, ownership, Callee::Drops);
            let artifact = workshop.compile(text.as_bytes()).unwrap();
            let component = workshop.map_component(&artifact).unwrap();
            for (case, name) in CASES.into_iter().enumerate() {
                let what = format!("{}, {ownership:?}, {name}", position.name);
                let mut bench = guest_bench(&workshop, &component);
                let result = bench.call("run", case);
                bench.check(result, expected(case, ownership), &what);
                if ownership == Ownership::Borrow {
                    continue;
                }
                // As results: to another guest, and to the host.
                let mut bench = guest_bench(&workshop, &component);
                let result = bench.call("use-give", case);
                // The borrow is still there when the callee returns; that comes first.
                let kept = (case != 0).then_some(TrapCode::BorrowsRemain);
                bench.check(result, kept, &what);
            }
        }
    }
}

#[test]
fn handles_in_results_are_checked() {
    let workshop = Workshop::new();
    for position in POSITIONS {
        // Without the check of borrows, which would come first: the borrow is dropped in all cases.
        let text = guests(position, Ownership::Own, Callee::Drops).replace(
            "(if (i32.eqz (local.get $case)) (then (call $drop (local.get $borrow))))",
            "(call $drop (local.get $borrow))",
        );
        let artifact = workshop.compile(text.as_bytes()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        for (case, name) in CASES.into_iter().enumerate() {
            let what = format!("{}, {name}", position.name);
            let expected = match case {
                // The borrow was dropped.
                6 => Some(TrapCode::UnknownHandle),
                _ => expected(case, Ownership::Own),
            };
            let mut bench = guest_bench(&workshop, &component);
            let result = bench.call("use-give", case);
            bench.check(result, expected, &format!("{what}, to a guest"));
            let mut bench = guest_bench(&workshop, &component);
            let result = bench.call("give", case);
            bench.check(result, expected, &format!("{what}, to the host"));
            let mut bench = guest_bench(&workshop, &component);
            let result = typed_give(&mut bench, position.name, case as u32);
            bench.check(result, expected, &format!("{what}, to the typed host"));
        }
    }
}

#[test]
fn handles_that_the_host_gets_are_checked() {
    let workshop = Workshop::new();
    for position in POSITIONS {
        for ownership in [Ownership::Own, Ownership::Borrow] {
            let text = format!("(component {})", caller(position, ownership));
            let artifact = workshop.compile(text.as_bytes()).unwrap();
            let component = workshop.map_component(&artifact).unwrap();
            for typed in [None, Some(position.name)] {
                for (case, name) in CASES.into_iter().enumerate() {
                    let what = format!("{}, {ownership:?}, {name}, {typed:?}", position.name);
                    let mut bench = host_bench(&workshop, &component, typed);
                    let result = bench.call("run", case);
                    bench.check(result, expected(case, ownership), &what);
                }
            }
        }
    }
}

#[test]
fn borrows_must_be_dropped() {
    let workshop = Workshop::new();
    for position in POSITIONS {
        let text = guests(position, Ownership::Borrow, Callee::Keeps);
        let artifact = workshop.compile(text.as_bytes()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let mut bench = guest_bench(&workshop, &component);
        let result = bench.call("run", 0);
        bench.check(result, Some(TrapCode::BorrowsRemain), position.name);
        // The host's own borrows.
        let mut bench = guest_bench(&workshop, &component);
        let result = bench.call("give", 1);
        bench.check(result, Some(TrapCode::BorrowsRemain), position.name);
        let mut bench = guest_bench(&workshop, &component);
        let result = typed_give(&mut bench, position.name, 1);
        bench.check(result, Some(TrapCode::BorrowsRemain), position.name);
    }
}

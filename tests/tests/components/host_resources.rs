//! Resources as a host sees them: its own, and those of guests.

use std::sync::Mutex;

use cwasm::{
    Component, Error, Instance, Linker, LinkerInstance, Resource, ResourceAny, ResourceTable,
    ResourceType, Store, StoreContextMut, StoreLimits, TrapCode, Val,
};
use cwasm_tests::artifact::Workshop;

/// A component that defines a resource: representations count up from 1, and the sum of those that
/// were destroyed can be asked for. One of 13 is destroyed with a trap.
const DEFINES: &str = r#"(component
  (import "callback" (func $callback))
  (core func $callback (canon lower (func $callback)))
  (core module $m
    (import "" "new" (func $new (param i32) (result i32)))
    (import "" "rep" (func $rep (param i32) (result i32)))
    (import "" "callback" (func $callback))
    (global $last (mut i32) (i32.const 0))
    (global $sum (mut i32) (i32.const 0))
    (func (export "make") (result i32)
      (global.set $last (i32.add (global.get $last) (i32.const 1)))
      (call $new (global.get $last)))
    (func (export "make-many") (param i32) (local $i i32)
      (loop $next
        (drop (call $new (i32.const 1)))
        (br_if $next (i32.lt_u
          (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0)))))
    (func (export "skip") (param i32) (global.set $last (local.get 0)))
    (func (export "get") (param i32) (result i32) (local.get 0))
    (func (export "get-calling") (param i32) (result i32) (call $callback) (local.get 0))
    (func (export "take") (param i32) (result i32) (call $rep (local.get 0)))
    (func (export "both") (param i32 i32) (result i32) (call $rep (local.get 1)))
    (func (export "sum") (result i32) (global.get $sum))
    (func (export "dtor") (param i32)
      (if (i32.eq (local.get 0) (i32.const 13)) (then (unreachable)))
      (global.set $sum (i32.add (global.get $sum) (local.get 0)))))
  (core module $late (table (export "t") 1 funcref)
    (func (export "dtor") (param i32) (call_indirect (param i32) (local.get 0) (i32.const 0))))
  (core instance $late (instantiate $late))
  (type $R' (resource (rep i32) (dtor (core func $late "dtor"))))
  (core func $new (canon resource.new $R'))
  (core func $rep (canon resource.rep $R'))
  (core instance $i (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "rep" (func $rep)) (export "callback" (func $callback))))))
  (core module $fix (import "" "t" (table 1 funcref)) (import "" "dtor" (func $dtor (param i32)))
    (elem (i32.const 0) $dtor))
  (core instance (instantiate $fix (with "" (instance
    (export "t" (table $late "t")) (export "dtor" (func $i "dtor"))))))
  (export $R "thing" (type $R'))
  (func (export "make") (result (own $R)) (canon lift (core func $i "make")))
  (func (export "make-many") (param "n" u32) (canon lift (core func $i "make-many")))
  (func (export "skip") (param "n" u32) (canon lift (core func $i "skip")))
  (func (export "get") (param "r" (borrow $R)) (result u32) (canon lift (core func $i "get")))
  (func (export "get-calling") (param "r" (borrow $R)) (result u32)
    (canon lift (core func $i "get-calling")))
  (func (export "take") (param "r" (own $R)) (result u32) (canon lift (core func $i "take")))
  (func (export "both") (param "b" (borrow $R)) (param "o" (own $R)) (result u32)
    (canon lift (core func $i "both")))
  (func (export "sum") (result u32) (canon lift (core func $i "sum"))))"#;

/// A component that uses a resource of the host.
const USES: &str = r#"(component
  (import "files" (instance $files
    (export "file" (type $F (sub resource)))
    (export "[constructor]file" (func (param "name" string) (result (own $F))))
    (export "[method]file.len" (func (param "self" (borrow $F)) (result u32)))
    (export "keep" (func (param "f" (borrow $F))))
    (export "both" (func (param "b" (borrow $F)) (param "o" (own $F))))))
  (alias export $files "file" (type $F))
  (core module $libc (memory (export "memory") 1) (data (i32.const 16) "name"))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (core func $new (canon lower (func $files "[constructor]file") (memory $memory)))
  (core func $len (canon lower (func $files "[method]file.len")))
  (core func $keep (canon lower (func $files "keep")))
  (core func $both (canon lower (func $files "both")))
  (core func $drop (canon resource.drop $F))
  (core module $m
    (import "" "new" (func $new (param i32 i32) (result i32)))
    (import "" "len" (func $len (param i32) (result i32)))
    (import "" "keep" (func $keep (param i32)))
    (import "" "both" (func $both (param i32 i32)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "run") (result i32) (local $h i32) (local $len i32)
      (local.set $h (call $new (i32.const 16) (i32.const 4)))
      (local.set $len (call $len (local.get $h)))
      (call $drop (local.get $h))
      (local.get $len))
    (func (export "keep") (local $h i32)
      (call $keep (local.tee $h (call $new (i32.const 16) (i32.const 3))))
      (call $drop (local.get $h)))
    (func (export "both") (local $h i32)
      (local.set $h (call $new (i32.const 16) (i32.const 2)))
      (call $both (local.get $h) (local.get $h)))
    (func (export "apart")
      (call $both (call $new (i32.const 16) (i32.const 2)) (call $new (i32.const 16) (i32.const 2))))
    (func (export "pass") (param i32) (result i32)
      (call $len (local.get 0))
      (call $drop (local.get 0))))
  (core instance $i (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "len" (func $len)) (export "keep" (func $keep))
    (export "both" (func $both)) (export "drop" (func $drop))))))
  (func (export "run") (result u32) (canon lift (core func $i "run")))
  (func (export "keep") (canon lift (core func $i "keep")))
  (func (export "both") (canon lift (core func $i "both")))
  (func (export "apart") (canon lift (core func $i "apart")))
  (func (export "borrows") (param "f" (borrow $F)) (result u32) (canon lift (core func $i "pass")))
  (func (export "takes") (param "f" (own $F)) (result u32) (canon lift (core func $i "pass"))))"#;

fn component(workshop: &Workshop, text: &str) -> Component {
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    workshop.map_component(&artifact).unwrap()
}

type Callback = Mutex<Option<Box<dyn FnMut(StoreContextMut<'_, ()>) -> cwasm::Result<()> + Send>>>;

/// Calls an export with the types of the arguments and of what is expected.
fn call<T: 'static, P, R>(
    store: &mut Store<T>,
    instance: Instance,
    name: &str,
    params: P,
) -> cwasm::Result<R>
where
    P: cwasm::ComponentNamedList + cwasm::Lower,
    R: cwasm::ComponentNamedList + cwasm::Lift,
{
    let func = instance.get_typed_func::<P, R>(&mut *store, name)?;
    func.call(store, params)
}

struct Defined {
    workshop: Workshop,
    store: Store<()>,
    linker: Linker<()>,
    component: Component,
    instance: Instance,
    callback: &'static Callback,
}

impl Defined {
    fn new() -> Defined {
        let workshop = Workshop::new();
        let component = component(&workshop, DEFINES);
        let callback: &'static Callback = Box::leak(Box::default());
        let mut linker = Linker::new(workshop.engine());
        linker
            .root()
            .func_wrap("callback", move |store, (): ()| {
                match callback.lock().unwrap().as_mut() {
                    Some(callback) => callback(store),
                    None => Ok(()),
                }
            })
            .unwrap();
        let mut store = Store::new(workshop.engine(), ());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        Defined {
            workshop,
            store,
            linker,
            component,
            instance,
            callback,
        }
    }

    fn make(&mut self) -> ResourceAny {
        let (made,) = call(&mut self.store, self.instance, "make", ()).unwrap();
        made
    }

    fn call(&mut self, name: &str, resource: ResourceAny) -> cwasm::Result<u32> {
        call(&mut self.store, self.instance, name, (resource,)).map(|(value,)| value)
    }

    /// As [`call`](Defined::call), with values whose types are known at run time.
    fn call_dynamic(&mut self, name: &str, args: &[ResourceAny]) -> cwasm::Result<u32> {
        let args: Vec<_> = args.iter().copied().map(Val::Resource).collect();
        let mut results = [Val::Bool(false)];
        let func = self.instance.get_func(&mut self.store, name).unwrap();
        func.call(&mut self.store, &args, &mut results)?;
        match results {
            [Val::U32(value)] => Ok(value),
            other => panic!("{other:?}"),
        }
    }

    fn sum(&mut self) -> u32 {
        let (sum,) = call(&mut self.store, self.instance, "sum", ()).unwrap();
        sum
    }
}

fn code<T: std::fmt::Debug>(result: cwasm::Result<T>) -> TrapCode {
    result.unwrap_err().trap().expect("a trap").code()
}

/// An error of the host's own making: the guest was not stopped by it.
fn misuse<T: std::fmt::Debug>(result: cwasm::Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(error.trap().is_none(), "{error:?}");
    error.chain().last().unwrap().to_string()
}

#[test]
fn guests_resources_are_lent_given_and_dropped() {
    let mut guest = Defined::new();
    let (a, b, c) = (guest.make(), guest.make(), guest.make());
    let ty = guest.instance.get_resource(&mut guest.store, "thing");
    assert_eq!(Some(a.ty(&guest.store).unwrap()), ty);
    assert!(a.owned());
    for _ in 0..2 {
        assert_eq!(guest.call("get", b).unwrap(), 2);
        assert_eq!(guest.call_dynamic("get", &[c]).unwrap(), 3);
    }
    assert_eq!(guest.call("take", a).unwrap(), 1);
    assert_eq!(guest.call_dynamic("take", &[c]).unwrap(), 3);
    b.resource_drop(&mut guest.store).unwrap();
    assert_eq!(guest.sum(), 2);
    for gone in [a, b, c] {
        assert!(misuse(gone.resource_drop(&mut guest.store)).contains("given away or dropped"));
        assert!(misuse(guest.call_dynamic("get", &[gone])).contains("given away or dropped"));
    }
    // The guest was not entered with what was gone.
    assert_eq!(guest.sum(), 2);
}

#[test]
fn resources_stay_with_their_store_and_instance() {
    let (mut guest, mut other) = (Defined::new(), Defined::new());
    let thing = guest.make();
    assert!(misuse(thing.resource_drop(&mut other.store)).contains("another store"));
    assert!(misuse(thing.ty(&other.store)).contains("another store"));
    assert!(misuse(other.call_dynamic("get", &[thing])).contains("another store"));
    assert!(misuse(other.call("get", thing)).contains("another store"));
    // Another instance of the same component has another type of resources.
    let twin = guest
        .linker
        .instantiate(&mut guest.store, &guest.component)
        .unwrap();
    assert_ne!(
        guest.instance.get_resource(&mut guest.store, "thing"),
        twin.get_resource(&mut guest.store, "thing")
    );
    let func = twin.get_func(&mut guest.store, "get").unwrap();
    let args = [Val::Resource(thing)];
    let error = misuse(func.call(&mut guest.store, &args, &mut [Val::Bool(false)]));
    assert!(error.contains("another type"), "{error}");
    assert_eq!(guest.call("get", thing).unwrap(), 1);
}

#[test]
fn what_is_lent_is_neither_given_nor_dropped() {
    let mut guest = Defined::new();
    let thing = guest.make();
    // In one call: the borrow comes first.
    assert!(misuse(guest.call_dynamic("both", &[thing, thing])).contains("lent"));
    let mut guest = Defined::new();
    let (thing, other) = (guest.make(), guest.make());
    assert_eq!(guest.call_dynamic("both", &[thing, other]).unwrap(), 2);
    // While the call goes on: `[method]file.len` tries to drop what is kept.
    let (_workshop, mut store, linker, component) = host();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let file = store.data_mut().table.push(File("123".into())).unwrap();
    let any = file.try_into_resource_any(&mut store).unwrap();
    store.data_mut().kept = Some(any);
    let lent = call::<_, _, (u32,)>(&mut store, instance, "borrows", (any,));
    assert_eq!(lent.unwrap(), (3,));
    assert!(store.data().refused && store.data().table.len() == 1);
    any.resource_drop(&mut store).unwrap();
}

#[test]
fn destructors_are_calls() {
    // Also of an instance that is active.
    let mut guest = Defined::new();
    let (thing, lent) = (guest.make(), guest.make());
    *guest.callback.lock().unwrap() = Some(Box::new(move |store| thing.resource_drop(store)));
    assert_eq!(guest.call("get-calling", lent).unwrap(), 2);
    assert_eq!(guest.sum(), 1);
    assert!(misuse(thing.resource_drop(&mut guest.store)).contains("dropped"));
    // One that traps: the instance can never be entered again, and its resources stay as they are.
    let (): () = call(&mut guest.store, guest.instance, "skip", (12u32,)).unwrap();
    let (trapping, other) = (guest.make(), guest.make());
    assert_eq!(
        code(trapping.resource_drop(&mut guest.store)),
        TrapCode::Unreachable
    );
    assert!(misuse(trapping.resource_drop(&mut guest.store)).contains("dropped"));
    assert_eq!(
        code(other.resource_drop(&mut guest.store)),
        TrapCode::CannotEnter
    );
    assert_eq!(code(guest.call("get", other)), TrapCode::CannotEnter);
}

#[test]
fn handle_tables_have_a_limit() {
    let mut guest = Defined::new();
    let mut limits = StoreLimits::new();
    limits.handles(1000);
    guest.store.set_limits(limits);
    let limited = guest
        .linker
        .instantiate(&mut guest.store, &guest.component)
        .unwrap();
    let (): () = call(&mut guest.store, limited, "make-many", (999u32,)).unwrap();
    let (last,): (ResourceAny,) = call(&mut guest.store, limited, "make", ()).unwrap();
    let (): () = call(&mut guest.store, limited, "make-many", (1u32,)).unwrap();
    // The guest's table is full: the host cannot give it more.
    assert_eq!(
        code(call::<_, _, (u32,)>(
            &mut guest.store,
            limited,
            "take",
            (last,)
        )),
        TrapCode::TableFull
    );
    let full = guest
        .linker
        .instantiate(&mut guest.store, &guest.component)
        .unwrap();
    // All instances of the store share it, also the one that was there before.
    for instance in [full, guest.instance] {
        let result = call::<_, _, ()>(&mut guest.store, instance, "make-many", (1001u32,));
        assert_eq!(code(result), TrapCode::TableFull);
    }
    // By default there is a limit too.
    let mut guest = Defined::new();
    let many = ((1u32 << 20) + 1,);
    let result = call::<_, _, ()>(&mut guest.store, guest.instance, "make-many", many);
    assert_eq!(code(result), TrapCode::TableFull);
}

/// The host's files.
struct Host {
    table: ResourceTable,
    dropped: u32,
    kept: Option<ResourceAny>,
    /// Whether dropping what is kept was refused, because it is lent.
    refused: bool,
}

struct File(String);

type HostContext<'a> = StoreContextMut<'a, Host>;

fn files(linker: &mut LinkerInstance<'_, Host>) -> cwasm::Result<()> {
    linker.resource(
        "file",
        ResourceType::host::<File>(),
        |mut store: HostContext<'_>, rep| {
            let host = store.data_mut();
            host.dropped += 1;
            let file = host.table.delete(Resource::<File>::new_own(rep))?;
            match file.0.as_str() {
                "panics" => panic!("a destructor that panics"),
                "fails" => Err(std::fmt::Error.into()),
                _ => Ok(()),
            }
        },
    )?;
    linker.func_wrap(
        "[constructor]file",
        |mut store: HostContext<'_>, (name,): (String,)| {
            Ok((store.data_mut().table.push(File(name))?,))
        },
    )?;
    linker.func_wrap(
        "[method]file.len",
        |mut store: HostContext<'_>, (file,): (Resource<File>,)| {
            assert!(!file.owned());
            if let Some(kept) = store.data_mut().kept.take() {
                let refused = misuse(kept.resource_drop(&mut store)).contains("lent");
                store.data_mut().refused = refused;
            }
            Ok((store.data().table.get(&file)?.0.len() as u32,))
        },
    )?;
    linker.func_wrap(
        "keep",
        |mut store: HostContext<'_>, (file,): (ResourceAny,)| {
            assert!(!file.owned());
            assert_eq!(file.ty(&store)?, ResourceType::host::<File>());
            store.data_mut().kept = Some(file);
            Ok(())
        },
    )?;
    linker.func_wrap(
        "both",
        |mut store: HostContext<'_>, (borrowed, owned): (Resource<File>, Resource<File>)| {
            let table = &mut store.data_mut().table;
            assert_eq!(table.get(&borrowed)?.0, "na");
            assert!(owned.owned());
            table.delete(owned)?;
            Ok(())
        },
    )
}

fn host() -> (Workshop, Store<Host>, Linker<Host>, Component) {
    let workshop = Workshop::new();
    let component = component(&workshop, USES);
    let mut linker = Linker::new(workshop.engine());
    files(&mut linker.instance("files").unwrap()).unwrap();
    let host = Host {
        table: ResourceTable::new(),
        dropped: 0,
        kept: None,
        refused: false,
    };
    let store = Store::new(workshop.engine(), host);
    (workshop, store, linker, component)
}

#[test]
fn the_hosts_resources_are_used_by_guests() {
    let (_workshop, mut store, linker, component) = host();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    assert_eq!(
        call::<_, _, (u32,)>(&mut store, instance, "run", ()).unwrap(),
        (4,)
    );
    assert_eq!((store.data().dropped, store.data().table.len()), (1, 0));
    // The host gives and lends it itself.
    let file = store.data_mut().table.push(File("12345".into())).unwrap();
    let lent = Resource::<File>::new_borrow(file.rep());
    assert_eq!(
        call::<_, _, (u32,)>(&mut store, instance, "borrows", (&lent,)).unwrap(),
        (5,)
    );
    assert_eq!(
        call::<_, _, (u32,)>(&mut store, instance, "borrows", (&file,)).unwrap(),
        (5,)
    );
    assert_eq!(store.data().dropped, 1);
    assert_eq!(
        call::<_, _, (u32,)>(&mut store, instance, "takes", (&file,)).unwrap(),
        (5,)
    );
    assert_eq!((store.data().dropped, store.data().table.len()), (2, 0));
    let error = misuse(call::<_, _, (u32,)>(
        &mut store,
        instance,
        "takes",
        (&file,),
    ));
    assert!(error.contains("given away"), "{error}");
}

#[test]
fn borrows_end_with_the_host_function() {
    let (_workshop, mut store, linker, component) = host();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let (): () = call(&mut store, instance, "keep", ()).unwrap();
    let kept = store.data_mut().kept.take().unwrap();
    assert!(misuse(kept.ty(&store)).contains("call is over"));
    assert!(misuse(kept.resource_drop(&mut store)).contains("call is over"));
    assert!(misuse(kept.try_into_resource::<File>(&mut store)).contains("over"));
    let (): () = call(&mut store, instance, "apart", ()).unwrap();
    assert_eq!(
        code(call::<_, _, ()>(&mut store, instance, "both", ())),
        TrapCode::ResourceBorrowed
    );
}

#[test]
fn the_hosts_resources_become_any_and_back() {
    let (_workshop, mut store, linker, component) = host();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let file = store.data_mut().table.push(File("123".into())).unwrap();
    let any = file.try_into_resource_any(&mut store).unwrap();
    let func = instance.get_func(&mut store, "borrows").unwrap();
    let mut results = [Val::Bool(false)];
    func.call(&mut store, &[Val::Resource(any)], &mut results)
        .unwrap();
    assert_eq!(results, [Val::U32(3)]);
    assert!(misuse(any.try_into_resource::<u8>(&mut store)).contains("u8"));
    let file = Resource::<File>::try_from_resource_any(any, &mut store).unwrap();
    assert_eq!(store.data().table.get(&file).unwrap().0, "123");
    assert!(misuse(any.ty(&store)).contains("given away"));
    let borrow = Resource::<File>::new_borrow(file.rep());
    assert!(misuse(borrow.try_into_resource_any(&mut store)).contains("borrowed"));
}

#[test]
fn destructors_of_the_host_may_fail() {
    for (name, expected) in [("fails", true), ("panics", false)] {
        let (_workshop, mut store, linker, component) = host();
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let file = store.data_mut().table.push(File(name.into())).unwrap();
        let takes = instance
            .get_typed_func::<(Resource<File>,), (u32,)>(&mut store, "takes")
            .unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            takes.call(&mut store, (file,))
        }));
        match result {
            Ok(result) => {
                let error: Error = result.unwrap_err();
                assert!(expected && error.is::<std::fmt::Error>(), "{error:?}");
                assert_eq!(error.trap().unwrap().code(), TrapCode::HostError);
            }
            Err(_) => assert!(!expected),
        }
        assert_eq!(store.data().dropped, 1);
        let again = call::<_, _, (u32,)>(&mut store, instance, "run", ());
        assert_eq!(code(again), TrapCode::CannotEnter);
    }
}

#[test]
fn linking_compares_resources() {
    let (workshop, _store, _linker, component) = host();
    let link = |define: &dyn Fn(&mut LinkerInstance<'_, Host>) -> cwasm::Result<()>| {
        let mut linker = Linker::<Host>::new(workshop.engine());
        let mut files = linker.instance("files").unwrap();
        define(&mut files).unwrap();
        match linker.instantiate_pre(&component) {
            Ok(_) => panic!("links"),
            Err(error) => error.to_string(),
        }
    };
    let error = link(&|_| Ok(()));
    assert!(
        error.contains("unknown import `files#file`: expected a resource"),
        "{error}"
    );
    assert!(
        error.contains("`files#keep`: expected `func(f: borrow<file>)`"),
        "{error}"
    );
    let error = link(&|files| files.func_wrap("file", |_, (): ()| Ok(())));
    assert!(
        error.contains("`files#file`: expected a resource, found `func()`"),
        "{error}"
    );
    let error = link(&|files| {
        files.resource("file", ResourceType::host::<File>(), |_, _| Ok(()))?;
        files.resource("keep", ResourceType::host::<File>(), |_, _| Ok(()))?;
        files.func_wrap("[method]file.len", |_, (_,): (Resource<u8>,)| Ok((1u32,)))
    });
    assert!(error.contains("`files#keep`: expected `func(f: borrow<file>)`, found a resource"));
    assert!(
        error.contains("handle 1 of 1: found a `Resource<u8>`, expected `borrow<files#file>`"),
        "{error}"
    );

    // A guest's resource is nobody else's type.
    let mut guest = Defined::new();
    let result = guest
        .instance
        .get_typed_func::<(Resource<File>,), (u32,)>(&mut guest.store, "get");
    let error = result.map(drop).unwrap_err();
    assert!(
        format!("{error:?}").contains("`ResourceAny` stands for it"),
        "{error:?}"
    );
    let ty = guest
        .instance
        .get_resource(&mut guest.store, "thing")
        .unwrap();
    let mut linker = Linker::<()>::new(guest.workshop.engine());
    assert!(linker.root().resource("thing", ty, |_, _| Ok(())).is_err());
}

//! `bindgen!`: resources of the host and of a guest, in a world that has them everywhere.

use crate::common;
use cwasm::{Linker, Resource, ResourceTable, Store, TrapCode};
use cwasm_tests::artifact::Workshop;

cwasm::bindgen!({ path: "tests/wit", world: "handles" });

use exports::test::bindgen::counters::{Labelled, Tally};
use test::bindgen::copies::{self, Document};
use test::bindgen::files::{self, Error, File, Named};

/// A host whose files are their lengths, by number.
#[derive(Default)]
struct State {
    lengths: Vec<u32>,
    log: Vec<String>,
}

impl State {
    fn add(&mut self, len: u32) -> Resource<File> {
        self.lengths.push(len);
        Resource::new_own(self.lengths.len() as u32 - 1)
    }

    fn length(&self, file: &Resource<File>) -> u32 {
        self.lengths[file.rep() as usize]
    }
}

impl files::HostFile for State {
    fn new(&mut self, name: String) -> Resource<File> {
        self.add(name.len() as u32)
    }

    fn len(&mut self, self_: Resource<File>) -> u32 {
        assert!(!self_.owned());
        State::length(self, &self_)
    }

    fn join(&mut self, self_: Resource<File>, other: Resource<File>) -> Resource<File> {
        self.add(State::length(self, &self_) + State::length(self, &other))
    }

    fn open(&mut self, name: String) -> Result<Resource<File>, Error> {
        match name.as_str() {
            "four" => Ok(self.add(4)),
            _ => Err(Error::Missing),
        }
    }

    fn drop_(&mut self, self_: Resource<File>) -> u32 {
        1000 + State::length(self, &self_)
    }

    fn drop(&mut self, rep: Resource<File>) -> cwasm::Result<()> {
        assert!(rep.owned());
        self.log.push(format!("drop {}", rep.rep()));
        match self.length(&rep) {
            13 => Err(cwasm::Error::new(std::fmt::Error)),
            _ => Ok(()),
        }
    }
}

impl files::Host for State {
    fn longest(&mut self, files: Vec<Resource<File>>) -> u32 {
        files
            .iter()
            .map(|file| self.length(file))
            .max()
            .unwrap_or(0)
    }

    fn close(&mut self, Named { name, file }: Named) {
        assert!(file.owned());
        self.log.push(format!("close {name} {}", file.rep()));
    }
}

impl copies::Host for State {
    fn copy(&mut self, document: Resource<Document>) -> Resource<Document> {
        self.add(State::length(self, &document))
    }
}

impl HostToken for State {
    fn new(&mut self, id: u32) -> Resource<Token> {
        Resource::new_own(id)
    }

    fn id(&mut self, self_: Resource<Token>) -> u32 {
        self_.rep()
    }

    fn drop(&mut self, rep: Resource<Token>) -> cwasm::Result<()> {
        self.log.push(format!("spent {}", rep.rep()));
        Ok(())
    }
}

impl HandlesImports for State {}

/// Counters are addresses of their counts.
const GUEST: &str = r#"(module
  (import "test:bindgen/files@1.2.0" "[constructor]file"
    (func $file (param i32 i32) (result i32)))
  (import "test:bindgen/files@1.2.0" "[method]file.len" (func $len (param i32) (result i32)))
  (import "test:bindgen/files@1.2.0" "[method]file.join"
    (func $join (param i32 i32) (result i32)))
  (import "test:bindgen/files@1.2.0" "[method]file.drop"
    (func $drop-method (param i32) (result i32)))
  (import "test:bindgen/files@1.2.0" "[static]file.open" (func $open (param i32 i32 i32)))
  (import "test:bindgen/files@1.2.0" "longest" (func $longest (param i32 i32) (result i32)))
  (import "test:bindgen/files@1.2.0" "close" (func $close (param i32 i32 i32)))
  (import "test:bindgen/files@1.2.0" "[resource-drop]file" (func $drop (param i32)))
  (import "test:bindgen/copies@1.2.0" "copy" (func $copy (param i32) (result i32)))
  (import "$root" "[constructor]token" (func $token (param i32) (result i32)))
  (import "$root" "[method]token.id" (func $id (param i32) (result i32)))
  (import "$root" "[resource-drop]token" (func $drop-token (param i32)))
  (import "[export]test:bindgen/counters@1.2.0" "[resource-new]counter"
    (func $new (param i32) (result i32)))
  (import "[export]test:bindgen/counters@1.2.0" "[resource-rep]counter"
    (func $rep (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "four" "gone")
  (global $next (mut i32) (i32.const 4096))
  (global $dropped (mut i32) (i32.const 0))
  (global $kept (mut i32) (i32.const 0))
  (func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 3))))
  (func (export "test:bindgen/counters@1.2.0#[constructor]counter")
    (param $start i32) (result i32) (local $at i32)
    (local.set $at (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 4)))
    (i32.store (local.get $at) (local.get $start))
    (call $new (local.get $at)))
  (func $add (export "test:bindgen/counters@1.2.0#[method]counter.add")
    (param $at i32) (param $by i32) (result i32)
    (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (local.get $by)))
    (i32.load (local.get $at)))
  (func (export "test:bindgen/counters@1.2.0#[method]counter.constructor")
    (param $at i32) (result i32)
    (i32.add (i32.const 1000) (i32.load (local.get $at))))
  (func (export "test:bindgen/counters@1.2.0#[static]counter.merge")
    (param $a i32) (param $b i32) (result i32)
    (drop (call $add (call $rep (local.get $a)) (i32.load (local.get $b))))
    (local.get $a))
  (func (export "test:bindgen/counters@1.2.0#[dtor]counter") (param $at i32)
    (global.set $dropped (i32.add (global.get $dropped) (i32.load (local.get $at)))))
  (func (export "test:bindgen/counters@1.2.0#measure") (param $file i32) (result i32)
    (call $len (local.get $file))
    (call $drop (local.get $file)))
  (func (export "test:bindgen/counters@1.2.0#keep") (param $file i32)
    (if (global.get $kept) (then (call $drop (global.get $kept))))
    (global.set $kept (local.get $file)))
  (func (export "test:bindgen/counters@1.2.0#pass") (param $some i32) (param $a i32) (result i32)
    (i32.store (i32.const 64) (local.get $some))
    (i32.store (i32.const 68) (local.get $a))
    (i32.const 64))
  (func (export "test:bindgen/counters@1.2.0#label") (param $label i32) (param $a i32) (result i32)
    (i32.store (i32.const 64) (local.get $label))
    (i32.store (i32.const 68) (local.get $a))
    (i32.const 64))
  (func (export "test:bindgen/counters@1.2.0#dropped") (result i32) (global.get $dropped))
  (func (export "test:bindgen/sums@1.2.0#sum") (param $at i32) (param $len i32) (result i32)
    (local $sum i32)
    (loop $next
      (if (local.get $len) (then
        (local.set $sum (i32.add (local.get $sum) (i32.load (i32.load (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $next))))
    (local.get $sum))
  (func (export "spend") (param $token i32) (result i32)
    (call $id (local.get $token))
    (call $drop-token (local.get $token)))
  (func (export "run") (result i32) (local $four i32) (local $joined i32) (local $copy i32)
    ;; Numbers of files count from 0: this one has 0, and length 4.
    (call $open (i32.const 8) (i32.const 4) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then (unreachable)))
    (local.set $four (i32.load (i32.const 68)))
    (call $open (i32.const 12) (i32.const 4) (i32.const 64))
    (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then (unreachable)))
    ;; 1, and 2 of length 9.
    (local.set $joined (call $file (i32.const 8) (i32.const 5)))
    (local.set $joined (call $join (local.get $joined) (local.get $four)))
    ;; 3
    (local.set $copy (call $copy (local.get $joined)))
    (i32.store (i32.const 80) (local.get $four))
    (i32.store (i32.const 84) (local.get $copy))
    (if (i32.ne (call $longest (i32.const 80) (i32.const 2)) (i32.const 9)) (then (unreachable)))
    (call $close (i32.const 8) (i32.const 4) (local.get $four))
    (call $drop (local.get $joined))
    (i32.add (call $drop-method (local.get $copy))
      (call $id (call $token (i32.const 20000))))))"#;

/// The guest as a component.
pub(crate) fn guest() -> Vec<u8> {
    common::component_of_world("tests/wit", "handles", GUEST)
}

fn handles() -> (Store<State>, Handles) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(&guest()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::new(workshop.engine());
    Handles::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
    let mut store = Store::new(workshop.engine(), State::default());
    let handles = Handles::instantiate(&mut store, &component, &linker).unwrap();
    (store, handles)
}

#[test]
fn guests_use_the_hosts_resources() {
    let (mut store, handles) = handles();
    assert_eq!(handles.call_run(&mut store).unwrap(), 21009);
    assert_eq!(store.data().log, ["close four 0", "drop 2"]);
}

#[test]
fn hosts_lend_and_give_their_resources() {
    let (mut store, handles) = handles();
    let counters = handles.test_bindgen_counters();
    let file = store.data_mut().add(7);
    let borrow = || Resource::new_borrow(file.rep());
    assert_eq!(counters.call_measure(&mut store, borrow()).unwrap(), 7);
    assert_eq!(counters.call_measure(&mut store, borrow()).unwrap(), 7);
    counters.call_keep(&mut store, file).unwrap();
    let other = store.data_mut().add(13);
    counters.call_keep(&mut store, other).unwrap();
    assert_eq!(store.data().log, ["drop 0"]);
    let spent = handles.call_spend(&mut store, Resource::new_own(5));
    assert_eq!(spent.unwrap(), 5);
    assert_eq!(store.data().log, ["drop 0", "spent 5"]);
    // The error of a destructor comes out of the call that dropped.
    let last = store.data_mut().add(1);
    let error = counters.call_keep(&mut store, last).unwrap_err();
    assert!(error.is::<std::fmt::Error>(), "{error:?}");
}

#[test]
fn guests_resources_have_methods() {
    let (mut store, handles) = handles();
    let counters = handles.test_bindgen_counters();
    let counter = counters.counter();
    let a = counter.call_constructor(&mut store, 5).unwrap();
    let b: Tally = counter.call_constructor(&mut store, 30).unwrap();
    assert_eq!(counter.call_add(&mut store, a, 2).unwrap(), 7);
    assert_eq!(counter.call_constructor_(&mut store, a).unwrap(), 1007);
    let sums = handles.test_bindgen_sums();
    assert_eq!(sums.call_sum(&mut store, &[a, b, a]).unwrap(), 44);
    let merged = counter.call_merge(&mut store, a, b).unwrap();
    assert_eq!(counter.call_add(&mut store, merged, 0).unwrap(), 37);
    let passed = counters.call_pass(&mut store, Some(merged)).unwrap();
    assert_eq!(counters.call_pass(&mut store, None).unwrap(), None);
    let labelled: Labelled = counters.call_label(&mut store, 3, passed.unwrap()).unwrap();
    // A handle of a guest's resource can be copied: it is the store that has the resource.
    let copy = labelled;
    assert_eq!(copy.label, 3);
    copy.counter.resource_drop(&mut store).unwrap();
    assert!(labelled.counter.resource_drop(&mut store).is_err());
    assert_eq!(counters.call_dropped(&mut store).unwrap(), 37);
    b.resource_drop(&mut store).unwrap();
    assert_eq!(counters.call_dropped(&mut store).unwrap(), 67);
    let error = counter.call_add(&mut store, a, 1).unwrap_err();
    assert!(error.to_string().contains("given away"), "{error}");
}

#[test]
fn resources_of_another_type_are_refused() {
    let (mut store, handles) = handles();
    let counters = handles.test_bindgen_counters();
    let file = store.data_mut().add(7);
    let any = file.try_into_resource_any(&mut store).unwrap();
    let error = counters.counter().call_add(&mut store, any, 1).unwrap_err();
    assert!(error.to_string().contains("another type"), "{error}");
}

/// The same world with types of the host's own, and functions that fail.
mod options {
    use super::*;

    /// The host's type for a file.
    #[derive(Debug, PartialEq)]
    #[allow(
        unreachable_pub,
        reason = "it is in the signature of a generated trait"
    )]
    pub struct Text(pub String);

    /// The host's type for a token.
    #[allow(
        unreachable_pub,
        reason = "it is in the signature of a generated trait"
    )]
    pub struct Coin;

    /// Why the host fails.
    #[allow(
        unreachable_pub,
        reason = "it is in the signature of a generated trait"
    )]
    pub struct Failed(pub Option<&'static str>);

    cwasm::bindgen!({
        path: "tests/wit",
        world: "handles",
        with: {
            "test:bindgen/files/file": crate::resources::options::Text,
            "token": crate::resources::options::Coin,
        },
        trappable_imports: ["[method]file.len", "test:bindgen/files#[constructor]file", "longest"],
        trappable_error_type: { "test:bindgen/files/error" => crate::resources::options::Failed },
    });

    use self::test::bindgen::{copies, files};

    #[derive(Default)]
    struct Failing {
        table: ResourceTable,
        missing: bool,
    }

    impl files::HostFile for Failing {
        fn new(&mut self, name: String) -> cwasm::Result<Resource<Text>> {
            Err(cwasm::Error::msg(name))
        }

        fn len(&mut self, self_: Resource<Text>) -> cwasm::Result<u32> {
            Ok(self.table.get(&self_)?.0.len() as u32)
        }

        fn join(&mut self, self_: Resource<Text>, _: Resource<Text>) -> Resource<Text> {
            self_
        }

        fn open(&mut self, name: String) -> Result<Resource<Text>, Failed> {
            match self.missing {
                true => Err(Failed(None)),
                false if name == "gone" => Err(Failed(Some("gone"))),
                false => Ok(self.table.push(Text(name)).map_err(|_| Failed(None))?),
            }
        }

        fn drop_(&mut self, _: Resource<Text>) -> u32 {
            0
        }

        fn drop(&mut self, rep: Resource<Text>) -> cwasm::Result<()> {
            self.table.delete(rep)?;
            Ok(())
        }
    }

    impl files::Host for Failing {
        fn longest(&mut self, _: Vec<Resource<Text>>) -> cwasm::Result<u32> {
            Ok(0)
        }

        fn close(&mut self, _: files::Named) {}

        fn convert_error(&mut self, error: Failed) -> cwasm::Result<files::Error> {
            match error.0 {
                Some(text) => Ok(files::Error::Other(text.to_owned())),
                None => Err(cwasm::Error::msg("no disk")),
            }
        }
    }

    impl copies::Host for Failing {
        fn copy(&mut self, document: Resource<copies::Document>) -> Resource<Text> {
            document
        }
    }

    impl HostToken for Failing {
        fn new(&mut self, id: u32) -> Resource<Coin> {
            Resource::new_own(id)
        }

        fn id(&mut self, self_: Resource<Coin>) -> u32 {
            self_.rep()
        }

        fn drop(&mut self, _: Resource<Coin>) -> cwasm::Result<()> {
            Ok(())
        }
    }

    impl HandlesImports for Failing {}

    fn failing(missing: bool) -> (Store<Failing>, Handles) {
        let workshop = Workshop::new();
        let artifact = workshop.compile(&guest()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let mut linker = Linker::new(workshop.engine());
        Handles::add_to_linker(&mut linker, |state: &mut Failing| state).unwrap();
        let state = Failing {
            missing,
            ..Failing::default()
        };
        let mut store = Store::new(workshop.engine(), state);
        let handles = Handles::instantiate(&mut store, &component, &linker).unwrap();
        (store, handles)
    }

    #[test]
    fn values_are_in_the_hosts_table() {
        let (mut store, handles) = failing(false);
        let counters = handles.test_bindgen_counters();
        let file = store.data_mut().table.push(Text("eight".into())).unwrap();
        let borrow = Resource::new_borrow(file.rep());
        assert_eq!(counters.call_measure(&mut store, borrow).unwrap(), 5);
        counters.call_keep(&mut store, file).unwrap();
        let other = store.data_mut().table.push(Text("other".into())).unwrap();
        let rep = other.rep();
        counters.call_keep(&mut store, other).unwrap();
        assert_eq!(store.data().table.len(), 1);
        // A stale number is the method's own error.
        let stale = Resource::new_borrow(rep + 1);
        let error = counters.call_measure(&mut store, stale).unwrap_err();
        assert!(error.is::<cwasm::ResourceTableError>(), "{error:?}");
        let error = counters.call_dropped(&mut store).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
    }

    #[test]
    fn functions_of_resources_fail_as_they_said() {
        // The constructor is the third call; `open` before has succeeded, and failed for the guest.
        let (mut store, handles) = failing(false);
        let error = handles.call_run(&mut store).unwrap_err();
        assert!(format!("{error:?}").contains("fourg"), "{error:?}");
        assert_eq!(store.data().table.len(), 1);
        let (mut store, handles) = failing(true);
        let error = handles.call_run(&mut store).unwrap_err();
        assert!(format!("{error:?}").contains("no disk"), "{error:?}");
    }
}

/// A component that borrows where the world owns, or the other way round.
mod ownership {
    use super::*;

    cwasm::bindgen!({ path: "tests/ownership.wit" });

    use self::files::{File, LentFiles, OwnedFiles};

    const WIT: &str = include_str!("../ownership.wit");

    const GUEST: &str = r#"(module
      (import "files" "[method]file.join" (func (param i32 i32)))
      (import "files" "keep" (func (param i32) (result i32)))
      (import "files" "look" (func (param i32)))
      (import "files" "both" (func (param i32 i32)))
      (import "files" "hold" (func (param i32 i32 i32 i32)))
      (import "files" "lend" (func (param i32 i32 i32 i32)))
      (memory (export "memory") 1)
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
      (func (export "counters#[method]counter.join") (param i32 i32))
      (func (export "counters#keep") (param i32) (result i32) (local.get 0))
      (func (export "counters#look") (param i32))
      (func (export "counters#both") (param i32 i32))
      (func (export "counters#hold") (param i32 i32 i32 i32))
      (func (export "counters#lend") (param i32 i32 i32 i32)))"#;

    struct Nothing;

    impl files::HostFile for Nothing {
        fn join(&mut self, _: Resource<File>, _: Resource<File>) {}

        fn drop(&mut self, _: Resource<File>) -> cwasm::Result<()> {
            Ok(())
        }
    }

    impl files::Host for Nothing {
        fn keep(&mut self, file: Resource<File>) -> Resource<File> {
            file
        }

        fn look(&mut self, _: Resource<File>) {}

        fn both(&mut self, _: Resource<File>, _: Resource<File>) {}

        fn hold(&mut self, _: OwnedFiles) {}

        fn lend(&mut self, _: LentFiles) {}
    }

    /// Links a guest of this world and makes what the host calls.
    fn connect(wit: &str) -> cwasm::Result<()> {
        let workshop = Workshop::new();
        let guest = common::component_of_wit(wit, "ownership", GUEST);
        let artifact = workshop.compile(&guest).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let mut linker = Linker::new(workshop.engine());
        Ownership::add_to_linker(&mut linker, |host: &mut Nothing| host).unwrap();
        let mut store = Store::new(workshop.engine(), Nothing);
        Ownership::instantiate(&mut store, &component, &linker).map(drop)
    }

    #[test]
    fn ownership_of_a_world_is_checked_when_it_is_made() {
        connect(WIT).unwrap();
        // The function, its part that is changed, and what it becomes; `R` is the resource.
        let changes = [
            (
                "[method]R.join",
                "join: func(R: borrow<R>)",
                "join: func(R: R)",
            ),
            ("keep", "keep: func(R: R)", "keep: func(R: borrow<R>)"),
            ("look", "look: func(R: borrow<R>)", "look: func(R: R)"),
            ("both", "a: R, b: borrow<R>)", "a: borrow<R>, b: R)"),
            ("both", "b: borrow<R>)", "b: R)"),
            ("hold", "{ some: option<R>", "{ some: option<borrow<R>>"),
            ("hold", "rest: list<R> }", "rest: list<borrow<R>> }"),
            ("lend", "{ some: option<borrow<R>>", "{ some: option<R>"),
            ("lend", "tuple<u8, borrow<R>>", "tuple<u8, R>"),
        ];
        for (func, from, to) in changes {
            for (interface, resource) in [("files", "file"), ("counters", "counter")] {
                let [func, from, to] = [func, from, to].map(|text| text.replace('R', resource));
                assert_eq!(WIT.matches(&from).count(), 1, "{from}");
                let error = connect(&WIT.replace(&from, &to)).expect_err(&to);
                let error = format!("{error:?}");
                assert!(error.contains(&format!("`{interface}#{func}`")), "{error}");
                let found = error.contains("found a borrowed ");
                assert_ne!(found, error.contains("found an owned "), "{error}");
                let expected = if found { "own" } else { "borrow" };
                let expected = format!("expected `{expected}<{interface}#{resource}>`");
                assert!(error.contains(&expected), "{error}");
            }
        }
    }
}

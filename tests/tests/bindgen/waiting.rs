//! `bindgen!`: async host functions and calls, in the worlds that the other files have without.

use cwasm::{Component, Engine, Linker, Resource, ResourceTable, Store, TrapCode};
use cwasm_tests::artifact::Workshop;

use crate::polls::{After, drive, sent};

fn map(wasm: &[u8]) -> (Workshop, Component) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(wasm).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    (workshop, component)
}

/// Some functions wait: of an interface with others that do not, of one that has no name, and of
/// the world itself. The values are those of `items.rs`.
mod mixed {
    use super::*;

    #[allow(
        unreachable_pub,
        reason = "it is in the signature of a generated trait"
    )]
    pub struct Failed(pub Option<u32>);

    cwasm::bindgen!({
        path: "tests/wit",
        world: "everything",
        imports: {
            "test:bindgen/kinds.all": async,
            "test:bindgen/kinds/try": async,
            "test:bindgen/kinds@1.2.0#nothing": async | trappable,
            "local": async,
            "log": trappable | async,
        },
        exports: {
            default: async,
            "test:bindgen/kinds.borrowed": sync,
        },
        with: { "test:shared/common": crate::items::test::shared::common },
        trappable_error_type: { "test:shared/common/error" => crate::waiting::mixed::Failed },
        additional_derives: [PartialEq],
    });

    use crate::items::test::shared::common::Error;
    use test::bindgen::kinds::{self, Color, Permissions, Person, Shape};

    #[derive(Default)]
    struct State {
        log: Vec<String>,
        nothings: u32,
    }

    impl EverythingImports for State {
        async fn log(&mut self, text: String) -> cwasm::Result<()> {
            After(1).await;
            self.log.push(text);
            After(1).await;
            match self.log.len() {
                3 => Err(cwasm::Error::new(std::fmt::Error)),
                _ => Ok(()),
            }
        }
    }

    impl local::Host for State {
        async fn add(&mut self, a: u32, b: u32) -> u32 {
            After(a + b).await;
            a + b
        }
    }

    impl kinds::Host for State {
        async fn all(
            &mut self,
            person: Person,
            shape: Shape,
            color: Color,
            may: Permissions,
            points: kinds::Points,
            pair: kinds::Pair,
        ) -> (
            Person,
            Shape,
            Color,
            Permissions,
            kinds::Points,
            kinds::Pair,
        ) {
            After(u32::from(pair.0)).await;
            self.log.push(pair.1.clone());
            (person, shape, color, may, points, pair)
        }

        async fn r#try(&mut self, fail: bool) -> Result<u32, Failed> {
            After(1).await;
            self.nothings += 1;
            match (fail, self.nothings) {
                (false, nothings) => Ok(nothings),
                (true, 1) => Err(Failed(Some(1))),
                (true, _) => Err(Failed(None)),
            }
        }

        fn convert_error(&mut self, error: Failed) -> cwasm::Result<Error> {
            self.nothings += 10;
            match error {
                Failed(Some(_)) => Ok(Error::Denied),
                Failed(None) => Err(cwasm::Error::msg("fatal")),
            }
        }

        // What a trait says as a future can also be given as one.
        fn nothing(&mut self) -> impl Future<Output = cwasm::Result<()>> + Send {
            self.nothings += 1;
            std::future::ready(Ok(()))
        }

        fn borrowed(&mut self, a: String, _: Vec<String>, _: Option<String>, store: u32) -> u32 {
            self.log.push(a);
            store
        }
    }

    fn everything() -> (Store<State>, Everything) {
        let (workshop, component) = map(&crate::items::guest());
        let mut linker = Linker::new(workshop.engine());
        Everything::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
        let mut store = Store::new(workshop.engine(), State::default());
        let instance = Everything::instantiate_async(&mut store, &component, &linker);
        let (instance, pending) = drive(sent(instance));
        assert_eq!(pending, 0);
        (store, instance.unwrap())
    }

    #[test]
    fn calls_wait_as_often_as_what_they_call() {
        use exports::test::bindgen::kinds as exported;

        let (mut store, everything) = everything();
        let guest = everything.test_bindgen_kinds();
        let at = exported::Point { x: 1.5, y: -1.5 };
        let person = exported::Person {
            name: "Ada".to_owned(),
            age: Some(36),
            at,
        };
        let shape = exported::Shape::Named("größe".to_owned());
        let may = exported::Permissions::READ | exported::Permissions::RUN_IT;
        let color = exported::Color::DarkGreen;
        for polls in [0, 1, 9] {
            let pair = (polls, "pair".to_owned());
            let points = vec![at, at];
            let call = guest.call_all(&mut store, &person, &shape, color, may, &points, &pair);
            let (found, pending) = drive(sent(call));
            let expected = (person.clone(), shape.clone(), color, may, points, pair);
            assert_eq!(found.unwrap(), expected);
            assert_eq!(pending, u32::from(polls));
        }
        assert_eq!(store.data().log, ["pair"; 3]);
        // This one waits for nothing, and is called without.
        let found = guest.call_borrowed(&mut store, "a", &[], None, 5);
        assert_eq!(found.unwrap(), 5);
        let (found, pending) = drive(guest.call_nothing(&mut store));
        found.unwrap();
        assert_eq!((pending, store.data().nothings), (0, 1));
    }

    #[test]
    fn functions_of_the_world_and_of_an_interface_without_a_name_wait() {
        let (mut store, everything) = everything();
        let mine = Mine {
            at: Point { x: 1.0, y: 2.0 },
        };
        for _ in 0..2 {
            let (found, pending) = drive(sent(everything.call_run(&mut store, mine)));
            assert_eq!(found.unwrap().at, Point { x: 2.0, y: 1.0 });
            assert_eq!(pending, 5 + 2);
        }
        assert_eq!(store.data().log, ["five"; 2]);
        let (found, pending) = drive(everything.call_run(&mut store, mine));
        assert!(found.unwrap_err().is::<std::fmt::Error>());
        assert_eq!(pending, 7);
    }

    #[test]
    fn errors_are_converted_after_the_wait() {
        let (mut store, everything) = everything();
        let guest = everything.test_bindgen_kinds();
        let (found, pending) = drive(guest.call_try(&mut store, true));
        assert_eq!(found.unwrap(), Err(Error::Denied));
        assert_eq!((pending, store.data().nothings), (1, 11));
        let (found, _) = drive(guest.call_try(&mut store, false));
        assert_eq!(found.unwrap(), Ok(12));
        let (found, pending) = drive(guest.call_try(&mut store, true));
        let error = format!("{:?}", found.unwrap_err());
        assert!(error.contains("fatal"), "{error}");
        assert_eq!((pending, store.data().nothings), (1, 23));
    }

    #[test]
    fn a_call_is_cancelled_when_it_is_dropped() {
        let (mut store, everything) = everything();
        let mine = Mine {
            at: Point { x: 1.0, y: 2.0 },
        };
        let mut call = Box::pin(everything.call_run(&mut store, mine));
        // `add` has waited, and `log` waits for the second time.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..7 {
            assert!(call.as_mut().poll(&mut context).is_pending());
        }
        drop(call);
        assert_eq!(store.data().log, ["five"]);
        let (found, _) = drive(everything.call_run(&mut store, mine));
        let error = found.unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
    }
}

/// All functions of resources wait, and their destructors; the guest's own are called so, too.
mod resources {
    use super::*;

    #[derive(Debug)]
    #[allow(
        unreachable_pub,
        reason = "it is in the signature of a generated trait"
    )]
    pub struct Text(pub String);

    #[allow(
        unreachable_pub,
        reason = "it is in the signature of a generated trait"
    )]
    pub struct Missing;

    cwasm::bindgen!({
        path: "tests/wit",
        world: "handles",
        imports: { default: async | trappable },
        exports: { "test:bindgen": async, default: async },
        with: { "test:bindgen/files/file": crate::waiting::resources::Text },
        trappable_error_type: { "test:bindgen/files/error" => crate::waiting::resources::Missing },
    });

    use test::bindgen::{copies, files};

    #[derive(Default)]
    struct State {
        texts: ResourceTable,
        log: Vec<String>,
    }

    impl State {
        fn length(&self, file: &Resource<Text>) -> cwasm::Result<u32> {
            Ok(self.texts.get(file)?.0.len() as u32)
        }
    }

    impl files::HostFile for State {
        async fn new(&mut self, name: String) -> cwasm::Result<Resource<Text>> {
            After(1).await;
            Ok(self.texts.push(Text(name))?)
        }

        async fn len(&mut self, self_: Resource<Text>) -> cwasm::Result<u32> {
            After(10).await;
            self.length(&self_)
        }

        async fn join(
            &mut self,
            self_: Resource<Text>,
            other: Resource<Text>,
        ) -> cwasm::Result<Resource<Text>> {
            After(100).await;
            let both = [&self_, &other].map(|file| self.texts.get(file).unwrap().0.as_str());
            let both = both.concat();
            Ok(self.texts.push(Text(both))?)
        }

        async fn open(&mut self, name: String) -> Result<Resource<Text>, Missing> {
            After(1000).await;
            match name.as_str() {
                "four" => self.texts.push(Text(name)).map_err(|_| Missing),
                _ => Err(Missing),
            }
        }

        async fn drop_(&mut self, self_: Resource<Text>) -> cwasm::Result<u32> {
            After(10_000).await;
            Ok(1000 + self.length(&self_)?)
        }

        async fn drop(&mut self, rep: Resource<Text>) -> cwasm::Result<()> {
            After(3).await;
            let text = self.texts.delete(rep)?;
            self.log.push(format!("drop {}", text.0));
            match text.0.as_str() {
                "bad" => Err(cwasm::Error::new(std::fmt::Error)),
                _ => Ok(()),
            }
        }
    }

    impl files::Host for State {
        async fn longest(&mut self, files: Vec<Resource<Text>>) -> cwasm::Result<u32> {
            let mut longest = 0;
            for file in &files {
                After(1).await;
                longest = longest.max(self.length(file)?);
            }
            Ok(longest)
        }

        async fn close(&mut self, files::Named { name, file }: files::Named) -> cwasm::Result<()> {
            After(1).await;
            self.log.push(format!("close {name}"));
            self.texts.delete(file)?;
            Ok(())
        }

        fn convert_error(&mut self, _: Missing) -> cwasm::Result<files::Error> {
            Ok(files::Error::Missing)
        }
    }

    impl copies::Host for State {
        async fn copy(&mut self, document: Resource<Text>) -> cwasm::Result<Resource<Text>> {
            let text = self.texts.get(&document)?.0.clone();
            After(1).await;
            Ok(self.texts.push(Text(text))?)
        }
    }

    impl HostToken for State {
        async fn new(&mut self, id: u32) -> cwasm::Result<Resource<Token>> {
            Ok(Resource::new_own(id))
        }

        async fn id(&mut self, self_: Resource<Token>) -> cwasm::Result<u32> {
            After(2).await;
            Ok(self_.rep())
        }

        async fn drop(&mut self, rep: Resource<Token>) -> cwasm::Result<()> {
            After(rep.rep()).await;
            self.log.push(format!("spent {}", rep.rep()));
            Ok(())
        }
    }

    impl HandlesImports for State {}

    fn handles() -> (Store<State>, Handles) {
        let (workshop, component) = map(&crate::resources::guest());
        let mut linker = Linker::new(workshop.engine());
        Handles::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
        let mut store = Store::new(workshop.engine(), State::default());
        let handles = Handles::instantiate_async(&mut store, &component, &linker);
        let handles = drive(handles).0.unwrap();
        (store, handles)
    }

    #[test]
    fn guests_use_the_hosts_resources() {
        let (mut store, handles) = handles();
        let (found, pending) = drive(sent(handles.call_run(&mut store)));
        assert_eq!(found.unwrap(), 21009);
        // `open` twice, a constructor, `join`, `copy`, `longest` of two, `close`, a destructor, the
        // method `drop`, and `id` of a token.
        assert_eq!(pending, 2000 + 1 + 100 + 1 + 2 + 1 + 3 + 10_000 + 2);
        assert_eq!(store.data().log, ["close four", "drop fourgfour"]);
    }

    #[test]
    fn hosts_lend_and_give_their_resources() {
        let (mut store, handles) = handles();
        let counters = handles.test_bindgen_counters();
        let file = store.data_mut().texts.push(Text("seven".into())).unwrap();
        for _ in 0..2 {
            let lent = Resource::new_borrow(file.rep());
            let (found, pending) = drive(sent(counters.call_measure(&mut store, lent)));
            assert_eq!((found.unwrap(), pending), (5, 10));
        }
        let (found, pending) = drive(counters.call_keep(&mut store, file));
        found.unwrap();
        assert_eq!(pending, 0);
        let bad = store.data_mut().texts.push(Text("bad".into())).unwrap();
        let (found, pending) = drive(counters.call_keep(&mut store, bad));
        found.unwrap();
        assert_eq!(pending, 3);
        let (found, pending) = drive(handles.call_spend(&mut store, Resource::new_own(5)));
        assert_eq!((found.unwrap(), pending), (5, 2 + 5));
        assert_eq!(store.data().log, ["drop seven", "spent 5"]);
        let last = store.data_mut().texts.push(Text("last".into())).unwrap();
        let (found, pending) = drive(counters.call_keep(&mut store, last));
        assert!(found.unwrap_err().is::<std::fmt::Error>());
        assert_eq!(pending, 3);
    }

    #[test]
    fn guests_resources_have_methods() {
        let (mut store, handles) = handles();
        let counters = handles.test_bindgen_counters();
        let counter = counters.counter();
        let new = |store: &mut _, start| drive(counter.call_constructor(store, start)).0.unwrap();
        let (a, b) = (new(&mut store, 5), new(&mut store, 30));
        let call = async {
            assert_eq!(counter.call_add(&mut store, a, 2).await?, 7);
            assert_eq!(counter.call_constructor_(&mut store, a).await?, 1007);
            let sums = handles.test_bindgen_sums();
            assert_eq!(sums.call_sum(&mut store, &[a, b, a]).await?, 44);
            let merged = counter.call_merge(&mut store, a, b).await?;
            let passed = counters.call_pass(&mut store, Some(merged)).await?;
            let labelled = counters.call_label(&mut store, 3, passed.unwrap()).await?;
            labelled.counter.resource_drop_async(&mut store).await?;
            counters.call_dropped(&mut store).await
        };
        let (dropped, pending) = drive(sent(call));
        assert_eq!((dropped.unwrap(), pending), (37, 0));
    }

    #[test]
    fn calls_that_do_not_wait_name_those_that_do() {
        let (workshop, component) = map(&crate::resources::guest());
        let mut linker = Linker::new(workshop.engine());
        Handles::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
        let mut store = Store::new(workshop.engine(), State::default());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run");
        let error = run.unwrap().call(&mut store, ()).unwrap_err();
        assert!(format!("{error:?}").contains("call_async"), "{error:?}");
    }
}

/// An interface that is imported and exported by labels, each with a host of its own.
mod labels {
    use super::*;

    cwasm::bindgen!({
        path: "tests/wit",
        world: "labels",
        imports: {
            "test:bindgen/store.get": async,
            "test:bindgen/store.[method]cursor.next": async,
            "test:bindgen/store.[drop]cursor": async,
        },
        exports: { "test:bindgen/totals": async },
    });

    use exports::test::bindgen::totals::Guest;
    use test::bindgen::store::{self, Cursor, Entry};

    /// Waits as often as its steps are wide.
    #[derive(Default)]
    struct Shelf {
        step: u32,
        cursor: u32,
        dropped: u32,
    }

    impl store::HostCursor for Shelf {
        fn new(&mut self, start: u32) -> Resource<Cursor> {
            self.cursor = start;
            Resource::new_own(7)
        }

        async fn next(&mut self, _: Resource<Cursor>) -> u32 {
            After(self.step).await;
            self.cursor += self.step;
            self.cursor
        }

        async fn drop(&mut self, rep: Resource<Cursor>) -> cwasm::Result<()> {
            After(1).await;
            self.dropped += rep.rep();
            Ok(())
        }
    }

    impl store::Host for Shelf {
        async fn get(&mut self, key: String) -> Entry {
            After(self.step).await;
            let value = self.step;
            Entry { key, value }
        }
    }

    type Shelves = [Shelf; 3];

    fn linker(engine: &Engine) -> Linker<Shelves> {
        let mut linker = Linker::new(engine);
        for (index, label) in ["primary", "secondary"].into_iter().enumerate() {
            let mut instance = linker.instance(label).unwrap();
            store::add_to_linker_instance(&mut instance, move |shelves: &mut Shelves| {
                &mut shelves[index]
            })
            .unwrap();
        }
        store::add_to_linker(&mut linker, |shelves| &mut shelves[2]).unwrap();
        linker
    }

    #[test]
    fn each_label_has_a_host_of_its_own() {
        let workshop = Workshop::new();
        let component = crate::labels::component(&workshop);
        let linker = linker(workshop.engine());
        let shelves = [1, 20, 300].map(|step| Shelf {
            step,
            ..Shelf::default()
        });
        let mut store = Store::new(workshop.engine(), shelves);
        let labels = drive(Labels::instantiate_async(&mut store, &component, &linker));
        let labels = labels.0.unwrap();
        let guests: [(&Guest, _); 3] = [
            (labels.a(), 1),
            (labels.b(), 20),
            (labels.test_bindgen_totals(), 300),
        ];
        for (guest, step) in guests {
            let (found, pending) = drive(sent(guest.call_get(&mut store, "key")));
            let found = found.unwrap();
            assert_eq!(
                (found.key.as_str(), found.value, pending),
                ("key", step, step)
            );
            let (found, pending) = drive(sent(guest.call_walk(&mut store, 5)));
            assert_eq!((found.unwrap(), pending), (5 + 2 * step, 2 * step + 1));
        }
        let dropped = store.data().each_ref().map(|shelf| shelf.dropped);
        assert_eq!(dropped, [7; 3]);
    }
}

/// Names that generated code has itself.
mod names {
    use super::*;

    cwasm::bindgen!({
        inline: "
            package test:names;
            interface names {
                resource t { get: func(h: h) -> h; }
                resource store;
                record h { t: u32 }
                call: func(store: borrow<store>, host: h, get: borrow<t>, linker: string) -> h;
            }
            world naming { import names; }
        ",
        imports: { default: async },
    });

    use test::names::names::{self, H};

    struct Host;

    impl names::HostT for Host {
        async fn get(&mut self, _: Resource<names::T>, h: H) -> H {
            h
        }

        async fn drop(&mut self, _: Resource<names::T>) -> cwasm::Result<()> {
            Ok(())
        }
    }

    impl names::HostStore for Host {
        async fn drop(&mut self, _: Resource<names::Store>) -> cwasm::Result<()> {
            Ok(())
        }
    }

    impl names::Host for Host {
        async fn call(
            &mut self,
            _: Resource<names::Store>,
            host: H,
            _: Resource<names::T>,
            _: String,
        ) -> H {
            host
        }
    }

    #[test]
    fn names_of_a_world_are_its_own() {
        let wit = "(component
            (import \"test:names/names\" (instance
              (export \"t\" (type $t (sub resource)))
              (export \"store\" (type $store (sub resource)))
              (type $h' (record (field \"t\" u32)))
              (export \"h\" (type $h (eq $h')))
              (export \"[method]t.get\" (func (param \"self\" (borrow $t)) (param \"h\" $h)
                (result $h)))
              (export \"call\" (func (param \"store\" (borrow $store)) (param \"host\" $h)
                (param \"get\" (borrow $t)) (param \"linker\" string) (result $h))))))";
        let (workshop, component) = map(wit.as_bytes());
        let mut linker = Linker::new(workshop.engine());
        Naming::add_to_linker(&mut linker, |host: &mut Host| host).unwrap();
        let mut store = Store::new(workshop.engine(), Host);
        let naming = drive(Naming::instantiate_async(&mut store, &component, &linker));
        naming.0.unwrap();
    }
}

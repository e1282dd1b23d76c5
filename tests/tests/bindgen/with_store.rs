//! Host functions and destructors that get the way to the store, by the rule `store`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cwasm::{Access, Linker, Resource, Result, Store, StreamReader, StreamWriter};
use cwasm_tests::artifact::Workshop;

/// `open` is the host's; `close` drops what it is given.
const GUEST: &str = r#"(component
  (import "test:files/files" (instance $files
    (export "file" (type $file (sub resource)))
    (export "open" (func (param "n" u32) (result (stream u8))))))
  (alias export $files "file" (type $file))
  (alias export $files "open" (func $open))
  (canon lower (func $open) (core func $open'))
  (canon resource.drop $file (core func $drop))
  (core module $m
    (import "" "open" (func $open (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "open") (param i32) (result i32) (call $open (local.get 0)))
    (func (export "close") (param i32) (call $drop (local.get 0))))
  (core instance $i (instantiate $m (with "" (instance
    (export "open" (func $open')) (export "drop" (func $drop))))))
  (func (export "open") (param "n" u32) (result (stream u8))
    (canon lift (core func $i "open")))
  (func (export "close") (param "file" (own $file))
    (canon lift (core func $i "close"))))"#;

cwasm::bindgen!({
    inline: "
        package test:files;
        interface files {
            resource file;
            open: func(n: u32) -> stream<u8>;
        }
        world app {
            import files;
            use files.{file};
            export open: func(n: u32) -> stream<u8>;
            export close: func(file: file);
        }
    ",
    imports: {
        "test:files/files.open": store | trappable,
        "test:files/files.[drop]file": store,
    },
    with: { "test:files/files/file": u32 },
});

use test::files::files;

#[derive(Default)]
struct State {
    opened: u32,
    closed: Arc<AtomicU32>,
}

impl files::HostFile for State {
    fn drop<T: 'static>(access: Access<'_, T, State>, file: Resource<u32>) -> Result<()> {
        let number = file.rep();
        // A spawned future has the host, also when whoever spawned it is over.
        access.spawn(move |access| {
            Box::pin(async move {
                access.with(|state| state.closed.fetch_add(number, Ordering::Relaxed));
            })
        });
        Ok(())
    }
}

impl files::Host for State {
    fn open<T: 'static>(access: Access<'_, T, State>, n: u32) -> Result<StreamReader<u8>> {
        if n == 0 {
            return Err(cwasm::Error::msg("there is no such file"));
        }
        access.with(|state| state.opened += n);
        let (mut writer, reader) = access.accessor().with(|store| StreamWriter::pair(store));
        access.spawn(move |access| {
            Box::pin(async move {
                let bytes = vec![b'a'; n as usize];
                let left = writer.write_all(access.accessor(), bytes).await;
                assert!(left.unwrap().is_empty());
                access.accessor().with(|store| writer.close(store)).unwrap();
            })
        });
        Ok(reader)
    }
}

fn app() -> (Store<State>, App) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::new(workshop.engine());
    App::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
    let mut store = Store::new(workshop.engine(), State::default());
    let app = App::instantiate(&mut store, &component, &linker).unwrap();
    (store, app)
}

#[test]
fn a_plain_function_returns_a_stream_that_is_written_later() {
    let (mut store, app) = app();
    let reader = app.call_open(&mut store, 100_000).unwrap();
    assert_eq!(store.data().opened, 100_000);
    let read = store.run_concurrent(async |accessor| reader.collect(accessor).await);
    let bytes = cwasm::block_on(read).unwrap().unwrap();
    assert_eq!(bytes, vec![b'a'; 100_000]);
}

#[test]
fn an_error_ends_the_call() {
    let (mut store, app) = app();
    let error = app.call_open(&mut store, 0).unwrap_err();
    assert!(format!("{error:?}").contains("there is no such file"));
}

#[test]
fn a_destructor_has_the_store() {
    let (mut store, app) = app();
    let closed = Arc::clone(&store.data().closed);
    app.call_close(&mut store, Resource::new_own(7)).unwrap();
    let polled = std::future::poll_fn(|context| store.poll(context));
    cwasm::block_on(polled).unwrap();
    assert_eq!(closed.load(Ordering::Relaxed), 7);
}

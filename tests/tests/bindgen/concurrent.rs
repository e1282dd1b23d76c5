//! `bindgen!`: functions that WIT declares as `async func`, and streams.

use cwasm::{Access, Component, Linker, Result, Store, StreamReader, StreamWriter};
use cwasm_tests::artifact::Workshop;

use crate::polls::{After, drive, sent};

/// `sum(a, b)` is what `fetch` makes of them, added; an error counts 1000 or its status. `echo`
/// gives its text to `note` before it returns it.
const GUEST: &str = r#"(component
  (import "test:concurrent/http" (instance $http
    (type $e' (variant (case "refused") (case "status" u16)))
    (export "error" (type $e (eq $e')))
    (export "fetch" (func async (param "n" u32) (result (result u32 (error $e)))))
    (export "count" (func (result u32)))))
  (import "note" (func $note async (param "text" string)))
  (core module $libc (memory (export "mem") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3)))))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (canon lower (func $http "fetch") (memory $mem) (core func $fetch))
  (canon lower (func $note) (memory $mem) (core func $note'))
  (canon task.return (result u32) (core func $return))
  (canon task.return (result string) (memory $mem) (core func $return-text))
  (core module $m
    (import "" "mem" (memory 1))
    (import "" "fetch" (func $fetch (param i32 i32)))
    (import "" "note" (func $note (param i32 i32)))
    (import "" "return" (func $return (param i32)))
    (import "" "return-text" (func $return-text (param i32 i32)))
    (func $value (param $n i32) (param $at i32) (result i32)
      (call $fetch (local.get $n) (local.get $at))
      (if (i32.eqz (i32.load8_u (local.get $at)))
        (then (return (i32.load offset=4 (local.get $at)))))
      (if (i32.eqz (i32.load8_u offset=4 (local.get $at))) (then (return (i32.const 1000))))
      (i32.load16_u offset=6 (local.get $at)))
    (func (export "sum") (param $a i32) (param $b i32)
      (call $return (i32.add
        (call $value (local.get $a) (i32.add (i32.const 64) (i32.shl (local.get $a) (i32.const 4))))
        (call $value (local.get $b) (i32.add (i32.const 512) (i32.shl (local.get $b) (i32.const 4)))))))
    (func (export "echo") (param i32 i32)
      (call $note (local.get 0) (local.get 1))
      (call $return-text (local.get 0) (local.get 1)))
    (func (export "pass") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m (with "" (instance
    (export "mem" (memory $mem)) (export "fetch" (func $fetch)) (export "note" (func $note'))
    (export "return" (func $return)) (export "return-text" (func $return-text))))))
  (func (export "sum") async (param "a" u32) (param "b" u32) (result u32)
    (canon lift (core func $i "sum") async))
  (func (export "echo") async (param "text" string) (result string)
    (canon lift (core func $i "echo") async (memory $mem)
      (realloc (core func $libc "realloc"))))
  (func (export "pass") (param "bytes" (stream u8)) (result (stream u8))
    (canon lift (core func $i "pass"))))"#;

fn map() -> (Workshop, Component) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    (workshop, component)
}

/// What has no rule runs beside others.
mod beside {
    use super::*;

    cwasm::bindgen!({
        inline: "
            package test:concurrent;
            interface http {
                variant error { refused, status(u16) }
                fetch: async func(n: u32) -> result<u32, error>;
                count: func() -> u32;
            }
            world app {
                import http;
                import note: async func(text: string);
                export sum: async func(a: u32, b: u32) -> u32;
                export echo: async func(text: string) -> string;
                export pass: func(bytes: stream<u8>) -> stream<u8>;
            }
        ",
    });

    use test::concurrent::http::{self, Error};

    #[derive(Default)]
    struct State {
        live: u32,
        most: u32,
        notes: Vec<String>,
    }

    impl http::Host for State {
        async fn fetch<T: 'static>(
            access: Access<'_, T, Self>,
            n: u32,
        ) -> std::result::Result<u32, Error> {
            access.with(|state| {
                state.live += 1;
                state.most = state.most.max(state.live);
            });
            After(n).await;
            access.with(|state| state.live -= 1);
            match n {
                7 => Err(Error::Refused),
                8 => Err(Error::Status(404)),
                n => Ok(2 * n),
            }
        }

        fn count(&mut self) -> u32 {
            self.most
        }
    }

    impl AppImports for State {
        async fn note<T: 'static>(access: Access<'_, T, Self>, text: String) {
            After(1).await;
            access.with(|state| state.notes.push(text));
        }
    }

    /// The host is a part of the store's data.
    fn app() -> (Store<(u32, State)>, App) {
        let (workshop, component) = map();
        let mut linker = Linker::new(workshop.engine());
        App::add_to_linker(&mut linker, |data: &mut (u32, State)| &mut data.1).unwrap();
        let mut store = Store::new(workshop.engine(), (0, State::default()));
        let app = App::instantiate(&mut store, &component, &linker).unwrap();
        (store, app)
    }

    #[test]
    fn calls_run_beside_each_other() {
        let (mut store, app) = app();
        let run = store.run_concurrent(async |accessor| {
            let mut first = Box::pin(app.call_sum(accessor, 3, 2));
            let mut second = Box::pin(app.call_sum(accessor, 1, 4));
            // Both begin.
            let (mut a, mut b) = (None, None);
            std::future::poll_fn(|context| {
                if let (None, std::task::Poll::Ready(sum)) = (&a, first.as_mut().poll(context)) {
                    a = Some(sum);
                }
                if let (None, std::task::Poll::Ready(sum)) = (&b, second.as_mut().poll(context)) {
                    b = Some(sum);
                }
                match (&a, &b) {
                    (Some(_), Some(_)) => std::task::Poll::Ready(()),
                    _ => std::task::Poll::Pending,
                }
            })
            .await;
            (a.unwrap().unwrap(), b.unwrap().unwrap())
        });
        assert_eq!(drive(sent(run)).0.unwrap(), (10, 10));
        let State { live, most, .. } = store.data().1;
        assert_eq!((live, most), (0, 2));
    }

    #[test]
    fn errors_are_the_worlds() {
        let (mut store, app) = app();
        let run = store.run_concurrent(async |accessor| {
            let refused = app.call_sum(accessor, 7, 0).await?;
            let status = app.call_sum(accessor, 0, 8).await?;
            Ok::<_, cwasm::Error>((refused, status))
        });
        assert_eq!(drive(run).0.unwrap().unwrap(), (1000, 404));
    }

    #[test]
    fn strings_are_given_and_returned() {
        let (mut store, app) = app();
        let run = store
            .run_concurrent(async |accessor| app.call_echo(accessor, "größe".to_owned()).await);
        assert_eq!(drive(run).0.unwrap().unwrap(), "größe");
        assert_eq!(store.data().1.notes, ["größe"]);
    }

    #[test]
    fn streams_pass_through() {
        let (mut store, app) = app();
        let (mut writer, reader) = StreamWriter::<u8>::pair(&mut store);
        let mut back: StreamReader<u8> = app.call_pass(&mut store, reader).unwrap();
        let run = store.run_concurrent(async move |accessor| {
            accessor.spawn(move |accessor| {
                Box::pin(async move {
                    let left = writer.write_all(accessor, vec![1, 2, 3]).await;
                    assert!(left.unwrap().is_empty());
                })
            });
            back.read(accessor, 8).await
        });
        assert_eq!(drive(run).0.unwrap().unwrap(), [1, 2, 3]);
    }
}

/// Rules: host functions that do not wait, or can fail, and calls that have the store alone.
mod chosen {
    use super::*;

    #[allow(
        unreachable_pub,
        reason = "it is in the signature of a generated trait"
    )]
    pub struct Failed(pub u16);

    cwasm::bindgen!({
        inline: "
            package test:concurrent;
            interface http {
                variant error { refused, status(u16) }
                fetch: async func(n: u32) -> result<u32, error>;
                count: func() -> u32;
            }
            world app {
                import http;
                import note: async func(text: string);
                export sum: async func(a: u32, b: u32) -> u32;
                export echo: async func(text: string) -> string;
                export pass: func(bytes: stream<u8>) -> stream<u8>;
            }
        ",
        imports: { "note": sync | trappable },
        exports: { "sum": async, "echo": sync },
        trappable_error_type: { "test:concurrent/http/error" => crate::concurrent::chosen::Failed },
    });

    use test::concurrent::http::{self, Error};

    #[derive(Default)]
    struct State {
        notes: u32,
    }

    impl http::Host for State {
        async fn fetch<T: 'static>(
            _: Access<'_, T, Self>,
            n: u32,
        ) -> std::result::Result<u32, Failed> {
            After(n).await;
            match n {
                0..5 => Ok(n),
                n => Err(Failed(n as u16)),
            }
        }

        fn count(&mut self) -> u32 {
            0
        }

        fn convert_error(&mut self, Failed(status): Failed) -> Result<Error> {
            match status {
                9 => Err(cwasm::Error::msg("nine")),
                status => Ok(Error::Status(status)),
            }
        }
    }

    impl AppImports for State {
        fn note(&mut self, text: String) -> Result<()> {
            self.notes += 1;
            match text.as_str() {
                "fail" => Err(cwasm::Error::msg("it was told to")),
                _ => Ok(()),
            }
        }
    }

    fn app() -> (Store<State>, App) {
        let (workshop, component) = map();
        let mut linker = Linker::new(workshop.engine());
        App::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
        let mut store = Store::new(workshop.engine(), State::default());
        let app = App::instantiate(&mut store, &component, &linker).unwrap();
        (store, app)
    }

    #[test]
    fn a_call_has_the_store() {
        let (mut store, app) = app();
        assert_eq!(drive(sent(app.call_sum(&mut store, 3, 4))).0.unwrap(), 7);
        assert_eq!(app.call_echo(&mut store, "a").unwrap(), "a");
        assert_eq!(store.data().notes, 1);
    }

    #[test]
    fn errors_are_converted_by_the_host() {
        let (mut store, app) = app();
        assert_eq!(drive(app.call_sum(&mut store, 3, 6)).0.unwrap(), 9);
        let error = drive(app.call_sum(&mut store, 3, 9)).0.unwrap_err();
        assert!(format!("{error:?}").contains("nine"));
    }

    #[test]
    fn functions_that_can_fail_end_the_call() {
        let (mut store, app) = app();
        let error = app.call_echo(&mut store, "fail").unwrap_err();
        assert!(format!("{error:?}").contains("it was told to"));
    }
}

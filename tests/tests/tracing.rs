//! Spans and events, as a subscriber of `tracing` gets them.

use std::io::Write;
use std::sync::{Arc, Mutex};

use cwasm::{Component, Engine, InstancePre, Linker, Store};
use cwasm_tests::artifact::Workshop;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What a subscriber has written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines of spans that have ended and of events, while `work` is done.
fn lines<R>(level: &str, work: impl FnOnce() -> R) -> (R, Vec<String>) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(
            level
                .parse::<tracing_subscriber::filter::LevelFilter>()
                .unwrap(),
        )
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        // Only spans have times.
        .with_timer(())
        .with_ansi(false)
        .finish();
    let result = {
        let _default = subscriber.set_default();
        work()
    };
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = text.lines().map(|line| line.trim_start().to_owned());
    (result, lines.collect())
}

/// Whether one of the lines has all of these parts.
#[track_caller]
fn has(lines: &[String], parts: &[&str]) {
    let found = lines
        .iter()
        .any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(found, "no line with {parts:?} in {lines:#?}");
}

const GUEST: &str = r#"(component
  (import "refuse" (func $refuse))
  (core func $refuse (canon lower (func $refuse)))
  (core module $m
    (import "" "refuse" (func $refuse))
    (memory 1)
    (func $"le\1baf" unreachable)
    (func $stop (export "stop") (call $"le\1baf"))
    (func (export "refused") (call $refuse))
    (func (export "fine") (i32.store (i32.const 8) (i32.const 1))))
  (core instance $i (instantiate $m (with "" (instance (export "refuse" (func $refuse))))))
  (func (export "stop") (canon lift (core func $i "stop")))
  (func (export "refused") (canon lift (core func $i "refused")))
  (func (export "fine") (canon lift (core func $i "fine"))))"#;

/// A host of [`GUEST`], in which `refuse` fails or waits.
struct Host {
    workshop: Workshop,
    component: Component,
    linker: Linker<()>,
}

impl Host {
    fn new(waits: bool) -> Host {
        let workshop = Workshop::new();
        let artifact = workshop.compile(&wat::parse_str(GUEST).unwrap()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let mut linker = Linker::new(workshop.engine());
        let mut root = linker.root();
        let defined = match waits {
            false => root.func_wrap("refuse", |_, (): ()| Err::<(), _>("no".into())),
            true => root.func_wrap_async("refuse", |_, (): ()| {
                let mut polls = 0;
                let wait = std::future::poll_fn(move |context| {
                    polls += 1;
                    context.waker().wake_by_ref();
                    match polls {
                        1..3 => std::task::Poll::Pending,
                        _ => std::task::Poll::Ready(()),
                    }
                });
                Box::new(async move {
                    wait.await;
                    Ok(())
                })
            }),
        };
        defined.unwrap();
        Host {
            workshop,
            component,
            linker,
        }
    }

    fn engine(&self) -> &Engine {
        self.workshop.engine()
    }

    /// Calls a function of a new instance.
    fn call(&self, pre: &InstancePre<()>, name: &str) -> cwasm::Result<()> {
        let mut store = Store::new(self.engine(), ());
        let instance = pre.instantiate(&mut store)?;
        let func = instance.get_typed_func::<(), ()>(&mut store, name)?;
        func.call(&mut store, ())
    }
}

#[test]
fn what_happens_is_told() {
    let host = Host::new(false);
    let artifact = host.workshop.compile(&wat::parse_str(GUEST).unwrap());
    let path = host.workshop.write(&artifact.unwrap());
    let (pre, told) = lines("trace", || {
        host.workshop.map_component_at(&path).unwrap();
        host.linker.instantiate_pre(&host.component).unwrap()
    });
    let shown = format!("path={}", path.display());
    let size = format!("bytes={}", std::fs::metadata(&path).unwrap().len());
    has(
        &told,
        &[
            "DEBUG",
            "load{",
            &shown,
            "kind=component",
            "artifact mapped",
            &size,
        ],
    );
    has(&told, &["DEBUG", "load{", "close", "time.busy="]);
    has(&told, &["DEBUG", "link", "component linked", "imports=1"]);

    let (result, told) = lines("trace", || host.call(&pre, "fine"));
    result.unwrap();
    has(
        &told,
        &["DEBUG", "instantiate", "instance made", "reused=false"],
    );
    has(&told, &["DEBUG", "instantiate", "close"]);
    has(
        &told,
        &["TRACE", "call{export=fine}", "close", "time.busy="],
    );
    has(
        &told,
        &[
            "TRACE",
            "instance recycled",
            "copied=",
            "emptied=",
            "fenced=",
        ],
    );

    let (result, told) = lines("trace", || host.call(&pre, "stop"));
    assert!(result.is_err());
    has(&told, &["instance made", "reused=true"]);
    // The name cannot change the colours of a terminal.
    let frames = r"frames=le\u{1b}af < stop";
    has(
        &told,
        &[
            "WARN",
            "call{export=stop}",
            "guest trapped",
            "code=unreachable",
            frames,
        ],
    );

    let (result, told) = lines("trace", || host.call(&pre, "refused"));
    assert!(result.is_err());
    has(&told, &["DEBUG", "call{export=refused}", "guest trapped"]);
}

#[test]
fn levels_choose_what_is_told() {
    let host = Host::new(false);
    let pre = host.linker.instantiate_pre(&host.component).unwrap();
    let run = |level: &str| {
        let (_, told) = lines(level, || {
            host.call(&pre, "fine").unwrap();
            assert!(host.call(&pre, "refused").is_err());
            assert!(host.call(&pre, "stop").is_err());
        });
        told
    };
    assert_eq!(run("off"), [""; 0]);
    let warned = run("warn");
    assert_eq!(warned.len(), 1, "{warned:#?}");
    has(&warned, &["WARN", "guest trapped"]);
    let debugged = run("debug");
    has(&debugged, &["instance made"]);
    assert!(
        !debugged.iter().any(|line| line.contains("call{")),
        "{debugged:#?}"
    );
}

#[test]
fn calls_that_wait_have_one_span() {
    let host = Host::new(true);
    let pre = host.linker.instantiate_pre(&host.component).unwrap();
    let (result, told) = lines("trace", || {
        cwasm::block_on(async {
            let mut store = Store::new(host.engine(), ());
            let instance = pre.instantiate_async(&mut store).await?;
            let func = instance.get_typed_func::<(), ()>(&mut store, "refused")?;
            func.call_async(&mut store, ()).await
        })
    });
    result.unwrap();
    let closed = told
        .iter()
        .filter(|line| line.contains("call{export=refused}: cwasm: close"));
    assert_eq!(closed.count(), 1, "{told:#?}");
    let made = told
        .iter()
        .filter(|line| line.contains("instantiate: cwasm: close"));
    assert_eq!(made.count(), 1, "{told:#?}");
}

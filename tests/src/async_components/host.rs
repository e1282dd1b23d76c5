//! What the components import: functions whose results take their time.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use cwasm::{
    Accessor, Engine, Instance, Linker, Resource, ResourceType, Result, Store, StoreContextMut, Val,
};
use cwasm_wasi::{OutputBuffer, Stdout, WasiCtx, WasiCtxBuilder};

use super::streams::{self, Given, Returned};
use crate::random::Random;

/// When a function of the host is ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    AtOnce,
    /// At the second poll.
    Later,
    /// After some milliseconds.
    Timed,
    /// One of these, in an order that depends on the seed.
    Any,
    Never,
}

/// How much of the standard error is kept.
const MAX_OUTPUT: usize = 1 << 16;

pub(super) struct Host {
    wasi: WasiCtx,
    stderr: OutputBuffer,
    when: When,
    random: Random,
    live: Live,
    things: Vec<Thing>,
    /// What `foo` of `post-return` was given last.
    posted: String,
    /// The first thing that the host has found wrong.
    problem: Option<String>,
}

/// How many futures of the host there are.
#[derive(Clone, Default)]
pub(super) struct Live(Arc<AtomicU32>);

impl Live {
    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn one_more(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

/// Counted as long as it is there.
struct Counted(Live);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Host {
    pub(super) fn new(when: When, seed: u64) -> Host {
        let stderr = OutputBuffer::new(MAX_OUTPUT);
        let wasi = WasiCtxBuilder::new().stderr(Stdout::from(stderr.clone()));
        Host {
            wasi: wasi.build(),
            stderr,
            when,
            random: Random::new(seed),
            live: Live::default(),
            things: Vec::new(),
            posted: String::new(),
            problem: None,
        }
    }

    /// Something is wrong that no call sees.
    pub(super) fn add_problem(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    pub(super) fn take_problem(&mut self) -> std::result::Result<(), String> {
        self.problem.take().map_or(Ok(()), Err)
    }

    pub(super) fn live(&self) -> Live {
        self.live.clone()
    }

    /// What was written to the standard error: what panics of guests say.
    pub(super) fn output(&self) -> String {
        String::from_utf8_lossy(&self.stderr.contents()).into_owned()
    }
}

/// What a function of the host returns.
type Boxed<'a, R> = Pin<Box<dyn Future<Output = Result<R>> + Send + 'a>>;

/// Waits as the store's host does.
pub(super) async fn pause(accessor: &Accessor<Host>) {
    let (when, time, _counted) = accessor.with(|mut store: StoreContextMut<'_, Host>| {
        let host = store.data_mut();
        let time = Duration::from_millis(1 + host.random.below(8) as u64);
        let when = match host.when {
            When::Any => host.random.pick(&[When::AtOnce, When::Later, When::Timed]),
            when => when,
        };
        (when, time, host.live.one_more())
    });
    match when {
        When::AtOnce | When::Any => {}
        When::Later => tokio::task::yield_now().await,
        When::Timed => tokio::time::sleep(time).await,
        When::Never => pending().await,
    }
}

/// What the host makes of a string.
fn entered(text: &str) -> String {
    format!("{text} - entered host - exited host")
}

fn foo(accessor: &Accessor<Host>, (text,): (String,)) -> Boxed<'_, (String,)> {
    Box::pin(async move {
        pause(accessor).await;
        Ok((entered(&text),))
    })
}

/// A linker with all that components import.
pub(super) fn linker(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::<Host>::new(engine);
    cwasm_wasi::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)?;
    linker.root().func_wrap_concurrent("foo", foo)?;
    linker
        .instance("local:local/baz")?
        .func_wrap_concurrent("foo", foo)?;
    let mut many = linker.instance("local:local/many")?;
    many.func_new_concurrent("foo", |accessor, _, args, results| {
        Box::pin(async move {
            pause(accessor).await;
            let mut fields = args.to_vec();
            if let Some(Val::String(text)) = fields.first_mut() {
                *text = entered(text);
            }
            results[0] = Val::Tuple(fields);
            Ok(())
        })
    })?;
    linker
        .instance("local:local/sleep")?
        .func_wrap_concurrent("sleep-millis", sleep)?;
    add_callees(&mut linker)?;
    add_ready(&mut linker)?;
    add_borrowing(&mut linker)?;
    Ok(linker)
}

fn sleep(accessor: &Accessor<Host>, (millis,): (u64,)) -> Boxed<'_, ()> {
    Box::pin(async move {
        pause(accessor).await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(())
    })
}

/// What callees export, for callers without one.
fn add_callees(linker: &mut Linker<Host>) -> Result<()> {
    linker
        .instance("local:local/sleep-post-return")?
        .func_wrap_concurrent("run", sleep)?;
    let mut post_return = linker.instance("local:local/post-return")?;
    post_return.func_wrap_concurrent("foo", |accessor, (text,): (String,)| {
        Box::pin(async move {
            pause(accessor).await;
            accessor.with(|mut store: StoreContextMut<'_, Host>| {
                store.data_mut().posted.clone_from(&text);
            });
            Ok((text,))
        })
    })?;
    post_return.func_wrap(
        "get-post-return-value",
        |store: StoreContextMut<'_, Host>, (): ()| Ok((store.data().posted.clone(),)),
    )?;
    linker
        .instance("local:local/transmit")?
        .func_wrap_concurrent(
            "exchange",
            |accessor, given: Given| -> Boxed<'_, (Returned,)> {
                Box::pin(async move { Ok((streams::exchange(accessor, given),)) })
            },
        )
}

/// What is ready when it is told so, and then wakes who waits for it.
#[derive(Default)]
struct Thing {
    is_ready: bool,
    waiting: Vec<Waker>,
}

/// Things that are ready when they are told so.
fn add_ready(linker: &mut Linker<Host>) -> Result<()> {
    let mut ready = linker.instance("local:local/ready")?;
    ready.resource("thing", ResourceType::host::<Thing>(), |_, _| Ok(()))?;
    ready.func_wrap(
        "[constructor]thing",
        |mut store: StoreContextMut<'_, Host>, (): ()| {
            let things = &mut store.data_mut().things;
            things.push(Thing::default());
            Ok((Resource::<Thing>::new_own(things.len() as u32 - 1),))
        },
    )?;
    ready.func_wrap(
        "[method]thing.set-ready",
        |mut store: StoreContextMut<'_, Host>, (thing, is_ready): (Resource<Thing>, bool)| {
            let thing = &mut store.data_mut().things[thing.rep() as usize];
            thing.is_ready = is_ready;
            thing.waiting.drain(..).for_each(Waker::wake);
            Ok(())
        },
    )?;
    ready.func_wrap_concurrent(
        "[method]thing.when-ready",
        |accessor, (thing,): (Resource<Thing>,)| {
            Box::pin(async move {
                let live = accessor.with(|store: StoreContextMut<'_, Host>| store.data().live());
                let _counted = live.one_more();
                let place = thing.rep() as usize;
                poll_fn(|context| {
                    accessor.with(|mut store: StoreContextMut<'_, Host>| {
                        let thing = &mut store.data_mut().things[place];
                        if thing.is_ready {
                            return Poll::Ready(());
                        }
                        thing.waiting.push(context.waker().clone());
                        Poll::Pending
                    })
                })
                .await;
                Ok(())
            })
        },
    )
}

struct X;

fn add_borrowing(linker: &mut Linker<Host>) -> Result<()> {
    let mut types = linker.instance("local:local/borrowing-types")?;
    types.resource("x", ResourceType::host::<X>(), |_, _| Ok(()))?;
    types.func_wrap("[constructor]x", |_, (): ()| {
        Ok((Resource::<X>::new_own(7),))
    })?;
    types.func_wrap("[method]x.foo", |_, (x,): (Resource<X>,)| {
        assert_eq!(x.rep(), 7);
        Ok(())
    })?;
    linker
        .instance("local:local/borrowing")?
        .func_wrap_concurrent("foo", |accessor, (x, _): (Resource<X>, bool)| {
            Box::pin(async move {
                pause(accessor).await;
                assert_eq!(x.rep(), 7);
                Ok(())
            })
        })
}

/// Interfaces that one component exports and another imports, and their functions; without a name,
/// functions of the component itself.
const PASSED: [(&str, &[&str]); 7] = [
    ("", &["foo"]),
    ("local:local/baz", &["foo"]),
    ("local:local/many", &["foo"]),
    ("local:local/borrowing", &["foo"]),
    ("local:local/post-return", &["foo", "get-post-return-value"]),
    ("local:local/sleep-post-return", &["run"]),
    ("local:local/transmit", &["exchange"]),
];

/// Defines what this instance exports as functions of the host, which call it.
pub(super) fn pass_on(
    linker: &mut Linker<Host>,
    store: &mut Store<Host>,
    callee: Instance,
) -> Result<()> {
    linker.allow_shadowing(true);
    for (interface, names) in PASSED {
        for name in names {
            let place = match interface {
                "" => (*name).to_owned(),
                _ => format!("{interface}#{name}"),
            };
            let Some(func) = callee.get_func(&mut *store, place.as_str()) else {
                continue;
            };
            let mut to = match interface {
                "" => linker.root(),
                _ => linker.instance(interface)?,
            };
            if *name == "get-post-return-value" {
                // The one that is not `async`.
                to.func_new(name, move |store, _, args, results| {
                    func.call(store, args, results)
                })?;
                continue;
            }
            to.func_new_concurrent(name, move |accessor, _, args, results| {
                Box::pin(async move { func.call_concurrent(accessor, args, results).await })
            })?;
        }
    }
    Ok(())
}

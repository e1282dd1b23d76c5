//! What is called, and what must come of it.

use std::fmt;
use std::time::Duration;

use cwasm::{Instance, Store, TrapCode, TypedFunc, Val};

use super::host::{Host, When};
use super::streams;

/// Components, how they are linked, and what is done with them.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub(super) part: Part<'static>,
    pub(super) test: Test,
}

/// Names of components.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part<'a> {
    Alone(&'a str),
    /// In one component.
    Composed {
        callee: &'a str,
        caller: &'a str,
    },
    /// Through functions of the host.
    Linked {
        callee: &'a str,
        caller: &'a str,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    /// Strings through so many guests, by `foo` of `baz` or of the component itself.
    RoundTrip(&'static str, usize),
    /// Values of many types, through so many guests.
    Many(usize),
    /// `run`.
    Run,
    /// `run`, for which the host does what another component would.
    RunOfHost,
    /// `run`, twice: the two tasks wake each other.
    RunTwice,
    /// `run` of `run-bool`, which keeps a borrow too long if it is told so.
    RunBool,
    /// `run` of `run-bool`, which lends something to the host.
    Lend,
    /// `foo` and `get-post-return-value`.
    PostReturn,
    /// Returns, and then sleeps.
    Sleep,
    /// Streams and futures of the host: see [`streams`].
    Readiness,
    Synchronous,
    ShortReads,
    Control,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part.fmt(f)
    }
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Alone(name) => write!(f, "{name}"),
            Part::Composed { callee, caller } => write!(f, "{caller} and {callee} in one"),
            Part::Linked { callee, caller } => write!(f, "{caller} and {callee} by the host"),
        }
    }
}

const ROUND_TRIPS: [&str; 5] = [
    "async-round-trip-stackful",
    "async-round-trip-stackless",
    "async-round-trip-stackless-sync-import",
    "async-round-trip-synchronous",
    "async-round-trip-wait",
];

const MANY: [&str; 4] = [
    "async-round-trip-many-stackful",
    "async-round-trip-many-stackless",
    "async-round-trip-many-synchronous",
    "async-round-trip-many-wait",
];

const DIRECT: &str = "async-round-trip-direct-stackless";

pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut both = |callee, caller, test| {
        for part in [
            Part::Composed { callee, caller },
            Part::Linked { callee, caller },
        ] {
            cases.push(Case { part, test });
        }
    };
    for callee in ROUND_TRIPS {
        for caller in ROUND_TRIPS {
            both(callee, caller, Test::RoundTrip("local:local/baz#foo", 2));
        }
    }
    for callee in MANY {
        for caller in MANY {
            both(callee, caller, Test::Many(2));
        }
    }
    let pairs = [
        (
            "async-borrowing-callee",
            "async-borrowing-caller",
            Test::RunBool,
        ),
        (
            "async-post-return-callee",
            "async-post-return-caller",
            Test::Run,
        ),
        (
            "async-sleep-post-return-callee",
            "async-sleep-post-return-caller",
            Test::Sleep,
        ),
        (
            "async-sleep-post-return-caller",
            "async-sleep-post-return-caller",
            Test::Sleep,
        ),
        ("async-transmit-callee", "async-transmit-caller", Test::Run),
    ];
    for (callee, caller, test) in pairs {
        both(callee, caller, test);
    }
    both(DIRECT, DIRECT, Test::RoundTrip("foo", 2));
    let round_trips = ROUND_TRIPS.map(|name| (name, Test::RoundTrip("local:local/baz#foo", 1)));
    let many = MANY.map(|name| (name, Test::Many(1)));
    let others = [
        (DIRECT, Test::RoundTrip("foo", 1)),
        ("async-borrowing-callee", Test::RunBool),
        ("async-borrowing-caller", Test::Lend),
        ("async-intertask-communication", Test::RunTwice),
        ("async-poll-stackless", Test::Run),
        ("async-poll-synchronous", Test::Run),
        ("async-post-return-callee", Test::PostReturn),
        ("async-post-return-caller", Test::RunOfHost),
        ("async-readiness", Test::Readiness),
        ("async-short-reads", Test::ShortReads),
        ("async-sleep-post-return-callee", Test::Sleep),
        ("async-sleep-post-return-caller", Test::Sleep),
        ("async-synchronous-transmit", Test::Synchronous),
        ("async-transmit-callee", Test::Control),
        ("async-transmit-caller", Test::RunOfHost),
    ];
    let alone = round_trips.into_iter().chain(many).chain(others);
    cases.extend(alone.map(|(name, test)| Case {
        part: Part::Alone(name),
        test,
    }));
    cases
}

impl Case {
    /// The hosts that make a difference.
    pub(super) fn whens(&self) -> &'static [When] {
        match self.test {
            Test::Run | Test::RunTwice | Test::RunBool | Test::PostReturn => &[When::AtOnce],
            Test::RoundTrip(..)
            | Test::Many(_)
            | Test::RunOfHost
            | Test::Lend
            | Test::Sleep
            | Test::Readiness
            | Test::Synchronous
            | Test::ShortReads
            | Test::Control => &[
                When::AtOnce,
                When::Later,
                When::Timed,
                When::Any,
                When::Never,
            ],
        }
    }
}

pub(super) type Outcome = Result<(), String>;

/// How long a call may be pending whose host is never ready.
const PATIENCE: Duration = Duration::from_millis(10);

impl Test {
    pub(super) async fn run(
        self,
        store: &mut Store<Host>,
        instance: Instance,
        when: When,
    ) -> Outcome {
        let call = self.call(store, instance, when);
        if when != When::Never || matches!(self, Test::Sleep) {
            return call.await;
        }
        // It is dropped in the middle.
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(outcome) => Err(format!("it is over, though the host is not: {outcome:?}")),
            Err(_) => Ok(()),
        }
    }

    async fn call(self, store: &mut Store<Host>, instance: Instance, when: When) -> Outcome {
        match self {
            Test::RoundTrip(name, depth) => {
                let make = |text: &str| vec![Val::String(text.to_owned())];
                round_trip(store, instance, (name, depth), &make).await
            }
            Test::Many(depth) => {
                let name = "local:local/many#foo";
                round_trip(store, instance, (name, depth), &many_values).await
            }
            Test::Run | Test::RunOfHost => {
                let name = "local:local/run#run";
                let run = instance
                    .get_func(&mut *store, name)
                    .ok_or("there is no `run`")?;
                for _ in 0..3 {
                    run.call_async(&mut *store, &[], &mut [])
                        .await
                        .map_err(text_of)?;
                }
                let run = store.run_concurrent(async |accessor| {
                    run.call_concurrent(accessor, &[], &mut []).await
                });
                run.await.map_err(text_of)?.map_err(text_of)
            }
            Test::RunTwice => {
                let name = "local:local/run#run";
                let run = instance
                    .get_func(&mut *store, name)
                    .ok_or("there is no `run`")?;
                let beside = store.run_concurrent(async |accessor| {
                    let call = async |_| {
                        let called = run.call_concurrent(accessor, &[], &mut []);
                        called.await.map_err(text_of)
                    };
                    all_of((0..2).map(call)).await
                });
                beside.await.map_err(text_of)?
            }
            Test::RunBool => misbehave(store, instance).await,
            Test::Lend => lend(store, instance).await.map(|_| ()),
            Test::PostReturn => post_return(store, instance).await,
            Test::Sleep => sleep(store, instance, when).await,
            Test::Readiness => streams::readiness(store, instance).await,
            Test::Synchronous => streams::synchronous(store, instance).await,
            Test::ShortReads => streams::short_reads(store, instance).await,
            Test::Control => streams::control(store, instance).await,
        }
    }
}

pub(super) fn text_of(error: cwasm::Error) -> String {
    format!("{error:?}")
}

/// Parameters of `foo` of `many`, whose first is the text.
fn many_values(text: &str) -> Vec<Val> {
    let stuff = |n: i32| {
        Val::Record(vec![
            ("a".to_owned(), Val::List((0..n).map(Val::S32).collect())),
            ("b".to_owned(), Val::Bool(n % 2 == 1)),
            ("c".to_owned(), Val::U64(424_242)),
        ])
    };
    vec![
        Val::String(text.to_owned()),
        Val::U32(42),
        Val::List(vec![Val::U8(42); 42]),
        Val::Tuple(vec![Val::U64(4242), Val::U64(424_242_424_242)]),
        stuff(42),
        Val::Option(Some(Box::new(stuff(5)))),
        Val::Result(Err(None)),
    ]
}

/// What guests and the host make of a text.
fn expected(text: &str, depth: usize) -> String {
    let mut all = text.to_owned();
    all.push_str(&" - entered guest".repeat(depth));
    all.push_str(" - entered host - exited host");
    all.push_str(&" - exited guest".repeat(depth));
    all
}

/// Calls a function alone and beside itself. Its result is its parameters, with another text.
async fn round_trip(
    store: &mut Store<Host>,
    instance: Instance,
    (name, depth): (&str, usize),
    make: &dyn Fn(&str) -> Vec<Val>,
) -> Outcome {
    let func = instance
        .get_func(&mut *store, name)
        .ok_or("there is no `foo`")?;
    let check = |text: &str, result: &Val| {
        let mut values = make(&expected(text, depth));
        let expected = match values.len() {
            1 => values.remove(0),
            _ => Val::Tuple(values),
        };
        match *result == expected {
            true => Ok(()),
            false => Err(format!("found {result:?}, expected {expected:?}")),
        }
    };
    let alone = async |store: &mut Store<Host>, text: &str| {
        let mut results = [Val::Bool(false)];
        let called = func
            .call_async(&mut *store, &make(text), &mut results)
            .await;
        called.map_err(text_of)?;
        check(text, &results[0])
    };
    alone(&mut *store, "alone").await?;
    let texts = ["a", "", "hello, world!", "ünïcödé", "a", "b", "c", "d"];
    let beside = store.run_concurrent(async |accessor| {
        let calls = texts.iter().map(async |text| {
            let mut results = [Val::Bool(false)];
            let params = make(text);
            let called = func.call_concurrent(accessor, &params, &mut results).await;
            called.map_err(text_of)?;
            check(text, &results[0])
        });
        all_of(calls).await
    });
    beside.await.map_err(text_of)??;
    alone(&mut *store, "again").await
}

/// Waits for all, beside each other: the first error, if there is one.
async fn all_of(futures: impl IntoIterator<Item = impl Future<Output = Outcome>>) -> Outcome {
    let mut left: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outcome = Ok(());
    std::future::poll_fn(|context| {
        left.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(ready) => {
                if outcome.is_ok() {
                    outcome = ready;
                }
                false
            }
            std::task::Poll::Pending => true,
        });
        match left.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    outcome
}

/// Calls `run` of `run-bool`, alone and beside itself, as it should be.
async fn lend(
    store: &mut Store<Host>,
    instance: Instance,
) -> Result<TypedFunc<(bool,), ()>, String> {
    let run = instance
        .get_typed_func::<(bool,), ()>(&mut *store, "local:local/run-bool#run")
        .map_err(text_of)?;
    run.call_async(&mut *store, (false,))
        .await
        .map_err(text_of)?;
    let beside = store.run_concurrent(async |accessor| {
        all_of((0..3).map(async |_| {
            run.call_concurrent(accessor, (false,))
                .await
                .map_err(text_of)
        }))
        .await
    });
    beside.await.map_err(text_of)??;
    Ok(run)
}

/// Uses a borrow that was dropped; the call may be over before.
async fn misbehave(store: &mut Store<Host>, instance: Instance) -> Outcome {
    let run = lend(store, instance).await?;
    let called = run.call_async(&mut *store, (true,)).await;
    let later = store.run_concurrent(async |_| {
        tokio::time::sleep(PATIENCE).await;
    });
    let later = later.await;
    let Some(error) = called.err().or(later.err()) else {
        return Err("a borrow is used after it was dropped, and nothing happens".to_owned());
    };
    match error.trap().map(|trap| trap.code()) {
        Some(TrapCode::UnknownHandle | TrapCode::BorrowsRemain) => Ok(()),
        _ => Err(format!("another error than of the borrow: {error:?}")),
    }
}

async fn post_return(store: &mut Store<Host>, instance: Instance) -> Outcome {
    let echo = instance
        .get_typed_func::<(String,), (String,)>(&mut *store, "local:local/post-return#foo")
        .map_err(text_of)?;
    let get = "local:local/post-return#get-post-return-value";
    let get = instance
        .get_typed_func::<(), (String,)>(&mut *store, get)
        .map_err(text_of)?;
    for text in ["", "x", "All mimsy were the borogoves"] {
        let (found,) = echo
            .call_async(&mut *store, (text.to_owned(),))
            .await
            .map_err(text_of)?;
        let (freed,) = get.call_async(&mut *store, ()).await.map_err(text_of)?;
        if found != text || freed != text {
            return Err(format!("found {found:?} and {freed:?}, expected {text:?}"));
        }
    }
    Ok(())
}

async fn sleep(store: &mut Store<Host>, instance: Instance, when: When) -> Outcome {
    let run = instance
        .get_typed_func::<(u64,), ()>(&mut *store, "local:local/sleep-post-return#run")
        .map_err(text_of)?;
    // It has returned before it has slept.
    run.call_async(&mut *store, (5,)).await.map_err(text_of)?;
    if when == When::Never {
        return match store.data().live().count() {
            0 => Err("nothing sleeps".to_owned()),
            _ => Ok(()),
        };
    }
    let beside = store.run_concurrent(async |accessor| {
        let call = async |n| run.call_concurrent(accessor, (n,)).await.map_err(text_of);
        all_of((0..5).map(call)).await?;
        // All of them sleep, and what they have called does.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, String>(())
    });
    beside.await.map_err(text_of)??;
    match store.data().live().count() {
        0 => Ok(()),
        count => Err(format!("{count} still sleep")),
    }
}

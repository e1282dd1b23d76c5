//! Runs programs on the loader: a trace of what has happened.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use cwasm::{Component, Config, Error, InstancePre, Linker, Store, TrapCode, TypedFunc};

use super::driver::Driver;
use super::guest;
use super::program::{Program, Root, Script};
use super::trace::Entry;
use crate::artifact::Workshop;

/// The guest on an engine with a schedule.
pub struct Bench {
    workshop: Workshop,
    instance: InstancePre<Driver>,
}

/// The compiled guest, for all engines.
pub fn compile() -> Vec<u8> {
    let artifact = Workshop::new().compile(guest::component().as_bytes());
    artifact.unwrap_or_else(|error| panic!("the guest can be compiled: {error}"))
}

impl Bench {
    /// The guest with tasks that take turns, or that go on by chance with this seed.
    ///
    /// # Panics
    /// If the guest cannot be linked.
    pub fn new(artifact: &[u8], schedule: Option<u64>) -> Bench {
        let mut config = Config::new();
        if let Some(seed) = schedule {
            config.schedule_seed(seed);
        }
        let workshop = Workshop::with_config(&config);
        let component = workshop
            .map_component(artifact)
            .expect("the compiler made it");
        let mut linker = Linker::<Driver>::new(workshop.engine());
        define(&mut linker).expect("each function is defined once");
        let instance = pre(&linker, &component);
        Bench { workshop, instance }
    }

    /// Runs a program until nothing goes on any more, or something traps.
    ///
    /// # Panics
    /// If the loader fails in another way than by a trap, or enters the guest after one.
    pub fn run(&self, program: &Program) -> Vec<Entry> {
        let mut store = Store::new(self.workshop.engine(), Driver::new(program));
        let calls = self
            .calls(&mut store, program)
            .expect("the guest has these");
        let end = run_calls(&mut store, &calls);
        let trap = end.err().map(|error| code_of(&error));
        let mut trace = std::mem::take(&mut store.data_mut().trace);
        trace.push(Entry::End { trap });
        if let (Some(_), [(_, func), ..]) = (trap, &calls[..]) {
            let again = drive(func.call_async(&mut store, (0,)));
            let again = again.map(|end| end.map_err(|error| code_of(&error)));
            assert_eq!(again, Some(Err(TrapCode::CannotEnter)), "{program}");
        }
        trace
    }

    /// The functions of an instance that the host calls.
    fn calls(&self, store: &mut Store<Driver>, program: &Program) -> cwasm::Result<Vec<Call>> {
        let instance = self.instance.instantiate(&mut *store)?;
        let func = |root: &Root| {
            let Script { callee, .. } = program.scripts[root.task as usize];
            let name = guest::export_name(callee);
            Ok((*root, instance.get_typed_func(&mut *store, &name)?))
        };
        program.roots.iter().map(func).collect()
    }
}

/// A call, and its function.
type Call = (Root, TypedFunc<(u32,), (u32,)>);

/// Calls functions until nothing goes on any more.
fn run_calls(store: &mut Store<Driver>, calls: &[Call]) -> cwasm::Result<()> {
    let everything = store.run_concurrent(async |accessor| {
        let trace = |entry| accessor.with(|mut store| store.data_mut().trace.push(entry));
        let calls = calls.iter().map(|(root, func)| async {
            let Root {
                task,
                delay,
                patience,
            } = *root;
            polls(delay).await;
            trace(Entry::HostCall { task });
            let call = async {
                let (value,) = func.call_concurrent(accessor, (task,)).await?;
                trace(Entry::HostResult { task, value });
                Ok(())
            };
            match patience {
                None => call.await,
                Some(patience) => {
                    let end = async {
                        polls(patience).await;
                        Ok(())
                    };
                    // What has not ended then is dropped.
                    first([Box::pin(call) as Boxed<'_>, Box::pin(end)], |_| true).await
                }
            }
        });
        let calls = calls.map(|call| Box::pin(call) as Boxed<'_>);
        match first(calls, Result::is_err).await {
            Err(error) => Err(error),
            // What is left goes on.
            Ok(()) => std::future::pending().await,
        }
    });
    drive(everything).unwrap_or(Ok(Ok(()))).flatten()
}

type Boxed<'a> = Pin<Box<dyn Future<Output = cwasm::Result<()>> + 'a>>;

fn pre(linker: &Linker<Driver>, component: &Component) -> InstancePre<Driver> {
    linker
        .instantiate_pre(component)
        .expect("the guest has what it imports")
}

fn define(linker: &mut Linker<Driver>) -> cwasm::Result<()> {
    let mut root = linker.root();
    root.func_wrap(
        "begin",
        |mut store, (instance, task, arg): (u32, u32, u32)| {
            store.data_mut().begin(instance, task, arg);
            Ok(())
        },
    )?;
    root.func_wrap(
        "event",
        |mut store, (task, code, a, b): (u32, u32, u32, u32)| {
            store.data_mut().event(task, [code, a, b]);
            Ok(())
        },
    )?;
    root.func_wrap("next", |mut store, (task,): (u32,)| {
        Ok((store.data_mut().next(task),))
    })?;
    root.func_wrap("arg", |store, (place,): (u32,)| {
        Ok((store.data().arg(place),))
    })?;
    root.func_wrap("report", |mut store, (task, value): (u32, u64)| {
        store.data_mut().report(task, value);
        Ok(())
    })?;
    Ok(())
}

fn code_of(error: &Error) -> TrapCode {
    match error.trap() {
        Some(trap) => trap.code(),
        None => panic!("a failure that is no trap: {error:?}"),
    }
}

/// Polls futures until one of them ends like this, or all have ended: how that has.
async fn first<'a>(
    futures: impl IntoIterator<Item = Boxed<'a>>,
    is_last: impl Fn(&cwasm::Result<()>) -> bool,
) -> cwasm::Result<()> {
    let mut futures: Vec<Boxed<'a>> = futures.into_iter().collect();
    poll_fn(move |context| {
        let mut place = 0;
        while let Some(future) = futures.get_mut(place) {
            match future.as_mut().poll(context) {
                Poll::Ready(end) if is_last(&end) || futures.len() == 1 => return Poll::Ready(end),
                Poll::Ready(_) => drop(futures.remove(place)),
                Poll::Pending => place += 1,
            }
        }
        Poll::Pending
    })
    .await
}

/// Is ready after so many polls.
async fn polls(count: u32) {
    let mut left = count;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Whether somebody was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls as long as something wakes it: nothing if it is not ready then.
fn drive<R>(future: impl Future<Output = R>) -> Option<R> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return Some(result);
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
    }
}

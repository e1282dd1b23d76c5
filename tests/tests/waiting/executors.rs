//! Executors, threads, and who wakes.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use cwasm::{Linker, StoreContextMut};

use crate::{Bench, Boxed, Host};

/// Whether the time is over, and who is told then.
type Sleeping = Arc<Mutex<(bool, Option<Waker>)>>;

/// Waits for a time, by a thread that wakes.
struct Sleep(Duration, Option<Sleeping>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(state) = &self.1 {
            let mut state = state.lock().unwrap();
            state.1 = Some(context.waker().clone());
            return if state.0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            };
        }
        let state = Arc::new(Mutex::new((false, Some(context.waker().clone()))));
        let (time, theirs) = (self.0, Arc::clone(&state));
        std::thread::spawn(move || {
            std::thread::sleep(time);
            let mut state = theirs.lock().unwrap();
            state.0 = true;
            let waker = state.1.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        self.1 = Some(state);
        Poll::Pending
    }
}

fn sleeping(linker: &mut Linker<Host>) -> cwasm::Result<()> {
    linker.root().func_wrap_async(
        "wait",
        |mut store: StoreContextMut<'_, Host>, (n,): (u32,)| -> Boxed<'_, (u32,)> {
            Box::new(async move {
                Sleep(Duration::from_millis(u64::from(n)), None).await;
                store.data_mut().calls += 1;
                Ok((2 * n,))
            })
        },
    )
}

/// Wakes a thread that waits.
#[derive(Default)]
struct Signal(Mutex<bool>, Condvar);

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

fn block_on<R>(future: impl Future<Output = R>) -> R {
    let signal = Arc::new(Signal::default());
    let waker = Waker::from(Arc::clone(&signal));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        let guard = signal.0.lock().unwrap();
        *signal.1.wait_while(guard, |woken| !*woken).unwrap() = false;
    }
}

#[test]
fn another_thread_wakes() {
    let bench = Bench::new().replacing(sleeping);
    let (mut store, sum) = bench.func("sum");
    assert_eq!(block_on(sum.call_async(&mut store, (4,))).unwrap(), (20,));
    assert_eq!(store.data().calls, 4);
}

#[test]
fn each_poll_may_be_on_another_thread() {
    let bench = Bench::new();
    let (mut store, instance) = bench.instance();
    let text = instance
        .get_typed_func::<(String,), (String,)>(&mut store, "text")
        .unwrap();
    let sum = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "sum")
        .unwrap();
    type Call<'a> = Pin<Box<dyn Future<Output = cwasm::Result<String>> + Send + 'a>>;
    let mut call: Call<'_> = Box::pin(async {
        let mut all = String::new();
        for round in 0..8 {
            let (n,) = sum.call_async(&mut store, (round,)).await?;
            let (doubled,) = text.call_async(&mut store, (format!("{n},"),)).await?;
            all.push_str(&doubled);
        }
        Ok(all)
    });
    let mut threads = 0;
    let result = loop {
        // A new thread each time, which ends: what a frame has kept of the one before is gone.
        let poll = std::thread::scope(|scope| {
            let poll = || call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            scope.spawn(poll).join().unwrap()
        });
        threads += 1;
        if let Poll::Ready(result) = poll {
            break result.unwrap();
        }
    };
    let expected: String = (0..8)
        .map(|n| format!("{},", n * (n + 1)).repeat(2))
        .collect();
    assert_eq!(result, expected);
    // sum(n) waits n (n + 1) / 2 times, text three times.
    assert_eq!(threads, 84 + 24 + 1);
}

#[test]
fn a_call_can_be_dropped_on_another_thread() {
    let bench = Bench::new();
    let (mut store, sum) = bench.func("sum");
    let mut call = Box::pin(sum.call_async(&mut store, (3,)));
    crate::poll_times(&mut call, 2);
    std::thread::scope(|scope| {
        scope.spawn(move || drop(call)).join().unwrap();
    });
    assert_eq!(crate::dropped(&store), 1);
}

#[test]
fn tokio_runs_many_on_several_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let bench = Arc::new(Bench::new().replacing(|linker| {
        linker.root().func_wrap_async(
            "wait",
            |mut store: StoreContextMut<'_, Host>, (n,): (u32,)| -> Boxed<'_, (u32,)> {
                Box::new(async move {
                    match n % 3 {
                        0 => tokio::time::sleep(Duration::from_micros(u64::from(n) * 37)).await,
                        1 => tokio::task::yield_now().await,
                        _ => {}
                    }
                    store.data_mut().calls += 1;
                    Ok((2 * n,))
                })
            },
        )
    }));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..200_u32)
            .map(|task| {
                let bench = Arc::clone(&bench);
                tokio::spawn(async move {
                    let (mut store, instance) = bench.instance();
                    let sum = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "sum")?;
                    let text =
                        instance.get_typed_func::<(String,), (String,)>(&mut store, "text")?;
                    let n = task % 20;
                    for _ in 0..3 {
                        assert_eq!(sum.call_async(&mut store, (n,)).await?, (n * (n + 1),));
                        let given = "x".repeat(n as usize);
                        let (doubled,) = text.call_async(&mut store, (given.clone(),)).await?;
                        assert_eq!(doubled, given.repeat(2));
                    }
                    // The rest is dropped at its deadline, or not.
                    let time = Duration::from_micros(u64::from(task) * 20);
                    let call = sum.call_async(&mut store, (n,));
                    let result = tokio::time::timeout(time, call).await;
                    Ok::<bool, cwasm::Error>(result.is_ok())
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += u32::from(task.await.unwrap().unwrap());
        }
        assert!(done > 0, "some are done");
    });
}

#[test]
fn other_executors_run_it_too() {
    use async_io::Timer;
    let bench = Bench::new().replacing(|linker| {
        linker.root().func_wrap_async(
            "wait",
            |_: StoreContextMut<'_, Host>, (n,): (u32,)| -> Boxed<'_, (u32,)> {
                Box::new(async move {
                    Timer::after(Duration::from_millis(u64::from(n))).await;
                    Ok((2 * n,))
                })
            },
        )
    });
    let (mut store, sum) = bench.func("sum");
    assert_eq!(
        async_io::block_on(sum.call_async(&mut store, (4,))).unwrap(),
        (20,)
    );
}

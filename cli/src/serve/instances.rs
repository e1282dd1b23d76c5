//! Instances of WASI 0.3, each a task of the runtime that answers some requests.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use cwasm::{Accessor, Error, Result, Store, TrapCode};
use cwasm_wasi::WasiCtx;
use cwasm_wasi::http::{ErrorCode, Response};
use cwasm_wasi::p3;
use cwasm_wasi::p3::http::Service;
use http::uri::Scheme;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{timeout, timeout_at};

use super::guests::Guests;
use super::name::RequestName;
use crate::output;

/// How long a guest computes before other tasks of the runtime have their turn.
const SLICE: Duration = Duration::from_millis(5);

/// How long an instance that can answer more waits for it.
const IDLE: Duration = Duration::from_secs(1);

/// Instances that can answer more requests.
pub(super) struct Instances {
    /// Requests of an instance in all.
    reuse: usize,
    /// Requests of an instance at a time.
    concurrent: usize,
    open: Mutex<Vec<Arc<Instance>>>,
}

/// An instance, as those see it who have requests.
#[derive(Debug)]
struct Instance {
    requests: mpsc::UnboundedSender<Request>,
    /// Requests that it has got.
    given: AtomicUsize,
    /// Requests that it has and has not answered.
    pending: AtomicUsize,
}

/// A request that no instance has yet.
struct Unplaced {
    request: http::Request<Incoming>,
    answer: oneshot::Sender<Result<Answer, ErrorCode>>,
    end: Instant,
    slot: OwnedSemaphorePermit,
}

/// A request on its way.
#[derive(Debug)]
struct Request {
    request: http::Request<Incoming>,
    answer: oneshot::Sender<Result<Answer, ErrorCode>>,
    end: Instant,
    held: Held,
    /// Over when `held` is dropped.
    sent: oneshot::Receiver<()>,
}

/// A response, and what is held until it is sent.
pub(super) type Answer = (Response, Held);

/// What a request takes until its response is sent.
#[derive(Debug)]
pub(super) struct Held {
    slot: OwnedSemaphorePermit,
    place: Place,
    _sent: oneshot::Sender<()>,
}

/// A place for a request in an instance, free again when this is dropped.
#[derive(Debug)]
struct Place(Arc<Instance>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Release);
    }
}

impl Instances {
    pub(super) fn new(reuse: usize, concurrent: usize) -> Instances {
        Instances {
            reuse,
            concurrent,
            open: Mutex::new(Vec::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Instance>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a request to an instance: one that was made, or a new one, with its requests.
    fn give(&self, unplaced: Unplaced) -> Option<(Arc<Instance>, Requests)> {
        // Who closes an instance has the lock meanwhile, and so finds this request.
        let mut open = self.lock();
        let has_room =
            |instance: &Arc<Instance>| instance.pending.load(Ordering::Acquire) < self.concurrent;
        // The last one has been used last.
        if let Some(index) = open.iter().rposition(has_room) {
            let instance = Arc::clone(&open[index]);
            instance.pending.fetch_add(1, Ordering::Relaxed);
            if instance.given.fetch_add(1, Ordering::Relaxed) + 1 >= self.reuse {
                open.remove(index);
            }
            unplaced.send_to(instance);
            return None;
        }
        let (requests, receiver) = mpsc::unbounded_channel();
        let instance = Arc::new(Instance {
            requests,
            given: AtomicUsize::new(1),
            pending: AtomicUsize::new(1),
        });
        if self.reuse > 1 {
            open.push(Arc::clone(&instance));
        }
        unplaced.send_to(Arc::clone(&instance));
        Some((instance, receiver))
    }

    /// Gives an instance no more requests.
    fn close(&self, instance: &Arc<Instance>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, instance));
    }
}

/// What an instance gets its requests by.
type Requests = mpsc::UnboundedReceiver<Request>;

impl Unplaced {
    /// Has an instance answer it, in which it has a place.
    fn send_to(self, instance: Arc<Instance>) {
        let (over, sent) = oneshot::channel();
        let request = Request {
            request: self.request,
            answer: self.answer,
            end: self.end,
            held: Held {
                slot: self.slot,
                place: Place(Arc::clone(&instance)),
                _sent: over,
            },
            sent,
        };
        // It is open: it takes requests.
        let _ = instance.requests.send(request);
    }
}

impl Request {
    fn into_unplaced(self) -> Unplaced {
        Unplaced {
            request: self.request,
            answer: self.answer,
            end: self.end,
            slot: self.held.slot,
        }
    }
}

/// Has a request answered by an instance: where its answer comes.
pub(super) fn answer(
    guests: &Arc<Guests>,
    request: http::Request<Incoming>,
    end: Instant,
    slot: OwnedSemaphorePermit,
) -> oneshot::Receiver<Result<Answer, ErrorCode>> {
    let (answer, receiver) = oneshot::channel();
    let request = Unplaced {
        request,
        answer,
        end,
        slot,
    };
    place(guests, request);
    receiver
}

/// Has a request answered by an instance that was made, or by a new one.
fn place(guests: &Arc<Guests>, request: Unplaced) {
    let Some((instance, mut requests)) = guests.instances.give(request) else {
        return;
    };
    let guests = Arc::clone(guests);
    let blocks = guests.blocks;
    let run = async move {
        guests.metrics.instances.add(1);
        if let Err(error) = run(&guests, &instance, &mut requests).await {
            output::note(&format!("error: {error}"));
        }
        guests.instances.close(&instance);
        guests.metrics.instances.sub(1);
        // What it has not begun when it ended by another request is for others.
        while let Ok(request) = requests.try_recv() {
            place(&guests, request.into_unplaced());
        }
    };
    match blocks {
        false => drop(tokio::spawn(run)),
        // It may keep its thread, which is one of those that others do not need.
        true => {
            let runtime = Handle::current();
            tokio::task::spawn_blocking(move || runtime.block_on(run));
        }
    }
}

/// Runs an instance until it has answered its last request.
///
/// # Errors
/// It cannot be made, or has trapped after it has answered.
async fn run(
    guests: &Arc<Guests>,
    instance: &Arc<Instance>,
    requests: &mut Requests,
) -> Result<()> {
    let Some(first) = requests.recv().await else {
        return Ok(());
    };
    let mut store = guests.store(guests.context()?, first.end)?;
    if guests.is_interruptible {
        store.set_time_slice(Some(SLICE))?;
    }
    let linked = guests.linked.instantiate_async(&mut store).await;
    let linked = linked.inspect_err(|error| dump(guests, &store, error))?;
    let service = Arc::new(Service::new(&mut store, &linked)?);
    let mut end = first.end;
    let served = {
        let end = &mut end;
        let service = &service;
        store
            .run_concurrent(async move |accessor| {
                let (answering, mut all_answered) = mpsc::channel::<()>(1);
                let mut left = guests.instances.reuse;
                let mut next = Some(first);
                while let Some(request) = next {
                    left -= 1;
                    if request.end > *end {
                        *end = request.end;
                        accessor.with(|mut store| guests.set_end(&mut store, *end))?;
                    }
                    start(accessor, guests, service, request, answering.clone());
                    next = match left {
                        0 => None,
                        _ => later(guests, instance, requests).await,
                    };
                }
                drop(answering);
                // Nobody sends anything: it ends with the last sender.
                all_answered.recv().await;
                Ok::<_, Error>(())
            })
            .await
    };
    guests.instances.close(instance);
    let finished = match served.and_then(|served| served) {
        Ok(()) => timeout_at(end.into(), p3::finish(&mut store, |wasi| wasi)).await,
        Err(error) => Ok(Err(error)),
    };
    // What is not over when the time is goes with the store.
    let Ok(Err(error)) = finished else {
        return Ok(());
    };
    dump(guests, &store, &error);
    // What it has printed is not lost.
    let _ = timeout_at(end.into(), p3::written(&mut store, |wasi| wasi)).await;
    // Those whose requests have ended with it say so.
    poll_fn(|context| {
        let _ = store.poll(context);
        Poll::Ready(())
    })
    .await;
    Err(error)
}

/// Writes a core dump, if there are to be any. Other tasks of the thread go on on others.
fn dump(guests: &Guests, store: &Store<WasiCtx>, error: &Error) {
    tokio::task::block_in_place(|| guests.dump(store, error));
}

/// The next request of an instance, unless none comes for a while.
async fn later(
    guests: &Guests,
    instance: &Arc<Instance>,
    requests: &mut Requests,
) -> Option<Request> {
    if let Ok(request) = timeout(IDLE, requests.recv()).await {
        return request;
    }
    // Somebody may have been faster.
    guests.instances.close(instance);
    requests.close();
    requests.try_recv().ok()
}

/// Has a request answered while the instance does something else; `answering` is dropped when its
/// response is sent, or when its time is over: the instance gets no more requests then, so that it
/// ends with those that it has.
fn start(
    accessor: &Accessor<WasiCtx>,
    guests: &Arc<Guests>,
    service: &Arc<Service>,
    request: Request,
    answering: mpsc::Sender<()>,
) {
    let (guests, service) = (Arc::clone(guests), Arc::clone(service));
    accessor.spawn(move |accessor| {
        Box::pin(async move {
            let Request {
                request,
                answer,
                end,
                held,
                sent,
            } = request;
            let name = RequestName::new(request.method(), request.uri());
            let instance = Arc::clone(&held.place.0);
            let answered = async {
                let answered = handle(accessor, &guests, &service, request).await?;
                // The client may be gone.
                drop(answer.send(answered.map(|response| (response, held))));
                // Nothing is ever sent.
                let _ = sent.await;
                Ok::<_, Error>(())
            };
            let why = match timeout_at(end.into(), answered).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => match error.trap().map(|trap| trap.code()) {
                    Some(TrapCode::CannotEnter) => {
                        Some("its instance has ended by another request".to_owned())
                    }
                    _ => Some(error.to_string()),
                },
                Err(_) => {
                    let time = guests.timeout;
                    Some(format!("has not ended after {time:?} (--timeout)"))
                }
            };
            if let Some(why) = why {
                guests.metrics.failures.add(1);
                guests.instances.close(&instance);
                output::note(&format!("error: {name}: {why}"));
            }
            drop(answering);
        })
    });
}

async fn handle(
    accessor: &Accessor<WasiCtx>,
    guests: &Guests,
    service: &Service,
    request: http::Request<Incoming>,
) -> Result<Result<Response, ErrorCode>> {
    let patience = Some(guests.timeout);
    let request = accessor.with(|mut store| {
        let wasi = store.data_mut();
        wasi.new_request(&Scheme::HTTP, request, patience)
    })?;
    service.handle(accessor, |wasi| wasi, request).await
}

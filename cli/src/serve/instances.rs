//! Instances of WASI 0.3, each a task of the runtime that answers some requests.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use cwasm::{Accessor, Error, Result, TrapCode};
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

/// A request on its way.
struct Request {
    request: http::Request<Incoming>,
    answer: oneshot::Sender<Result<Answer, ErrorCode>>,
    end: Instant,
    held: Held,
}

/// A response, and what is held until it is sent.
pub(super) type Answer = (Response, Held);

/// What a request takes until its response is sent.
#[derive(Debug)]
pub(super) struct Held {
    _slot: OwnedSemaphorePermit,
    place: Place,
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

    /// A place in an instance: one that was made, or a new one, with its requests.
    fn place(&self) -> (Place, Option<mpsc::UnboundedReceiver<Request>>) {
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
            return (Place(instance), None);
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
        (Place(instance), Some(receiver))
    }

    /// Gives an instance no more requests.
    fn close(&self, instance: &Arc<Instance>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, instance));
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
    let (place, requests) = guests.instances.place();
    let instance = Arc::clone(&place.0);
    let held = Held { _slot: slot, place };
    let request = Request {
        request,
        answer,
        end,
        held,
    };
    // One that has ended meanwhile answers nothing, and its client gets an error.
    let _ = instance.requests.send(request);
    if let Some(requests) = requests {
        let guests = Arc::clone(guests);
        let blocks = guests.blocks;
        let run = async move {
            guests.metrics.instances.add(1);
            if let Err(error) = run(&guests, &instance, requests).await {
                output::note(&format!("error: {error}"));
            }
            guests.instances.close(&instance);
            guests.metrics.instances.sub(1);
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
    receiver
}

/// Runs an instance until it has answered its last request.
///
/// # Errors
/// It cannot be made, or has trapped after it has answered.
async fn run(
    guests: &Arc<Guests>,
    instance: &Arc<Instance>,
    mut requests: mpsc::UnboundedReceiver<Request>,
) -> Result<()> {
    let Some(first) = requests.recv().await else {
        return Ok(());
    };
    let mut store = guests.store(guests.context()?, first.end)?;
    if guests.is_interruptible {
        store.set_time_slice(Some(SLICE))?;
    }
    let linked = guests.linked.instantiate_async(&mut store).await?;
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
                        _ => later(guests, instance, &mut requests).await,
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
    // Those whose requests have ended with it say so.
    poll_fn(|context| {
        let _ = store.poll(context);
        Poll::Ready(())
    })
    .await;
    Err(error)
}

/// The next request of an instance, unless none comes for a while.
async fn later(
    guests: &Guests,
    instance: &Arc<Instance>,
    requests: &mut mpsc::UnboundedReceiver<Request>,
) -> Option<Request> {
    if let Ok(request) = timeout(IDLE, requests.recv()).await {
        return request;
    }
    // Somebody may have been faster.
    guests.instances.close(instance);
    requests.close();
    requests.try_recv().ok()
}

/// Has a request answered while the instance does something else; `answering` is dropped then.
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
                held,
                ..
            } = request;
            let name = format!("{} {}", request.method(), request.uri());
            match handle(accessor, &guests, &service, request).await {
                // The client may be gone.
                Ok(answered) => drop(answer.send(answered.map(|response| (response, held)))),
                Err(error) => {
                    guests.metrics.failures.add(1);
                    guests.instances.close(&held.place.0);
                    let trap = error.trap().map(|trap| trap.code());
                    output::note(&match trap {
                        Some(TrapCode::CannotEnter) => {
                            format!("error: {name}: its instance has ended by another request")
                        }
                        _ => format!("error: {name}: {error}"),
                    });
                }
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

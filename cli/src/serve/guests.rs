//! Instances: how many there are, how many requests wait for one, and what runs in each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cwasm::{
    AsContextMut as _, Error, InstancePre, Resource, Result, Store, StoreContextMut, StoreLimits,
};
use cwasm_wasi::WasiCtx;
use cwasm_wasi::http::{
    ErrorCode, HttpClient, IncomingRequest, Proxy, Response, ResponseOutparam, ResponseReceiver,
};
use http::uri::Scheme;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::coredumps::Folder;
use super::instances::{self, Held, Instances};
use super::metrics::Metrics;
use super::name::RequestName;
use crate::args::ServeArgs;
use crate::grants::Grants;
use crate::output;
use crate::wasi::{self, Version};

/// The longest time for a request: a later end may be none that a clock can show.
const MAX_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Makes the instances that answer requests.
pub(super) struct Guests {
    pub(super) linked: InstancePre<WasiCtx>,
    grants: Grants,
    client: HttpClient,
    pub(super) timeout: Duration,
    pub(super) is_interruptible: bool,
    /// Whether instances of WASI 0.3 may block their threads, by operations of 0.2.
    pub(super) blocks: bool,
    max_memory: Option<u64>,
    /// Instances that there may be now.
    slots: Arc<Semaphore>,
    max_queued: usize,
    pub(super) metrics: Arc<Metrics>,
    /// The name of the component's file.
    file: PathBuf,
    dumps: Option<Folder>,
    version: Version,
    /// Instances of WASI 0.3 that can answer more.
    pub(super) instances: Instances,
}

/// A request that waits for an instance.
struct Queued<'a>(&'a Guests);

impl<'a> Queued<'a> {
    fn enter(guests: &'a Guests) -> Option<Queued<'a>> {
        let has_room = guests.metrics.queued.enter(guests.max_queued);
        has_room.then(|| Queued(guests))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.metrics.queued.sub(1);
    }
}

/// What an instance of WASI 0.2 begins with.
struct Given {
    wasi: WasiCtx,
    request: Resource<IncomingRequest>,
    outparam: Resource<ResponseOutparam>,
    /// Where its answer comes.
    receiver: ResponseReceiver,
}

impl Guests {
    /// # Errors
    /// If something that the guests are granted is not there, or no folder for core dumps.
    pub(super) fn new(
        args: &ServeArgs,
        max_concurrent: usize,
        linked: InstancePre<WasiCtx>,
        client: HttpClient,
        metrics: Arc<Metrics>,
        version: Version,
    ) -> Result<Arc<Guests>> {
        let dumps = args.coredumps.as_deref();
        let dumps = dumps.map(|path| Folder::new(path, args.max_coredumps));
        // What cannot be granted is told before the first request.
        let _: cwasm_wasi::WasiCtxBuilder = args.grants.builder()?;
        Ok(Arc::new(Guests {
            is_interruptible: linked.component().is_interruptible(),
            blocks: wasi::blocks(linked.component()),
            linked,
            grants: args.grants.clone(),
            client,
            timeout: args.timeout.min(MAX_TIMEOUT),
            max_memory: args.max_memory,
            slots: Arc::new(Semaphore::new(max_concurrent)),
            max_queued: args.max_queued,
            metrics,
            file: args.file.clone(),
            dumps: dumps.transpose()?,
            version,
            instances: Instances::new(args.reuse.get(), args.concurrent.get()),
        }))
    }

    /// Has a request answered by an instance, once there may be one: the response, and what is held
    /// until it is sent.
    ///
    /// # Errors
    /// The status of the answer that the server gives itself.
    pub(super) async fn answer(
        self: &Arc<Guests>,
        request: Request<Incoming>,
    ) -> Result<(Response, Option<Held>), StatusCode> {
        let end = Instant::now() + self.timeout;
        let slot = self.slot(end).await?;
        let answered = match self.version {
            Version::P2 => {
                let receiver = self.start(request, end, slot)?;
                let answered = tokio::time::timeout_at(end.into(), receiver).await;
                answered.map(|answered| answered.map(|answer| answer.map(|answer| (answer, None))))
            }
            Version::P3 => {
                let receiver = instances::answer(self, request, end, slot);
                let answered = tokio::time::timeout_at(end.into(), receiver).await;
                answered.map(|answered| {
                    answered.map(|answer| answer.map(|(answer, held)| (answer, Some(held))))
                })
            }
        };
        match answered {
            Ok(Ok(Ok(answered))) => Ok(answered),
            Ok(Ok(Err(code))) => Err(status_of(&code)),
            // The guest ended without an answer.
            Ok(Err(_)) if Instant::now() < end => Err(StatusCode::INTERNAL_SERVER_ERROR),
            Ok(Err(_)) | Err(_) => Err(StatusCode::GATEWAY_TIMEOUT),
        }
    }

    /// The right to have an instance.
    async fn slot(&self, end: Instant) -> Result<OwnedSemaphorePermit, StatusCode> {
        let slots = Arc::clone(&self.slots);
        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            return Ok(slot);
        }
        let Some(_queued) = Queued::enter(self) else {
            self.metrics.rejected.add(1);
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        };
        match tokio::time::timeout_at(end.into(), slots.acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => {
                self.metrics.rejected.add(1);
                Err(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// Starts an instance in another thread: where its answer comes.
    ///
    /// # Errors
    /// The status of the answer if the instance cannot have the request.
    fn start(
        self: &Arc<Guests>,
        request: Request<Incoming>,
        end: Instant,
        slot: OwnedSemaphorePermit,
    ) -> Result<ResponseReceiver, StatusCode> {
        let name = RequestName::new(request.method(), request.uri());
        let given = self.give(request).map_err(|error| {
            output::note(&format!("error: {name}: {error}"));
            StatusCode::INTERNAL_SERVER_ERROR
        })?;
        let Given {
            wasi,
            request,
            outparam,
            receiver,
        } = given;
        let guests = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            guests.metrics.instances.add(1);
            if let Err(error) = guests.run(wasi, request, outparam, end) {
                guests.metrics.failures.add(1);
                output::note(&format!("error: {name}: {error}"));
            }
            guests.metrics.instances.sub(1);
            drop(slot);
        });
        Ok(receiver)
    }

    /// Puts a request in the resources of an instance to come.
    fn give(&self, request: Request<Incoming>) -> Result<Given> {
        let mut wasi = self.context()?;
        let request = wasi.new_incoming_request(Scheme::HTTP, request, Some(self.timeout))?;
        let (outparam, receiver) = wasi.new_response_outparam()?;
        Ok(Given {
            wasi,
            request,
            outparam,
            receiver,
        })
    }

    /// What an instance may do.
    pub(super) fn context(&self) -> Result<WasiCtx> {
        let builder = self.grants.builder()?.inherit_stdout().inherit_stderr();
        Ok(builder.http_client(self.client.clone()).build())
    }

    /// A store for an instance, which may run until `end`.
    pub(super) fn store(&self, wasi: WasiCtx, end: Instant) -> Result<Store<WasiCtx>> {
        let mut store = Store::new(self.linked.component().engine(), wasi);
        if let Some(bytes) = self.max_memory {
            let mut limits = StoreLimits::new();
            limits.memory_size(bytes);
            store.set_limits(limits);
        }
        store.keep_failed_instances(self.dumps.is_some());
        self.set_end(&mut store.as_context_mut(), end)?;
        Ok(store)
    }

    /// Writes a core dump, if an instance has trapped and there are to be dumps.
    pub(super) fn dump(&self, store: &Store<WasiCtx>, error: &Error) {
        if let Some(dumps) = &self.dumps {
            dumps.write(store, error, &self.file);
        }
    }

    /// Sets the time at which an instance is stopped.
    pub(super) fn set_end(
        &self,
        store: &mut StoreContextMut<'_, WasiCtx>,
        end: Instant,
    ) -> Result<()> {
        let left = end.saturating_duration_since(Instant::now());
        // Operations of 0.2 that wait.
        store.data_mut().set_deadline(Some(left));
        match self.is_interruptible {
            true => store.set_deadline(Some(end)),
            false => Ok(()),
        }
    }

    fn run(
        &self,
        wasi: WasiCtx,
        request: Resource<IncomingRequest>,
        outparam: Resource<ResponseOutparam>,
        end: Instant,
    ) -> Result<()> {
        let mut store = self.store(wasi, end)?;
        let handled = self.handle(&mut store, request, outparam);
        handled.inspect_err(|error| self.dump(&store, error))
    }

    fn handle(
        &self,
        store: &mut Store<WasiCtx>,
        request: Resource<IncomingRequest>,
        outparam: Resource<ResponseOutparam>,
    ) -> Result<()> {
        let instance = self.linked.instantiate(&mut *store)?;
        let proxy = Proxy::new(&mut *store, &instance)?;
        let handler = proxy.wasi_http_incoming_handler();
        handler.call_handle(store, request, outparam)
    }
}

/// The status of an answer in place of the guest's.
fn status_of(code: &ErrorCode) -> StatusCode {
    match code {
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTerminated
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

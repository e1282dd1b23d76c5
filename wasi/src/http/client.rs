//! Sending requests: a task for each connection, in threads of the runtime.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::uri::Authority;
use http::{HeaderValue, Request, header, response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ErrorCode;
use super::error::{code_of, connect_code, dns_code};
use super::options::Timeouts;
use super::outgoing_body::SentBody;
use crate::open_files::Place;
use crate::quota::Claim;
use crate::sockets::{NetworkPolicy, SocketUse};

/// The most bytes of the head of a response, and of what is read ahead of its body.
const MAX_BUFFER: usize = 64 << 10;

/// The most threads that look names up.
const MAX_LOOKUPS: usize = 16;

/// Sends the requests of guests; clones are the same client. It works in the process that has made
/// it: a host that forks makes its clients afterwards.
#[derive(Clone)]
pub struct HttpClient(Arc<Inner>);

struct Inner {
    handle: Handle,
    /// The client's own.
    _runtime: Option<Background>,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// A runtime that ends without waiting for its tasks.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl HttpClient {
    /// A client with a thread of its own.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn new() -> io::Result<HttpClient> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(MAX_LOOKUPS)
            .thread_name("cwasm-http")
            .enable_all()
            .build()?;
        Ok(HttpClient(Arc::new(Inner {
            handle: runtime.handle().clone(),
            _runtime: Some(Background(Some(runtime))),
            tls: OnceLock::new(),
        })))
    }

    /// A client whose connections are driven by a runtime of the host's, which must have I/O and
    /// time enabled.
    pub fn on(handle: Handle) -> HttpClient {
        HttpClient(Arc::new(Inner {
            handle,
            _runtime: None,
            tls: OnceLock::new(),
        }))
    }

    /// Sets how servers are trusted, before the first request. By default it is by the roots of the
    /// system; by those of Mozilla, where the system has none.
    #[must_use]
    pub fn with_tls(self, config: Arc<ClientConfig>) -> HttpClient {
        // A later one would be for other guests, too.
        let _ = self.0.tls.set(config);
        self
    }

    /// The client of guests whose hosts choose none: one for the process. After `fork`, the child
    /// makes its own, as it has none of its parent's threads.
    pub(super) fn shared() -> io::Result<HttpClient> {
        static SHARED: Mutex<Option<(u32, HttpClient)>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some((owner, client)) = &*shared
            && *owner == process
        {
            return Ok(client.clone());
        }
        let client = HttpClient::new()?;
        // Ending the parent's would wait for its threads.
        std::mem::forget(shared.replace((process, client.clone())));
        Ok(client)
    }

    /// Starts an exchange: `done` gets its end.
    pub(crate) fn start(
        &self,
        exchange: Exchange,
        done: impl FnOnce(Result<Received, ErrorCode>) + Send + 'static,
    ) -> Running {
        let client = self.clone();
        let task = async move { done(exchange.run(&client).await) };
        Running(self.0.handle.spawn(task).abort_handle())
    }

    fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(self.0.tls.get_or_init(|| Arc::new(default_tls())))
    }
}

fn default_tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites of the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request with all that is needed to send it.
pub(crate) struct Exchange {
    pub(super) is_tls: bool,
    pub(super) authority: Authority,
    /// Its URI is the path and the query.
    pub(super) request: Request<SentBody>,
    pub(super) timeouts: Timeouts,
    pub(super) policy: NetworkPolicy,
    pub(super) right: ConnectionRight,
}

/// The right to have a connection: of those of HTTP, and of all that the guest has open.
#[derive(Debug)]
pub(super) struct ConnectionRight {
    pub(super) _claim: Claim,
    pub(super) _place: Place,
}

/// A response whose body is still to come.
pub(crate) struct Received {
    pub(super) head: response::Parts,
    pub(super) body: Incoming,
    pub(super) connection: Connection,
}

/// A connection, which is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    _task: Running,
    _right: ConnectionRight,
}

impl Exchange {
    async fn run(self, client: &HttpClient) -> Result<Received, ErrorCode> {
        let Exchange {
            is_tls,
            authority,
            mut request,
            timeouts,
            policy,
            right,
        } = self;
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        request.headers_mut().insert(header::HOST, host);
        let connected = timeout(timeouts.connect, connect(&authority, is_tls, &policy));
        let stream = connected.await;
        let stream = stream.map_err(|_| ErrorCode::ConnectionTimeout)??;
        let exchanged = async {
            match is_tls {
                false => send(stream, request, right).await,
                true => {
                    let name = server_name(&authority)?;
                    let connector = TlsConnector::from(client.tls());
                    let secured = timeout(timeouts.connect, connector.connect(name, stream));
                    let secured = secured.await.map_err(|_| ErrorCode::ConnectionTimeout)?;
                    let stream = secured.map_err(|error| connect_code(&error))?;
                    send(stream, request, right).await
                }
            }
        };
        let received = timeout(timeouts.first_byte, exchanged).await;
        received.map_err(|_| ErrorCode::ConnectionReadTimeout)?
    }
}

/// Host without brackets.
fn bare_host(authority: &Authority) -> &str {
    let host = authority.host();
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    in_brackets.unwrap_or(host)
}

fn server_name(authority: &Authority) -> Result<ServerName<'static>, ErrorCode> {
    let name = ServerName::try_from(bare_host(authority).to_owned());
    name.map_err(|_| dns_code())
}

/// Connects to the first address of a host that answers, of those that are allowed.
async fn connect(
    authority: &Authority,
    is_tls: bool,
    policy: &NetworkPolicy,
) -> Result<TcpStream, ErrorCode> {
    let port = authority
        .port_u16()
        .unwrap_or(if is_tls { 443 } else { 80 });
    let host = bare_host(authority);
    let addresses: Vec<SocketAddr> = match host.parse() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) if !policy.name_lookup => return Err(ErrorCode::HttpRequestDenied),
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await;
            found.map_err(|_| dns_code())?.collect()
        }
    };
    let mut failure = match addresses.is_empty() {
        true => dns_code(),
        false => ErrorCode::DestinationIpProhibited,
    };
    for address in addresses {
        if policy.check(address, SocketUse::TcpConnect).is_err() {
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Only slower, if it fails.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failure = connect_code(&error),
        }
    }
    Err(failure)
}

/// Sends a request and receives the head of the response.
async fn send<S>(
    stream: S,
    request: Request<SentBody>,
    right: ConnectionRight,
) -> Result<Received, ErrorCode>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let handshake = http1::Builder::new()
        .max_buf_size(MAX_BUFFER)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = handshake.map_err(|error| code_of(&error))?;
    // Its errors are those of the response, too.
    let task = tokio::spawn(async move { drop(connection.await) });
    let connection = Connection {
        _task: Running(task.abort_handle()),
        _right: right,
    };
    let response = sender.send_request(request).await;
    let (head, body) = response.map_err(|error| code_of(&error))?.into_parts();
    Ok(Received {
        head,
        body,
        connection,
    })
}

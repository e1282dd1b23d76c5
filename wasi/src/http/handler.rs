//! `wasi:http/outgoing-handler`: requests of guests, and the futures of their responses.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use cwasm::{Error, Resource, Result};
use http::uri::{Authority, PathAndQuery, Uri};
use http::{Method, Request, response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::ErrorCode;
use super::bindings::wasi::http::{outgoing_handler, types};
use super::client::{Connection, ConnectionRight, Exchange, HttpClient, Received, Running};
use super::error::{BodyError, HttpError};
use super::fields::size_of;
use super::incoming::IncomingResponse;
use super::incoming_body::{AnyBody, IncomingBody};
use super::message::method_of;
use super::options::RequestOptions;
use super::outgoing::OutgoingRequest;
use super::outgoing_body::{SentBody, declared_size};
use crate::ctx::WasiCtx;
use crate::io::{Interest, Pollable, Subscribe};

/// The response to a request, which comes later.
#[derive(Debug)]
pub struct FutureIncomingResponse {
    state: Mutex<State>,
    /// Wakes the guest.
    waker: Waker,
    /// How long the guest waits for the next part of the body.
    patience: Duration,
    _task: Running,
}

enum State {
    Pending(oneshot::Receiver<Result<Received, ErrorCode>>),
    Ready(Result<Received, ErrorCode>),
    Taken,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl State {
    /// Whether the response has not come.
    fn is_pending(&mut self, waker: &Waker) -> bool {
        let State::Pending(receiver) = self else {
            return false;
        };
        let mut context = Context::from_waker(waker);
        match Future::poll(Pin::new(receiver), &mut context) {
            Poll::Pending => true,
            Poll::Ready(received) => {
                // The runtime has ended.
                let ended = || Err(ErrorCode::ConnectionTerminated);
                *self = State::Ready(received.unwrap_or_else(|_| ended()));
                false
            }
        }
    }
}

impl Subscribe for FutureIncomingResponse {
    fn interest(&self) -> Interest<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.is_pending(&self.waker) {
            true => Interest::Change(None),
            false => Interest::Ready,
        }
    }
}

/// Where a request goes, as a guest says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    /// `https`, if there is none.
    pub(crate) scheme: Option<&'a types::Scheme>,
    pub(crate) authority: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
}

impl Received {
    /// Head and body; the body has the connection.
    pub(crate) fn into_parts(self) -> (response::Parts, AnyBody) {
        let body = ReceivedBody {
            body: self.body,
            _connection: self.connection,
        };
        (self.head, Box::pin(body))
    }
}

/// The body of a response, with its connection.
struct ReceivedBody {
    body: Incoming,
    _connection: Connection,
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map_err(BodyError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl WasiCtx {
    pub(crate) fn http_client(&mut self) -> Result<HttpClient> {
        if let Some(client) = &self.http.client {
            return Ok(client.clone());
        }
        let client = HttpClient::shared();
        let client =
            client.map_err(|error| Error::from(error).context("cannot start the HTTP client"))?;
        Ok(self.http.client.insert(client).clone())
    }

    /// Checks a request, and makes what sends it; `request` has method, headers and body.
    pub(crate) fn exchange(
        &self,
        request: Request<SentBody>,
        destination: Destination<'_>,
        options: RequestOptions,
    ) -> Result<Exchange, ErrorCode> {
        if !self.network.tcp {
            return Err(ErrorCode::HttpRequestDenied);
        }
        let is_tls = match destination.scheme {
            Some(types::Scheme::Http) => false,
            None | Some(types::Scheme::Https) => true,
            Some(types::Scheme::Other(_)) => return Err(ErrorCode::HttpProtocolError),
        };
        if request.method() == Method::CONNECT {
            return Err(ErrorCode::HttpRequestMethodInvalid);
        }
        // Names of users in authorities are of the past.
        let authority = destination.authority;
        let authority = authority.filter(|authority| !authority.contains('@'));
        let authority = authority.and_then(|authority| authority.parse::<Authority>().ok());
        let authority = authority.ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let path = destination.path.unwrap_or("/").parse::<PathAndQuery>();
        let path = path.map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        declared_size(request.headers())?;
        let claim = self.http.connections.claim(1);
        let place = self.open_files.place();
        let (Some(claim), Ok(place)) = (claim, place) else {
            return Err(ErrorCode::ConnectionLimitReached);
        };
        let mut request = request;
        *request.uri_mut() = Uri::from(path);
        Ok(Exchange {
            is_tls,
            authority,
            request,
            timeouts: options.timeouts(),
            policy: self.network.clone(),
            right: ConnectionRight {
                _claim: claim,
                _place: place,
            },
        })
    }

    /// The response as the guest gets it.
    fn response(
        &mut self,
        received: Received,
        patience: Duration,
    ) -> Result<Result<Resource<IncomingResponse>, ErrorCode>> {
        let (mut head, body) = received.into_parts();
        self.http.remove_forbidden(&mut head.headers);
        let Ok(claim) = self.http.claim_head(size_of(&head.headers)) else {
            return Ok(Err(ErrorCode::HttpResponseHeaderSectionSize(None)));
        };
        let body = IncomingBody::new(body, Some(patience), self.signal.waker());
        let response = IncomingResponse::new(head, claim, body);
        Ok(Ok(self.table.push(response)?))
    }
}

impl outgoing_handler::Host for WasiCtx {
    fn convert_error_code(&mut self, error: HttpError) -> Result<ErrorCode> {
        error.code()
    }

    fn handle(
        &mut self,
        request: Resource<OutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> Result<Resource<FutureIncomingResponse>, HttpError> {
        let request = self.table.delete(request)?;
        let options = match options {
            Some(options) => self.table.delete(options)?,
            None => RequestOptions::default(),
        };
        let method = method_of(&request.method);
        let mut sent = Request::new(request.body);
        *sent.method_mut() = method.ok_or(ErrorCode::HttpRequestMethodInvalid)?;
        *sent.headers_mut() = Arc::unwrap_or_clone(request.headers);
        let destination = Destination {
            scheme: request.scheme.as_ref(),
            authority: request.authority.as_ref().map(|text| text.text.as_str()),
            path: request
                .path_with_query
                .as_ref()
                .map(|text| text.text.as_str()),
        };
        let exchange = self.exchange(sent, destination, options)?;
        let (sender, receiver) = oneshot::channel();
        let task = self.http_client()?.start(exchange, |received| {
            // The guest may have dropped the future.
            let _ = sender.send(received);
        });
        let future = FutureIncomingResponse {
            state: Mutex::new(State::Pending(receiver)),
            waker: self.signal.waker(),
            patience: options.timeouts().between_bytes,
            _task: task,
        };
        Ok(self.table.push(future)?)
    }
}

/// A response, or why it did not come.
type Answer = Result<Resource<IncomingResponse>, ErrorCode>;

impl types::HostFutureIncomingResponse for WasiCtx {
    fn subscribe(
        &mut self,
        future: Resource<FutureIncomingResponse>,
    ) -> Result<Resource<Pollable>> {
        self.subscribe_to(&future)
    }

    fn get(
        &mut self,
        future: Resource<FutureIncomingResponse>,
    ) -> Result<Option<Result<Answer, ()>>> {
        let response = self.table.get_mut(&future)?;
        let patience = response.patience;
        let state = response.state.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        if state.is_pending(&response.waker) {
            return Ok(None);
        }
        match std::mem::replace(state, State::Taken) {
            State::Ready(Ok(received)) => Ok(Some(Ok(self.response(received, patience)?))),
            State::Ready(Err(code)) => Ok(Some(Ok(Err(code)))),
            State::Pending(_) | State::Taken => Ok(Some(Err(()))),
        }
    }

    fn drop(&mut self, future: Resource<FutureIncomingResponse>) -> Result<()> {
        self.table.delete(future)?;
        Ok(())
    }
}

//! Requests and responses that a guest receives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cwasm::{Resource, Result};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, header, response};
use http_body::Body;
use http_body_util::BodyExt as _;

use super::bindings::wasi::http::types;
use super::error::BodyError;
use super::fields::Fields;
use super::incoming_body::{AnyBody, IncomingBody};
use crate::ctx::WasiCtx;
use crate::quota::Claim;

/// A request that a guest answers.
#[derive(Debug)]
pub struct IncomingRequest {
    method: http::Method,
    path_with_query: Option<String>,
    scheme: Scheme,
    authority: Option<String>,
    headers: Arc<HeaderMap>,
    /// `None` once the guest has it.
    body: Option<IncomingBody>,
}

/// The response to a request of the guest's.
#[derive(Debug)]
pub struct IncomingResponse {
    status: u16,
    headers: Arc<HeaderMap>,
    _claim: Claim,
    /// `None` once the guest has it.
    body: Option<IncomingBody>,
}

impl IncomingResponse {
    pub(super) fn new(head: response::Parts, claim: Claim, body: IncomingBody) -> IncomingResponse {
        IncomingResponse {
            status: head.status.as_u16(),
            headers: Arc::new(head.headers),
            _claim: claim,
            body: Some(body),
        }
    }
}

impl WasiCtx {
    /// A request for the guest, which its `handle` takes: received by the host, with the scheme
    /// that it came by. The authority is that of the URI, or the header `Host`. `patience` is how
    /// long each next part of the body may take.
    ///
    /// # Errors
    /// If the guest has too many handles.
    pub fn new_incoming_request<B>(
        &mut self,
        scheme: Scheme,
        request: Request<B>,
        patience: Option<Duration>,
    ) -> Result<Resource<IncomingRequest>>
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
    {
        let (head, body) = request.into_parts();
        let mut headers = head.headers;
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let authority = head.uri.authority().map(Authority::as_str).or(host);
        let authority = authority.map(str::to_owned);
        self.http.remove_forbidden(&mut headers);
        let body: AnyBody = Box::pin(body.map_err(Into::into));
        let request = IncomingRequest {
            path_with_query: head.uri.path_and_query().map(|path| path.to_string()),
            method: head.method,
            scheme,
            authority,
            headers: Arc::new(headers),
            body: Some(IncomingBody::new(body, patience, self.signal.waker())),
        };
        Ok(self.table.push(request)?)
    }

    fn push_body<T: Send + 'static>(
        &mut self,
        message: &Resource<T>,
        take: impl FnOnce(&mut T) -> Option<IncomingBody>,
    ) -> Result<Result<Resource<IncomingBody>, ()>> {
        match take(self.table.get_mut(message)?) {
            Some(body) => Ok(Ok(self.table.push(body)?)),
            None => Ok(Err(())),
        }
    }
}

impl types::HostIncomingRequest for WasiCtx {
    fn method(&mut self, request: Resource<IncomingRequest>) -> Result<types::Method> {
        Ok((&self.table.get(&request)?.method).into())
    }

    fn path_with_query(&mut self, request: Resource<IncomingRequest>) -> Result<Option<String>> {
        Ok(self.table.get(&request)?.path_with_query.clone())
    }

    fn scheme(&mut self, request: Resource<IncomingRequest>) -> Result<Option<types::Scheme>> {
        Ok(Some((&self.table.get(&request)?.scheme).into()))
    }

    fn authority(&mut self, request: Resource<IncomingRequest>) -> Result<Option<String>> {
        Ok(self.table.get(&request)?.authority.clone())
    }

    fn headers(&mut self, request: Resource<IncomingRequest>) -> Result<Resource<Fields>> {
        let headers = Arc::clone(&self.table.get(&request)?.headers);
        Ok(self
            .table
            .push_child(Fields::of_message(headers), &request)?)
    }

    fn consume(
        &mut self,
        request: Resource<IncomingRequest>,
    ) -> Result<Result<Resource<IncomingBody>, ()>> {
        self.push_body(&request, |request| request.body.take())
    }

    fn drop(&mut self, request: Resource<IncomingRequest>) -> Result<()> {
        self.table.delete(request)?;
        Ok(())
    }
}

impl types::HostIncomingResponse for WasiCtx {
    fn status(&mut self, response: Resource<IncomingResponse>) -> Result<u16> {
        Ok(self.table.get(&response)?.status)
    }

    fn headers(&mut self, response: Resource<IncomingResponse>) -> Result<Resource<Fields>> {
        let headers = Arc::clone(&self.table.get(&response)?.headers);
        Ok(self
            .table
            .push_child(Fields::of_message(headers), &response)?)
    }

    fn consume(
        &mut self,
        response: Resource<IncomingResponse>,
    ) -> Result<Result<Resource<IncomingBody>, ()>> {
        self.push_body(&response, |response| response.body.take())
    }

    fn drop(&mut self, response: Resource<IncomingResponse>) -> Result<()> {
        self.table.delete(response)?;
        Ok(())
    }
}

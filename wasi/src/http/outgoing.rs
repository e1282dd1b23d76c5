//! Requests and responses that a guest makes.

use std::sync::Arc;

use cwasm::{Resource, Result};
use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

use super::ErrorCode;
use super::bindings::wasi::http::types;
use super::fields::Fields;
use super::message::{is_authority, is_path, is_scheme, method_of};
use super::outgoing_body::{Message, OutgoingBody, SentBody, declared_size};
use crate::ctx::WasiCtx;
use crate::quota::Claim;

/// A request that a guest makes.
#[derive(Debug)]
pub struct OutgoingRequest {
    pub(super) method: types::Method,
    pub(super) path_with_query: Option<Text>,
    pub(super) scheme: Option<types::Scheme>,
    pub(super) authority: Option<Text>,
    pub(super) headers: Arc<HeaderMap>,
    pub(super) body: SentBody,
    _claim: Option<Claim>,
}

/// A text of a guest, and its memory.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    _claim: Claim,
}

/// A response that a guest makes.
#[derive(Debug)]
pub struct OutgoingResponse {
    status: StatusCode,
    headers: Arc<HeaderMap>,
    body: SentBody,
    _claim: Option<Claim>,
}

/// The place where a guest puts its response. Dropped before, nothing is answered.
#[derive(Debug)]
pub struct ResponseOutparam {
    sender: oneshot::Sender<Result<Response, ErrorCode>>,
}

/// A response of a guest, to be sent by the host.
pub type Response = http::Response<SentBody>;

/// Receives the response of a guest, which comes when the guest sets it: before `handle` returns.
pub type ResponseReceiver = oneshot::Receiver<Result<Response, ErrorCode>>;

impl OutgoingResponse {
    fn into_response(self) -> Result<Response, ErrorCode> {
        declared_size(&self.headers)?;
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = Arc::unwrap_or_clone(self.headers);
        Ok(response)
    }
}

impl WasiCtx {
    /// A place for the guest's response, which its `handle` takes, and where the host receives it.
    ///
    /// # Errors
    /// If the guest has too many handles.
    pub fn new_response_outparam(
        &mut self,
    ) -> Result<(Resource<ResponseOutparam>, ResponseReceiver)> {
        let (sender, receiver) = oneshot::channel();
        let outparam = self.table.push(ResponseOutparam { sender })?;
        Ok((outparam, receiver))
    }

    fn text(&self, text: String) -> Result<Text> {
        let claim = self.http.claim_head(text.len())?;
        Ok(Text {
            text,
            _claim: claim,
        })
    }

    /// Sets the path or the authority of a request, if it can be one.
    fn set_text(
        &mut self,
        request: &Resource<OutgoingRequest>,
        text: Option<String>,
        is_valid: fn(&str) -> bool,
        place: fn(&mut OutgoingRequest) -> &mut Option<Text>,
    ) -> Result<Result<(), ()>> {
        if text.as_deref().is_some_and(|text| !is_valid(text)) {
            return Ok(Err(()));
        }
        let text = text.map(|text| self.text(text)).transpose()?;
        *place(self.table.get_mut(request)?) = text;
        Ok(Ok(()))
    }
}

impl types::HostOutgoingRequest for WasiCtx {
    fn new(&mut self, headers: Resource<Fields>) -> Result<Resource<OutgoingRequest>> {
        let (headers, claim) = self.table.delete(headers)?.into_parts();
        Ok(self.table.push(OutgoingRequest {
            method: types::Method::Get,
            path_with_query: None,
            scheme: None,
            authority: None,
            headers,
            body: SentBody::default(),
            _claim: claim,
        })?)
    }

    fn body(
        &mut self,
        request: Resource<OutgoingRequest>,
    ) -> Result<Result<Resource<OutgoingBody>, ()>> {
        let outgoing = self.table.get(&request)?;
        if outgoing.body.is_some() {
            return Ok(Err(()));
        }
        let (body, sent) = self.outgoing_body(Message::Request, &outgoing.headers)?;
        self.table.get_mut(&request)?.body = sent;
        Ok(Ok(self.table.push(body)?))
    }

    fn method(&mut self, request: Resource<OutgoingRequest>) -> Result<types::Method> {
        Ok(self.table.get(&request)?.method.clone())
    }

    fn set_method(
        &mut self,
        request: Resource<OutgoingRequest>,
        method: types::Method,
    ) -> Result<Result<(), ()>> {
        if method_of(&method).is_none() {
            return Ok(Err(()));
        }
        self.table.get_mut(&request)?.method = method;
        Ok(Ok(()))
    }

    fn path_with_query(&mut self, request: Resource<OutgoingRequest>) -> Result<Option<String>> {
        let path = &self.table.get(&request)?.path_with_query;
        Ok(path.as_ref().map(|path| path.text.clone()))
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<OutgoingRequest>,
        path: Option<String>,
    ) -> Result<Result<(), ()>> {
        self.set_text(&request, path, is_path, |request| {
            &mut request.path_with_query
        })
    }

    fn scheme(&mut self, request: Resource<OutgoingRequest>) -> Result<Option<types::Scheme>> {
        Ok(self.table.get(&request)?.scheme.clone())
    }

    fn set_scheme(
        &mut self,
        request: Resource<OutgoingRequest>,
        scheme: Option<types::Scheme>,
    ) -> Result<Result<(), ()>> {
        if scheme.as_ref().is_some_and(|scheme| !is_scheme(scheme)) {
            return Ok(Err(()));
        }
        self.table.get_mut(&request)?.scheme = scheme;
        Ok(Ok(()))
    }

    fn authority(&mut self, request: Resource<OutgoingRequest>) -> Result<Option<String>> {
        let authority = &self.table.get(&request)?.authority;
        Ok(authority.as_ref().map(|authority| authority.text.clone()))
    }

    fn set_authority(
        &mut self,
        request: Resource<OutgoingRequest>,
        authority: Option<String>,
    ) -> Result<Result<(), ()>> {
        self.set_text(&request, authority, is_authority, |request| {
            &mut request.authority
        })
    }

    fn headers(&mut self, request: Resource<OutgoingRequest>) -> Result<Resource<Fields>> {
        let headers = Arc::clone(&self.table.get(&request)?.headers);
        Ok(self
            .table
            .push_child(Fields::of_message(headers), &request)?)
    }

    fn drop(&mut self, request: Resource<OutgoingRequest>) -> Result<()> {
        self.table.delete(request)?;
        Ok(())
    }
}

impl types::HostOutgoingResponse for WasiCtx {
    fn new(&mut self, headers: Resource<Fields>) -> Result<Resource<OutgoingResponse>> {
        let (headers, claim) = self.table.delete(headers)?.into_parts();
        Ok(self.table.push(OutgoingResponse {
            status: StatusCode::OK,
            headers,
            body: SentBody::default(),
            _claim: claim,
        })?)
    }

    fn status_code(&mut self, response: Resource<OutgoingResponse>) -> Result<u16> {
        Ok(self.table.get(&response)?.status.as_u16())
    }

    fn set_status_code(
        &mut self,
        response: Resource<OutgoingResponse>,
        status: u16,
    ) -> Result<Result<(), ()>> {
        let response = self.table.get_mut(&response)?;
        // Informational responses are not final.
        let status = StatusCode::from_u16(status).ok();
        let Some(status) = status.filter(|status| !status.is_informational()) else {
            return Ok(Err(()));
        };
        response.status = status;
        Ok(Ok(()))
    }

    fn headers(&mut self, response: Resource<OutgoingResponse>) -> Result<Resource<Fields>> {
        let headers = Arc::clone(&self.table.get(&response)?.headers);
        Ok(self
            .table
            .push_child(Fields::of_message(headers), &response)?)
    }

    fn body(
        &mut self,
        response: Resource<OutgoingResponse>,
    ) -> Result<Result<Resource<OutgoingBody>, ()>> {
        let outgoing = self.table.get(&response)?;
        if outgoing.body.is_some() {
            return Ok(Err(()));
        }
        let (body, sent) = self.outgoing_body(Message::Response, &outgoing.headers)?;
        self.table.get_mut(&response)?.body = sent;
        Ok(Ok(self.table.push(body)?))
    }

    fn drop(&mut self, response: Resource<OutgoingResponse>) -> Result<()> {
        self.table.delete(response)?;
        Ok(())
    }
}

impl types::HostResponseOutparam for WasiCtx {
    fn set(
        &mut self,
        outparam: Resource<ResponseOutparam>,
        response: Result<Resource<OutgoingResponse>, ErrorCode>,
    ) -> Result<()> {
        let response = match response {
            Ok(response) => self.table.delete(response)?.into_response(),
            Err(code) => Err(code),
        };
        let outparam = self.table.delete(outparam)?;
        // The host may be gone, because the client is: the guest goes on all the same.
        let _ = outparam.sender.send(response);
        Ok(())
    }

    fn drop(&mut self, outparam: Resource<ResponseOutparam>) -> Result<()> {
        self.table.delete(outparam)?;
        Ok(())
    }
}

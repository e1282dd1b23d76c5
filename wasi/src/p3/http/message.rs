//! Requests and responses.

use std::borrow::Cow;
use std::sync::Arc;

use cwasm::{Access, FutureReader, FutureWriter, Resource, Result, StreamReader};
use http::{HeaderMap, StatusCode};

use super::bindings::wasi::http::types::{HostRequest, HostResponse};
use super::body::{Body, GuestBody, Sent, Trailers};
use super::options::RequestOptions;
use crate::ctx::WasiCtx;
use crate::http::types_of_0_2::{Method, Scheme};
use crate::http::{Fields, RequestOptions as Options, is_authority, is_path, is_scheme, method_of};
use crate::quota::Claim;

/// A request, of a guest or received by the host.
#[derive(Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) path_with_query: Option<Text>,
    pub(super) scheme: Option<Scheme>,
    pub(super) authority: Option<Text>,
    pub(super) headers: Arc<HeaderMap>,
    pub(super) options: Option<Options>,
    pub(super) body: Body,
    pub(super) _claim: Option<Claim>,
}

/// A response, of a guest or received by the host.
#[derive(Debug)]
pub struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: Arc<HeaderMap>,
    pub(super) body: Body,
    pub(super) _claim: Option<Claim>,
}

/// A text of a message, and its memory, if the guest has made it.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) _claim: Option<Claim>,
}

fn text_of(text: &Option<Text>) -> Option<String> {
    text.as_ref().map(|text| text.text.clone())
}

/// A path as it is sent: from the root.
pub(super) fn from_root(path: &str) -> Cow<'_, str> {
    match path.starts_with('/') {
        true => path.into(),
        false => format!("/{path}").into(),
    }
}

/// A scheme by its case of the WIT, also if the guest has written its name.
fn known_scheme(scheme: Scheme) -> Scheme {
    match scheme {
        Scheme::Other(name) if name.eq_ignore_ascii_case("http") => Scheme::Http,
        Scheme::Other(name) if name.eq_ignore_ascii_case("https") => Scheme::Https,
        scheme => scheme,
    }
}

/// The body of a message that a guest makes, and the future that says what became of it.
fn guest_body<T: 'static>(
    access: Access<'_, T, WasiCtx>,
    contents: Option<StreamReader<u8>>,
    trailers: FutureReader<Trailers>,
) -> Result<(Body, FutureReader<Sent>)> {
    let streaming = access.with(|ctx| ctx.streaming())?;
    let accessor = access.accessor();
    let (sent, result) = accessor.with(|store| FutureWriter::pair(store));
    let body = Body::Guest(GuestBody {
        contents,
        trailers,
        sent,
        streaming,
    });
    Ok((body, result))
}

impl WasiCtx {
    /// Sets the path or the authority of a request, if it can be one.
    fn set_request_text(
        &mut self,
        request: &Resource<Request>,
        text: Option<String>,
        is_valid: fn(&str) -> bool,
        place: fn(&mut Request) -> &mut Option<Text>,
    ) -> Result<Result<(), ()>> {
        if text.as_deref().is_some_and(|text| !is_valid(text)) {
            return Ok(Err(()));
        }
        let text = match text {
            Some(text) => Some(Text {
                _claim: Some(self.http.claim_head(text.len())?),
                text,
            }),
            None => None,
        };
        *place(self.table.get_mut(request)?) = text;
        Ok(Ok(()))
    }
}

impl HostRequest for WasiCtx {
    fn new<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        headers: Resource<Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
        options: Option<Resource<RequestOptions>>,
    ) -> Result<(Resource<Request>, FutureReader<Sent>)> {
        let (body, sent) = guest_body(access, contents, trailers)?;
        let request = access.with(|ctx| {
            let (headers, claim) = ctx.table.delete(headers)?.into_parts();
            let options = match options {
                Some(options) => Some(ctx.table.delete(options)?.values),
                None => None,
            };
            Ok::<_, cwasm::Error>(ctx.table.push(Request {
                method: Method::Get,
                path_with_query: None,
                scheme: None,
                authority: None,
                headers,
                options,
                body,
                _claim: claim,
            })?)
        })?;
        Ok((request, sent))
    }

    fn get_method(&mut self, request: Resource<Request>) -> Result<Method> {
        Ok(self.table.get(&request)?.method.clone())
    }

    fn set_method(&mut self, request: Resource<Request>, method: Method) -> Result<Result<(), ()>> {
        let Some(method) = method_of(&method) else {
            return Ok(Err(()));
        };
        self.table.get_mut(&request)?.method = (&method).into();
        Ok(Ok(()))
    }

    fn get_path_with_query(&mut self, request: Resource<Request>) -> Result<Option<String>> {
        Ok(text_of(&self.table.get(&request)?.path_with_query))
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<Request>,
        path: Option<String>,
    ) -> Result<Result<(), ()>> {
        // An empty path is that of the root.
        let path = path.map(|path| match path.is_empty() {
            true => "/".to_owned(),
            false => path,
        });
        let is_valid = |path: &str| is_path(&from_root(path));
        self.set_request_text(&request, path, is_valid, |request| {
            &mut request.path_with_query
        })
    }

    fn get_scheme(&mut self, request: Resource<Request>) -> Result<Option<Scheme>> {
        Ok(self.table.get(&request)?.scheme.clone())
    }

    fn set_scheme(
        &mut self,
        request: Resource<Request>,
        scheme: Option<Scheme>,
    ) -> Result<Result<(), ()>> {
        if scheme.as_ref().is_some_and(|scheme| !is_scheme(scheme)) {
            return Ok(Err(()));
        }
        self.table.get_mut(&request)?.scheme = scheme.map(known_scheme);
        Ok(Ok(()))
    }

    fn get_authority(&mut self, request: Resource<Request>) -> Result<Option<String>> {
        Ok(text_of(&self.table.get(&request)?.authority))
    }

    fn set_authority(
        &mut self,
        request: Resource<Request>,
        authority: Option<String>,
    ) -> Result<Result<(), ()>> {
        self.set_request_text(&request, authority, is_authority, |request| {
            &mut request.authority
        })
    }

    fn get_options(
        &mut self,
        request: Resource<Request>,
    ) -> Result<Option<Resource<RequestOptions>>> {
        let Some(values) = self.table.get(&request)?.options else {
            return Ok(None);
        };
        Ok(Some(self.table.push(RequestOptions {
            values,
            is_immutable: true,
        })?))
    }

    fn get_headers(&mut self, request: Resource<Request>) -> Result<Resource<Fields>> {
        let headers = Arc::clone(&self.table.get(&request)?.headers);
        Ok(self.table.push(Fields::of_message(headers))?)
    }

    fn consume_body<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        request: Resource<Request>,
        handled: FutureReader<Sent>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        let request = access.with(|ctx| ctx.table.delete(request))?;
        request.body.consume(access, handled)
    }

    fn drop<T: 'static>(access: Access<'_, T, WasiCtx>, request: Resource<Request>) -> Result<()> {
        let request = access.with(|ctx| ctx.table.delete(request))?;
        request.body.close(access.accessor())
    }
}

impl HostResponse for WasiCtx {
    fn new<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        headers: Resource<Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: FutureReader<Trailers>,
    ) -> Result<(Resource<Response>, FutureReader<Sent>)> {
        let (body, sent) = guest_body(access, contents, trailers)?;
        let response = access.with(|ctx| {
            let (headers, claim) = ctx.table.delete(headers)?.into_parts();
            Ok::<_, cwasm::Error>(ctx.table.push(Response {
                status: StatusCode::OK,
                headers,
                body,
                _claim: claim,
            })?)
        })?;
        Ok((response, sent))
    }

    fn get_status_code(&mut self, response: Resource<Response>) -> Result<u16> {
        Ok(self.table.get(&response)?.status.as_u16())
    }

    fn set_status_code(
        &mut self,
        response: Resource<Response>,
        status: u16,
    ) -> Result<Result<(), ()>> {
        let response = self.table.get_mut(&response)?;
        // One that is not final is an error when the response is sent.
        let status = StatusCode::from_u16(status).ok();
        let Some(status) = status.filter(|status| status.as_u16() < 600) else {
            return Ok(Err(()));
        };
        response.status = status;
        Ok(Ok(()))
    }

    fn get_headers(&mut self, response: Resource<Response>) -> Result<Resource<Fields>> {
        let headers = Arc::clone(&self.table.get(&response)?.headers);
        Ok(self.table.push(Fields::of_message(headers))?)
    }

    fn consume_body<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        response: Resource<Response>,
        handled: FutureReader<Sent>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        let response = access.with(|ctx| ctx.table.delete(response))?;
        response.body.consume(access, handled)
    }

    fn drop<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        response: Resource<Response>,
    ) -> Result<()> {
        let response = access.with(|ctx| ctx.table.delete(response))?;
        response.body.close(access.accessor())
    }
}

//! Components that answer requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cwasm::{Access, Accessor, Resource, Result};
use http::header;
use http::uri::{Authority, Scheme};
use http_body_util::BodyExt as _;

use super::Service;
use super::body::{Body, ReceivedBody};
use super::message::{Request, Response, Text};
use crate::ctx::WasiCtx;
use crate::http::{AnyBody, BodyError, ErrorCode, Message, SentBody, declared_size};

impl WasiCtx {
    /// A request for a guest's `handle`: received by the host, with the scheme that it came by. The
    /// authority is that of the URI, or the header `Host`. `patience` is how long each next part of
    /// the body may take.
    ///
    /// # Errors
    /// If the guest has too many handles.
    pub fn new_request<B>(
        &mut self,
        scheme: &Scheme,
        request: http::Request<B>,
        patience: Option<Duration>,
    ) -> Result<Resource<Request>>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
    {
        let (head, body) = request.into_parts();
        let mut headers = head.headers;
        let host = headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        let authority = head.uri.authority().map(Authority::as_str).or(host);
        let text = |text: &str| Text {
            text: text.to_owned(),
            _claim: None,
        };
        let authority = authority.map(text);
        let path = head.uri.path_and_query().map(|path| text(path.as_str()));
        self.http.remove_forbidden(&mut headers);
        let body: AnyBody = Box::pin(body.map_err(Into::into));
        let request = Request {
            method: (&head.method).into(),
            path_with_query: path,
            scheme: Some(scheme.into()),
            authority,
            headers: Arc::new(headers),
            options: None,
            body: Body::Received(ReceivedBody::new(body, patience)),
            _claim: None,
        };
        Ok(self.table.push(request)?)
    }
}

impl Service {
    /// Has a request answered, while the store runs tasks. The body of the response is written by
    /// futures of the store: it is to be polled until
    /// [`p3::finish`](crate::p3::finish) is over.
    ///
    /// # Errors
    /// A trap of the guest's, or an error of the host; the inner one is what the guest says.
    pub async fn handle<T: 'static>(
        &self,
        accessor: &Accessor<T>,
        get: fn(&mut T) -> &mut WasiCtx,
        request: Resource<Request>,
    ) -> Result<Result<http::Response<SentBody>, ErrorCode>> {
        let handler = self.wasi_http_handler();
        match handler.call_handle(accessor, request).await? {
            Ok(response) => answer(Access::new(accessor, &get), response),
            Err(code) => Ok(Err(code)),
        }
    }
}

/// A response as the host sends it.
fn answer<T: 'static>(
    access: Access<'_, T, WasiCtx>,
    response: Resource<Response>,
) -> Result<Result<http::Response<SentBody>, ErrorCode>> {
    let response = access.with(|ctx| ctx.table.delete(response))?;
    let valid = match response.status.is_informational() {
        true => {
            let status = response.status.as_u16();
            let text = format!("the status {status}, which is not final");
            Err(ErrorCode::InternalError(Some(text)))
        }
        false => declared_size(&response.headers).map(drop),
    };
    if let Err(code) = valid {
        response.body.close(access.accessor())?;
        return Ok(Err(code));
    }
    let body = response
        .body
        .send(access, Message::Response, &response.headers)?;
    let mut sent = http::Response::new(body);
    *sent.status_mut() = response.status;
    *sent.headers_mut() = Arc::unwrap_or_clone(response.headers);
    Ok(Ok(sent))
}

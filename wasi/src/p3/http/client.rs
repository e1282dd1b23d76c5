//! `wasi:http/client`, and the handler that middleware passes requests on to: requests are sent.

use std::sync::Arc;

use cwasm::{Access, Resource, Result};
use tokio::sync::oneshot;

use super::bindings::wasi::http::{client, handler};
use super::body::{Body, ReceivedBody};
use super::message::{Request, Response, from_root};
use crate::ctx::WasiCtx;
use crate::http::{Destination, ErrorCode, Message, Received, method_of, size_of};

/// Sends a request: its response, or why there is none.
async fn send<T: 'static>(
    access: Access<'_, T, WasiCtx>,
    request: Resource<Request>,
) -> Result<Result<Resource<Response>, ErrorCode>> {
    let request = access.with(|ctx| ctx.table.delete(request))?;
    let options = request.options.unwrap_or_default();
    let Some(method) = method_of(&request.method) else {
        request.body.close(access.accessor())?;
        return Ok(Err(ErrorCode::HttpRequestMethodInvalid));
    };
    let body = request
        .body
        .send(access, Message::Request, &request.headers)?;
    let mut sent = http::Request::new(body);
    *sent.method_mut() = method;
    *sent.headers_mut() = Arc::unwrap_or_clone(request.headers);
    let path = request.path_with_query.as_ref();
    let path = path.map(|text| from_root(&text.text));
    let destination = Destination {
        scheme: request.scheme.as_ref(),
        authority: request.authority.as_ref().map(|text| text.text.as_str()),
        path: path.as_deref(),
    };
    let exchange = access.with(|ctx| ctx.exchange(sent, destination, options));
    let exchange = match exchange {
        Ok(exchange) => exchange,
        Err(code) => return Ok(Err(code)),
    };
    let (sender, receiver) = oneshot::channel();
    let client = access.with(WasiCtx::http_client)?;
    // Dropped with this future, if the guest cancels the call.
    let _task = client.start(exchange, |received| {
        let _ = sender.send(received);
    });
    match receiver.await {
        Ok(Ok(received)) => {
            let patience = options.timeouts().between_bytes;
            access.with(|ctx| response(ctx, received, patience))
        }
        Ok(Err(code)) => Ok(Err(code)),
        // The runtime has ended.
        Err(_) => Ok(Err(ErrorCode::ConnectionTerminated)),
    }
}

/// A response that was received, as the guest gets it.
fn response(
    ctx: &mut WasiCtx,
    received: Received,
    patience: std::time::Duration,
) -> Result<Result<Resource<Response>, ErrorCode>> {
    let (mut head, body) = received.into_parts();
    ctx.http.remove_forbidden(&mut head.headers);
    let Ok(claim) = ctx.http.claim_head(size_of(&head.headers)) else {
        return Ok(Err(ErrorCode::HttpResponseHeaderSectionSize(None)));
    };
    let response = Response {
        status: head.status,
        headers: Arc::new(head.headers),
        body: Body::Received(ReceivedBody::new(body, Some(patience))),
        _claim: Some(claim),
    };
    Ok(Ok(ctx.table.push(response)?))
}

impl client::Host for WasiCtx {
    async fn send<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        request: Resource<Request>,
    ) -> Result<Result<Resource<Response>, ErrorCode>> {
        send(access, request).await
    }
}

impl handler::Host for WasiCtx {
    async fn handle<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        request: Resource<Request>,
    ) -> Result<Result<Resource<Response>, ErrorCode>> {
        send(access, request).await
    }
}

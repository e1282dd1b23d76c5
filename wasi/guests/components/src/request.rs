//! Outgoing requests.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use wasip2::io::streams::{OutputStream, StreamError};

use crate::Failed;

/// A request on its way.
pub struct Sent {
    /// Dropped before the body is finished.
    pub to: OutputStream,
    pub body: OutgoingBody,
    pub response: FutureIncomingResponse,
}

/// Sends a request, but for its body.
pub fn send(
    method: Method,
    url: &str,
    headers: Fields,
    options: Option<RequestOptions>,
) -> Result<Sent, String> {
    let (scheme, rest) = url.split_once("://").ok_or("expected `SCHEME://` first")?;
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let request = OutgoingRequest::new(headers);
    let invalid = |what: &str| format!("the {what} is refused");
    request.set_method(&method).map_err(|()| invalid("method"))?;
    request.set_scheme(Some(&scheme)).map_err(|()| invalid("scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| invalid("authority"))?;
    request.set_path_with_query(Some(path)).map_err(|()| invalid("path"))?;
    let body = request.body().expect("the first body");
    let to = body.write().expect("the first stream");
    let response = handle(request, options).map_err(|error| name_of(&error))?;
    Ok(Sent { to, body, response })
}

/// Waits for a response.
pub fn response(future: &FutureIncomingResponse) -> Result<IncomingResponse, String> {
    loop {
        match future.get() {
            None => future.subscribe().block(),
            Some(Ok(response)) => return response.map_err(|error| name_of(&error)),
            Some(Err(())) => return Err("the response was taken before".to_owned()),
        }
    }
}

/// The name of an error, in WIT's spelling, and what comes with it.
pub fn name_of(error: &ErrorCode) -> String {
    let text = format!("{error:?}");
    let text = text.strip_prefix("ErrorCode::").unwrap_or(&text);
    let (name, rest) = text.split_at(text.find('(').unwrap_or(text.len()));
    let mut found = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !found.is_empty() {
            found.push('-');
        }
        found.extend(letter.to_lowercase());
    }
    found + rest
}

impl Failed {
    /// The error of HTTP, if it is one.
    pub fn http(&self) -> Option<String> {
        match self {
            Failed::Read(StreamError::LastOperationFailed(error))
            | Failed::Write(StreamError::LastOperationFailed(error)) => {
                http_error_code(error).as_ref().map(name_of)
            }
            _ => None,
        }
    }
}

//! What services of HTTP need at each answer.

use wasip3::http::types::{ErrorCode, Fields, Response, Trailers};
use wasip3::wit_bindgen::FutureReader;
use wasip3::{spawn_local, wit_future, wit_stream};

/// Headers.
pub fn fields(entries: &[(&str, &str)]) -> Fields {
    let entries = entries.iter();
    let entries = entries.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    Fields::from_list(&entries.collect::<Vec<_>>()).expect("the headers are well-formed")
}

/// That no trailers follow.
pub fn no_trailers() -> FutureReader<Result<Option<Trailers>, ErrorCode>> {
    // The writing end, dropped at once, says the default.
    wit_future::new(|| Ok(None)).1
}

/// That a body was received as it should be.
pub fn received() -> FutureReader<Result<(), ErrorCode>> {
    wit_future::new(|| Ok(())).1
}

/// An answer of text.
pub fn text(status: u16, text: impl Into<String>) -> Response {
    let text = text.into();
    let length = text.len().to_string();
    let headers = fields(&[("content-type", "text/plain"), ("content-length", &length)]);
    let (mut sender, body) = wit_stream::new();
    spawn_local(async move {
        sender.write_all(text.into_bytes()).await;
    });
    let (response, _sent) = Response::new(headers, Some(body), no_trailers());
    let set = response.set_status_code(status);
    set.expect("the status is one of HTTP");
    response
}

//! Answers: the status and headers, then the body.

use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam, Trailers};
use wasip2::io::streams::OutputStream;

use components::{Failed, name_of, note, write};

/// Where the answer goes.
pub struct Answer(pub ResponseOutparam);

/// A body that is being written.
pub struct Body {
    pub to: OutputStream,
    body: OutgoingBody,
}

impl Answer {
    /// Sends status and headers.
    pub fn start(self, status: u16, headers: Fields) -> Body {
        let response = OutgoingResponse::new(headers);
        response.set_status_code(status).expect("a status");
        let body = response.body().expect("the first body");
        ResponseOutparam::set(self.0, Ok(response));
        let to = body.write().expect("the first stream");
        Body { to, body }
    }
}

impl Body {
    pub fn write(&self, bytes: &[u8]) -> Result<(), Failed> {
        write(&self.to, bytes)
    }

    /// Ends the body; the error's name, if that fails.
    pub fn finish(self, trailers: Option<Trailers>) -> Result<(), String> {
        drop(self.to);
        OutgoingBody::finish(self.body, trailers).map_err(|error| name_of(&error))
    }
}

/// Headers of names and values.
pub fn fields(entries: &[(&str, &str)]) -> Fields {
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    Fields::from_list(&entries).expect("headers")
}

/// Answers with a text.
pub fn text(answer: Answer, status: u16, text: &str) {
    let body = answer.start(status, fields(&[("content-type", "text/plain")]));
    let written = body.write(text.as_bytes()).map_err(|error| error.to_string());
    ended(written.and_then(|()| body.finish(None)));
}

/// Says how a body failed.
pub fn ended(result: Result<(), String>) {
    if let Err(error) = result {
        note(&error);
    }
}

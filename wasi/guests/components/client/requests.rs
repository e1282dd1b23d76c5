//! Requests, and their answers on the standard output.

use wasip2::cli::stdin::get_stdin;
use wasip2::cli::stdout::get_stdout;
use wasip2::http::types::{Fields, IncomingBody, Method, OutgoingBody, RequestOptions};

use components::{Sent, copy, name_of, print, response, send};

use crate::{Error, files};

/// Gets what is at a URL. Timeouts are those for connecting, for the first byte and between bytes,
/// in milliseconds.
pub fn get(url: &str, with_headers: bool, timeouts: Option<[u64; 3]>) -> Result<(), Error> {
    let options = timeouts.map(|millis| {
        let [connect, first_byte, between_bytes] = millis.map(|time| Some(time * 1_000_000));
        let options = RequestOptions::new();
        options.set_connect_timeout(connect).expect("a timeout");
        options.set_first_byte_timeout(first_byte).expect("a timeout");
        options.set_between_bytes_timeout(between_bytes).expect("a timeout");
        options
    });
    let sent = send(Method::Get, url, Fields::new(), options)?;
    finish(sent, with_headers)
}

/// Posts a file, or the standard input if it is `-`.
pub fn post(url: &str, file: &str) -> Result<(), Error> {
    let sent = send(Method::Post, url, Fields::new(), None)?;
    match file {
        "-" => copy(&get_stdin(), &sent.to)?,
        path => copy(&files::open(path)?.read_via_stream(0)?, &sent.to)?,
    };
    finish(sent, false)
}

/// Ends a request and prints its answer: the status, headers and an empty line if they are asked
/// for, the body, trailers.
fn finish(sent: Sent, with_headers: bool) -> Result<(), Error> {
    drop(sent.to);
    OutgoingBody::finish(sent.body, None).map_err(|error| name_of(&error))?;
    let response = response(&sent.response)?;
    print(&format!("{}\n", response.status()))?;
    if with_headers {
        print(&lines(&response.headers()))?;
        print("\n")?;
    }
    let body = response.consume().expect("the first body");
    let from = body.stream().expect("the first stream");
    copy(&from, &get_stdout())?;
    drop(from);
    let trailers = IncomingBody::finish(body);
    let trailers = loop {
        match trailers.get() {
            Some(found) => break found.expect("the first time"),
            None => trailers.subscribe().block(),
        }
    };
    if let Some(trailers) = trailers.map_err(|error| name_of(&error))? {
        print(&lines(&trailers))?;
    }
    Ok(())
}

fn lines(fields: &Fields) -> String {
    let entries = fields.entries();
    let lines = entries
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
    lines.collect()
}

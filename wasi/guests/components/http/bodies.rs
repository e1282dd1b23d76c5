//! Answers that go well.

use std::fmt::Write as _;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{Fields, IncomingBody, IncomingRequest, Scheme};

use components::{copy, name_of, read};

use crate::answer::{Answer, ended, fields, text};

/// The body of the request, piece by piece.
pub fn echo(request: IncomingRequest, answer: Answer) {
    let headers = Fields::new();
    let types = request.headers().get("content-type");
    headers.set("content-type", &types).expect("a header that came is one");
    let incoming = request.consume().expect("the first body");
    let from = incoming.stream().expect("the first stream");
    let body = answer.start(200, headers);
    match copy(&from, &body.to) {
        Ok(_) => ended(body.finish(None)),
        // The body that is not finished tells the client.
        Err(error) => ended(Err(error.to_string())),
    }
}

/// How many bytes the request has.
pub fn count(request: IncomingRequest, answer: Answer) {
    let incoming = request.consume().expect("the first body");
    let from = incoming.stream().expect("the first stream");
    let mut count = 0;
    loop {
        match read(&from) {
            Ok(bytes) if bytes.is_empty() => break text(answer, 200, &format!("{count}\n")),
            Ok(bytes) => count += bytes.len(),
            Err(error) => break text(answer, 400, &format!("{error}\n")),
        }
    }
}

/// So many bytes: the place of each modulo 251.
pub fn bytes(answer: Answer, count: u64) {
    let pattern: Vec<u8> = (0..251 * 256).map(|at| (at % 251) as u8).collect();
    let body = answer.start(200, fields(&[("content-type", "application/octet-stream")]));
    let mut left = count;
    while left > 0 {
        let piece = left.min(pattern.len() as u64);
        if let Err(error) = body.write(&pattern[..piece as usize]) {
            return ended(Err(error.to_string()));
        }
        left -= piece;
    }
    ended(body.finish(None));
}

pub fn wait(answer: Answer, millis: u64) {
    subscribe_duration(millis.saturating_mul(1_000_000)).block();
    text(answer, 200, "waited\n");
}

/// So many lines, with a pause before each.
pub fn ticks(answer: Answer, count: u64, millis: u64) {
    let body = answer.start(200, fields(&[("content-type", "text/plain")]));
    for tick in 0..count {
        subscribe_duration(millis.saturating_mul(1_000_000)).block();
        if let Err(error) = body.write(format!("{tick}\n").as_bytes()) {
            return ended(Err(error.to_string()));
        }
    }
    ended(body.finish(None));
}

/// A body and trailers.
pub fn trailers(answer: Answer) {
    let body = answer.start(200, fields(&[("trailer", "x-first, x-second")]));
    let written = body.write(b"a body\n").map_err(|error| error.to_string());
    let trailers = fields(&[("x-first", "1"), ("x-second", "2")]);
    ended(written.and_then(|()| body.finish(Some(trailers))));
}

/// The trailers of the request.
pub fn trailers_of(request: IncomingRequest, answer: Answer) {
    let incoming = request.consume().expect("the first body");
    let from = incoming.stream().expect("the first stream");
    loop {
        match read(&from) {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(_) => {}
            Err(error) => return text(answer, 400, &format!("{error}\n")),
        }
    }
    drop(from);
    let future = IncomingBody::finish(incoming);
    let trailers = loop {
        match future.get() {
            Some(found) => break found.expect("the first time"),
            None => future.subscribe().block(),
        }
    };
    match trailers {
        Ok(None) => text(answer, 200, "no trailers\n"),
        Ok(Some(trailers)) => text(answer, 200, &lines(&trailers)),
        Err(error) => text(answer, 400, &format!("{}\n", name_of(&error))),
    }
}

/// All that the request says.
pub fn headers(request: &IncomingRequest, answer: Answer) {
    let method = format!("{:?}", request.method());
    let scheme = match request.scheme() {
        None => "(none)".to_owned(),
        Some(Scheme::Http) => "http".to_owned(),
        Some(Scheme::Https) => "https".to_owned(),
        Some(Scheme::Other(other)) => other,
    };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "(none)".to_owned());
    let all = format!(
        "method: {}\nscheme: {scheme}\nauthority: {}\npath: {}\n{}",
        method.trim_start_matches("Method::"),
        or_none(request.authority()),
        or_none(request.path_with_query()),
        lines(&request.headers())
    );
    text(answer, 200, &all);
}

fn lines(fields: &Fields) -> String {
    let mut all = String::new();
    for (name, value) in fields.entries() {
        let _ = writeln!(all, "{name}: {}", String::from_utf8_lossy(&value));
    }
    all
}

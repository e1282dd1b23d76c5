//! Answers that are those of another server.

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody,
};

use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, OutputStream};

use components::{Copy, advance_all, copy, name_of, response, send};

use crate::answer::{Answer, ended, text};

/// The answer to `GET` of the URL in the query.
pub fn fetch(query: &str, answer: Answer) {
    let sent = send(Method::Get, &url(query), Fields::new(), None).and_then(|sent| {
        drop(sent.to);
        OutgoingBody::finish(sent.body, None).map_err(|error| name_of(&error))?;
        response(&sent.response)
    });
    let response = match sent {
        Ok(response) => response,
        Err(error) => return text(answer, 502, &format!("{error}\n")),
    };
    let (incoming, headers) = opened(&response);
    let from = incoming.stream().expect("the first stream");
    let body = answer.start(response.status(), headers);
    match copy(&from, &body.to) {
        Ok(_) => ended(body.finish(None)),
        Err(error) => ended(Err(error.to_string())),
    }
}

/// The answer to `POST` of the request's body to the URL in the query. Both bodies go at the same
/// time.
pub fn forward(request: IncomingRequest, query: &str, answer: Answer) {
    let headers = Fields::new();
    let types = request.headers().get("content-type");
    headers.set("content-type", &types).expect("a header that came is one");
    let sent = match send(Method::Post, &url(query), headers, None) {
        Ok(sent) => sent,
        Err(error) => return text(answer, 502, &format!("{error}\n")),
    };
    let asked = request.consume().expect("the first body");
    let asked = asked.stream().expect("the first stream");

    let mut up = Some((sent.to, sent.body));
    let answered = sent.response.subscribe();
    let sending = send_on(&asked, &mut up, None, Some(&answered));
    drop(answered);
    let response = match response(&sent.response) {
        Ok(response) => response,
        Err(error) => return text(answer, 502, &format!("{error}; {sending:?}\n")),
    };
    let (incoming, headers) = opened(&response);
    let from = incoming.stream().expect("the first stream");
    let body = answer.start(response.status(), headers);
    // An error of one of the two: if it is that of the answer, copying it fails once more.
    let _ = send_on(&asked, &mut up, Some(Copy::new(&from, &body.to)), None);
    match copy(&from, &body.to) {
        Ok(_) => ended(body.finish(None)),
        Err(error) => ended(Err(error.to_string())),
    }
}

/// Sends a body until it is complete, `down` is or `until` is ready.
fn send_on(
    from: &InputStream,
    up: &mut Option<(OutputStream, OutgoingBody)>,
    down: Option<Copy<'_>>,
    until: Option<&Pollable>,
) -> Result<(), String> {
    let Some((to, _)) = &*up else {
        return Ok(());
    };
    let mut copies: Vec<Copy<'_>> = [Copy::new(from, to)].into_iter().chain(down).collect();
    match advance_all(&mut copies, until) {
        Ok(None) => Ok(()),
        Ok(Some(0)) => match up.take() {
            Some((to, body)) => {
                drop(to);
                OutgoingBody::finish(body, None).map_err(|error| name_of(&error))
            }
            None => Ok(()),
        },
        Ok(Some(_)) => {
            *up = None;
            Ok(())
        }
        Err(error) => {
            *up = None;
            Err(error.http().unwrap_or_else(|| error.to_string()))
        }
    }
}

/// The body of a response, and the headers that are passed on.
fn opened(response: &IncomingResponse) -> (IncomingBody, Fields) {
    let headers = Fields::new();
    for name in ["content-type", "content-length"] {
        let values = response.headers().get(name);
        headers.set(name, &values).expect("a header that came is one");
    }
    (response.consume().expect("the first body"), headers)
}

/// The URL in a query: what follows `url=`, with its escapes undone.
fn url(query: &str) -> String {
    let url = query.strip_prefix("url=").unwrap_or(query);
    let mut bytes = Vec::new();
    let mut rest = url.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

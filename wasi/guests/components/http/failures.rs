//! Answers that fail, each in a way of its own.

use wasip2::http::types::{ErrorCode, IncomingRequest, ResponseOutparam};

use components::note;

use crate::answer::{Answer, fields, text};

pub fn trap() {
    std::process::abort();
}

/// Traps after the first piece of the body.
pub fn trap_late(answer: Answer) {
    let body = answer.start(200, fields(&[]));
    let _ = body.write(b"a piece\n");
    let _ = body.to.blocking_flush();
    std::process::abort();
}

/// A body that is dropped before it is finished.
pub fn drop_body(answer: Answer) {
    let body = answer.start(200, fields(&[]));
    let _ = body.write(b"a piece\n");
}

pub fn error(answer: Answer) {
    let error = ErrorCode::InternalError(Some("as asked".to_owned()));
    ResponseOutparam::set(answer.0, Err(error));
}

/// A body without end, until it cannot be written.
pub fn forever(answer: Answer) {
    let body = answer.start(200, fields(&[]));
    let piece = [b'.'; 4096];
    loop {
        if let Err(error) = body.write(&piece) {
            return note(&format!("forever: {error}"));
        }
    }
}

pub fn spin() {
    loop {
        std::hint::black_box(0);
    }
}

/// Fewer bytes than the header says.
pub fn short(answer: Answer) {
    let body = answer.start(200, fields(&[("content-length", "10")]));
    let written = body.write(b"short").is_ok();
    note(&format!("short: written {written}, {:?}", body.finish(None)));
}

/// More bytes than the header says.
pub fn long(answer: Answer) {
    let body = answer.start(200, fields(&[("content-length", "5")]));
    let written = body.write(b"too long a body").is_ok();
    note(&format!("long: written {written}, {:?}", body.finish(None)));
}

/// Does not read the body of the request.
pub fn ignore(request: IncomingRequest, answer: Answer) {
    drop(request);
    text(answer, 200, "ignored\n");
}

/// Takes memory until there is no more.
pub fn grow() {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

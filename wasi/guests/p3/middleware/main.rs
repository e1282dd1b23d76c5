//! A middleware of HTTP: hands each request on, and adds the header `x-middleware: yes` to the
//! answer. The answer's body is handed back as it is; if the request has the header `x-count`, the
//! body comes through the memory of this component, and a trailer `x-bytes` says its length.

use p3::received;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Trailers};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

wit_bindgen::generate!({
    path: "wit",
    world: "middleware",
    with: {
        "wasi:clocks/types@0.3.2": wasip3::clocks::types,
        "wasi:http/handler@0.3.2": generate,
        "wasi:http/types@0.3.2": wasip3::http::types,
    },
});

/// The most bytes that are in memory, of those that are counted.
const PIECE: usize = 64 << 10;

type TrailersReader = FutureReader<Result<Option<Trailers>, ErrorCode>>;

struct Middleware;

export!(Middleware);

impl exports::wasi::http::handler::Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let counts = request.get_headers().has("x-count");
        let answer = wasi::http::handler::handle(request).await?;
        let status = answer.get_status_code();
        let headers = answer.get_headers().clone();
        append(&headers, "x-middleware", "yes");
        if counts {
            // With a length there would be no trailers.
            let deleted = headers.delete("content-length");
            deleted.expect("the headers are a copy");
            append(&headers, "trailer", "x-bytes");
        }
        let (body, trailers) = Response::consume_body(answer, received());
        let (body, trailers) = match counts {
            true => counted(body, trailers),
            false => (body, trailers),
        };
        let (response, _sent) = Response::new(headers, Some(body), trailers);
        let set = response.set_status_code(status);
        set.expect("a status that came may go");
        Ok(response)
    }
}

fn append(fields: &Fields, name: &str, value: &str) {
    let appended = fields.append(name, value.as_bytes());
    appended.expect("the fields are a copy");
}

/// The same body and trailers, with one more.
fn counted(body: StreamReader<u8>, trailers: TrailersReader) -> (StreamReader<u8>, TrailersReader) {
    let (sender, receiver) = wit_stream::new();
    let (told, telling) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        let count = pump(body, sender).await;
        let trailers = trailers.await.map(|trailers| {
            let trailers = match trailers {
                Some(trailers) => trailers.clone(),
                None => Fields::new(),
            };
            append(&trailers, "x-bytes", &count.to_string());
            Some(trailers)
        });
        // Nobody may listen any more.
        drop(told.write(trailers).await);
    });
    (receiver, telling)
}

/// Hands on what comes, until one of the ends is closed: how many bytes were taken.
async fn pump(mut from: StreamReader<u8>, mut to: StreamWriter<u8>) -> u64 {
    let (mut piece, mut count) = (Vec::with_capacity(PIECE), 0);
    loop {
        let result;
        (result, piece) = from.read(piece).await;
        let read = piece.len();
        piece = to.write_all(piece).await;
        count += (read - piece.len()) as u64;
        if !piece.is_empty() || result == StreamResult::Dropped {
            return count;
        }
    }
}

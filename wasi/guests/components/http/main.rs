//! A server of HTTP: the path says what it answers, and how it fails.

mod answer;
mod bodies;
mod failures;
mod outgoing;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

use answer::{Answer, text};

struct Server;

wasip2::http::proxy::export!(Server);

impl Guest for Server {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let answer = Answer(out);
        let number = |text: &str| text.parse().unwrap_or(0);
        match (request.method(), &parts[..]) {
            (Method::Get | Method::Head, ["hello"]) => text(answer, 200, "Hello, world!\n"),
            (Method::Post | Method::Put, ["echo"]) => bodies::echo(request, answer),
            (Method::Get, ["bytes", count]) => bodies::bytes(answer, number(count)),
            (Method::Get, ["wait", millis]) => bodies::wait(answer, number(millis)),
            (Method::Get, ["trailers"]) => bodies::trailers(answer),
            (Method::Post, ["trailers"]) => bodies::trailers_of(request, answer),
            (Method::Post, ["count"]) => bodies::count(request, answer),
            (Method::Get, ["ticks", count, millis]) => {
                bodies::ticks(answer, number(count), number(millis));
            }
            (_, ["headers"]) => bodies::headers(&request, answer),
            (Method::Get, ["status", code]) => text(answer, number(code) as u16, ""),
            (Method::Get, ["fetch"]) => outgoing::fetch(query, answer),
            (Method::Post, ["forward"]) => outgoing::forward(request, query, answer),
            (_, ["trap"]) => failures::trap(),
            (_, ["trap-late"]) => failures::trap_late(answer),
            (_, ["nothing"]) => {}
            (_, ["drop"]) => failures::drop_body(answer),
            (_, ["error"]) => failures::error(answer),
            (_, ["forever"]) => failures::forever(answer),
            (_, ["spin"]) => failures::spin(),
            (_, ["short"]) => failures::short(answer),
            (_, ["long"]) => failures::long(answer),
            (_, ["ignore"]) => failures::ignore(request, answer),
            (_, ["grow"]) => failures::grow(),
            _ => text(answer, 404, "no such path\n"),
        }
    }
}

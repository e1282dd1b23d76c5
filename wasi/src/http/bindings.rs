//! The types and traits of `wasi:http`.

cwasm::bindgen!({
    path: "wit",
    world: "proxy",
    with: {
        "wasi:io/error/error": crate::io::IoError,
        "wasi:io/poll/pollable": crate::io::Pollable,
        "wasi:io/streams/input-stream": crate::io::InputStream,
        "wasi:io/streams/output-stream": crate::io::OutputStream,
        "wasi:http/types/fields": crate::http::Fields,
        "wasi:http/types/future-incoming-response": crate::http::FutureIncomingResponse,
        "wasi:http/types/future-trailers": crate::http::FutureTrailers,
        "wasi:http/types/incoming-body": crate::http::IncomingBody,
        "wasi:http/types/incoming-request": crate::http::IncomingRequest,
        "wasi:http/types/incoming-response": crate::http::IncomingResponse,
        "wasi:http/types/outgoing-body": crate::http::OutgoingBody,
        "wasi:http/types/outgoing-request": crate::http::OutgoingRequest,
        "wasi:http/types/outgoing-response": crate::http::OutgoingResponse,
        "wasi:http/types/request-options": crate::http::RequestOptions,
        "wasi:http/types/response-outparam": crate::http::ResponseOutparam,
    },
    trappable_imports: true,
    trappable_error_type: {
        "wasi:http/types/error-code" => crate::http::HttpError,
        "wasi:http/types/header-error" => crate::http::FieldsError,
    },
});

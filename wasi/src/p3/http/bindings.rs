//! The types and traits of `wasi:http`, version 0.3.

cwasm::bindgen!({
    path: "wit/p3",
    world: "service",
    with: {
        "wasi:http/types/error-code": crate::http::ErrorCode,
        "wasi:http/types/fields": crate::http::Fields,
        "wasi:http/types/method": crate::http::types_of_0_2::Method,
        "wasi:http/types/request": crate::p3::http::Request,
        "wasi:http/types/request-options": crate::p3::http::RequestOptions,
        "wasi:http/types/response": crate::p3::http::Response,
        "wasi:http/types/scheme": crate::http::types_of_0_2::Scheme,
    },
    imports: {
        "wasi:http/types.[static]request.new": store | trappable,
        "wasi:http/types.[static]request.consume-body": store | trappable,
        "wasi:http/types.[drop]request": store,
        "wasi:http/types.[static]response.new": store | trappable,
        "wasi:http/types.[static]response.consume-body": store | trappable,
        "wasi:http/types.[drop]response": store,
        default: trappable,
    },
    trappable_error_type: {
        "wasi:http/types/header-error" => crate::http::FieldsError,
    },
});

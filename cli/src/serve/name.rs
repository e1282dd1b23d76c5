//! What the log calls requests.

use std::fmt;

use http::{Method, Uri};

/// A request, by its method and path.
pub(super) struct RequestName {
    method: Method,
    uri: Uri,
}

impl RequestName {
    pub(super) fn new(method: &Method, uri: &Uri) -> RequestName {
        RequestName {
            method: method.clone(),
            uri: uri.clone(),
        }
    }
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestName { method, uri } = self;
        match uri.path_and_query() {
            Some(path) => write!(f, "{method} {path}"),
            // Of `CONNECT` there is a host only.
            None => write!(f, "{method} {uri}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_names_that_clients_gave() {
        for (method, uri, name) in [
            (Method::GET, "/path?query", "GET /path?query"),
            (Method::POST, "http://host:80/path", "POST /path"),
            (Method::OPTIONS, "*", "OPTIONS *"),
            (Method::CONNECT, "host:443", "CONNECT host:443"),
        ] {
            let request = RequestName::new(&method, &uri.parse().unwrap());
            assert_eq!(request.to_string(), name);
        }
    }
}

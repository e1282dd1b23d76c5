//! Methods and schemes, between the WIT and the library.

use http::Method;
use http::uri;

use super::bindings::wasi::http::types;

/// The longest name of a method.
const MAX_METHOD: usize = 256;

/// The library's method, if it can be one.
pub(crate) fn method_of(method: &types::Method) -> Option<Method> {
    Some(match method {
        types::Method::Get => Method::GET,
        types::Method::Head => Method::HEAD,
        types::Method::Post => Method::POST,
        types::Method::Put => Method::PUT,
        types::Method::Delete => Method::DELETE,
        types::Method::Connect => Method::CONNECT,
        types::Method::Options => Method::OPTIONS,
        types::Method::Trace => Method::TRACE,
        types::Method::Patch => Method::PATCH,
        types::Method::Other(name) if name.len() > MAX_METHOD => return None,
        types::Method::Other(name) => Method::from_bytes(name.as_bytes()).ok()?,
    })
}

impl From<&Method> for types::Method {
    fn from(method: &Method) -> types::Method {
        match *method {
            Method::GET => types::Method::Get,
            Method::HEAD => types::Method::Head,
            Method::POST => types::Method::Post,
            Method::PUT => types::Method::Put,
            Method::DELETE => types::Method::Delete,
            Method::CONNECT => types::Method::Connect,
            Method::OPTIONS => types::Method::Options,
            Method::TRACE => types::Method::Trace,
            Method::PATCH => types::Method::Patch,
            _ => types::Method::Other(method.as_str().to_owned()),
        }
    }
}

impl From<&uri::Scheme> for types::Scheme {
    fn from(scheme: &uri::Scheme) -> types::Scheme {
        match scheme.as_str() {
            "http" => types::Scheme::Http,
            "https" => types::Scheme::Https,
            other => types::Scheme::Other(other.to_owned()),
        }
    }
}

/// Whether a scheme can be part of a URI.
pub(crate) fn is_scheme(scheme: &types::Scheme) -> bool {
    match scheme {
        types::Scheme::Http | types::Scheme::Https => true,
        types::Scheme::Other(name) => uri::Scheme::try_from(name.as_str()).is_ok(),
    }
}

/// Whether a text is an authority: a host, and a port if there is a colon.
pub(crate) fn is_authority(text: &str) -> bool {
    let Ok(authority) = text.parse::<uri::Authority>() else {
        return false;
    };
    let host_and_port = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    // A colon in brackets is of an address.
    let has_port = host_and_port
        .rsplit_once(']')
        .map_or(host_and_port, |(_, rest)| rest)
        .contains(':');
    !authority.host().is_empty() && (!has_port || authority.port_u16().is_some())
}

/// Whether a text is the path and query of a request.
pub(crate) fn is_path(text: &str) -> bool {
    text.parse::<uri::PathAndQuery>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_have_hosts_and_ports() {
        for text in [
            "a",
            "a:1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "u@a:65535",
            "a.b-c",
        ] {
            assert!(is_authority(text), "{text}");
        }
        for text in [
            "", ":80", "a:", "a:x", "a:65536", "a b", "a/b", "[::1]:", "a:-1", "a\n",
        ] {
            assert!(!is_authority(text), "{text}");
        }
    }

    #[test]
    fn methods_are_the_same_in_both_forms() {
        for name in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "BREW",
        ] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(method_of(&types::Method::from(&method)), Some(method));
        }
        for name in ["", "A B", "\n", "é"] {
            assert_eq!(
                method_of(&types::Method::Other(name.to_owned())),
                None,
                "{name:?}"
            );
        }
    }
}

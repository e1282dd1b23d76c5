//! The state of HTTP for one guest.

use std::fmt;

use cwasm::{Error, Result};
use http::{HeaderMap, HeaderName};

use super::client::HttpClient;
use super::fields::HOP_BY_HOP;
use crate::ctx::WasiCtxBuilder;
use crate::quota::{Claim, Quota};

/// The most memory of headers, trailers, paths and authorities of a guest.
const MAX_HEAD_BYTES: usize = 16 << 20;

/// The most connections of a guest at a time.
const MAX_CONNECTIONS: usize = 128;

/// The most outgoing bodies of a guest at a time: they keep up to 128 KiB each, and their streams
/// 64 KiB.
const MAX_BODIES: usize = 1024;

/// What a guest has of HTTP, and may have.
pub(crate) struct HttpState {
    /// Makes the requests; `None` before the first.
    pub(super) client: Option<HttpClient>,
    /// Fields that the host forbids, beside those that are forbidden anyway.
    forbids: Box<dyn Fn(&HeaderName) -> bool + Send + Sync>,
    pub(super) connections: Quota,
    pub(crate) bodies: Quota,
    heads: Quota,
}

impl HttpState {
    /// Whether guests neither set nor see a header.
    pub(super) fn is_forbidden(&self, name: &HeaderName) -> bool {
        HOP_BY_HOP.contains(name) || (self.forbids)(name)
    }

    /// Takes out what guests do not see.
    pub(crate) fn remove_forbidden(&self, headers: &mut HeaderMap) {
        let forbidden = headers.keys().filter(|name| self.is_forbidden(name));
        let forbidden: Vec<HeaderName> = forbidden.cloned().collect();
        for name in forbidden {
            headers.remove(name);
        }
    }

    /// Memory for a head, or a part of one.
    pub(crate) fn claim_head(&self, bytes: usize) -> Result<Claim> {
        let claim = self.heads.claim(bytes);
        claim.ok_or_else(|| {
            Error::msg(format!(
                "the headers of requests and responses take more than {MAX_HEAD_BYTES} bytes"
            ))
        })
    }
}

/// HTTP.
impl WasiCtxBuilder {
    /// Sets the client that makes the guest's requests; clones of one are cheap. By default it is
    /// one that the process shares, whose thread starts with the first request.
    ///
    /// What a guest may connect to is what [`allow_tcp`](Self::allow_tcp),
    /// [`socket_addr_check`](Self::socket_addr_check) and
    /// [`allow_ip_name_lookup`](Self::allow_ip_name_lookup) say.
    pub fn http_client(mut self, client: HttpClient) -> WasiCtxBuilder {
        self.ctx.http.client = Some(client);
        self
    }

    /// Forbids headers and trailers to the guest, which neither sets nor sees them, beside those
    /// that are forbidden anyway: those of transport (`connection`, `transfer-encoding`, …), and
    /// `host`.
    pub fn http_forbidden_headers(
        mut self,
        is_forbidden: impl Fn(&HeaderName) -> bool + Send + Sync + 'static,
    ) -> WasiCtxBuilder {
        self.ctx.http.forbids = Box::new(is_forbidden);
        self
    }

    /// Sets how many connections for requests the guest may have at a time: 128 at first.
    pub fn max_http_connections(mut self, count: usize) -> WasiCtxBuilder {
        self.ctx.http.connections = Quota::new(count);
        self
    }
}

impl Default for HttpState {
    fn default() -> HttpState {
        HttpState {
            client: None,
            forbids: Box::new(|_| false),
            connections: Quota::new(MAX_CONNECTIONS),
            bodies: Quota::new(MAX_BODIES),
            heads: Quota::new(MAX_HEAD_BYTES),
        }
    }
}

impl fmt::Debug for HttpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpState").finish_non_exhaustive()
    }
}

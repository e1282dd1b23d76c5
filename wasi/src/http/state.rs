//! The state of HTTP for one guest.

use std::fmt;

use cwasm::{Error, Result};
use http::HeaderName;

use super::client::HttpClient;
use super::quota::{Claim, Quota};

/// The most memory of headers, trailers, paths and authorities of a guest.
const MAX_HEAD_BYTES: usize = 16 << 20;

/// The most connections of a guest at a time.
const MAX_CONNECTIONS: usize = 128;

/// The most outgoing bodies of a guest at a time: they keep 64 KiB each, and their streams the
/// same.
const MAX_BODIES: usize = 1024;

/// What a guest has of HTTP, and may have.
pub(crate) struct HttpState {
    /// Makes the requests; `None` before the first.
    pub(super) client: Option<HttpClient>,
    /// Fields that the host forbids, beside those that are forbidden anyway.
    pub(super) forbids: Box<dyn Fn(&HeaderName) -> bool + Send + Sync>,
    pub(super) connections: Quota,
    pub(super) bodies: Quota,
    heads: Quota,
}

impl HttpState {
    pub(crate) fn set_client(&mut self, client: HttpClient) {
        self.client = Some(client);
    }

    pub(crate) fn set_forbids(
        &mut self,
        forbids: impl Fn(&HeaderName) -> bool + Send + Sync + 'static,
    ) {
        self.forbids = Box::new(forbids);
    }

    pub(crate) fn set_max_connections(&mut self, count: usize) {
        self.connections.set_max(count);
    }

    /// Memory for a head, or a part of one.
    pub(super) fn claim_head(&self, bytes: usize) -> Result<Claim> {
        let claim = self.heads.claim(bytes);
        claim.ok_or_else(|| {
            Error::msg(format!(
                "the headers of requests and responses take more than {MAX_HEAD_BYTES} bytes"
            ))
        })
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

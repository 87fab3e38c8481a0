//! [`LoggedRequest`]: the part of a request that the log shows.

use std::net::SocketAddr;

use http::Uri;

/// What the log says of a request that is refused, or whose resume is. The query is left out: it may hold secrets.
#[derive(Debug, Default)]
pub(crate) struct LoggedRequest {
    pub(crate) uri: Uri,
    pub(crate) peer: Option<SocketAddr>,
    /// The tokens of its resume offers.
    pub(crate) secrets: Vec<String>,
}

/// Characters of a path that are logged.
const MAX_PATH: usize = 200;

impl LoggedRequest {
    pub(crate) fn path(&self) -> &str {
        let path = self.uri.path();
        // Visible ASCII, each a byte.
        &path[..path.len().min(MAX_PATH)]
    }
}

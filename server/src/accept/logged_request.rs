//! [`LoggedRequest`]: the part of a request that the log shows.

use std::net::SocketAddr;

use http::Uri;

/// The part of a refused request, or refused resume, that is logged. The query is left out, because it may contain secrets.
#[derive(Debug, Default)]
pub(crate) struct LoggedRequest {
    pub(crate) uri: Uri,
    pub(crate) peer: Option<SocketAddr>,
    /// The tokens of its resume offers.
    pub(crate) secrets: Vec<String>,
}

/// The number of characters of a path that are logged.
const MAX_PATH: usize = 200;

impl LoggedRequest {
    pub(crate) fn path(&self) -> &str {
        let path = self.uri.path();
        // A path is visible ASCII, so each byte is a character.
        &path[..path.len().min(MAX_PATH)]
    }
}

//! [`AuthFailure`]: a request that was not authenticated.

use std::net::SocketAddr;

use crate::accept::{ConnectRequest, Reject};

/// A request that was not authenticated, for [`Auth::on_failure`](super::Auth::on_failure). It contains no credentials.
#[derive(Debug)]
#[non_exhaustive]
pub struct AuthFailure {
    /// The name of the scheme whose credentials are wrong; `None` if the request has no credentials.
    pub scheme: Option<&'static str>,
    /// The path of the request.
    pub path: String,
    /// The peer's address, if the listener knows it.
    pub remote_addr: Option<SocketAddr>,
    /// The refusal that is sent: return it, or another one.
    pub reject: Reject,
}

impl AuthFailure {
    pub(super) fn new(request: &ConnectRequest, scheme: Option<&'static str>, reject: Reject) -> Self {
        Self { scheme, path: request.path().to_owned(), remote_addr: request.remote_addr(), reject }
    }
}

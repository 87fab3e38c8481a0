//! [`TlsConnector`]: TLS for `wss`, if one of the features `rustls-tls-*` is on.

#[cfg(feature = "rustls-tls-manual-roots")]
mod connector;
#[cfg(feature = "rustls-tls-manual-roots")]
pub(crate) use connector::{TlsConnector, TlsOptions};

#[cfg(not(feature = "rustls-tls-manual-roots"))]
mod absent;
#[cfg(not(feature = "rustls-tls-manual-roots"))]
pub(crate) use absent::{TlsConnector, TlsOptions};

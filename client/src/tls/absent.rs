//! The stand-ins for a client without TLS: there are no options, and no connector can be made.

use std::convert::Infallible;

use tokio::net::TcpStream;

use crate::error::{ConfigError, ConnectError};
use crate::stream::BoxIo;

/// No options.
#[derive(Clone, Default)]
pub(crate) struct TlsOptions {}

/// Cannot be made.
pub(crate) struct TlsConnector(Infallible);

impl TlsConnector {
    pub(crate) fn new(_options: &TlsOptions) -> Result<Self, ConfigError> {
        let why = "rejoin-client was built without it (expected feature `rustls-tls-webpki-roots` or \
                   `rustls-tls-native-roots`, or a `connector` that speaks it)";
        Err(ConfigError::Tls { why: why.into() })
    }

    pub(crate) async fn connect(&self, _host: &str, _tcp: TcpStream) -> Result<BoxIo, ConnectError> {
        match self.0 {}
    }
}

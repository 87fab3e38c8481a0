//! TLS by rustls, over the streams of tokio.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;

use crate::error::{ConfigError, ConnectError};
use crate::stream::BoxIo;

/// The application's choice.
#[derive(Clone, Default)]
pub(crate) struct TlsOptions {
    /// If it is `None`, the features say which authorities are trusted.
    pub(crate) config: Option<Arc<ClientConfig>>,
}

/// Speaks TLS with servers.
pub(crate) struct TlsConnector(tokio_rustls::TlsConnector);

impl TlsConnector {
    /// Reads the operating system's certificates if the feature `rustls-tls-native-roots` is on and the application brings no
    /// configuration.
    ///
    /// # Errors
    /// Fails if no authority is trusted: every dial would fail.
    pub(crate) fn new(options: &TlsOptions) -> Result<Self, ConfigError> {
        let config = match &options.config {
            Some(config) => config.clone(),
            None => default_config()?,
        };
        Ok(Self(config.into()))
    }

    pub(crate) async fn connect(&self, host: &str, tcp: TcpStream) -> Result<BoxIo, ConnectError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        Ok(Box::new(self.0.connect(name, tcp).await.map_err(failure)?))
    }
}

fn default_config() -> Result<Arc<ClientConfig>, ConfigError> {
    let roots = trusted_roots().map_err(|why| ConfigError::Tls { why })?;
    // Named, because a process may have no default provider, or several.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for the protocol versions that rustls enables")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The authorities that the features name, at least one.
fn trusted_roots() -> Result<RootCertStore, String> {
    #[allow(unused_mut, reason = "no feature may add roots")]
    let mut roots = RootCertStore::empty();
    #[cfg(feature = "rustls-tls-webpki-roots")]
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    #[cfg(feature = "rustls-tls-native-roots")]
    add_native_roots(&mut roots, rustls_native_certs::load_native_certs())?;
    if roots.is_empty() {
        let why = "no certificate authority is trusted (expected `tls`, or feature `rustls-tls-webpki-roots` or \
                   `rustls-tls-native-roots`)";
        return Err(why.into());
    }
    Ok(roots)
}

/// Adds the certificates of the operating system. Those that cannot be read are skipped, and so is the whole store if others
/// are trusted already: a container without certificates must not break a client that does not need them.
#[cfg(feature = "rustls-tls-native-roots")]
fn add_native_roots(
    roots: &mut RootCertStore,
    found: rustls_native_certs::CertificateResult,
) -> Result<(), String> {
    let (added, invalid) = roots.add_parsable_certificates(found.certs);
    let unreadable = found.errors.len();
    tracing::debug!(added, invalid, unreadable, "read the operating system's root certificates");
    if !roots.is_empty() {
        return Ok(());
    }
    let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
    Err(format!("the operating system has no root certificates{why} (expected at least 1)"))
}

fn failure(error: io::Error) -> ConnectError {
    use rustls::{Error, InvalidMessage};
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => ConnectError::NoTls,
        _ => ConnectError::Tls(error),
    }
}

#[cfg(all(test, feature = "rustls-tls-native-roots"))]
mod tests {
    use rustls_native_certs::CertificateResult;

    use super::*;

    fn store_of(ders: Vec<Vec<u8>>) -> CertificateResult {
        let mut found = CertificateResult::default();
        found.certs = ders.into_iter().map(Into::into).collect();
        found
    }

    #[test]
    fn skips_invalid_certificates_of_the_system() {
        let valid = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let found = store_of(vec![b"nonsense".to_vec(), valid.cert.der().to_vec()]);
        let mut roots = RootCertStore::empty();
        assert_eq!(add_native_roots(&mut roots, found), Ok(()));
        assert_eq!(roots.len(), 1);
    }

    #[test]
    fn an_empty_system_store_is_an_error_alone() {
        let mut roots = RootCertStore::empty();
        let error = add_native_roots(&mut roots, store_of(vec![])).unwrap_err();
        assert_eq!(error, "the operating system has no root certificates (expected at least 1)");
        let valid = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        roots.add(valid.cert.der().clone()).unwrap();
        assert_eq!(add_native_roots(&mut roots, store_of(vec![])), Ok(()));
    }
}

//! A certificate for `localhost`, which the tests of TLS share.

use std::sync::Arc;

use rejoin_client::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rejoin_client::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// A server with a new certificate for `localhost`, and the configuration of a client that trusts it.
pub(crate) fn localhost() -> (TlsAcceptor, Arc<ClientConfig>) {
    let (server, client) = localhost_config();
    (TlsAcceptor::from(Arc::new(server)), client)
}

/// The configurations of both ends.
pub(crate) fn localhost_config() -> (ServerConfig, Arc<ClientConfig>) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, Arc::new(client))
}

//! `wss` over real sockets, with a certificate of our own.

use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair};
use rejoin_client::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rejoin_client::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto};
use rejoin_client::{Client, Connection};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{next_number, number};

/// A certificate for `localhost` that no other authority has signed.
pub(crate) fn certificate() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

/// A server that echoes one message of each client; returns its URL.
pub(crate) async fn server(signed: &CertifiedKey<KeyPair>) -> String {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                use futures_util::{SinkExt, StreamExt};
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let mut socket = tokio_tungstenite::accept_async(tls).await.unwrap();
                let message = socket.next().await.unwrap().unwrap();
                socket.send(message).await.unwrap();
                while socket.next().await.is_some() {}
            });
        }
    });
    format!("wss://localhost:{port}/")
}

pub(crate) async fn assert_echoes(mut connection: Connection) {
    connection.send(&number(1)).unwrap();
    assert_eq!(next_number(&mut connection).await, 1);
    connection.close().await;
}

#[tokio::test]
async fn trusts_the_roots_of_the_application() {
    let signed = certificate();
    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = Client::builder(server(&signed).await).plain().tls(Arc::new(config));
    assert_echoes(builder.connect().await.unwrap()).await;
}

#[cfg(any(feature = "rustls-tls-webpki-roots", feature = "rustls-tls-native-roots"))]
#[tokio::test]
async fn refuses_a_certificate_of_an_unknown_authority() {
    let url = server(&certificate()).await;
    let result = Client::builder(url).plain().connect().await;
    assert!(matches!(result, Err(rejoin_client::ConnectError::Tls(_))), "{result:?}");
}

#[cfg(not(any(feature = "rustls-tls-webpki-roots", feature = "rustls-tls-native-roots")))]
#[test]
fn without_roots_wss_needs_a_configuration() {
    let error = Client::builder("wss://server.test/").build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "no tls for wss: no certificate authority is trusted (expected `tls`, or feature \
         `rustls-tls-webpki-roots` or `rustls-tls-native-roots`)"
    );
}

//! `wss` over real sockets, with a certificate of our own.

use std::sync::Arc;

use rejoin_client::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rejoin_client::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto};
use rejoin_client::{Client, ConnectError};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{next_number, number};

struct Server {
    url: String,
    roots: RootCertStore,
}

/// A server that echoes one message of each client, for a certificate that nobody else has signed.
async fn server() -> Server {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
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
    Server { url: format!("wss://localhost:{port}/"), roots }
}

#[tokio::test]
async fn speaks_tls_to_those_whom_the_application_trusts() {
    let server = server().await;
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(server.roots)
        .with_no_client_auth();
    let mut connection = Client::builder(server.url).plain().tls(Arc::new(config)).connect().await.unwrap();
    connection.send(&number(1)).unwrap();
    assert_eq!(next_number(&mut connection).await, 1);
    connection.close().await;
}

#[tokio::test]
async fn does_not_trust_a_certificate_that_nobody_has_signed() {
    let server = server().await;
    let result = Client::builder(server.url).plain().connect().await;
    assert!(matches!(result, Err(ConnectError::Tls(_))), "{result:?}");
}

//! `wss` in a client that was built without TLS.

use rejoin_client::{Client, ConfigError, ConnectError};

use crate::support::{Request, TOKEN, client, connected};

const WSS: &str = "wss://server.test/ws";

#[test]
fn wss_url_names_the_missing_features() {
    let error = Client::builder(WSS).build().unwrap_err();
    assert!(matches!(error, ConfigError::Tls { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "no tls for wss: rejoin-client was built without it (expected feature `rustls-tls-webpki-roots` or \
         `rustls-tls-native-roots`, or a `connector` that speaks it)"
    );
}

#[tokio::test(start_paused = true)]
async fn fresh_wss_url_fails_the_dial() {
    let client = Client::builder("ws://server.test/ws").dial_url(|| async { Ok(WSS.to_owned()) });
    let result = client.build().unwrap().connect().await;
    assert!(matches!(result, Err(ConnectError::Config(ConfigError::Tls { .. }))), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn connectors_may_speak_tls_themselves() {
    let (builder, mut listener) = client();
    let builder = builder.dial_url(|| async { Ok(WSS.to_owned()) });
    let (connection, _socket) = connected(builder, &mut listener).await;
    connection.abort();
}

#[tokio::test(start_paused = true)]
async fn given_streams_may_speak_tls_themselves() {
    let client = Client::builder(WSS).no_reconnect().build().unwrap();
    let (stream, request) = Request::over_a_pair();
    let (connection, _socket) = tokio::join!(client.connect_over(stream), async {
        let mut socket = request.await.accept().await;
        socket.open(TOKEN, false, 0).await;
        socket
    });
    connection.unwrap().abort();
    let dialled = client.connect().await;
    assert!(matches!(dialled, Err(ConnectError::Config(ConfigError::Tls { .. }))), "{dialled:?}");
}

//! A connection as a `Stream`, its sinks, and the ways to a connection.

use futures_util::stream::FusedStream;
use futures_util::{FutureExt, SinkExt, StreamExt, stream};
use rejoin_client::http::Uri;
use rejoin_client::{Client, ConfigError, Event, SendError};
use serde_json::json;

use crate::support::{TOKEN, client, connected, number, secs};

#[tokio::test(start_paused = true)]
async fn stream_yields_events_and_ends_after_closed() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    socket.say("n", json!(1)).await;
    socket.close(1000, "").await;
    assert!(!connection.is_terminated());
    let events: Vec<_> = connection.by_ref().collect().await;
    assert!(matches!(events[..], [Event::Message(_), Event::Closed(_)]), "{events:?}");
    assert!(connection.is_terminated() && connection.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn forward_waits_for_acknowledgements_at_capacity() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = connected(builder.send_buffer(2), &mut listener).await;
    let mut forwarding = tokio::spawn(stream::iter(1..=5).map(number).map(Ok).forward(connection.sink()));
    assert_eq!(socket.hear_numbers(2).await, [1, 2]);
    assert!(tokio::time::timeout(secs(5), &mut forwarding).await.is_err(), "two frames fill the buffer");
    for (acknowledged, next) in [(2, &[3, 4][..]), (4, &[5])] {
        socket.say("$ack", json!(acknowledged)).await;
        assert_eq!(socket.hear_numbers(next.len()).await, next);
    }
    assert_eq!(forwarding.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn sink_sends_without_a_socket() {
    let (builder, mut listener) = client();
    let (connection, socket) = connected(builder, &mut listener).await;
    drop(socket);
    let mut sink = connection.sender().sink();
    assert_eq!(sink.send(number(1)).now_or_never(), Some(Ok(())));
    let mut socket = listener.resume(0).await;
    assert_eq!(socket.hear_numbers(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn closed_sink_leaves_the_connection_open() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = connected(builder, &mut listener).await;
    let mut sink = connection.sink();
    sink.send(number(1)).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(sink.send(number(2)).await, Err(SendError::Closed));
    connection.sink().send(number(3)).await.unwrap();
    assert_eq!(socket.hear_numbers(2).await, [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn aborted_connection_fails_its_sinks() {
    let (builder, mut listener) = client();
    let (connection, _socket) = connected(builder, &mut listener).await;
    let mut sink = connection.sink();
    connection.abort();
    assert_eq!(sink.send(number(1)).await, Err(SendError::Closed));
}

#[tokio::test(start_paused = true)]
async fn awaited_builder_connects() {
    let (builder, mut listener) = client();
    let (connection, _socket) = tokio::join!(async { builder.await.unwrap() }, async {
        let mut socket = listener.request().await.accept().await;
        socket.open(TOKEN, false, 0).await;
        socket
    });
    assert_eq!(connection.id().as_deref(), Some("me"));
}

#[test]
fn text_and_uri_name_the_same_server() {
    let url = "wss://server.test:8443/ws?a=1";
    let host = |builder: rejoin_client::ClientBuilder| {
        format!("{:?}", builder.no_reconnect().build().unwrap()).split(',').next().unwrap().to_owned()
    };
    let expected = host(Client::builder(url));
    assert_eq!(expected, "Client { host: \"server.test:8443\"");
    assert_eq!(host(Client::builder(url.to_owned())), expected);
    assert_eq!(host(Client::builder(url.parse::<Uri>().unwrap())), expected);
}

#[test]
fn invalid_url_is_an_error_of_build() {
    let error = Client::builder("ws://server test/?token=secret").build().unwrap_err();
    assert!(matches!(error, ConfigError::Url { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret"));
    let relative = Client::builder(Uri::from_static("/ws")).build().unwrap_err();
    assert_eq!(relative.to_string(), "invalid url: it has no scheme");
}

//! Plain mode: any WebSocket server that exchanges frames.

use futures_util::{SinkExt, StreamExt};
use rejoin_client::{Client, ConnectError, Event, Frame, Payload};
use tokio::net::TcpListener;

use crate::support::{client, expect_disconnected, expect_fresh, next_number, number};

#[tokio::test]
async fn plain_mode_talks_to_foreign_servers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/echo", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let mut connection = Client::builder(url).plain().connect().await.unwrap();
    assert_eq!(connection.id(), None);
    for n in 0..1000 {
        connection.send_wait(&number(n)).await.unwrap();
        assert_eq!(next_number(&mut connection).await, n);
    }
    let big = Frame::event_only("big").with_payload(Payload::json(&"x".repeat(500_000)).unwrap());
    connection.send(&big).unwrap();
    let Some(Event::Message(frame)) = connection.recv().await else { panic!() };
    assert_eq!(frame, big);
    assert_eq!(connection.close().await.unacknowledged, 0);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn server_may_select_any_subprotocol_of_the_application() {
    for (selected, is_offered) in
        [("chat", true), ("superchat", true), ("chat, superchat", false), ("x", false)]
    {
        let (builder, mut listener) = client();
        let builder = builder.plain().header("sec-websocket-protocol", "chat, superchat");
        let (result, _socket) = tokio::join!(builder.connect(), async {
            listener.request().await.accept_selecting(Some(selected)).await
        });
        match result {
            Ok(_) => assert!(is_offered, "{selected} is accepted"),
            Err(ConnectError::Subprotocol { .. }) => assert!(!is_offered, "{selected} is refused"),
            Err(error) => panic!("{selected}: {error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn plain_mode_reconnects_without_an_offer() {
    let (builder, mut listener) = client();
    let (connection, socket) = tokio::join!(builder.plain().connect(), async {
        let request = listener.request().await;
        assert!(request.offers().is_empty());
        request.accept().await
    });
    let mut connection = connection.unwrap();
    drop(socket);
    expect_disconnected(&mut connection).await;
    connection.send(&number(1)).unwrap();
    let mut socket = listener.request().await.accept().await;
    expect_fresh(&mut connection).await;
    assert_eq!(socket.hear_numbers(1).await, [1]);
    // In plain mode, the protocol's reserved events are ordinary events.
    connection.send(&Frame::event_only("$open")).unwrap();
    assert_eq!(socket.hear().await.0, "$open");
}

//! The client's last word arrives although the server is still sending, over TCP: a socket that is closed with unread bytes is
//! reset, and the close frame on its way is lost.

use futures_util::{SinkExt, StreamExt};
use rejoin_client::{Client, CloseReason, Event};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// A plain server that sends these messages before it reads; it returns the close code that it reads then.
async fn server(size: usize, count: usize) -> (String, JoinHandle<Option<u16>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
        let text = format!("{{\"event\":\"n\",\"payload\":\"{}\"}}", "x".repeat(size));
        for _ in 0..count {
            // A reset would lose the bytes in transit in both directions.
            socket.send(Message::text(text.clone())).await.ok()?;
        }
        loop {
            match socket.next().await? {
                Ok(Message::Close(frame)) => {
                    socket.flush().await.ok();
                    return frame.map(|frame| frame.code.into());
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    });
    (url, serving)
}

#[tokio::test]
async fn code_1009_arrives_for_an_oversized_message() {
    // More than the buffers of both sockets hold.
    for round in 0..3 {
        let (url, serving) = server(30_000_000, 1).await;
        let mut connection = Client::builder(url).plain().connect().await.unwrap();
        let Some(Event::Closed(closed)) = connection.recv().await else { panic!("not closed") };
        assert!(matches!(closed.reason, CloseReason::TooBig), "{closed:?}");
        assert_eq!(serving.await.unwrap(), Some(1009), "round {round}");
        connection.closed().await;
    }
}

#[tokio::test]
async fn close_arrives_while_the_server_sends() {
    // More than the buffers of both sockets hold.
    for round in 0..3 {
        let (url, serving) = server(50_000, 600).await;
        let mut connection = Client::builder(url).plain().connect().await.unwrap();
        // It has begun.
        assert!(matches!(connection.recv().await, Some(Event::Message(_))));
        let closed = connection.close().await;
        assert!(matches!(closed.reason, CloseReason::Local), "{closed:?}");
        assert_eq!(serving.await.unwrap(), Some(1000), "round {round}");
    }
}

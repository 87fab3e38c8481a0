//! A session that leaves its process, and continues in another.

use rejoin_client::{ConnectError, Connection, DropReason, Event, SavedError, SavedSession, SendError};
use serde_json::json;

use crate::support::{
    Listener, MAX, OTHER_TOKEN, Socket, TOKEN, client, connected, expect_reconnected, next_number, number,
};

/// The saved session as another process reads it.
fn carried(saved: &SavedSession) -> SavedSession {
    serde_json::from_str(&serde_json::to_string(saved).unwrap()).unwrap()
}

/// Waits until the client has received all data frames, and has processed everything else.
async fn settled(socket: &mut Socket, received: u64) {
    socket.text(r#"{"event":"$sync"}"#).await;
    while socket.hear().await != ("$ack".to_owned(), json!(received)) {}
}

async fn expect_cut(connection: &mut Connection) {
    let event = connection.recv().await;
    assert!(matches!(event, Some(Event::Disconnected { reason: DropReason::Cut })), "{event:?}");
}

/// A session with frames of both directions on their way, which has left its process.
async fn saved() -> SavedSession {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    for n in 1..=3 {
        connection.send(&number(n)).unwrap();
        socket.say("n", json!(n)).await;
    }
    assert_eq!(socket.hear_numbers(3).await, [1, 2, 3]);
    socket.say("$ack", json!(1)).await;
    settled(&mut socket, 3).await;
    assert_eq!(next_number(&mut connection).await, 1);
    connection.send(&number(4)).unwrap();
    let sender = connection.sender();
    let saved = connection.save().unwrap();
    assert_eq!(sender.send(&number(5)), Err(SendError::Closed));
    assert_eq!(socket.close_frame().await, None, "a close frame would end the session");
    sender.closed().await;
    assert_eq!(saved.id(), Some("me"));
    let debug = format!("{saved:?}");
    assert!(!debug.contains(TOKEN), "{debug}");
    carried(&saved)
}

/// Resumes at a server that has received this number of frames.
async fn resume(saved: &SavedSession, token: &str, resumed: bool, received: u64) -> (Connection, Socket) {
    let (builder, mut listener) = client();
    let client = builder.build().unwrap();
    let (connection, socket) = tokio::join!(client.resume(saved), async {
        let request = listener.request().await;
        let offer = format!("rejoin.resume.{TOKEN}.3");
        assert_eq!(request.offers(), ["rejoin.v1.json", &offer, MAX]);
        let mut socket = request.accept().await;
        socket.open(token, resumed, received).await;
        socket
    });
    (connection.unwrap(), socket)
}

#[tokio::test(start_paused = true)]
async fn saved_session_continues_without_loss_or_repetition() {
    let saved = saved().await;
    let (mut connection, mut socket) = resume(&saved, TOKEN, true, 2).await;
    assert_eq!(socket.hear_numbers(2).await, [3, 4]);
    for n in 2..=3 {
        assert_eq!(next_number(&mut connection).await, n);
    }
    expect_cut(&mut connection).await;
    expect_reconnected(&mut connection).await;
    socket.say("n", json!(4)).await;
    assert_eq!(next_number(&mut connection).await, 4);
    connection.send(&number(5)).unwrap();
    assert_eq!(socket.hear_numbers(1).await, [5]);
}

#[tokio::test(start_paused = true)]
async fn lost_saved_session_reports_its_frames() {
    let saved = saved().await;
    let (mut connection, _socket) = resume(&saved, OTHER_TOKEN, false, 0).await;
    for n in 2..=3 {
        assert_eq!(next_number(&mut connection).await, n);
    }
    expect_cut(&mut connection).await;
    let event = connection.recv().await;
    let Some(Event::SessionLost { reason, unacknowledged, .. }) = event else { panic!("{event:?}") };
    assert_eq!((reason, unacknowledged), (None, vec![number(2), number(3), number(4)]));
    // The reconnect after a reported loss is reported as one, in the next process, too.
    let saved = carried(&connection.save().unwrap());
    let (builder, mut listener) = client();
    let client = builder.build().unwrap();
    let (connection, _socket) = tokio::join!(client.resume(&saved), async {
        let mut socket = listener.request().await.accept().await;
        socket.open(OTHER_TOKEN, true, 0).await;
        socket
    });
    let event = connection.unwrap().recv().await;
    assert!(matches!(event, Some(Event::Reconnected { resumed: false })), "{event:?}");
}

async fn refused(listener: &mut Listener, status: u16) {
    listener.request().await.refuse(status, "", "").await;
}

#[tokio::test(start_paused = true)]
async fn saved_session_can_be_tried_again_after_an_error() {
    let saved = saved().await;
    let (builder, mut listener) = client();
    let client = builder.build().unwrap();
    for status in [503, 401] {
        let (result, ()) = tokio::join!(client.resume(&saved), refused(&mut listener, status));
        assert!(matches!(result, Err(ConnectError::Refused(_))), "{result:?}");
    }
    let (mut connection, _socket) = resume(&saved, TOKEN, true, 3).await;
    assert_eq!(next_number(&mut connection).await, 2);
}

#[tokio::test(start_paused = true)]
async fn saved_session_must_fit_the_client() {
    let saved = saved().await;
    let (builder, mut listener) = client();
    let plain = builder.plain().build().unwrap().resume(&saved).await;
    assert!(matches!(&plain, Err(ConnectError::Saved(SavedError::Snapshot(_)))), "{plain:?}");
    let small = client().0.send_buffer(1).build().unwrap().resume(&saved).await;
    assert!(matches!(&small, Err(ConnectError::Saved(SavedError::Snapshot(_)))), "{small:?}");
    let mut other = serde_json::to_value(&saved).unwrap();
    other["codec"] = json!("msgpack");
    let other: SavedSession = serde_json::from_value(other).unwrap();
    let error = client().0.build().unwrap().resume(&other).await.unwrap_err();
    assert_eq!(error.to_string(), "saved session has another codec: msgpack (expected json)");
    assert!(listener.is_idle());
}

#[tokio::test(start_paused = true)]
async fn ended_connection_leaves_nothing_to_save() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = connected(builder, &mut listener).await;
    let (_, code) = tokio::join!(connection.close(), socket.close_code());
    assert_eq!(code, Some(1000));
    assert!(connection.save().is_none());
}

#[tokio::test(start_paused = true)]
async fn cookies_are_saved_with_the_session() {
    let (builder, mut listener) = client();
    let (connection, _socket) = tokio::join!(builder.connect(), async {
        let mut request = listener.request().await;
        let cookies = "Set-Cookie: route=a; Path=/\r\nSet-Cookie: day=b; Max-Age=86400\r\n";
        let headers = format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{cookies}");
        let answer = request.upgrade(Some("rejoin.v1.json"), &headers);
        request.answer(&answer).await;
        let mut socket = request.socket().await;
        socket.open(TOKEN, false, 0).await;
        socket
    });
    let saved = carried(&connection.unwrap().save().unwrap());
    let (builder, mut listener) = client();
    let client = builder.build().unwrap();
    let (result, ()) = tokio::join!(client.resume(&saved), async {
        let request = listener.request().await;
        assert_eq!(request.header("cookie"), Some("route=a; day=b"));
        request.refuse(403, "", "").await;
    });
    assert!(result.is_err());
}

//! Calls that wait when a connection ends, and the remains of the connection afterwards.

use rejoin_client::{CloseReason, ConnectionState, DeliveryError, Event, SendError};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{
    OTHER_TOKEN, TOKEN, client, connected, disconnected, expect_closed, expect_disconnected,
    expect_reconnected, number, secs,
};

#[tokio::test(start_paused = true)]
async fn end_fails_waiting_sends_at_once() {
    let (builder, mut listener) = client();
    let builder = builder.send_buffer(1).write_timeout(secs(30));
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    connection.send(&number(1)).unwrap();
    let (waiting, acked) = (connection.sender(), connection.sender());
    let waiting = tokio::spawn(async move { waiting.send_wait(&number(2)).await });
    let acked = tokio::spawn(async move { acked.send_acked(&number(3)).await });
    sleep(secs(2)).await;
    let start = Instant::now();
    socket.close(1000, "kicked").await;
    assert_eq!(waiting.await.unwrap(), Err(SendError::Closed));
    assert_eq!(acked.await.unwrap(), Err(DeliveryError::NotSent(SendError::Closed)));
    assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
    assert!(matches!(expect_closed(&mut connection).await, CloseReason::Remote(_)));
    let start = Instant::now();
    assert_eq!(connection.send_wait(&number(4)).await, Err(SendError::Closed));
    assert_eq!(start.elapsed(), secs(0));
}

#[tokio::test(start_paused = true)]
async fn end_fails_unacknowledged_send_acked() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = connected(builder, &mut listener).await;
    let sender = connection.sender();
    let acked = tokio::spawn(async move { sender.send_acked(&number(1)).await });
    assert_eq!(socket.hear_numbers(1).await, [1]);
    let start = Instant::now();
    connection.abort();
    assert_eq!(acked.await.unwrap(), Err(DeliveryError::Ended));
    assert_eq!(start.elapsed(), secs(0));
}

#[tokio::test(start_paused = true)]
async fn resume_completes_a_waiting_send() {
    let (builder, mut listener) = client();
    let builder = builder.send_buffer(1).write_timeout(secs(30));
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    connection.send(&number(1)).unwrap();
    assert_eq!(socket.hear_numbers(1).await, [1]);
    let sender = connection.sender();
    let waiting = tokio::spawn(async move { sender.send_wait(&number(2)).await });
    drop(socket);
    let mut socket = listener.resume(1).await;
    assert_eq!(waiting.await.unwrap(), Ok(()));
    assert_eq!(socket.hear_numbers(1).await, [2]);
    expect_disconnected(&mut connection).await;
    expect_reconnected(&mut connection).await;
}

#[tokio::test(start_paused = true)]
async fn state_is_reconnecting_until_the_session_opens() {
    let (builder, mut listener) = client();
    let (mut connection, socket) = connected(builder, &mut listener).await;
    let changes = connection.state_changes();
    drop(socket);
    expect_disconnected(&mut connection).await;
    let mut socket = listener.request().await.accept().await;
    sleep(secs(3)).await;
    assert_eq!(connection.state(), ConnectionState::Reconnecting, "upgraded, and not open");
    assert_eq!(*changes.borrow(), ConnectionState::Reconnecting);
    socket.open(TOKEN, true, 0).await;
    expect_reconnected(&mut connection).await;
    assert_eq!(connection.state(), ConnectionState::Connected);
    socket.close(1000, "").await;
    expect_closed(&mut connection).await;
    connection.closed().await;
    assert_eq!(*changes.borrow(), ConnectionState::Closed);
}

#[tokio::test(start_paused = true)]
async fn state_is_closed_before_the_socket_is() {
    let (builder, mut listener) = client();
    let (connection, mut silent) = connected(builder, &mut listener).await;
    let mut changes = connection.state_changes();
    let start = Instant::now();
    silent.close(1000, "").await;
    changes.wait_for(|state| *state == ConnectionState::Closed).await.unwrap();
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
    connection.closed().await;
    assert!(!start.elapsed().is_zero(), "it was waited for");
}

#[tokio::test(start_paused = true)]
async fn abort_before_the_first_poll_shows_closed() {
    let (builder, mut listener) = client();
    let (connection, _socket) = connected(builder, &mut listener).await;
    let changes = connection.state_changes();
    connection.abort();
    connection.closed().await;
    assert_eq!(*changes.borrow(), ConnectionState::Closed);
}

#[tokio::test(start_paused = true)]
async fn close_abandons_an_unanswered_dial() {
    let (builder, mut listener) = client();
    let connection = disconnected(builder, &mut listener).await;
    let _dial = listener.swallow().await;
    let start = Instant::now();
    connection.close().await;
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn taken_frames_stay_counted() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    for n in 1..=4 {
        connection.send(&number(n)).unwrap();
    }
    socket.hear_numbers(4).await;
    socket.say("$ack", json!(1)).await;
    socket.say("$ping", json!(0)).await;
    socket.hear().await;
    assert!(connection.take_unacknowledged().is_empty(), "it has not ended");
    socket.close(1000, "kicked").await;
    let Some(Event::Closed(closed)) = connection.recv().await else { panic!("not closed") };
    assert_eq!(closed.unacknowledged, 3);
    assert_eq!(connection.take_unacknowledged(), [number(2), number(3), number(4)], "the oldest first");
    assert!(connection.take_unacknowledged().is_empty());
    assert_eq!(connection.closed().await.unacknowledged, 3);
    assert_eq!(connection.close().await.unacknowledged, 3);
}

#[tokio::test(start_paused = true)]
async fn frames_of_a_lost_session_outlive_an_unread_loss() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    connection.send(&number(1)).unwrap();
    socket.hear_numbers(1).await;
    drop(socket);
    let mut socket = listener.request().await.accept().await;
    socket.open(OTHER_TOKEN, false, 0).await;
    let reaches = async |wanted| {
        while connection.state() != wanted {
            tokio::task::yield_now().await;
        }
    };
    reaches(ConnectionState::Connected).await;
    connection.send(&number(2)).unwrap();
    socket.hear_numbers(1).await;
    socket.close(1000, "kicked").await;
    reaches(ConnectionState::Closed).await;
    // The application has read neither the loss of the first session nor the end of the second.
    assert_eq!(connection.close().await.unacknowledged, 2);
    assert_eq!(connection.take_unacknowledged(), [number(1), number(2)]);
    assert!(connection.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn frames_taken_first_are_counted() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    connection.send(&number(1)).unwrap();
    socket.hear_numbers(1).await;
    socket.close(1000, "kicked").await;
    while connection.state() != ConnectionState::Closed {
        tokio::task::yield_now().await;
    }
    assert_eq!(connection.take_unacknowledged(), [number(1)]);
    let Some(Event::Closed(closed)) = connection.recv().await else { panic!("not closed") };
    assert_eq!(closed.unacknowledged, 1);
}

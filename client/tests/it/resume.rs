//! A session over several sockets: resume offers, replayed frames, and reported losses.

use rejoin_client::{DropReason, Event, Frame, LostReason, SendError};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    MAX, OTHER_TOKEN, TOKEN, client, connected, disconnected, expect_disconnected, expect_fresh,
    expect_reconnected, next_number, number, secs,
};

#[tokio::test(start_paused = true)]
async fn messages_flow_in_both_directions() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    for n in 1..=100 {
        connection.send(&number(n)).unwrap();
        socket.say("n", json!(n)).await;
    }
    assert_eq!(socket.hear_numbers(100).await, (1..=100).collect::<Vec<_>>());
    for n in 1..=100 {
        assert_eq!(next_number(&mut connection).await, n);
    }
    loop {
        // A quarter of the buffer, or one second: it is acknowledged without being asked for.
        if socket.hear().await == ("$ack".to_owned(), json!(100)) {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_pings_are_answered() {
    let (builder, mut listener) = client();
    let (_connection, mut socket) = connected(builder, &mut listener).await;
    for n in 0..100 {
        socket.say("$ping", json!(n)).await;
    }
    let start = tokio::time::Instant::now();
    for n in 0..100 {
        assert_eq!(socket.hear().await, ("$pong".to_owned(), json!(n)));
    }
    assert!(start.elapsed() < secs(1), "no timer had to help");
}

#[tokio::test(start_paused = true)]
async fn resume_sends_unreceived_frames_again() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    for n in 1..=5 {
        connection.send(&number(n)).unwrap();
    }
    assert_eq!(socket.hear_numbers(5).await, [1, 2, 3, 4, 5]);
    for n in 1..=3 {
        socket.say("n", json!(n)).await;
        assert_eq!(next_number(&mut connection).await, n);
    }
    drop(socket);
    expect_disconnected(&mut connection).await;
    // Accepted while there is no socket.
    connection.send(&number(6)).unwrap();

    let request = listener.request().await;
    assert_eq!(request.offers(), ["rejoin.v1.json", &format!("rejoin.resume.{TOKEN}.3"), MAX]);
    let mut socket = request.accept().await;
    socket.open(TOKEN, true, 4).await;
    socket.say("n", json!(4)).await;
    expect_reconnected(&mut connection).await;
    assert_eq!(next_number(&mut connection).await, 4);
    assert_eq!(socket.hear_numbers(2).await, [5, 6], "neither less nor more");

    // And twice in a row.
    socket.say("$ack", json!(6)).await;
    drop(socket);
    expect_disconnected(&mut connection).await;
    let request = listener.request().await;
    assert_eq!(request.offers()[1], format!("rejoin.resume.{TOKEN}.4"));
    let mut socket = request.accept().await;
    socket.open(TOKEN, true, 6).await;
    expect_reconnected(&mut connection).await;
    connection.send(&number(7)).unwrap();
    assert_eq!(socket.hear_numbers(1).await, [7]);
}

#[tokio::test(start_paused = true)]
async fn session_without_frames_resumes() {
    let (builder, mut listener) = client();
    let (mut connection, socket) = connected(builder, &mut listener).await;
    drop(socket);
    let request = listener.request().await;
    assert_eq!(request.offers()[1], format!("rejoin.resume.{TOKEN}.0"));
    let mut socket = request.accept().await;
    socket.open(TOKEN, true, 0).await;
    expect_disconnected(&mut connection).await;
    expect_reconnected(&mut connection).await;
    connection.send(&number(1)).unwrap();
    assert_eq!(socket.hear_numbers(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn lost_session_has_its_unacknowledged_frames() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    for n in 1..=4 {
        connection.send(&number(n)).unwrap();
    }
    socket.hear_numbers(4).await;
    // Read before the socket is cut: the answer to a `$ping` that came behind it.
    socket.say("$ack", json!(1)).await;
    socket.say("$ping", json!(0)).await;
    socket.hear().await;
    drop(socket);

    let mut socket = listener.request().await.accept().await;
    socket
        .open_with(json!({
            "session": OTHER_TOKEN, "id": "again", "room": "there", "resumed": false, "received": 0,
            "window_ms": 0, "buffer": 256, "lost": "unknown",
        }))
        .await;
    socket.say("n", json!(1)).await;
    expect_disconnected(&mut connection).await;
    let Some(Event::SessionLost { reason, unacknowledged, .. }) = connection.recv().await else { panic!() };
    assert_eq!(reason, Some(LostReason::Unknown));
    assert_eq!(unacknowledged, [number(2), number(3), number(4)]);
    expect_fresh(&mut connection).await;
    assert_eq!(next_number(&mut connection).await, 1);
    assert_eq!((connection.id().as_deref(), connection.room().as_deref()), (Some("again"), Some("there")));

    // Both counts begin anew.
    connection.send(&number(9)).unwrap();
    assert_eq!(socket.hear_numbers(1).await, [9]);
    drop(socket);
    assert_eq!(listener.request().await.offers()[1], format!("rejoin.resume.{OTHER_TOKEN}.1"));
}

//= PROTOCOL.md#R5.13: dial again, with backoff, for a fresh session
#[tokio::test(start_paused = true)]
async fn forgotten_acknowledged_frames_lose_the_session() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    for n in 1..=3 {
        connection.send(&number(n)).unwrap();
    }
    socket.hear_numbers(3).await;
    socket.say("$ack", json!(2)).await;
    socket.say("$ping", json!(0)).await;
    socket.hear().await;
    drop(socket);

    let mut socket = listener.resume(1).await;
    let Some(Message::Close(Some(frame))) = socket.message().await else { panic!("no close frame") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1000, "session lost"));

    let request = listener.request().await;
    assert_eq!(request.offers(), ["rejoin.v1.json", MAX], "there is nothing to resume");
    let mut socket = request.accept().await;
    socket.open(OTHER_TOKEN, false, 0).await;
    expect_disconnected(&mut connection).await;
    let event = connection.recv().await;
    let Some(Event::SessionLost { reason, unacknowledged, dropped: 0, .. }) = event else {
        panic!("{event:?}")
    };
    assert_eq!((reason, unacknowledged), (Some(LostReason::Unknown), vec![number(3)]));
    expect_fresh(&mut connection).await;
    connection.send(&number(9)).unwrap();
    assert_eq!(socket.hear_numbers(1).await, [9]);
}

#[tokio::test(start_paused = true)]
async fn reports_gaps() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    socket.say("$gap", json!({ "from": 1, "to": 3 })).await;
    let Some(Event::Gap(gap)) = connection.recv().await else { panic!() };
    assert_eq!(gap.frames(), 3);
    drop(socket);
    assert_eq!(listener.request().await.offers()[1], format!("rejoin.resume.{TOKEN}.3"));
}

#[tokio::test(start_paused = true)]
async fn full_buffer_refuses_or_waits() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = connected(builder.send_buffer(2), &mut listener).await;
    connection.send(&number(1)).unwrap();
    connection.send(&number(2)).unwrap();
    assert_eq!(connection.send(&number(3)), Err(SendError::Full));
    assert_eq!(connection.send_wait(&number(3)).await, Err(SendError::Timeout));
    let sender = connection.sender();
    let waiting = tokio::spawn(async move { sender.send_wait(&number(3)).await });
    socket.hear_numbers(2).await;
    socket.say("$ack", json!(1)).await;
    waiting.await.unwrap().unwrap();
    assert_eq!(socket.hear_numbers(1).await, [3]);
}

#[tokio::test(start_paused = true)]
async fn several_tasks_send_while_one_receives() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let sender = connection.sender();
            tokio::spawn(async move {
                for n in 0..25 {
                    sender.send_wait(&number(n)).await.unwrap();
                }
            })
        })
        .collect();
    let receiving = tokio::spawn(async move { next_number(&mut connection).await });
    assert_eq!(socket.hear_numbers(100).await.iter().sum::<u64>(), 4 * (0..25).sum::<u64>());
    for task in tasks {
        task.await.unwrap();
    }
    socket.say("n", json!(7)).await;
    assert_eq!(receiving.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn dropped_recv_takes_no_event() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    for n in 1..=50 {
        socket.say("n", json!(n)).await;
    }
    let mut got = Vec::new();
    while got.len() < 50 {
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            n = next_number(&mut connection) => got.push(n),
        }
    }
    assert_eq!(got, (1..=50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn reserved_events_cannot_be_sent() {
    let (builder, mut listener) = client();
    let (connection, _socket) = connected(builder, &mut listener).await;
    let frame = Frame::event_only("$ack");
    assert_eq!(connection.send(&frame), Err(SendError::Reserved));
}

#[tokio::test(start_paused = true)]
async fn silent_server_is_pinged_then_dropped() {
    let (builder, mut listener) = client();
    let (mut connection, _silent) = connected(builder, &mut listener).await;
    let start = tokio::time::Instant::now();
    expect_disconnected(&mut connection).await;
    assert_eq!(start.elapsed().as_secs(), 60);
    let _socket = listener.resume(0).await;
    expect_reconnected(&mut connection).await;
}

#[tokio::test(start_paused = true)]
async fn blocked_socket_is_replaced_without_loss() {
    let (builder, mut listener) = client();
    let (mut connection, mut deaf) = connected(builder, &mut listener).await;
    // Something to acknowledge, which cannot be written.
    deaf.say("n", json!(1)).await;
    assert_eq!(next_number(&mut connection).await, 1);
    let big = Frame::new("n", &"x".repeat(50_000)).unwrap();
    for _ in 0..10 {
        connection.send(&big).unwrap();
    }
    let start = tokio::time::Instant::now();
    let event = connection.recv().await;
    assert!(matches!(event, Some(Event::Disconnected { reason: DropReason::WriteTimeout })), "{event:?}");
    assert_eq!(start.elapsed().as_secs(), 10);

    let mut socket = listener.resume(0).await;
    expect_reconnected(&mut connection).await;
    for _ in 0..10 {
        assert_eq!(socket.hear().await.1.as_str().map(str::len), Some(50_000));
    }
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_a_sign_of_life() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    // One message whose pieces take longer than the pong timeout.
    let text = r#"{"event":"n","payload":7}"#;
    socket.raw(&[0x81, text.len() as u8]).await;
    for byte in text.as_bytes() {
        tokio::time::sleep(secs(10)).await;
        socket.raw(&[*byte]).await;
    }
    assert_eq!(next_number(&mut connection).await, 7);
}

#[tokio::test(start_paused = true)]
async fn repeated_token_is_removed_from_errors() {
    let (builder, mut listener) = client();
    let mut connection = disconnected(builder, &mut listener).await;
    let request = listener.request().await;
    let offers = request.offers().join(", ");
    assert!(offers.contains(TOKEN));
    // Once in the middle, once where the reported part ends within it; and in the address of a redirect.
    let filler = "x".repeat(4096 - offers.len() - offers.find(TOKEN).unwrap() - 10);
    let body = format!("{offers}{filler}{offers}");
    request.refuse(400, &format!("Location: /{TOKEN}\r\n"), &body).await;
    for _ in 0..2 {
        let event = format!("{:?}", connection.recv().await);
        assert!(event.contains("xrejoin.v1.json, rejoin.resume.[token]"), "{event}");
        assert!(!event.contains(&TOKEN[..8]), "{event}");
    }
    assert!(connection.recv().await.is_none());
}

//! All sessions together retain no more bytes than the limit: the oldest suspended ones are evicted, and their clients get a
//! report.

use rejoin_client::{Connection, Frame, LostReason, SendError};
use rejoin_server::{CloseReason, Server};
use rejoin_tests::harness::{Heard, RESET, Recorder, What, message, next, number};
use rejoin_tests::network::Line;

use crate::{client, server, shut_down};

/// A client that has lost its socket, and gets no other until its line serves dials again.
async fn suspended(server: &Server, log: &mut Recorder, id: &str) -> (Connection, Line) {
    suspended_in(server, log, "room", id).await
}

/// The same in a room with this name.
async fn suspended_in(server: &Server, log: &mut Recorder, room: &str, id: &str) -> (Connection, Line) {
    let line = Line::to(server);
    let mut connection = line.client(&format!("/?id={id}&room={room}")).connect().await.unwrap();
    assert_eq!(log.next().await, (id, What::Connected));
    line.unplug();
    assert_eq!(log.next().await, (id, What::Dropped(RESET)));
    assert_eq!(next(&mut connection).await, Heard::Disconnected(RESET));
    (connection, line)
}

/// About 10 KB.
fn big() -> Frame {
    Frame::new("big", &"x".repeat(10_000)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn oldest_suspended_session_is_evicted() {
    let (server, mut log) = server(|builder| builder.max_retained_bytes(30_000));
    let (mut old, old_line) = suspended(&server, &mut log, "old").await;
    let (mut young, young_line) = suspended(&server, &mut log, "young").await;
    let (mut ben, _line) = client(&server, &mut log, "ben").await;
    server.send("old", &big()).unwrap();
    server.send("young", &big()).unwrap();
    server.send("ben", &number(1)).unwrap();
    assert_eq!(next(&mut ben).await, Heard::Message(number(1)));
    assert!(server.connection("old").is_some());

    server.send("young", &big()).unwrap();
    assert_eq!(log.next().await, ("old", What::Disconnected(CloseReason::Evicted)));
    assert!(server.stats().retained_bytes <= 30_000);

    for line in [old_line, young_line] {
        line.plug_in();
    }
    assert_eq!(next(&mut old).await, Heard::session_lost(LostReason::Unknown));
    assert_eq!(next(&mut young).await, Heard::Resumed);
    for _ in 0..2 {
        assert_eq!(message(&mut young).await.event(), "big");
    }
    drop((old, young, ben));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn suspended_sessions_without_frames_are_bounded() {
    let (server, mut log) = server(|builder| builder.max_retained_bytes(3 * 512));
    let mut clients = Vec::new();
    for n in 0..3 {
        clients.push(suspended(&server, &mut log, &format!("c{n}")).await);
    }
    assert_eq!(server.stats().suspended, 3);
    let (_ada, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(
        log.next_sorted().await,
        [("ada", What::Dropped(RESET)), ("c0", What::Disconnected(CloseReason::Evicted))]
    );
    assert_eq!(server.stats().suspended, 3);
}

#[tokio::test(start_paused = true)]
async fn resumed_session_counts_no_more_than_before() {
    let (server, mut log) = server(|builder| builder.max_retained_bytes(3 * 1024));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    for _ in 0..10 {
        line.cut();
        assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
        assert_eq!(next(&mut ada).await, Heard::Resumed);
        assert_eq!(
            [log.next().await, log.next().await],
            [("ada", What::Dropped(RESET)), ("ada", What::Restored)]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn connected_sessions_are_never_evicted() {
    let (server, mut log) =
        server(|builder| builder.max_retained_bytes(25_000).resume_window(crate::secs(30)));
    let (ada, line) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    line.stall(rejoin_tests::network::Direction::ToClient);
    for _ in 0..2 {
        server.send("ada", &big()).unwrap();
    }
    assert_eq!(server.send("ben", &big()), Err(SendError::Full));
    // A broadcast still reaches members whose sockets keep up, and they share its bytes.
    assert_eq!(server.broadcast("room", &big()), Ok(2));
    assert_eq!(message(&mut ben).await.event(), "big");
    assert!((30_000..31_000).contains(&server.stats().retained_bytes));
    assert_eq!(server.stats().dropped, 0);
    // Frames that the socket accepts free memory for others.
    line.release(rejoin_tests::network::Direction::ToClient);
    let connection = server.connection("ben").unwrap();
    connection.send_wait(&big()).await.unwrap();
    assert_eq!(message(&mut ben).await.event(), "big");
    drop(ada);
}

#[tokio::test(start_paused = true)]
async fn frame_that_its_socket_leaves_evicts_suspended_sessions() {
    let (server, mut log) = server(|builder| builder.max_retained_bytes(15_000));
    let _old = suspended(&server, &mut log, "old").await;
    server.send("old", &big()).unwrap();
    let line = Line::to(&server).with_capacity(1_000);
    let _plain = line.client("/?id=plain&room=room").plain().connect().await.unwrap();
    assert_eq!(log.next().await, ("plain", What::Connected));
    line.stall(rejoin_tests::network::Direction::ToClient);
    // Accepted beyond the limit, because the socket has kept up so far.
    server.send("plain", &big()).unwrap();
    assert_eq!(log.next().await, ("old", What::Disconnected(CloseReason::Evicted)));
    assert!(server.stats().retained_bytes <= 15_000);
}

#[tokio::test(start_paused = true)]
async fn broadcast_beyond_limit_is_gap_for_suspended_member() {
    let (server, mut log) = server(|builder| builder.max_retained_bytes(25_000));
    let (_hog, hog_line) = client(&server, &mut log, "hog").await;
    hog_line.stall(rejoin_tests::network::Direction::ToClient);
    for _ in 0..2 {
        server.send("hog", &big()).unwrap();
    }
    let (mut ada, line) = suspended(&server, &mut log, "ada").await;
    assert_eq!(server.broadcast("room", &big()), Ok(1), "one member: the hog, whose socket keeps up so far");
    assert_eq!((server.stats().suspended, server.stats().dropped), (1, 1));
    line.plug_in();
    for expected in [Heard::Resumed, Heard::gap(1, 1)] {
        assert_eq!(next(&mut ada).await, expected);
    }
}

/// The limit is 200 kB, and a broadcast has 120 kB for two members that read.
#[tokio::test(start_paused = true)]
async fn broadcast_evicts_no_session_needlessly() {
    for size in [120_000, 250_000] {
        let (server, mut log) =
            server(|builder| builder.max_retained_bytes(200_000).max_message_size(1 << 20));
        let mut away = Vec::new();
        for id in ["s1", "s2", "s3"] {
            away.push(suspended_in(&server, &mut log, "elsewhere", id).await);
        }
        let (mut a, _line) = client(&server, &mut log, "a").await;
        let (mut b, _line) = client(&server, &mut log, "b").await;
        let frame = Frame::new("big", &"x".repeat(size)).unwrap();
        assert_eq!(server.broadcast("room", &frame), Ok(2));
        for member in [&mut a, &mut b] {
            assert_eq!(message(member).await.event(), "big", "{size}");
        }
        assert_eq!((server.stats().suspended, server.stats().dropped), (3, 0), "{size}");
    }
}

/// Sessions are evicted after the sockets have been written to.
#[tokio::test(start_paused = true)]
async fn retained_broadcast_evicts_oldest_session_afterwards() {
    let (server, mut log) = server(|builder| builder.max_retained_bytes(25_000));
    let (_old, _line) = suspended_in(&server, &mut log, "elsewhere", "old").await;
    let (_ada, _line) = suspended(&server, &mut log, "ada").await;
    let (mut ben, _line) = client(&server, &mut log, "ben").await;
    for id in ["old", "ada"] {
        server.send(id, &big()).unwrap();
    }
    assert_eq!(server.broadcast("room", &big()), Ok(2));
    assert_eq!(server.stats().suspended, 2);
    assert_eq!(message(&mut ben).await.event(), "big");
    assert_eq!(log.next().await, ("old", What::Disconnected(CloseReason::Evicted)));
    assert_eq!((server.stats().suspended, server.stats().dropped), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn ended_sessions_retain_nothing() {
    let (server, mut log) = server(|builder| builder);
    let (_ada, _line) = suspended(&server, &mut log, "ada").await;
    let connection = server.connection("ada").unwrap();
    connection.send(&big()).unwrap();
    assert!(server.stats().retained_bytes > 10_000);
    server.kick("ada").await.unwrap();
    assert_eq!((server.stats().retained_bytes, connection.counts().retained_bytes), (0, 0));
    assert_eq!(connection.counts().unacknowledged, 1, "the frame still counts as unacknowledged");
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_prompt_after_all_were_evicted() {
    let (server, mut log) = server(|builder| builder.max_retained_bytes(3 * 512));
    let (_old, _line) = suspended(&server, &mut log, "old").await;
    let (_ben, _line) = client(&server, &mut log, "ben").await;
    server.send("ben", &Frame::new("big", &"x".repeat(1_200)).unwrap()).unwrap();
    assert_eq!(log.next().await, ("old", What::Disconnected(CloseReason::Evicted)));
    let since = tokio::time::Instant::now();
    shut_down(&server).await;
    assert!(since.elapsed().as_millis() < 100, "{:?}", since.elapsed());
}

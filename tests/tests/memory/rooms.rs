//! Sends reach one connection, and broadcasts one room.

use rejoin_client::{ClientBuilder, Connection, Event, Frame, SendError};
use rejoin_server::{BroadcastError, CloseReason, Identity, Reject, Server};
use rejoin_tests::harness::{Heard, Recorder, What, next, next_event, number, numbers};
use rejoin_tests::network::Line;

use crate::{client, server};

/// Members of one room, with these options.
async fn members(
    server: &Server,
    count: usize,
    configure: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Vec<Connection> {
    let line = Line::to(server);
    let mut members = Vec::with_capacity(count);
    for n in 0..count {
        members.push(configure(line.client(&format!("/?id={n}"))).connect().await.unwrap());
    }
    members
}

#[tokio::test(start_paused = true)]
async fn broadcast_during_another_fan_out_arrives() {
    // More members than are written to between two yields.
    const MEMBERS: usize = 300;
    let (server, _log) = server(|builder| builder);
    let mut members = members(&server, MEMBERS, |client| client).await;
    // The tasks that open sessions have finished by then.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let since = tokio::time::Instant::now();
    assert_eq!(server.broadcast("room", &number(1)), Ok(MEMBERS));
    tokio::task::yield_now().await;
    assert_eq!(server.broadcast("room", &number(2)), Ok(MEMBERS));
    for member in &mut members {
        assert_eq!(numbers(member, 2).await, [1, 2]);
    }
    assert!(since.elapsed().is_zero(), "before the next ping");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_is_written_with_several_workers() {
    const MEMBERS: usize = 600;
    // No ping of either side makes a session's task check for frames to write.
    let minute = std::time::Duration::from_secs(60);
    let (server, _log) = server(|builder| builder.heartbeat(minute, 2 * minute));
    let mut members = members(&server, MEMBERS, |client| client.heartbeat(minute, 2 * minute)).await;
    for n in 1..=3 {
        assert_eq!(server.broadcast("room", &number(n)), Ok(MEMBERS));
        for member in &mut members {
            let arrives = tokio::time::timeout(minute / 2, numbers(member, 1));
            assert_eq!(arrives.await.expect("the member was not written to"), [n]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_broadcasts_drop_nothing_while_space_remains() {
    const MEMBERS: usize = 600;
    const EACH: u64 = 100;
    let (server, _log) = server(|builder| builder);
    let mut members = members(&server, MEMBERS, |client| client.plain()).await;
    // Half of a member's buffer each time.
    for _ in 0..4 {
        for n in 1..=EACH {
            assert_eq!(server.broadcast("room", &number(n)), Ok(MEMBERS));
            tokio::task::yield_now().await;
        }
        for member in &mut members {
            let arrived: Vec<_> = numbers(member, EACH as usize).await;
            assert_eq!(arrived, (1..=EACH).collect::<Vec<_>>());
        }
    }
    assert_eq!(server.stats().dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn member_moved_between_chunks_misses_nothing() {
    // The members form three chunks, the last of which becomes empty: when a member leaves, one of its members moves to another
    // chunk.
    const MEMBERS: usize = 530;
    const LEAVE: usize = 40;
    let (server, _log) = server(|builder| builder);
    let mut members = members(&server, MEMBERS, |client| client).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for n in 0..LEAVE {
        server.broadcast("room", &number(n as u64 + 1)).unwrap();
        server.connection(&(n * 7).to_string()).unwrap().close_with(1000, "enough").unwrap();
        // Some leave while a broadcast is being written, some before.
        for _ in 0..n % 4 {
            tokio::task::yield_now().await;
        }
    }
    for (n, member) in members.iter_mut().enumerate() {
        if n % 7 > 0 || n / 7 >= LEAVE {
            assert_eq!(numbers(member, LEAVE).await, Vec::from_iter(1..=LEAVE as u64));
        }
    }
    // Waits for the last acknowledgements.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!((server.stats().dropped, server.stats().retained_bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn broadcast_to_unknown_room_succeeds() {
    let (server, mut log) = server(|builder| builder);
    assert_eq!(server.broadcast("nowhere", &number(1)), Ok(0));
    assert!(server.connections("nowhere").is_empty());
    let (client, _) = client(&server, &mut log, "ada").await;
    assert_eq!(server.broadcast("", &number(1)), Ok(0));
    client.close().await;
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    assert_eq!(server.broadcast("room", &number(1)), Ok(0));
    assert_eq!(server.stats().rooms, 0, "a room exists while it has members");
}

#[tokio::test(start_paused = true)]
async fn members_leave_in_any_order() {
    for order in [["ada", "ben", "eve"], ["ada", "eve", "ben"], ["ben", "eve", "ada"], ["eve", "ada", "ben"]]
    {
        let (server, mut log) = server(|builder| builder);
        let mut clients = std::collections::HashMap::new();
        for id in ["ada", "ben", "eve"] {
            clients.insert(id, client(&server, &mut log, id).await);
        }
        for (id, left) in order.into_iter().zip([2, 1, 0]) {
            clients[id].0.close().await;
            assert_eq!(log.next().await, (id, What::Disconnected(CloseReason::Normal)));
            assert_eq!(server.connections("room").len(), left, "{id} of {order:?}");
        }
        assert_eq!(server.stats().rooms, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn reserved_events_are_refused_in_session_mode() {
    let (server, mut log) = server(|builder| builder);
    let reserved = Frame::event_only("$mine");
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let line = Line::to(&server);
    let mut ben = line.client("/?id=ben").plain().connect().await.unwrap();
    log.connected().await;
    // From the client.
    assert_eq!(ada.send(&reserved), Err(SendError::Reserved));
    ben.send(&reserved).unwrap();
    assert_eq!(log.next().await, ("ben", What::Message(Frame::event_only("$mine"))));
    // To the client.
    assert_eq!(server.send("ada", &reserved), Err(SendError::Reserved));
    server.send("ben", &reserved).unwrap();
    assert_eq!(next(&mut ben).await, Heard::Message(Frame::event_only("$mine")));
    // To both.
    assert_eq!(server.broadcast("room", &reserved), Err(BroadcastError::Reserved));
    assert_eq!(server.broadcast("room", &number(1)), Ok(2));
    assert_eq!(next(&mut ada).await, Heard::Message(number(1)));
    assert_eq!(next(&mut ben).await, Heard::Message(number(1)), "no member got the failed broadcast");
    // To plain members only.
    ada.close().await;
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::Normal)));
    assert_eq!(server.broadcast("room", &reserved), Ok(1));
    assert_eq!(next(&mut ben).await, Heard::Message(Frame::event_only("$mine")));
}

#[tokio::test(start_paused = true)]
async fn frames_keep_id_event_and_payload() {
    let (server, mut log) = server(|builder| {
        builder.on_message(|connection, frame| async move {
            connection.send(&frame).unwrap();
        })
    });
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let text = r#"{"big":123456789012345678901234567890,"one":1.0,"text":"Grüße ✓ \u0000"}"#;
    for frame in [
        Frame::default(),
        Frame::event_only("event").with_id("id"),
        Frame::new("null", &()).unwrap(),
        Frame::event_only("").with_payload(rejoin_client::Payload::json_text(text).unwrap()),
        Frame::new("long", &"x".repeat(60_000)).unwrap(),
    ] {
        ada.send(&frame).unwrap();
        let Event::Message(echo) = next_event(&mut ada).await else { panic!("no message") };
        assert_eq!(echo, frame);
    }
}

/// From a runtime that ends at once, and from a thread without one.
#[tokio::test]
async fn foreign_broadcast_is_written_in_servers_own_runtime() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _line) = client(&server, &mut log, "ada").await;
    let foreign = server.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { foreign.broadcast("room", &number(1)).unwrap() })
    })
    .join()
    .unwrap();
    // Nothing else writes to the socket before the first ping, after 10 s.
    let soon = tokio::time::timeout(crate::secs(8), next(&mut ada)).await;
    assert_eq!(soon, Ok(Heard::Message(number(1))));
    let plain = server.clone();
    std::thread::spawn(move || plain.broadcast("room", &number(2)).unwrap()).join().unwrap();
    assert_eq!(tokio::time::timeout(crate::secs(8), next(&mut ada)).await, Ok(Heard::Message(number(2))));
}

#[tokio::test(start_paused = true)]
async fn connection_without_room_receives_no_broadcast() {
    let (builder, mut log) = Recorder::of(Server::builder(async |_| Ok::<_, Reject>(Identity::new())));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let mut clients = Vec::new();
    for dial in [line.client("/"), line.client("/").plain()] {
        let client = dial.connect().await.unwrap();
        let connection = log.connected().await;
        assert_eq!((connection.room(), client.room()), (None, None));
        assert_eq!((connection.broadcast(&number(1)), server.broadcast("", &number(1))), (Ok(0), Ok(0)));
        assert_eq!(server.stats().rooms, 0);
        clients.push(client);
    }
}

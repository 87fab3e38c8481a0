//! A full buffer: the application chooses the policy, and the side that misses frames gets a report.

use rejoin_client::{CloseReason, Event, Frame, LostReason, SendError};
use rejoin_server::{Gap, Overflow};
use rejoin_tests::harness::{Heard, RESET, What, closed, message, next, next_event, number, numbers};
use rejoin_tests::network::{Direction, Line};

use crate::{client, raw, server};

#[tokio::test(start_paused = true)]
async fn call_chooses_to_drop_oldest_or_newest() {
    let (server, mut log) = server(|builder| builder.send_buffer(3));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    log.next().await;
    let connection = server.connection("ada").unwrap();
    for n in 1..=3 {
        connection.send(&number(n)).unwrap();
    }
    assert_eq!(connection.send_with(&number(4), Overflow::Reject), Err(SendError::Full));
    connection.send_with(&number(4), Overflow::DropNewest).unwrap();
    connection.send_with(&number(5), Overflow::DropOldest).unwrap();
    assert_eq!(server.stats().dropped, 2);
    line.plug_in();
    for told in [
        Heard::Disconnected(RESET),
        Heard::Resumed,
        Heard::gap(1, 1),
        Heard::Message(number(2)),
        Heard::Message(number(3)),
        Heard::gap(4, 4),
    ] {
        assert_eq!(next(&mut ada).await, told);
    }
    assert_eq!(next(&mut ada).await, Heard::Message(number(5)));
}

#[tokio::test(start_paused = true)]
async fn server_policy_applies_to_every_send() {
    let (server, mut log) = server(|builder| builder.send_buffer(2).overflow(Overflow::DropOldest));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    for n in 1..=5 {
        server.send("ada", &number(n)).unwrap();
    }
    line.plug_in();
    for told in [
        Heard::Disconnected(RESET),
        Heard::Resumed,
        Heard::gap(1, 3),
        Heard::Message(number(4)),
        Heard::Message(number(5)),
    ] {
        assert_eq!(next(&mut ada).await, told);
    }
}

#[tokio::test(start_paused = true)]
async fn rejecting_broadcast_skips_full_member() {
    let (server, mut log) = server(|builder| builder.send_buffer(2));
    let (mut slow, line) = client(&server, &mut log, "slow").await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    line.unplug();
    log.next().await;
    for (n, count) in [(1, 2), (2, 2), (3, 1)] {
        assert_eq!(server.broadcast_with("room", &number(n), Overflow::Reject), Ok(count));
        assert_eq!(next(&mut ben).await, Heard::Message(number(n)));
    }
    assert_eq!(server.broadcast_with("room", &number(4), Overflow::DropNewest), Ok(1));
    assert_eq!(next(&mut ben).await, Heard::Message(number(4)));
    line.plug_in();
    // The third frame was never accepted for this member; the fourth was accepted, and then dropped.
    for told in [
        Heard::Disconnected(RESET),
        Heard::Resumed,
        Heard::Message(number(1)),
        Heard::Message(number(2)),
        Heard::gap(3, 3),
    ] {
        assert_eq!(next(&mut slow).await, told);
    }
}

#[tokio::test(start_paused = true)]
async fn disconnect_policy_ends_slow_client() {
    let (server, mut log) = server(|builder| builder.send_buffer(2).broadcast_overflow(Overflow::Disconnect));
    let (mut slow, line) = client(&server, &mut log, "slow").await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    line.stall(Direction::ToClient);
    for n in 1..=2 {
        assert_eq!(server.broadcast("room", &number(n)), Ok(2));
        assert_eq!(next(&mut ben).await, Heard::Message(number(n)));
    }
    assert_eq!(server.broadcast("room", &number(3)), Ok(1));
    assert_eq!(next(&mut ben).await, Heard::Message(number(3)));
    assert_eq!(log.next().await, ("slow", What::Disconnected(rejoin_server::CloseReason::Overflow)));
    line.release(Direction::ToClient);
    assert_eq!(numbers(&mut slow, 2).await, [1, 2]);
    assert_eq!(next(&mut slow).await, Heard::Disconnected(closed(1013, "send buffer overflow")));
    assert_eq!(next(&mut slow).await, Heard::session_lost(LostReason::Unknown));
    assert_eq!(next(&mut slow).await, Heard::Reconnected);
    assert_eq!(log.next().await, ("slow", What::Connected));
}

#[tokio::test(start_paused = true)]
async fn client_buffer_follows_its_policy() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let client =
        line.client("/?id=ada").send_buffer(2).overflow(Overflow::DropOldest).connect().await.unwrap();
    log.connected().await;
    line.unplug();
    for n in 1..=4 {
        client.send(&number(n)).unwrap();
    }
    line.plug_in();
    for told in [
        ("ada", What::Dropped(RESET)),
        ("ada", What::Restored),
        ("ada", What::Gap(Gap::new(1, 2))),
        ("ada", What::Message(number(3))),
        ("ada", What::Message(number(4))),
    ] {
        assert_eq!(log.next().await, told);
    }
}

#[tokio::test(start_paused = true)]
async fn client_drops_are_counted_when_session_is_lost() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let mut client =
        line.client("/?id=ada").send_buffer(2).overflow(Overflow::DropOldest).connect().await.unwrap();
    log.connected().await;
    line.unplug();
    for n in 1..=5 {
        client.send(&number(n)).unwrap();
    }
    log.next().await;
    server.kick("ada").await.unwrap();
    line.plug_in();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    let lost = next_event(&mut client).await;
    let Event::SessionLost { unacknowledged, dropped, .. } = lost else { panic!("{lost:?}") };
    assert_eq!((unacknowledged, dropped), (vec![number(4), number(5)], 3));
}

#[tokio::test(start_paused = true)]
async fn client_policy_disconnect_ends_the_client() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let mut client =
        line.client("/?id=ada").send_buffer(1).overflow(Overflow::Disconnect).connect().await.unwrap();
    log.connected().await;
    line.unplug();
    client.send(&number(1)).unwrap();
    assert_eq!(client.send(&number(2)), Err(SendError::Closed));
    let closed = loop {
        if let Event::Closed(closed) = next_event(&mut client).await {
            break closed;
        }
    };
    assert!(matches!(closed.reason, CloseReason::Overflow), "{closed:?}");
    assert_eq!(client.take_unacknowledged(), [number(1)]);
}

#[tokio::test(start_paused = true)]
async fn plain_mode_drops_and_counts_newest() {
    let (server, mut log) = server(|builder| builder.send_buffer(2));
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    line.unplug();
    log.next().await;
    let connection = server.connection("ada").unwrap();
    for n in 1..=4 {
        connection.send_with(&number(n), Overflow::DropNewest).unwrap();
    }
    line.plug_in();
    assert_eq!(numbers(&mut ada, 2).await, [1, 2]);
    assert_eq!(server.stats().dropped, 2);
    connection.send(&Frame::event_only("after")).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Message(Frame::event_only("after")));
}

#[tokio::test(start_paused = true)]
async fn broadcast_burst_loses_nothing_on_fast_sockets() {
    const BURST: u64 = 500;
    let (server, mut log) = server(|builder| builder.send_buffer(8));
    let line = Line::to(&server);
    let mut keeps_up = line.client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    let narrow = Line::to(&server).with_capacity(64);
    let mut slow = narrow.client("/?id=ben").plain().connect().await.unwrap();
    log.connected().await;
    narrow.stall(Direction::ToClient);
    // Without yielding to other tasks.
    for n in 1..=BURST {
        assert_eq!(server.broadcast("room", &number(n)), Ok(2));
    }
    assert_eq!(numbers(&mut keeps_up, BURST as usize).await, Vec::from_iter(1..=BURST));
    let dropped = server.stats().dropped;
    assert!(dropped > BURST / 2 && dropped < BURST, "only the oldest frames of the slow member: {dropped}");
    narrow.release(Direction::ToClient);
    let rest = numbers(&mut slow, usize::try_from(BURST - dropped).unwrap()).await;
    assert_eq!(rest.last(), Some(&BURST));
}

#[tokio::test(start_paused = true)]
async fn rejecting_burst_reaches_fast_socket() {
    const BURST: u64 = 500;
    let (server, mut log) = server(|builder| builder.send_buffer(8));
    let mut ada = Line::to(&server).client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    // Without yielding to other tasks.
    for n in 1..=BURST {
        assert_eq!(server.broadcast_with("room", &number(n), Overflow::Reject), Ok(1));
    }
    assert_eq!(numbers(&mut ada, BURST as usize).await, Vec::from_iter(1..=BURST));
}

#[tokio::test(start_paused = true)]
async fn dropped_broadcast_is_reported_at_once() {
    let (server, mut log) = server(|builder| builder.send_buffer(1));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    // Her acknowledgements do not arrive.
    line.stall(Direction::ToServer);
    assert_eq!(server.broadcast("room", &number(1)), Ok(1));
    assert_eq!(numbers(&mut ada, 1).await, [1]);
    let since = tokio::time::Instant::now();
    assert_eq!(server.broadcast_with("room", &number(2), Overflow::DropNewest), Ok(0));
    assert_eq!(next(&mut ada).await, Heard::gap(2, 2));
    assert!(since.elapsed().is_zero(), "before the next ping");
}

#[tokio::test(start_paused = true)]
async fn broadcasts_to_absent_member_respect_byte_limit() {
    let (server, mut log) = server(|builder| builder.send_buffer_bytes(10_000));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    log.next().await;
    for n in 0..5 {
        server.broadcast("room", &Frame::new("big", &format!("{n}{}", "x".repeat(4000))).unwrap()).unwrap();
    }
    let stats = server.stats();
    assert_eq!(stats.dropped, 3);
    assert!(stats.retained_bytes <= 10_000, "{}", stats.retained_bytes);
    line.plug_in();
    for told in [Heard::Disconnected(RESET), Heard::Resumed, Heard::gap(1, 3)] {
        assert_eq!(next(&mut ada).await, told);
    }
    for n in ["3", "4"] {
        assert!(message(&mut ada).await.decode::<String>().unwrap().starts_with(n));
    }
}

#[tokio::test(start_paused = true)]
async fn announced_gap_counts_no_frame() {
    let (server, mut log) = server(|builder| builder);
    let mut socket = raw::dial(&Line::to(&server), "ada", "rejoin.v1.json").await.unwrap();
    raw::read(&mut socket).await;
    log.connected().await;
    raw::write(&mut socket, r#"{"event":"$gap","payload":{"from":1,"to":9007199254740991}}"#).await;
    raw::write(&mut socket, r#"{"event":"$sync"}"#).await;
    assert_eq!(raw::read(&mut socket).await, r#"{"event":"$ack","payload":9007199254740991}"#);
    raw::write(&mut socket, r#"{"event":"n","payload":1}"#).await;
    assert_eq!(log.next().await, ("ada", What::Gap(Gap::new(1, 9007199254740991))));
    assert_eq!(log.next().await, ("ada", What::Message(number(1))));
    assert_eq!(server.stats().frames_in, 1);
    let counts = server.connection("ada").unwrap().counts();
    assert_eq!((counts.received - counts.received_gaps, counts.received_bytes), (1, 25));
}

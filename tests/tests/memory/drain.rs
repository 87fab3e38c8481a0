//! Draining: sockets leave in waves, and sessions stay.

use std::time::Duration;

use rejoin_client::ConnectError;
use rejoin_server::{CloseReason, DropReason, Pace, ServerState};
use rejoin_tests::harness::{Ended, Heard, What, closed, next, number};
use rejoin_tests::network::{Direction, Line};
use tokio::time::Instant;

use crate::{client, millis, secs, server, shut_down};

const fn draining(millis: u64) -> What {
    What::Dropped(DropReason::Draining { retry_in: Duration::from_millis(millis) })
}

/// A client that does not reconnect.
async fn one_off(server: &rejoin_server::Server, id: &str) -> rejoin_client::Connection {
    Line::to(server).client(&format!("/?id={id}")).no_reconnect().connect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn idle_sockets_leave_first_at_the_pace() {
    let (server, mut log) = server(|builder| builder);
    let mut clients = Vec::new();
    for id in ["busy", "old", "new"] {
        clients.push(one_off(&server, id).await);
        log.connected().await;
        tokio::time::sleep(secs(1)).await;
    }
    server.send("busy", &number(1)).unwrap();
    let start = Instant::now();
    let drain = server.drain(Pace::per_second(2));
    for (index, id) in ["old", "new", "busy"].into_iter().enumerate() {
        assert_eq!(log.next().await, (id, draining(500)));
        assert_eq!(start.elapsed().as_millis() / 10, index as u128 * 50);
    }
    assert_eq!(drain.await, 3);
    assert_eq!(server.stats().suspended, 3, "their sessions live");
    assert_eq!(next(&mut clients[1]).await, Heard::Disconnected(closed(1012, "retry in 500 ms")));
    let disabled = Ended::ReconnectDisabled(closed(1012, "retry in 500 ms"));
    assert_eq!(next(&mut clients[1]).await, Heard::Closed(disabled));
    assert_eq!(next(&mut clients[0]).await, Heard::Message(number(1)), "it left after its frame");
}

#[tokio::test(start_paused = true)]
async fn returns_of_one_wave_are_spread() {
    let (server, mut log) = server(|builder| builder);
    let mut clients = Vec::new();
    for n in 0..4 {
        clients.push(one_off(&server, &n.to_string()).await);
        log.connected().await;
    }
    assert_eq!(server.drain(Pace::per_second(40)).await, 4);
    let mut delays = Vec::new();
    for _ in 0..4 {
        delays.push(log.next().await.what);
    }
    assert_eq!(delays, [500, 525, 550, 575].map(draining));
}

#[tokio::test(start_paused = true)]
async fn newcomers_are_refused_while_draining() {
    let (server, mut log) = server(|builder| builder.health_path("/healthz"));
    let _ada = client(&server, &mut log, "ada").await;
    let drain = server.drain(Pace::per_second(1));
    for plain in [false, true] {
        let line = Line::to(&server);
        let newcomer = line.client("/?id=ben");
        let newcomer = if plain { newcomer.plain() } else { newcomer };
        let Err(ConnectError::Refused(refusal)) = newcomer.connect().await else { panic!("accepted") };
        assert_eq!((refusal.status, refusal.retry_after), (503, Some(secs(5))));
    }
    assert!(server.connection("ben").is_none());
    drop(drain);
    assert_eq!(server.state(), ServerState::Draining);
    assert!(!server.health().is_ready);
    shut_down(&server).await;
    assert_eq!(server.state(), ServerState::ShutDown);
}

#[tokio::test(start_paused = true)]
async fn resumed_sockets_leave_in_the_last_wave() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    tokio::time::sleep(secs(1)).await;
    let mut others = Vec::new();
    for n in 0..3 {
        others.push(one_off(&server, &n.to_string()).await);
        log.connected().await;
    }
    let start = Instant::now();
    let drain = server.drain(Pace::per_second(1));
    assert_eq!(log.next().await, ("ada", draining(500)));
    server.send("ada", &number(1)).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(1012, "retry in 500 ms")));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(next(&mut ada).await, Heard::Message(number(1)));
    let mut happened = Vec::new();
    for _ in 0..5 {
        happened.push(log.next().await);
    }
    let ids: Vec<_> = happened.iter().map(|happening| happening.connection.id()).collect();
    assert_eq!((ids[0], ids[4]), ("ada", "ada"), "restored after the first wave, and closed last");
    assert_eq!(happened[4].what, draining(500));
    assert_eq!(drain.await, 5);
    assert_eq!(start.elapsed().as_secs(), 3);
    // A later socket is accepted for a moment, and asked to wait for longer.
    assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(1012, "retry in 500 ms")));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    ada.send(&number(2)).unwrap();
    assert_eq!(log.next().await, ("ada", What::Restored));
    assert_eq!(log.next().await, ("ada", What::Message(number(2))));
    assert_eq!(log.next().await, ("ada", draining(5000)));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn dropped_drain_continues_at_a_changed_pace() {
    let (server, mut log) = server(|builder| builder);
    let mut clients = Vec::new();
    for n in 0..10 {
        clients.push(one_off(&server, &n.to_string()).await);
        log.connected().await;
    }
    let start = Instant::now();
    drop(server.drain(Pace::per_second(1)));
    assert_eq!(log.next().await.what, draining(500));
    assert_eq!(server.drain(Pace::per_second(10)).await, 10);
    assert_eq!(start.elapsed().as_millis() / 100, 18, "one second, then nine tenths");
}

#[tokio::test(start_paused = true)]
async fn drain_waits_until_sockets_are_closed() {
    let (server, mut log) = server(|builder| builder.close_timeout(secs(3)));
    let (_ada, line) = client(&server, &mut log, "ada").await;
    line.stall(Direction::ToClient);
    let start = Instant::now();
    assert_eq!(server.drain(Pace::default()).await, 1);
    assert_eq!(start.elapsed().as_secs(), 3, "the peer does not answer");
    assert_eq!(server.health().sockets, 0);
}

#[tokio::test(start_paused = true)]
async fn drain_without_connections_is_over_at_once() {
    let (server, _log) = server(|builder| builder);
    let start = Instant::now();
    assert_eq!(server.drain(Pace::default()).await, 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(server.state(), ServerState::Draining);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_drain() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let (_ben, _) = client(&server, &mut log, "ben").await;
    let drain = server.drain(Pace::per_second(1));
    assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(1012, "retry in 500 ms")));
    let (closed, left) = tokio::join!(drain, server.shutdown(secs(10)));
    assert_eq!((closed, left), (1, 0));
    assert_eq!(server.drain(Pace::default()).await, 1, "there is nothing left to drain");
}

#[tokio::test(start_paused = true)]
async fn drain_without_a_window_ends_sessions() {
    let (server, mut log) = server(|builder| builder.resume_window(None));
    let _ada = one_off(&server, "ada").await;
    log.connected().await;
    assert_eq!(server.drain(Pace::default()).await, 1);
    let lost = CloseReason::TransportLost(DropReason::Draining { retry_in: millis(500) });
    assert_eq!(log.next().await, ("ada", What::Disconnected(lost)));
}

#[tokio::test(start_paused = true)]
async fn plain_clients_come_back_by_their_id() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    assert_eq!(server.drain(Pace::default()).await, 1);
    assert_eq!(log.next().await, ("ada", draining(500)));
    server.send("ada", &number(1)).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(1012, "retry in 500 ms")));
    assert_eq!(next(&mut ada).await, Heard::Reconnected);
    assert_eq!(next(&mut ada).await, Heard::Message(number(1)));
    assert_eq!(log.next().await, ("ada", What::Restored));
}

//! A socket that is silent for too long is lost, and a live one is kept.

use rejoin_server::DropReason;
use rejoin_tests::harness::{END_OF_STREAM, Heard, RESET, What, disconnected, next, number};
use rejoin_tests::network::{Direction, Line};
use tokio::time::Instant;

use crate::{client, millis, secs, server};

#[tokio::test(start_paused = true)]
async fn client_detects_half_open_socket_and_resumes() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let mut client = line.client("/?id=ada").heartbeat(secs(10), secs(40)).connect().await.unwrap();
    log.connected().await;
    line.half_open();
    let since = Instant::now();
    server.send("ada", &number(1)).unwrap();
    client.send(&number(2)).unwrap();
    assert_eq!(next(&mut client).await, Heard::Disconnected(DropReason::HeartbeatTimeout));
    assert!(since.elapsed() >= secs(40) - millis(5) && since.elapsed() <= secs(40) + millis(5));
    assert_eq!(next(&mut client).await, Heard::Resumed);
    assert_eq!(next(&mut client).await, Heard::Message(number(1)));
    assert_eq!(log.next().await, ("ada", What::Dropped(DropReason::HeartbeatTimeout)));
    assert_eq!(log.next().await, ("ada", What::Restored));
    assert_eq!(log.next().await, ("ada", What::Message(number(2))));
}

#[tokio::test(start_paused = true)]
async fn one_way_failure_is_detected_by_the_receiver() {
    for (direction, at_server, at_client) in [
        (Direction::ToServer, Some(DropReason::HeartbeatTimeout), END_OF_STREAM),
        (Direction::ToClient, None, DropReason::HeartbeatTimeout),
    ] {
        let (server, mut log) = server(|builder| builder.heartbeat(secs(10), secs(40)));
        let line = Line::to(&server);
        let mut client = line.client("/?id=ada").heartbeat(secs(10), secs(40)).connect().await.unwrap();
        log.connected().await;
        line.stall(direction);
        let since = Instant::now();
        let dropped = log.dropped("ada").await;
        assert!(at_server.is_none_or(|expected| dropped == expected));
        assert_eq!(disconnected(&mut client).await, at_client);
        assert!(since.elapsed() < secs(41), "{direction:?}: {:?}", since.elapsed());
        assert_eq!(next(&mut client).await, Heard::Resumed);
        assert_eq!(log.next().await, ("ada", What::Restored));
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connection_lives_for_a_day() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, line) = client(&server, &mut log, "ada").await;
    let plain_line = Line::to(&server);
    let mut plain = plain_line.client("/?id=ben").plain().connect().await.unwrap();
    log.connected().await;
    tokio::time::sleep(secs(24 * 3600)).await;
    assert_eq!(log.try_next(), None);
    assert_eq!((line.dials(), plain_line.dials()), (1, 1));
    assert_eq!(server.broadcast("room", &number(1)), Ok(2));
    assert_eq!(next(&mut client).await, Heard::Message(number(1)));
    assert_eq!(next(&mut plain).await, Heard::Message(number(1)));
}

#[tokio::test(start_paused = true)]
async fn unanswered_dial_times_out_and_is_retried() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let client = line.client("/?id=ada").handshake_timeout(secs(2));
    let mut client = client.connect().await.unwrap();
    log.connected().await;
    line.set_dials(rejoin_tests::network::Dials::Swallowed);
    line.cut();
    let since = Instant::now();
    line.dialled(2).await;
    line.plug_in();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::Resumed);
    assert!(since.elapsed() >= secs(2) && line.dials() == 3);
}

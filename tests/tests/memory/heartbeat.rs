//! A socket that is silent for too long is lost, and a live one is kept.

use rejoin_tests::harness::{next, number};
use rejoin_tests::network::{Direction, Line};
use tokio::time::Instant;

use crate::{client, millis, secs, server};

#[tokio::test(start_paused = true)]
async fn server_detects_half_open_socket_after_pong_timeout() {
    let (server, mut log) = server(|builder| builder.heartbeat(secs(3), secs(8)));
    let (_client, line) = client(&server, &mut log, "ada").await;
    line.half_open();
    let since = Instant::now();
    assert_eq!(log.next().await, "ada dropped: heartbeat_timeout");
    assert!(since.elapsed() >= secs(8) - millis(5) && since.elapsed() <= secs(8) + millis(5));
}

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
    assert_eq!(next(&mut client).await, "dropped: heartbeat_timeout");
    assert!(since.elapsed() >= secs(40) - millis(5) && since.elapsed() <= secs(40) + millis(5));
    assert_eq!(next(&mut client).await, "restored");
    assert_eq!(next(&mut client).await, "message n 1");
    assert_eq!(log.next().await, "ada dropped: heartbeat_timeout");
    assert_eq!(log.next().await, "ada restored");
    assert_eq!(log.next().await, "ada message n 2");
}

#[tokio::test(start_paused = true)]
async fn one_way_failure_is_detected_by_the_receiver() {
    for (direction, at_server, at_client) in [
        (Direction::ToServer, "heartbeat_timeout", "unexpected end of file"),
        (Direction::ToClient, "connection reset", "heartbeat_timeout"),
    ] {
        let (server, mut log) = server(|builder| builder.heartbeat(secs(10), secs(40)));
        let line = Line::to(&server);
        let mut client = line.client("/?id=ada").heartbeat(secs(10), secs(40)).connect().await.unwrap();
        log.connected().await;
        line.stall(direction);
        let since = Instant::now();
        if direction == Direction::ToServer {
            assert_eq!(log.next().await, format!("ada dropped: {at_server}"));
            assert_eq!(next(&mut client).await, format!("dropped: {at_client}"));
        } else {
            assert_eq!(next(&mut client).await, format!("dropped: {at_client}"));
            let dropped = log.next().await;
            assert!(dropped.starts_with("ada dropped: "), "{dropped}");
        }
        assert!(since.elapsed() < secs(41), "{direction:?}: {:?}", since.elapsed());
        assert_eq!(next(&mut client).await, "restored");
        assert_eq!(log.next().await, "ada restored");
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
    assert_eq!(next(&mut client).await, "message n 1");
    assert_eq!(next(&mut plain).await, "message n 1");
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
    line.set_dials(rejoin_tests::network::Dials::Served);
    assert_eq!(next(&mut client).await, "dropped: connection reset");
    assert_eq!(next(&mut client).await, "restored");
    assert!(since.elapsed() >= secs(2) && line.dials() == 3);
}

//! Sessions and frames that survive a drop, and those that do not.

use std::time::Duration;

use rejoin_client::LostReason;
use rejoin_server::CloseReason;
use rejoin_tests::harness::{Heard, RESET, What, next, number, numbers};
use rejoin_tests::network::{Direction, Line};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::{client, millis, secs, server, shut_down};

#[tokio::test(start_paused = true)]
async fn resumes_just_before_the_window_expires() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let client = line.client("/?id=ada").reconnect(millis(1), millis(1));
    let mut client = client.connect().await.unwrap();
    log.connected().await;
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    tokio::time::sleep(secs(30) - millis(5)).await;
    line.plug_in();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::Resumed);
    assert_eq!(log.next().await, ("ada", What::Restored));
    tokio::time::sleep(secs(60)).await;
    assert_eq!(log.try_next(), None, "the resume has stopped the window");
}

#[tokio::test(start_paused = true)]
async fn unlimited_window_keeps_session_for_a_month() {
    let (server, mut log) = server(|builder| builder.resume_window(Duration::MAX));
    let (mut client, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    server.send("ada", &number(1)).unwrap();
    tokio::time::sleep(secs(30 * 24 * 3600)).await;
    line.plug_in();
    assert_eq!(next(&mut client).await, Heard::Resumed);
    assert_eq!(next(&mut client).await, Heard::Message(number(1)));
}

#[tokio::test(start_paused = true)]
async fn resumes_without_any_frame() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, line) = client(&server, &mut log, "ada").await;
    line.cut();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::Resumed);
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    assert_eq!(log.next().await, ("ada", What::Restored));
    client.send(&number(1)).unwrap();
    assert_eq!(log.next().await, ("ada", What::Message(number(1))));
}

#[tokio::test(start_paused = true)]
async fn repeated_resumes_repeat_no_frame() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, line) = client(&server, &mut log, "ada").await;
    for round in 0..20 {
        server.send("ada", &number(2 * round)).unwrap();
        client.send(&number(2 * round)).unwrap();
        if round % 2 == 0 {
            line.cut();
        } else {
            line.finish();
        }
        server.send("ada", &number(2 * round + 1)).unwrap();
        client.send(&number(2 * round + 1)).unwrap();
        line.dialled(usize::try_from(round).unwrap() + 2).await;
    }
    assert_eq!(numbers(&mut client, 40).await, Vec::from_iter(0..40));
    assert_eq!(log.numbers_over_drops(40).await, Vec::from_iter(0..40));
    client.send(&number(99)).unwrap();
    assert_eq!(log.numbers_over_drops(1).await, [99]);
    assert_eq!(server.stats().resumed, 20);
}

#[tokio::test(start_paused = true)]
async fn unacknowledged_arrived_frames_are_not_repeated() {
    let (server, mut log) = server(|builder| builder);
    let (mut client, line) = client(&server, &mut log, "ada").await;
    for n in 1..=10 {
        client.send(&number(n)).unwrap();
        server.send("ada", &number(n)).unwrap();
    }
    assert_eq!(log.numbers(10).await, Vec::from_iter(1..=10));
    assert_eq!(numbers(&mut client, 10).await, Vec::from_iter(1..=10));
    // Acknowledgements are delayed for a second, or until a quarter of 256 frames.
    line.cut();
    client.send(&number(11)).unwrap();
    server.send("ada", &number(11)).unwrap();
    assert_eq!(log.numbers_over_drops(1).await, [11]);
    assert_eq!(numbers(&mut client, 1).await, [11]);
}

#[tokio::test(start_paused = true)]
async fn takes_over_half_open_socket_during_traffic() {
    // The server alone would not notice for minutes.
    let (server, mut log) = server(|builder| builder.heartbeat(secs(200), secs(300)).send_buffer(1000));
    let line = Line::to(&server);
    let client = line.client("/?id=ada").heartbeat(secs(2), secs(5)).send_buffer(1000);
    let mut client = client.connect().await.unwrap();
    log.connected().await;
    for n in 1..=300 {
        client.send(&number(n)).unwrap();
        server.send("ada", &number(n)).unwrap();
        if n == 100 {
            line.cut_after(Direction::ToServer, 1234);
            assert_eq!(log.numbers_over_drops(1).await, [1]);
        }
        if n == 200 {
            line.dialled(2).await;
            tokio::time::sleep(millis(1)).await;
            line.half_open();
        }
    }
    assert_eq!(numbers(&mut client, 300).await, Vec::from_iter(1..=300));
    assert_eq!(log.numbers_over_drops(299).await, Vec::from_iter(2..=300));
    assert_eq!(line.dials(), 3);
    assert_eq!(log.try_next(), None);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn lost_session_reports_unacknowledged_frames() {
    let (old, mut log) = server(|builder| builder);
    let (mut client, line) = client(&old, &mut log, "ada").await;
    client.send(&number(1)).unwrap();
    assert_eq!(log.next().await, ("ada", What::Message(number(1))));
    // The acknowledgement is sent after a second.
    tokio::time::sleep(secs(2)).await;
    let (new, mut new_log) = server(|builder| builder);
    line.lead_to(&new);
    line.stall(Direction::ToServer);
    client.send(&number(2)).unwrap();
    line.cut();
    client.send(&number(3)).unwrap();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(
        next(&mut client).await,
        Heard::SessionLost { reason: Some(LostReason::Unknown), unacknowledged: vec![number(2), number(3)] }
    );
    assert_eq!(next(&mut client).await, Heard::Reconnected);
    client.send(&number(4)).unwrap();
    assert_eq!(new_log.next().await, ("ada", What::Connected));
    assert_eq!(new_log.next().await, ("ada", What::Message(number(4))), "reported frames are not sent again");
    // The fresh session resumes like any other.
    line.cut();
    assert_eq!(next(&mut client).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut client).await, Heard::Resumed);
    shut_down(&old).await;
    shut_down(&new).await;
}

#[tokio::test(start_paused = true)]
async fn plain_mode_resumes_by_id_with_buffered_frames() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let mut client = line.client("/?id=ada").plain().connect().await.unwrap();
    log.connected().await;
    line.unplug();
    assert_eq!(log.next().await, ("ada", What::Dropped(RESET)));
    for n in 1..=20 {
        server.send("ada", &number(n)).unwrap();
    }
    line.plug_in();
    assert_eq!(numbers(&mut client, 20).await, Vec::from_iter(1..=20));
    assert_eq!(log.next().await, ("ada", What::Restored));
    assert_eq!(server.stats().retained_bytes, 0, "written frames are not retained");
}

#[tokio::test(start_paused = true)]
async fn resume_with_immediate_close_delays_no_window() {
    let window = secs(10);
    let (server, mut log) = server(|builder| builder.resume_window(window));
    // A plain request, directly followed by a close frame with 1001: the session is attached and lost at once.
    let visit = async |id: &str| {
        let request = format!(
            "GET /?id={id} HTTP/1.1\r\nhost: server.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut io = Line::to(&server).dial().unwrap();
        io.write_all(request.as_bytes()).await.unwrap();
        io.write_all(b"\x88\x82\0\0\0\0\x03\xe9").await.unwrap();
        let mut answer = Vec::new();
        io.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    };
    let mut due = Vec::new();
    for id in ["mallory", "ada", "ben"] {
        visit(id).await;
        due.push(Instant::now() + window);
        tokio::time::sleep(secs(1)).await;
    }
    let mut ended = Vec::new();
    for _ in 0..30 {
        visit("mallory").await;
        tokio::time::sleep(millis(500)).await;
        while let Some(happening) = log.try_next() {
            if matches!(happening.what, What::Disconnected(_)) {
                ended.push((happening, Instant::now()));
            }
        }
    }
    assert_eq!(ended.len(), 2, "{ended:?}");
    for ((end, at), (id, due)) in ended.iter().zip(["ada", "ben"].iter().zip(&due[1..])) {
        assert_eq!(*end, (*id, What::Disconnected(CloseReason::WindowExpired)));
        assert!((*due..*due + millis(501)).contains(at), "{:?} late", at.saturating_duration_since(*due));
    }
    tokio::time::sleep(window).await;
    assert_eq!(server.stats().suspended, 0);
}

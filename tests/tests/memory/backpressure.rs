//! A slow peer only hurts itself, and no frame is lost silently.

use std::sync::Arc;

use rejoin_client::{Frame, SendError};
use rejoin_server::DropReason;
use rejoin_tests::harness::{Heard, RESET, What, next, number, numbers};
use rejoin_tests::network::{Dials, Direction, Line};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{client, millis, secs, server};

#[tokio::test(start_paused = true)]
async fn empty_buffer_accepts_one_frame_of_any_size() {
    let (server, mut log) = server(|builder| builder.send_buffer_bytes(1000));
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    let big = Frame::new("big", &"x".repeat(5000)).unwrap();
    server.send("ada", &big).unwrap();
    assert!(server.stats().retained_bytes >= 5000);
    assert_eq!(server.send("ada", &number(1)), Err(SendError::Full));
    line.plug_in();
    server.connection("ada").unwrap().send_wait(&number(2)).await.unwrap();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(next(&mut ada).await, Heard::Message(big));
    assert_eq!(next(&mut ada).await, Heard::Message(number(2)));
}

#[tokio::test(start_paused = true)]
async fn send_wait_fails_after_the_write_timeout() {
    let (server, mut log) = server(|builder| builder.send_buffer(1).write_timeout(secs(3)));
    let (_ada, line) = client(&server, &mut log, "ada").await;
    line.stall(Direction::ToClient);
    let ada = server.connection("ada").unwrap();
    ada.send(&number(1)).unwrap();
    let since = Instant::now();
    assert_eq!(ada.send_wait(&number(2)).await, Err(SendError::Timeout));
    assert!(since.elapsed() >= secs(3) && since.elapsed() < secs(3) + millis(5), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn send_wait_ends_with_the_session() {
    let (server, mut log) = server(|builder| builder.send_buffer(1));
    let (_ada, line) = client(&server, &mut log, "ada").await;
    line.stall(Direction::ToClient);
    let ada = server.connection("ada").unwrap();
    ada.send(&number(1)).unwrap();
    let frame = number(2);
    let waiting = ada.send_wait(&frame);
    let (result, kicked) = tokio::join!(waiting, server.kick("ada"));
    assert_eq!((result, kicked), (Err(SendError::Closed), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn broadcast_drops_unwritten_frames_of_slow_reader() {
    let (server, mut log) = server(|builder| builder.send_buffer(8).write_timeout(secs(30)));
    let line = Line::to(&server).with_capacity(1024);
    let mut slow = line.client("/?id=slow").connect().await.unwrap();
    log.connected().await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    line.stall(Direction::ToClient);
    let big = |n: u64| Frame::new("big", &(n, "x".repeat(40_000))).unwrap();
    for n in 1..=12 {
        assert_eq!(server.broadcast("room", &big(n)), Ok(2));
        assert_eq!(next(&mut ben).await, Heard::Message(big(n)));
    }
    line.release(Direction::ToClient);
    let mut came = Vec::new();
    let mut gap = None;
    while came.last() != Some(&12) {
        match next(&mut slow).await {
            Heard::Message(frame) => came.push(frame.decode::<(u64, String)>().unwrap().0),
            other => assert_eq!(gap.replace((came.len(), other)), None),
        }
    }
    // Two frames were in transit already, because the socket accepts 64 KiB at once; the last eight were retained.
    assert_eq!(gap, Some((2, Heard::gap(3, 4))));
    assert_eq!(came, [1, 2, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(server.stats().dropped, 2);
}

#[tokio::test(start_paused = true)]
async fn socket_that_accepts_nothing_is_lost() {
    let (server, mut log) = server(|builder| builder.write_timeout(secs(7)));
    let line = Line::to(&server).with_capacity(1024);
    let mut ada = line.client("/?id=ada").connect().await.unwrap();
    log.connected().await;
    line.stall(Direction::ToClient);
    let since = Instant::now();
    for n in 1..=200 {
        server.send("ada", &number(n)).unwrap();
    }
    assert_eq!(log.next().await, ("ada", What::Dropped(DropReason::WriteTimeout)));
    assert!(since.elapsed() >= secs(7) && since.elapsed() < secs(8), "{:?}", since.elapsed());
    line.cut();
    assert_eq!(numbers(&mut ada, 200).await, Vec::from_iter(1..=200));
}

#[tokio::test(start_paused = true)]
async fn slow_client_application_delays_server_without_loss() {
    let (server, mut log) = server(|builder| builder.send_buffer(16));
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    let connection = server.connection("ada").unwrap();
    let mut sent = 0;
    // 64 messages are read ahead and acknowledged; then the buffer fills.
    while connection.send_wait(&number(sent)).await.is_ok() {
        sent += 1;
    }
    assert!((16..=200).contains(&sent), "{sent}");
    server.send("ben", &number(1)).unwrap();
    assert_eq!(next(&mut ben).await, Heard::Message(number(1)));
    assert_eq!(numbers(&mut ada, usize::try_from(sent).unwrap()).await, Vec::from_iter(0..sent));
    connection.send_wait(&number(sent)).await.unwrap();
    assert_eq!(numbers(&mut ada, 1).await, [sent]);
}

#[tokio::test(start_paused = true)]
async fn client_with_full_buffer_gets_an_error() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let client = line.client("/?id=ada").send_buffer(4).connect().await.unwrap();
    log.connected().await;
    line.unplug();
    for n in 1..=4 {
        client.send(&number(n)).unwrap();
    }
    assert_eq!(client.send(&number(99)), Err(SendError::Full));
    assert_eq!(client.send_wait(&number(99)).await, Err(SendError::Timeout));
    line.plug_in();
    client.send_wait(&number(5)).await.unwrap();
    assert_eq!(log.numbers_over_drops(5).await, [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn clients_obey_the_servers_buffer_size() {
    let (server, mut log) = server(|builder| builder.send_buffer(3));
    let (client, line) = client(&server, &mut log, "ada").await;
    line.stall(Direction::ToServer);
    for n in 1..=3 {
        client.send(&number(n)).unwrap();
    }
    assert_eq!(client.send(&number(4)), Err(SendError::Full));
}

#[tokio::test(start_paused = true)]
async fn slow_handler_delays_only_its_own_client() {
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let (sender, mut handled) = tokio::sync::mpsc::unbounded_channel();
    let (server, mut log) = server(|builder| {
        builder.send_buffer(16).on_message(move |_, frame| {
            let (gate, sender) = (gate.clone(), sender.clone());
            async move {
                gate.notified().await;
                gate.notify_one();
                sender.send(frame.decode::<u64>().unwrap()).unwrap();
            }
        })
    });
    let (client, _) = client(&server, &mut log, "ada").await;
    let mut sent = 0;
    while client.send_wait(&number(sent)).await.is_ok() {
        sent += 1;
    }
    assert!((16..=200).contains(&sent), "{sent}");
    opened.notify_one();
    for n in 0..sent {
        assert_eq!(handled.recv().await, Some(n));
    }
}

#[tokio::test(start_paused = true)]
async fn overflow_wakes_sender_that_waits_for_space() {
    let (server, mut log) = server(|builder| builder.send_buffer_bytes(1000));
    let (_client, line) = client(&server, &mut log, "ada").await;
    line.unplug();
    log.next().await;
    let ada = server.connection("ada").unwrap();
    ada.send(&Frame::new("big", &"x".repeat(5000)).unwrap()).unwrap();
    // The broadcast evicts one large frame for a small one: the number of frames stays the same, and there is space for another.
    let broadcast = async { ada.broadcast(&number(1)) };
    let small = number(2);
    let (waited, queued) = tokio::join!(biased; ada.send_wait(&small), broadcast);
    assert_eq!((waited, queued), (Ok(()), Ok(1)));
}

/// No ping makes the session's task check the time.
#[tokio::test(start_paused = true)]
async fn write_timeout_covers_broadcasts_without_pings() {
    for plain in [false, true] {
        let (server, mut log) =
            server(|builder| builder.write_timeout(secs(3)).heartbeat(secs(100), secs(200)));
        let line = Line::to(&server);
        let builder = line.client("/?id=ada").heartbeat(secs(100), secs(200));
        let builder = if plain { builder.plain() } else { builder };
        let _ada = builder.connect().await.unwrap();
        log.connected().await;
        line.set_dials(Dials::Refused);
        line.stall(Direction::ToClient);
        tokio::time::sleep(secs(1)).await;
        let since = Instant::now();
        // More than the line can hold.
        server.broadcast("room", &Frame::new("big", &"x".repeat(100_000)).unwrap()).unwrap();
        assert_eq!(log.next().await, ("ada", What::Dropped(DropReason::WriteTimeout)));
        assert_eq!(since.elapsed(), secs(3));
    }
}

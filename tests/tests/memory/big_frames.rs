//! Frames of all sizes are sent at network speed: no sender waits for the delayed acknowledgement, which takes a second.
//!
//! The in-memory network takes no time, so any passing time is a timer that some task waited for.

use rejoin_client::{DeliveryError, Event, Frame, SendError};
use rejoin_server::{Builder, Overflow};
use rejoin_tests::harness::{Heard, What, next, next_event, number};
use rejoin_tests::network::Line;
use tokio::time::Instant;

use crate::{client, echo_server, millis, raw, secs, server};

const ALL: usize = 8 << 20;

/// A frame whose message has about this many bytes.
fn frame_of(size: usize) -> Frame {
    Frame::new("big", &"x".repeat(size - 40)).unwrap()
}

fn roomy(builder: Builder) -> Builder {
    builder.max_message_size(1 << 20)
}

#[tokio::test(start_paused = true)]
async fn server_waiting_for_space_needs_no_timer() {
    for size in [1 << 10, 15 << 10, 17 << 10, 20 << 10, 48 << 10, 300 << 10, 900 << 10] {
        let (server, mut log) = server(roomy);
        let (mut ada, _) = client(&server, &mut log, "ada").await;
        let (sender, frame) = (server.connection("ada").unwrap(), frame_of(size));
        let since = Instant::now();
        let frames = ALL / size;
        let sending = async {
            for _ in 0..frames {
                sender.send_wait(&frame).await.unwrap();
            }
        };
        let receiving = async {
            for _ in 0..frames {
                next_event(&mut ada).await;
            }
        };
        tokio::join!(sending, receiving);
        assert!(since.elapsed() < millis(10), "{size}: {:?}", since.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn client_waiting_for_space_needs_no_timer() {
    for size in [1 << 10, 15 << 10, 17 << 10, 20 << 10, 48 << 10, 300 << 10, 900 << 10] {
        let (server, mut log) = server(roomy);
        let (ada, _) = client(&server, &mut log, "ada").await;
        let frame = frame_of(size);
        let since = Instant::now();
        for _ in 0..ALL / size {
            ada.send_wait(&frame).await.unwrap();
        }
        ada.send_acked(&number(0)).await.unwrap();
        assert!(since.elapsed() < millis(10), "{size}: {:?}", since.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn small_frame_delays_large_one_by_one_roundtrip() {
    let (server, mut log) = server(roomy);
    let (ada, _) = client(&server, &mut log, "ada").await;
    let since = Instant::now();
    for _ in 0..8 {
        ada.send_wait(&frame_of(100)).await.unwrap();
        ada.send_wait(&frame_of(1 << 20)).await.unwrap();
    }
    assert!(since.elapsed() < millis(10), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn healthy_client_keeps_up_with_steady_stream() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, _) = client(&server, &mut log, "ada").await;
    let frame = frame_of(20_000);
    for _ in 0..240 {
        server.send("ada", &frame).unwrap();
        next_event(&mut ada).await;
        tokio::time::sleep(millis(1000 / 60)).await;
    }
    for _ in 0..240 {
        ada.send(&frame).unwrap();
        log.next().await;
        tokio::time::sleep(millis(1000 / 60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn client_with_small_buffer_needs_no_timer() {
    let server = echo_server();
    for (frames, bytes) in [(8, 1 << 20), (1, 1 << 20), (256, 2000), (256, 1)] {
        let client = Line::to(&server).client("/").send_buffer(frames).send_buffer_bytes(bytes);
        let client = client.connect().await.unwrap();
        let since = Instant::now();
        for n in 0..40 {
            client.send_wait(&number(n)).await.unwrap();
        }
        assert!(since.elapsed() < millis(10), "{frames}, {bytes}: {:?}", since.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn acknowledged_send_needs_no_timer() {
    let (server, mut log) = server(|builder| builder);
    let (ada, _) = client(&server, &mut log, "ada").await;
    let connection = server.connection("ada").unwrap();
    let since = Instant::now();
    for n in 0..10 {
        ada.send_acked(&number(n)).await.unwrap();
        connection.send_acked(&number(n)).await.unwrap();
    }
    // A close does not interrupt it, either.
    let frame = number(10);
    let (receipt, _) = tokio::join!(connection.send_acked(&frame), async {
        connection.close();
    });
    assert_eq!(receipt, Ok(()));
    assert!(since.elapsed() < millis(10), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn frame_too_big_for_server_is_refused() {
    let (server, mut log) = server(|builder| builder.max_message_size(1000));
    let (ada, _) = client(&server, &mut log, "ada").await;
    ada.send(&number(1)).unwrap();
    let big = frame_of(2000);
    let Err(SendError::TooBig { size, limit: 1000 }) = ada.send(&big) else { panic!("the frame is too big") };
    assert!(size > 1900, "{size}");
    assert_eq!(ada.send_wait(&big).await, Err(SendError::TooBig { size, limit: 1000 }));
    let refused = DeliveryError::NotSent(SendError::TooBig { size, limit: 1000 });
    assert_eq!(ada.send_acked(&big).await, Err(refused));
    ada.send_acked(&number(2)).await.unwrap();
    assert_eq!(
        [log.next().await, log.next().await],
        [("ada", What::Message(number(1))), ("ada", What::Message(number(2)))]
    );
}

#[tokio::test(start_paused = true)]
async fn frame_too_big_for_client_is_not_sent() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let mut ada = line.client("/?id=ada").max_message_size(1000).connect().await.unwrap();
    log.connected().await;
    let (mut ben, _) = client(&server, &mut log, "ben").await;
    let big = frame_of(2000);
    let sent = server.send("ada", &big);
    assert!(matches!(sent, Err(SendError::TooBig { limit: 1000, .. })), "{sent:?}");
    server.broadcast("room", &number(1)).unwrap();
    server.broadcast("room", &big).unwrap();
    server.broadcast_with("room", &big, Overflow::Reject).unwrap();
    server.broadcast("room", &number(2)).unwrap();
    let told = [next(&mut ada).await, next(&mut ada).await, next(&mut ada).await];
    assert_eq!(told, [Heard::Message(number(1)), Heard::gap(2, 3), Heard::Message(number(2))]);
    for _ in 0..4 {
        assert!(matches!(next_event(&mut ben).await, Event::Message(_)));
    }
    // A hibernated session still knows the limit.
    line.unplug();
    tokio::time::sleep(secs(1)).await;
    assert!(matches!(server.send("ada", &big), Err(SendError::TooBig { .. })));
}

#[tokio::test(start_paused = true)]
async fn resuming_client_may_raise_its_message_limit() {
    let (server, mut log) = server(|builder| builder);
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json, rejoin.max.100").await.unwrap();
    let open = raw::read(&mut socket).await;
    log.connected().await;
    assert!(matches!(server.send("ada", &frame_of(200)), Err(SendError::TooBig { limit: 100, .. })));
    let offer = format!("rejoin.v1.json, rejoin.max.1000, rejoin.resume.{}.0", raw::token(&open));
    let _socket = raw::dial(&line, "ada", &offer).await.unwrap();
    assert_eq!(server.send("ada", &frame_of(200)), Ok(()));
    assert!(matches!(server.send("ada", &frame_of(2000)), Err(SendError::TooBig { limit: 1000, .. })));
}

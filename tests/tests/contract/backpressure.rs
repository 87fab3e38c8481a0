//! A slow peer only hurts itself.

use rejoin_client::{Connection, Frame, SendError};
use rejoin_tests::harness::{Heard, What, disconnected, next, number, numbers, secs};

use crate::setting::{Mode, Setting};
use crate::stage::Stage;

scenario!(send_to_full_buffer_queues_nothing);
async fn send_to_full_buffer_queues_nothing(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.send_buffer(4));
    let (mut client, line) = stage.connect_on_line("ada").await;
    stage.take_away("ada", &line).await;
    for n in 1..=4 {
        stage.server.send("ada", &number(n)).unwrap();
    }
    assert_eq!(stage.server.send("ada", &number(99)), Err(SendError::Full));
    line.plug_in();
    stage.server.connection("ada").unwrap().send_wait(&number(5)).await.unwrap();
    assert_eq!(numbers(&mut client, 5).await, [1, 2, 3, 4, 5], "the refused frame was not queued");
    assert_eq!(stage.server.stats().dropped, 0, "and never accepted");
    stage.end().await;
}

scenario!(peer_that_never_acknowledges_fills_the_buffer, Session);
async fn peer_that_never_acknowledges_fills_the_buffer(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.send_buffer(4));
    let (mut client, line) = stage.connect_on_line("ada").await;
    line.half_open();
    for n in 1..=4 {
        stage.server.send("ada", &number(n)).unwrap();
    }
    assert_eq!(stage.server.send("ada", &number(99)), Err(SendError::Full));
    line.cut();
    stage.server.connection("ada").unwrap().send_wait(&number(5)).await.unwrap();
    assert_eq!(numbers(&mut client, 5).await, [1, 2, 3, 4, 5]);
    assert_eq!(stage.server.stats().dropped, 0);
    stage.end().await;
}

/// A frame that fills a socket's buffers fast.
fn big(n: u64) -> Frame {
    Frame::new("big", &(n, "x".repeat(60_000))).unwrap()
}

/// The number of a [`big`] frame.
fn number_of(text: &str) -> u64 {
    let rest = text.strip_prefix(r#"{"event":"big","payload":["#).expect("a big frame");
    rest.split_once(',').unwrap().0.parse().unwrap()
}

scenario!(peer_that_never_reads_fills_the_buffer, Plain);
async fn peer_that_never_reads_fills_the_buffer(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.send_buffer(4).write_timeout(secs(30)));
    let mut bare = stage.bare("ada").await;
    let mut sent = 0;
    while stage.server.send("ada", &big(sent)) != Err(SendError::Full) {
        sent += 1;
        tokio::task::yield_now().await;
    }
    for n in 0..sent {
        assert_eq!(number_of(&bare.text().await), n);
    }
    bare.close().await;
    stage.end().await;
}

/// Broadcasts to the room of two; one of them reads and acknowledges each frame.
async fn broadcast_and_hear(stage: &mut Stage, ben: &mut Connection, n: u64) {
    assert_eq!(stage.server.broadcast("room", &number(n)), Ok(2));
    assert_eq!(numbers(ben, 1).await, [n]);
    // Once his message arrives, his acknowledgements have arrived, too.
    ben.send(&number(n)).unwrap();
    assert_eq!(stage.log.next().await, ("ben", What::Message(number(n))));
}

scenario!(broadcast_drops_oldest_frame_of_absent_member_only);
async fn broadcast_drops_oldest_frame_of_absent_member_only(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.send_buffer(8));
    let (mut slow, line) = stage.connect_on_line("slow").await;
    let mut ben = stage.connect("ben").await;
    stage.take_away("slow", &line).await;
    for n in 1..=20 {
        broadcast_and_hear(&mut stage, &mut ben, n).await;
    }
    assert_eq!(stage.server.stats().dropped, 12);
    assert_eq!(stage.server.send("slow", &number(99)), Err(SendError::Full));
    line.plug_in();
    disconnected(&mut slow).await;
    assert_eq!(next(&mut slow).await, stage.back());
    if stage.mode == Mode::Session {
        assert_eq!(next(&mut slow).await, Heard::gap(1, 12));
    }
    assert_eq!(numbers(&mut slow, 8).await, Vec::from_iter(13..=20));
    assert_eq!(stage.log.next().await, ("slow", What::Restored));
    // The gap has been counted: a second drop repeats neither it nor any frame.
    stage.take_away("slow", &line).await;
    broadcast_and_hear(&mut stage, &mut ben, 21).await;
    line.plug_in();
    assert_eq!(numbers(&mut slow, 1).await, [21]);
    stage.end().await;
}

scenario!(broadcast_drops_oldest_frame_of_silent_member_only, Session);
async fn broadcast_drops_oldest_frame_of_silent_member_only(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.send_buffer(8));
    let (mut slow, line) = stage.connect_on_line("slow").await;
    let mut ben = stage.connect("ben").await;
    line.half_open();
    for n in 1..=20 {
        broadcast_and_hear(&mut stage, &mut ben, n).await;
    }
    line.cut();
    disconnected(&mut slow).await;
    assert_eq!(next(&mut slow).await, Heard::Resumed);
    assert_eq!(next(&mut slow).await, Heard::gap(1, 12));
    assert_eq!(numbers(&mut slow, 8).await, Vec::from_iter(13..=20));
    assert_eq!(stage.server.stats().dropped, 12);
    stage.end().await;
}

scenario!(broadcast_drops_unwritten_frames_of_unread_member_only, Plain);
async fn broadcast_drops_unwritten_frames_of_unread_member_only(setting: Setting) {
    let mut stage = Stage::set(setting, |builder| builder.send_buffer(8).write_timeout(secs(30)));
    let mut slow = stage.bare("slow").await;
    let mut quick = stage.bare("quick").await;
    let mut sent = 0;
    while stage.server.stats().dropped < 20 {
        sent += 1;
        assert_eq!(stage.server.broadcast("room", &big(sent)), Ok(2));
        assert_eq!(number_of(&quick.text().await), sent, "no other member has lost a frame");
    }
    let mut heard = Vec::new();
    while heard.last() != Some(&sent) {
        heard.push(number_of(&slow.text().await));
    }
    assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
    let newest = Vec::from_iter(sent - 7..=sent);
    assert!(heard.ends_with(&newest), "the newest frames were retained: {heard:?}");
    assert_eq!(sent - heard.len() as u64, stage.server.stats().dropped, "missing frames are counted");
    slow.close().await;
    quick.close().await;
    stage.end().await;
}

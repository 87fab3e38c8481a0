//! Limits in bytes: kept frames, acknowledged frames, accepted messages (PROTOCOL.md §3, §4).

use bytes::Bytes;

use super::opening::open_of;
use super::pair::{Pair, identity};
use crate::session::span_queue::SpanQueue;
use crate::session::*;
use crate::{MessageKind, ws};
use Side::{Client, Server};

#[test]
fn a_quarter_of_the_bytes_triggers_an_acknowledgement() {
    for side in [Server, Client] {
        // Both sides use the server's limit.
        let mut pair = Pair::new(|c| c.buffer_bytes = 40, |_| ());
        pair.connect();
        pair.run();
        pair.send(side, "123456789");
        pair.run();
        assert_eq!(pair.session(side).counts().unacknowledged, 1);
        pair.send(side, "0");
        pair.run();
        assert_eq!(pair.session(side).counts().unacknowledged, 0);
    }
}

#[test]
fn a_client_keeps_at_most_the_announced_bytes() {
    let mut pair = Pair::new(|c| c.buffer_bytes = 40, |_| ());
    pair.connect();
    pair.run();
    pair.send(Client, &"a".repeat(9));
    assert_eq!(pair.try_send(Client, &"b".repeat(32), Overflow::Reject), Err(Refused::Full));
    pair.send(Client, &"b".repeat(31));
}

#[test]
fn an_empty_buffer_accepts_an_oversized_message() {
    for side in [Server, Client] {
        let mut pair = Pair::new(|c| c.buffer_bytes = 40, |_| ());
        pair.connect();
        pair.run();
        pair.send(side, &"a".repeat(100));
        assert_eq!(pair.try_send(side, "b", Overflow::Reject), Err(Refused::Full));
        pair.run();
        pair.send(side, &"c".repeat(100));
    }
}

#[test]
fn limits_of_zero_read_as_one() {
    let mut pair = Pair::new(|_| (), |_| ());
    pair.connect();
    pair.write(Server);
    let mut open = open_of(identity(0).token);
    (open.buffer, open.buffer_bytes) = (0, 0);
    pair.client.handle_open(open, pair.now).unwrap();
    pair.send(Client, "as long as it is alone");
    assert_eq!(pair.try_send(Client, "", Overflow::Reject), Err(Refused::Full));
}

/// A message as the transport takes it.
fn message(size: usize) -> Bytes {
    ws::encode_message(MessageKind::Binary, &vec![b'x'; size])
}

/// A connected pair in which both sides accept messages of at most `max` bytes.
fn pair_of(max: usize) -> Pair {
    let mut pair = Pair::new(|c| c.max_message = max, |_| ());
    pair.connect();
    pair.run();
    pair.server().set_peer_max(max as u64);
    pair
}

#[test]
fn messages_beyond_the_peers_limit_get_no_number() {
    for (side, max) in [(Server, 125), (Client, 125), (Server, 126), (Client, 65_535), (Client, 65_536)] {
        let mut pair = pair_of(max);
        let session = pair.session(side);
        let refused = session.send(message(max + 1), Overflow::DropOldest);
        assert_eq!(refused, Err(Refused::TooBig { size: max + 1, limit: max }), "{side:?}");
        assert_eq!(session.counts().accepted, 0);
        assert_eq!(session.send(message(max), Overflow::Reject), Ok(1));
    }
}

/// Neighbours in one segment, as one span.
fn joined(messages: &[Span]) -> Span {
    let mut spans = SpanQueue::default();
    (0..).zip(messages).for_each(|(number, message)| spans.append(message, 0, number));
    spans.front().unwrap().clone()
}

#[test]
fn of_a_broadcast_it_becomes_a_gap() {
    let mut pair = pair_of(10);
    let mut writer = SegmentWriter::default();
    let frames = [10, 11, 10].map(|size| writer.push(message(size)));
    let sent = frames.each_ref().map(|frame| pair.server().send_span(frame, Overflow::Reject));
    assert_eq!(sent, [Ok(1), Err(Refused::Dropped), Ok(3)]);
    assert_eq!(pair.server().counts().dropped, 1);
    let span = joined(&frames[1..]);
    assert_eq!(span.len(), 2);
    assert!(!pair.server().offer_span(&span, 0), "one of them is too big");
}

#[test]
fn of_a_history_it_becomes_a_gap() {
    let mut pair = pair_of(10);
    let mut writer = SegmentWriter::default();
    let mut history = [10, 11, 10].map(|size| Some(writer.push(message(size))));
    assert_eq!(pair.server().send_history(&mut history), 3);
    assert_eq!(
        (pair.server().counts().dropped, pair.server().occupied()),
        (1, 0),
        "the history has its own places"
    );
    assert_eq!(history.map(|message| message.is_some()), [true, false, true]);
}

#[test]
fn hibernation_keeps_the_peers_message_limit() {
    let mut pair = pair_of(10);
    pair.skip_events();
    pair.cut();
    pair.skip_events();
    assert!(pair.server().can_hibernate());
    let refused = pair.server().send(message(11), Overflow::Reject);
    assert_eq!(refused, Err(Refused::TooBig { size: 11, limit: 10 }));
    assert_eq!(pair.server().send(message(10), Overflow::Reject), Ok(1));
}

#[test]
fn a_run_of_broadcasts_keeps_within_the_bytes() {
    let mut pair = Pair::new(|c| c.buffer_bytes = 10_000, |_| ());
    pair.connect();
    pair.run();
    let mut writer = SegmentWriter::default();
    // Keep earlier messages, so that the following ones are neighbours in one segment.
    let kept: Vec<_> = (0..7).map(|n| writer.push(Bytes::from(n.to_string()))).collect();
    let frames: Vec<_> = (0..5).map(|_| writer.push(message(3000))).collect();
    let span = joined(&frames[..4]);
    assert_eq!(span.len(), 4);
    assert!(!pair.server().offer_span(&span, 0), "four are too many bytes");
    assert!(pair.server().offer_span(&span, 1), "three are not");
    assert!(!pair.server().offer_span(&span, 3), "the buffer has no capacity for one more");
    assert_eq!(pair.server().send_span(&frames[4], Overflow::DropOldest), Ok(4));
    assert_eq!(pair.server().occupied(), 3);
    assert!(pair.server().retained_bytes() <= 10_000);
    drop(kept);
}

//= PROTOCOL.md#R4.10: MUST read a `buffer` or `buffer_bytes` of 0 as 1
#[test]
fn limits_of_zero_are_read_as_one() {
    let mut pair = Pair::new(|_| (), |_| ());
    pair.connect();
    let mut open = open_of(identity(0).token);
    (open.buffer, open.buffer_bytes) = (0, 0);
    pair.forge(Server, super::control(crate::Control::Open(Box::new(open))));
    let now = pair.now;
    let announced = pair.session(Client).snapshot(now).announced.unwrap();
    assert_eq!((announced.buffer_frames, announced.buffer_bytes), (1, 1));
}

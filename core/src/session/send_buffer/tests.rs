//! Numbering, eviction, acknowledgement and replay.

use super::*;
use crate::SegmentWriter;

fn send_buffer(mode: Mode, frames: u64) -> SendBuffer {
    let mut send_buffer = SendBuffer::new(mode);
    for n in 1..=frames {
        assert_eq!(send_buffer.push(Bytes::from(n.to_string())), n);
    }
    send_buffer
}

const ALL: u32 = u32::MAX;

fn data(n: u64) -> Option<Transmit> {
    Some(Transmit::Data(Bytes::from(n.to_string())))
}

fn gap(from: u64, to: u64) -> Option<Transmit> {
    Some(Transmit::Control(Control::Gap(Gap::new(from, to))))
}

#[test]
fn sends_in_order_and_keeps_until_acknowledged() {
    let mut send_buffer = send_buffer(Mode::Session, 3);
    assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [data(1), data(2)]);
    assert_eq!(send_buffer.acknowledge(1), Ok(true));
    assert_eq!(send_buffer.next(ALL), data(3));
    assert_eq!(send_buffer.next(ALL), None);
    assert_eq!((send_buffer.occupied(), send_buffer.bytes(), send_buffer.unacknowledged()), (2, 2, 2));
}

/// A buffer of frames that other sessions send, too, in segments of 1, 2, 4 and 8; the frames in `own` are not shared.
fn shared(mode: Mode, frames: u64, own: &[u64]) -> SendBuffer {
    let mut writer = SegmentWriter::default();
    let mut send_buffer = SendBuffer::new(mode);
    for n in 1..=frames {
        let frame = writer.push(Bytes::from(n.to_string()));
        let number = if own.contains(&n) {
            send_buffer.push(frame.message(0).clone())
        } else {
            send_buffer.append(&frame, 0, frame.bytes(0))
        };
        assert_eq!(number, n);
    }
    send_buffer
}

/// Sends everything that is pending, in batches of at most `limit` frames.
fn send_all(send_buffer: &mut SendBuffer, limit: u32) -> Vec<String> {
    let next = std::iter::from_fn(|| send_buffer.next(limit));
    next.map(|next| match next {
        Transmit::Data(message) => String::from_utf8_lossy(&message).into_owned(),
        Transmit::Batch(batch) => String::from_utf8_lossy(&batch.bytes).into_owned() + "/",
        Transmit::Control(Control::Gap(gap)) => format!("gap {}-{}", gap.from, gap.to),
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn consecutive_shared_frames_form_one_batch() {
    let mut send_buffer = shared(Mode::Session, 15, &[]);
    assert_eq!(
        (send_buffer.kept.clone().into_iter().count(), send_buffer.occupied(), send_buffer.bytes()),
        (4, 15, 9 + 6 * 2)
    );
    assert_eq!(send_all(&mut send_buffer, ALL), ["1", "23/", "4567/", "89101112131415/"]);
    send_buffer.acknowledge(5).unwrap();
    send_buffer.rewind(5);
    assert_eq!((send_buffer.occupied(), send_buffer.bytes()), (10, 4 + 6 * 2));
    assert_eq!(send_all(&mut send_buffer, 3), ["67/", "8910/", "111213/", "1415/"]);
    send_buffer.acknowledge(15).unwrap();
    assert_eq!((send_buffer.occupied(), send_buffer.bytes()), (0, 0));
}

#[test]
fn a_frame_or_gap_between_them_splits_batches() {
    let mut send_buffer = shared(Mode::Session, 9, &[5]);
    send_buffer.push_missing();
    assert_eq!(send_all(&mut send_buffer, ALL), ["1", "23/", "4", "5", "67/", "89/", "gap 10-10"]);

    let mut writer = SegmentWriter::default();
    let neighbours: Vec<_> = (1..=7).map(|n| writer.push(Bytes::from(n.to_string()))).collect();
    let mut send_buffer = SendBuffer::new(Mode::Session);
    send_buffer.append(&neighbours[4], 0, 1);
    send_buffer.push_missing();
    send_buffer.append(&neighbours[5], 0, 1);
    assert_eq!(
        send_all(&mut send_buffer, ALL),
        ["5", "gap 2-2", "6"],
        "neighbours in the segment, but not in the session"
    );
}

#[test]
fn eviction_takes_only_the_oldest_of_a_span() {
    let mut send_buffer = shared(Mode::Session, 7, &[]);
    for _ in 0..4 {
        assert!(send_buffer.evict_oldest());
    }
    assert_eq!((send_buffer.occupied(), send_buffer.bytes(), send_buffer.dropped()), (3, 3, 4));
    assert_eq!(send_all(&mut send_buffer, 2), ["gap 1-4", "56/", "7"]);
    send_buffer.evict_oldest();
    send_buffer.rewind(4);
    assert_eq!(send_all(&mut send_buffer, ALL), ["gap 5-5", "67/"]);
}

#[test]
fn plain_mode_evicts_unsent_frame_inside_a_span() {
    let mut send_buffer = shared(Mode::Plain, 7, &[]);
    for _ in 0..3 {
        send_buffer.next(2);
    }
    assert_eq!((send_buffer.cursor, send_buffer.occupied()), (5, 2));
    assert!(send_buffer.evict_oldest());
    send_buffer.written(4);
    assert_eq!((send_buffer.occupied(), send_buffer.bytes()), (1, 2), "the fifth is being written");
    send_buffer.detach();
    assert_eq!(send_all(&mut send_buffer, ALL), ["5", "7"]);
    send_buffer.written(2);
    assert_eq!((send_buffer.occupied(), send_buffer.bytes(), send_buffer.kept.is_empty()), (0, 0, true));
}

#[test]
fn frame_beyond_buffer_waits_but_gap_does_not() {
    let mut send_buffer = send_buffer(Mode::Session, 3);
    assert!(!send_buffer.must_wait_for_ack(2));
    assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [data(1), data(2)]);
    assert!(send_buffer.must_wait_for_ack(2) && !send_buffer.must_wait_for_ack(3));
    send_buffer.acknowledge(1).unwrap();
    assert!(!send_buffer.must_wait_for_ack(2));
    assert_eq!(send_buffer.next(ALL), data(3));
    send_buffer.push_missing();
    assert!(!send_buffer.must_wait_for_ack(2));
}

#[test]
fn replays_frames_after_the_count_of_the_peer() {
    let mut send_buffer = send_buffer(Mode::Session, 4);
    while send_buffer.next(ALL).is_some() {}
    send_buffer.acknowledge(2).unwrap();
    send_buffer.rewind(2);
    assert_eq!(
        [send_buffer.next(ALL), send_buffer.next(ALL), send_buffer.next(ALL)],
        [data(3), data(4), None]
    );
}

#[test]
fn frames_evicted_before_sending_become_a_gap() {
    let mut send_buffer = send_buffer(Mode::Session, 5);
    assert_eq!(send_buffer.next(ALL), data(1));
    for _ in 0..3 {
        assert!(send_buffer.evict_oldest());
    }
    assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [gap(2, 3), data(4)]);
    assert_eq!(send_buffer.dropped(), 2, "the first was sent, and no resume has asked for it");
}

#[test]
fn frames_evicted_in_flight_become_gap_on_resume() {
    let mut send_buffer = send_buffer(Mode::Session, 3);
    while send_buffer.next(ALL).is_some() {}
    send_buffer.evict_oldest();
    send_buffer.evict_oldest();
    assert_eq!(send_buffer.next(ALL), None);
    send_buffer.rewind(1);
    assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [gap(2, 2), data(3)]);
    assert_eq!(send_buffer.dropped(), 1);
}

#[test]
fn missing_frames_at_the_end_become_a_gap() {
    let mut send_buffer = send_buffer(Mode::Session, 1);
    send_buffer.push_missing();
    send_buffer.push_missing();
    assert_eq!(
        [send_buffer.next(ALL), send_buffer.next(ALL), send_buffer.next(ALL)],
        [data(1), gap(2, 3), None]
    );
    assert_eq!(send_buffer.acknowledge(3), Ok(true));
}

#[test]
fn refuses_impossible_counts() {
    let mut send_buffer = send_buffer(Mode::Session, 3);
    send_buffer.next(ALL);
    send_buffer.next(ALL);
    assert_eq!(send_buffer.acknowledge(3), Err(BadAck::Beyond), "accepted, but never sent");
    assert_eq!(send_buffer.acknowledge(2), Ok(true));
    assert_eq!(send_buffer.acknowledge(2), Ok(false));
    assert_eq!(send_buffer.acknowledge(1), Err(BadAck::Backwards));
}

#[test]
fn count_from_older_socket_stays_valid_after_rewind() {
    let mut send_buffer = send_buffer(Mode::Session, 3);
    while send_buffer.next(ALL).is_some() {}
    send_buffer.rewind(1);
    assert_eq!(send_buffer.check_ack(3), Ok(()));
}

#[test]
fn plain_mode_forgets_written_and_repeats_unwritten_frames() {
    let mut send_buffer = send_buffer(Mode::Plain, 3);
    assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [data(1), data(2)]);
    send_buffer.written(1);
    send_buffer.rewind(0);
    assert_eq!(
        [send_buffer.next(ALL), send_buffer.next(ALL), send_buffer.next(ALL)],
        [data(2), data(3), None]
    );
}

#[test]
fn plain_mode_evicts_the_oldest_unsent_frame() {
    let mut send_buffer = send_buffer(Mode::Plain, 3);
    send_buffer.next(ALL);
    assert_eq!(send_buffer.occupied(), 2);
    assert!(send_buffer.evict_oldest());
    assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [data(3), None]);
    send_buffer.written(2);
    assert!(!send_buffer.evict_oldest());
    assert_eq!(send_buffer.bytes(), 0);
}

fn outcomes(send_buffer: &mut SendBuffer) -> Vec<(u64, Delivery)> {
    std::iter::from_fn(|| send_buffer.poll_delivery()).collect()
}

fn watched(frames: u64) -> SendBuffer {
    let mut send_buffer = SendBuffer::new(Mode::Session);
    for n in 1..=frames {
        send_buffer.push(Bytes::from(n.to_string()));
        send_buffer.watch_last();
    }
    send_buffer
}

#[test]
fn acknowledgement_reports_delivery() {
    let mut send_buffer = watched(3);
    while send_buffer.next(ALL).is_some() {}
    assert_eq!(outcomes(&mut send_buffer), []);
    send_buffer.acknowledge(2).unwrap();
    assert_eq!(outcomes(&mut send_buffer), [(1, Delivery::Delivered), (2, Delivery::Delivered)]);
    send_buffer.end_deliveries();
    assert_eq!(outcomes(&mut send_buffer), [(3, Delivery::Ended)]);
    assert!(send_buffer.deliveries.is_none());
}

#[test]
fn frame_evicted_before_sending_is_reported_as_dropped() {
    let mut send_buffer = watched(3);
    send_buffer.evict_oldest();
    assert_eq!(outcomes(&mut send_buffer), [(1, Delivery::Dropped)]);
    while send_buffer.next(ALL).is_some() {}
    send_buffer.acknowledge(3).unwrap();
    assert_eq!(outcomes(&mut send_buffer), [(2, Delivery::Delivered), (3, Delivery::Delivered)]);
}

#[test]
fn frame_evicted_in_flight_may_still_be_acknowledged() {
    let mut send_buffer = watched(3);
    while send_buffer.next(ALL).is_some() {}
    send_buffer.evict_oldest();
    send_buffer.evict_oldest();
    assert_eq!(outcomes(&mut send_buffer), []);
    send_buffer.acknowledge(1).unwrap();
    assert_eq!(outcomes(&mut send_buffer), [(1, Delivery::Delivered)]);
    send_buffer.rewind(1);
    assert_eq!(outcomes(&mut send_buffer), [(2, Delivery::Dropped)]);
    while send_buffer.next(ALL).is_some() {}
    send_buffer.acknowledge(3).unwrap();
    assert_eq!(outcomes(&mut send_buffer), [(3, Delivery::Delivered)]);
}

#[test]
fn resume_reports_evicted_frames_with_empty_buffer() {
    let mut send_buffer = watched(2);
    while send_buffer.next(ALL).is_some() {}
    while send_buffer.evict_oldest() {}
    assert_eq!(outcomes(&mut send_buffer), []);
    send_buffer.rewind(0);
    assert_eq!(outcomes(&mut send_buffer), [(1, Delivery::Dropped), (2, Delivery::Dropped)]);
}

#[test]
fn fresh_session_ends_deliveries_of_the_old_one() {
    let mut send_buffer = watched(2);
    send_buffer.take_all();
    send_buffer.push(Bytes::from_static(b"1"));
    send_buffer.watch_last();
    assert_eq!(outcomes(&mut send_buffer), [(1, Delivery::Ended), (2, Delivery::Ended)]);
    send_buffer.next(ALL);
    send_buffer.acknowledge(1).unwrap();
    assert_eq!(outcomes(&mut send_buffer), [(1, Delivery::Delivered)]);
}

#[test]
fn counts_each_dropped_frame_once() {
    let mut send_buffer = send_buffer(Mode::Session, 3);
    while send_buffer.next(ALL).is_some() {}
    send_buffer.evict_oldest();
    send_buffer.acknowledge(3).unwrap();
    for _ in 4..=6 {
        send_buffer.push(Bytes::from_static(b"x"));
    }
    send_buffer.evict_oldest();
    send_buffer.evict_oldest();
    while send_buffer.next(ALL).is_some() {}
    send_buffer.evict_oldest();
    send_buffer.rewind(3);
    assert_eq!(send_buffer.dropped(), 3, "4 and 5 before they were sent, 6 after; 1 has arrived");
}

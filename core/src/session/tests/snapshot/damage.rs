//! Damaged snapshots: an error or a session that works, and never a panic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use serde_json::{Value, json};

use super::super::random::check;
use super::super::{control, data};
use super::twins::{Twins, call, config};
use crate::session::snapshot::{SessionSnapshot, SnapshotError};
use crate::session::*;
use crate::{Control, Gap};

/// The value at a place in a tree, counted from its root.
fn nth<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(values) => values.iter_mut().find_map(|value| nth(value, left)),
        Value::Object(fields) => fields.values_mut().find_map(|value| nth(value, left)),
        _ => None,
    }
}

/// Changes a value somewhere in a snapshot.
fn damage(snapshot: &SessionSnapshot, place: usize, how: usize) -> String {
    let mut tree = serde_json::to_value(snapshot).unwrap();
    let mut left = place;
    if let Some(value) = nth(&mut tree, &mut left) {
        let number = value.as_u64().unwrap_or_default();
        let changed = [
            json!(0),
            json!(1),
            json!(number.wrapping_add(1)),
            json!(number.wrapping_sub(1)),
            json!(u32::MAX),
            json!(1_u64 << 53),
            json!(u64::MAX),
            json!(-1),
            json!(null),
            json!(""),
            json!([]),
            json!({}),
            json!(true),
            json!("backoff"),
        ];
        match (how.checked_sub(changed.len()), &mut *value) {
            (None, value) => *value = changed[how].clone(),
            (Some(0), Value::Array(values)) => _ = values.pop(),
            (Some(1), Value::Array(values)) => values.extend(values.last().cloned()),
            (Some(_), Value::Array(values)) => values.reverse(),
            (Some(at), Value::Object(fields)) => {
                let name = fields.keys().nth(at % fields.len().max(1)).cloned();
                name.and_then(|name| fields.remove(&name));
            }
            (Some(_), value) => *value = Value::Null,
        }
    }
    tree.to_string()
}

/// Attaches a socket, lets both sides send, and ends the session.
fn use_up(mut session: Session, start: Instant) {
    let mut now = start;
    for _ in 0..3 {
        session.handle_timeout(now);
        let epoch = session.reserve();
        let offers = (session.config.side, session.config.mode) == (Side::Server, Mode::Session);
        let received = offers.then_some(session.send_buffer.sent());
        session.attach(epoch, received.filter(|_| session.state() != SessionState::New), now).ok();
        for text in ["1", "2", "3"] {
            session.send(text.into(), Overflow::DropOldest).ok();
        }
        let mut frames = 0;
        for round in 0.. {
            assert!(round < 1000, "there is always more to write");
            let Some(transmit) = session.poll_transmit(epoch, now) else { break };
            frames += usize::from(matches!(transmit, Transmit::Data(_)));
        }
        session.handle_written(epoch, frames, 10, None, now);
        let next = session.counts().received + 1;
        let frames =
            [data("4"), control(Control::Gap(Gap::new(next + 1, next + 2))), control(Control::Ack(next))];
        for frame in frames {
            if let Err(violation) = session.handle_frame(epoch, frame, 1, now) {
                session.handle_violation(epoch, crate::CloseFrame::truncated(1002, violation.to_string()));
            }
        }
        while session.poll_event().is_some() {}
        while session.poll_delivery().is_some() {}
        session.counts();
        now += Duration::from_secs(1);
        session.cut(now);
    }
    session.end(CloseReason::Kicked);
    while session.poll_event().is_some() {}
    if session.config.side == Side::Client {
        session.take_unacknowledged();
    }
    session.counts();
}

#[test]
fn a_damaged_snapshot_never_panics() {
    check(1500, &(config(), vec(call(), 1..50), 0..200usize, 0..40usize), |(config, calls, place, how)| {
        let mut twins = Twins::new(config);
        for call in &calls {
            twins.call(call);
        }
        let Twins { original, now, .. } = twins;
        let text = damage(&original.snapshot(now), place, how);
        let Ok(damaged) = serde_json::from_str::<SessionSnapshot>(&text) else { return };
        let Ok(session) = Session::from_snapshot(damaged.clone(), original.config, now) else { return };
        assert_eq!(session.snapshot(now), damaged, "nothing is corrected silently");
        use_up(session, now);
    });
}

type Change = fn(&mut SessionSnapshot);

/// The error of a session of a server that keeps messages 3 and 4, after a change to its snapshot.
fn error_of(change: impl FnOnce(&mut SessionSnapshot)) -> Option<SnapshotError> {
    error_on(Side::Server, change)
}

fn error_on(side: Side, change: impl FnOnce(&mut SessionSnapshot)) -> Option<SnapshotError> {
    let now = Instant::now();
    let mut pair = super::super::pair::Pair::connected(8);
    for text in ["1", "2", "3", "4"] {
        pair.send(side, text);
    }
    pair.run();
    let session = pair.session(side);
    let mut snapshot = session.snapshot(now);
    snapshot.progress.outgoing.acknowledged = 2;
    snapshot.unacknowledged.kept =
        vec![snapshot::SnapshotRun { first: 3, messages: vec!["3".into(), "4".into()] }];
    change(&mut snapshot);
    Session::from_snapshot(snapshot, Arc::new(SessionConfig::clone(&session.config)), now).err()
}

#[test]
fn numbers_out_of_order_are_refused() {
    assert_eq!(error_of(|_| ()), None);
    let refused: [Change; 14] = [
        |s| s.progress.outgoing.acknowledged = 5,
        |s| s.progress.outgoing.cursor = 1,
        |s| s.progress.outgoing.cursor = 5,
        |s| s.progress.outgoing.sent = 3,
        |s| s.progress.outgoing.accepted = 3,
        |s| s.progress.outgoing.dropped = 5,
        |s| s.progress.outgoing.acknowledged = 3,
        |s| s.unacknowledged.kept[0].first = 4,
        |s| s.unacknowledged.kept[0].first = u64::MAX,
        |s| s.unacknowledged.kept[0].messages.clear(),
        |s| s.progress.sockets.epoch = 2,
        |s| s.progress.received.gaps = 1,
        |s| s.progress.sent.replayed = 5,
        |s| s.progress.received.frames = u64::MAX,
    ];
    for (index, change) in refused.into_iter().enumerate() {
        assert!(matches!(error_of(change), Some(SnapshotError::Damaged(_))), "{index}");
    }
}

#[test]
fn only_one_message_may_exceed_the_bytes() {
    let keeps = |sizes: &[usize]| {
        let (mut pair, now) = (super::super::pair::Pair::connected(8), Instant::now());
        let session = pair.session(Side::Server);
        let mut snapshot = session.snapshot(now);
        snapshot.progress.outgoing.accepted = sizes.len() as u64;
        let messages = sizes.iter().map(|size| vec![b'x'; *size].into()).collect();
        snapshot.unacknowledged.kept = vec![snapshot::SnapshotRun { first: 1, messages }];
        let mut config = SessionConfig::clone(&session.config);
        config.buffer_bytes = 10;
        Session::from_snapshot(snapshot, Arc::new(config), now).err()
    };
    for fits in [&[11][..], &[5, 5], &[1; 8]] {
        assert_eq!(keeps(fits), None, "{fits:?}");
    }
    assert_eq!(keeps(&[5, 6]), Some(SnapshotError::TooBig { frames: 2, bytes: 11 }));
    assert_eq!(keeps(&[1; 9]), Some(SnapshotError::TooBig { frames: 9, bytes: 9 }));
}

#[test]
fn snapshot_errors_name_their_cause() {
    let (found, expected) = ((Side::Server, Mode::Plain), (Side::Client, Mode::Session));
    for (error, words) in [
        (SnapshotError::Mismatch { found, expected }, ["(Server, Plain)", "(Client, Session)"]),
        (SnapshotError::TooBig { frames: 7, bytes: 80 }, ["7 frames", "80 bytes"]),
        (SnapshotError::Damaged("`kept` is not in order"), ["damaged", "`kept` is not in order"]),
    ] {
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let refused: [(Side, Change); 12] = [
        (Side::Server, |s| s.identity = None),
        (Side::Client, |s| s.identity = None),
        (Side::Client, |s| s.announced = None),
        (Side::Client, |s| s.announced.as_mut().unwrap().buffer_frames = 0),
        (Side::Client, |s| s.announced.as_mut().unwrap().buffer_bytes = 0),
        (Side::Server, |s| s.progress.suspended_for = None),
        (Side::Server, |s| s.progress.sockets.epoch = 0),
        (Side::Server, |s| s.retired = true),
        (Side::Server, |s| s.progress.suspended_for = Some(Duration::MAX)),
        (Side::Server, |s| s.events.extend([closed()])),
        (Side::Server, |s| {
            s.ended = Some(CloseReason::Kicked);
            s.events.splice(0..0, [closed()]);
        }),
        (Side::Server, |s| {
            let events = &mut s.events;
            events.push(snapshot::PendingEvent { event: Event::Gap(Gap { from: 3, to: 2 }), size: 0 });
        }),
    ];
    for (index, (side, change)) in refused.into_iter().enumerate() {
        assert!(matches!(error_on(side, change), Some(SnapshotError::Damaged(_))), "{index}");
    }
}

#[test]
fn inconsistent_evictions_and_deliveries_are_refused() {
    // Frame 3 was evicted after it had been sent, and the delivery of 3 and 4 is awaited.
    let evicted_and_awaited = |s: &mut SessionSnapshot| {
        let unacknowledged = &mut s.unacknowledged;
        unacknowledged.kept = vec![snapshot::SnapshotRun { first: 4, messages: vec!["4".into()] }];
        unacknowledged.evicted_in_flight =
            Some(snapshot::EvictedInFlight { range: Gap::new(3, 3), frames: 1 });
        unacknowledged.deliveries =
            Some(snapshot::Deliveries { waiting: [3, 4].into(), ..Default::default() });
    };
    assert_eq!(error_of(evicted_and_awaited), None);
    let range = |s: &mut SessionSnapshot, from, to| {
        s.unacknowledged.evicted_in_flight.as_mut().unwrap().range = Gap { from, to };
    };
    let waiting = |s: &mut SessionSnapshot, numbers: [u64; 2]| {
        s.unacknowledged.deliveries.as_mut().unwrap().waiting = numbers.into();
    };
    let refused: [&dyn Fn(&mut SessionSnapshot); 10] = [
        &|s| range(s, 3, 4),
        &|s| range(s, 1, 2),
        &|s| range(s, 0, 3),
        &|s| range(s, 4, 3),
        &|s| {
            s.unacknowledged.kept.clear();
            range(s, 3, 5);
        },
        &|s| s.unacknowledged.evicted_in_flight.as_mut().unwrap().frames = 0,
        &|s| s.unacknowledged.evicted_in_flight.as_mut().unwrap().frames = 2,
        &|s| waiting(s, [3, 3]),
        &|s| waiting(s, [4, 3]),
        &|s| waiting(s, [4, 5]),
    ];
    for (index, change) in refused.into_iter().enumerate() {
        let error = error_of(|s| {
            evicted_and_awaited(s);
            change(s);
        });
        assert!(matches!(error, Some(SnapshotError::Damaged(_))), "{index}");
    }
}

fn closed() -> snapshot::PendingEvent {
    snapshot::PendingEvent { event: Event::Closed(CloseReason::Kicked), size: 0 }
}

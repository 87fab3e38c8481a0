//! Frames of a room's history: numbered like others, and kept in addition to the send buffer.

use super::pair::Pair;
use crate::session::*;
use Side::{Client, Server};

/// A history of `count` messages: `h0`, `h1`…
fn history(count: usize) -> Vec<Option<Span>> {
    let mut writer = SegmentWriter::default();
    (0..count).map(|n| Some(writer.push(format!("h{n}").into()))).collect()
}

fn texts(prefix: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("{prefix}{n}")).collect()
}

/// Lets everything arrive, while the client takes what it gets.
fn receive(pair: &mut Pair) -> Vec<String> {
    let mut received = Vec::new();
    loop {
        pair.wait(std::time::Duration::from_millis(1100));
        let more = pair.take_events(Client);
        if more.is_empty() {
            return received;
        }
        received.extend(more);
    }
}

#[test]
fn history_leaves_the_whole_buffer_to_later_frames() {
    for buffer in [1, 4, 8] {
        let mut pair = Pair::connected(buffer);
        let frames = buffer as usize;
        assert_eq!(pair.server().send_history(&mut history(frames)), frames);
        for n in 0..frames {
            pair.send(Server, &format!("live{n}"));
        }
        assert_eq!(pair.try_send(Server, "more", Overflow::Reject), Err(Refused::Full));
        let expected = [texts("h", 0..frames), texts("live", 0..frames)].concat();
        assert_eq!(receive(&mut pair), expected);
        // The places of the history go with it.
        for n in 0..frames {
            pair.send(Server, &format!("later{n}"));
        }
        assert_eq!(pair.try_send(Server, "more", Overflow::Reject), Err(Refused::Full));
    }
}

#[test]
fn the_oldest_of_a_long_history_are_left_out() {
    let mut pair = Pair::connected(4);
    assert_eq!(pair.server().send_history(&mut history(10)), 4);
    assert_eq!(pair.server().send_history(&mut history(3)), 0, "the first four are under way");
    assert_eq!(receive(&mut pair), texts("h", 6..10));
    assert_eq!(pair.server().send_history(&mut history(3)), 3);
    assert_eq!(receive(&mut pair), texts("h", 0..3));
}

#[test]
fn bytes_limit_a_history_too() {
    let mut pair = Pair::new(|c| c.buffer_bytes = 9, |_| ());
    pair.connect();
    pair.run();
    pair.skip_events();
    assert_eq!(pair.server().send_history(&mut history(7)), 4, "of two bytes each");
    pair.send(Server, "ninebytes");
    assert_eq!(receive(&mut pair), ["h3", "h4", "h5", "h6", "ninebytes"]);
}

#[test]
fn a_resume_replays_what_is_missing_of_a_history() {
    let mut pair = Pair::connected(4);
    pair.server().send_history(&mut history(4));
    pair.send(Server, "live");
    pair.write(Server);
    pair.deliver(Client, 2);
    pair.cut();
    pair.connect();
    let events = receive(&mut pair);
    let messages: Vec<_> = events.iter().filter(|event| event.len() < 5).collect();
    assert_eq!(messages, ["h0", "h1", "h2", "h3", "live"], "{events:?}");
}

#[test]
fn a_hole_in_a_history_is_a_gap() {
    let mut pair = Pair::connected(4);
    let mut history = history(3);
    history[1] = None;
    assert_eq!(pair.server().send_history(&mut history), 3);
    assert_eq!(receive(&mut pair), ["h0", "gap 2-2", "h2"]);
}

#[test]
fn a_slow_newcomer_loses_the_oldest_frames_first() {
    let mut pair = Pair::connected(3);
    pair.server().send_history(&mut history(3));
    for n in 0..5 {
        pair.try_send(Server, &format!("live{n}"), Overflow::DropOldest).unwrap();
    }
    assert_eq!(receive(&mut pair), ["gap 1-2", "h2", "live0", "live1", "live2", "live3", "live4"]);
}

#[test]
fn a_snapshot_keeps_the_places_of_a_history() {
    let mut pair = Pair::connected(4);
    pair.server().send_history(&mut history(4));
    (0..4).for_each(|_| pair.send(Server, "live"));
    let now = pair.now;
    let server = pair.server().clone();
    let snapshot = server.snapshot(now);
    let text = serde_json::to_string(&snapshot).unwrap();
    let restored =
        Session::from_snapshot(serde_json::from_str(&text).unwrap(), server.config.clone(), now).unwrap();
    assert_eq!(restored.snapshot(now), snapshot);
    assert!(!restored.has_capacity(1) && restored.occupied() == 4);
    let mut forged = snapshot;
    forged.unacknowledged.rewound = Some(snapshot::RewoundFrames::default());
    assert!(Session::from_snapshot(forged.clone(), server.config.clone(), now).is_err());
    forged.unacknowledged.rewound = None;
    assert!(
        Session::from_snapshot(forged, server.config.clone(), now).is_err(),
        "more than the buffer takes"
    );
}

#[test]
fn the_places_of_a_history_end_with_its_last_frame() {
    let mut pair = Pair::connected(4);
    pair.server().send_history(&mut history(2));
    pair.send(Server, "live");
    let now = pair.now;
    let rewound = pair.server().snapshot(now).unacknowledged.rewound;
    assert_eq!(rewound.map(|rewound| (rewound.last, rewound.frames, rewound.bytes)), Some((2, 2, 4)));
    assert_eq!(receive(&mut pair), ["h0", "h1", "live"]);
    let now = pair.now;
    let server = pair.server().clone();
    let snapshot = server.snapshot(now);
    assert_eq!(snapshot.unacknowledged.rewound, None);
    Session::from_snapshot(snapshot, server.config.clone(), now).unwrap();
}

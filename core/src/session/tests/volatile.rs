//! Volatile frames: in scripts a text that begins with `~`, with a letter behind it as its key.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::pair::Pair;
use super::random::check;
use crate::Event;
use crate::session::*;
use Side::{Client, Server};

fn messages(pair: &mut Pair, side: Side) -> Vec<String> {
    pair.take_events(side).into_iter().filter(|text| !["dropped", "restored"].contains(&&**text)).collect()
}

#[test]
fn volatile_frames_keep_their_place_without_a_number() {
    for side in [Server, Client] {
        let peer = if side == Server { Client } else { Server };
        let mut pair = Pair::connected(8);
        for text in ["~1", "s002", "s003", "~4", "s004", "s006", "~7", "~8"] {
            pair.try_send(side, text, Overflow::Reject).unwrap();
        }
        pair.run();
        assert_eq!(messages(&mut pair, peer), ["~1", "s002", "s003", "~4", "s004", "s006", "~7", "~8"]);
        let (sent, received) = (pair.session(side).counts(), pair.session(peer).counts());
        assert_eq!((sent.accepted, sent.sent, received.received), (4, 8, 4));
        assert_eq!((sent.volatile_dropped, received.volatile_dropped), (0, 0));
        assert!(pair.session(peer).poll_event().is_none());
    }
}

#[test]
fn a_later_value_replaces_an_unwritten_one() {
    let mut pair = Pair::connected(8);
    for text in ["~a01", "~b02", "s003", "~a04", "~05", "~a06"] {
        pair.send(Server, text);
    }
    pair.run();
    assert_eq!(messages(&mut pair, Client), ["~b02", "s003", "~05", "~a06"]);
    assert_eq!(pair.server().counts().volatile_dropped, 2);
}

#[test]
fn volatile_frames_are_not_replayed() {
    let mut pair = Pair::connected(8);
    for text in ["s001", "~2", "s003"] {
        pair.send(Server, text);
    }
    pair.write(Server);
    pair.send(Server, "~4");
    pair.cut();
    pair.send(Server, "~5");
    assert_eq!(
        pair.server().counts().volatile_dropped,
        2,
        "the one that waited, and the one without a socket"
    );
    pair.connect();
    pair.send(Server, "~6");
    pair.run();
    assert_eq!(messages(&mut pair, Client), ["s001", "s003", "~6"]);
}

#[test]
fn a_volatile_frame_without_a_socket_is_dropped_once() {
    let mut pair = Pair::connected(8);
    pair.cut();
    assert_eq!(pair.server().send_volatile("~1".into(), None), Ok(false));
    assert_eq!(pair.server().counts().volatile_dropped, 1);
    pair.connect();
    pair.run();
    assert_eq!(messages(&mut pair, Client), [""; 0]);
    assert_eq!(pair.server().counts().volatile_dropped, 1);
}

#[test]
fn a_takeover_drops_waiting_volatile_frames() {
    let mut pair = Pair::connected(8);
    pair.send(Server, "~1");
    pair.lose(Client);
    pair.connect();
    pair.run();
    assert_eq!(messages(&mut pair, Client), [""; 0]);
    assert_eq!(pair.server().counts().volatile_dropped, 1);
}

#[test]
fn a_fresh_session_drops_volatile_frames_of_the_lost_one() {
    let mut pair = Pair::connected(8);
    (0..5).for_each(|_| pair.send(Client, "c"));
    pair.restart();
    pair.connect();
    // Accepted while the client does not know yet that its numbers begin again.
    pair.send(Client, "~1");
    pair.run();
    pair.send(Client, "~2");
    pair.run();
    assert_eq!(messages(&mut pair, Server), ["connected", "~2"]);
}

#[test]
fn a_hibernated_session_counts_dropped_volatile_frames() {
    let mut pair = Pair::connected(8);
    pair.cut();
    pair.skip_events();
    assert!(pair.server().hibernate().is_some());
    pair.send(Server, "~1");
    let hibernated = pair.server().hibernate().expect("a count does not keep it awake");
    assert_eq!(hibernated.wake().counts().volatile_dropped, 1);
}

#[test]
fn waiting_volatile_frames_never_fill_the_buffer() {
    let mut pair = Pair::connected(2);
    (0..10).for_each(|n| pair.send(Server, &format!("~{n}")));
    pair.send(Server, "s001");
    pair.send(Server, "s002");
    assert_eq!(pair.try_send(Server, "s003", Overflow::Reject), Err(Refused::Full));
    pair.send(Server, "~10");
    assert_eq!(pair.server().counts().volatile_dropped, 9, "as many wait as the buffer has frames");
    pair.run();
    assert_eq!(messages(&mut pair, Client), ["~9", "s001", "s002", "~10"]);
}

#[test]
fn waiting_volatile_bytes_are_limited() {
    let mut pair = Pair::new(|c| c.buffer_bytes = 1000, |_| ());
    pair.connect();
    pair.run();
    pair.skip_events();
    for key in 'a'..='z' {
        pair.send(Server, &format!("~{key}{}", "x".repeat(34)));
    }
    assert_eq!(pair.server().counts().volatile_dropped, 16, "each costs 100 bytes");
    pair.run();
    let first = messages(&mut pair, Client).swap_remove(0);
    assert!(first.starts_with("~q"), "the oldest are dropped first: {first}");
}

#[test]
fn a_slow_application_gets_the_newest_volatile_frames() {
    let mut pair = Pair::new(|_| (), |c| c.inbox_frames = 2);
    pair.connect();
    pair.run();
    pair.skip_events();
    for n in 0..200 {
        pair.send(Server, &format!("~{n}"));
        pair.write(Server);
    }
    pair.send(Server, "s001");
    pair.run();
    let received = messages(&mut pair, Client);
    assert_eq!(received.len(), 2 + 64 + 1);
    assert_eq!(
        (&*received[1], &*received[2], &*received[65], &*received[66]),
        ("~1", "~136", "~199", "s001")
    );
    assert_eq!(pair.client.counts().volatile_dropped, 134);
}

#[test]
fn a_plain_peer_gets_volatile_frames_behind_evicted_ones() {
    let now = Instant::now();
    let mut config = SessionConfig::new(Server, Mode::Plain);
    config.buffer_frames = 2;
    let mut session = Session::new(config.into(), now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    session.send("1".into(), Overflow::DropOldest).unwrap();
    session.send_volatile("~2".into(), None).unwrap();
    session.send("3".into(), Overflow::DropOldest).unwrap();
    session.send("4".into(), Overflow::DropOldest).unwrap();
    let mut written = Vec::new();
    while let Some(transmit) = session.poll_transmit(epoch, now) {
        let (message, frames) = match transmit {
            Transmit::Data(message) => (message, 1),
            Transmit::Volatile(message) => (message, 0),
            other => panic!("{other:?}"),
        };
        session.handle_written(epoch, frames, message.len(), None, now);
        written.push(message);
    }
    assert_eq!(written, ["~2", "3", "4"]);
    assert_eq!(session.counts().unacknowledged, 0, "a volatile frame does not count as a written one");
}

#[test]
fn closing_writes_waiting_volatile_frames_and_accepts_no_more() {
    let mut pair = Pair::connected(8);
    pair.send(Server, "s001");
    pair.send(Server, "~2");
    let deadline = pair.now + Duration::from_secs(5);
    pair.server().close(CloseReason::Normal, deadline);
    assert_eq!(pair.try_send(Server, "~3", Overflow::Reject), Err(Refused::Closed));
    pair.run();
    assert_eq!(messages(&mut pair, Client)[..2], ["s001", "~2"]);
}

#[derive(Debug, Clone)]
enum Step {
    Send(Side, Kind),
    Write(Side),
    Deliver(Side, usize),
    Take(Side, usize),
    Run,
    Lose(Side),
    Connect,
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Numbered,
    Volatile,
    Latest(char),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Server), Just(Client)]
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        Just(Kind::Numbered),
        Just(Kind::Volatile),
        Just(Kind::Latest('a')),
        Just(Kind::Latest('b'))
    ];
    prop_oneof![
        12 => (side(), kind).prop_map(|(side, kind)| Step::Send(side, kind)),
        4 => side().prop_map(Step::Write),
        5 => (side(), 1..6usize).prop_map(|(side, count)| Step::Deliver(side, count)),
        4 => (side(), 1..6usize).prop_map(|(side, count)| Step::Take(side, count)),
        1 => Just(Step::Run),
        2 => side().prop_map(Step::Lose),
        3 => Just(Step::Connect),
        1 => prop_oneof![Just(500), Just(1500)].prop_map(Step::Wait),
    ]
}

/// The frames that one side has sent, and those that its peer has received.
#[derive(Debug, Default)]
struct Direction {
    sent: u32,
    numbered: Vec<u32>,
    received: Vec<String>,
}

fn number(text: &str) -> u32 {
    text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().expect("a message has a number")
}

fn take(pair: &mut Pair, side: Side, count: usize, direction: &mut Direction) {
    for _ in 0..count {
        match pair.session(side).poll_event() {
            Some(Event::Message(frame)) => direction.received.push(frame.event().to_owned()),
            Some(_) => {}
            None => return,
        }
    }
}

#[test]
fn volatile_frames_arrive_in_order_at_most_once() {
    check(600, &(1..=6u32, 1..=4usize, vec(step(), 1..150)), |(buffer, inbox, steps)| {
        let mut pair = Pair::new(
            |c| (c.buffer_frames, c.inbox_frames) = (buffer, inbox),
            |c| (c.buffer_frames, c.inbox_frames) = (buffer, inbox),
        );
        pair.connect();
        pair.run();
        // By the side that sends.
        let mut directions = [Direction::default(), Direction::default()];
        let receiver = |side| if side == Server { Client } else { Server };
        for step in &steps {
            match *step {
                Step::Send(side, kind) => {
                    let direction = &mut directions[side as usize];
                    direction.sent += 1;
                    let n = direction.sent;
                    let text = match kind {
                        Kind::Numbered if side == Server => format!("s{n:03}"),
                        Kind::Numbered => format!("c{n:03}"),
                        Kind::Volatile => format!("~{n:03}"),
                        Kind::Latest(key) => format!("~{key}{n:03}"),
                    };
                    let sent = pair.try_send(side, &text, Overflow::Reject);
                    match kind {
                        Kind::Numbered if sent.is_ok() => direction.numbered.push(n),
                        Kind::Numbered => {}
                        _ => assert!(sent.is_ok(), "a volatile frame is never refused"),
                    }
                }
                Step::Write(side) => pair.write(side),
                Step::Deliver(side, count) => _ = pair.deliver(side, count),
                Step::Take(side, count) => {
                    take(&mut pair, side, count, &mut directions[receiver(side) as usize]);
                }
                Step::Run => pair.run(),
                Step::Lose(side) => pair.lose(side),
                Step::Connect => pair.connect(),
                Step::Wait(millis) => pair.wait(Duration::from_millis(millis)),
            }
        }
        // The network works again, and the applications take everything.
        pair.connect();
        for _ in 0..2000 {
            pair.wait(Duration::from_millis(1100));
            for side in [Server, Client] {
                take(&mut pair, side, usize::MAX, &mut directions[receiver(side) as usize]);
            }
            let counts = [pair.client.counts(), pair.server().counts()];
            if counts.iter().all(|counts| counts.unacknowledged == 0) {
                break;
            }
        }
        for side in [Server, Client] {
            let Direction { numbered, received, .. } = &directions[side as usize];
            let order: Vec<_> = received.iter().map(|text| number(text)).collect();
            assert!(order.is_sorted_by(|one, next| one < next), "{side:?}: {received:?}");
            let kept: Vec<_> =
                received.iter().filter(|text| !text.starts_with('~')).map(|text| number(text)).collect();
            assert_eq!(&kept, numbered, "{side:?}");
        }
        // On a quiet connection the newest value of a key arrives, and no older one.
        for n in 900..905 {
            pair.send(Server, &format!("~a{n}"));
        }
        pair.run();
        take(&mut pair, Client, usize::MAX, &mut directions[Server as usize]);
        let late: Vec<_> =
            directions[Server as usize].received.iter().filter(|text| number(text) >= 900).collect();
        assert_eq!(late, ["~a904"]);
    });
}

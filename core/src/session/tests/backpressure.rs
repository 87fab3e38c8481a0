//! A slow application, and a peer that requests more than it reads (PROTOCOL.md §3, §4).

use std::sync::Arc;
use std::time::Instant;

use super::pair::Pair;
use super::socket::Item;
use super::{SECOND, control, data, raw_control, text_of};
use crate::session::*;
use crate::{Control, Gap};
use Side::{Client, Server};

#[test]
fn at_most_64_untaken_frames_are_counted() {
    let mut pair = Pair::connected(256);
    for n in 0..200 {
        pair.send(Client, &n.to_string());
    }
    pair.run();
    assert_eq!(pair.server().counts().received, 64);
    assert_eq!(pair.client.counts().unacknowledged, 200 - 64, "uncounted frames are not acknowledged");
    assert_eq!(pair.server().poll_event().as_ref().map(text_of).as_deref(), Some("0"));
    assert_eq!(pair.server().counts().received, 65);
    assert_eq!(pair.take_events(Server), (1..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn at_most_a_mebibyte_of_untaken_frames_counts() {
    let mut pair = Pair::connected(256);
    let (epoch, now) = (Epoch(1), pair.now);
    let server = pair.server();
    for (text, size, received) in [("1", 1_000_000, 1), ("2", 48_576, 2), ("3", 1, 2)] {
        server.handle_frame(epoch, data(text), size, now).unwrap();
        assert_eq!(server.counts().received, received);
    }
    server.poll_event();
    assert_eq!(server.counts().received, 3);
}

#[test]
fn reading_ahead_is_bounded_in_frames() {
    let mut pair = Pair::new(|c| (c.buffer_frames, c.inbox_frames) = (8, 4), |_| ());
    pair.connect();
    pair.run();
    for n in 1..=100 {
        pair.put(0, Client, Item::Frame(data(&n.to_string())));
    }
    assert_eq!(pair.deliver(Server, 100), 4 + 8 + 1, "one more than it can have without an acknowledgement");
    assert!(!pair.server().wants_read());
    pair.server().poll_event();
    assert!(!pair.server().wants_read(), "that was the connect");
    pair.server().poll_event();
    assert!(pair.server().wants_read());
    let mut events = vec!["1".to_owned()];
    while !pair.in_transit(Server).is_empty() {
        pair.deliver(Server, 100);
        events.extend(pair.take_events(Server));
    }
    assert_eq!(events, (1..=100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn reading_ahead_is_bounded_in_bytes() {
    let mut pair = Pair::new(|c| c.inbox_bytes = 100, |_| ());
    pair.connect();
    pair.run();
    for _ in 0..100 {
        pair.put(0, Client, Item::Frame(data(&"x".repeat(30))));
    }
    assert_eq!(pair.deliver(Server, 100), 4 + 4);
    assert!(!pair.server().wants_read());
}

#[test]
fn acknowledgement_behind_one_huge_message_is_read() {
    let mut pair = Pair::new(|c| (c.inbox_bytes, c.buffer_bytes) = (10, 10), |c| c.buffer_bytes = 10);
    pair.connect();
    pair.run();
    let big = "x".repeat(1000);
    pair.send(Client, &big);
    pair.wait(SECOND);
    pair.send(Client, &big);
    pair.send(Server, "s1");
    pair.wait(SECOND);
    assert_eq!(pair.server().counts().received, 1);
    assert_eq!(pair.server().counts().unacknowledged, 0);
    pair.skip_events();
    assert_eq!(pair.server().counts().received, 2);
}

#[test]
fn in_plain_mode_reading_stops_with_the_inbox() {
    let mut config = SessionConfig::new(Server, Mode::Plain);
    config.inbox_frames = 2;
    let now = Instant::now();
    let mut session = Session::new(Arc::new(config), now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    for (text, reads) in [("1", true), ("2", false)] {
        session.handle_frame(epoch, data(text), 1, now).unwrap();
        assert_eq!(session.wants_read(), reads);
    }
    session.handle_frame(epoch, data("3"), 1, now).unwrap();
    assert_eq!(session.counts().received, 3, "frames that were already read are not held back");
    for reads in [false, false, true] {
        session.poll_event();
        assert_eq!(session.wants_read(), reads);
    }
}

#[test]
fn acknowledgements_are_read_while_the_application_is_slow() {
    let mut pair = Pair::connected(4);
    for round in 1..=8 {
        for side in [Server, Client] {
            pair.send(side, &round.to_string());
        }
        pair.run();
    }
    assert_eq!(pair.server().counts().unacknowledged, 0, "although the application has taken no message");
    assert_eq!(pair.client.counts().unacknowledged, 0);
}

#[test]
fn a_ping_is_answered_with_its_text() {
    let mut pair = Pair::connected(8);
    pair.send(Server, "s1");
    for json in ["", "null", r#"{ "t": 1.50 }"#] {
        pair.forge(Client, raw_control("$ping", json));
    }
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$pong", "$pong null", r#"$pong { "t": 1.50 }"#, "s1"]);
    assert_eq!(pair.server().counts().received, 0);
}

#[test]
fn unread_pongs_stop_the_reading() {
    let mut pair = Pair::connected(8);
    for _ in 0..20 {
        pair.put(0, Client, Item::Frame(raw_control("$ping", "1")));
    }
    assert_eq!(pair.deliver(Server, 20), 16);
    assert!(!pair.server().wants_read());
    pair.write(Server);
    assert!(pair.server().wants_read());
    pair.run();
    assert!(pair.in_transit(Server).is_empty());
}

#[test]
fn pongs_of_a_lost_socket_are_dropped() {
    for takeover in [false, true] {
        let mut pair = Pair::connected(8);
        for _ in 0..16 {
            pair.put(0, Client, Item::Frame(raw_control("$ping", "1")));
        }
        pair.deliver(Server, 16);
        if !takeover {
            pair.lose(Server);
            assert!(pair.server().wants_read());
        }
        pair.connect();
        assert!(pair.server().wants_read());
        pair.write(Server);
        assert_eq!(pair.in_transit(Client), ["$open"]);
    }
}

#[test]
fn gaps_between_drops_stay_bounded() {
    let mut pair = Pair::connected(8);
    let mut events = 0;
    for n in 0..2000 {
        pair.put(0, Client, Item::Frame(control(Control::Gap(Gap::new(n + 1, n + 1)))));
        pair.deliver(Server, 1);
        if pair.server().counts().received == n {
            break;
        }
        events += 3;
        let now = pair.now;
        let server = pair.server();
        server.cut(now);
        let epoch = server.reserve();
        server.attach(epoch, Some(0), now).unwrap();
        pair.sockets[0].server.epoch = epoch;
    }
    assert!((100..1000).contains(&events), "{events} pending events");
    let counted = pair.server().counts().received;
    pair.take_events(Server);
    assert_eq!(pair.server().counts().received, counted + 1);
}

#[test]
fn stalled_application_loses_sockets_but_no_session() {
    let mut pair = Pair::new(|c| c.inbox_frames = 2, |_| ());
    pair.connect();
    for n in 1..=9 {
        pair.send(Client, &format!("c{n}"));
    }
    for _ in 0..10 {
        pair.wait(100 * SECOND);
        if pair.client.state() == SessionState::Suspended {
            pair.connect();
        }
    }
    assert!(pair.client.is_open() && pair.server().is_open());
    let mut got = Vec::new();
    for _ in 0..20 {
        pair.run();
        if pair.client.state() == SessionState::Suspended {
            pair.connect();
        }
        got.extend(pair.take_events(Server).into_iter().filter(|text| text.starts_with('c')));
    }
    got.retain(|text| text != "connected");
    assert_eq!(got, (1..=9).map(|n| format!("c{n}")).collect::<Vec<_>>());
}

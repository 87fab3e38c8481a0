//! A slow application, and a peer that asks for more than it takes (PROTOCOL.md §3, §4).

use super::link::Item;
use super::pair::Pair;
use super::{SECOND, control, data, raw_control};
use crate::session::*;
use crate::{Control, Gap};
use Side::{Client, Server};

#[test]
fn reading_stops_after_64_frames() {
    let mut pair = Pair::connected(256);
    for n in 0..70 {
        pair.send(Client, &format!("c{n}"));
    }
    pair.run();
    assert!(!pair.server().wants_read());
    assert_eq!(pair.server().counts().received, 64);
    assert_eq!(pair.under_way(Server).len(), 6);
    pair.server().poll_event();
    assert!(pair.server().wants_read());
    pair.run();
    assert_eq!(pair.server().counts().received, 65);
}

#[test]
fn reading_stops_after_a_mebibyte() {
    let mut pair = Pair::connected(256);
    let (epoch, now) = (Epoch(1), pair.now);
    let server = pair.server();
    server.handle_frame(epoch, data("c1"), 1_000_000, now).unwrap();
    assert!(server.wants_read());
    server.handle_frame(epoch, data("c2"), 48_576, now).unwrap();
    assert!(!server.wants_read());
    server.poll_event();
    assert!(server.wants_read());
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
    assert_eq!(pair.server().counts().unacknowledged, 0, "although nobody has taken a single message");
    assert_eq!(pair.client.counts().unacknowledged, 0);
}

#[test]
fn a_ping_is_answered_at_once_with_the_same_text() {
    let mut pair = Pair::connected(8);
    pair.send(Server, "s1");
    for json in ["", "null", r#"{ "t": 1.50 }"#] {
        pair.forge(Client, raw_control("$ping", json));
    }
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["$pong", "$pong null", r#"$pong { "t": 1.50 }"#, "s1"]);
    assert_eq!(pair.server().counts().received, 0);
}

#[test]
fn a_peer_that_pings_and_does_not_read_is_not_read_either() {
    let mut pair = Pair::connected(8);
    for _ in 0..20 {
        pair.put(0, Client, Item::Frame(raw_control("$ping", "1")));
    }
    assert_eq!(pair.deliver(Server, 20), 16);
    assert!(!pair.server().wants_read());
    pair.write(Server);
    assert!(pair.server().wants_read());
    pair.run();
    assert!(pair.under_way(Server).is_empty());
}

#[test]
fn answers_that_were_due_on_a_lost_socket_are_not_written_to_the_next() {
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
        assert_eq!(pair.under_way(Client), ["$open"]);
    }
}

#[test]
fn gaps_between_drops_do_not_pile_up_for_ever() {
    let mut pair = Pair::connected(8);
    let mut events = 0;
    for n in 0..2000 {
        if !pair.server().wants_read() {
            break;
        }
        pair.put(0, Client, Item::Frame(control(Control::Gap(Gap::new(n + 1, n + 1)))));
        pair.deliver(Server, 1);
        events += 3;
        let now = pair.now;
        let server = pair.server();
        server.cut(now);
        let epoch = server.reserve();
        server.attach(epoch, Some(0), now).unwrap();
        pair.links[0].server.epoch = epoch;
    }
    assert!(!pair.server().wants_read(), "after {events} events that nobody took");
    pair.told(Server);
    assert!(pair.server().wants_read());
}

#[test]
fn an_application_that_never_looks_costs_the_peer_its_socket_never_its_session() {
    let mut pair = Pair::new(|c| c.inbox_frames = 2, |_| ());
    pair.connect();
    for n in 1..=9 {
        pair.send(Client, &format!("c{n}"));
    }
    for _ in 0..10 {
        pair.wait(100 * SECOND);
        if pair.client.state() == State::Suspended {
            pair.connect();
        }
    }
    assert!(pair.client.is_open() && pair.server().is_open());
    let mut got = Vec::new();
    for _ in 0..20 {
        pair.run();
        if pair.client.state() == State::Suspended {
            pair.connect();
        }
        got.extend(pair.told(Server).into_iter().filter(|text| text.starts_with('c')));
    }
    got.retain(|text| text != "connected");
    assert_eq!(got, (1..=9).map(|n| format!("c{n}")).collect::<Vec<_>>());
}

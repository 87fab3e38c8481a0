//! `$sync`: requesting an acknowledgement (PROTOCOL.md §4).

use super::link::other;
use super::pair::Pair;
use super::{SECOND, control, raw_control};
use crate::session::*;
use crate::{CloseFrame, Control};
use Side::{Client, Server};

/// Takes the delivery outcomes that the application of `side` watches.
fn outcomes(pair: &mut Pair, side: Side) -> Vec<(u64, Delivery)> {
    let session = pair.session(side);
    std::iter::from_fn(|| session.poll_delivery()).collect()
}

#[test]
fn a_receipt_takes_a_round_trip() {
    let mut pair = Pair::connected(256);
    for side in [Server, Client] {
        pair.send(side, "1");
        pair.session(side).watch_last();
        pair.write(side);
        assert_eq!(pair.under_way(other(side)), ["1", "$sync"]);
        pair.deliver(other(side), 2);
        pair.write(other(side));
        assert_eq!(pair.under_way(side), ["$ack 1"]);
        pair.run();
        assert_eq!(outcomes(&mut pair, side), [(1, Delivery::Delivered)]);
    }
}

#[test]
fn a_request_is_answered_at_once_where_nothing_is_new_too() {
    let mut pair = Pair::connected(8);
    pair.forge(Client, control(Control::Sync));
    assert!(pair.server().poll_timeout().is_some_and(|due| due <= pair.now), "its driver looks at once");
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["$ack 0"]);
    pair.send(Client, "1");
    pair.run();
    pair.forge(Server, raw_control("$sync", r#"{"later":true}"#));
    pair.forge(Client, control(Control::Sync));
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["$ack 1"], "one second early");
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 0);
    pair.forge(Client, control(Control::Sync));
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["$ack 1"], "the same once more");
    pair.run();
    assert_eq!(
        (pair.client.ended(), pair.client.poll_timeout().is_some_and(|at| at > pair.now)),
        (None, true)
    );
}

#[test]
fn a_flood_of_requests_has_one_answer() {
    let mut pair = Pair::connected(8);
    for _ in 0..1000 {
        pair.forge(Client, control(Control::Sync));
    }
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["$ack 0"]);
}

#[test]
fn what_is_read_and_not_counted_is_not_acknowledged_on_request() {
    let mut pair = Pair::new(|c| c.inbox_frames = 1, |_| ());
    pair.connect();
    pair.run();
    pair.skip_events();
    for text in ["1", "2"] {
        pair.send(Client, text);
    }
    pair.client.watch_last();
    pair.run();
    assert_eq!(outcomes(&mut pair, Client), []);
    assert_eq!(pair.client.counts().unacknowledged, 1);
    assert!(pair.under_way(Server).is_empty(), "the client asks only once");
    assert_eq!(pair.told(Server), ["1", "2"]);
    pair.wait(SECOND);
    assert_eq!(outcomes(&mut pair, Client), [(2, Delivery::Delivered)]);
}

#[test]
fn a_client_that_keeps_less_does_not_ask_again_and_again_what_was_not_counted() {
    let mut pair = Pair::new(|c| c.inbox_frames = 1, |c| c.buffer_frames = 2);
    pair.connect();
    pair.run();
    pair.skip_events();
    pair.send(Client, "1");
    pair.send(Client, "2");
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 1, "half of it, until the application takes the first");
    assert_eq!(pair.told(Server), ["1", "2"]);
    pair.wait(SECOND);
    assert_eq!(pair.client.counts().unacknowledged, 0);
}

#[test]
fn one_request_at_a_time_is_under_way_and_what_is_wanted_meanwhile_follows() {
    let mut pair = Pair::connected(256);
    for text in ["1", "2", "3"] {
        pair.send(Server, text);
        pair.server().watch_last();
        pair.write(Server);
    }
    assert_eq!(pair.under_way(Client), ["1", "$sync", "2", "3"]);
    pair.deliver(Client, 2);
    pair.write(Client);
    pair.deliver(Server, 1);
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["2", "3", "$sync"]);
    pair.run();
    assert_eq!(outcomes(&mut pair, Server), [1, 2, 3].map(|number| (number, Delivery::Delivered)));
    assert!(pair.under_way(Client).is_empty());
}

#[test]
fn a_client_that_keeps_less_asks_when_half_of_it_waits() {
    let mut pair = Pair::new(|_| (), |c| c.buffer_frames = 8);
    pair.connect();
    pair.run();
    for n in 1..=3 {
        pair.send(Client, &n.to_string());
    }
    pair.write(Client);
    assert_eq!(pair.under_way(Server), ["1", "2", "3"]);
    pair.send(Client, "4");
    pair.write(Client);
    assert_eq!(pair.under_way(Server), ["1", "2", "3", "4", "$sync"]);
    for n in 5..=8 {
        pair.send(Client, &n.to_string());
    }
    pair.write(Client);
    assert_eq!(pair.under_way(Server)[5..], ["5", "6", "7", "8"], "one request is under way already");
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 0);
    // The bytes are limited as well.
    let mut pair = Pair::new(|_| (), |c| c.buffer_bytes = 10);
    pair.connect();
    pair.run();
    pair.send(Client, "1234");
    pair.write(Client);
    assert_eq!(pair.under_way(Server), ["1234"]);
    pair.send(Client, "5");
    pair.write(Client);
    assert_eq!(pair.under_way(Server), ["1234", "5", "$sync"]);
}

#[test]
fn who_keeps_as_much_as_is_announced_does_not_ask() {
    let mut pair = Pair::connected(8);
    for side in [Server, Client] {
        for n in 0..8 {
            pair.send(side, &n.to_string());
        }
        pair.write(side);
        assert!(!pair.under_way(other(side)).contains(&"$sync".to_owned()));
        pair.run();
    }
}

#[test]
fn a_frame_that_finds_no_room_has_the_peer_asked() {
    let mut pair = Pair::new(|c| c.buffer_bytes = 100, |_| ());
    pair.connect();
    pair.run();
    // Less than a quarter of the buffer, and the next message does not fit.
    pair.send(Server, &"a".repeat(20));
    pair.run();
    assert_eq!(pair.server().counts().unacknowledged, 1);
    let big = "b".repeat(90);
    assert_eq!(pair.try_send(Server, &big, Overflow::Reject), Err(Refused::Full));
    assert_eq!(pair.try_send(Server, &big, Overflow::Reject), Err(Refused::Full));
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["$sync"]);
    pair.run();
    pair.send(Server, &big);
}

#[test]
fn nobody_asks_for_what_is_acknowledged() {
    let mut pair = Pair::connected(4);
    pair.send(Server, "1");
    pair.run();
    assert_eq!(pair.server().counts().unacknowledged, 0, "each is acknowledged at once");
    pair.server().watch_last();
    pair.write(Server);
    assert!(pair.under_way(Client).is_empty());
    pair.send(Server, "2");
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["2"]);
}

#[test]
fn a_receipt_that_a_cut_delayed_takes_a_round_trip_on_the_next_socket() {
    let mut pair = Pair::connected(256);
    pair.send(Server, "1");
    pair.server().watch_last();
    pair.write(Server);
    pair.cut();
    pair.connect();
    pair.run();
    assert_eq!(outcomes(&mut pair, Server), [(1, Delivery::Delivered)]);
}

#[test]
fn a_request_of_an_older_socket_is_forgotten_with_it() {
    let mut pair = Pair::connected(8);
    pair.forge(Client, control(Control::Sync));
    pair.connect();
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["$open"]);
}

#[test]
fn a_close_frame_stands_behind_what_was_asked_for() {
    let mut pair = Pair::connected(8);
    pair.forge(Client, control(Control::Sync));
    let deadline = pair.now + SECOND;
    pair.server().close(CloseReason::Local(CloseFrame::from_static(1000, "")), deadline);
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["$ack 0", "close 1000"]);
    pair.forge(Client, control(Control::Sync));
    pair.write(Server);
    assert_eq!(pair.under_way(Client), ["$ack 0", "close 1000"], "and nothing behind it");
    // The answer to the peer's close frame acknowledges, too.
    let mut pair = Pair::connected(8);
    let (epoch, now) = (Epoch(1), pair.now);
    pair.forge(Client, control(Control::Sync));
    let (ack, _) = pair.server().handle_close(epoch, Some(CloseFrame::from_static(1012, "")), now);
    assert_eq!(ack, Some(0));
}

#[test]
fn a_receipt_takes_a_round_trip_while_the_session_closes() {
    for side in [Server, Client] {
        let mut pair = Pair::connected(256);
        pair.send(side, "1");
        pair.session(side).watch_last();
        let deadline = pair.now + SECOND;
        pair.session(side).close(CloseReason::Local(CloseFrame::from_static(1000, "")), deadline);
        pair.run();
        assert_eq!(outcomes(&mut pair, side), [(1, Delivery::Delivered)]);
        assert_eq!(pair.session(side).state(), SessionState::Closed);
    }
}

#[test]
fn in_plain_mode_nobody_asks() {
    let now = Instant::now();
    let mut config = SessionConfig::new(Server, Mode::Plain);
    config.buffer_frames = 1;
    let mut session = Session::new(Arc::new(config), now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    for _ in 0..3 {
        session.send(Bytes::from_static(b"x"), Overflow::Reject).ok();
    }
    session.poll_transmit(epoch, now);
    assert_eq!(session.poll_transmit(epoch, now), None);
}

//! `$sync`: requesting an acknowledgement (PROTOCOL.md §4).

use bytes::Bytes;

use super::pair::Pair;
use super::socket::other;
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
fn delivery_is_known_after_a_round_trip() {
    let mut pair = Pair::connected(256);
    for side in [Server, Client] {
        pair.send(side, "1");
        pair.session(side).watch_last();
        pair.write(side);
        assert_eq!(pair.in_transit(other(side)), ["1", "$sync"]);
        pair.deliver(other(side), 2);
        pair.write(other(side));
        assert_eq!(pair.in_transit(side), ["$ack 1"]);
        pair.run();
        assert_eq!(outcomes(&mut pair, side), [(1, Delivery::Delivered)]);
    }
}

#[test]
fn sync_is_answered_even_without_new_frames() {
    let mut pair = Pair::connected(8);
    pair.forge(Client, control(Control::Sync));
    assert!(pair.server().poll_timeout().is_some_and(|due| due <= pair.now), "its driver looks at once");
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$ack 0"]);
    pair.send(Client, "1");
    pair.run();
    pair.forge(Server, raw_control("$sync", r#"{"later":true}"#));
    pair.forge(Client, control(Control::Sync));
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$ack 1"], "one second early");
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 0);
    pair.forge(Client, control(Control::Sync));
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$ack 1"], "the same once more");
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
    assert_eq!(pair.in_transit(Client), ["$ack 0"]);
}

#[test]
fn sync_does_not_acknowledge_uncounted_frames() {
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
    assert!(pair.in_transit(Server).is_empty(), "the client asks only once");
    assert_eq!(pair.take_events(Server), ["1", "2"]);
    pair.wait(SECOND);
    assert_eq!(outcomes(&mut pair, Client), [(2, Delivery::Delivered)]);
}

#[test]
fn smaller_client_repeats_no_sync_for_uncounted_frames() {
    let mut pair = Pair::new(|c| c.inbox_frames = 1, |c| c.buffer_frames = 2);
    pair.connect();
    pair.run();
    pair.skip_events();
    pair.send(Client, "1");
    pair.send(Client, "2");
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 1, "half of it, until the application takes the first");
    assert_eq!(pair.take_events(Server), ["1", "2"]);
    pair.wait(SECOND);
    assert_eq!(pair.client.counts().unacknowledged, 0);
}

#[test]
fn only_one_sync_is_pending_at_a_time() {
    let mut pair = Pair::connected(256);
    for text in ["1", "2", "3"] {
        pair.send(Server, text);
        pair.server().watch_last();
        pair.write(Server);
    }
    assert_eq!(pair.in_transit(Client), ["1", "$sync", "2", "3"]);
    pair.deliver(Client, 2);
    pair.write(Client);
    pair.deliver(Server, 1);
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["2", "3", "$sync"]);
    pair.run();
    assert_eq!(outcomes(&mut pair, Server), [1, 2, 3].map(|number| (number, Delivery::Delivered)));
    assert!(pair.in_transit(Client).is_empty());
}

#[test]
fn a_smaller_client_syncs_at_half_its_buffer() {
    let mut pair = Pair::new(|_| (), |c| c.buffer_frames = 8);
    pair.connect();
    pair.run();
    for n in 1..=3 {
        pair.send(Client, &n.to_string());
    }
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["1", "2", "3"]);
    pair.send(Client, "4");
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["1", "2", "3", "4", "$sync"]);
    for n in 5..=8 {
        pair.send(Client, &n.to_string());
    }
    pair.write(Client);
    assert_eq!(pair.in_transit(Server)[5..], ["5", "6", "7", "8"], "one request is under way already");
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 0);
    // The bytes are limited as well.
    let mut pair = Pair::new(|_| (), |c| c.buffer_bytes = 10);
    pair.connect();
    pair.run();
    pair.send(Client, "1234");
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["1234"]);
    pair.send(Client, "5");
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["1234", "5", "$sync"]);
}

#[test]
fn a_client_with_the_announced_buffer_never_syncs() {
    let mut pair = Pair::connected(8);
    for side in [Server, Client] {
        for n in 0..8 {
            pair.send(side, &n.to_string());
        }
        pair.write(side);
        assert!(!pair.in_transit(other(side)).contains(&"$sync".to_owned()));
        pair.run();
    }
}

#[test]
fn a_refused_frame_triggers_a_sync() {
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
    assert_eq!(pair.in_transit(Client), ["$sync"]);
    pair.run();
    pair.send(Server, &big);
}

#[test]
fn no_sync_follows_acknowledged_frames() {
    let mut pair = Pair::connected(4);
    pair.send(Server, "1");
    pair.run();
    assert_eq!(pair.server().counts().unacknowledged, 0, "each is acknowledged at once");
    pair.server().watch_last();
    pair.write(Server);
    assert!(pair.in_transit(Client).is_empty());
    pair.send(Server, "2");
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["2"]);
}

#[test]
fn a_new_socket_syncs_for_awaited_deliveries() {
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
fn a_takeover_forgets_the_old_sync() {
    let mut pair = Pair::connected(8);
    pair.forge(Client, control(Control::Sync));
    pair.connect();
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$open"]);
}

#[test]
fn the_close_frame_follows_a_requested_acknowledgement() {
    let mut pair = Pair::connected(8);
    pair.forge(Client, control(Control::Sync));
    let deadline = pair.now + SECOND;
    pair.server().close(CloseReason::Local(CloseFrame::from_static(1000, "")), deadline);
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$ack 0", "close 1000"]);
    pair.forge(Client, control(Control::Sync));
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$ack 0", "close 1000"], "and nothing behind it");
    // The answer to the peer's close frame acknowledges, too.
    let mut pair = Pair::connected(8);
    let (epoch, now) = (Epoch(1), pair.now);
    pair.forge(Client, control(Control::Sync));
    let (ack, _) = pair.server().handle_close(epoch, Some(CloseFrame::from_static(1012, "")), now);
    assert_eq!(ack, Some(0));
}

#[test]
fn delivery_is_known_while_the_session_closes() {
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
fn plain_mode_sends_no_sync() {
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

//! A draining server dismisses sockets, and keeps their sessions.

use std::time::Duration;

use super::SECOND;
use super::closing::{close, local};
use super::pair::Pair;
use crate::session::*;
use Side::{Client, Server};

const RETRY: Duration = Duration::from_millis(250);

fn dismiss(pair: &mut Pair) -> bool {
    let now = pair.now;
    let dismissed = pair.servers[0].dismiss(RETRY, now);
    pair.settle();
    dismissed
}

#[test]
fn dismissed_session_is_acknowledged_suspended_and_resumed() {
    let mut pair = Pair::connected(256);
    for text in ["1", "2"] {
        pair.send(Client, text);
    }
    pair.write(Client);
    pair.deliver(Server, 1);
    pair.send(Server, "3");
    assert!(dismiss(&mut pair));
    assert_eq!(pair.in_transit(Client), ["$ack 1", "close 1012 retry in 250 ms"]);
    assert_eq!(pair.servers[0].state(), SessionState::Suspended);
    pair.run();
    assert_eq!(pair.client.reconnect(), Reconnect::After(RETRY));
    assert_eq!(pair.client.counts().unacknowledged, 1, "the second was not counted");
    pair.send(Server, "4");
    pair.connect();
    pair.run();
    let dropped = "dropped: the server drains (retry in 250 ms)";
    assert_eq!(pair.take_events(Server)[0], "1");
    assert_eq!(pair.servers[0].dropped().map(|why| format!("dropped: {why}")).as_deref(), Some(dropped));
    assert_eq!(pair.take_events(Client)[1..], ["restored", "3", "4"]);
    assert_eq!((pair.servers[0].counts().received, pair.servers.len()), (2, 1));
}

#[test]
fn dismissal_acknowledges_only_news() {
    let mut pair = Pair::connected(256);
    assert!(dismiss(&mut pair));
    assert_eq!(pair.in_transit(Client), ["close 1012 retry in 250 ms"]);
    assert!(!dismiss(&mut pair), "it has no socket");
    pair.run();
    pair.connect();
    pair.run();
    assert_eq!(pair.servers[0].take_last_ack(Epoch(2)), None, "it has a socket");
}

#[test]
fn read_ahead_frames_are_counted_before_a_dismissal() {
    let mut pair = Pair::new(|server| server.inbox_frames = 1, |_| {});
    pair.connect();
    pair.run();
    pair.skip_events();
    for text in ["1", "2", "3"] {
        pair.send(Client, text);
    }
    pair.write(Client);
    pair.deliver(Server, 3);
    assert!(dismiss(&mut pair));
    assert_eq!(pair.in_transit(Client).last().unwrap(), "close 1012 retry in 250 ms");
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 0);
}

#[test]
fn closing_session_is_not_dismissed() {
    let mut pair = Pair::connected(256);
    close(&mut pair, Server, local());
    assert!(!dismiss(&mut pair));
    pair.run();
    assert_eq!(pair.servers[0].state(), SessionState::Closed);
}

#[test]
fn dismissal_without_a_window_ends_the_session() {
    let mut pair = Pair::new(|server| server.resume_window = Duration::ZERO, |_| {});
    pair.connect();
    pair.run();
    pair.skip_events();
    pair.send(Client, "1");
    pair.write(Client);
    pair.deliver(Server, 1);
    assert!(dismiss(&mut pair));
    assert_eq!(pair.in_transit(Client), ["$ack 1", "close 1012 retry in 250 ms"]);
    assert_eq!(pair.take_events(Server)[0], "1");
    assert!(matches!(
        pair.servers[0].ended(),
        Some(CloseReason::TransportLost(DropReason::Draining { retry_in: RETRY }))
    ));
}

#[test]
fn session_ending_after_dismissal_still_names_the_delay() {
    let mut pair = Pair::connected(256);
    let now = pair.now;
    assert!(pair.servers[0].dismiss(RETRY, now));
    pair.servers[0].end(CloseReason::Kicked);
    pair.settle();
    assert_eq!(pair.in_transit(Client), ["close 1012 retry in 250 ms"]);
}

#[test]
fn session_is_idle_while_nothing_is_under_way() {
    let mut pair = Pair::connected(256);
    assert_eq!(pair.server().idle_since(), Some(pair.now));
    pair.send(Server, "1");
    assert_eq!(pair.server().idle_since(), None, "a frame is unacknowledged");
    pair.run();
    pair.now += SECOND;
    pair.client.handle_timeout(pair.now);
    pair.run();
    assert_eq!(pair.server().idle_since(), Some(pair.now));
    pair.send(Client, "2");
    pair.run();
    assert_eq!(pair.server().idle_since(), None, "a message is unhandled");
    pair.skip_events();
    assert!(pair.server().idle_since().is_some());
}

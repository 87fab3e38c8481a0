//! Frames that are acknowledged only when their effects are in a store (PROTOCOL.md §4).

use super::SECOND;
use super::pair::Pair;
use crate::session::*;
use Side::{Client, Server};

/// A connected pair whose server commits.
fn committing() -> Pair {
    let mut pair = Pair::new(|c| c.commits = true, |_| ());
    pair.connect();
    pair.run();
    pair.take_events(Server);
    pair
}

fn send(pair: &mut Pair, texts: &[&str]) {
    texts.iter().for_each(|text| pair.send(Client, text));
    pair.run();
}

#[test]
fn nothing_is_acknowledged_before_it_is_committed() {
    let mut pair = committing();
    send(&mut pair, &["1", "2", "3"]);
    pair.wait(10 * SECOND);
    assert_eq!(pair.client.counts().unacknowledged, 3);
    assert_eq!((pair.server().handled(), pair.server().uncommitted()), (0, 3));
    assert_eq!(pair.take_events(Server), ["1", "2", "3"]);
    assert_eq!(pair.server().handled(), 3);
    let now = pair.now;
    pair.server().commit(2, now);
    pair.wait(2 * SECOND);
    assert_eq!((pair.client.counts().unacknowledged, pair.server().uncommitted()), (1, 1));
    let now = pair.now;
    pair.server().commit(3, now);
    pair.wait(2 * SECOND);
    assert_eq!((pair.client.counts().unacknowledged, pair.server().uncommitted()), (0, 0));
}

#[test]
fn handled_frames_are_those_before_the_next_event() {
    let mut pair = committing();
    send(&mut pair, &["1", "=nobody", "2", "~volatile", "=nobody"]);
    assert_eq!(pair.server().handled(), 0);
    assert_eq!(pair.server().poll_event().map(|_| ()), Some(()));
    assert_eq!(pair.server().handled(), 2, "the answer has been passed on");
    assert_eq!(pair.take_events(Server), ["2", "~volatile"]);
    assert_eq!(pair.server().handled(), 4);
}

#[test]
fn uncommitted_frames_come_again_and_are_skipped() {
    let mut pair = committing();
    send(&mut pair, &["1", "2", "3"]);
    assert_eq!(pair.take_events(Server), ["1", "2", "3"]);
    let now = pair.now;
    pair.server().commit(1, now);
    pair.cut();
    pair.send(Client, "4");
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Server), ["dropped", "restored", "4"], "2 and 3 came again");
    assert_eq!((pair.client.counts().unacknowledged, pair.server().counts().received), (3, 4));
    let now = pair.now;
    pair.server().commit(4, now);
    pair.wait(2 * SECOND);
    assert_eq!(pair.client.counts().unacknowledged, 0);
}

#[test]
fn a_commit_acknowledges_no_more_than_the_socket_has_brought() {
    let mut pair = committing();
    send(&mut pair, &["1", "2", "3"]);
    assert_eq!(pair.take_events(Server).len(), 3);
    pair.cut();
    pair.connect();
    pair.write(Server);
    let now = pair.now;
    pair.server().commit(3, now);
    pair.advance(2 * SECOND);
    assert_eq!(pair.in_transit(Client), ["$open"], "no $ack");
    pair.run();
    pair.wait(2 * SECOND);
    assert_eq!(pair.take_events(Server), ["dropped", "restored"]);
    assert_eq!((pair.client.counts().unacknowledged, pair.server().counts().received), (0, 3));
}

#[test]
fn gaps_are_skipped_in_part() {
    let mut pair = committing();
    send(&mut pair, &["1"]);
    let now = pair.now;
    for gap in [r#"{"from":2,"to":3}"#, r#"{"from":4,"to":4}"#] {
        pair.server().handle_frame(Epoch(1), super::raw_control("$gap", gap), 9, now).unwrap();
    }
    assert_eq!(pair.take_events(Server), ["1", "gap 2-4"]);
    assert_eq!(pair.server().handled(), 4);
    pair.cut();
    let epoch = pair.server().reserve();
    pair.server().attach(epoch, Some(0), now).unwrap();
    while pair.server().poll_transmit(epoch, now).is_some() {}
    pair.take_events(Server);
    for (gap, left) in [(r#"{"from":1,"to":2}"#, None), (r#"{"from":3,"to":6}"#, Some("gap 5-6"))] {
        pair.server().handle_frame(epoch, super::raw_control("$gap", gap), 9, now).unwrap();
        assert_eq!(pair.take_events(Server), Vec::from_iter(left));
    }
    assert_eq!((pair.server().counts().received, pair.server().handled()), (6, 6));
}

#[test]
fn what_is_uncommitted_keeps_a_session_awake() {
    let mut pair = committing();
    send(&mut pair, &["1"]);
    pair.cut();
    pair.take_events(Server);
    assert!(!pair.server().can_hibernate());
    let now = pair.now;
    pair.server().commit(1, now);
    assert!(pair.server().can_hibernate() && pair.server().hibernate().is_some());
}

#[test]
fn a_request_is_answered_again_after_the_commit() {
    let mut pair = committing();
    send(&mut pair, &["1"]);
    assert_eq!(pair.client.counts().unacknowledged, 1);
    pair.take_events(Server);
    let now = pair.now;
    pair.server().handle_frame(Epoch(1), super::control(crate::Control::Sync), 9, now).unwrap();
    pair.run();
    pair.server().commit(1, now);
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 0, "without the delay of a second");
}

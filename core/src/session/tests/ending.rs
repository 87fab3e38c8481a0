//! How sessions end at once (PROTOCOL.md §7).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::SECOND;
use super::closing::{close, local};
use super::pair::Pair;
use crate::CloseFrame;
use crate::session::*;
use Side::{Client, Server};

#[test]
fn a_kick_discards_events_except_connected_and_closed() {
    let mut pair = Pair::new(|_| (), |_| ());
    pair.connect();
    pair.send(Client, "1");
    pair.run();
    pair.cut();
    pair.connect();
    pair.run();
    pair.server().end(CloseReason::Kicked);
    assert_eq!(pair.take_events(Server), ["connected", "closed: kicked"]);
}

#[test]
fn a_kick_after_connected_leaves_only_closed() {
    let mut pair = Pair::connected(8);
    pair.send(Client, "1");
    pair.run();
    pair.server().end(CloseReason::Kicked);
    assert_eq!(pair.take_events(Server), ["closed: kicked"]);
    pair.run();
    assert_eq!(pair.take_events(Client), ["closed: closed by the peer with 1000 kicked"]);
}

#[test]
fn ends_without_local_close_deliver_received_frames() {
    for reason in [CloseReason::Duplicate, CloseReason::ServerClosed, CloseReason::TooBig] {
        let mut pair = Pair::connected(8);
        pair.send(Client, "1");
        pair.run();
        pair.server().end(reason.clone());
        assert_eq!(pair.take_events(Server), ["1".to_owned(), format!("closed: {reason}")]);
    }
}

#[test]
fn the_end_settles_awaited_deliveries() {
    for side in [Server, Client] {
        let mut pair = Pair::connected(8);
        pair.send(side, "1");
        let session = pair.session(side);
        session.watch_last();
        session.end(CloseReason::ServerClosed);
        assert_eq!([session.poll_delivery(), session.poll_delivery()], [Some((1, Delivery::Ended)), None]);
    }
}

#[test]
fn reasons_have_the_close_frames_of_the_table() {
    for (reason, code, text) in [
        (CloseReason::Local(CloseFrame::from_static(1000, "")), 1000, ""),
        (CloseReason::Local(CloseFrame::from_static(4242, "bye")), 4242, "bye"),
        (CloseReason::Kicked, 1000, "kicked"),
        (CloseReason::Forbidden, 3003, "forbidden"),
        (CloseReason::Duplicate, 1000, "duplicate connection id"),
        (CloseReason::ServerClosed, 1001, "server shutting down"),
        (CloseReason::Protocol(CloseFrame::from_static(1007, "no json")), 1007, "no json"),
        (CloseReason::TooBig, 1009, "message too big"),
        (CloseReason::HandlerPanicked, 1011, "handler panicked"),
    ] {
        let mut pair = Pair::connected(8);
        pair.server().end(reason);
        assert_eq!(
            pair.server().attachment_state(Epoch(1)),
            AttachmentState::Leave(CloseFrame::truncated(code, text))
        );
        assert_eq!(pair.server().poll_timeout(), None);
    }
}

#[test]
fn a_lost_socket_gets_no_close_frame() {
    for side in [Server, Client] {
        let mut pair = Pair::connected(8);
        let now = pair.now;
        pair.session(side).cut(now);
        pair.session(side).end(CloseReason::ServerClosed);
        assert_eq!(pair.session(side).attachment_state(Epoch(1)), AttachmentState::Gone);
        assert_eq!(pair.session(side).poll_timeout(), None);
    }
}

#[test]
fn a_newer_socket_gets_the_close_frame() {
    let mut pair = Pair::connected(8);
    pair.cut();
    pair.connect();
    pair.run();
    pair.server().end(CloseReason::Kicked);
    pair.run();
    let events = pair.take_events(Client);
    assert_eq!(events, ["dropped", "restored", "closed: closed by the peer with 1000 kicked"]);
}

#[test]
fn a_local_close_keeps_its_reason() {
    let frame = CloseFrame::from_static(4001, "enough");
    for (other, reason) in [
        (CloseReason::Duplicate, CloseReason::Local(frame.clone())),
        (CloseReason::ServerClosed, CloseReason::Local(frame.clone())),
        (CloseReason::Normal, CloseReason::Local(frame.clone())),
        (CloseReason::Evicted, CloseReason::Local(frame.clone())),
        (CloseReason::Kicked, CloseReason::Kicked),
        (CloseReason::Forbidden, CloseReason::Forbidden),
        (CloseReason::Overflow, CloseReason::Overflow),
    ] {
        let mut pair = Pair::connected(8);
        pair.send(Server, "1");
        close(&mut pair, Server, CloseReason::Local(frame.clone()));
        pair.server().end(other);
        assert_eq!(pair.server().ended(), Some(&reason));
        assert_eq!(pair.server().attachment_state(Epoch(1)), AttachmentState::Leave(reason.close_frame()));
    }
    // A shutdown's reason does not prevail over a later one, unlike that of an application.
    let mut pair = Pair::connected(8);
    close(&mut pair, Server, CloseReason::ServerClosed);
    pair.server().end(CloseReason::Duplicate);
    assert_eq!(pair.server().ended(), Some(&CloseReason::Duplicate));
}

#[test]
fn unacknowledged_frames_of_lost_sessions_come_first() {
    let mut pair = Pair::connected(8);
    pair.send(Client, "1");
    pair.send(Client, "2");
    pair.cut();
    pair.restart();
    pair.connect();
    pair.run();
    // The application has not taken the event that reports the first two as lost.
    pair.send(Client, "3");
    pair.send(Client, "4");
    close(&mut pair, Client, local());
    assert_eq!(pair.client.counts().unacknowledged, 4);
    pair.client.end(local());
    let kept = pair.client.take_unacknowledged();
    assert_eq!(super::texts(&kept), ["1", "2", "3", "4"]);
}

#[test]
fn evicted_frames_of_a_lost_session_stay_unacknowledged() {
    let mut pair = Pair::connected(2);
    pair.cut();
    for n in 1..=5 {
        pair.try_send(Client, &n.to_string(), Overflow::DropOldest).unwrap();
    }
    pair.restart();
    pair.connect();
    pair.run();
    // The application has not taken the event that lists two frames and counts three.
    close(&mut pair, Client, local());
    assert_eq!(pair.client.counts().unacknowledged, 5);
    assert_eq!(super::texts(&pair.client.take_unacknowledged()), ["4", "5"]);
}

#[test]
fn unreported_evictions_count_as_unacknowledged_on_close() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let mut pair = Pair::new(|_| (), |c| c.buffer_frames = 2);
        for n in 1..=5 {
            pair.try_send(Client, &n.to_string(), overflow).ok();
        }
        close(&mut pair, Client, local());
        pair.advance(5 * SECOND);
        assert_eq!(pair.take_events(Client), ["closed: closed by the application"]);
        let counts = pair.client.counts();
        assert_eq!((counts.accepted, counts.dropped, counts.unacknowledged), (5, 3, 5));
    }
}

#[test]
fn discarded_losses_count_as_unacknowledged() {
    for (listed, dropped) in [(1, 0), (0, 1), (2, 3), (0, 0)] {
        let config = SessionConfig::new(Client, Mode::Session);
        let mut session = Session::new(Arc::new(config), Instant::now());
        let unacknowledged = vec![Bytes::from_static(b"x"); listed];
        session.events.push(Event::Lost { reason: None, unacknowledged, dropped });
        session.discard_events();
        assert_eq!(session.counts().unacknowledged, listed as u64 + dropped);
        assert_eq!(session.unreported.is_some(), listed as u64 + dropped > 0);
    }
}

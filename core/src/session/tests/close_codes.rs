//! Close codes: the table of PROTOCOL.md §7.

use std::time::Duration;

use super::pair::Pair;
use super::socket::{Item, other};
use crate::CloseFrame;
use crate::session::*;
use Side::{Client, Server};

/// SessionState, close reason if the session ended, and how to reconnect, after `frame` arrived at `side`.
fn after_close(side: Side, frame: Option<CloseFrame>) -> (SessionState, Option<CloseReason>, Reconnect) {
    let mut pair = Pair::connected(8);
    pair.put(0, other(side), Item::Close(frame));
    pair.deliver(side, 1);
    let session = pair.session(side);
    (session.state(), session.ended().cloned(), session.reconnect())
}

#[test]
fn a_client_obeys_each_row_of_the_table() {
    let never =
        |frame: CloseFrame| (SessionState::Closed, Some(CloseReason::Remote(frame)), Reconnect::Never);
    let suspended = |reconnect| (SessionState::Suspended, None, reconnect);
    for (code, reason) in [
        (1000, ""),
        (1000, "kicked"),
        (1000, "duplicate connection id"),
        (1002, ""),
        (1007, ""),
        (1008, "rate"),
        (1009, "message too big"),
        (3003, "forbidden"),
    ] {
        let frame = CloseFrame::truncated(code, reason);
        assert_eq!(after_close(Client, Some(frame.clone())), never(frame));
    }
    let taken_over = CloseFrame::from_static(4000, "taken over");
    let ended = (SessionState::Closed, Some(CloseReason::TakenOver), Reconnect::Never);
    assert_eq!(after_close(Client, Some(taken_over)), ended);
    for (code, reason, reconnect) in [
        (1001, "server shutting down", Reconnect::Backoff),
        (1011, "handler panicked", Reconnect::Backoff),
        (1012, "retry in 2500 ms", Reconnect::After(Duration::from_millis(2500))),
        (1012, "retry in 0 ms", Reconnect::After(Duration::ZERO)),
        (1012, "", Reconnect::Backoff),
        (1012, "retry in -1 ms", Reconnect::Backoff),
        (1012, "retry in 2 s", Reconnect::Backoff),
        (1013, "overloaded", Reconnect::Backoff),
        (1013, "retry in 5 ms", Reconnect::Backoff),
        (1003, "", Reconnect::Backoff),
        (3000, "credentials expired", Reconnect::Backoff),
        (3001, "", Reconnect::Backoff),
        (4001, "", Reconnect::Backoff),
    ] {
        let frame = CloseFrame::truncated(code, reason);
        assert_eq!(after_close(Client, Some(frame)), suspended(reconnect), "{code} {reason}");
    }
    assert_eq!(after_close(Client, None), suspended(Reconnect::Backoff));
}

#[test]
fn a_server_obeys_each_row_of_the_table() {
    let state = |frame| {
        let (state, ended, _) = after_close(Server, frame);
        (state, ended)
    };
    let normal = (SessionState::Closed, Some(CloseReason::Normal));
    assert_eq!(state(None), normal);
    assert_eq!(state(Some(CloseFrame::from_static(1000, "whatever"))), normal);
    for code in [1002, 1007, 1008, 1009] {
        let frame = CloseFrame::truncated(code, "");
        assert_eq!(
            state(Some(frame.clone())),
            (SessionState::Closed, Some(CloseReason::Remote(frame))),
            "{code}"
        );
    }
    for code in [1001, 1003, 1011, 1012, 1013, 3000, 3003, 4000] {
        assert_eq!(state(Some(CloseFrame::truncated(code, ""))), (SessionState::Suspended, None), "{code}");
    }
}

#[test]
fn a_close_is_answered_with_its_own_code() {
    let mut pair = Pair::connected(8);
    let now = pair.now;
    let (ack, answer) =
        pair.client.handle_close(Epoch(1), Some(CloseFrame::from_static(1012, "retry in 9 ms")), now);
    assert_eq!((ack, answer), (None, Some(CloseFrame::from_static(1012, ""))));
    let mut pair = Pair::connected(8);
    assert_eq!(pair.server().handle_close(Epoch(1), None, now), (None, None));
}

#[test]
fn a_client_does_not_resume_an_ended_session() {
    for frame in [CloseFrame::from_static(1001, "server shutting down"), CloseFrame::from_static(1011, "")] {
        let mut pair = Pair::connected(8);
        pair.send(Client, "1");
        pair.write(Client);
        pair.sockets[0].server.arriving.clear();
        pair.put(0, Server, Item::Close(Some(frame)));
        pair.run();
        assert_eq!(pair.client.resume_offer(), None);
        pair.connect();
        pair.run();
        assert_eq!(pair.take_events(Client), ["dropped", "lost 1 and 0", "restored"], "afresh");
        pair.cut();
        assert!(pair.client.resume_offer().is_some());
    }
}

#[test]
fn other_1001_reasons_suspend_the_session() {
    for (side, reason) in [
        (Server, ""),
        (Server, "session ended"),
        (Server, "server shutting down."),
        (Client, ""),
        (Client, "server shutting down"),
    ] {
        let mut pair = Pair::connected(8);
        pair.send(Client, "1");
        pair.send(Server, "2");
        pair.put(0, side, Item::Close(Some(CloseFrame::truncated(1001, reason))));
        pair.deliver(other(side), 1);
        assert_eq!(pair.session(other(side)).state(), SessionState::Suspended, "{side:?} {reason}");
        pair.run();
        pair.connect();
        pair.run();
        assert_eq!(pair.take_events(Client), ["dropped", "restored", "2"], "{side:?} {reason}");
        assert_eq!(pair.take_events(Server), ["dropped", "restored", "1"], "{side:?} {reason}");
    }
}

#[test]
fn the_next_socket_resets_the_reconnect_advice() {
    let mut pair = Pair::connected(8);
    pair.put(0, Server, Item::Close(Some(CloseFrame::from_static(1012, "retry in 9 ms"))));
    pair.run();
    assert_eq!(pair.client.reconnect(), Reconnect::After(Duration::from_millis(9)));
    pair.connect();
    assert_eq!(pair.client.reconnect(), Reconnect::Backoff);
}

#[test]
fn a_violation_is_named_and_final() {
    let mut pair = Pair::connected(8);
    let epoch = Epoch(1);
    let frame = CloseFrame::from_static(1007, "no json");
    pair.client.handle_violation(Epoch(9), frame.clone());
    assert!(pair.client.is_open(), "another socket's");
    pair.client.handle_violation(epoch, frame.clone());
    assert_eq!(pair.client.ended(), Some(&CloseReason::Protocol(frame)));
    assert_eq!(pair.client.reconnect(), Reconnect::Never);
    pair.server().handle_violation(epoch, CloseFrame::from_static(1009, "70000 bytes"));
    assert_eq!(pair.server().ended(), Some(&CloseReason::TooBig));
}

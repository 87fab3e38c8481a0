//! Closing a session in order (PROTOCOL.md §7).

use std::time::Duration;

use super::SECOND;
use super::pair::Pair;
use super::socket::Item;
use super::{control, data, raw_control};
use crate::session::*;
use crate::{CloseFrame, Control, Gap};
use Side::{Client, Server};

pub(super) fn local() -> CloseReason {
    CloseReason::Local(CloseFrame::from_static(1000, ""))
}

pub(super) fn close(pair: &mut Pair, side: Side, reason: CloseReason) {
    let deadline = pair.now + 5 * SECOND;
    pair.session(side).close(reason, deadline);
}

#[test]
fn close_delivers_accepted_frames_first() {
    for (side, peer, theirs) in [
        (Server, Client, "closed: closed by the peer with 1000"),
        (Client, Server, "closed: closed by the peer"),
    ] {
        let mut pair = Pair::connected(256);
        for text in ["1", "2", "3"] {
            pair.send(side, text);
        }
        close(&mut pair, side, local());
        assert_eq!(pair.try_send(side, "4", Overflow::DropOldest), Err(Refused::Closed));
        assert_eq!(pair.session(side).send_missing(), Err(Refused::Closed));
        assert!(!pair.session(side).is_open());
        pair.write(side);
        assert_eq!(pair.in_transit(peer), ["1", "2", "3", "close 1000"]);
        pair.run();
        assert_eq!(pair.take_events(side), ["closed: closed by the application"]);
        assert_eq!(pair.take_events(peer), ["1", "2", "3", theirs]);
        assert_eq!(pair.session(side).counts().unacknowledged, 0);
        assert!(pair.sockets.is_empty(), "both ends are gone");
    }
}

#[test]
fn close_delivers_across_a_lost_socket() {
    for (side, peer) in [(Server, Client), (Client, Server)] {
        let mut pair = Pair::connected(256);
        for text in ["1", "2", "3"] {
            pair.send(side, text);
        }
        close(&mut pair, side, local());
        pair.write(side);
        pair.deliver(peer, 1);
        pair.cut();
        assert_eq!(pair.session(side).state(), SessionState::Suspended);
        pair.connect();
        pair.run();
        assert_eq!(pair.take_events(peer)[..5], ["1", "dropped", "restored", "2", "3"]);
        assert_eq!(pair.take_events(side), ["closed: closed by the application"], "neither drop nor restore");
        assert_eq!(pair.session(side).counts().unacknowledged, 0);
    }
}

#[test]
fn close_ends_at_its_deadline() {
    for side in [Server, Client] {
        let mut pair = Pair::connected(256);
        pair.cut();
        pair.skip_events();
        pair.send(side, "1");
        close(&mut pair, side, local());
        let deadline = pair.now + 5 * SECOND;
        assert_eq!(pair.session(side).poll_timeout(), Some(deadline));
        pair.session(side).handle_timeout(deadline - Duration::from_nanos(1));
        assert_eq!(pair.session(side).state(), SessionState::Suspended);
        pair.session(side).handle_timeout(deadline);
        assert_eq!(pair.take_events(side), ["closed: closed by the application"]);
        assert_eq!(pair.session(side).counts().unacknowledged, 1);
    }
}

#[test]
fn close_does_not_wait_for_a_silent_peer() {
    let mut pair = Pair::connected(256);
    pair.send(Server, "1");
    close(&mut pair, Server, local());
    pair.write(Server);
    pair.advance(5 * SECOND);
    assert_eq!(pair.take_events(Server), ["closed: closed by the application"]);
    assert_eq!(pair.server().counts().unacknowledged, 1);
}

#[test]
fn closing_a_suspended_session_without_frames_is_immediate() {
    let mut pair = Pair::connected(256);
    pair.cut();
    pair.skip_events();
    for side in [Server, Client] {
        close(&mut pair, side, local());
        assert_eq!(pair.take_events(side), ["closed: closed by the application"]);
    }
    let mut pair = Pair::new(|_| (), |_| ());
    close(&mut pair, Client, local());
    assert_eq!(pair.take_events(Client), ["closed: closed by the application"]);
}

#[test]
fn losing_the_socket_after_all_acknowledgements_completes_close() {
    let mut pair = Pair::connected(4);
    pair.send(Server, "1");
    pair.run();
    close(&mut pair, Server, local());
    pair.write(Server);
    pair.cut();
    assert_eq!(pair.take_events(Server), ["closed: closed by the application"]);
}

#[test]
fn without_a_window_losing_the_socket_completes_close() {
    let mut pair = Pair::new(|c| c.resume_window = Duration::ZERO, |_| ());
    pair.connect();
    pair.run();
    pair.skip_events();
    pair.send(Server, "1");
    close(&mut pair, Server, local());
    pair.cut();
    assert_eq!(pair.take_events(Server), ["closed: closed by the application"]);
    assert_eq!(pair.server().counts().unacknowledged, 1);
}

#[test]
fn received_frames_are_acknowledged_before_the_close_frame() {
    for (side, peer) in [(Server, Client), (Client, Server)] {
        let mut pair = Pair::connected(256);
        pair.send(peer, "1");
        pair.run();
        close(&mut pair, side, local());
        pair.write(side);
        assert_eq!(pair.in_transit(peer), ["$ack 1", "close 1000"]);
        assert_eq!(pair.session(side).poll_timeout().map(|at| at > pair.now), Some(true));
        pair.run();
        assert_eq!(pair.session(peer).counts().unacknowledged, 0);
    }
}

#[test]
fn received_frames_are_acknowledged_before_the_answer() {
    let mut pair = Pair::connected(256);
    pair.send(Client, "1");
    pair.send(Client, "2");
    pair.write(Client);
    pair.put(0, Client, Item::Close(Some(CloseFrame::from_static(1001, "going"))));
    pair.deliver(Server, 3);
    assert_eq!(pair.in_transit(Client), ["$ack 2", "close 1001"]);
}

#[test]
fn nothing_follows_a_close_frame() {
    let mut pair = Pair::connected(256);
    close(&mut pair, Server, local());
    pair.write(Server);
    // Frames that the client wrote before it read the close frame.
    for _ in 0..40 {
        pair.put(0, Client, Item::Frame(raw_control("$ping", "1")));
        pair.put(0, Client, Item::Frame(data("c")));
    }
    assert_eq!(pair.deliver(Server, 80), 80, "so that the answer behind it is read");
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["close 1000"]);
    assert!(pair.server().wants_read());
    let events = pair.take_events(Server);
    assert_eq!(events, [] as [&str; 0]);
    pair.run();
    assert_eq!(pair.take_events(Server), ["closed: closed by the application"]);
}

#[test]
fn a_closing_session_neither_counts_nor_delivers_frames() {
    let mut pair = Pair::connected(256);
    pair.send(Client, "1");
    close(&mut pair, Server, local());
    pair.write(Client);
    pair.put(0, Client, Item::Frame(control(Control::Gap(Gap::new(2, 3)))));
    pair.put(0, Client, Item::Frame(data("4")));
    pair.deliver(Server, 3);
    assert_eq!(pair.server().counts().received, 0);
    assert_eq!(pair.server().ended(), None, "a gap behind uncounted frames is no violation");
    pair.run();
    assert_eq!(pair.take_events(Server), ["closed: closed by the application"]);
    assert_eq!(pair.client.counts().unacknowledged, 1);
}

#[test]
fn a_closing_session_reads_with_full_inbox() {
    let mut pair = Pair::new(|c| (c.inbox_frames, c.buffer_frames) = (2, 2), |_| ());
    pair.connect();
    pair.run();
    for n in 1..=6 {
        pair.try_send(Client, &n.to_string(), Overflow::DropOldest).unwrap();
        pair.write(Client);
    }
    assert_eq!(pair.deliver(Server, 6), 5);
    assert!(!pair.server().wants_read());
    close(&mut pair, Server, CloseReason::ServerClosed);
    assert!(pair.server().wants_read());
    pair.run();
    assert_eq!(pair.take_events(Server), ["connected", "1", "2", "closed: server shut down"]);
}

#[test]
fn simultaneous_closes_end_both_sides() {
    let mut pair = Pair::connected(256);
    close(&mut pair, Server, local());
    close(&mut pair, Client, local());
    pair.run();
    assert_eq!(pair.take_events(Server), ["closed: closed by the application"]);
    assert_eq!(pair.take_events(Client), ["closed: closed by the application"]);
}

#[test]
fn an_earlier_close_frame_does_not_answer_ours() {
    let mut pair = Pair::connected(256);
    pair.send(Client, "1");
    pair.write(Client);
    pair.deliver(Server, 1);
    close(&mut pair, Server, local());
    pair.put(0, Client, Item::Close(Some(CloseFrame::from_static(1000, ""))));
    pair.deliver(Server, 1);
    assert_eq!(pair.in_transit(Client), ["$ack 1", "close 1000"]);
    assert_eq!(pair.take_events(Server), ["closed: closed by the application"]);
}

#[test]
fn simultaneous_closers_acknowledge_no_untaken_frames() {
    let mut pair = Pair::connected(256);
    for side in [Server, Client] {
        pair.send(side, "1");
        close(&mut pair, side, local());
    }
    pair.run();
    for side in [Server, Client] {
        assert_eq!(pair.take_events(side), ["closed: closed by the application"]);
        assert_eq!(pair.session(side).counts().unacknowledged, 1);
    }
}

#[test]
fn an_answer_acknowledges_nothing() {
    for (side, peer) in [(Server, Client), (Client, Server)] {
        for (acks, unacknowledged) in [(Some(1), 1), (Some(2), 0), (None, 2)] {
            let mut pair = Pair::connected(256);
            pair.send(side, "1");
            pair.send(side, "2");
            close(&mut pair, side, local());
            pair.write(side);
            if let Some(count) = acks {
                pair.put(0, peer, Item::Frame(control(Control::Ack(count))));
            }
            pair.put(0, peer, Item::Close(Some(CloseFrame::from_static(1000, ""))));
            pair.deliver(side, 2);
            assert_eq!(pair.take_events(side), ["closed: closed by the application"]);
            assert_eq!(pair.session(side).counts().unacknowledged, unacknowledged);
        }
    }
}

#[test]
fn a_closing_client_ends_on_session_loss() {
    let mut pair = Pair::connected(256);
    pair.cut();
    pair.send(Client, "1");
    pair.client.close(local(), pair.now + 60 * SECOND);
    pair.advance(30 * SECOND);
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Client), ["closed: closed by the application"]);
    assert_eq!(pair.client.counts().unacknowledged, 1);
    assert_eq!(pair.client.take_unacknowledged(), ["1"]);
}

#[test]
fn the_first_close_counts() {
    let mut pair = Pair::connected(256);
    close(&mut pair, Server, CloseReason::ServerClosed);
    close(&mut pair, Server, local());
    pair.run();
    assert_eq!(pair.server().ended(), Some(&CloseReason::ServerClosed));
    pair.server().end(CloseReason::Kicked);
    close(&mut pair, Server, CloseReason::Kicked);
    assert_eq!(pair.server().ended(), Some(&CloseReason::ServerClosed));
}

#[test]
fn a_second_close_can_only_shorten_the_deadline() {
    for (second, left) in [(2, 2), (9, 5)] {
        let mut pair = Pair::connected(256);
        pair.cut();
        pair.send(Server, "1");
        close(&mut pair, Server, local());
        let now = pair.now;
        pair.server().close(CloseReason::ServerClosed, now + second * SECOND);
        assert_eq!(pair.server().poll_timeout(), Some(now + left * SECOND));
    }
}

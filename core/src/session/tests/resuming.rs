//! Sockets are cut, and nothing is lost (PROTOCOL.md §5, §6).

use std::time::Duration;

use super::pair::Pair;
use super::socket::Item;
use super::{control, data};
use crate::session::*;
use crate::{CloseFrame, Control, Frame, Gap};
use Side::{Client, Server};

#[test]
fn delivers_in_order_exactly_once_across_a_cut() {
    let mut pair = Pair::connected(8);
    for n in 1..=4 {
        pair.send(Server, &format!("s{n}"));
        pair.send(Client, &format!("c{n}"));
    }
    pair.write(Server);
    pair.write(Client);
    pair.deliver(Client, 2);
    pair.deliver(Server, 3);
    pair.cut();
    pair.send(Server, "s5");
    pair.send(Client, "c5");
    pair.connect();
    pair.run();
    let script = |x: &str| {
        let (before, after) = if x == "c" { (3, 4) } else { (2, 3) };
        let mut script: Vec<String> = (1..=before).map(|n| format!("{x}{n}")).collect();
        script.extend(["dropped".to_owned(), "restored".to_owned()]);
        script.extend((after..=5).map(|n| format!("{x}{n}")));
        script
    };
    assert_eq!(pair.take_events(Server), script("c"));
    assert_eq!(pair.take_events(Client), script("s"));
}

#[test]
fn resumes_before_anything_was_sent() {
    let mut pair = Pair::connected(8);
    pair.cut();
    pair.connect();
    pair.run();
    pair.send(Server, "s1");
    pair.send(Client, "c1");
    pair.run();
    assert_eq!(pair.take_events(Server), ["dropped", "restored", "c1"]);
    assert_eq!(pair.take_events(Client), ["dropped", "restored", "s1"]);
    assert_eq!(pair.servers.len(), 1);
}

#[test]
fn resumes_twice_in_a_row() {
    let mut pair = Pair::connected(8);
    pair.send(Server, "s1");
    pair.send(Server, "s2");
    pair.write(Server);
    pair.deliver(Client, 1);
    for _ in 0..2 {
        pair.cut();
        pair.connect();
        pair.write(Server);
        assert_eq!(pair.in_transit(Client), ["$open", "s2"], "and s2 has its number still");
    }
    pair.run();
    pair.cut();
    pair.connect();
    pair.run();
    let events = pair.take_events(Client);
    assert_eq!(events, ["s1", "dropped", "restored", "s2", "dropped", "restored"]);
    assert_eq!(pair.server().counts().resumed, 3);
}

#[test]
fn an_interrupted_replay_continues_at_the_count() {
    let mut pair = Pair::connected(8);
    for n in 1..=3 {
        pair.send(Client, &format!("c{n}"));
    }
    pair.write(Client);
    pair.cut();
    pair.connect();
    pair.write(Server);
    pair.deliver(Client, 1);
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["c1", "c2", "c3"]);
    pair.deliver(Server, 2);
    pair.cut();
    pair.connect();
    pair.write(Server);
    pair.deliver(Client, 1);
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["c3"]);
    pair.run();
    let events = pair.take_events(Server);
    assert_eq!(events, ["dropped", "restored", "c1", "c2", "dropped", "restored", "c3"]);
}

#[test]
fn takes_over_a_half_open_socket() {
    let mut pair = Pair::connected(8);
    pair.send(Server, "s1");
    pair.write(Server);
    pair.lose(Client);
    assert_eq!(pair.server().state(), SessionState::Connected, "the server has not noticed");
    pair.connect();
    let old = pair.sockets[0].server.epoch;
    let taken_over = CloseFrame::from_static(4000, "taken over");
    assert_eq!(pair.server().attachment_state(old), AttachmentState::Leave(taken_over));
    pair.run();
    pair.send(Client, "c1");
    pair.run();
    assert_eq!(pair.server().poll_event(), Some(Event::Dropped(DropReason::TakenOver)));
    assert_eq!(pair.take_events(Server), ["restored", "c1"]);
    assert_eq!(pair.take_events(Client), ["dropped", "restored", "s1"]);
}

#[test]
fn input_of_an_older_socket_is_ignored() {
    let mut pair = Pair::connected(8);
    pair.send(Client, "c1");
    pair.send(Client, "c2");
    pair.write(Client);
    pair.lose(Client);
    pair.connect();
    // Both items are still in transit on the old socket, and arrive after the new one was attached.
    assert_eq!(pair.deliver_on(0, Server, 2), 2);
    assert_eq!(pair.server().counts().received, 0);
    pair.run();
    assert_eq!(pair.take_events(Server), ["dropped", "restored", "c1", "c2"]);
}

#[test]
fn a_fenced_socket_changes_nothing() {
    let mut pair = Pair::connected(4);
    pair.send(Server, "s1");
    pair.send(Server, "s2");
    pair.write(Server);
    let old = pair.sockets[0].server.epoch;
    pair.lose(Client);
    pair.connect();
    let now = pair.now;
    let server = pair.server();
    let before = format!("{server:?}");
    let later = now + Duration::from_secs(9);
    for frame in [
        data("c1"),
        control(Control::Ack(2)),
        control(Control::Ack(99)),
        control(Control::Gap(Gap::new(1, 5))),
        control(Control::Ping(None)),
        Frame::event_only("$open"),
    ] {
        assert_eq!(server.handle_frame(old, frame, 1, later), Ok(()));
    }
    for close in [None, Some(CloseFrame::from_static(1000, "")), Some(CloseFrame::from_static(1001, ""))] {
        let answer = close.as_ref().map(|close| CloseFrame::truncated(close.code, ""));
        assert_eq!(server.handle_close(old, close, later), (None, answer));
    }
    server.handle_activity(old, later);
    server.handle_lost(old, DropReason::HeartbeatTimeout, later);
    server.handle_violation(old, CloseFrame::from_static(1002, "no frame"));
    server.handle_written(old, 1, 2000, Some(9000), later);
    assert_eq!(server.poll_transmit(old, later), None);
    assert_eq!(format!("{server:?}"), before);
}

#[test]
fn an_older_request_that_arrives_later_is_fenced() {
    let mut pair = Pair::connected(8);
    pair.cut();
    let now = pair.now;
    let server = pair.server();
    let (older, newer) = (server.reserve(), server.reserve());
    server.attach(newer, Some(0), now).unwrap();
    let before = format!("{server:?}");
    assert_eq!(server.attach(older, Some(0), now), Err(AttachError::Fenced));
    assert_eq!(server.attach(newer, Some(0), now), Err(AttachError::Fenced), "nor does one come twice");
    assert_eq!(format!("{server:?}"), before);
    let taken_over = CloseFrame::from_static(4000, "taken over");
    assert_eq!(server.attachment_state(older), AttachmentState::Leave(taken_over));
    assert_eq!(server.attachment_state(newer), AttachmentState::Attached);
}

#[test]
fn nothing_attaches_to_a_session_that_has_ended() {
    let mut pair = Pair::connected(8);
    let now = pair.now;
    let server = pair.server();
    let epoch = server.reserve();
    server.end(CloseReason::Kicked);
    assert_eq!(server.attach(epoch, Some(0), now), Err(AttachError::Closed));
}

#[test]
fn an_impossible_offer_changes_nothing() {
    let mut pair = Pair::connected(4);
    for n in 1..=3 {
        pair.send(Server, &format!("s{n}"));
    }
    pair.run();
    assert_eq!(pair.server().counts().unacknowledged, 0);
    pair.cut();
    pair.send(Server, "s4");
    let now = pair.now;
    let server = pair.server();
    let epoch = server.reserve();
    let before = format!("{server:?}");
    for (received, what) in [(4, "acknowledged more than was sent"), (2, "acknowledged less than before")] {
        assert_eq!(server.check_resume(received).unwrap_err().to_string(), what);
        let error = server.attach(epoch, Some(received), now).unwrap_err();
        assert!(matches!(error, AttachError::Violation(violation) if violation.to_string() == what));
    }
    assert_eq!(format!("{server:?}"), before);
    assert_eq!(server.check_resume(3), Ok(()));
}

#[test]
fn the_window_passes_exactly_when_it_has_passed() {
    let mut pair = Pair::connected(8);
    pair.cut();
    let (lost_at, window) = (pair.now, Duration::from_secs(30));
    let server = pair.server();
    assert_eq!(server.poll_timeout(), Some(lost_at + window));
    server.handle_timeout(lost_at + window - Duration::from_nanos(1));
    assert_eq!(server.state(), SessionState::Suspended);
    server.handle_timeout(lost_at + window);
    assert_eq!(server.ended(), Some(&CloseReason::WindowExpired));
    assert_eq!(pair.take_events(Server), ["dropped", "closed: resume window expired"]);
    assert_eq!(pair.server().poll_timeout(), None);
}

#[test]
fn a_resume_restarts_the_window() {
    let mut pair = Pair::connected(8);
    for _ in 0..3 {
        pair.cut();
        pair.advance(Duration::from_secs(29));
        pair.connect();
        pair.run();
    }
    assert_eq!((pair.servers.len(), pair.server().state()), (1, SessionState::Connected));
}

#[test]
fn a_client_has_no_window_timer() {
    let mut pair = Pair::connected(8);
    pair.cut();
    assert_eq!(pair.client.poll_timeout(), None);
    pair.advance(Duration::from_secs(1_000_000));
    assert_eq!(pair.client.state(), SessionState::Suspended);
}

#[test]
fn without_a_window_losing_the_socket_ends() {
    let mut pair = Pair::new(|c| c.resume_window = Duration::ZERO, |_| ());
    pair.connect();
    pair.run();
    pair.cut();
    let why = "closed: socket lost: connection reset";
    assert_eq!(pair.take_events(Server), ["connected", why], "no drop is reported");
    let epoch = Epoch(1);
    assert_eq!(pair.server().attachment_state(epoch), AttachmentState::Gone);
}

#[test]
fn a_cut_drops_the_socket_on_both_sides() {
    let mut pair = Pair::connected(8);
    let now = pair.now;
    assert!(pair.server().cut(now));
    assert!(!pair.server().cut(now), "there is none left");
    assert_eq!(pair.server().poll_event(), Some(Event::Dropped(DropReason::Cut)));
    pair.lose(Server);
    pair.sockets[0].client.arriving.push_back(Item::End);
    pair.run();
    assert_eq!(pair.take_events(Client), ["dropped"]);
    pair.connect();
    pair.run();
    assert_eq!(
        (pair.take_events(Server), pair.take_events(Client)),
        (vec!["restored".into()], vec!["restored".into()])
    );
}

#[test]
fn counts_from_an_older_socket_leave_no_gap() {
    let mut pair = Pair::connected(8);
    for n in 1..=3 {
        pair.send(Server, &format!("s{n}"));
    }
    pair.write(Server);
    pair.cut();
    pair.connect();
    let (epoch, now) = (pair.sockets[0].server.epoch, pair.now);
    let server = pair.server();
    assert!(matches!(server.poll_transmit(epoch, now), Some(Transmit::Control(Control::Open(_)))));
    server.handle_frame(epoch, control(Control::Ack(2)), 1, now).unwrap();
    let next = server.poll_transmit(epoch, now);
    assert_eq!(next, Some(Transmit::Data("s3".into())), "received frames are not reported as missing");
}

#[test]
fn events_come_in_order_and_closed_comes_last() {
    let mut pair = Pair::new(|_| (), |_| ());
    pair.connect();
    pair.send(Client, "c1");
    pair.run();
    pair.cut();
    pair.connect();
    pair.send(Client, "c2");
    pair.run();
    pair.lose(Client);
    pair.connect();
    pair.send(Client, "c3");
    pair.run();
    pair.client.close(CloseReason::Local(CloseFrame::from_static(1000, "")), pair.now + super::SECOND);
    pair.run();
    pair.server().end(CloseReason::Kicked);
    pair.cut();
    let events = pair.take_events(Server);
    let script = [
        "connected",
        "c1",
        "dropped",
        "restored",
        "c2",
        "dropped",
        "restored",
        "c3",
        "closed: closed by the peer",
    ];
    assert_eq!(events, script);
}

#[test]
fn a_client_is_not_open_while_it_has_no_socket() {
    let mut pair = Pair::connected(8);
    assert!(pair.client.is_opened());
    pair.cut();
    assert!(!pair.client.is_opened());
    pair.connect();
    assert!(!pair.client.is_opened());
    pair.run();
    assert!(pair.client.is_opened());
}

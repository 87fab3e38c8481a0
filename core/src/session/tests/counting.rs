//! Counts, acknowledgements and gaps (PROTOCOL.md §4).

use std::time::Duration;

use super::pair::Pair;
use super::socket::other;
use super::{SECOND, control, raw_control};
use crate::session::*;
use crate::{CloseFrame, Control, Frame, Gap};
use Side::{Client, Server};

fn send_many(pair: &mut Pair, side: Side, numbers: std::ops::RangeInclusive<u32>, overflow: Overflow) {
    for n in numbers {
        pair.try_send(side, &n.to_string(), overflow).unwrap();
    }
}

#[track_caller]
fn assert_protocol_error(pair: &mut Pair, side: Side, what: &str) {
    let expected = CloseReason::Protocol(CloseFrame::truncated(1002, what.to_owned()));
    assert_eq!(pair.session(side).ended(), Some(&expected));
}

#[test]
fn acknowledges_a_quarter_of_the_buffer_at_once() {
    let mut pair = Pair::connected(12);
    for side in [Server, Client] {
        send_many(&mut pair, side, 1..=2, Overflow::Reject);
        pair.run();
        assert_eq!(pair.session(side).counts().unacknowledged, 2);
        send_many(&mut pair, side, 3..=3, Overflow::Reject);
        pair.write(side);
        pair.deliver(other(side), 1);
        pair.write(other(side));
        assert_eq!(pair.in_transit(side), ["$ack 3"]);
        pair.run();
        assert_eq!(pair.session(side).counts().unacknowledged, 0);
    }
}

#[test]
fn a_quarter_rounds_down_to_at_least_one() {
    for (buffer, frames) in [(1, 1), (3, 1), (4, 1), (7, 1), (8, 2), (11, 2), (12, 3)] {
        let mut pair = Pair::connected(buffer);
        for n in 1..=frames {
            assert_eq!(pair.server().counts().unacknowledged, u64::from(n - 1), "buffer of {buffer}");
            send_many(&mut pair, Server, n..=n, Overflow::Reject);
            pair.run();
        }
        assert_eq!(pair.server().counts().unacknowledged, 0, "buffer of {buffer}");
    }
}

#[test]
fn acknowledges_one_second_after_the_oldest() {
    let mut pair = Pair::connected(256);
    send_many(&mut pair, Server, 1..=1, Overflow::Reject);
    pair.run();
    let arrived = pair.now;
    assert_eq!(pair.client.poll_timeout(), Some(arrived + SECOND));
    pair.advance(SECOND - Duration::from_millis(1));
    send_many(&mut pair, Server, 2..=2, Overflow::Reject);
    pair.run();
    assert!(pair.in_transit(Server).is_empty());
    assert_eq!(pair.client.poll_timeout(), Some(arrived + SECOND), "the second does not put it off");
    pair.advance(Duration::from_millis(1));
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["$ack 2"]);
}

#[test]
fn never_acknowledges_nothing_new() {
    let mut pair = Pair::connected(4);
    send_many(&mut pair, Server, 1..=1, Overflow::Reject);
    pair.run();
    for _ in 0..3 {
        pair.advance(2 * SECOND);
        pair.write(Client);
        assert!(pair.in_transit(Server).is_empty());
    }
}

#[test]
fn a_resume_acknowledges_without_a_separate_ack() {
    let mut pair = Pair::connected(256);
    for side in [Server, Client] {
        send_many(&mut pair, side, 1..=3, Overflow::Reject);
    }
    pair.run();
    pair.cut();
    pair.connect();
    assert_eq!(pair.server().counts().unacknowledged, 0, "the offer said so");
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 0, "$open said so");
    pair.advance(2 * SECOND);
    pair.write(Server);
    pair.write(Client);
    assert!(pair.in_transit(Server).is_empty() && pair.in_transit(Client).is_empty());
}

#[test]
fn a_resume_makes_up_for_lost_acknowledgements() {
    let mut pair = Pair::connected(4);
    send_many(&mut pair, Server, 1..=2, Overflow::Reject);
    pair.write(Server);
    pair.deliver(Client, 2);
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["$ack 2"]);
    pair.cut();
    pair.connect();
    assert_eq!(pair.server().counts().unacknowledged, 0);
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$open"]);
}

#[test]
fn an_acknowledgement_beyond_or_backwards_is_a_violation() {
    for (count, what) in [(4, "acknowledged more than was sent"), (2, "acknowledged less than before")] {
        for side in [Server, Client] {
            let mut pair = Pair::connected(4);
            send_many(&mut pair, side, 1..=3, Overflow::Reject);
            pair.run();
            pair.forge(other(side), control(Control::Ack(3)));
            assert_eq!(pair.session(side).ended(), None, "the same count again is harmless");
            pair.forge(other(side), control(Control::Ack(count)));
            assert_protocol_error(&mut pair, side, what);
            pair.run();
            let theirs = pair.session(other(side)).ended().cloned();
            let frame = CloseFrame::truncated(1002, what);
            assert_eq!(theirs, Some(CloseReason::Remote(frame)));
            assert_eq!(pair.client.reconnect(), Reconnect::Never);
        }
    }
}

#[test]
fn frames_not_yet_sent_cannot_be_acknowledged() {
    let mut pair = Pair::connected(4);
    send_many(&mut pair, Server, 1..=3, Overflow::Reject);
    pair.forge(Client, control(Control::Ack(1)));
    assert_protocol_error(&mut pair, Server, "acknowledged more than was sent");
}

#[test]
fn malformed_control_frames_violate_but_unknown_are_ignored() {
    let long = format!("{:?}", "x".repeat(5000));
    for (event, json, what) in [
        ("$ack", "", "control frame without a JSON payload"),
        ("$ack", "-1", "$ack is not a whole number"),
        ("$ack", "1.0", "$ack is not a whole number"),
        ("$ack", "[1]", "$ack is not a whole number"),
        ("$gap", "7", "malformed $gap"),
        ("$gap", r#"{"from":2,"to":1}"#, "malformed $gap"),
        ("$gap", r#"{"from":1,"to":9007199254740992}"#, "malformed $gap"),
        ("$open", "null", "malformed $open"),
        ("$ping", &long, "$ping is too big"),
    ] {
        for side in [Server, Client] {
            let mut pair = Pair::connected(4);
            pair.forge(other(side), raw_control(event, json));
            assert_protocol_error(&mut pair, side, what);
        }
    }
    let mut pair = Pair::connected(4);
    for event in ["$", "$later", "$pong"] {
        pair.forge(Client, raw_control(event, r#"{"x":1}"#));
    }
    pair.run();
    assert_eq!(pair.take_events(Server), [] as [&str; 0]);
    assert_eq!(pair.server().counts().received, 0, "control frames are not counted");
    assert!(pair.server().is_open());
}

#[test]
fn evicted_unsent_frames_are_reported_at_once() {
    let mut pair = Pair::connected(3);
    send_many(&mut pair, Server, 1..=5, Overflow::DropOldest);
    assert_eq!(pair.server().counts().dropped, 2);
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), [r#"$gap {"from":1,"to":2}"#, "3", "4", "5"]);
    pair.run();
    assert_eq!(pair.take_events(Client), ["gap 1-2", "3", "4", "5"]);
    assert_eq!(pair.client.counts().received, 5, "a gap counts as received");
    assert_eq!(pair.server().counts().unacknowledged, 0, "and is acknowledged like others");
}

#[test]
fn hibernation_keeps_the_count_of_received_gaps() {
    let mut pair = Pair::connected(3);
    pair.server().send_missing().unwrap();
    pair.write(Server);
    pair.deliver(Client, usize::MAX);
    assert_eq!(pair.take_events(Client), ["gap 1-1"]);
    // The acknowledgement never arrives.
    pair.cut();
    while pair.server().poll_event().is_some() {}
    assert!(pair.server().hibernate().is_some(), "nothing is kept");
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Client), ["dropped", "restored"]);
    assert_eq!(pair.server().counts().unacknowledged, 0);
}

#[test]
fn sent_and_replayed_frames_are_counted_with_bytes() {
    let mut pair = Pair::connected(256);
    for side in [Server, Client] {
        send_many(&mut pair, side, 8..=10, Overflow::Reject);
        pair.write(side);
        pair.deliver(other(side), 1);
    }
    pair.cut();
    pair.connect();
    pair.run();
    for side in [Server, Client] {
        let counts = pair.session(side).counts();
        assert_eq!((counts.sent, counts.replayed, counts.sent_gaps), (5, 2, 0), "9 and 10 twice");
        assert_eq!((counts.sent_bytes, counts.drops), (1 + 2 * (1 + 2), 1));
        assert_eq!((counts.received, counts.received_bytes, counts.received_gaps), (3, 4, 0), "all once");
    }
}

#[test]
fn a_gap_is_counted_apart_from_the_frames() {
    let mut pair = Pair::connected(3);
    send_many(&mut pair, Server, 1..=5, Overflow::DropOldest);
    pair.run();
    let counts = pair.server().counts();
    assert_eq!((counts.sent, counts.sent_bytes, counts.sent_gaps), (3, 3, 2));
    let counts = pair.client.counts();
    assert_eq!((counts.received, counts.received_bytes, counts.received_gaps), (5, 3, 2));
}

#[test]
fn a_resume_reports_evicted_sent_frames() {
    let mut pair = Pair::connected(3);
    send_many(&mut pair, Server, 1..=3, Overflow::Reject);
    pair.write(Server);
    pair.deliver(Client, 1);
    send_many(&mut pair, Server, 4..=5, Overflow::DropOldest);
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["2", "3", "4", "5"], "no gap: the peer may well get them");
    assert_eq!(pair.server().counts().dropped, 0);
    pair.cut();
    pair.connect();
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$open", r#"$gap {"from":2,"to":2}"#, "3", "4", "5"]);
    assert_eq!(pair.server().counts().dropped, 1);
    pair.run();
    assert_eq!(pair.take_events(Client), ["1", "dropped", "restored", "gap 2-2", "3", "4", "5"]);
}

#[test]
fn evicted_frames_that_had_arrived_are_not_missing() {
    let mut pair = Pair::connected(3);
    send_many(&mut pair, Server, 1..=3, Overflow::Reject);
    pair.write(Server);
    pair.deliver(Client, 3);
    // No acknowledgement arrives, and the server sends more, both before it notices the loss and after.
    send_many(&mut pair, Server, 4..=4, Overflow::DropOldest);
    pair.cut();
    send_many(&mut pair, Server, 5..=6, Overflow::DropOldest);
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Client), ["1", "2", "3", "dropped", "restored", "4", "5", "6"]);
    assert_eq!(pair.server().counts().dropped, 0);
}

#[test]
fn evictions_while_suspended_are_reported_after_resume() {
    let mut pair = Pair::connected(2);
    pair.cut();
    send_many(&mut pair, Server, 1..=5, Overflow::DropOldest);
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Client), ["dropped", "restored", "gap 1-3", "4", "5"]);
    assert_eq!(pair.server().counts().dropped, 3);
}

#[test]
fn a_lost_gap_is_reported_again() {
    let mut pair = Pair::connected(2);
    send_many(&mut pair, Server, 1..=3, Overflow::DropOldest);
    pair.write(Server);
    pair.cut();
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Client), ["dropped", "restored", "gap 1-1", "2", "3"]);
    assert_eq!(pair.server().counts().dropped, 1, "once is enough");
}

#[test]
fn unrepresentable_frames_become_a_gap() {
    let mut pair = Pair::connected(8);
    pair.send(Server, "1");
    pair.server().send_missing().unwrap();
    pair.server().send_missing().unwrap();
    pair.run();
    assert_eq!(pair.take_events(Client), ["1", "gap 2-3"]);
    pair.send(Server, "4");
    pair.wait(SECOND);
    assert_eq!(pair.take_events(Client), ["4"]);
    assert_eq!(pair.server().counts().unacknowledged, 0);
}

#[test]
fn a_gap_must_follow_the_received_frames() {
    for (from, to) in [(1, 1), (3, 4)] {
        let mut pair = Pair::connected(8);
        pair.send(Client, "1");
        pair.run();
        pair.forge(Client, control(Control::Gap(Gap::new(from, to))));
        assert_protocol_error(&mut pair, Server, "$gap does not follow the last received frame");
    }
    let mut pair = Pair::connected(8);
    pair.send(Client, "1");
    pair.run();
    pair.forge(Client, control(Control::Gap(Gap::new(2, 7))));
    assert_eq!(pair.take_events(Server), ["1", "gap 2-7"]);
    assert_eq!(pair.server().counts().received, 7);
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$ack 7"]);
}

#[test]
fn refuses_frames_while_the_buffer_is_full() {
    let mut pair = Pair::connected(3);
    send_many(&mut pair, Client, 1..=3, Overflow::Reject);
    pair.write(Client);
    assert_eq!(pair.try_send(Client, "4", Overflow::Reject), Err(Refused::Full), "written, not acknowledged");
    assert_eq!(pair.client.counts().accepted, 3, "nothing was queued");
    pair.run();
    assert_eq!(pair.try_send(Client, "4", Overflow::Reject), Ok(4));
}

#[test]
fn a_byte_limit_still_allows_one_huge_message() {
    let mut pair = Pair::new(|c| c.buffer_bytes = 10, |c| c.buffer_bytes = 10);
    pair.connect();
    pair.run();
    let big = "x".repeat(100);
    pair.send(Server, &big);
    assert_eq!(pair.try_send(Server, "", Overflow::Reject), Err(Refused::Full));
    assert_eq!(pair.try_send(Server, "12345678", Overflow::DropOldest), Ok(2));
    assert_eq!(pair.try_send(Server, "123", Overflow::Reject), Err(Refused::Full));
    assert_eq!(pair.try_send(Server, "12", Overflow::Reject), Ok(3));
    assert_eq!(pair.server().counts().retained_bytes, 10);
}

#[test]
fn a_big_message_evicts_several_small_ones() {
    let mut pair = Pair::new(|c| c.buffer_bytes = 10, |_| ());
    pair.connect();
    for text in ["123", "456", "789"] {
        pair.send(Server, text);
    }
    assert_eq!(pair.try_send(Server, "12345", Overflow::DropOldest), Ok(4));
    assert_eq!(pair.server().counts().retained_bytes, 8);
    pair.run();
    assert_eq!(pair.take_events(Client), ["connected", "gap 1-2", "789", "12345"]);
}

#[test]
fn a_message_evicts_no_more_than_necessary() {
    let mut pair = Pair::connected(8);
    for text in ["12", "34", "56"] {
        pair.send(Server, text);
    }
    assert_eq!(pair.server().evict_for(4, Overflow::DropOldest), Ok(()));
    assert_eq!(pair.try_send(Server, "abcd", Overflow::DropOldest), Ok(4));
    assert_eq!(pair.server().counts().retained_bytes, 6);
    pair.run();
    assert_eq!(pair.take_events(Client), ["gap 1-2", "56", "abcd"]);
}

#[test]
fn control_events_are_reserved_in_session_mode() {
    let pair = Pair::connected(8);
    assert!(!pair.client.may_send(&Frame::event_only("$ack")));
    assert!(!pair.servers[0].may_send(&Frame::event_only("$mine")));
    assert!(pair.client.may_send(&Frame::event_only("ack$")));
}

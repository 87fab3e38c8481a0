//! Reading ahead while the application takes no events (PROTOCOL.md §4, §5).

use std::time::Duration;

use super::pair::Pair;
use super::socket::{Item, other};
use super::{SECOND, control, data, text_of};
use crate::session::*;
use crate::{CloseFrame, Control, Gap};
use Side::{Client, Server};

/// A connected pair whose event queues hold two frames. `side` has sent `frames` frames, and the peer has read them.
fn read_ahead(side: Side, frames: u64) -> Pair {
    let mut pair = Pair::new(|c| c.inbox_frames = 2, |c| c.inbox_frames = 2);
    pair.connect();
    pair.run();
    pair.skip_events();
    for n in 1..=frames {
        pair.send(side, &n.to_string());
    }
    pair.run();
    assert_eq!(pair.session(other(side)).counts().received, frames.min(2));
    assert!(pair.in_transit(other(side)).is_empty());
    pair
}

#[test]
fn acknowledgements_behind_untaken_frames_are_read() {
    for (slow, peer) in [(Server, Client), (Client, Server)] {
        let mut pair = Pair::connected(256);
        for n in 0..64 {
            pair.send(peer, &n.to_string());
        }
        pair.run();
        assert_eq!(pair.session(peer).counts().unacknowledged, 0);
        pair.send(slow, "1");
        pair.write(slow);
        // The most that can be sent without an acknowledgement, with our own acknowledgement behind it.
        for n in 64..320 {
            pair.send(peer, &n.to_string());
        }
        pair.write(peer);
        pair.deliver(peer, 1);
        pair.advance(SECOND);
        pair.write(peer);
        assert_eq!(pair.in_transit(slow).last().map(String::as_str), Some("$ack 1"));
        pair.run();
        assert_eq!(pair.session(slow).counts().received, 64, "the application has taken no message");
        assert_eq!(pair.session(slow).counts().unacknowledged, 0);
    }
}

#[test]
fn a_ping_behind_read_ahead_frames_is_answered() {
    let mut pair = read_ahead(Client, 5);
    pair.forge(Client, control(Control::Ping(None)));
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$pong"]);
}

#[test]
fn sync_is_answered_once_read_ahead_frames_count() {
    for (slow, peer) in [(Server, Client), (Client, Server)] {
        let mut pair = read_ahead(peer, 5);
        pair.forge(peer, control(Control::Sync));
        pair.write(slow);
        assert_eq!(pair.in_transit(peer), ["$ack 2"], "at once, for the counted frames");
        pair.run();
        assert_eq!(pair.take_events(slow), ["1", "2", "3", "4", "5"]);
        pair.write(slow);
        assert_eq!(pair.in_transit(peer), ["$ack 5"], "without the acknowledgement delay");
        pair.run();
        pair.forge(peer, control(Control::Ping(None)));
        pair.write(slow);
        assert_eq!(pair.in_transit(peer), ["$pong"], "no request is pending");
    }
}

#[test]
fn read_ahead_frames_keep_their_acknowledgement_deadline() {
    let mut pair = read_ahead(Client, 3);
    let came = pair.now;
    pair.wait(SECOND / 2);
    pair.take_events(Server);
    assert_eq!(pair.server().poll_timeout(), Some(came + SECOND));

    let mut pair = read_ahead(Client, 3);
    pair.wait(5 * SECOND);
    assert_eq!(pair.client.counts().unacknowledged, 1);
    pair.take_events(Server);
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$ack 3"], "long due");
}

#[test]
fn takeover_replays_uncounted_read_ahead_frames() {
    for takeover in [false, true] {
        for (slow, peer) in [(Server, Client), (Client, Server)] {
            let mut pair = read_ahead(peer, 5);
            pair.lose(Client);
            if !takeover {
                pair.lose(Server);
            }
            pair.connect();
            pair.write(Server);
            pair.deliver(Client, 1);
            assert_eq!(pair.session(peer).counts().unacknowledged, 3);
            pair.run();
            assert_eq!(pair.session(slow).counts().received, 2);
            assert_eq!(pair.take_events(slow), ["1", "2", "dropped", "restored", "3", "4", "5"]);
            pair.wait(SECOND);
            assert_eq!(pair.session(peer).counts().unacknowledged, 0);
        }
    }
}

#[test]
fn takeover_does_not_replay_counted_frames() {
    let mut pair = read_ahead(Client, 5);
    assert_eq!(pair.server().poll_event().as_ref().map(text_of).as_deref(), Some("1"));
    pair.lose(Client);
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Server), ["2", "3", "dropped", "restored", "4", "5"]);
}

#[test]
fn losing_the_socket_discards_read_ahead_frames() {
    for slow in [Server, Client] {
        let mut pair = read_ahead(other(slow), 5);
        pair.lose(slow);
        assert_eq!(pair.take_events(slow), ["1", "2", "dropped"]);
        assert_eq!(pair.session(slow).counts().received, 2, "an offer with this count may be under way");
    }
}

#[test]
fn gaps_keep_their_place_among_read_ahead_frames() {
    let mut pair = read_ahead(Client, 4);
    for _ in 0..2 {
        pair.client.send_missing().unwrap();
        pair.run();
    }
    pair.send(Client, "7");
    pair.client.send_missing().unwrap();
    pair.run();
    assert_eq!(pair.server().counts().received, 2);
    assert_eq!(pair.take_events(Server), ["1", "2", "3", "4", "gap 5-6", "7", "gap 8-8"]);
    assert_eq!(pair.server().counts().received, 8);
    pair.wait(SECOND);
    assert_eq!(pair.client.counts().unacknowledged, 0);
}

#[test]
fn a_gap_must_follow_the_read_ahead_frames() {
    for (from, to) in [(3, 3), (5, 5), (7, 8)] {
        let mut pair = read_ahead(Client, 5);
        pair.forge(Client, control(Control::Gap(Gap::new(from, to))));
        let closed = "closed: protocol error: 1002 $gap does not follow the last received frame";
        assert_eq!(
            pair.take_events(Server),
            ["1", "2", "3", "4", "5", closed],
            "frames before the violation are delivered"
        );
    }
}

#[test]
fn a_close_delivers_read_ahead_frames() {
    for (side, end) in
        [(Server, "closed: closed by the peer"), (Client, "closed: closed by the peer with 1000")]
    {
        let peer = other(side);
        let mut pair = read_ahead(peer, 5);
        let now = pair.now;
        pair.session(peer).close(CloseReason::Local(CloseFrame::from_static(1000, "")), now + SECOND);
        pair.run();
        assert_eq!(pair.session(peer).counts().unacknowledged, 0, "and acknowledges it");
        assert_eq!(pair.take_events(side), ["1", "2", "3", "4", "5", end]);
    }
}

#[test]
fn a_resumable_close_delivers_read_ahead_frames() {
    let mut pair = read_ahead(Client, 5);
    pair.put(0, Client, Item::Close(Some(CloseFrame::from_static(1001, ""))));
    pair.deliver(Server, 1);
    assert_eq!(pair.in_transit(Client), ["$ack 5", "close 1001"]);
    assert_eq!(pair.take_events(Server), ["1", "2", "3", "4", "5", "dropped"]);
}

#[test]
fn repeated_closes_and_resumes_keep_the_inbox_bounded() {
    let mut pair = Pair::new(|c| (c.buffer_frames, c.inbox_frames) = (4, 2), |_| ());
    pair.connect();
    pair.run();
    pair.skip_events();
    let now = pair.now;
    let epoch = |pair: &Pair| pair.servers[0].epoch;
    for received in [4, 6, 6, 6] {
        for text in ["1", "2", "3", "4"] {
            let epoch = epoch(&pair);
            pair.server().handle_frame(epoch, data(text), 1, now).unwrap();
        }
        assert!(pair.server().wants_read());
        let old = epoch(&pair);
        let (_, answer) = pair.server().handle_close(old, Some(CloseFrame::from_static(1001, "")), now);
        assert!(answer.is_some());
        assert_eq!(pair.server().counts().received, received);
        let new = pair.server().reserve();
        pair.server().attach(new, Some(0), now).unwrap();
        assert!(matches!(pair.server().poll_transmit(new, now), Some(Transmit::Control(Control::Open(_)))));
    }
}

#[test]
fn an_unresumable_loss_delivers_read_ahead_frames() {
    let mut pair = Pair::new(|c| (c.inbox_frames, c.resume_window) = (2, Duration::ZERO), |_| ());
    pair.connect();
    for n in 1..=4 {
        pair.send(Client, &n.to_string());
    }
    pair.run();
    assert_eq!(pair.server().counts().received, 2);
    pair.cut();
    let closed = "closed: socket lost: connection reset";
    assert_eq!(pair.take_events(Server), ["connected", "1", "2", "3", "4", closed]);
}

#[test]
fn a_final_close_acknowledges_all_delivered_frames() {
    let config = |c: &mut SessionConfig| {
        (c.buffer_frames, c.inbox_frames, c.resume_window) = (4, 2, Duration::ZERO);
    };
    let mut pair = Pair::new(config, |_| ());
    pair.connect();
    pair.run();
    let (epoch, now) = (pair.server().epoch, pair.now);
    // More than a peer can send while it waits for acknowledgements.
    for n in 1..=7 {
        pair.server().handle_frame(epoch, data(&n.to_string()), 1, now).unwrap();
    }
    let (ack, _) = pair.server().handle_close(epoch, Some(CloseFrame::from_static(1001, "")), now);
    assert_eq!(ack, Some(7));
    assert_eq!(pair.server().counts().received, 7);
}

#[test]
fn closing_or_ending_counts_no_read_ahead_frames() {
    for reason in [CloseReason::ServerClosed, CloseReason::Duplicate] {
        let mut pair = read_ahead(Client, 5);
        pair.server().end(reason.clone());
        assert_eq!(pair.take_events(Server), ["1".to_owned(), "2".to_owned(), format!("closed: {reason}")]);
        assert_eq!(pair.server().counts().received, 2);
    }
    let mut pair = read_ahead(Client, 5);
    let deadline = pair.now + SECOND;
    pair.server().close(CloseReason::ServerClosed, deadline);
    pair.run();
    assert_eq!(pair.take_events(Server), ["1", "2", "closed: server shut down"]);
    assert_eq!(pair.client.counts().unacknowledged, 3);
}

/// The handler echoes each message, and waits while the send buffer is full. The relative speeds vary all the time.
#[test]
fn an_echo_storm_never_stalls() {
    const MESSAGES: usize = 2000;
    let mut pair = Pair::connected(16);
    let (mut sent, mut echoed) = (0, 0);
    let mut waiting: Option<String> = None;
    let mut seed = 1_u32;
    let mut up_to = |bound: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((seed >> 16) % bound) as usize
    };
    for round in 0.. {
        assert!(round < 20_000, "{echoed} echoes of {sent} messages, and no more");
        while sent < MESSAGES && pair.try_send(Client, &sent.to_string(), Overflow::Reject).is_ok() {
            sent += 1;
        }
        pair.write(Client);
        pair.deliver(Server, up_to(30));
        for _ in 0..up_to(8) {
            waiting = waiting.or_else(|| pair.server().poll_event().as_ref().map(text_of));
            waiting = waiting.filter(|text| pair.try_send(Server, text, Overflow::Reject).is_err());
        }
        pair.write(Server);
        pair.deliver(Client, up_to(30));
        for text in pair.take_events(Client) {
            assert_eq!(text, echoed.to_string());
            echoed += 1;
        }
        if echoed == MESSAGES {
            break;
        }
        pair.advance(Duration::from_millis(1));
    }
    assert_eq!((sent, pair.sockets.len()), (MESSAGES, 1));
}

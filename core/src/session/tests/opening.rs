//! `$open` and how a client handles it (PROTOCOL.md §3, §5).

use std::time::Duration;

use super::pair::{Pair, identity};
use super::socket::{Item, other};
use super::{control, data, raw_control};
use crate::session::*;
use crate::{CloseFrame, Control, LostReason, Open, Token};
use Side::{Client, Server};

/// A client with an attached socket that has read nothing yet.
fn fresh_client() -> Pair {
    let mut pair = Pair::new(|_| (), |_| ());
    pair.connect();
    pair
}

pub(super) fn open_of(token: Token) -> Open {
    let mut open = Open::new(token, "id", "room");
    open.buffer = 8;
    open
}

fn forge_open(pair: &mut Pair, open: Open) {
    pair.forge(Server, control(Control::Open(Box::new(open))));
}

#[track_caller]
fn assert_violation(pair: &mut Pair, side: Side, what: &str) {
    let ended = pair.session(side).ended().cloned();
    let expected = CloseReason::Protocol(CloseFrame::truncated(1002, what.to_owned()));
    assert_eq!(ended, Some(expected));
}

#[test]
fn open_is_first_on_every_socket() {
    let mut pair = fresh_client();
    pair.send(Server, "s1");
    pair.forge(Client, raw_control("$ping", "1"));
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$open", "$pong 1", "s1"]);
    pair.cut();
    pair.connect();
    pair.run();
    pair.cut();
    pair.send(Server, "s2");
    pair.connect();
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$open", "s2"]);
}

fn pair_epoch(pair: &Pair) -> Epoch {
    pair.sockets.last().expect("there is a socket").server.epoch
}

#[test]
fn open_announces_identity_and_limits() {
    let mut pair = Pair::new(|c| c.buffer_frames = 12, |_| ());
    pair.connect();
    let epoch = pair_epoch(&pair);
    let now = pair.now;
    let Some(Transmit::Control(Control::Open(open))) = pair.server().poll_transmit(epoch, now) else {
        panic!("$open is first");
    };
    let mut expected = open_of(identity(0).token);
    expected.buffer = 12;
    expected.buffer_bytes = 1 << 20;
    expected.max_message = 64 << 20;
    expected.window_ms = 30_000;
    assert_eq!(*open, expected);
}

#[test]
fn an_unlimited_window_is_a_safe_javascript_integer() {
    let mut pair = Pair::new(|c| c.resume_window = Duration::MAX, |_| ());
    pair.connect();
    let epoch = pair_epoch(&pair);
    let now = pair.now;
    let Some(Transmit::Control(Control::Open(open))) = pair.server().poll_transmit(epoch, now) else {
        panic!("$open is first");
    };
    assert_eq!(open.window_ms, (1 << 53) - 1);
    pair.run();
    pair.cut();
    assert_eq!(pair.server().poll_timeout(), None, "nothing is ever due");
    pair.advance(Duration::from_secs(1_000_000));
    assert_eq!(pair.server().state(), SessionState::Suspended);
}

#[test]
fn a_client_is_silent_until_open_connects_it() {
    let mut pair = fresh_client();
    pair.send(Client, "c1");
    pair.write(Client);
    assert!(pair.in_transit(Server).is_empty());
    assert_eq!(pair.take_events(Client), [] as [&str; 0]);
    assert!(!pair.client.is_opened());
    pair.run();
    assert!(pair.client.is_opened());
    assert_eq!(pair.take_events(Client), ["connected"]);
    assert_eq!(pair.take_events(Server), ["connected", "c1"]);
    assert_eq!(**pair.client.identity().unwrap(), identity(0));
}

#[test]
fn sockets_lost_before_open_cause_no_events() {
    let mut pair = fresh_client();
    pair.send(Client, "c1");
    pair.cut();
    pair.connect();
    pair.connect();
    assert_eq!(pair.take_events(Client), [] as [&str; 0], "not even when one takes over another");
    assert_eq!(pair.client.resume_offer(), None);
    pair.run();
    assert_eq!(pair.take_events(Client), ["connected"]);
    assert_eq!(pair.take_events(Server), ["connected", "c1"]);
}

#[test]
fn a_takeover_before_open_causes_no_events() {
    let mut pair = fresh_client();
    let second = pair.client.reserve();
    pair.client.attach(second, None, pair.now).unwrap();
    assert_eq!(pair.take_events(Client), [] as [&str; 0]);
}

#[test]
fn the_first_frame_must_be_open() {
    for frame in [data("s1"), control(Control::Ack(0)), raw_control("$later", "1"), raw_control("$pong", "1")]
    {
        let mut pair = fresh_client();
        pair.forge(Server, frame);
        assert_violation(&mut pair, Client, "the first frame is not $open");
        assert_eq!(pair.client.reconnect(), Reconnect::Never);
    }
    let mut pair = fresh_client();
    pair.forge(Server, raw_control("$open", "{}"));
    assert_violation(&mut pair, Client, "malformed $open");
}

#[test]
fn only_the_servers_first_open_is_valid() {
    for side in [Server, Client] {
        let mut pair = Pair::connected(8);
        let open = control(Control::Open(Box::new(open_of(identity(0).token))));
        pair.forge(side, open);
        assert_violation(&mut pair, other(side), "unexpected $open");
    }
}

#[test]
fn open_cannot_resume_a_session_not_offered() {
    let mut pair = fresh_client();
    let mut open = open_of(identity(0).token);
    open.resumed = true;
    forge_open(&mut pair, open.clone());
    assert_violation(&mut pair, Client, "$open resumes a session that was not offered");

    let mut pair = Pair::connected(8);
    pair.cut();
    pair.connect();
    open.session = identity(7).token;
    forge_open(&mut pair, open);
    assert_violation(&mut pair, Client, "$open resumes a session that was not offered");
}

/// A client whose resume is answered with `received`. The server had acknowledged two of its frames, and a third was not sent.
fn resumed_with(received: u64) -> Pair {
    let mut pair = Pair::connected(4);
    pair.send(Client, "c1");
    pair.send(Client, "c2");
    pair.run();
    pair.cut();
    pair.send(Client, "c3");
    pair.skip_events();
    pair.connect();
    let mut open = open_of(identity(0).token);
    (open.resumed, open.received) = (true, received);
    forge_open(&mut pair, open);
    pair
}

//= PROTOCOL.md#R5.13: close the socket with 1000 `session lost`… and MUST dial again
#[test]
fn open_below_the_acknowledged_count_loses_session() {
    let mut pair = resumed_with(1);
    assert_eq!(pair.client.state(), SessionState::Suspended);
    assert_eq!(
        pair.take_events(Client),
        Vec::<String>::new(),
        "the application is informed when a fresh session is open"
    );
    let epoch = pair.sockets.last().unwrap().client.epoch;
    let session_lost = CloseFrame::from_static(1000, "session lost");
    assert_eq!(pair.client.attachment_state(epoch), AttachmentState::Leave(session_lost));
    assert_eq!(pair.client.resume_offer(), None);
    assert_eq!(pair.client.reconnect(), Reconnect::Backoff);

    // A dial that fails in the meantime changes nothing.
    pair.connect();
    let epoch = pair.sockets.last().unwrap().client.epoch;
    pair.cut();
    assert_eq!(pair.client.attachment_state(epoch), AttachmentState::Gone);

    pair.connect();
    forge_open(&mut pair, open_of(identity(1).token));
    assert_eq!(pair.client.lost(), Some(LostReason::Unknown));
    assert_eq!(pair.take_events(Client), ["lost c3 and 0", "restored"]);
    assert_eq!((pair.client.counts().received, pair.client.counts().accepted), (0, 0));
}

#[test]
fn lost_session_of_a_closing_client_ends_it() {
    let mut pair = Pair::connected(4);
    pair.send(Client, "c1");
    pair.run();
    pair.cut();
    pair.send(Client, "c2");
    pair.client.close(CloseReason::Local(CloseFrame::from_static(1000, "bye")), pair.now + super::SECOND);
    pair.connect();
    let mut open = open_of(identity(0).token);
    (open.resumed, open.received) = (true, 0);
    forge_open(&mut pair, open);
    assert_eq!(pair.client.ended(), Some(&CloseReason::Local(CloseFrame::from_static(1000, "bye"))));
    assert_eq!(pair.client.counts().unacknowledged, 1);
}

//= PROTOCOL.md#R4.21: for a `received` beyond what it has sent
#[test]
fn open_cannot_acknowledge_unsent_frames() {
    let mut pair = resumed_with(3);
    assert_violation(&mut pair, Client, "acknowledged more than was sent");
    let mut pair = fresh_client();
    let mut open = open_of(identity(0).token);
    open.received = 1;
    forge_open(&mut pair, open);
    assert_violation(&mut pair, Client, "a fresh session has a `received` other than 0");
}

#[test]
fn a_client_keeps_the_smaller_buffer() {
    for (server, client, keeps) in [(4, 9, 4), (9, 4, 4)] {
        let mut pair = Pair::new(|c| c.buffer_frames = server, |c| c.buffer_frames = client);
        pair.connect();
        pair.run();
        for n in 0..keeps {
            pair.send(Client, &format!("c{n}"));
        }
        assert_eq!(pair.try_send(Client, "more", Overflow::Reject), Err(Refused::Full));
    }
}

#[test]
fn excess_frames_before_open_wait_for_acknowledgements() {
    let mut pair = Pair::new(|c| c.buffer_frames = 4, |_| ());
    pair.connect();
    let texts: Vec<_> = (1..=9).map(|n| format!("c{n}")).collect();
    for text in &texts {
        pair.send(Client, text);
    }
    pair.client.close(CloseReason::Local(CloseFrame::from_static(1000, "")), pair.now + super::SECOND);
    pair.write(Server);
    pair.deliver(Client, 1);
    pair.write(Client);
    assert_eq!(pair.in_transit(Server), ["c1", "c2", "c3", "c4"]);
    pair.run();
    let events = pair.take_events(Server);
    assert_eq!(events[0], "connected");
    assert_eq!(events[1..=9], texts);
    assert_eq!(pair.client.counts().unacknowledged, 0);
}

#[test]
fn a_loss_lists_the_unacknowledged_frames() {
    let mut pair = Pair::connected(8);
    for text in ["c1", "c2", "c3"] {
        pair.send(Client, text);
    }
    pair.send(Server, "s0");
    pair.run();
    pair.cut();
    pair.send(Client, "c4");
    pair.skip_events();
    pair.advance(Duration::from_secs(30));
    pair.connect();
    pair.write(Server);
    assert_eq!(pair.in_transit(Client), ["$open"]);
    pair.run();
    assert_eq!(pair.take_events(Client), ["lost c3 c4 and 0", "restored"], "two of three were acknowledged");

    pair.send(Client, "c5");
    pair.send(Server, "s1");
    pair.wait(super::SECOND);
    assert_eq!(pair.take_events(Server), ["connected", "c5"]);
    assert_eq!(pair.take_events(Client), ["s1"]);
    assert_eq!(pair.client.counts().unacknowledged, 0);
    assert_eq!(pair.client.resume_offer(), None, "a client lets the old socket go before it offers");
    pair.cut();
    assert_eq!(pair.client.resume_offer(), Some((&identity(1).token, 1)), "both counts restart");
}

#[test]
fn a_lost_session_says_why() {
    for lost in [Some(LostReason::Codec), Some(LostReason::Identity), Some(LostReason::Unknown), None] {
        let mut pair = Pair::connected(8);
        pair.cut();
        pair.connect();
        pair.skip_events();
        let mut open = open_of(identity(9).token);
        open.lost = lost;
        forge_open(&mut pair, open);
        let expected = Event::Lost { reason: lost, unacknowledged: Vec::new(), dropped: 0 };
        assert_eq!(pair.client.poll_event(), Some(expected));
    }
}

#[test]
fn open_gives_the_lost_reason_once() {
    let mut pair = Pair::connected(8);
    pair.cut();
    pair.advance(Duration::from_secs(30));
    for (resumed, lost) in [(false, Some(LostReason::Unknown)), (true, None)] {
        pair.connect();
        let (epoch, now) = (pair_epoch(&pair), pair.now);
        let Some(Transmit::Control(Control::Open(open))) = pair.server().poll_transmit(epoch, now) else {
            panic!("$open is first");
        };
        assert_eq!((open.resumed, open.lost), (resumed, lost));
        pair.forge(Server, control(Control::Open(open)));
        assert_eq!(pair.client.identity().map(|us| us.token.clone()), Some(identity(1).token));
        pair.cut();
    }
}

#[test]
fn each_lost_session_counts_its_own_losses() {
    let mut pair = Pair::connected(2);
    for round in 0..2 {
        pair.cut();
        for text in ["a", "b", "c"] {
            pair.try_send(Client, text, Overflow::DropOldest).unwrap();
        }
        pair.skip_events();
        pair.advance(Duration::from_secs(30));
        pair.connect();
        pair.run();
        assert_eq!(pair.take_events(Client), ["lost b c and 1", "restored"], "round {round}");
        assert_eq!(pair.client.counts().dropped, round + 1, "over all sessions");
    }
}

#[test]
fn a_loss_counts_evicted_frames_separately() {
    let mut pair = Pair::connected(8);
    for n in 1..=8 {
        pair.send(Client, &format!("c{n}"));
    }
    pair.write(Client);
    pair.try_send(Client, "c9", Overflow::DropOldest).unwrap();
    pair.lose(Client);
    pair.lose(Server);
    pair.skip_events();
    pair.advance(Duration::from_secs(30));
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Client), ["lost c2 c3 c4 c5 c6 c7 c8 c9 and 1", "restored"]);
}

#[test]
fn the_next_open_replaces_a_lost_one() {
    let mut pair = Pair::connected(8);
    pair.send(Client, "c1");
    pair.run();
    pair.cut();
    for _ in 0..3 {
        pair.connect();
        pair.write(Server);
        assert_eq!(pair.in_transit(Client), ["$open"]);
        pair.cut();
    }
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Server)[..3], ["c1", "dropped", "restored"]);
    assert_eq!(
        pair.take_events(Client),
        ["dropped", "restored"],
        "the others were never reported to the client"
    );
    assert_eq!(pair.client.counts().unacknowledged, 0);
}

#[test]
fn a_separate_stream_end_loses_the_socket() {
    let mut pair = Pair::connected(8);
    pair.put(0, Server, Item::End);
    pair.deliver(Client, 1);
    assert_eq!(pair.take_events(Client), ["dropped"]);
}

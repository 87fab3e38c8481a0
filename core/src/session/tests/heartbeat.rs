//! Heartbeat and write timeout (PROTOCOL.md §7, §8).

use std::time::Duration;

use super::pair::Pair;
use super::socket::Item;
use super::{SECOND, data};
use crate::Control;
use crate::session::*;
use Side::{Client, Server};

#[test]
fn pings_a_silent_socket_before_dropping_it() {
    for (side, ping, pong) in [(Server, 10, 30), (Client, 20, 60)] {
        let mut pair = Pair::connected(8);
        let started = pair.now;
        assert_eq!(pair.session(side).poll_timeout(), Some(started + ping * SECOND));
        pair.advance(ping * SECOND - Duration::from_nanos(1));
        let (epoch, now) = (Epoch(1), pair.now);
        assert_eq!(pair.session(side).poll_transmit(epoch, now), None);
        pair.now = started + ping * SECOND;
        let now = pair.now;
        pair.session(side).handle_timeout(now);
        assert_eq!(pair.session(side).poll_transmit(epoch, now), Some(Transmit::Ping));
        assert_eq!(pair.session(side).poll_transmit(epoch, now), None, "once");
        assert_eq!(pair.session(side).poll_timeout(), Some(started + pong * SECOND));
        pair.session(side).handle_timeout(started + pong * SECOND - Duration::from_nanos(1));
        assert_eq!(pair.session(side).state(), SessionState::Connected);
        assert_eq!(pair.session(side).poll_transmit(epoch, now), None, "nor again while an answer is due");
        pair.session(side).handle_timeout(started + pong * SECOND);
        let dropped = Event::Dropped(DropReason::HeartbeatTimeout);
        assert_eq!(pair.session(side).poll_event(), Some(dropped));
        assert_eq!(pair.session(side).attachment_state(epoch), AttachmentState::Gone);
    }
}

#[test]
fn an_active_socket_is_not_pinged() {
    let mut pair = Pair::connected(8);
    for _ in 0..6 {
        pair.advance(9 * SECOND);
        pair.put(0, Client, Item::Pong);
        pair.deliver(Server, 1);
        pair.write(Server);
        assert!(pair.in_transit(Client).is_empty());
    }
    assert_eq!(pair.server().state(), SessionState::Connected);
}

#[test]
fn idle_ends_stay_connected() {
    let mut pair = Pair::connected(8);
    pair.wait(3600 * SECOND);
    assert_eq!(
        (pair.server().state(), pair.client.state()),
        (SessionState::Connected, SessionState::Connected)
    );
    assert_eq!(pair.take_events(Server), [] as [&str; 0]);
}

#[test]
fn a_ping_from_the_peer_is_life_too() {
    let mut pair = Pair::connected(8);
    pair.advance(29 * SECOND);
    pair.put(0, Client, Item::Ping);
    pair.deliver(Server, 1);
    pair.advance(29 * SECOND);
    assert_eq!(pair.server().state(), SessionState::Connected);
}

#[test]
fn a_write_without_progress_is_a_lost_socket() {
    let mut pair = Pair::connected(8);
    let (epoch, started) = (Epoch(1), pair.now);
    let server = pair.server();
    server.handle_written(epoch, 0, 2000, Some(9000), started);
    assert_eq!(server.poll_timeout(), Some(started + 10 * SECOND));
    server.handle_written(epoch, 0, 0, Some(9000), started + 9 * SECOND);
    assert_eq!(server.poll_timeout(), Some(started + 10 * SECOND), "no progress");
    server.handle_written(epoch, 0, 20_000, Some(9000), started + 9 * SECOND);
    server.handle_activity(epoch, started + 9 * SECOND);
    server.handle_timeout(started + 10 * SECOND);
    assert_eq!(server.state(), SessionState::Connected, "slow progress is progress");
    server.handle_written(epoch, 0, 2000, None, started + 10 * SECOND);
    server.handle_timeout(started + 18 * SECOND);
    assert_eq!(server.state(), SessionState::Connected, "everything is written");
    server.handle_written(epoch, 0, 0, Some(9000), started + 18 * SECOND);
    server.handle_timeout(started + 28 * SECOND);
    assert_eq!(pair.take_events(Server), ["dropped"]);
    assert_eq!(pair.server().state(), SessionState::Suspended);
}

#[test]
fn a_crawling_socket_is_lost_on_either_side() {
    for side in [Server, Client] {
        let mut pair = Pair::connected(8);
        let (epoch, started) = (Epoch(1), pair.now);
        let session = pair.session(side);
        session.handle_written(epoch, 0, 0, Some(9000), started);
        for second in 1..10 {
            session.handle_written(epoch, 0, 1000, Some(9000), started + second * SECOND);
            session.handle_timeout(started + second * SECOND);
            assert_eq!(session.state(), SessionState::Connected);
        }
        session.handle_written(epoch, 0, 1000, Some(9000), started + 10 * SECOND);
        assert_eq!(session.poll_timeout(), Some(started + 10 * SECOND), "its driver looks at once");
        session.handle_timeout(started + 10 * SECOND);
        assert_eq!(session.state(), SessionState::Suspended, "{side:?}");
        assert_eq!(session.dropped(), Some(&DropReason::WriteTimeout));
    }
}

#[test]
fn a_slow_reader_survives_an_unanswered_ping() {
    let mut pair = Pair::connected(8);
    let (epoch, started) = (Epoch(1), pair.now);
    let server = pair.server();
    server.handle_written(epoch, 0, 0, Some(90_000), started);
    for second in 1..100 {
        let now = started + second * SECOND;
        server.handle_written(epoch, 0, 2000, Some(90_000), now);
        server.handle_timeout(now);
        assert_eq!(server.state(), SessionState::Connected, "after {second} s");
        assert!(server.poll_timeout().is_some_and(|due| due > now));
        server.poll_transmit(epoch, now);
    }
    // From now on the pong timeout runs: with so few bytes pending, progress does not count as life.
    for second in 100..130 {
        let now = started + second * SECOND;
        server.handle_written(epoch, 0, 10, Some(1000), now);
        server.handle_timeout(now);
        assert_eq!(server.state(), SessionState::Connected, "after {second} s");
        server.poll_transmit(epoch, now);
    }
    server.handle_written(epoch, 0, 10, Some(1000), started + 130 * SECOND);
    server.handle_timeout(started + 130 * SECOND);
    assert_eq!(server.dropped(), Some(&DropReason::HeartbeatTimeout));
}

#[test]
fn a_new_socket_starts_with_fresh_write_timeout() {
    let mut pair = Pair::connected(8);
    let (epoch, started) = (Epoch(1), pair.now);
    pair.server().handle_written(epoch, 0, 2000, Some(9000), started);
    pair.lose(Client);
    pair.connect();
    pair.advance(20 * SECOND);
    assert_eq!(pair.server().state(), SessionState::Connected);
    assert!(pair.server().poll_timeout().unwrap() > pair.now);
}

#[test]
fn a_new_socket_starts_with_fresh_pong_timeout() {
    for written in [false, true] {
        let mut pair = Pair::connected(8);
        pair.advance(10 * SECOND);
        if written {
            pair.write(Server);
            assert_eq!(pair.in_transit(Client), ["ping"]);
        }
        pair.lose(Client);
        pair.connect();
        pair.write(Server);
        assert_eq!(pair.in_transit(Client), ["$open"]);
        pair.deliver(Client, 1);
        pair.advance(10 * SECOND);
        pair.write(Server);
        assert_eq!(pair.in_transit(Client), ["ping"]);
        pair.advance(19 * SECOND);
        assert_eq!(pair.server().state(), SessionState::Connected);
        pair.advance(SECOND);
        assert_eq!(pair.server().state(), SessionState::Suspended);
    }
}

#[test]
fn a_blocked_acknowledgement_causes_no_busy_loop() {
    let mut pair = Pair::connected(4);
    pair.send(Client, "c1");
    pair.write(Client);
    pair.deliver(Server, 1);
    let (epoch, now) = (Epoch(1), pair.now);
    let server = pair.server();
    assert_eq!(server.poll_timeout(), Some(now), "due");
    server.handle_written(epoch, 0, 0, Some(9000), now);
    assert!(server.poll_timeout().unwrap() > now, "the driver asks again when it can write");
    server.handle_written(epoch, 0, 2000, None, now);
    assert_eq!(server.poll_transmit(epoch, now), Some(Transmit::Control(Control::Ack(1))));
}

#[test]
fn silence_does_not_count_while_reading_is_paused() {
    let mut pair = Pair::new(|c| (c.inbox_frames, c.buffer_frames) = (1, 1), |_| ());
    pair.connect();
    pair.run();
    for _ in 0..3 {
        pair.put(0, Client, Item::Frame(data("c")));
    }
    pair.deliver(Server, 3);
    assert!(!pair.server().wants_read());
    for _ in 0..100 {
        pair.advance(9 * SECOND);
        pair.write(Server);
    }
    assert_eq!(pair.server().state(), SessionState::Connected);
    assert!(!pair.in_transit(Client).contains(&"ping".to_owned()));
    pair.take_events(Server);
    assert!(pair.server().wants_read());
    pair.advance(29 * SECOND);
    assert_eq!(pair.server().state(), SessionState::Connected, "the silence begins when we listen again");
    pair.advance(10 * SECOND);
    assert_eq!(pair.server().state(), SessionState::Suspended);
}

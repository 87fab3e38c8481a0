//! Credentials that expire while their socket is attached (PROTOCOL.md §7).

use super::SECOND;
use super::closing::{close, local};
use super::pair::Pair;
use crate::CloseFrame;
use crate::session::*;
use Side::{Client, Server};

/// A connected pair whose client has credentials for ten seconds.
fn expiring() -> Pair {
    let mut pair = Pair::connected(8);
    let at = pair.now + 10 * SECOND;
    pair.server().set_expiry(Some(at));
    pair
}

#[test]
fn expired_credentials_suspend_and_a_resume_continues() {
    let mut pair = expiring();
    pair.wait(9 * SECOND);
    assert_eq!(pair.server().state(), SessionState::Connected);
    pair.wait(SECOND);
    let expired = CloseFrame::CREDENTIALS_EXPIRED;
    assert_eq!((expired.code, &*expired.reason), (3000, "credentials expired"));
    assert_eq!(pair.server().state(), SessionState::Suspended);
    assert_eq!(pair.client.dropped(), Some(&DropReason::Closed(Some(expired.clone()))));
    assert_eq!(pair.client.reconnect(), Reconnect::Backoff);
    pair.send(Server, "1");
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Client), ["dropped", "restored", "1"]);
    assert_eq!(pair.take_events(Server), ["dropped", "restored"]);
    // The next socket has credentials of its own.
    pair.wait(100 * SECOND);
    assert_eq!(pair.server().state(), SessionState::Connected);
}

#[test]
fn expiry_wakes_an_idle_session() {
    let mut pair = Pair::connected(8);
    let at = pair.now + SECOND;
    assert!(pair.server().poll_timeout() > Some(at), "nothing else is due before");
    pair.server().set_expiry(Some(at));
    assert_eq!(pair.server().poll_timeout(), Some(at));
}

#[test]
fn expiring_sockets_acknowledge_before_they_close() {
    let mut pair = expiring();
    pair.advance(9 * SECOND);
    pair.send(Client, "1");
    pair.write(Client);
    pair.deliver(Server, 1);
    pair.advance(SECOND);
    assert_eq!(pair.in_transit(Client), ["$ack 1", "close 3000 credentials expired"]);
    pair.run();
    assert_eq!((pair.client.counts().unacknowledged, pair.client.state()), (0, SessionState::Suspended));
    assert_eq!(pair.server().take_last_ack(Epoch(1)), None, "once");
}

#[test]
fn frames_that_were_read_ahead_arrive_once() {
    let mut pair = Pair::new(|c| c.inbox_frames = 1, |_| ());
    pair.connect();
    for text in ["1", "2", "3"] {
        pair.send(Client, text);
    }
    pair.run();
    let now = pair.now;
    assert!(pair.server().expire_credentials(now));
    assert!(!pair.server().expire_credentials(now), "no socket is attached");
    pair.settle();
    pair.run();
    assert_eq!(pair.client.counts().unacknowledged, 0);
    pair.connect();
    pair.run();
    assert_eq!(pair.take_events(Server), ["connected", "1", "2", "3", "dropped", "restored"]);
}

#[test]
fn without_window_the_session_ends_with_3000() {
    let mut pair = Pair::new(|c| c.resume_window = std::time::Duration::ZERO, |_| ());
    pair.connect();
    pair.run();
    let now = pair.now;
    assert!(pair.server().expire_credentials(now));
    let expired = CloseReason::TransportLost(DropReason::CredentialsExpired);
    assert_eq!(pair.server().ended(), Some(&expired));
    let leaves = AttachmentState::Leave(CloseFrame::CREDENTIALS_EXPIRED);
    assert_eq!(pair.server().attachment_state(Epoch(1)), leaves);
}

#[test]
fn closing_sessions_keep_their_close() {
    let mut pair = expiring();
    pair.send(Server, "1");
    close(&mut pair, Server, local());
    pair.advance(10 * SECOND);
    assert_eq!(pair.server().ended(), Some(&local()));
    let mut pair = expiring();
    close(&mut pair, Server, local());
    let now = pair.now;
    assert!(!pair.server().expire_credentials(now));
}

#[test]
fn expiry_can_be_withdrawn() {
    let mut pair = expiring();
    pair.server().set_expiry(None);
    pair.wait(60 * SECOND);
    assert_eq!(pair.server().state(), SessionState::Connected);
}

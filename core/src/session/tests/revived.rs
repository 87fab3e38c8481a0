//! Sessions of an earlier process, which a store has kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pair::identity;
use crate::session::*;

const WINDOW: Duration = Duration::from_secs(30);

/// A session that has sent seven frames, handled three, and waited for some seconds.
fn revived(waited: u64) -> (Session, Instant) {
    let config = SessionConfig { resume_window: WINDOW, ..SessionConfig::new(Side::Server, Mode::Session) };
    let (now, waited) = (Instant::now(), Duration::from_secs(waited));
    let mut session = Session::revived(Arc::new(config), Arc::new(identity(0)), 7, 3, waited, now);
    session.assume_sent();
    (session, now)
}

#[test]
fn a_revived_session_counts_on_from_its_numbers() {
    let (session, _) = revived(0);
    let counts = session.counts();
    assert_eq!((counts.accepted, counts.unacknowledged, counts.dropped), (7, 0, 0));
    assert_eq!((counts.received, session.handled(), session.uncommitted()), (3, 3, 0));
    assert_eq!((counts.drops, counts.resumed), (1, 0), "the socket that it has lost");
}

#[test]
fn the_window_of_a_revived_session_goes_on() {
    for waited in [0, 1] {
        let (session, now) = revived(waited);
        assert_eq!(session.state(), SessionState::Suspended);
        assert_eq!(session.poll_timeout(), Some(now + WINDOW - Duration::from_secs(waited)));
    }
}

#[test]
fn a_revived_session_takes_the_next_socket_alone() {
    let (mut session, now) = revived(1);
    let epoch = session.reserve();
    assert_eq!(epoch, Epoch(2));
    assert!(matches!(session.attach(Epoch(1), Some(7), now), Err(AttachError::Fenced)));
    session.attach(epoch, Some(7), now).unwrap();
    assert_eq!((session.counts().drops, session.counts().resumed), (1, 1));
}

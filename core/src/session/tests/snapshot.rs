//! Snapshots: a restored session behaves like its original.

mod damage;
mod fixture;
mod twins;

use std::fmt::Write as _;
use std::time::Instant;

use super::oracle::Witness;
use crate::session::snapshot::SessionSnapshot;
use crate::session::*;

/// A snapshot as another process reads it.
fn reread(snapshot: &SessionSnapshot) -> SessionSnapshot {
    let json = serde_json::to_string(snapshot).unwrap();
    let read: SessionSnapshot = serde_json::from_str(&json).unwrap();
    let msgpack = rmp_serde::to_vec(snapshot).unwrap();
    assert_eq!(rmp_serde::from_slice::<SessionSnapshot>(&msgpack).unwrap(), read);
    let named = rmp_serde::to_vec_named(snapshot).unwrap();
    assert_eq!(rmp_serde::from_slice::<SessionSnapshot>(&named).unwrap(), read);
    read
}

/// A session that is restored from a snapshot of this one.
fn copy_of(session: &Session, now: Instant) -> Session {
    let snapshot = reread(&session.snapshot(now));
    Session::from_snapshot(snapshot, session.config.clone(), now).unwrap()
}

/// Changes the session to the one that its snapshot describes: its socket is cut and reports nothing more.
fn detach(session: &mut Session, now: Instant) {
    session.cut(now);
    session.send_buffer.detach();
    // Even an ended session has some state of its last socket.
    session.opened = false;
    session.blocked = None;
}

/// All observable state of a session.
fn observed(session: &Session, now: Instant) -> String {
    let mut text = String::new();
    let mut see = |what: &dyn std::fmt::Debug| write!(text, "{what:?} ").unwrap();
    see(&(session.state(), session.is_open(), session.mode(), session.identity(), session.is_opened()));
    see(&(session.resume_offer(), session.reconnect(), session.dropped(), session.lost(), session.ended()));
    see(&(session.counts(), session.occupied(), session.retained_bytes(), session.events.pending()));
    see(&(session.wants_read(), session.is_blocked(), session.is_flowing(), session.is_falling_behind()));
    see(&(session.can_hibernate(), session.hibernate().is_some(), session.has_capacity(4)));
    see(&(session.has_capacity(40), session.attachment_state(session.epoch)));
    // A deadline that has passed is due now.
    see(&session.poll_timeout().map(|at| at.max(now)));
    text
}

/// Two worlds: in the first the sessions of `side` are detached, in the second they continue from snapshots.
pub(super) fn fork(witness: &Witness, side: Side) -> [Witness; 2] {
    let now = witness.pair.now;
    let fork = |change: fn(&mut Session, Instant)| {
        let mut fork = witness.clone();
        match side {
            Side::Server => fork.pair.servers.iter_mut().for_each(|session| change(session, now)),
            Side::Client => change(&mut fork.pair.client, now),
        }
        fork.pair.settle();
        fork
    };
    let mut forks = [fork(detach), fork(|session, now| *session = copy_of(session, now))];
    let [original, copy] = &mut forks;
    assert_same(original, copy);
    forks
}

/// Asserts that the worlds have the same application records, items in transit, and observable session state.
pub(super) fn assert_same(original: &mut Witness, copy: &mut Witness) {
    original.look();
    copy.look();
    assert_eq!(original.seen(), copy.seen());
    let sessions = |witness: &Witness| {
        let pair = &witness.pair;
        pair.servers
            .iter()
            .chain([&pair.client])
            .map(|session| observed(session, pair.now))
            .collect::<Vec<_>>()
    };
    assert_eq!(sessions(original), sessions(copy));
}

/// Lets the network work again in both worlds, and asserts that they are the same afterwards.
pub(super) fn heal_both(mut original: Witness, mut copy: Witness) {
    original.heal();
    copy.heal();
    copy.check_agreement();
    assert_same(&mut original, &mut copy);
}

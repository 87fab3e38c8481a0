//! Broadcasts reach their audiences: the memberships are in the history, and so are the sessions that accept a frame.

use std::collections::{HashMap, HashSet};

use super::super::history::{FrameNo, History, SessionNo, To, What};
use super::{Findings, Property};

/// The memberships at this point of the history: sessions and rooms.
type Members = HashSet<(SessionNo, usize)>;

pub(super) fn check(history: &History, findings: &mut Findings) {
    let mut members = Members::new();
    let mut audiences = HashMap::<FrameNo, To>::new();
    for entry in &history.entries {
        match entry.what {
            What::Joined { session, room } => {
                members.insert((session, room));
            }
            What::LeftRoom { session, room } => {
                members.remove(&(session, room));
            }
            What::Broadcast { frame, to } => {
                audiences.insert(frame, to);
            }
            // The memberships do not change between a broadcast and these.
            What::Accepted { frame, session } => {
                if let Some(to) = audiences.get(&frame).filter(|to| !includes(**to, session, &members)) {
                    findings.add(Property::Audiences, format!("{frame} to {to:?} reaches s{session}"));
                }
            }
            What::Missed { frame, session } => {
                if let Some(to) = audiences.get(&frame).filter(|to| includes(**to, session, &members)) {
                    findings.add(Property::Audiences, format!("{frame} to {to:?} does not reach s{session}"));
                }
            }
            _ => {}
        }
    }
}

fn includes(to: To, session: SessionNo, members: &Members) -> bool {
    let is_in = |room| members.contains(&(session, room));
    match to {
        To::Room(room) => is_in(room),
        To::Rooms(one, other) => is_in(one) || is_in(other),
        To::Others(room, other) => is_in(room) && session != other,
        To::Outside(room) => !is_in(room),
        To::Everyone => true,
    }
}

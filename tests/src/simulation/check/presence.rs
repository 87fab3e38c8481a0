//! Presence: joins and leaves, absences and returns come in order, and their end is the state that the server shows.

use std::collections::{BTreeMap, BTreeSet};

use super::super::extras::Note;
use super::super::history::{Call, History, SessionNo, What};
use super::{Findings, Property};

/// The reports of a session's callbacks.
#[derive(Debug, Default)]
struct Seen {
    connected: bool,
    over: bool,
    away: bool,
    dropped: bool,
    rooms: BTreeSet<usize>,
}

pub(super) fn check(history: &History, findings: &mut Findings) {
    let mut sessions = BTreeMap::<SessionNo, Seen>::new();
    for entry in &history.entries {
        match &entry.what {
            What::Callback { session, call } => {
                let seen = sessions.entry(*session).or_default();
                if let Some(text) = seen.call(call) {
                    findings.add(Property::Presence, format!("s{session}: {text}"));
                }
            }
            What::Note(note) => {
                let (Note::Join { session, .. }
                | Note::Leave { session, .. }
                | Note::Presence { session, .. }
                | Note::Rooms { session, .. }) = note
                else {
                    continue;
                };
                let seen = sessions.entry(*session).or_default();
                if let Some(text) = seen.note(note) {
                    findings.add(Property::Presence, format!("s{session}: {text}"));
                }
            }
            _ => {}
        }
    }
}

impl Seen {
    /// The fault, if there is one.
    fn call(&mut self, call: &Call) -> Option<String> {
        match call {
            Call::Connect { .. } => self.connected = true,
            Call::Drop(_) => self.dropped = true,
            Call::Restore => self.dropped = false,
            Call::Disconnect { .. } => {
                self.over = true;
                // It has left all rooms before.
                return (!self.rooms.is_empty()).then(|| format!("ends in the rooms {:?}", self.rooms));
            }
            // A message reaches an application that knows that its sender is back.
            Call::Message(_) if self.away => return Some("a message while it is away".into()),
            Call::Message(_) | Call::Gap(..) => {}
        }
        None
    }

    fn note(&mut self, note: &Note) -> Option<String> {
        let is_there = self.connected && !self.over;
        match note {
            _ if !is_there => Some(format!("{note} outside of its life")),
            Note::Join { room, .. } if !self.rooms.insert(*room) => Some(format!("joins {room} twice")),
            Note::Leave { room, .. } if !self.rooms.remove(room) => Some(format!("leaves {room} twice")),
            Note::Presence { away: true, .. } if self.away || !self.dropped => {
                Some("away, and was so or has a socket".into())
            }
            Note::Presence { away: false, .. } if !self.away => Some("back, and was not away".into()),
            Note::Presence { away, .. } => {
                self.away = *away;
                None
            }
            Note::Rooms { rooms, .. } => {
                let expected: Vec<_> = self.rooms.iter().map(|room| (*room, self.away)).collect();
                (*rooms != expected).then(|| format!("is in {rooms:?}, and said {expected:?}"))
            }
            _ => None,
        }
    }
}

//! The memberships of a [`Connection`], as its rooms change them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rejoin_core::drive::{Effects, RoomLog, Subscribed};

use super::Connection;
use crate::session::changes::Change;

impl Connection {
    /// Subscribes the session to a room log, unless it is in `max` rooms.
    pub(crate) fn subscribe(&self, log: &Arc<RoomLog>, max: usize) -> Subscribed {
        let handle = self.handle();
        self.session()
            .subscribe(log, handle.codec_index.into(), max, || self.note(log.room(), Change::Joined))
    }

    /// Drains a room log for the last time, and removes the subscription. The effects must be applied once the room's lock is
    /// released.
    pub(crate) fn unsubscribe(&self, log: &RoomLog) -> Effects {
        self.session().unsubscribe(log, || self.note(log.room(), Change::Left))
    }

    /// The rooms that a session was in when it ended or began to close, the home room last. They are returned once.
    pub(crate) fn take_ended_rooms(&self) -> Vec<Arc<str>> {
        self.session().take_ended_rooms(|room| self.note(room, Change::LeftAtEnd))
    }

    /// Whether a change of its memberships waits to be reported.
    pub(crate) fn has_changes(&self) -> bool {
        self.handle().has_changes.load(Ordering::Acquire)
    }

    /// Notes a change for the callbacks, if the application has any. Runs under the session's lock, or before the session is shared.
    pub(crate) fn note(&self, room: &Arc<str>, change: fn(Arc<str>) -> Change) {
        if self.handle().reports_changes && !room.is_empty() {
            self.context().changes.note(self.number(), change(room.clone()), &self.handle().has_changes);
        }
    }
}

//! [`Callbacks`]: which callbacks of a session have returned, as the log records it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// A callback that has returned. It is committed together with the callback's acts, so a later process repeats a callback only if none
/// of its acts are in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    /// `on_connect`.
    Connected,
    /// `on_join` or `on_leave`, for the oldest unreported change.
    Change,
    /// `on_away`.
    Away,
    /// `on_back`.
    Back,
}

/// The progress of a session's callbacks, at a position in the log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Callbacks {
    pub(crate) is_connected: bool,
    pub(crate) is_away: bool,
    /// The joins (`true`) and leaves that were not reported to a callback, oldest first.
    pub(crate) changes: VecDeque<(bool, String)>,
    /// The session's window has passed: it can no longer be resumed, although its last callbacks have not returned.
    pub(crate) is_over: bool,
}

impl Callbacks {
    /// For a session that begins in these rooms.
    pub(super) fn of_newcomer(rooms: &[String]) -> Self {
        let changes = rooms.iter().filter(|room| !room.is_empty()).map(|room| (true, room.clone()));
        Self { changes: changes.collect(), ..Self::default() }
    }

    /// Records that a callback has returned.
    pub(crate) fn note(&mut self, told: Told) {
        match told {
            Told::Connected => self.is_connected = true,
            Told::Change => drop(self.changes.pop_front()),
            Told::Away => self.is_away = true,
            Told::Back => self.is_away = false,
        }
    }
}

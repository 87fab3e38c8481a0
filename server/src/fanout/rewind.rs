//! [`History`], how much a room keeps, and [`Rewind`], what a newcomer gets of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much of what was broadcast to a room it keeps for newcomers ([`Builder::history`](crate::Builder::history)).
///
/// The oldest frames go first, when any of the three bounds is exceeded. Volatile frames, events that begin
/// with `$`, and broadcasts to everyone are never kept. [`Self::only`] leaves out events that newcomers do not need.
/// The kept bytes count in [`Builder::max_retained_bytes`](crate::Builder::max_retained_bytes). When that limit is reached, histories
/// give way, before any suspended session is evicted: first what is too old and what rooms without members keep, then all histories.
///
/// A room without members keeps its history until its newest frame is too old; up to 10,000 such rooms do, and beyond that the one
/// that lost its last member first forgets it. A frame that is broadcast to a room without members enters the history, too.
///
/// ```
/// # use std::time::Duration;
/// # use rejoin_server::History;
/// let history = History::new().frames(50).age(Duration::from_secs(3600));
/// # let _ = history;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    events: Option<&'static [&'static str]>,
}

impl History {
    /// Keeps up to 256 frames of up to 1 MiB together for up to 5 minutes.
    pub fn new() -> Self {
        Self { frames: 256, bytes: 1 << 20, age: Duration::from_secs(300), events: None }
    }

    /// Keeps nothing.
    pub fn none() -> Self {
        Self { frames: 0, ..Self::new() }
    }

    /// Sets the number of frames. Default 256; at most 65,536; 0 keeps nothing. A newcomer gets at most as many as its
    /// [`send_buffer`](crate::Builder::send_buffer) takes.
    #[must_use]
    pub fn frames(self, frames: usize) -> Self {
        Self { frames, ..self }
    }

    /// Sets the bytes of all frames together, encoded. Default 1 MiB; at least 1. With several codecs, the largest encoding
    /// counts. Segments of up to 64 frames share their memory, so that a few more may stay in it.
    #[must_use]
    pub fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// Sets the age of the oldest frame. Default 5 minutes; more than 0.
    #[must_use]
    pub fn age(self, age: Duration) -> Self {
        Self { age, ..self }
    }

    /// Keeps only frames with these events, for example chat messages but not notices of joins and leaves. Default: all events.
    ///
    /// ```
    /// # use rejoin_server::History;
    /// let history = History::new().frames(100).only(&["edited", "commented"]);
    /// # let _ = history;
    /// ```
    #[must_use]
    pub fn only(self, events: &'static [&'static str]) -> Self {
        Self { events: Some(events), ..self }
    }

    /// Whether a frame with this event is kept.
    pub(crate) fn has_event(self, event: &str) -> bool {
        self.events.is_none_or(|events| events.contains(&event))
    }

    pub(crate) fn is_valid(self) -> bool {
        self.frames <= 65_536 && self.bytes > 0 && !self.age.is_zero()
    }
}

impl Default for History {
    /// As [`History::new`].
    fn default() -> Self {
        Self::new()
    }
}

/// How much each room keeps.
#[derive(Clone)]
pub(crate) struct Histories {
    pub(crate) usual: History,
    /// Overrides `usual`. It is foreign code, and is called without any lock.
    pub(crate) of_room: Option<HistoryOf>,
}

impl Histories {
    /// Whether any room may keep a history.
    pub(crate) fn are_kept(&self) -> bool {
        self.of_room.is_some() || self.usual != History::none()
    }
}

/// What a room keeps, by its name.
type HistoryOf = Arc<dyn Fn(&str) -> History + Send + Sync>;

impl Default for Histories {
    fn default() -> Self {
        Self { usual: History::none(), of_room: None }
    }
}

impl Histories {
    /// The bounds of this room's history; `None` if it keeps none.
    pub(crate) fn of(&self, room: &str) -> Option<History> {
        let history = match &self.of_room {
            Some(of_room) if !room.is_empty() => of_room(room),
            _ => self.usual,
        };
        // A room without a name belongs to connections without a room.
        Some(history).filter(|history| history.frames > 0 && history.is_valid() && !room.is_empty())
    }
}

impl fmt::Debug for Histories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histories").field("usual", &self.usual).finish_non_exhaustive()
    }
}

/// What a newcomer gets of a room's history: the number of its last frames, their age, or the frame after which they came.
///
/// ```
/// # use std::time::Duration;
/// # use rejoin_server::{Connection, JoinError};
/// # async fn example(connection: Connection) -> Result<(), JoinError> {
/// connection.join("news").rewind(50).await?;
/// connection.join("scores").rewind(Duration::from_secs(60)).await?;
/// let rewound = connection.join("answer-7").rewind("token-41").await?;
/// if !rewound.is_complete {
///     // The history no longer has the frame with the ID `token-41`.
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Rewind {
    /// This number of frames.
    Last(usize),
    /// The frames of this time.
    Within(Duration),
    /// The frames after the last one with this ID; all of them if the history does not have it.
    After(Box<str>),
}

impl From<usize> for Rewind {
    fn from(frames: usize) -> Self {
        Self::Last(frames)
    }
}

impl From<Duration> for Rewind {
    fn from(age: Duration) -> Self {
        Self::Within(age)
    }
}

impl From<&str> for Rewind {
    fn from(id: &str) -> Self {
        Self::After(id.into())
    }
}

/// What a newcomer has got of a room's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rewound {
    /// Whether the connection was not a member before. If it was, it has got nothing.
    pub is_new: bool,
    /// The number of frames that were queued, before all later ones.
    pub frames: usize,
    /// Whether the connection has got everything that was asked for: the history had not forgotten any of it, and the send buffer
    /// took it.
    pub is_complete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_history_have_ranges() {
        let usual = History::new();
        for valid in
            [usual, History::none(), usual.frames(65_536), usual.bytes(1), usual.age(Duration::from_nanos(1))]
        {
            assert!(valid.is_valid(), "{valid:?}");
        }
        for invalid in [usual.frames(65_537), usual.bytes(0), usual.age(Duration::ZERO)] {
            assert!(!invalid.is_valid(), "{invalid:?}");
        }
    }

    #[test]
    fn a_history_has_its_documented_defaults() {
        let History { frames, bytes, age, events } = History::new();
        assert_eq!((frames, bytes, age, events), (256, 1_048_576, Duration::from_secs(300), None));
        assert_eq!(History::default(), History::new());
    }
}

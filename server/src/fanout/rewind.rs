//! [`History`], the frames that a room keeps, and [`Rewind`], the part of them that a newcomer gets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many broadcasts a room keeps for newcomers ([`Builder::history`](crate::Builder::history)).
///
/// When any of the three limits is exceeded, the oldest frames are removed. Volatile frames, events that begin with `$`, and broadcasts
/// to everyone are never kept. [`Self::only`] leaves out events that newcomers do not need. The kept bytes count in
/// [`Builder::max_retained_bytes`](crate::Builder::max_retained_bytes). When that limit is reached, histories are removed before any
/// suspended session is evicted: first expired frames and the histories of rooms without members, then all others.
///
/// A room without members keeps its history until its newest frame expires. At most 10,000 such rooms keep one; beyond that, the one
/// that has been without members for longest is removed. A frame that is broadcast to a room without members enters the history, too.
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

    /// Sets the total size of all frames, encoded. Default 1 MiB; at least 1. With several codecs, the largest encoding counts. Up to
    /// 64 frames share a memory segment, so slightly more memory may be in use.
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

/// The limits of a room's history, by the room's name.
type HistoryOf = Arc<dyn Fn(&str) -> History + Send + Sync>;

impl Default for Histories {
    fn default() -> Self {
        Self { usual: History::none(), of_room: None }
    }
}

impl Histories {
    /// The limits of this room's history; `None` if it keeps none.
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

/// The part of a room's history that a newcomer gets: a number of its last frames, those of a duration, or those after a given frame.
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
    /// The frames of this last duration.
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

/// The result of a rewind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rewound {
    /// Whether the connection was not a member before. If it was, it gets no frames.
    pub is_new: bool,
    /// The number of frames that were queued, before all later ones.
    pub frames: usize,
    /// Whether the connection gets all requested frames: the history still had them, and the send buffer had capacity.
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

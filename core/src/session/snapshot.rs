//! [`SessionSnapshot`]: the state of a session as plain data, which outlives the process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::LostReason;

use super::serial;
use super::{CloseReason, DropReason, Mode, Reconnect, SessionConfig, SessionIdentity, Side};

pub use super::delivery::Deliveries;
pub use super::event_queue::{PendingEvent, Unreported};
pub use super::receiver::ReceivedCounts;
pub use super::send_buffer::{EvictedInFlight, RewoundFrames};
pub use super::sent::Sent;

mod check;
mod export;
mod import;
pub use check::SnapshotError;

/// The version of the serialized form that this code writes, and the only one that it reads.
const VERSION: u32 = 1;

/// The state of one side of a session, without its socket.
///
/// [`Session::snapshot`](crate::Session::snapshot) takes one, [`Session::from_snapshot`](crate::Session::from_snapshot) continues
/// with it, in the same process or another. Between the two it can be serialized with any serde format: it contains no references
/// and no points in time, only durations up to the moment at which it was taken. It holds the session's token and messages of
/// both directions, so it must be protected like them.
///
/// # A session without its socket
/// A socket does not survive its process, so a snapshot of a session with an attached socket describes the same session after the
/// socket was [cut](crate::Session::cut): [suspended](crate::SessionState::Suspended), or ended if it has no resume window.
/// Frames and acknowledgements in transit are lost with the socket, and the resume replays them, as after any other loss. In
/// plain mode, messages that the socket did not write completely will be written again.
///
/// # State
/// A session with [`Self::ended`] is closed. Any other session with [`Progress::suspended_for`] is suspended. A session with
/// neither is new: no socket has been attached to it yet.
///
/// # Serialized form
/// A struct of structs with the names below; variants of enums have their Rust names in `snake_case`. Times are whole numbers of
/// nanoseconds, in fields whose name ends in `_ns`. Messages are base64 in human-readable formats, bytes in others. A suspended
/// session of a server that keeps one message, in JSON:
///
/// ```json
#[doc = include_str!("tests/snapshot/example.json")]
/// ```
///
/// # Versions
/// `version` comes first. Version 1 is the only one. A snapshot of another version fails to deserialize, with an error that names
/// both versions, because code cannot know what a later version means. Version 1 changes only by fields that are added at the end
/// of a struct with a default that means what their absence did; any other change increments the version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionSnapshot {
    #[serde(deserialize_with = "known_version")]
    version: u32,
    /// The side of the session.
    pub side: Side,
    /// The mode of the session.
    pub mode: Mode,
    /// Session mode: token, connection ID and room. `None` on a client before the first `$open`, and in plain mode.
    pub identity: Option<Arc<SessionIdentity>>,
    /// The counts and numbers of the session.
    pub progress: Progress,
    /// The frames that the peer may still need.
    pub unacknowledged: Unacknowledged,
    /// Events that the application has not taken, oldest first.
    pub events: Vec<PendingEvent>,
    /// Why the last lost socket was lost. [Hibernation](crate::Hibernated) forgets it.
    pub dropped: Option<DropReason>,
    /// A close that waits until accepted frames are delivered.
    pub closing: Option<PendingClose>,
    /// Why the session has ended.
    pub ended: Option<CloseReason>,
    /// Client: how to reconnect.
    pub reconnect: Reconnect,
    /// Client: the limits that the last `$open` announced. `None` before the first one.
    pub announced: Option<Announced>,
    /// Client: the server has ended the session, so the next dial does not offer it.
    pub retired: bool,
    /// Client: losses that were not reported because the application had closed the session.
    pub unreported: Option<Unreported>,
}

/// The counts and numbers of a session, in a [`SessionSnapshot`]. A suspended session of a server that keeps no frames and has no
/// events consists of nothing else, so this is what [`Hibernated`](crate::Hibernated) stores.
// Fields that are usually 0 come last, because `Hibernated` leaves out zeros at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// How long the session has been without a socket. Remains set if the session ends while it is suspended.
    #[serde(rename = "suspended_for_ns", with = "serial::nanos_or_none")]
    pub suspended_for: Option<Duration>,
    /// Counts of the session's sockets.
    pub sockets: Sockets,
    /// The largest message that the peer accepts, in bytes; `None` if it has not announced a limit.
    pub max_message: Option<u32>,
    /// Numbers of the data frames that this side sends.
    pub outgoing: Outgoing,
    /// Statistics of the data frames that were sent to sockets.
    pub sent: Sent,
    /// Counts of the data frames that were received.
    pub received: ReceivedCounts,
    /// Why a session was not resumed. Server: the value for the next `$open`. Client: the value of the last `$open`, or the
    /// client's own finding.
    pub lost: Option<LostReason>,
    /// Number of answers without an asker.
    #[serde(default)]
    pub stray_answers: u64,
    /// Number of volatile frames that were dropped, in both directions.
    #[serde(default)]
    pub volatile_dropped: u64,
}

/// Counts of a session's sockets, in a [`SessionSnapshot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sockets {
    /// The highest epoch that was reserved for a socket.
    pub reserved: u64,
    /// The epoch of the last socket that was attached; 0 before the first.
    pub epoch: u64,
    /// Number of attached sockets that were lost.
    pub drops: u32,
    /// Number of times another socket was attached and the session continued.
    pub resumed: u32,
}

/// Numbers of the data frames that a side sends, in a [`SessionSnapshot`]. The first frame of a session has number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Outgoing {
    /// Number of the last frame that was accepted.
    pub accepted: u64,
    /// Session mode: number of the last frame that was sent to the last socket, as a frame or in a gap. Plain mode: the number
    /// before the first kept message.
    pub cursor: u64,
    /// Number of the last frame that was sent to any socket: the highest count that the peer can have.
    pub sent: u64,
    /// The peer has acknowledged all frames up to this number.
    pub acknowledged: u64,
    /// Number of frames that were evicted before they were sent, or that a resume found missing.
    pub dropped: u64,
}

/// The frames that the peer may still need, in a [`SessionSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unacknowledged {
    /// The messages that are kept, in ascending order of their numbers. Numbers between two runs, or after the last, are gaps.
    pub kept: Vec<SnapshotRun>,
    /// Frames that were evicted after they had been sent. If a resume asks for them, they are gaps.
    pub evicted_in_flight: Option<EvictedInFlight>,
    /// The frames whose delivery is awaited.
    pub deliveries: Option<Deliveries>,
    /// Plain mode: number of frames that were not delivered when the session ended and its messages were freed.
    pub abandoned: u64,
    /// Messages among them that come from the history of a room.
    #[serde(default)]
    pub rewound: Option<RewoundFrames>,
}

/// Messages with consecutive numbers, in a [`SessionSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SnapshotRun {
    /// The number of the first message.
    pub first: u64,
    /// The messages as passed to [`Session::send`](crate::Session::send): encoded by the session's codec, and on a server with
    /// the WebSocket header. At least one.
    #[serde(with = "serial::messages")]
    pub messages: Vec<Bytes>,
}

/// A close that waits until accepted frames are delivered, in a [`SessionSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingClose {
    /// Why the session closes.
    pub reason: CloseReason,
    /// Time until the session ends even if frames are undelivered.
    #[serde(rename = "remaining_ns", with = "serial::nanos")]
    pub remaining: Duration,
}

/// The limits that a server has announced to a client, in a [`SessionSnapshot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Announced {
    /// Number of data frames that the server keeps: 1 to 65,536.
    pub buffer_frames: u32,
    /// Number of bytes that the server keeps: at least 1, capped at `u32::MAX`.
    pub buffer_bytes: u32,
}

impl SessionSnapshot {
    /// The version of the serialized form.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Server: how long the session waits for a socket before it ends. `None` if it is not suspended.
    pub fn remaining_window(&self, config: &SessionConfig) -> Option<Duration> {
        let suspended_for = self.progress.suspended_for.filter(|_| self.ended.is_none())?;
        (self.side == Side::Server).then(|| config.resume_window.saturating_sub(suspended_for))
    }
}

/// Accepts the version of this code only, before anything is read that another version may have changed.
fn known_version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(from)?;
    if version == VERSION {
        return Ok(version);
    }
    Err(de::Error::custom(format_args!(
        "unknown version of a session snapshot: {version} (expected {VERSION})"
    )))
}

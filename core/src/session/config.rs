//! [`SessionConfig`]: the limits of a session, shared by all sessions of one server or client.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which side of a session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "a session has two ends")]
pub enum Side {
    /// Opens sessions, keeps them while they are suspended, and ends them when their window has passed.
    Server,
    /// Learns about its session from `$open`, and resumes it.
    Client,
}

/// The two modes of PROTOCOL.md §1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "PROTOCOL.md §1 has these two")]
pub enum Mode {
    /// Data frames only, for any WebSocket client.
    Plain,
    /// Data frames are counted and acknowledged, with control frames between them.
    Session,
}

/// The limits and timeouts of a session. All sessions of a server or client share one value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionConfig {
    /// Server or client.
    pub side: Side,
    /// Plain or session mode.
    pub mode: Mode,
    /// Maximum number of data frames kept for the peer: in session mode until they are acknowledged, in plain mode until they
    /// are written. Default 256.
    pub buffer_frames: u32,
    /// Maximum number of bytes kept for the peer. A single frame may exceed it. Default 1 MiB.
    pub buffer_bytes: usize,
    /// Server: the largest accepted message in bytes, announced in `$open`. The transport enforces it. Default 64 MiB.
    pub max_message: usize,
    /// Number of data frames that are counted before the application takes them. When it is reached, a session in session mode
    /// continues to read for acknowledgements, and up to the peer's `buffer` of data frames wait uncounted; in plain mode reading
    /// stops. Default 64.
    pub inbox_frames: usize,
    /// Number of bytes that are counted before the application takes them; in session mode, also the maximum of uncounted
    /// bytes. A single frame may exceed it. If it is below the peer's `buffer_bytes`, an acknowledgement may be unreachable
    /// until the application takes events. Default 1 MiB.
    pub inbox_bytes: usize,
    /// Maximum time before a data frame is acknowledged, unless the peer asks earlier (PROTOCOL.md §4). Default 1 s.
    pub ack_delay: Duration,
    /// Idle time after which a socket is pinged. Default 10 s on a server, 20 s on a client.
    pub ping_interval: Duration,
    /// Idle time after which a socket counts as lost. Default 30 s on a server, 60 s on a client.
    pub pong_timeout: Duration,
    /// A socket that takes no bytes for this time although some are pending counts as lost. So does one that takes less than
    /// 1 KiB/s on average over this time while more than 1 KiB is pending. Default 10 s.
    pub write_timeout: Duration,
    /// Whether outgoing frames that are dropped are kept for [`Session::poll_discarded`](super::Session::poll_discarded). Default:
    /// no.
    pub reports_discarded: bool,
    /// Whether a session whose window passes keeps its unacknowledged messages for
    /// [`Session::take_expired`](super::Session::take_expired). Default: no.
    pub keeps_expired: bool,
    /// Server: whether a received frame is acknowledged only after [`Session::commit`](super::Session::commit) (PROTOCOL.md §4), because
    /// a store keeps the session. Default: no.
    pub commits: bool,
    /// How long a session outlives its socket; zero disables resuming. Only the server's value matters. Default 30 s.
    pub resume_window: Duration,
}

impl SessionConfig {
    /// The defaults of PROTOCOL.md for this side and mode. Values are not validated; that is up to the code that takes options
    /// from users.
    pub fn new(side: Side, mode: Mode) -> Self {
        let (ping, pong) = match side {
            Side::Server => (10, 30),
            Side::Client => (20, 60),
        };
        Self {
            side,
            mode,
            buffer_frames: 256,
            buffer_bytes: 1 << 20,
            max_message: 64 << 20,
            inbox_frames: 64,
            inbox_bytes: 1 << 20,
            ack_delay: Duration::from_secs(1),
            ping_interval: Duration::from_secs(ping),
            pong_timeout: Duration::from_secs(pong),
            write_timeout: Duration::from_secs(10),
            reports_discarded: false,
            keeps_expired: false,
            commits: false,
            resume_window: Duration::from_secs(30),
        }
    }
}

/// Converts to `u32`, saturating: no real limit exceeds 4 GiB.
pub(super) fn clamp(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_the_defaults_of_the_protocol() {
        let secs = Duration::from_secs;
        for (side, ping, pong) in [(Side::Server, secs(10), secs(30)), (Side::Client, secs(20), secs(60))] {
            let config = SessionConfig::new(side, Mode::Session);
            assert_eq!((config.side, config.mode), (side, Mode::Session));
            assert_eq!((config.ping_interval, config.pong_timeout), (ping, pong));
            assert_eq!((config.buffer_frames, config.buffer_bytes), (256, 1_048_576));
            assert_eq!((config.inbox_frames, config.inbox_bytes), (64, 1_048_576));
            assert_eq!((config.max_message, config.ack_delay), (67_108_864, secs(1)));
            assert_eq!((config.write_timeout, config.resume_window), (secs(10), secs(30)));
        }
    }
}

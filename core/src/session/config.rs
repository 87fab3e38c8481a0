//! [`SessionConfig`]: what a session is allowed, shared by all sessions of one server or client.

use std::time::Duration;

/// Which end of a session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a session has two ends")]
pub enum Side {
    /// Opens sessions, keeps them while they are suspended, lets their window run.
    Server,
    /// Learns of its session by `$open` and resumes it.
    Client,
}

/// The two modes of PROTOCOL.md §1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "PROTOCOL.md §1 has these two")]
pub enum Mode {
    /// Data frames only: any WebSocket client.
    Plain,
    /// Data frames are counted and acknowledged; control frames stand between them.
    Session,
}

/// What a session is allowed. One value is shared by all sessions of a server or client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionConfig {
    /// Server or client.
    pub side: Side,
    /// Plain or session mode.
    pub mode: Mode,
    /// Data frames kept for the peer: in session mode until they are acknowledged, in plain mode until they are written.
    /// Default 256.
    pub buffer_frames: u32,
    /// Bytes kept for the peer. One frame is always allowed, however big. Default 1 MiB.
    pub buffer_bytes: usize,
    /// Server: the largest message that is accepted, in bytes, as `$open` announces it. The transport is what refuses a larger
    /// one. Default 64 MiB.
    pub max_message: usize,
    /// Data frames counted ahead of the application. In session mode the socket is read on for the acknowledgements behind
    /// them: as many data frames as the peer keeps wait uncounted. In plain mode the peer has to wait. Default 64.
    pub inbox_frames: usize,
    /// Bytes counted ahead of the application; in session mode, also the bytes that wait uncounted. One frame always may,
    /// however big. With less than the peer's `buffer_bytes`, an acknowledgement can be out of reach until the application
    /// goes on. Default 1 MiB.
    pub inbox_bytes: usize,
    /// The longest that a data frame stays unacknowledged, unless the peer asks (PROTOCOL.md §4). Default 1 s.
    pub ack_delay: Duration,
    /// A socket on which nothing arrived for so long is pinged. Default 10 s on a server, 20 s on a client.
    pub ping_interval: Duration,
    /// A socket on which nothing arrived for so long is given up. Default 30 s on a server, 60 s on a client.
    pub pong_timeout: Duration,
    /// A socket that takes nothing of what there is to write for this time counts as lost; so does one that takes less than 1 KiB/s
    /// on average over this time while more than 1 KiB is pending. Default 10 s.
    pub write_timeout: Duration,
    /// How long a session outlives its socket; zero turns resuming off. Only the server's matters. Default 30 s.
    pub resume_window: Duration,
}

impl SessionConfig {
    /// The defaults of PROTOCOL.md for this side and mode. Nothing is checked: ranges are for whoever takes options from
    /// people.
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
            resume_window: Duration::from_secs(30),
        }
    }
}

//! [`History`]: everything that happened in one simulation, in order.

use std::fmt;
use std::time::Duration;

use super::extras::Note;

/// Everything that happened, in order: an effect comes after its cause.
#[derive(Debug, Clone, Default)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing more to it")]
pub struct History {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// One event and its time.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing more to it")]
pub struct Entry {
    /// The time since the start.
    pub at: Duration,
    /// The event.
    pub what: What,
}

/// A frame's number, unique over all senders and receivers.
pub type FrameNo = u64;

/// A client's number; each `connect` creates another client.
pub type ClientNo = usize;

/// The number of a server's session; each upgrade that could open one has its own.
pub type SessionNo = u64;

/// The kinds of events.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_enums, reason = "a checker has to know each")]
pub enum What {
    /// An action on the network or on an application, for readers only.
    Order(String),
    /// A server has started, with these limits on the bytes that it retains in total and for one session.
    ServerStarted {
        /// The number of the server.
        server: usize,
        /// `max_retained_bytes`, plus the bytes that several threads may add at the same moment.
        max_retained: usize,
        /// `send_buffer_bytes`, or the largest frame if that is larger.
        max_session: usize,
    },
    /// `Server::shutdown` has returned.
    ServerEnded {
        /// The number of the server.
        server: usize,
        /// The number of sessions that were dropped.
        left: usize,
        /// Whether it had little or no time, as in a crash.
        crashed: bool,
    },
    /// `ConnectFn` has accepted a request. If that opens a session, it has this number.
    Asked {
        /// The session.
        session: SessionNo,
        /// The server.
        server: usize,
        /// The requesting client.
        client: ClientNo,
    },
    /// A callback has started.
    Callback {
        /// The session.
        session: SessionNo,
        /// The callback.
        call: Call,
    },
    /// A callback has returned.
    Returned {
        /// The session.
        session: SessionNo,
    },
    /// `Server::kick` has returned.
    Kicked {
        /// The session.
        session: SessionNo,
    },
    /// A call to send has started.
    Offered {
        /// The frame.
        frame: FrameNo,
        /// Its sender or its receiver.
        way: Way,
        /// The kind of call.
        how: How,
    },
    /// A server's session has accepted a frame, according to its counts.
    Accepted {
        /// The frame.
        frame: FrameNo,
        /// The session.
        session: SessionNo,
    },
    /// A call to send has returned, or its future was dropped.
    Answered {
        /// The frame.
        frame: FrameNo,
        /// Its result.
        outcome: Outcome,
    },
    /// A broadcast; the sessions that have accepted it follow.
    Broadcast {
        /// The frame.
        frame: FrameNo,
        /// The audience.
        to: To,
    },
    /// An open session has not accepted a broadcast that no session refuses.
    Missed {
        /// The frame.
        frame: FrameNo,
        /// The session.
        session: SessionNo,
    },
    /// A session is a member of a room from here on.
    Joined {
        /// The session.
        session: SessionNo,
        /// The room.
        room: usize,
    },
    /// A session is no member of a room from here on.
    LeftRoom {
        /// The session.
        session: SessionNo,
        /// The room.
        room: usize,
    },
    /// A client has connected.
    Connected {
        /// The client.
        client: ClientNo,
        /// Whether it is in plain mode.
        plain: bool,
        /// Whether the client may drop frames that it sends.
        may_drop: bool,
    },
    /// A client has received an event.
    Told {
        /// The client.
        client: ClientNo,
        /// The event.
        tale: Tale,
    },
    /// A client's application closes or aborts.
    Left {
        /// The client.
        client: ClientNo,
    },
    /// A client's task has ended.
    Ended {
        /// The client.
        client: ClientNo,
        /// `Closed::unacknowledged`.
        unacknowledged: u64,
        /// The result of `take_unacknowledged`.
        kept: Vec<FrameNo>,
    },
    /// `Server::stats`.
    Sample {
        /// The server.
        server: usize,
        /// `Stats::retained_bytes`.
        retained: usize,
        /// The bytes that cannot be freed: those of sessions that are attached, or closing, and those that sockets may be writing.
        /// Sessions whose sockets keep up may exceed the total limit.
        busy: usize,
        /// The bytes of the session that retains most.
        most: usize,
    },
    /// After a long time without faults the simulation has come to rest: every pending report has been delivered.
    Rest,
    /// At rest: a session that is alive.
    Quiet {
        /// The session.
        session: SessionNo,
        /// Whether it has a socket.
        attached: bool,
        /// Its counts.
        counts: Numbers,
    },
    /// At rest: a client that has not ended.
    QuietClient {
        /// The client.
        client: ClientNo,
        /// Whether it is connected.
        connected: bool,
    },
    /// Of questions, presence, limits, credentials and drains.
    Note(Note),
    /// The number of tasks that remain when everything has ended.
    TasksLeft(usize),
    /// Something did not end.
    Stuck(&'static str),
}

/// The audience of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a checker has to know each")]
pub enum To {
    /// A room.
    Room(usize),
    /// Two rooms.
    Rooms(usize, usize),
    /// A room without a session.
    Others(usize, SessionNo),
    /// Everyone without the members of a room.
    Outside(usize),
    /// Everyone.
    Everyone,
}

/// A server's callbacks.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_enums, reason = "a checker has to know each")]
pub enum Call {
    /// `on_connect`
    Connect {
        /// Whether it is in plain mode.
        plain: bool,
    },
    /// `on_message`
    Message(FrameNo),
    /// `on_transport_drop`
    Drop(String),
    /// `on_transport_restore`
    Restore,
    /// `on_gap`
    Gap(u64, u64),
    /// `on_disconnect`
    Disconnect {
        /// Why.
        why: String,
        /// The meaning of the reason for the checker.
        end: End,
        /// The session's counts.
        counts: Numbers,
    },
}

/// The counts of a session.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs, reason = "a checker has to know each")]
pub struct Numbers {
    /// Data frames received.
    pub received: u64,
    /// Data frames accepted.
    pub accepted: u64,
    /// The number of them that were dropped.
    pub dropped: u64,
    /// The number of them that are not known to have arrived.
    pub unacknowledged: u64,
    /// Retained bytes.
    pub retained: usize,
    /// Answers received to no question of this session, for example to one of an earlier session.
    pub strays: u64,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a checker has to know each")]
pub enum End {
    /// The application of this side ended it: messages that it had not handled are discarded.
    Deaf,
    /// One side reports a protocol error, or a message that is too large.
    Accused,
    /// Anything else.
    Other,
}

/// A client's events.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_enums, reason = "a checker has to know each")]
pub enum Tale {
    /// `Event::Message`
    Message(FrameNo),
    /// `Event::Disconnected`
    Dropped(String),
    /// `Event::Reconnected`
    Restored {
        /// Whether the session was resumed.
        resumed: bool,
    },
    /// `Event::Gap`
    Gap(u64, u64),
    /// `Event::SessionLost`, with the frames that were never acknowledged.
    Lost(Vec<FrameNo>),
    /// `Event::Closed`
    Closed {
        /// Why.
        why: String,
        /// The meaning of the reason for the checker.
        end: End,
    },
}

/// The direction of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a connection has two directions")]
pub enum Way {
    /// From this client.
    ToServer(ClientNo),
    /// To the client of this session.
    ToClient(SessionNo),
}

/// The call by which a frame is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum How {
    /// `send`
    Send,
    /// `send_with(Reject)`
    Reject,
    /// `send_with(DropOldest)`
    DropOldest,
    /// `send_with(DropNewest)`
    DropNewest,
    /// `send_with(Disconnect)`
    Disconnect,
    /// `send_wait`
    Wait,
    /// `send_acked`
    Acked,
    /// `ask`
    Ask,
}

/// The result of a call to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a checker has to know each")]
pub enum Outcome {
    /// Success: the frame was accepted.
    Accepted,
    /// An error: the frame was not accepted.
    Refused,
    /// `send_acked` has succeeded.
    Delivered,
    /// `send_acked` has failed with `Dropped`.
    Dropped,
    /// `send_acked` has failed with `Ended`.
    Unknown,
    /// The future of `send_wait` was dropped: the frame was not accepted.
    Withdrawn,
    /// The future of `send_acked` was dropped: the outcome is unknown.
    Abandoned,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            writeln!(f, "{index:>5} {entry}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} {}", self.at.as_secs_f64(), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(what) => write!(f, "-- {what}"),
            Self::ServerStarted { server, max_retained, max_session } => {
                write!(f, "server {server} starts: at most {max_retained} B, {max_session} B for one")
            }
            Self::ServerEnded { server, left, crashed } => {
                let how = if *crashed { "crashed" } else { "shut down" };
                write!(f, "server {server} has {how}, {left} dropped")
            }
            Self::Asked { session, server, client } => {
                write!(f, "s{session}: asked for by client {client} at server {server}")
            }
            Self::Callback { session, call } => write!(f, "s{session}: {call}"),
            Self::Returned { session } => write!(f, "s{session}: returned"),
            Self::Kicked { session } => write!(f, "s{session}: kicked"),
            Self::Offered { frame, way: Way::ToServer(client), how } => {
                write!(f, "c{client}: offers {frame} by {how:?}")
            }
            Self::Offered { frame, way: Way::ToClient(session), how } => {
                write!(f, "s{session}: offered {frame} by {how:?}")
            }
            Self::Accepted { frame, session } => write!(f, "s{session}: accepts {frame}"),
            Self::Answered { frame, outcome } => write!(f, "    {frame}: {outcome:?}"),
            Self::Broadcast { frame, to } => write!(f, "{to:?}: broadcast {frame}"),
            Self::Missed { frame, session } => write!(f, "s{session}: is not sent {frame}"),
            Self::Joined { session, room } => write!(f, "s{session}: joins room {room}"),
            Self::LeftRoom { session, room } => write!(f, "s{session}: leaves room {room}"),
            Self::Connected { client, plain, may_drop } => {
                let mode = if *plain { "plain" } else { "session" };
                write!(f, "c{client}: connected in {mode} mode{}", if *may_drop { ", may drop" } else { "" })
            }
            Self::Told { client, tale } => write!(f, "c{client}: {tale}"),
            Self::Left { client } => write!(f, "c{client}: leaves"),
            Self::Ended { client, unacknowledged, kept } => {
                write!(f, "c{client}: ended, {unacknowledged} unacknowledged, kept {kept:?}")
            }
            Self::Sample { server, retained, busy: _, most } => {
                write!(f, "server {server} keeps {retained} B, at most {most} B for one")
            }
            Self::Rest => f.write_str("-- all is quiet"),
            Self::Quiet { session, attached, counts } => {
                write!(f, "s{session}: quiet, attached {attached}, {counts}")
            }
            Self::QuietClient { client, connected } => write!(f, "c{client}: quiet, connected {connected}"),
            Self::Note(note) => write!(f, "{note}"),
            Self::TasksLeft(count) => write!(f, "{count} tasks left"),
            Self::Stuck(what) => write!(f, "stuck: {what}"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { plain } => write!(f, "connect{}", if *plain { " in plain mode" } else { "" }),
            Self::Message(frame) => write!(f, "message {frame}"),
            Self::Drop(why) => write!(f, "drop: {why}"),
            Self::Restore => f.write_str("restore"),
            Self::Gap(from, to) => write!(f, "gap {from}-{to}"),
            Self::Disconnect { why, counts, .. } => write!(f, "disconnect: {why}; {counts}"),
        }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, accepted, dropped, unacknowledged, retained, strays: _ } = self;
        write!(
            f,
            "{received} in, {accepted} out, {dropped} dropped, {unacknowledged} unacknowledged, {retained} B"
        )
    }
}

impl fmt::Display for Tale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(frame) => write!(f, "message {frame}"),
            Self::Dropped(why) => write!(f, "dropped: {why}"),
            Self::Restored { resumed: true } => f.write_str("restored"),
            Self::Restored { resumed: false } => f.write_str("restored, not resumed"),
            Self::Gap(from, to) => write!(f, "gap {from}-{to}"),
            Self::Lost(frames) => write!(f, "session lost {frames:?}"),
            Self::Closed { why, .. } => write!(f, "closed: {why}"),
        }
    }
}

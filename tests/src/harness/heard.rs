//! [`Heard`]: a client's events as values, and frames that carry numbers.

use std::io;

use rejoin_client::{CloseFrame, CloseReason, Connection, DropReason, Event, Frame, Gap, LostReason};

/// The connection was reset.
pub const RESET: DropReason = DropReason::Io(io::ErrorKind::ConnectionReset);

/// The connection ended without a close frame.
pub const END_OF_STREAM: DropReason = DropReason::Io(io::ErrorKind::UnexpectedEof);

/// A socket that was closed with this code and reason.
pub const fn closed(code: u16, reason: &'static str) -> DropReason {
    DropReason::Closed(Some(CloseFrame::from_static(code, reason)))
}

/// A client's event. Unlike the event itself, it can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "tests compare with each variant")]
pub enum Heard {
    /// A frame from the server.
    Message(Frame),
    /// The socket is lost.
    Disconnected(DropReason),
    /// A reconnect was refused with this status.
    Refused(u16),
    /// Another socket is connected, and the session continues.
    Resumed,
    /// Another socket is connected, with a fresh session or in plain mode.
    Reconnected,
    /// The server never delivers these frames.
    Gap(Gap),
    /// The server did not resume the session.
    SessionLost {
        /// The server's reason; `None` if the session had ended before.
        reason: Option<LostReason>,
        /// The frames that were never acknowledged.
        unacknowledged: Vec<Frame>,
    },
    /// The connection has ended.
    Closed(Ended),
}

/// Why a client's connection has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "tests compare with each variant")]
pub enum Ended {
    /// The application closed it.
    Local,
    /// The server closed it with this frame.
    Remote(CloseFrame),
    /// Another socket resumed the session.
    TakenOver,
    /// The server violated the protocol.
    Protocol(CloseFrame),
    /// The send buffer overflowed.
    Overflow,
    /// The server sent a message that is too big.
    TooBig,
    /// A reconnect was refused with this status.
    Refused(u16),
    /// This number of reconnects failed in a row.
    RetriesExhausted(u32),
    /// The socket was lost, and the client does not reconnect.
    ReconnectDisabled(DropReason),
    /// The codec panicked.
    Panicked,
}

impl Heard {
    /// The data frames `from` to `to` are missing.
    pub fn gap(from: u64, to: u64) -> Self {
        Self::Gap(Gap::new(from, to))
    }

    /// The session is lost, and all frames were acknowledged.
    pub fn session_lost(reason: impl Into<Option<LostReason>>) -> Self {
        Self::SessionLost { reason: reason.into(), unacknowledged: Vec::new() }
    }

    /// The server closed the connection with this code and reason.
    pub fn closed_by_server(code: u16, reason: &'static str) -> Self {
        Self::Closed(Ended::Remote(CloseFrame::from_static(code, reason)))
    }
}

impl From<&Event> for Heard {
    fn from(event: &Event) -> Self {
        match event {
            Event::Message(frame) => Self::Message(frame.clone()),
            Event::Disconnected { reason } => Self::Disconnected(reason.clone()),
            Event::Refused(refusal) => Self::Refused(refusal.status),
            Event::Reconnected { resumed: true } => Self::Resumed,
            Event::Reconnected { resumed: false } => Self::Reconnected,
            Event::Gap(gap) => Self::Gap(*gap),
            Event::SessionLost { reason, unacknowledged, .. } => {
                Self::SessionLost { reason: *reason, unacknowledged: unacknowledged.clone() }
            }
            Event::Closed(closed) => Self::Closed(Ended::from(&closed.reason)),
            other => panic!("an event that this harness does not know: {other:?}"),
        }
    }
}

impl From<&CloseReason> for Ended {
    fn from(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Local => Self::Local,
            CloseReason::Remote(frame) => Self::Remote(frame.clone()),
            CloseReason::TakenOver => Self::TakenOver,
            CloseReason::Protocol(frame) => Self::Protocol(frame.clone()),
            CloseReason::Overflow => Self::Overflow,
            CloseReason::TooBig => Self::TooBig,
            CloseReason::Refused(refusal) => Self::Refused(refusal.status),
            CloseReason::RetriesExhausted { attempts, .. } => Self::RetriesExhausted(*attempts),
            CloseReason::ReconnectDisabled(why) => Self::ReconnectDisabled(why.clone()),
            CloseReason::Panicked => Self::Panicked,
            other => panic!("a reason that this harness does not know: {other:?}"),
        }
    }
}

/// A frame whose event is `n` and whose payload is this number.
///
/// # Panics
/// Never panics: JSON can represent the number.
pub fn number(n: u64) -> Frame {
    Frame::new("n", &n).expect("JSON can represent a number")
}

/// The numbers in these frames.
///
/// # Panics
/// Panics if a frame carries something else.
pub fn read_numbers(frames: &[Frame]) -> Vec<u64> {
    frames.iter().map(|frame| frame.decode().expect("the payload is a number")).collect()
}

/// The client's next event.
///
/// # Panics
/// Panics if no event comes.
pub async fn next_event(connection: &mut Connection) -> Event {
    super::within("event", connection.recv()).await.expect("the connection has not ended")
}

/// Waits until the client has reported that its session is lost, and has a fresh one.
///
/// # Panics
/// Panics if anything but lost sockets and refusals comes before.
pub async fn session_lost(connection: &mut Connection) {
    loop {
        match next_event(connection).await {
            Event::SessionLost { .. } => break,
            Event::Disconnected { .. } | Event::Refused(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next(connection).await, Heard::Reconnected);
}

/// The client's next event, as a value.
///
/// # Panics
/// Panics if no event comes.
pub async fn next(connection: &mut Connection) -> Heard {
    Heard::from(&next_event(connection).await)
}

/// The client's next message.
///
/// # Panics
/// Panics if another event comes.
pub async fn message(connection: &mut Connection) -> Frame {
    match next_event(connection).await {
        Event::Message(frame) => frame,
        other => panic!("no message: {other:?}"),
    }
}

/// Why the client has lost its socket, which must be its next event.
///
/// # Panics
/// Panics if another event comes.
pub async fn disconnected(connection: &mut Connection) -> DropReason {
    match next_event(connection).await {
        Event::Disconnected { reason } => reason,
        other => panic!("not disconnected: {other:?}"),
    }
}

/// The numbers in the next messages, across lost sockets.
///
/// # Panics
/// Panics if the session is lost or ends, or a gap is reported.
pub async fn numbers(connection: &mut Connection, count: usize) -> Vec<u64> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        match next_event(connection).await {
            Event::Message(frame) => numbers.push(frame.decode().expect("the payload is a number")),
            Event::Disconnected { .. } | Event::Reconnected { .. } => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    numbers
}

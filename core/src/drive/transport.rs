//! [`Transport`]: a message-oriented socket, as a session's driver uses it.

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::{Batch, CloseFrame, Message};

/// A message-oriented socket: our framing over a byte stream ([`WsTransport`](super::WsTransport)), or anything else that carries
/// messages.
///
/// The transport itself answers pings. It does not answer close frames: the session does.
pub trait Transport: Send {
    /// Reads, and passes everything that arrives to `sink`, until there is nothing left to read or `sink` returns
    /// [`Flow::Pause`]. The transport keeps bytes that it has read but not passed on for the next call. While the peer sends
    /// without a pause, a call stops after a bounded amount of work and wakes the task to continue.
    ///
    /// # Errors
    /// Ready only with an error: nothing more can be received. After any but [`ReceiveError::Io`] each call returns the same error
    /// at once; [`Self::poll_discard`] still reads.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Poll<ReceiveError>;

    /// Whether there is nothing to write or to flush.
    fn is_idle(&self) -> bool;

    /// The number of queued bytes that the socket has not taken yet.
    fn pending(&self) -> usize;

    /// Whether another message may be pushed before the pending ones are written.
    fn has_capacity(&self) -> bool;

    /// Queues a data message, in the form in which the session accepted it.
    fn push_data(&mut self, message: Bytes);

    /// Queues consecutive data messages. Default: one by one, for a transport that cannot write them as one span.
    fn push_batch(&mut self, batch: Batch) {
        for message in batch.frames() {
            self.push_data(message);
        }
    }

    /// Queues a volatile data message, in the form in which the session accepted it. It does not count as data in [`Written`].
    fn push_volatile(&mut self, message: Bytes);

    /// Queues a control frame as the codec encoded it.
    fn push_control(&mut self, message: Message);

    /// Queues an RFC 6455 ping.
    fn push_ping(&mut self);

    /// Queues a close frame. Nothing may be pushed after it.
    fn push_close(&mut self, frame: Option<&CloseFrame>);

    /// Writes the pending messages. Adds the amount that the socket has taken to `written`, even on failure.
    ///
    /// # Errors
    /// Fails when the socket fails.
    fn poll_flush(&mut self, cx: &mut Context<'_>, written: &mut Written) -> Poll<io::Result<()>>;

    /// Whether [`Self::poll_send`] runs only our code and the operating system's, so that it may be called while the session is
    /// locked. Foreign code under that lock could deadlock by using the same session. Default: `false`.
    fn sends_without_foreign_code(&self) -> bool {
        false
    }

    /// [`Self::push_data`] and [`Self::poll_flush`] in one call, for a transport that can write a message without queueing it.
    ///
    /// The session is locked during the call, so the driver makes it only if [`Self::sends_without_foreign_code`] returns `true`.
    ///
    /// # Errors
    /// As [`Self::poll_flush`].
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        message: &Bytes,
        written: &mut Written,
    ) -> Poll<io::Result<()>> {
        self.push_data(message.clone());
        self.poll_flush(cx, written)
    }

    /// Reads and discards raw bytes until the end of the stream, and subtracts their number from `budget`. Ready at the end of
    /// the stream, when the stream fails, and when the budget is spent.
    fn poll_discard(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()>;

    /// Whether this side ends the stream once both sides have sent a close frame: a server does (RFC 6455 §7.1.1).
    fn closes_first(&self) -> bool;

    /// Flushes, and shuts the sending side down.
    ///
    /// # Errors
    /// Fails when the socket fails.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Something that arrived on a transport.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum Received {
    /// This number of bytes arrived, of any kind: the peer is alive.
    Bytes(usize),
    /// A complete data message.
    Message(Message),
    /// A close frame. Nothing follows it.
    Close(Option<CloseFrame>),
}

/// Whether the transport continues to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "yes or no")]
pub enum Flow {
    /// Continue to read.
    Continue,
    /// Pass nothing more on in this call.
    Pause,
}

/// Why nothing more can be received on a transport.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The stream failed, or ended without a close frame ([`io::ErrorKind::UnexpectedEof`]).
    Io(io::Error),
    /// The peer violated RFC 6455; the frame says how.
    Protocol(CloseFrame),
    /// The peer sends more than a limit allows, and the session is to end. Its earlier messages are valid.
    RateExceeded,
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Protocol(frame) => frame.fmt(f),
            Self::RateExceeded => f.write_str("rate limit exceeded"),
        }
    }
}

impl std::error::Error for ReceiveError {}

/// The amount that a socket has taken during a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs, reason = "filled in by transports of other crates")]
pub struct Written {
    /// The number of messages of any kind that are completely written.
    pub messages: usize,
    /// The number of data messages among them.
    pub data: usize,
    /// The number of bytes that the socket has taken, including those of incomplete messages.
    pub bytes: usize,
}

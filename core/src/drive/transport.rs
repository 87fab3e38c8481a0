//! [`Transport`]: where a session meets a socket.

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::{Batch, CloseFrame, Message};

/// A message-oriented socket: our framing over a byte stream ([`WsTransport`](super::WsTransport)), or whatever carries messages.
///
/// Pings are answered by the transport itself; a close frame is not, the session answers it.
pub trait Transport: Send {
    /// Reads, and gives everything that arrives to `sink`, until nothing is there to read or `sink` answers
    /// [`Flow::Pause`]. What was read and not given stays inside for the next call. Where the peer sends without a pause it stops after
    /// some work, and wakes the task to go on.
    ///
    /// # Errors
    /// Ready only with an error: the socket brings nothing more. After [`ReceiveError::Protocol`] each call returns the same
    /// at once; [`Self::poll_discard`] reads on.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Poll<ReceiveError>;

    /// Whether there is nothing to be written, nor to be flushed.
    fn is_idle(&self) -> bool;

    /// Bytes that are to be written, and that the socket did not take yet.
    fn pending(&self) -> usize;

    /// Whether another message may be pushed before the ones that are pending are written.
    fn has_capacity(&self) -> bool;

    /// Queues a data message in the transport's own form: that which was handed to the session.
    fn push_data(&mut self, message: Bytes);

    /// Queues data messages that follow each other: one by one, where the transport cannot take them in one piece.
    fn push_batch(&mut self, batch: Batch) {
        for message in batch.frames() {
            self.push_data(message);
        }
    }

    /// Queues a control frame as the codec encoded it.
    fn push_control(&mut self, message: Message);

    /// Queues an RFC 6455 ping.
    fn push_ping(&mut self);

    /// Queues a close frame. Nothing may be pushed after it.
    fn push_close(&mut self, frame: Option<&CloseFrame>);

    /// Writes what is pending. `written` tells how far it came, whatever is returned.
    ///
    /// # Errors
    /// Fails when the socket does.
    fn poll_flush(&mut self, cx: &mut Context<'_>, written: &mut Written) -> Poll<io::Result<()>>;

    /// Whether [`Self::poll_send`] runs no code but ours and the operating system's, so that it may be called while the session is
    /// locked. Default: no.
    fn sends_without_foreign_code(&self) -> bool {
        false
    }

    /// [`Self::push_data`] and [`Self::poll_flush`] in one, for a transport that can write a message without queueing it.
    ///
    /// The session is locked meanwhile, so it is called only where [`Self::sends_without_foreign_code`] says that it may be.
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

    /// Reads and discards raw bytes, whatever they are, until the end of the stream, and takes their number from `budget`.
    /// Ready at the end of the stream, when it fails, and when the budget is spent.
    fn poll_discard(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()>;

    /// Whether this side ends the stream once both have sent a close frame: a server does (RFC 6455 §7.1.1).
    fn closes_first(&self) -> bool;

    /// Flushes, and tells the peer that nothing more comes.
    ///
    /// # Errors
    /// Fails when the socket does.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// What arrives on a transport.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum Received {
    /// This number of bytes arrived, of whatever kind: the peer lives.
    Heard(usize),
    /// A whole data message.
    Message(Message),
    /// A close frame; nothing comes after it.
    Close(Option<CloseFrame>),
}

/// Whether more is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "yes or no")]
pub enum Flow {
    /// Go on reading.
    Continue,
    /// Give nothing more for now.
    Pause,
}

/// Why a transport brings nothing more.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The stream failed, or ended without a close frame ([`io::ErrorKind::UnexpectedEof`]).
    Io(io::Error),
    /// The peer broke RFC 6455; the frame says how.
    Protocol(CloseFrame),
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Protocol(frame) => frame.fmt(f),
        }
    }
}

impl std::error::Error for ReceiveError {}

/// What a flush achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs, reason = "filled in by transports of other crates")]
pub struct Written {
    /// Messages of any kind that are wholly written.
    pub messages: usize,
    /// Data messages among them.
    pub data: usize,
    /// Bytes that the socket has taken, whole messages or not.
    pub bytes: usize,
}

//! [`Link`]: drives one socket for a session.

use std::fmt;
use std::task::{Context, Poll};

use crate::{CloseFrame, Codec, DropReason, Epoch, Standing, Transmit};

use super::cell::Cell;
use super::deadline::now;
use super::transport::{Flow, ReceiveError, Received, Transport, Written};

/// A socket that is attached to a session under an epoch.
pub struct Link {
    epoch: Epoch,
    transport: Box<dyn Transport>,
}

/// What becomes of a socket that is no longer the session's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the transport wants to be closed"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum LinkEnd {
    /// Close it with this frame: [`Link::into_transport`], then [`close`](Link::close).
    Leave(CloseFrame),
    /// The peer has closed, and the answer is queued: flush it, and drop the socket.
    Answered,
    /// Drop it.
    Gone,
}

impl Link {
    /// A link for the socket that was attached under `epoch`.
    pub fn new(epoch: Epoch, transport: Box<dyn Transport>) -> Self {
        Self { epoch, transport }
    }

    /// Reads what is there, writes what is due. Ready when the socket is no longer the session's.
    ///
    /// The caller has registered itself with [`Cell::register_driver`] before.
    pub fn poll(&mut self, cx: &mut Context<'_>, cell: &Cell, codec: &dyn Codec) -> Poll<LinkEnd> {
        let end = self.poll_socket(cx, cell, codec);
        if end.is_ready() {
            cell.drive(|session| session.handle_left(self.epoch));
        }
        end
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, cell: &Cell, codec: &dyn Codec) -> Poll<LinkEnd> {
        loop {
            if self.poll_read(cx, cell, codec).is_ready() {
                return Poll::Ready(LinkEnd::Answered);
            }
            match cell.drive(|session| session.standing(self.epoch)) {
                Standing::Attached => {}
                Standing::Leave(frame) => return Poll::Ready(LinkEnd::Leave(frame)),
                Standing::Gone => return Poll::Ready(LinkEnd::Gone),
            }
            let paused = !cell.drive(|session| session.wants_read());
            if let Poll::Ready(end) = self.poll_write(cx, cell, codec) {
                return Poll::Ready(end);
            }
            // Answers that had stopped the reading may be written by now, and nobody else wakes us to read on.
            // Nor where writing has ended the session: the codec could not carry what was due.
            let goes_on = cell.drive(|session| {
                session.standing(self.epoch) != Standing::Attached || (paused && session.wants_read())
            });
            if !goes_on {
                return Poll::Pending;
            }
        }
    }

    /// Ready when the peer has closed and the answer is queued.
    fn poll_read(&mut self, cx: &mut Context<'_>, cell: &Cell, codec: &dyn Codec) -> Poll<()> {
        if !cell.drive(|session| session.wants_read()) {
            return Poll::Pending;
        }
        let epoch = self.epoch;
        let now = now();
        let mut closed = None;
        let mut sink = |received| match received {
            Received::Heard => {
                cell.drive(|session| session.handle_heard(epoch, now));
                Flow::Continue
            }
            Received::Message(message) => {
                let size = message.data.len();
                let frame = codec.decode(message);
                cell.drive(|session| {
                    let result = match frame {
                        Ok(frame) => session
                            .handle_frame(epoch, frame, size, now)
                            .map_err(|violation| CloseFrame::new(1002, violation.to_string())),
                        Err(error) => Err(CloseFrame::new(error.close_code(), error.to_string())),
                    };
                    if let Err(frame) = result {
                        session.handle_violation(epoch, frame);
                    }
                    let goes_on = session.wants_read() && session.standing(epoch) == Standing::Attached;
                    if goes_on { Flow::Continue } else { Flow::Pause }
                })
            }
            Received::Close(frame) => {
                closed = Some(cell.drive(|session| session.handle_close(epoch, frame, now)));
                Flow::Pause
            }
        };
        let received = self.transport.poll_receive(cx, &mut sink);
        if let Some((ack, answer)) = closed {
            // A last word on what arrived, then the answer (RFC 6455 §5.5.1).
            if let Some(message) = ack.and_then(|ack| encode(codec, &crate::Control::Ack(ack))) {
                self.transport.push_control(message);
            }
            self.transport.push_close(answer.as_ref());
            return Poll::Ready(());
        }
        match received {
            Poll::Pending => {}
            Poll::Ready(ReceiveError::Io(error)) => {
                cell.drive(|session| session.handle_lost(epoch, DropReason::Io(error.kind()), now));
            }
            Poll::Ready(ReceiveError::Protocol(frame)) => {
                cell.drive(|session| session.handle_violation(epoch, frame));
            }
        }
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, cell: &Cell, codec: &dyn Codec) -> Poll<LinkEnd> {
        loop {
            let more = self.fill(cell, codec);
            let mut written = Written::default();
            let flushed = self.transport.poll_flush(cx, &mut written);
            let blocked = flushed.is_pending();
            cell.drive(|session| {
                session.handle_written(self.epoch, written.data, written.progress, blocked, now());
            });
            match flushed {
                Poll::Ready(Ok(())) if more => {}
                Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    cell.drive(|session| {
                        session.handle_lost(self.epoch, DropReason::Io(error.kind()), now())
                    });
                    return match cell.drive(|session| session.standing(self.epoch)) {
                        Standing::Attached => Poll::Pending,
                        Standing::Leave(_) | Standing::Gone => Poll::Ready(LinkEnd::Gone),
                    };
                }
            }
        }
    }

    /// Takes from the session what the transport has room for. Returns whether there may be more.
    fn fill(&mut self, cell: &Cell, codec: &dyn Codec) -> bool {
        let transport = &mut self.transport;
        cell.drive(|session| {
            let now = now();
            while transport.has_room() {
                match session.poll_transmit(self.epoch, now) {
                    Some(Transmit::Data(message)) => transport.push_data(message),
                    Some(Transmit::Control(control)) => match encode(codec, &control) {
                        Some(message) => transport.push_control(message),
                        None => {
                            session.handle_violation(
                                self.epoch,
                                CloseFrame::new(1011, "codec cannot carry control frames"),
                            );
                            return true;
                        }
                    },
                    Some(Transmit::Ping) => transport.push_ping(),
                    Some(Transmit::Close(frame)) => transport.push_close(Some(&frame)),
                    None => return false,
                }
            }
            true
        })
    }

    /// The socket, to be closed.
    pub fn into_transport(self) -> Box<dyn Transport> {
        self.transport
    }

    /// Which of the session's sockets this is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Closes a socket that is no longer a session's: writes the close frame behind what is under way, waits for the peer's
    /// answer, and throws away what it says before. The caller bounds the time.
    pub async fn close(mut transport: Box<dyn Transport>, end: LinkEnd) {
        match end {
            LinkEnd::Gone => return,
            LinkEnd::Answered => {}
            LinkEnd::Leave(frame) => {
                transport.push_close(Some(&frame));
                std::future::poll_fn(|cx| {
                    let mut answered = false;
                    let received = transport.poll_receive(cx, &mut |received| {
                        answered |= matches!(received, Received::Close(_));
                        Flow::Continue
                    });
                    let flushed = transport.poll_flush(cx, &mut Written::default());
                    // A peer that broke the framing cannot answer in it; it has to be told, no more.
                    let done = match (received, flushed) {
                        (_, Poll::Ready(Err(_))) | (Poll::Ready(ReceiveError::Io(_)), _) => true,
                        (Poll::Ready(ReceiveError::Protocol(_)), Poll::Ready(Ok(()))) => true,
                        (_, Poll::Ready(Ok(()))) => answered,
                        _ => false,
                    };
                    if done { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
        }
        std::future::poll_fn(|cx| transport.poll_shutdown(cx)).await.ok();
    }
}

fn encode(codec: &dyn Codec, control: &crate::Control) -> Option<crate::Message> {
    match codec.encode_control(control.event(), control.json()) {
        Ok(message) => Some(message),
        Err(error) => {
            tracing::error!(codec = codec.name(), event = control.event(), %error, "codec cannot carry control frames");
            None
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

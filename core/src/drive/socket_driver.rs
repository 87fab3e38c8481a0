//! [`SocketDriver`]: drives one attached socket for a session.

use std::fmt;
use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::{AttachmentState, CloseFrame, Codec, Control, DropReason, Epoch, Session, Transmit};

use super::deadline::now;
use super::linger;
use super::shared_session::SharedSession;
use super::transport::{Flow, ReceiveError, Received, Transport, Written};
use super::turn::yield_now;

mod outcome;
pub use outcome::{Detach, WriteProgress};

#[cfg(test)]
mod tests;

/// The driver of one socket that is attached to a session under an epoch. Used as `Box<SocketDriver>`, which erases the
/// transport's type.
///
/// The session task reads and writes with it. A fan-out writes with it, too ([`Self::flush`]), so the owner puts it behind a
/// lock; `&mut self` keeps the bytes of two writers from mixing. Between two accesses to the session its state may change: every
/// access names the epoch, and the session ignores one that is no longer attached.
#[repr(C)]
pub struct SocketDriver<T: ?Sized = dyn Transport> {
    epoch: Epoch,
    /// The waker of the session task. Another task that flushes polls the socket with this waker: otherwise a full socket would
    /// wake that task, which has gone on to other sessions, and no task would write the rest.
    driver: Option<Waker>,
    /// The session accepted no more frames when the socket was read last. The socket's readiness then wakes nothing, so writing
    /// has to check whether reading can continue.
    paused: bool,
    transport: T,
}

/// The number of times that [`SocketDriver::poll`] reads and writes before other tasks run. One poll writes up to 2 MiB.
const ROUNDS_PER_POLL: usize = 4;

/// The number of times that one call fills the transport, with up to 64 KiB, and flushes it. Without this limit, the replay of a
/// large buffer would keep other tasks from running.
const WRITES_PER_POLL: usize = 8;

/// The result of filling the transport from the session.
enum Filled {
    /// There is nothing left to flush.
    Done(WriteProgress),
    /// A control frame is due. It is encoded after the session is unlocked, since a codec is foreign code.
    Control(Control),
    /// The transport has to be flushed. `more` means that it had no capacity for everything that is due.
    Flush { more: bool },
}

impl<T: Transport> SocketDriver<T> {
    /// A driver for a socket that is, or will be, attached under `epoch`.
    pub fn new(epoch: Epoch, transport: T) -> Self {
        Self { epoch, driver: None, paused: false, transport }
    }
}

impl SocketDriver {
    /// Length in bytes of the leading fields that [`Self::flush`] reads when the transport is a
    /// [`WsTransport`](super::WsTransport) over TCP, for prefetching.
    pub const HOT: usize = 160;
}

impl<T: Transport + ?Sized> SocketDriver<T> {
    /// Reads the frames that have arrived, and writes those that are due. Ready when the socket is no longer attached.
    ///
    /// The caller must have called [`SharedSession::register_driver`] before. A caller that has something to do in between uses
    /// [`Self::poll_read`] and [`Self::poll_write`] instead.
    pub fn poll(&mut self, cx: &mut Context<'_>, session: &SharedSession, codec: &dyn Codec) -> Poll<Detach> {
        for _ in 0..ROUNDS_PER_POLL {
            if let Poll::Ready(end) = self.poll_read(cx, session, codec) {
                return Poll::Ready(end);
            }
            match self.poll_write(cx, session, codec) {
                WriteProgress::Enough { again: true, .. } => {}
                WriteProgress::Enough { again: false, .. } => return Poll::Pending,
                WriteProgress::End(end) => return Poll::Ready(end),
            }
        }
        // There is more to do. The task registers no interest here that would wake it later, so it wakes itself.
        yield_now(cx)
    }

    /// Reads the frames that have arrived, until the session accepts no more. Ready when the socket is no longer attached.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        session: &SharedSession,
        codec: &dyn Codec,
    ) -> Poll<Detach> {
        let end = self.read(cx, session, codec);
        if end.is_ready() {
            // From now on this socket reports no written frames.
            session.drive(|session| session.handle_detached(self.epoch));
        }
        end
    }

    /// Writes the frames that are due. The caller must have called [`SharedSession::register_driver`] before: otherwise a frame
    /// that is sent after this call wakes no task.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        session: &SharedSession,
        codec: &dyn Codec,
    ) -> WriteProgress {
        // This also enables `flush`: the session task has written once, so other tasks may write from now on.
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            None => self.driver = Some(cx.waker().clone()),
        }
        let wrote = self.write(cx, session, codec, now());
        if let WriteProgress::End(_) = wrote {
            session.drive(|session| session.handle_detached(self.epoch));
        }
        wrote
    }

    /// Writes the frames that are due, in the task of a caller that has queued them, so that the session task need not be woken.
    /// Returns whether the caller must wake it anyway, with [`SharedSession::wake_driver`]: the socket has become full, is lost,
    /// or can be read again.
    ///
    /// Writes nothing before the first [`Self::poll_write`].
    pub fn flush(&mut self, session: &SharedSession, codec: &dyn Codec, now: Instant) -> bool {
        let Some(driver) = self.driver.take() else {
            // Without a waker, a full socket would wake no task. The session task has just attached the socket and is about to
            // write. Only drain the broadcasts, because the caller trims their log next.
            session.drain();
            return false;
        };
        let wrote = self.write(&mut Context::from_waker(&driver), session, codec, now);
        self.driver = Some(driver);
        match wrote {
            // If the socket was full before, the session task has registered its waker and set its timer.
            WriteProgress::Enough { again, blocked } => again || blocked,
            // Nothing is detached here. The session task finds the same end, and detaches the socket.
            WriteProgress::End(_) => true,
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, session: &SharedSession, codec: &dyn Codec) -> Poll<Detach> {
        self.paused = !session.look(Session::wants_read);
        if self.paused {
            return Poll::Pending;
        }
        let epoch = self.epoch;
        let paused = &mut self.paused;
        // Read the clock once for everything that arrives in one call, and only if something does.
        let mut now = None;
        // The arrival time of bytes that was not reported to the session yet. The next message reports it, which saves an access.
        let mut active_at = None;
        let mut closed = None;
        let mut sink = |received| match received {
            Received::Bytes(_) => {
                active_at = Some(*now.get_or_insert_with(super::now));
                Flow::Continue
            }
            Received::Message(message) => {
                let size = message.data.len();
                // Decode outside the lock: a codec is foreign code, and may use the session.
                let frame = codec.decode(message);
                let now = *now.get_or_insert_with(super::now);
                session.drive(|session| {
                    if let Some(at) = active_at.take() {
                        session.handle_activity(epoch, at);
                    }
                    let result = match frame {
                        Ok(frame) => session
                            .handle_frame(epoch, frame, size, now)
                            .map_err(|violation| CloseFrame::truncated(1002, violation.to_string())),
                        Err(error) => Err(CloseFrame::truncated(error.close_code(), error.to_string())),
                    };
                    if let Err(frame) = result {
                        session.handle_violation(epoch, frame);
                    }
                    // Another socket may have taken over since the last access. Its epoch is newer, so the session has ignored
                    // this frame, and would ignore all others.
                    let continues =
                        session.wants_read() && session.attachment_state(epoch) == AttachmentState::Attached;
                    *paused = !continues;
                    if continues { Flow::Continue } else { Flow::Pause }
                })
            }
            Received::Close(frame) => {
                let now = *now.get_or_insert_with(super::now);
                closed = Some(session.drive(|session| session.handle_close(epoch, frame, now)));
                Flow::Pause
            }
        };
        let received = self.transport.poll_receive(cx, &mut sink);
        if let Some((ack, answer)) = closed {
            // First acknowledge what arrived, then answer the close frame (RFC 6455 §5.5.1).
            if let Some(message) = ack.and_then(|ack| encode(codec, &Control::Ack(ack))) {
                self.transport.push_control(message);
            }
            self.transport.push_close(answer.as_ref());
            return Poll::Ready(Detach::Answered);
        }
        if let Some(at) = active_at {
            session.drive(|session| session.handle_activity(epoch, at));
        }
        match received {
            Poll::Pending if !self.paused => return Poll::Pending,
            Poll::Pending => {}
            Poll::Ready(ReceiveError::Io(error)) => {
                let now = super::now();
                session.drive(|session| session.handle_lost(epoch, DropReason::Io(error.kind()), now));
            }
            Poll::Ready(ReceiveError::Protocol(frame)) => {
                session.drive(|session| session.handle_violation(epoch, frame));
            }
            Poll::Ready(ReceiveError::RateExceeded) => {
                session.drive(|session| session.handle_rate_exceeded(epoch))
            }
        }
        match session.drive(|session| session.attachment_state(epoch)) {
            AttachmentState::Attached => Poll::Pending,
            AttachmentState::Leave(frame) => {
                if let Some(ack) = session.drive(|session| session.take_last_ack(epoch)) {
                    self.push_control(&Control::Ack(ack), session, codec);
                }
                Poll::Ready(Detach::Leave(frame))
            }
            AttachmentState::Gone => Poll::Ready(Detach::Gone),
        }
    }

    /// Writes until nothing is due, the socket is full, or other tasks should run. The codec and the stream are foreign code:
    /// they run while the session is unlocked.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        session: &SharedSession,
        codec: &dyn Codec,
        now: Instant,
    ) -> WriteProgress {
        let mut writes = 0;
        loop {
            let more = match session.drive(|session| self.write_or_fill(cx, session, now)) {
                Filled::Done(wrote) => return wrote,
                Filled::Control(control) => {
                    self.push_control(&control, session, codec);
                    continue;
                }
                Filled::Flush { more } => more,
            };
            let mut written = Written::default();
            let flushed = self.transport.poll_flush(cx, &mut written);
            let continues = more && matches!(flushed, Poll::Ready(Ok(())));
            // The session may have changed during the flush. A frame that was sent meanwhile is not lost: it wakes the session
            // task, or its sender flushes next.
            let wrote = session.drive(|session| self.note_written(session, flushed, written, now));
            if !continues {
                return wrote;
            }
            writes += 1;
            if writes == WRITES_PER_POLL {
                // `flush` makes its caller wake the session task, which writes the rest: a fan-out must not spend its time on one
                // session.
                return WriteProgress::Enough { again: true, blocked: false };
            }
        }
    }

    /// Queues a control frame behind the frames that were taken from the session before it.
    fn push_control(&mut self, control: &Control, session: &SharedSession, codec: &dyn Codec) {
        if let Some(message) = encode(codec, control) {
            self.transport.push_control(message);
        } else {
            // The session counts the control frame as sent. Leaving it out would break the protocol silently.
            let frame = CloseFrame::from_static(1011, "codec cannot carry control frames");
            session.drive(|session| session.handle_violation(self.epoch, frame));
        }
    }

    /// Writes a lone message at once, if that is all that is due. Otherwise fills the transport from the session.
    fn write_or_fill(&mut self, cx: &mut Context<'_>, session: &mut Session, now: Instant) -> Filled {
        if let Some(wrote) = self.write_lone(cx, session, now) {
            return Filled::Done(wrote);
        }
        match self.fill(session, now) {
            // Nothing to write: report that under the same lock, instead of locking the session a second time.
            Filled::Flush { more: false } if self.transport.is_idle() => {
                Filled::Done(self.note_written(session, Poll::Ready(Ok(())), Written::default(), now))
            }
            filled => filled,
        }
    }

    /// Fast path: if exactly one data message is due and nothing else, writes it under the session's lock, without queueing it.
    /// Most deliveries of a broadcast take this path.
    ///
    /// It needs one access instead of two and does not clone the message, and a fan-out spends most of its time on these two. The
    /// price is a system call under the lock, so a transport that may run foreign code is excluded.
    fn write_lone(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        now: Instant,
    ) -> Option<WriteProgress> {
        if !self.transport.sends_without_foreign_code() || !self.transport.has_capacity() {
            return None;
        }
        let message = session.poll_lone(self.epoch, now)?;
        let mut written = Written::default();
        let flushed = self.transport.poll_send(cx, message, &mut written);
        Some(self.note_written(session, flushed, written, now))
    }

    /// Reports the written bytes to the session.
    fn note_written(
        &self,
        session: &mut Session,
        flushed: Poll<io::Result<()>>,
        written: Written,
        now: Instant,
    ) -> WriteProgress {
        let epoch = self.epoch;
        let was_blocked = session.is_blocked();
        let pending = flushed.is_pending().then(|| self.transport.pending());
        session.handle_written(epoch, written.data, written.bytes, pending, now);
        if let Poll::Ready(Err(error)) = flushed {
            session.handle_lost(epoch, DropReason::Io(error.kind()), now);
            // The stream has failed, so no close frame can be written, even if the session wants to send one.
            return WriteProgress::End(Detach::Gone);
        }
        // Reading may have stopped because of answers that are written now, or of events that the application has taken since.
        // Nothing else wakes the driver to read again. The same holds if the socket was detached meanwhile, by a takeover or
        // because the codec could not represent a control frame.
        let again = session.attachment_state(epoch) != AttachmentState::Attached
            || (self.paused && session.wants_read());
        WriteProgress::Enough { again, blocked: session.is_blocked() && !was_blocked }
    }

    /// Takes frames from the session while the transport has capacity, up to the first control frame.
    fn fill(&mut self, session: &mut Session, now: Instant) -> Filled {
        let transport = &mut self.transport;
        match session.attachment_state(self.epoch) {
            AttachmentState::Attached => {}
            AttachmentState::Leave(frame) => {
                let last_ack =
                    session.take_last_ack(self.epoch).map(|ack| Filled::Control(Control::Ack(ack)));
                return last_ack.unwrap_or(Filled::Done(WriteProgress::End(Detach::Leave(frame))));
            }
            AttachmentState::Gone => return Filled::Done(WriteProgress::End(Detach::Gone)),
        }
        while transport.has_capacity() {
            match session.poll_transmit(self.epoch, now) {
                Some(Transmit::Data(message)) => transport.push_data(message),
                Some(Transmit::Batch(batch)) => transport.push_batch(batch),
                Some(Transmit::Volatile(message)) => transport.push_volatile(message),
                Some(Transmit::Control(control)) => return Filled::Control(control),
                Some(Transmit::Ping) => transport.push_ping(),
                Some(Transmit::Close(frame)) => transport.push_close(Some(&frame)),
                None => return Filled::Flush { more: false },
            }
        }
        Filled::Flush { more: true }
    }

    /// The epoch of the socket.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Closes a socket that is no longer attached: writes the close frame behind the pending frames, and discards what the peer
    /// sends until it has answered. The caller bounds the time.
    pub async fn close(mut self: Box<Self>, end: Detach) {
        match end {
            Detach::Gone => {}
            Detach::Answered => linger::leave(&mut self.transport).await,
            Detach::Leave(frame) => {
                self.transport.push_close(Some(&frame));
                linger::close(&mut self.transport).await;
            }
        }
    }
}

fn encode(codec: &dyn Codec, control: &Control) -> Option<crate::Message> {
    match codec.encode_control(control.event(), control.json()) {
        Ok(message) => Some(message),
        Err(error) => {
            tracing::error!(codec = codec.name(), event = control.event(), %error, "codec cannot carry control frames");
            None
        }
    }
}

impl<T: ?Sized> fmt::Debug for SocketDriver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketDriver").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

//! [`Attachment`]: the attached socket of a session, where both the session task and a fan-out reach it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Instant;

use rejoin_core::drive::{Detach, SocketDriver, WriteProgress, now};
use rejoin_core::{AttachError, CloseFrame, CloseReason};

use crate::context::ServerContext;
use crate::observe::metrics::ResumeRefused;
use crate::observe::reporter::SessionReporter;
use crate::session::handle::{PendingSocket, SessionHandle};

/// The attached socket, if there is one, and the reporter of the session's life.
///
/// It is behind a lock, so that only one task writes to the socket at a time. No task waits for that lock, since foreign code
/// runs while it is held: the codec, the stream, metrics hooks, `tracing`. Waiting would stall the waiter for as long as that
/// code likes, and deadlock if the code itself broadcasts. Every task uses `try_lock`. On contention a fan-out wakes the session
/// task, which writes the frame; the session task yields and tries again. The one exception is a session task that ends
/// ([`Self::finish`]): it cannot come back later.
///
/// Under this lock the session's own lock is taken for single accesses, never the other way round.
#[derive(Debug, Default)]
pub(crate) struct Attachment {
    driver: Option<Box<SocketDriver>>,
    reporter: SessionReporter,
}

impl Attachment {
    /// For the session task: attaches a pending socket, and reads the frames that have arrived.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        context: &ServerContext,
        handle: &SessionHandle,
    ) {
        if let Some(pending) = handle.take_pending_socket() {
            self.reporter.note_counts(context, handle);
            self.attach(pending, context, handle);
            // The peer gets `$open` before the application learns of the socket: a handler may end the session at once, and the
            // peer would see a close frame where it expects `$open`. This write also lets fan-outs use the socket from now on.
            self.poll_write(cx, context, handle);
        }
        self.guard(context, handle, |driver| {
            match driver.poll_read(cx, handle.session(), handle.codec(context)) {
                Poll::Ready(end) => WriteProgress::End(end),
                Poll::Pending => WriteProgress::Enough { again: false, blocked: false },
            }
        });
    }

    /// For the session task: writes the frames that are due. Returns whether the task must go round again at once.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        context: &ServerContext,
        handle: &SessionHandle,
    ) -> bool {
        // Before the write, when the send buffer is at its fullest.
        self.reporter.note_counts(context, handle);
        let again = self
            .guard(context, handle, |driver| driver.poll_write(cx, handle.session(), handle.codec(context)));
        self.reporter.note_counts(context, handle);
        again
    }

    /// For a fan-out: drains pending broadcasts into the session, and writes them. Returns whether the session task must be
    /// woken.
    pub(crate) fn flush(&mut self, context: &ServerContext, handle: &SessionHandle, now: Instant) -> bool {
        // This runs in another task, and log lines have to name this session.
        let _entered = handle.span().entered();
        self.reporter.note_counts(context, handle);
        let Some(driver) = &mut self.driver else {
            // A suspended session keeps the frames for its next socket. They must be drained here all the same: the fan-out trims
            // the room's log afterwards.
            handle.session().drain();
            return false;
        };
        // A codec of the application may panic, and must not take the fan-out's other members with it.
        let flushed =
            catch_unwind(AssertUnwindSafe(|| driver.flush(handle.session(), handle.codec(context), now)));
        let wakes = flushed.unwrap_or_else(|_| {
            handle.end_after_panic("codec");
            // The session has ended: its task has to detach the socket, and to report the end.
            true
        });
        self.reporter.note_counts(context, handle);
        wakes
    }

    /// Drops the socket and reports the remaining changes, when the session task ends.
    pub(crate) fn finish(&mut self, context: &ServerContext, handle: &SessionHandle) {
        if self.driver.take().is_some() {
            context.sockets.closed();
        }
        self.reporter.finish(context, handle);
    }

    /// Reports the end of the session.
    pub(crate) fn note_closed(&mut self, context: &ServerContext, handle: &SessionHandle) {
        self.reporter.note_dropped(context, handle);
        self.reporter.note_closed(context, handle);
    }

    /// Attaches a socket whose request named this session, or closes it if the session refuses it.
    fn attach(&mut self, pending: PendingSocket, context: &ServerContext, handle: &SessionHandle) {
        let PendingSocket { driver, received, mut renewal, attachment, resuming: _resuming, resumes } =
            pending;
        if let (Some(attachment), Some(writer)) = (attachment, handle.writer()) {
            writer.set_attachment(attachment);
        }
        // The session compares epochs under its lock, so the socket of the latest request stays, in whichever order two sockets arrive.
        let attached = handle.session().drive(|session| {
            session.attach(driver.epoch(), received, now())?;
            session.set_expiry(renewal.expires);
            Ok(())
        });
        match attached {
            Ok(()) => {
                context.sockets.opened();
                handle.settle_handler(renewal.handler.take());
                handle.renew(renewal);
                self.reporter.note_attached(context, handle);
                handle.note_prefetch_driver(&driver);
                if let Some(old) = self.driver.replace(driver) {
                    // It may be half open. A task closes it, so that it cannot delay the new socket.
                    let end = Detach::Leave(CloseFrame::from_static(4000, "taken over"));
                    leave(context, old, end);
                }
            }
            Err(error) => {
                let (frame, why) = match error {
                    AttachError::Violation(violation) => {
                        (CloseFrame::truncated(1002, violation.to_string()), ResumeRefused::BadCount)
                    }
                    AttachError::Fenced => {
                        (CloseFrame::from_static(4000, "taken over"), ResumeRefused::Overtaken)
                    }
                    // The session ended between the answer to the upgrade and now.
                    _ => (handle.farewell(), ResumeRefused::Ended),
                };
                if resumes {
                    context.refuse_late(handle.id(), why);
                }
                context.close_socket(driver, Detach::Leave(frame), None);
            }
        }
    }

    /// Calls `poll` with the socket's driver, and detaches the socket if that was its end. Returns whether to poll again at once.
    fn guard(
        &mut self,
        context: &ServerContext,
        handle: &SessionHandle,
        poll: impl FnOnce(&mut SocketDriver) -> WriteProgress,
    ) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        // A codec of the application may panic on a peer's message. That ends only this session.
        let end = match catch_unwind(AssertUnwindSafe(|| poll(driver))) {
            Ok(WriteProgress::Enough { again, .. }) => return again,
            Ok(WriteProgress::End(end)) => end,
            Err(_) => {
                handle.end_after_panic("codec");
                Detach::Leave(CloseReason::HandlerPanicked.close_frame())
            }
        };
        self.reporter.note_dropped(context, handle);
        self.reporter.note_closed(context, handle);
        if let Some(driver) = self.driver.take() {
            leave(context, driver, end);
        }
        false
    }
}

/// Closes a socket that was attached within the close timeout, in another task: the close waits for the peer's answer.
fn leave(context: &ServerContext, driver: Box<SocketDriver>, end: Detach) {
    let counted = context.sockets.closing();
    if end != Detach::Gone {
        context.close_socket(driver, end, Some(counted));
    }
}

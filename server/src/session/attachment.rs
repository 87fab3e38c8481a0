//! [`Attachment`]: the attached socket of a session, where its task and whoever broadcasts both reach it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Instant;

use rejoin_core::drive::{Detach, SocketDriver, WriteProgress, now};
use rejoin_core::{AttachError, CloseFrame, CloseReason};

use crate::connection::{Connection, PendingSocket};
use crate::inner::ServerInner;
use crate::observe::metrics::ResumeRefused;
use crate::observe::reporter::SessionReporter;
use crate::session::task::panicked;

/// The attached socket, if there is one, and what is reported of it.
///
/// It is behind a lock that nobody waits for, since foreign code runs while it is held: the codec, the stream, metrics hooks,
/// `tracing`. Everyone uses `try_lock`. On contention a broadcast wakes the session's task, and the task yields and tries
/// again. The one exception is a task that ends ([`Self::finish`]).
#[derive(Debug, Default)]
pub(crate) struct Attachment {
    driver: Option<Box<SocketDriver>>,
    reporter: SessionReporter,
}

impl Attachment {
    /// For the session's task: attaches a socket that has arrived, and reads what is there.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, shared: &ServerInner, connection: &Connection) {
        if let Some(pending) = connection.take_pending_socket() {
            self.reporter.note_counts(shared, connection);
            self.attach(pending, shared, connection);
            // The peer learns of its session before the application does, which may end it at once.
            self.poll_write(cx, shared, connection);
        }
        self.guard(shared, connection, |driver| {
            match driver.poll_read(cx, connection.session(), connection.codec()) {
                Poll::Ready(end) => WriteProgress::End(end),
                Poll::Pending => WriteProgress::Enough { again: false, blocked: false },
            }
        });
    }

    /// For the session's task: writes what is due. Returns whether it is to read on at once.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        shared: &ServerInner,
        connection: &Connection,
    ) -> bool {
        // Before the link writes: the buffer as full as it gets.
        self.reporter.note_counts(shared, connection);
        let again = self.guard(shared, connection, |driver| {
            driver.poll_write(cx, connection.session(), connection.codec())
        });
        self.reporter.note_counts(shared, connection);
        again
    }

    /// For whoever has broadcast something: has the session take it over, and writes it. Returns whether the session's task has to be woken.
    pub(crate) fn flush(&mut self, shared: &ServerInner, connection: &Connection, now: Instant) -> bool {
        // Somebody else's task: what is logged here is said of this session.
        let _entered = connection.span().entered();
        self.reporter.note_counts(shared, connection);
        let Some(driver) = &mut self.driver else {
            connection.session().drain();
            return false;
        };
        let flushed =
            catch_unwind(AssertUnwindSafe(|| driver.flush(connection.session(), connection.codec(), now)));
        let wakes = flushed.unwrap_or_else(|_| {
            panicked(connection, "codec");
            true
        });
        self.reporter.note_counts(shared, connection);
        wakes
    }

    /// The session's task ends: nothing is written any more, and the rest is told.
    pub(crate) fn finish(&mut self, shared: &ServerInner, connection: &Connection) {
        self.driver = None;
        self.reporter.finish(shared, connection);
    }

    /// The session is over.
    pub(crate) fn note_closed(&mut self, shared: &ServerInner, connection: &Connection) {
        self.reporter.note_dropped(shared, connection);
        self.reporter.note_closed(shared, connection);
    }

    /// A socket that has asked for this session is there.
    fn attach(&mut self, pending: PendingSocket, shared: &ServerInner, connection: &Connection) {
        let PendingSocket { driver, received, resumes } = pending;
        self.reporter.note_dropped(shared, connection);
        match connection.session().drive(|session| session.attach(driver.epoch(), received, now())) {
            Ok(()) => {
                self.reporter.note_attached(shared, connection);
                connection.note_driver(&driver);
                if let Some(old) = self.driver.replace(driver) {
                    // Half open, perhaps: it is told without holding up the new one.
                    let end = Detach::Leave(CloseFrame::new(4000, "taken over"));
                    leave(shared, old, end);
                }
            }
            Err(error) => {
                let (frame, why) = match error {
                    AttachError::Violation(violation) => {
                        (CloseFrame::new(1002, violation.to_string()), ResumeRefused::BadCount)
                    }
                    AttachError::Fenced => (CloseFrame::new(4000, "taken over"), ResumeRefused::Overtaken),
                    // It ended between the answer to the upgrade and now.
                    _ => (connection.farewell(), ResumeRefused::Ended),
                };
                if resumes {
                    shared.refuse_late(connection, why);
                }
                leave(shared, driver, Detach::Leave(frame));
            }
        }
    }

    /// Does something with the link, and lets it go where that was its end. Returns whether it is to be done again.
    fn guard(
        &mut self,
        shared: &ServerInner,
        connection: &Connection,
        poll: impl FnOnce(&mut SocketDriver) -> WriteProgress,
    ) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        // An application's own codec may panic on what a peer sends.
        let end = match catch_unwind(AssertUnwindSafe(|| poll(driver))) {
            Ok(WriteProgress::Enough { again, .. }) => return again,
            Ok(WriteProgress::End(end)) => end,
            Err(_) => {
                panicked(connection, "codec");
                Detach::Leave(CloseReason::HandlerPanicked.close_frame())
            }
        };
        self.reporter.note_dropped(shared, connection);
        self.reporter.note_closed(shared, connection);
        if let Some(driver) = self.driver.take() {
            leave(shared, driver, end);
        }
        false
    }
}

/// Lets a socket go, within the close timeout.
fn leave(shared: &ServerInner, driver: Box<SocketDriver>, end: Detach) {
    if end != Detach::Gone {
        shared.close_socket(driver, end);
    }
}

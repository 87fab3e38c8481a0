//! [`Socket`]: the attached socket of a session, where its task and whoever broadcasts both reach it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Instant;

use rejoin_core::drive::{Link, LinkEnd, Wrote, now};
use rejoin_core::{AttachError, CloseFrame, CloseReason};

use crate::connection::{Arrival, Connection};
use crate::metrics::ResumeRefused;
use crate::observer::Observer;
use crate::session_task::panicked;
use crate::shared::Shared;

/// The attached socket, if there is one, and what is reported of it.
///
/// It is behind a lock that nobody waits for, since foreign code runs while it is held: the codec, the stream, metrics hooks,
/// `tracing`. Everyone uses `try_lock`. On contention a broadcast wakes the session's task, and the task yields and tries
/// again. The one exception is a task that ends ([`Self::finish`]).
#[derive(Debug, Default)]
pub(crate) struct Socket {
    link: Option<Box<Link>>,
    observer: Observer,
}

impl Socket {
    /// For the session's task: attaches a socket that has arrived, and reads what is there.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, shared: &Shared, connection: &Connection) {
        if let Some(arrival) = connection.take_arrival() {
            self.observer.note_counts(shared, connection);
            self.attach(arrival, shared, connection);
            // The peer learns of its session before the application does, which may end it at once.
            self.poll_write(cx, shared, connection);
        }
        self.guard(shared, connection, |link| {
            match link.poll_read(cx, connection.cell(), connection.codec()) {
                Poll::Ready(end) => Wrote::End(end),
                Poll::Pending => Wrote::Enough { again: false, blocked: false },
            }
        });
    }

    /// For the session's task: writes what is due. Returns whether it is to read on at once.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Shared,
        connection: &Connection,
    ) -> bool {
        // Before the link writes: the buffer as full as it gets.
        self.observer.note_counts(shared, connection);
        let again =
            self.guard(shared, connection, |link| link.poll_write(cx, connection.cell(), connection.codec()));
        self.observer.note_counts(shared, connection);
        again
    }

    /// For whoever has broadcast something: has the session take it over, and writes it. Returns whether the session's task has to be woken.
    pub(crate) fn flush(&mut self, shared: &Shared, connection: &Connection, now: Instant) -> bool {
        // Somebody else's task: what is logged here is said of this session.
        let _entered = connection.span().entered();
        self.observer.note_counts(shared, connection);
        let Some(link) = &mut self.link else {
            connection.cell().catch_up();
            return false;
        };
        let flushed =
            catch_unwind(AssertUnwindSafe(|| link.flush(connection.cell(), connection.codec(), now)));
        let wakes = flushed.unwrap_or_else(|_| {
            panicked(connection, "codec");
            true
        });
        self.observer.note_counts(shared, connection);
        wakes
    }

    /// The session's task ends: nothing is written any more, and the rest is told.
    pub(crate) fn finish(&mut self, shared: &Shared, connection: &Connection) {
        self.link = None;
        self.observer.finish(shared, connection);
    }

    /// The session is over.
    pub(crate) fn note_closed(&mut self, shared: &Shared, connection: &Connection) {
        self.observer.note_dropped(shared, connection);
        self.observer.note_closed(shared, connection);
    }

    /// A socket that has asked for this session is there.
    fn attach(&mut self, arrival: Arrival, shared: &Shared, connection: &Connection) {
        let Arrival { link, received, resumes } = arrival;
        self.observer.note_dropped(shared, connection);
        match connection.cell().drive(|session| session.attach(link.epoch(), received, now())) {
            Ok(()) => {
                self.observer.note_attached(shared, connection);
                connection.note_link(&link);
                if let Some(old) = self.link.replace(link) {
                    // Half open, perhaps: it is told without holding up the new one.
                    let end = LinkEnd::Leave(CloseFrame::new(4000, "taken over"));
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
                leave(shared, link, LinkEnd::Leave(frame));
            }
        }
    }

    /// Does something with the link, and lets it go where that was its end. Returns whether it is to be done again.
    fn guard(
        &mut self,
        shared: &Shared,
        connection: &Connection,
        poll: impl FnOnce(&mut Link) -> Wrote,
    ) -> bool {
        let Some(link) = &mut self.link else { return false };
        // An application's own codec may panic on what a peer sends.
        let end = match catch_unwind(AssertUnwindSafe(|| poll(link))) {
            Ok(Wrote::Enough { again, .. }) => return again,
            Ok(Wrote::End(end)) => end,
            Err(_) => {
                panicked(connection, "codec");
                LinkEnd::Leave(CloseReason::HandlerPanicked.close_frame())
            }
        };
        self.observer.note_dropped(shared, connection);
        self.observer.note_closed(shared, connection);
        if let Some(link) = self.link.take() {
            leave(shared, link, end);
        }
        false
    }
}

/// Lets a socket go, within the close timeout.
fn leave(shared: &Shared, link: Box<Link>, end: LinkEnd) {
    if end != LinkEnd::Gone {
        shared.close_socket(link, end);
    }
}

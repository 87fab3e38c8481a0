//! [`SessionTask`]: the one task of a session, while it has a socket or events to report.

mod calls;
mod kept;
mod reads;
mod stopping;
mod waking;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin_core::drive::{Deadline, yield_now};
use rejoin_core::{CloseReason, SessionState};

use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::observe::hooks::Stopwatch;
use crate::observe::metrics::CallbackKind;
use crate::session::call::{Call, Callback};
use crate::session::expiry_slot::Loss;

use calls::Calls;
use kept::Kept;
use reads::Reads;

/// The number of events that one poll handles before other tasks run: with handlers that take 100 µs a poll lasts 3 ms. Another
/// poll costs less than a microsecond, which is negligible beside 32 messages.
const EVENTS_PER_POLL: usize = 32;

/// How long the callbacks of a newcomer wait for those of the session that it has replaced: long enough for a callback that
/// writes to a database, and short enough that no client notices one that hangs.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(1);

/// The number of times that one poll reads and writes before other tasks run.
const ROUNDS_PER_POLL: usize = 4;

/// Drives the socket, the timer, and the callbacks, one callback at a time. While a callback awaits, the rest continues.
///
/// It is the session's driver ([`SharedSession`](rejoin_core::drive::SharedSession)): each poll is a list of steps that ends with
/// another look at everything that a wake-up could have missed. A session has one such task at a time; it may hibernate, and then
/// has none until [`Host::wake`](crate::connection::Host::wake).
pub(crate) struct SessionTask {
    shared: Arc<ServerInner>,
    connection: Connection,
    callback: Option<(CallbackKind, Callback)>,
    /// The callback is waiting, and counts in [`ServerCore::handlers_running`].
    is_counted: bool,
    reads: Reads,
    /// Measures the callback, if the application has metrics.
    stopwatch: Option<Stopwatch>,
    deadline: Deadline,
    calls: Calls,
    /// Whether the session hibernates: the end of this task is not the end of the session. Another task may drive the session already,
    /// so `drop` must not touch it.
    rests: bool,
    /// The uncommitted acts of the callbacks, if a store keeps the session.
    kept: Option<Box<Kept>>,
    /// The session's span, if `tracing` is enabled for it.
    span: Option<Box<tracing::Span>>,
}

impl SessionTask {
    /// A task for a connection that is registered. Dropping it removes the connection again, whether it has run or not. Its
    /// callbacks begin when those of the connection that it has `replaced` are over, or have taken too long.
    pub(crate) fn new(
        shared: Arc<ServerInner>,
        connection: Connection,
        replaced: Option<Connection>,
    ) -> Self {
        let mut task = Self::after(shared, connection, Calls::default());
        task.callback = replaced.map(|replaced| {
            let over: Callback = Box::pin(async move {
                tokio::time::timeout(PREDECESSOR_PATIENCE, replaced.closed()).await.ok();
            });
            (CallbackKind::Connect, over)
        });
        task
    }

    fn after(shared: Arc<ServerInner>, connection: Connection, calls: Calls) -> Self {
        let span = connection.handle().span();
        let span = (!span.is_disabled()).then(|| Box::new(span));
        let reads = Reads::of(&shared, &connection);
        let kept = Kept::of(&shared, &connection).map(Box::new);
        Self {
            shared,
            reads,
            connection,
            callback: None,
            is_counted: false,
            stopwatch: None,
            deadline: Deadline::default(),
            calls,
            rests: false,
            kept,
            span,
        }
    }

    /// Runs callbacks until one has to wait, there are no more events, or `events` of them have been handled, which it counts
    /// down. Ready when `on_disconnect` has returned.
    fn poll_callbacks(&mut self, cx: &mut Context<'_>, events: &mut usize) -> Poll<()> {
        loop {
            if let Some((which, callback)) = &mut self.callback {
                let which = *which;
                let failed = match catch_unwind(AssertUnwindSafe(|| {
                    kept::enter(&self.kept, || callback.as_mut().poll(cx))
                })) {
                    Ok(Poll::Pending) => {
                        // Not counted while it waits for the callbacks of another session.
                        if self.calls.have_begun() && !std::mem::replace(&mut self.is_counted, true) {
                            self.shared.handlers_running.fetch_add(1, Ordering::Relaxed);
                        }
                        return Poll::Pending;
                    }
                    Ok(Poll::Ready(())) => false,
                    Err(_) => true,
                };
                self.callback = None;
                self.count_returned();
                self.shared.metrics.stop(self.stopwatch.take());
                if failed {
                    self.end_after_panic(which);
                } else {
                    self.note_returned(which);
                    self.commit();
                }
            }
            if self.calls.is_over() {
                return Poll::Ready(());
            }
            if self.kept.as_ref().is_some_and(|kept| kept.has_moved()) {
                self.calls.note_moved();
            } else if self.is_ahead() {
                return Poll::Pending;
            } else if let Some(relief) = self.kept.as_ref().and_then(|kept| kept.relief()) {
                self.callback = Some((CallbackKind::Message, relief));
                continue;
            }
            let Some(left) = events.checked_sub(1) else { return Poll::Pending };
            let Some(call) = self.calls.next(&self.shared, &self.connection) else {
                self.commit();
                // It ends at once if the application has not seen it begin.
                return if self.calls.is_over() { Poll::Ready(()) } else { Poll::Pending };
            };
            *events = left;
            if self.reads.refuses(&call, &self.shared, &self.connection) {
                continue;
            }
            if let (Call::Claim, Some(kept)) = (&call, &self.kept) {
                self.callback = Some((CallbackKind::BeforeDisconnect, kept.claim()));
                continue;
            }
            let metrics = &self.shared.metrics;
            let Some(which) = call.kind() else { continue };
            let stopwatch = metrics.start(which);
            if let Some(kept) = &mut self.kept {
                kept.note_call(&call, &self.connection);
            }
            match catch_unwind(AssertUnwindSafe(|| {
                kept::enter(&self.kept, || self.shared.call(&self.connection, call))
            })) {
                Ok(Some(callback)) => (self.callback, self.stopwatch) = (Some((which, callback)), stopwatch),
                Ok(None) => {
                    self.note_returned(which);
                    self.commit();
                }
                Err(_) => {
                    metrics.stop(stopwatch);
                    self.end_after_panic(which);
                }
            }
        }
    }

    /// A callback has returned, or the application has none of this kind.
    fn note_returned(&self, which: CallbackKind) {
        if let Some(kept) = &self.kept
            && self.calls.have_begun()
        {
            kept.note_returned(which, &self.shared.handlers);
        }
    }

    /// Commits the acts of the callbacks, and the handled frames. No callback runs.
    fn commit(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.commit(&self.connection);
        }
    }

    /// Whether the next callback has to wait for a commit, which wakes this task, or is left to the next process.
    fn is_ahead(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_ahead(&self.connection)) || self.is_stopped()
    }

    /// Whether callbacks wait for the connection's own handlers.
    fn awaits_handler(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.awaits_handler(&self.connection))
    }

    /// Whether the session was left to the store: this task has nothing more to do.
    fn is_left(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_left())
    }

    /// Ends the session, because a callback has panicked.
    fn end_after_panic(&mut self, which: CallbackKind) {
        self.connection.handle().end_after_panic(which.as_str());
        self.calls.note_panic(&self.shared, &self.connection, which);
    }

    /// Stops counting the callback as running, if it counts.
    fn count_returned(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            self.shared.handlers_running.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Adds a suspended session to the expiry queue, and removes one that has a socket again. `waits` is the loss since which the
    /// session waits for a socket.
    fn queue(&self, waits: Option<Loss>) {
        match waits {
            // Compares the loss: a session that had a socket for a moment is in the queue already, but its window begins anew.
            // Read without the queue's lock, which is safe: only this task adds the session, and adding checks again. A thread
            // that removes it meanwhile either ends it or has seen a newer socket.
            Some(loss) if !self.connection.expiry_slot().is_queued_since(loss) => {
                self.shared.suspended.enter(&self.connection, loss);
                if let Some(kept) = &self.kept {
                    kept.suspended(&self.shared);
                }
            }
            None if self.connection.expiry_slot().is_queued() => {
                self.shared.suspended.leave(&self.connection)
            }
            _ => {}
        }
    }

    /// Hibernates the session if it only waits for a socket, so that it costs no task. Returns whether this task must end. The
    /// window is left to [`SuspendedSessions`](crate::session::expiry::SuspendedSessions).
    fn hibernate(&mut self) -> bool {
        let stirs = self.kept.as_ref().and_then(|kept| kept.stirs());
        // A callback would be dropped with this task.
        self.rests = self.calls.may_rest() && self.callback.is_none() && self.connection.hibernate();
        // A socket that arrived before `hibernate` exchanged the waker has woken this task, which is about to end; it would wait
        // for ever. So would a join or a leave to report. All store their flag and then lock the session to wake its driver: one whose wake-up came before the
        // exchange is seen here, one whose wake-up comes after it starts another task. If both happen, the second wake-up finds
        // nothing to wake.
        let is_due = self.connection.handle().has_pending_socket()
            || self.calls.is_due(&self.connection) && !self.awaits_handler()
            || self.shared.is_aborted();
        if (self.rests || self.is_stopped() || self.callback.is_none() && self.awaits_handler())
            && let Some(kept) = &mut self.kept
        {
            kept.rest(stirs);
        }
        if self.rests && is_due {
            self.connection.session().wake_driver();
        }
        self.rests
    }
}

impl Future for SessionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let span = this.span.as_deref().cloned();
        let _entered = span.as_ref().map(tracing::Span::enter);
        if this.shared.is_aborted() || this.is_left() {
            return Poll::Ready(());
        }
        this.interrupt();
        let mut events = EVENTS_PER_POLL;
        for _ in 0..ROUNDS_PER_POLL {
            // Frames that the callbacks send are written below: until then they need not wake this task.
            this.connection.session().unregister_driver();
            // A fan-out holds it. Waiting for the lock would be waiting for foreign code; the task comes back after others.
            let Some(mut socket) = this.connection.try_attachment() else { return yield_now(cx) };
            socket.poll_read(cx, &this.shared, this.connection.handle());
            // Released while the callbacks run: a callback may broadcast to this very session.
            drop(socket);
            this.reads.note_held(&this.connection);
            let over = this.poll_callbacks(cx, &mut events).is_ready();
            let reads_on = this.reads.note_held(&this.connection);
            // Before the last look at everything that may have changed: a change from now on wakes this task, and one that came
            // before is seen below. Registered after that look, a change in between would be lost, and a frame or a socket would
            // wait for the next ping.
            this.connection.session().register_driver(cx);
            // An abort while the callbacks ran found this task awake, and woke nothing.
            if this.shared.is_aborted() || this.is_left() {
                return Poll::Ready(());
            }
            // The driver stays registered: a wake-up that comes before the next poll costs nothing, since the task polls anyway.
            let Some(mut socket) = this.connection.try_attachment() else { return yield_now(cx) };
            let again = socket.poll_write(cx, &this.shared, this.connection.handle())
                || reads_on
                // A socket that has arrived since `poll_read` woke nothing, either.
                || this.connection.handle().has_pending_socket();
            drop(socket);
            if over {
                return Poll::Ready(());
            }
            // After the write, which may have ended the session or moved its timer, and has drained the broadcasts.
            let has_begun = this.calls.have_begun();
            let (at, waits, news, blocked) = this.connection.session().look(|session| {
                let waits = (session.state() == SessionState::Suspended).then(|| Loss::last(session));
                let news = session.has_events() || has_begun && session.has_discarded();
                (session.poll_timeout(), waits, news, session.is_blocked())
            });
            if blocked {
                // In plain mode a frame was accepted beyond the bound of all sessions because the socket kept up. The frame is
                // kept now, at the expense of suspended sessions.
                this.shared.context.budget.evict_to_fit(0);
            }
            // Before it hibernates: without a task only the queue ends its window.
            this.queue(waits);
            if waits.is_some() && this.hibernate() {
                return Poll::Ready(());
            }
            let due = this.connection.session().poll_timeout_at(at, cx, &mut this.deadline).is_ready();
            // While a callback awaits, its own waker is registered, and further events stay in the queue.
            let news =
                (news || this.calls.is_due(&this.connection)) && this.callback.is_none() && !this.is_ahead();
            if !due && !news && !again {
                return Poll::Pending;
            }
            if events == 0 {
                break;
            }
        }
        // There is more to do, and possibly no further wake-up for it.
        yield_now(cx)
    }
}

impl Drop for SessionTask {
    fn drop(&mut self) {
        if self.rests {
            return;
        }
        let span = self.span.as_deref().cloned();
        let _entered = span.as_ref().map(tracing::Span::enter);
        self.count_returned();
        self.reads.note_end();
        if let Some(kept) = &mut self.kept {
            kept.end(&self.shared, &self.connection);
        }
        // However the task ends, also by an abort or with its runtime, it leaves nothing behind. First the session ends: no frame
        // and no socket is accepted from here on.
        self.connection.end(CloseReason::ServerClosed);
        self.queue(None);
        // The one place that waits for this lock: there is no later poll that could come back to it.
        self.connection.attachment().finish(&self.shared, self.connection.handle());
        self.shared.forget(&self.connection);
        if self.connection.handle().reports_changes {
            // No callback will report these changes.
            self.shared.changes.forget(self.connection.number());
        }
        self.shared.retire(&self.connection);
        // A hibernated session's waker owns the connection: if it stayed registered, the connection would never be freed.
        self.connection.session().forget_driver();
        // First mark the connection, then look for a late socket. `ServerCore::arrive` does the reverse: it stores the socket,
        // then checks the mark. So one of the two finds a socket that arrives now, and closes it.
        self.connection.set_gone();
        self.shared.turn_away(&self.connection);
    }
}

#[cfg(test)]
mod tests;

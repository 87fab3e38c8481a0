//! [`SessionTask`]: the one task of a session, from its first socket to its end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rejoin_core::drive::{Deadline, Link, LinkEnd, Transport, now};
use rejoin_core::{AttachError, CloseFrame, CloseReason, Event, State};

use crate::connection::{Arrival, Connection};
use crate::handlers::Callback;
use crate::meter::Stopwatch;
use crate::metrics::{CallbackKind, ResumeRefused};
use crate::observer::Observer;
use crate::shared::Shared;
use crate::suspended::Place;

/// Drives the socket, runs the callbacks one after the other, and the timer. While a callback awaits, the rest goes on.
pub(crate) struct SessionTask {
    shared: Arc<Shared>,
    connection: Connection,
    link: Option<Link>,
    callback: Option<(CallbackKind, Callback)>,
    /// Since when the callback runs, where somebody wants to know.
    stopwatch: Option<Stopwatch>,
    deadline: Deadline,
    /// While the session waits for a socket.
    place: Option<Place>,
    /// The application has been told the beginning.
    connected: bool,
    /// The application has been told the end, or is being told.
    over: bool,
    observer: Observer,
    span: tracing::Span,
}

impl SessionTask {
    /// A task for a connection that is registered. Whether it runs or not, dropping it takes the connection back.
    pub(crate) fn new(shared: Arc<Shared>, connection: Connection) -> Self {
        let span = tracing::debug_span!("session", id = connection.id(), room = connection.room());
        Self {
            shared,
            connection,
            link: None,
            callback: None,
            stopwatch: None,
            deadline: Deadline::default(),
            place: None,
            connected: false,
            over: false,
            observer: Observer::default(),
            span,
        }
    }

    /// A socket that has asked for this session is there.
    fn poll_arrival(&mut self) {
        let Some(Arrival { epoch, received, resumes, transport }) = self.connection.take_arrival() else {
            return;
        };
        self.observer.note_dropped(&self.shared, &self.connection);
        match self.connection.cell().drive(|session| session.attach(epoch, received, now())) {
            Ok(()) => {
                self.observer.note_attached(&self.shared, &self.connection);
                if let Some(old) = self.link.replace(Link::new(epoch, transport)) {
                    // Half open, perhaps: it is told without holding up the new one.
                    self.leave(old.into_transport(), LinkEnd::Leave(CloseFrame::new(4000, "taken over")));
                }
            }
            Err(error) => {
                let (frame, why) = match error {
                    AttachError::Violation(violation) => {
                        (CloseFrame::new(1002, violation.to_string()), ResumeRefused::BadCount)
                    }
                    AttachError::Fenced => (CloseFrame::new(4000, "taken over"), ResumeRefused::Overtaken),
                    // It ended between the answer to the upgrade and now.
                    _ => (self.connection.farewell(), ResumeRefused::Ended),
                };
                if resumes {
                    self.shared.refuse_resume(why);
                }
                self.leave(transport, LinkEnd::Leave(frame));
            }
        }
    }

    fn poll_link(&mut self, cx: &mut Context<'_>) {
        let Some(link) = &mut self.link else { return };
        let (cell, codec) = (self.connection.cell(), self.connection.codec());
        // An application's own codec may panic on what a peer sends.
        let end = match catch_unwind(AssertUnwindSafe(|| link.poll(cx, cell, codec))) {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(end)) => end,
            Err(_) => {
                self.panicked("codec");
                LinkEnd::Leave(CloseReason::HandlerPanicked.close_frame())
            }
        };
        self.observer.note_dropped(&self.shared, &self.connection);
        self.observer.note_closed(&self.shared, &self.connection);
        if let Some(link) = self.link.take() {
            self.leave(link.into_transport(), end);
        }
    }

    /// Lets a socket go, within the close timeout.
    fn leave(&self, transport: Box<dyn Transport>, end: LinkEnd) {
        if end != LinkEnd::Gone {
            self.shared.close_socket(transport, end);
        }
    }

    /// Runs callbacks until one has to wait or nothing is left to tell. Ready when the application has been told the end.
    fn poll_callbacks(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some((which, callback)) = &mut self.callback {
                let which = *which;
                let panicked = match catch_unwind(AssertUnwindSafe(|| callback.as_mut().poll(cx))) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(())) => false,
                    Err(_) => true,
                };
                self.callback = None;
                self.shared.meter.stop(self.stopwatch.take());
                if panicked {
                    self.panicked(which.as_str());
                }
            }
            if self.over {
                return Poll::Ready(());
            }
            let Some(event) = self.connection.cell().next_event() else { return Poll::Pending };
            match &event {
                Event::Connected => self.connected = true,
                Event::Closed(_) => {
                    self.over = true;
                    self.observer.note_closed(&self.shared, &self.connection);
                    self.shared.forget(&self.connection);
                    if !self.connected {
                        // It ended before its first socket came: there is nothing to take back.
                        continue;
                    }
                }
                Event::Gap(gap) => {
                    tracing::debug!(from = gap.from, to = gap.to, "peer gives frames up");
                }
                _ => {}
            }
            let (handlers, meter) = (&self.shared.handlers, &self.shared.meter);
            let Some(which) = kind(&event) else { continue };
            let stopwatch = meter.start(which);
            match catch_unwind(AssertUnwindSafe(|| handlers.call(&self.connection, event))) {
                Ok(Some(callback)) => (self.callback, self.stopwatch) = (Some((which, callback)), stopwatch),
                Ok(None) => {}
                Err(_) => {
                    meter.stop(stopwatch);
                    self.panicked(which.as_str());
                }
            }
        }
    }

    /// Who waits for a socket may have to give way; who has one again does not.
    fn queue(&mut self, state: State) {
        match (state == State::Suspended, self.place.take()) {
            (true, None) => self.place = Some(self.shared.suspended.enter(&self.connection)),
            (true, place) => self.place = place,
            (false, Some(place)) => self.shared.suspended.leave(place),
            (false, None) => {}
        }
    }

    /// What panicked is told, and its text is not: it may quote a payload, and the panic hook has told it already.
    fn panicked(&self, which: &'static str) {
        // With the ID: the span is there only where debug is wanted.
        tracing::error!(id = self.connection.id(), which, "handler panicked");
        self.connection.cell().drive(|session| session.end(CloseReason::HandlerPanicked));
    }
}

impl Future for SessionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let span = this.span.clone();
        let _entered = span.enter();
        if this.shared.is_aborted() {
            return Poll::Ready(());
        }
        loop {
            // What the callbacks have to say is written below: they need not wake us for it.
            this.connection.cell().unregister_driver();
            let over = this.poll_callbacks(cx).is_ready();
            this.connection.cell().register_driver(cx);
            // Again: an abort while the callbacks ran found nobody to wake.
            if this.shared.is_aborted() {
                return Poll::Ready(());
            }
            // Before the link writes: the buffer as full as it gets.
            this.observer.note_counts(&this.shared, &this.connection);
            this.poll_arrival();
            this.poll_link(cx);
            this.observer.note_counts(&this.shared, &this.connection);
            if over {
                return Poll::Ready(());
            }
            let due = this.connection.cell().poll_timeout(cx, &mut this.deadline).is_ready();
            let (state, news) =
                this.connection.cell().drive(|session| (session.state(), session.has_events()));
            this.queue(state);
            let news = news && this.callback.is_none();
            if !due && !news {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for SessionTask {
    fn drop(&mut self) {
        let span = self.span.clone();
        let _entered = span.enter();
        // However it ends, by abort too: nothing is left behind.
        self.connection.end(CloseReason::ServerClosed);
        self.queue(State::Closed);
        self.observer.finish(&self.shared, &self.connection);
        self.shared.forget(&self.connection);
        self.shared.retire(&self.connection);
        self.connection.set_gone();
        self.shared.turn_away(&self.connection);
    }
}

/// Which callback is for this event.
fn kind(event: &Event) -> Option<CallbackKind> {
    match event {
        Event::Connected => Some(CallbackKind::Connect),
        Event::Message(_) => Some(CallbackKind::Message),
        Event::Dropped(_) => Some(CallbackKind::TransportDrop),
        Event::Restored => Some(CallbackKind::TransportRestore),
        Event::Gap(_) => Some(CallbackKind::Gap),
        Event::Closed(_) => Some(CallbackKind::Disconnect),
        // `Lost` is a client's.
        _ => None,
    }
}

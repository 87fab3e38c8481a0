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
use crate::shared::Shared;
use crate::suspended::Place;

/// Drives the socket, runs the callbacks one after the other, and the timer. While a callback awaits, the rest goes on.
pub(crate) struct SessionTask {
    shared: Arc<Shared>,
    connection: Connection,
    link: Option<Link>,
    callback: Option<Callback>,
    deadline: Deadline,
    /// While the session waits for a socket.
    place: Option<Place>,
    /// The application has been told the beginning.
    connected: bool,
    /// The application has been told the end, or is being told.
    over: bool,
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
            deadline: Deadline::default(),
            place: None,
            connected: false,
            over: false,
            span,
        }
    }

    /// A socket that has asked for this session is there.
    fn poll_arrival(&mut self) {
        let Some(Arrival { epoch, received, transport }) = self.connection.take_arrival() else { return };
        match self.connection.cell().drive(|session| session.attach(epoch, received, now())) {
            Ok(()) => {
                if let Some(old) = self.link.replace(Link::new(epoch, transport)) {
                    // Half open, perhaps: it is told without holding up the new one.
                    self.leave(old.into_transport(), LinkEnd::Leave(CloseFrame::new(4000, "taken over")));
                }
            }
            Err(error) => {
                let frame = match error {
                    AttachError::Violation(violation) => CloseFrame::new(1002, violation.to_string()),
                    AttachError::Fenced => CloseFrame::new(4000, "taken over"),
                    // It ended between the answer to the upgrade and now.
                    _ => self.connection.farewell(),
                };
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
            Err(panic) => {
                self.panicked(&*panic);
                LinkEnd::Leave(CloseReason::HandlerPanicked.close_frame())
            }
        };
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
            if let Some(callback) = &mut self.callback {
                let done = match catch_unwind(AssertUnwindSafe(|| callback.as_mut().poll(cx))) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(())) => Ok(()),
                    Err(panic) => Err(panic),
                };
                self.callback = None;
                if let Err(panic) = done {
                    self.panicked(&*panic);
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
                    self.shared.forget(&self.connection);
                    if !self.connected {
                        // It ended before its first socket came: there is nothing to take back.
                        continue;
                    }
                }
                _ => {}
            }
            let handlers = &self.shared.handlers;
            match catch_unwind(AssertUnwindSafe(|| handlers.call(&self.connection, event))) {
                Ok(callback) => self.callback = callback,
                Err(panic) => self.panicked(&*panic),
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

    fn panicked(&self, panic: &(dyn std::any::Any + Send)) {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(panic = text.unwrap_or("of no text"), "handler panicked");
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
            this.poll_arrival();
            this.poll_link(cx);
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
        // However it ends, by abort too: nothing is left behind.
        self.connection.end(CloseReason::ServerClosed);
        self.queue(State::Closed);
        self.shared.forget(&self.connection);
        self.shared.retire(&self.connection);
        self.connection.set_gone();
        self.shared.turn_away(&self.connection);
    }
}

//! [`Kept`]: the uncommitted acts of a session's callbacks.

use std::sync::Arc;

use rejoin_core::drive::now;
use rejoin_core::{CloseReason, DropReason, Event, SessionState};

use crate::connection::Connection;
use crate::durable::handover::{Handed, Interrupted};
use crate::durable::{Act, DurableLog, LogWriter, Scope, Told, Words, Work, stop::RETRY, windows};
use crate::inner::ServerInner;
use crate::observe::metrics::CallbackKind;
use crate::session::call::{Call, Callback};
use crate::session::changes::Change;
use crate::session::handlers::Handlers;

/// Commits the acts of a session's callbacks, together with the number of handled frames.
pub(super) struct Kept {
    log: Arc<DurableLog>,
    writer: Arc<LogWriter>,
    scope: Arc<Scope>,
    /// Number of frames that are handled and queued to be committed.
    handled: u64,
    /// Acts after the session's end, which are committed with it.
    last_words: Vec<Act>,
    /// The session had [handlers of its own](crate::Identity::with_handler) in another process, and no request had brought them
    /// when this task began.
    awaits_handler: bool,
    handed: HandedTask,
}

/// The task's view of a session with [`Durability::Handover`](crate::Durability::Handover).
#[derive(Default)]
struct HandedTask {
    /// The reason for the running callback, if the next process has to know it.
    running: Option<Interrupted>,
    /// Whether a callback has run since the last request for an export.
    has_run: bool,
}

/// The number of handled frames that may wait for their commit.
const MAX_UNCOMMITTED: u64 = 64;

/// Runs a callback's step in the session's scope.
pub(super) fn enter<T>(kept: &Option<Box<Kept>>, step: impl FnOnce() -> T) -> T {
    match kept {
        Some(kept) => kept.scope.enter(step),
        None => step(),
    }
}

impl Kept {
    pub(super) fn of(shared: &ServerInner, connection: &Connection) -> Option<Self> {
        let log = shared.durable.clone()?;
        let writer = connection.handle().writer()?.clone();
        writer.handed().into_iter().for_each(Handed::begin_task);
        let handled = connection.session().drive(|session| session.counts().received - session.uncommitted());
        let scope = log.new_scope(writer.clone());
        Some(Self {
            log,
            writer,
            scope,
            handled,
            last_words: Vec::new(),
            awaits_handler: connection.handle().awaits_handler(),
            handed: HandedTask::default(),
        })
    }

    /// Records which frame is about to be handled.
    pub(super) fn note_call(&mut self, call: &Call, connection: &Connection) {
        if self.writer.handed().is_some() {
            self.handed.has_run = true;
            self.handed.running = match call {
                Call::Event(Event::Message(frame)) if !frame.is_volatile() => {
                    Some(Interrupted::Message(frame.clone()))
                }
                Call::Joined(room) => Some(Interrupted::Change(Change::Joined(room.clone()))),
                Call::Left(room) => Some(Interrupted::Change(Change::Left(room.clone()))),
                _ => None,
            };
        } else if let Call::Event(Event::Message(frame)) = call {
            let number = connection.session().drive(|session| session.taken());
            self.scope.set_input(number.filter(|_| !frame.is_volatile()));
        }
    }

    /// Records that a callback has returned, which is committed with its acts.
    pub(super) fn note_returned(&self, which: CallbackKind, handlers: &Handlers) {
        let what = match which {
            CallbackKind::Connect if handlers.have(CallbackKind::Connect) => Told::Connected,
            CallbackKind::Join | CallbackKind::Leave => Told::Change,
            CallbackKind::Away if handlers.tell_of_losses() => Told::Away,
            CallbackKind::Back if handlers.tell_of_losses() => Told::Back,
            _ => return,
        };
        match self.writer.handed() {
            // They are exported with the session; changes are still pending there.
            Some(_) if what != Told::Change => self.writer.callbacks().note(what),
            Some(_) => {}
            None => self.scope.push(Act::Told { who: self.writer.key, what }),
        }
    }

    /// Queues the acts and the handled frames since the last call.
    pub(super) fn commit(&mut self, connection: &Connection) {
        if self.writer.handed().is_some() {
            self.handed.running = None;
            return;
        }
        let Words { acts, state: stored, .. } = self.scope.take();
        let (handled, state) = connection.session().drive(|session| (session.handled(), session.state()));
        if state == SessionState::Closed {
            self.last_words.extend(acts.into_iter().filter(|act| !matches!(act, Act::Told { .. })));
            return;
        }
        if acts.is_empty() && stored.is_none() && handled == self.handled {
            return;
        }
        self.handled = handled;
        let connection = connection.clone();
        let then = move |committed| match committed {
            true => connection.session().commit(handled, MAX_UNCOMMITTED, now()),
            false => windows::moved(&connection),
        };
        self.log.queue.push(Work::Session {
            writer: self.writer.clone(),
            acts,
            received: Some(handled),
            state: stored,
            ends: false,
            then: Some(Box::new(then)),
        });
    }

    /// Whether the next callback has to wait: as much is uncommitted as may be, or it is not known whom to call.
    pub(super) fn is_ahead(&self, connection: &Connection) -> bool {
        let uncommitted = connection.session().drive(|session| session.handled_uncommitted());
        uncommitted >= MAX_UNCOMMITTED || self.awaits_handler(connection)
    }

    /// Whether callbacks wait for handlers that only a request can bring. None of a session that has ended does: they are left
    /// out.
    pub(super) fn awaits_handler(&self, connection: &Connection) -> bool {
        self.awaits_handler
            && connection.handle().awaits_handler()
            && connection.session().drive(|session| session.state()) != SessionState::Closed
    }

    /// Number of requests and tasks so far that may have changed the session; `None` without `Durability::Handover`.
    pub(super) fn stirs(&self) -> Option<u64> {
        Some(self.writer.handed()?.stirs())
    }

    /// Records that the session has no socket, and that no callback of it runs or begins, unless a request or another task came
    /// after `stirs`.
    pub(super) fn rest(&mut self, stirs: Option<u64>) {
        let (Some(stirs), Some(handed), Some(handover)) = (stirs, self.writer.handed(), &self.log.handover)
        else {
            return;
        };
        if handed.rest(stirs, std::mem::take(&mut self.handed.has_run)) {
            handover.ask(self.writer.key);
        }
    }

    /// Whether the server is about to leave the session to the store, so that no further callback begins.
    pub(super) fn is_stopping(&self, connection: &Connection) -> bool {
        self.log.is_stopping()
            && connection.session().drive(|session| session.state()) == SessionState::Suspended
    }

    /// Whether the server does not wait for the running callback.
    pub(super) fn is_interrupted(&self) -> bool {
        self.writer.handed().is_some_and(Handed::is_interrupted)
    }

    /// Records that the running callback was dropped.
    pub(super) fn note_interrupted(&mut self) {
        if let Some(running) = self.handed.running.take()
            && let Some(handed) = self.writer.handed()
        {
            handed.note_interrupted(running);
        }
    }

    /// Waits until the store takes commits again; `None` if there is no need.
    pub(super) fn relief(&self) -> Option<Callback> {
        let is_needed = self.log.handover.is_some() && self.log.health.is_down() && self.log.queue.is_long();
        let log = self.log.clone();
        is_needed.then(|| Box::pin(async move { log.health.up().await }) as Callback)
    }

    /// Reports to the store that the session has lost its socket.
    pub(super) fn suspended(&self, shared: &ServerInner) {
        let window = shared.session_config(rejoin_core::Mode::Session).resume_window;
        windows::suspended(&self.log, &self.writer, window);
    }

    /// Waits until the session can no longer be resumed, because its window has passed; or another server owns it.
    pub(super) fn claim(&self) -> Callback {
        Box::pin(windows::claim(&self.log, &self.writer))
    }

    /// Called when the task ends, and the session with it, at least in this process.
    pub(super) fn end(&mut self, shared: &ServerInner, connection: &Connection) {
        if self.has_moved() {
            // The store refuses the acts since then.
            return;
        }
        if self.log.is_left() {
            connection.session().command(|session| session.dismiss(RETRY, now()));
            connection.end(CloseReason::TransportLost(DropReason::Draining { retry_in: RETRY }));
            return;
        }
        // In a task of the server's own runtime: if that is ending, it drops this task, and the session continues in the next process.
        let (log, writer) = (self.log.clone(), self.writer.clone());
        let last_words = std::mem::take(&mut self.last_words);
        // With the connection, which keeps its realm open: the last one's end would be left to the next process.
        let connection = connection.clone();
        shared.runtimes.spawn(async move {
            windows::end(&log, &writer, last_words);
            drop(connection);
        });
    }

    /// Whether another server owns the session.
    pub(super) fn has_moved(&self) -> bool {
        self.writer.has_moved()
    }

    pub(super) fn is_left(&self) -> bool {
        self.log.is_left()
    }
}

//! [`Shared`]: the state that the application's handles and the connection's task share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rejoin_core::drive::{EncodedFrame, SendError, SharedSession, now};
use rejoin_core::{
    CloseFrame, CloseReason as SessionEnd, Codec, DropReason, Event as SessionEvent, Frame, Mode, Overflow,
    Session, ws,
};
use tokio::sync::watch;

use crate::cookies::Cookies;
use crate::event::{CloseReason, Closed, Event};
use crate::options::ClientOptions;
use crate::refusal::Refusal;
use crate::state::ConnectionState;
use crate::unread::UnreadRefusals;

/// A session, and the client's state beside it.
pub(crate) struct Shared {
    pub(crate) session: SharedSession,
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) refusals: UnreadRefusals,
    /// The cookies after the last dial, for a session that is saved.
    cookies: Mutex<Cookies>,
    mode: Mode,
    pub(crate) overflow: Overflow,
    pub(crate) write_timeout: Duration,
    pub(crate) ask_timeout: Duration,
    close_timeout: Duration,
    /// Follows [`Sender::state`](crate::Sender::state).
    pub(crate) state: watch::Sender<ConnectionState>,
    /// Whether our application has closed, and gets no more events.
    deaf: AtomicBool,
    /// The task's reason for giving up, if the session has none.
    verdict: OnceLock<CloseReason>,
    /// How the connection ended, fixed when it is first reported.
    outcome: OnceLock<Closed>,
}

impl Shared {
    /// The state of a connection with a fresh session, or with this one.
    pub(crate) fn new(options: &ClientOptions, session: Option<SharedSession>) -> Self {
        let fresh = || SharedSession::new(Session::new(Arc::new(options.session_config()), now()));
        Self {
            session: session.unwrap_or_else(fresh),
            cookies: Mutex::default(),
            codec: options.codec.clone(),
            refusals: UnreadRefusals::default(),
            mode: options.mode,
            overflow: options.overflow,
            write_timeout: options.write_timeout,
            ask_timeout: options.ask_timeout,
            close_timeout: options.close_timeout,
            state: watch::Sender::new(ConnectionState::Reconnecting),
            deaf: AtomicBool::new(false),
            verdict: OnceLock::new(),
            outcome: OnceLock::new(),
        }
    }

    pub(crate) fn keep_cookies(&self, cookies: &Cookies) {
        let new = cookies.clone();
        *self.cookies.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }

    pub(crate) fn cookies(&self) -> Cookies {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins to close the session for our application.
    pub(crate) fn close(&self, frame: CloseFrame) {
        let deadline = now() + self.close_timeout;
        self.session.command(|session| session.close(SessionEnd::Local(frame), deadline));
        self.stop_listening();
    }

    /// Stops reporting events: our application has closed. Called after the session knows, because an event that is taken in
    /// between would be lost.
    pub(crate) fn stop_listening(&self) {
        self.session.drive(|session| {
            // A session that ended earlier still has events that were never reported.
            if session.ended().is_some() {
                session.discard_events();
            }
        });
        self.deaf.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    pub(crate) fn id(&self) -> Option<String> {
        self.session.drive(|session| session.identity().map(|identity| identity.id.to_string()))
    }

    pub(crate) fn set_state(&self, state: ConnectionState) {
        self.state.send_if_modified(|old| std::mem::replace(old, state) != state);
    }

    /// Reports a refused reconnect.
    pub(crate) fn refused(&self, refusal: Refusal) {
        let drops = self.session.drive(|session| session.counts().drops);
        self.refusals.push(drops, refusal);
    }

    /// Ends the session for a reason that it cannot know by itself. A session that our application is closing keeps that reason.
    pub(crate) fn give_up(&self, verdict: CloseReason) {
        self.session.command(|session| {
            if session.is_open() {
                // Set only here, and the task gives up only once.
                self.verdict.set(verdict).ok();
                session.end(SessionEnd::TransportLost(DropReason::Cut));
            } else {
                session.end(local());
            }
        });
    }

    /// Ends the session at once, by our application.
    pub(crate) fn end_locally(&self) {
        self.session.command(|session| session.end(local()));
    }

    /// Why the connection has ended, or is about to.
    pub(crate) fn end_reason(&self, session: &Session) -> CloseReason {
        match (self.verdict.get(), session.ended()) {
            (Some(verdict), _) => verdict.clone(),
            (None, Some(reason)) => CloseReason::of_session(reason),
            (None, None) => CloseReason::Local,
        }
    }

    /// How the connection ended. Must only be called when it has.
    pub(crate) fn outcome(&self) -> Closed {
        let closed = self.outcome.get_or_init(|| {
            self.session.drive(|session| Closed {
                reason: self.end_reason(session),
                unacknowledged: session.counts().unacknowledged,
            })
        });
        closed.clone()
    }

    pub(crate) fn encode(&self, frame: &Frame) -> Result<EncodedFrame, SendError> {
        self.session.check(frame)?;
        Ok(EncodedFrame::new(self.codec.encode_framed(frame)?, frame))
    }

    /// Decodes frames that were kept for the server.
    pub(crate) fn decode(&self, kept: Vec<Bytes>) -> Vec<Frame> {
        // Our codec encoded them. If it cannot decode one, there is no frame to return.
        kept.into_iter().filter_map(|kept| self.codec.decode(ws::message_of(kept)).ok()).collect()
    }

    /// Translates a session's event for the application. `None` for events that are not reported; `connect` itself reports
    /// the first connect. `is_fresh` says whether the session was lost since the last restore.
    pub(crate) fn translate(&self, event: SessionEvent, is_fresh: &mut bool) -> Option<Event> {
        Some(match event {
            SessionEvent::Message(frame) => Event::Message(frame),
            SessionEvent::Dropped(reason) => Event::Disconnected { reason },
            SessionEvent::Restored => {
                let was_lost = std::mem::take(is_fresh);
                Event::Reconnected { resumed: !was_lost && self.mode == Mode::Session }
            }
            SessionEvent::Gap(gap) => Event::Gap(gap),
            SessionEvent::Lost { reason, unacknowledged: kept, dropped } => {
                *is_fresh = true;
                let all = dropped + kept.len() as u64;
                let unacknowledged = self.decode(kept);
                let dropped = all - unacknowledged.len() as u64;
                Event::SessionLost { reason, unacknowledged, dropped }
            }
            SessionEvent::Closed(_) => {
                let closed = self.outcome();
                // The application knows about its own close.
                return (!matches!(closed.reason, CloseReason::Local)).then_some(Event::Closed(closed));
            }
            // `Connected`, and events of later versions of the session.
            _ => return None,
        })
    }
}

fn local() -> SessionEnd {
    SessionEnd::Local(CloseFrame::from_static(1000, ""))
}

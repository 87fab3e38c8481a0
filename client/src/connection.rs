//! [`Connection`]: a session, as its application sees it.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared as SharedFuture};
use rejoin_core::drive::{DeliveryError, SendError, SharedSession, now};
use rejoin_core::{
    CloseFrame, CloseReason as SessionEnd, Codec, DropReason, Event as SessionEvent, Frame, Overflow,
    Session, State, ws,
};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::event::{CloseReason, Closed, Event};
use crate::options::Options;
use crate::refusal::Refusal;
use crate::unread::UnreadRefusals;

/// A connection that outlives its sockets: a session.
///
/// It receives; to send it lends itself to [`Sender`], whose methods are its own, and of which there may be many. Dropping
/// the `Connection` is [`Sender::abort`]: its task ends at once, and the server is told nothing, so that it keeps the session
/// for its resume window. To part properly, [`close`](Sender::close) it.
pub struct Connection {
    sender: Sender,
    /// The drops that the application has seen.
    drops: u64,
    /// The last event, once the session has reported it.
    end: Option<Event>,
    /// The last event has been returned.
    over: bool,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, task: JoinHandle<()>) -> Self {
        let abort = task.abort_handle();
        // Cancelled or panicked, it has ended.
        let ended = task.map(|_| ()).boxed().shared();
        Self { sender: Sender { shared, abort, ended }, drops: 0, end: None, over: false }
    }

    /// The next event, in order; `None` after [`Event::Closed`], and after our own close.
    ///
    /// Cancel safe: a call that is dropped takes nothing. What is not taken is read ahead up to 64 frames or 1 MiB; then the
    /// server has to wait, and a socket that is lost is noticed only when the application has taken what is there.
    pub async fn recv(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        let event = poll_fn(|cx| self.poll_recv(cx)).await;
        self.over = matches!(event, None | Some(Event::Closed(_)));
        event
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let Self { sender: Sender { shared, .. }, drops, end, .. } = self;
        loop {
            // Looked at first: events that are taken before the application closes are reported, or they would be lost.
            let deaf = shared.is_deaf();
            let refusal = if deaf { None } else { shared.refusals.pop_due(*drops) };
            if refusal.is_some() {
                return Poll::Ready(refusal.map(Event::Refused));
            }
            let waiting = !deaf && !shared.refusals.is_empty();
            if end.is_some() {
                let refusal = if waiting { shared.refusals.pop() } else { None };
                return Poll::Ready(refusal.map(Event::Refused).or_else(|| end.take()));
            }
            let Poll::Ready(event) = shared.session.poll_event(cx) else {
                if deaf {
                    return Poll::Pending;
                }
                if waiting && let Some(refusal) = shared.refusals.pop() {
                    // It was there before the session had nothing more to report: the drop that it follows was joined with
                    // others.
                    return Poll::Ready(Some(Event::Refused(refusal)));
                }
                std::task::ready!(shared.refusals.poll_any(cx));
                continue;
            };
            *drops += u64::from(matches!(event, SessionEvent::Dropped(_)));
            let last = matches!(event, SessionEvent::Closed(_));
            match shared.translate(event).filter(|_| !deaf) {
                Some(event) if last => *end = Some(event),
                Some(event) => return Poll::Ready(Some(event)),
                None if last => return Poll::Ready(None),
                None => {}
            }
        }
    }

    /// The frames that were accepted and never acknowledged, once the connection has ended; before that, none. Those that
    /// [`Event::SessionLost`] has told are not among them, unless we closed before it was told. Whoever sends
    /// them elsewhere may repeat some.
    pub fn take_unacknowledged(&mut self) -> Vec<Frame> {
        let shared = &self.sender.shared;
        if shared.session.drive(|session| session.ended().is_none()) {
            return Vec::new();
        }
        // From here on the count that is told stays what it was.
        shared.outcome();
        let kept = shared.session.drive(Session::take_unacknowledged);
        shared.decode(kept)
    }

    /// A handle that sends, for other tasks.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }
}

impl Deref for Connection {
    type Target = Sender;

    fn deref(&self) -> &Sender {
        &self.sender
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Sends on a connection, from any task. Cheap to clone. It does not keep the connection alive.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
    abort: AbortHandle,
    ended: SharedFuture<BoxFuture<'static, ()>>,
}

impl Sender {
    /// Accepts a frame for the server. Success in session mode means: it will be delivered exactly once and in order while
    /// the session lives, also when there is no socket at the moment; otherwise [`Event::SessionLost`] or [`Closed`] tell.
    ///
    /// Does not wait. Costs one encoding, and the bytes until the server has acknowledged them.
    ///
    /// # Errors
    /// [`SendError::Full`] when more is sent than the server takes or acknowledges (or what
    /// [`ClientBuilder::overflow`](crate::ClientBuilder::overflow) says), [`SendError::Closed`] once the connection is closing, [`SendError::Reserved`] for an event that begins with `$` in session mode, [`SendError::Encode`] when the
    /// payload has no image in the codec. The frame is then not queued.
    pub fn send(&self, frame: &Frame) -> Result<(), SendError> {
        self.send_with(frame, self.shared.overflow)
    }

    /// Like [`Self::send`], with another policy for this frame where the buffer is full. What is dropped is counted, and in
    /// session mode the server is told.
    ///
    /// # Errors
    /// As [`Self::send`]; [`SendError::Full`] with [`Overflow::Reject`] alone, and [`SendError::Closed`] where
    /// [`Overflow::Disconnect`] has ended the connection.
    pub fn send_with(&self, frame: &Frame, overflow: Overflow) -> Result<(), SendError> {
        let message = self.shared.encode(frame)?;
        self.shared.session.send(message, overflow)?;
        Ok(())
    }

    /// Like [`Self::send`], but waits for room in the buffer, no longer than the
    /// [write timeout](crate::ClientBuilder::write_timeout). Dropped while it waits, it has queued nothing.
    ///
    /// # Errors
    /// As [`Self::send`], with [`SendError::Timeout`] instead of [`SendError::Full`].
    pub async fn send_wait(&self, frame: &Frame) -> Result<(), SendError> {
        let message = self.shared.encode(frame)?;
        self.shared.session.send_wait(message, self.shared.write_timeout).await?;
        Ok(())
    }

    /// Like [`Self::send_wait`], and waits until the server has acknowledged the frame: its side of the session has received
    /// it, and delivers it once and in order. That takes a round trip (PROTOCOL.md §4, `$sync`), and longer while the peer's
    /// application is behind; sockets may be lost meanwhile, and it waits on.
    ///
    /// Dropping the future stops the waiting; a frame that was accepted is delivered all the same.
    ///
    /// # Errors
    /// [`DeliveryError::NotSent`] as [`Self::send_wait`] fails, [`DeliveryError::Dropped`] when the buffer overflowed later and the
    /// frame was given up, [`DeliveryError::Ended`] when the session ended first or was lost, [`DeliveryError::PlainMode`] where
    /// nobody acknowledges.
    pub async fn send_acked(&self, frame: &Frame) -> Result<(), DeliveryError> {
        let message = self.shared.encode(frame)?;
        self.shared.session.send_acked(message, self.shared.write_timeout).await
    }

    /// The connection ID that the server assigned; `None` in plain mode, where it does not tell. A fresh session after
    /// [`Event::SessionLost`] may have another.
    pub fn id(&self) -> Option<String> {
        self.shared.id()
    }

    /// The room that the server assigned; `None` in plain mode.
    pub fn room(&self) -> Option<String> {
        self.shared.session.drive(|session| session.identity().map(|identity| identity.room.to_string()))
    }

    /// Where the connection stands at this moment: never behind an event that was given. One that tells of it may still be on
    /// its way to [`recv`](Connection::recv).
    pub fn state(&self) -> ConnectionState {
        self.shared.session.drive(|session| match session.state() {
            State::Closed => ConnectionState::Closed,
            State::Connected if session.is_opened() => ConnectionState::Connected,
            _ => ConnectionState::Reconnecting,
        })
    }

    /// Follows [`Self::state`], a moment later: for a light that says whether we are online. What happens in quick succession is seen as its
    /// last.
    pub fn state_changes(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.subscribe()
    }

    /// Closes: nothing more is accepted, what was accepted is delivered, then the socket is closed with 1000. Bounded by the
    /// [close timeout](crate::ClientBuilder::close_timeout), reconnects included, and a second for the socket. From the call
    /// on no event is told. When it returns, the connection's task has ended.
    ///
    /// Dropped while it waits, the closing goes on. A connection that has ended already says how.
    pub async fn close(&self) -> Closed {
        let deadline = now() + self.shared.close_timeout;
        self.shared.session.command(|session| {
            session.close(SessionEnd::Local(CloseFrame::from_static(1000, "")), deadline);
        });
        self.shared.stop_listening();
        self.closed().await
    }

    /// Ends the connection now, without a word to the server: it keeps the session for its resume window. Does not wait;
    /// [`Self::closed`] does.
    pub fn abort(&self) {
        // First, so that the task has no chance to write a close frame.
        self.abort.abort();
        self.shared.end_locally();
        self.shared.stop_listening();
    }

    /// Waits until the connection has ended, and its task with it. Returns at once when it has; any number of tasks may wait.
    pub async fn closed(&self) -> Closed {
        self.ended.clone().await;
        self.shared.outcome()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// A socket is there, and the session is open.
    Connected,
    /// The socket is gone; another is being dialled, or waited for. What is sent is kept.
    Reconnecting,
    /// Ended.
    Closed,
}

/// What the application's handles and the connection's task have in common.
pub(crate) struct Shared {
    pub(crate) session: SharedSession,
    pub(crate) codec: Arc<dyn Codec>,
    refusals: UnreadRefusals,
    overflow: Overflow,
    write_timeout: Duration,
    close_timeout: Duration,
    /// The same as [`Sender::state`], for those who follow it.
    state: watch::Sender<ConnectionState>,
    /// Our application has closed: it is told nothing more.
    deaf: AtomicBool,
    /// Why the task has given up, where the session itself cannot know.
    verdict: OnceLock<CloseReason>,
    /// How it ended, as it was first told.
    outcome: OnceLock<Closed>,
}

impl Shared {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            session: SharedSession::new(Session::new(Arc::new(options.session_config()), now())),
            codec: options.codec.clone(),
            refusals: UnreadRefusals::default(),
            overflow: options.overflow,
            write_timeout: options.write_timeout,
            close_timeout: options.close_timeout,
            state: watch::Sender::new(ConnectionState::Reconnecting),
            deaf: AtomicBool::new(false),
            verdict: OnceLock::new(),
            outcome: OnceLock::new(),
        }
    }

    /// Our application has closed. Only after the session knows, or what is taken meanwhile would be lost.
    fn stop_listening(&self) {
        self.session.drive(|session| {
            // One that had ended before still has what nobody was told.
            if session.ended().is_some() {
                session.discard_events();
            }
        });
        self.deaf.store(true, Ordering::Relaxed);
    }

    fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    pub(crate) fn id(&self) -> Option<String> {
        self.session.drive(|session| session.identity().map(|identity| identity.id.to_string()))
    }

    pub(crate) fn set_state(&self, state: ConnectionState) {
        self.state.send_if_modified(|old| std::mem::replace(old, state) != state);
    }

    /// Reports a reconnect that was refused.
    pub(crate) fn refused(&self, refusal: Refusal) {
        let drops = self.session.drive(|session| session.counts().drops);
        self.refusals.push(drops, refusal);
    }

    /// Ends the session with a reason that it cannot know by itself. One that our application is closing keeps that reason.
    pub(crate) fn give_up(&self, verdict: CloseReason) {
        self.session.command(|session| {
            if session.is_open() {
                // Nobody else sets it, and the task gives up once.
                self.verdict.set(verdict).ok();
                session.end(SessionEnd::TransportLost(DropReason::Cut));
            } else {
                session.end(SessionEnd::Local(CloseFrame::from_static(1000, "")));
            }
        });
    }

    /// Why the connection has ended, or will have.
    pub(crate) fn end_reason(&self, session: &Session) -> CloseReason {
        match (self.verdict.get(), session.ended()) {
            (Some(verdict), _) => verdict.clone(),
            (None, Some(reason)) => CloseReason::of_session(reason),
            (None, None) => CloseReason::Local,
        }
    }

    pub(crate) fn end_locally(&self) {
        self.session.command(|session| session.end(SessionEnd::Local(CloseFrame::from_static(1000, ""))));
    }

    /// How the connection ended. Only to be called when it has.
    fn outcome(&self) -> Closed {
        let closed = self.outcome.get_or_init(|| {
            self.session.drive(|session| Closed {
                reason: self.end_reason(session),
                unacknowledged: session.counts().unacknowledged,
            })
        });
        closed.clone()
    }

    fn encode(&self, frame: &Frame) -> Result<Bytes, SendError> {
        self.session.check(frame)?;
        let message = self.codec.encode(frame)?;
        Ok(ws::encode_message(message.kind, &message.data))
    }

    fn decode(&self, kept: Vec<Bytes>) -> Vec<Frame> {
        // What our own codec has encoded it can decode; if it cannot, there is no frame to give back.
        kept.into_iter().filter_map(|kept| self.codec.decode(ws::message_of(kept)).ok()).collect()
    }

    /// A session's event as the application is told it; the first connect is told by `connect` itself.
    fn translate(&self, event: SessionEvent) -> Option<Event> {
        Some(match event {
            SessionEvent::Message(frame) => Event::Message(frame),
            SessionEvent::Dropped(reason) => Event::Dropped { reason },
            SessionEvent::Restored => Event::Restored,
            SessionEvent::Gap(gap) => Event::Gap(gap),
            SessionEvent::Lost { reason, unacknowledged: kept, dropped } => {
                let all = dropped + kept.len() as u64;
                let unacknowledged = self.decode(kept);
                let dropped = all - unacknowledged.len() as u64;
                Event::SessionLost { reason, unacknowledged, dropped }
            }
            SessionEvent::Closed(_) => {
                let closed = self.outcome();
                // What we have ended ourselves is nothing to tell.
                return (!matches!(closed.reason, CloseReason::Local)).then_some(Event::Closed(closed));
            }
            // `Connected`, and what a later version of the session may add.
            _ => return None,
        })
    }
}

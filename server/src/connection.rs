//! [`Connection`]: a session, as its application sees it.

mod expiry_slot;
pub(crate) use expiry_slot::{Loss, NOWHERE};

mod weak;
pub use weak::WeakConnection;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::offset_of;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, TryLockError};
use std::task::Wake;
use std::time::Instant;

use bytes::Bytes;
use rejoin_core::drive::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_core::drive::{
    DeliveryError, Effects, PrefetchHint, RoomLog, SendError, SharedSession, SocketDriver, now, prefetch,
};
use rejoin_core::{
    CloseFrame, CloseReason, Codec, Counts, Frame, InvalidClose, Mode, Overflow, Session, SessionIdentity,
    SessionState, Token, ws,
};

use crate::inner::ServerInner;
use crate::observe::reporter::SessionReporter;
use crate::session::attachment::Attachment;

/// A connection that outlives its sockets: a session.
///
/// Cheap to clone; all clones are the same connection, and equal: two connections with the same ID, one after the other, are not.
/// It stays valid after the session has ended: [`Self::send`] then fails. What it takes is free when the last clone is dropped:
/// [`Self::downgrade`] gives a handle that does not count.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

/// What a broadcast looks at comes first, in as few lines of the cache as can be: of a thousand members none is in it any more.
#[repr(C)]
struct Inner {
    shared: Arc<ServerInner>,
    /// The codec's place among the server's, by which a broadcast finds its encoding.
    codec_index: u16,
    /// There may be an arriving socket. Looked at each time, so that the lock need not be.
    has_pending_socket: AtomicBool,
    gone: AtomicBool,
    /// Where the room lists this connection; guarded by the room's lock.
    room_slot: AtomicU32,
    session: SharedSession,
    /// Where the attached socket is.
    prefetch_hint: PrefetchHint,
    attachment: Mutex<Attachment>,
    /// Sockets that have asked for this session and are not attached yet; the latest wins.
    pending_socket: Mutex<Option<Box<PendingSocket>>>,
    who: SessionKey,
    /// Unique in this process, for maps and logs.
    number: u64,
    /// Mostly none.
    cold: Option<Box<ColdFields>>,
    /// Where that is of IP version 4.
    remote_addr: Option<SocketAddrV4>,
    /// Its place among those who wait for a socket, or [`NOWHERE`]; guarded by their lock.
    expiry_slot: AtomicU32,
    /// Since which [`Loss`] it has that place; guarded by the same lock.
    suspended_by: AtomicU32,
}

/// Its ID and its room.
pub(crate) enum SessionKey {
    Plain {
        id: Box<str>,
        room: Arc<str>,
    },
    /// With the secret by which the session is resumed.
    Session(Arc<SessionIdentity>),
}

/// What few connections have.
struct ColdFields {
    /// What the application keeps with it.
    data: Option<Arc<dyn Any + Send + Sync>>,
    /// Where that is of IP version 6.
    remote_addr: Option<SocketAddrV6>,
}

/// A socket that wants to be attached.
pub(crate) struct PendingSocket {
    pub(crate) driver: Box<SocketDriver>,
    /// The count of a resume offer, in session mode.
    pub(crate) received: Option<u64>,
    /// Whether the session was there before.
    pub(crate) resumes: bool,
}

/// What a [`Connection`] is made of.
pub(crate) struct NewConnection {
    pub(crate) shared: Arc<ServerInner>,
    pub(crate) who: SessionKey,
    pub(crate) remote_addr: Option<SocketAddr>,
    pub(crate) data: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) codec_index: usize,
    pub(crate) session: Session,
}

/// Of the next connection of this process.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The waker of a session that rests.
impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        let connection = Connection(self);
        let shared = connection.0.shared.clone();
        shared.wake(connection);
    }
}

impl Connection {
    /// What a connection takes, beside its socket and its task.
    #[cfg(test)]
    pub(crate) const SIZE: usize = size_of::<Inner>();

    pub(crate) fn new(parts: NewConnection) -> Self {
        let budget = parts.shared.suspended.budget().clone();
        let (v4, v6) = match parts.remote_addr {
            None => (None, None),
            Some(SocketAddr::V4(addr)) => (Some(addr), None),
            Some(SocketAddr::V6(addr)) => (None, Some(addr)),
        };
        let has_rare = parts.data.is_some() || v6.is_some();
        Self(Arc::new(Inner {
            shared: parts.shared,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            who: parts.who,
            remote_addr: v4,
            cold: has_rare.then(|| Box::new(ColdFields { data: parts.data, remote_addr: v6 })),
            codec_index: u16::try_from(parts.codec_index).expect("a server has a handful of codecs"),
            session: SharedSession::new(parts.session).with_budget(budget),
            prefetch_hint: PrefetchHint::default(),
            attachment: Mutex::default(),
            pending_socket: Mutex::new(None),
            has_pending_socket: AtomicBool::new(false),
            room_slot: AtomicU32::new(0),
            expiry_slot: AtomicU32::new(NOWHERE),
            suspended_by: AtomicU32::new(0),
            gone: AtomicBool::new(false),
        }))
    }

    /// The connection ID that `ConnectFn` assigned, or the random one that stands for it.
    pub fn id(&self) -> &str {
        match &self.0.who {
            SessionKey::Plain { id, .. } => id,
            SessionKey::Session(identity) => &identity.id,
        }
    }

    /// The room that `ConnectFn` assigned; `None` if it assigned none.
    pub fn room(&self) -> Option<&str> {
        Some(&**self.shared_room()).filter(|room| !room.is_empty())
    }

    /// The number of the session: no other one in this process has it, or gets it later. A later session is given a greater number. It
    /// tells sessions apart that have the same [ID](Self::id) one after the other, as when a newcomer replaces the one that had it
    /// ([`DuplicateId`](crate::DuplicateId)). For maps and logs; the client does not know it.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Plain or session mode (PROTOCOL.md §1).
    pub fn mode(&self) -> Mode {
        match self.0.who {
            SessionKey::Plain { .. } => Mode::Plain,
            SessionKey::Session(_) => Mode::Session,
        }
    }

    /// The address from which the session was opened, where the listener knew it ([`Server::listen`](crate::Server::listen), [`Server::serve`](crate::Server::serve)). A
    /// resume from elsewhere does not change it.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        let v6 = || self.0.cold.as_ref()?.remote_addr;
        self.0.remote_addr.map(SocketAddr::from).or_else(|| v6().map(SocketAddr::from))
    }

    /// The data that `ConnectFn` attached with [`Identity::with_data`](crate::Identity::with_data); `None` where it attached
    /// none, or some of another type. It is dropped with the connection's last handle; the server lets go of its own when
    /// `on_disconnect` has returned.
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.cold.as_ref()?.data.as_ref()?.downcast_ref()
    }

    /// Whether a socket is attached at this moment. In the next one that may have changed: for lists of who is there, not for
    /// deciding whether to send.
    pub fn is_attached(&self) -> bool {
        self.0.session.drive(|session| session.state() == SessionState::Connected)
    }

    /// Accepts a frame for the peer. Success in session mode means: it will be delivered exactly once and in order while
    /// the session lives, or the peer is told that it misses it (PROTOCOL.md §6).
    ///
    /// Does not wait. Costs one encoding, a place in the queue, and the bytes until the peer has acknowledged them.
    ///
    /// # Errors
    /// [`SendError::Full`] when the peer takes or acknowledges less than is sent (or what
    /// [`Builder::overflow`](crate::Builder::overflow) says), [`SendError::Closed`] once the session has ended,
    /// [`SendError::Reserved`] for an event that begins with `$` in session mode, [`SendError::Encode`] when the payload has no
    /// image in the peer's codec. The frame is then not queued.
    pub fn send(&self, frame: &Frame) -> Result<(), SendError> {
        self.send_with(frame, self.0.shared.options.overflow)
    }

    /// Like [`Self::send`], with another policy for this frame where the buffer is full. What is dropped is counted, and in
    /// session mode the peer is told.
    ///
    /// # Errors
    /// As [`Self::send`]; [`SendError::Full`] with [`Overflow::Reject`] alone, and [`SendError::Closed`] where
    /// [`Overflow::Disconnect`] has ended the session.
    pub fn send_with(&self, frame: &Frame, overflow: Overflow) -> Result<(), SendError> {
        let message = self.encode(frame)?;
        self.0.session.send(message, overflow)?;
        Ok(())
    }

    /// Like [`Self::send`], but waits for room in the buffer, no longer than the write timeout.
    ///
    /// Dropping the future before it is ready leaves the frame unsent.
    ///
    /// # Errors
    /// As [`Self::send`], with [`SendError::Timeout`] in the place of [`SendError::Full`].
    pub async fn send_wait(&self, frame: &Frame) -> Result<(), SendError> {
        let message = self.encode(frame)?;
        self.0.session.send_wait(message, self.0.shared.options.write_timeout).await?;
        Ok(())
    }

    /// Like [`Self::send_wait`], and waits until the peer has acknowledged the frame: its side of the session has received it,
    /// and delivers it once and in order. That takes a round trip (PROTOCOL.md §4, `$sync`), and longer while the peer's
    /// application is behind; sockets may be lost meanwhile.
    ///
    /// Dropping the future stops the waiting; a frame that was accepted is delivered all the same.
    ///
    /// ```
    /// # use rejoin_server::{Connection, Frame, DeliveryError};
    /// # async fn example(connection: Connection, order: Frame) {
    /// match connection.send_acked(&order).await {
    ///     Ok(()) => println!("delivered"),
    ///     Err(DeliveryError::Ended) => println!("gone, and nobody knows whether it has arrived"),
    ///     Err(error) => println!("not delivered: {error}"),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DeliveryError::NotSent`] as [`Self::send_wait`] fails, [`DeliveryError::Dropped`] when the buffer overflowed later and the
    /// frame was given up, [`DeliveryError::Ended`] when the session ended first, [`DeliveryError::PlainMode`] where nobody
    /// acknowledges.
    pub async fn send_acked(&self, frame: &Frame) -> Result<(), DeliveryError> {
        let message = self.encode(frame)?;
        self.0.session.send_acked(message, self.0.shared.options.write_timeout).await
    }

    fn encode(&self, frame: &Frame) -> Result<Bytes, SendError> {
        self.0.session.check(frame)?;
        let message = self.codec().encode(frame)?;
        Ok(ws::encode_message(message.kind, &message.data))
    }

    /// Closes the connection with 1000 and no reason: it accepts nothing more, delivers what was accepted, within the
    /// [close timeout](crate::Builder::close_timeout), then closes the socket, and the session ends. Messages that the
    /// application has not handled yet are discarded. rejoin's client does not reconnect.
    ///
    /// Returns at once; [`Self::closed`] waits.
    pub fn close(&self) {
        self.begin_close(CloseFrame::from_static(1000, ""));
    }

    /// Like [`Self::close`], with a close code and a reason. After a code of 4001 to 4999 rejoin's client reconnects, and learns
    /// that the session is lost (PROTOCOL.md §7).
    ///
    /// # Errors
    /// Fails for a code that may not be sent and for a reason longer than 123 bytes (RFC 6455 §7.4, §5.5); nothing is closed
    /// then.
    pub fn close_with(&self, code: u16, reason: impl Into<Cow<'static, str>>) -> Result<(), InvalidClose> {
        self.begin_close(CloseFrame::new(code, reason)?);
        Ok(())
    }

    fn begin_close(&self, frame: CloseFrame) {
        let deadline = now() + self.0.shared.options.close_timeout;
        self.0.session.close(|session| session.close(CloseReason::Local(frame), deadline));
    }

    /// Waits until the session has ended and `on_disconnect` has returned.
    pub async fn closed(&self) {
        if self.is_gone() {
            return;
        }
        let ends = &self.0.shared.ends;
        let end = ends.of(self.0.number);
        // It hears of every end from here on, also before it is polled.
        let notified = end.notified();
        if self.is_gone() {
            // It ended a moment ago, perhaps before anybody was to be notified.
            ends.tell(self.0.number);
        }
        notified.await;
    }

    /// Whether frames are accepted: the session has not ended, and is not closing.
    pub fn is_open(&self) -> bool {
        self.0.session.drive(|session| session.is_open())
    }

    /// Frames in and out so far, over all sockets of the session.
    pub fn counts(&self) -> Counts {
        self.0.session.drive(|session| session.counts())
    }

    // --- for the rest of the server

    /// The data, with a share in it.
    pub(crate) fn shared_data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.cold.as_ref()?.data.clone()?.downcast().ok()
    }

    pub(crate) fn shared_server(&self) -> &Arc<ServerInner> {
        &self.0.shared
    }

    pub(crate) fn number_ref(&self) -> &u64 {
        &self.0.number
    }

    /// The name of its room; empty if it has none, since no room has that name.
    pub(crate) fn shared_room(&self) -> &Arc<str> {
        match &self.0.who {
            SessionKey::Plain { room, .. } => room,
            SessionKey::Session(identity) => &identity.room,
        }
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        match &self.0.who {
            SessionKey::Plain { .. } => None,
            SessionKey::Session(identity) => Some(&identity.token),
        }
    }

    pub(crate) fn codec(&self) -> &dyn Codec {
        &*self.0.shared.options.codecs[self.codec_index()]
    }

    pub(crate) fn codec_index(&self) -> usize {
        self.0.codec_index.into()
    }

    pub(crate) fn session(&self) -> &SharedSession {
        &self.0.session
    }

    /// Subscribes the session to a room log.
    pub(crate) fn subscribe(&self, log: &Arc<RoomLog>) {
        self.0.session.subscribe(log, self.0.codec_index);
    }

    /// Moves the session from one room log to another.
    pub(crate) fn resubscribe(&self, from: &RoomLog, to: &Arc<RoomLog>) -> Effects {
        self.0.session.resubscribe(from, to, self.0.codec_index)
    }

    /// A span for what is logged of this session.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::debug_span!("session", id = self.id(), room = self.room())
    }

    /// The attached socket; `None` while somebody else uses it.
    pub(crate) fn try_attachment(&self) -> Option<MutexGuard<'_, Attachment>> {
        match self.0.attachment.try_lock() {
            Ok(socket) => Some(socket),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The same, waited for: for a task that ends, and cannot come back to it. Nobody who holds it waits for a task.
    pub(crate) fn attachment(&self) -> MutexGuard<'_, Attachment> {
        self.0.attachment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is queued; where the socket is in use, its task does.
    pub(crate) fn flush(&self, now: Instant) {
        let wakes = if let Some(mut socket) = self.try_attachment() {
            socket.flush(&self.0.shared, self, now)
        } else {
            self.0.session.drain();
            true
        };
        if wakes {
            self.0.session.wake_driver();
        }
    }

    /// Has the processor fetch this connection; once that has come, [`Self::prefetch_session`] and [`Self::prefetch_driver`] have it
    /// fetch what a broadcast looks at.
    pub(crate) fn prefetch(&self) {
        // Up to the socket's link, behind its lock.
        prefetch(&*self.0, offset_of!(Inner, attachment) + 32);
    }

    pub(crate) fn prefetch_session(&self) {
        self.0.session.prefetch();
    }

    pub(crate) fn prefetch_driver(&self) {
        self.0.prefetch_hint.prefetch(SocketDriver::HOT);
    }

    /// A socket is attached.
    pub(crate) fn note_prefetch_driver(&self, driver: &SocketDriver) {
        self.0.prefetch_hint.set(driver);
    }

    pub(crate) fn room_slot(&self) -> usize {
        self.0.room_slot.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn set_room_slot(&self, place: usize) {
        let place = u32::try_from(place).expect("a room has fewer members");
        self.0.room_slot.store(place, Ordering::Relaxed);
    }

    /// Has the session go on without a task, where it can: the next thing that comes for it begins one.
    pub(crate) fn hibernate(&self) -> bool {
        let counts = SessionReporter::is_wanted(&self.0.shared);
        self.0.session.hibernate(self.0.clone().into(), counts)
    }

    /// Ends the session at once. Returns whether it had not ended before.
    pub(crate) fn end(&self, reason: CloseReason) -> bool {
        self.0.session.command(|session| {
            let lives = session.state() != SessionState::Closed;
            session.end(reason);
            lives
        })
    }

    /// Hands a socket to the session's task. Returns one that had arrived before, and is left.
    pub(crate) fn arrive(&self, pending: PendingSocket) -> Option<PendingSocket> {
        let mut slot = self.0.pending_socket.lock().unwrap_or_else(PoisonError::into_inner);
        let left = match &*slot {
            Some(waiting) if waiting.driver.epoch() > pending.driver.epoch() => Some(pending),
            _ => slot.replace(Box::new(pending)).map(|left| *left),
        };
        self.0.has_pending_socket.store(true, Ordering::Release);
        drop(slot);
        // The task looks at the slot whenever it is woken.
        self.0.session.wake_driver();
        left
    }

    /// Whether there may be a socket that waits to be attached.
    pub(crate) fn has_pending_socket(&self) -> bool {
        self.0.has_pending_socket.load(Ordering::Acquire)
    }

    pub(crate) fn take_pending_socket(&self) -> Option<PendingSocket> {
        if self.has_pending_socket() { self.take_late_socket() } else { None }
    }

    /// The same, for a session that is [gone](Self::is_gone). Always looks under the lock: whoever brings a socket stores it there
    /// before it reads `gone`, and this is called after `gone` was stored. So one of the two sees the other, which
    /// `has_pending_socket` and `gone` alone, each stored before the other is read, do not guarantee.
    pub(crate) fn take_late_socket(&self) -> Option<PendingSocket> {
        let mut slot = self.0.pending_socket.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.has_pending_socket.store(false, Ordering::Release);
        slot.take().map(|pending| *pending)
    }

    /// The session's task has ended for good.
    pub(crate) fn set_gone(&self) {
        self.0.gone.store(true, Ordering::Release);
        self.0.shared.ends.tell(self.0.number);
    }

    /// What a socket is told that has come too late.
    pub(crate) fn farewell(&self) -> CloseFrame {
        self.0.session.drive(|session| match session.ended() {
            // Nobody has decided against this client: it comes again, and gets a fresh session.
            None
            | Some(
                CloseReason::Normal
                | CloseReason::WindowExpired
                | CloseReason::Evicted
                | CloseReason::TransportLost(_),
            ) => CloseFrame::from_static(1001, "session ended"),
            Some(reason) => reason.close_frame(),
        })
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }

    /// How many handles there are.
    #[cfg(test)]
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Connection {}

impl Hash for Connection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

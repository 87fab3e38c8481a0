//! [`Connection`]: the application's handle to a session.

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
/// Cheap to clone. Clones of one connection are equal; two successive connections with the same ID are not. A handle stays valid
/// after the session has ended: [`Self::send`] then fails. The connection's memory is freed when the last handle is dropped.
/// [`Self::downgrade`] creates a handle that does not keep it alive.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

/// The fields that a broadcast reads come first, in as few cache lines as possible: in a room of a thousand members, none of them
/// is still cached.
#[repr(C)]
struct Inner {
    shared: Arc<ServerInner>,
    /// The codec's index among the server's codecs, by which a broadcast finds its encoding.
    codec_index: u16,
    /// Whether `pending_socket` may contain a socket. The task checks this flag on every poll, and so rarely needs the lock.
    has_pending_socket: AtomicBool,
    gone: AtomicBool,
    /// The connection's index in its room's list; guarded by the room's lock.
    room_slot: AtomicU32,
    session: SharedSession,
    /// The address of the attached socket's driver.
    prefetch_hint: PrefetchHint,
    attachment: Mutex<Attachment>,
    /// The socket that waits to be attached to this session. Of several, the one with the latest epoch stays.
    pending_socket: Mutex<Option<Box<PendingSocket>>>,
    who: SessionKey,
    /// Unique in this process, for maps and logs.
    number: u64,
    /// Usually `None`.
    cold: Option<Box<ColdFields>>,
    /// The peer's address, if it is an IPv4 address.
    remote_addr: Option<SocketAddrV4>,
    /// Its slot in the expiry queue, or [`NOWHERE`]; guarded by the queue's lock.
    expiry_slot: AtomicU32,
    /// The [`Loss`] since which it has been in the queue; guarded by the same lock.
    suspended_by: AtomicU32,
}

/// The ID and the room of a connection.
pub(crate) enum SessionKey {
    Plain {
        id: Box<str>,
        room: Arc<str>,
    },
    /// With the token by which the session is resumed.
    Session(Arc<SessionIdentity>),
}

/// The fields that few connections use.
struct ColdFields {
    /// The application's data.
    data: Option<Arc<dyn Any + Send + Sync>>,
    /// The peer's address, if it is an IPv6 address.
    remote_addr: Option<SocketAddrV6>,
}

/// A socket that waits to be attached.
pub(crate) struct PendingSocket {
    pub(crate) driver: Box<SocketDriver>,
    /// The number of received frames in the resume offer, in session mode.
    pub(crate) received: Option<u64>,
    /// Whether the session existed before this socket.
    pub(crate) resumes: bool,
}

/// The parts of a new [`Connection`].
pub(crate) struct NewConnection {
    pub(crate) shared: Arc<ServerInner>,
    pub(crate) who: SessionKey,
    pub(crate) remote_addr: Option<SocketAddr>,
    pub(crate) data: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) codec_index: usize,
    pub(crate) session: Session,
}

/// The number of the next connection in this process.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The waker of a hibernated session.
impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        let connection = Connection(self);
        let shared = connection.0.shared.clone();
        shared.wake(connection);
    }
}

impl Connection {
    /// The size of a connection without its socket and its task.
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

    /// The connection ID that `ConnectFn` assigned, or the random one that was generated.
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

    /// The number of the session, which is unique in this process; later sessions have greater numbers. It distinguishes
    /// successive sessions with the same [ID](Self::id), for example when a new session replaces another
    /// ([`DuplicateId`](crate::DuplicateId)). Use it in maps and logs; the client does not know it.
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

    /// The address from which the session was opened, if the listener knew it ([`Server::listen`](crate::Server::listen),
    /// [`Server::serve`](crate::Server::serve)). A resume from another address does not change it.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        let v6 = || self.0.cold.as_ref()?.remote_addr;
        self.0.remote_addr.map(SocketAddr::from).or_else(|| v6().map(SocketAddr::from))
    }

    /// The data that `ConnectFn` attached with [`Identity::with_data`](crate::Identity::with_data); `None` if it attached none,
    /// or data of another type. The data is dropped with the connection's last handle; the server drops its own handle when
    /// `on_disconnect` has returned.
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.cold.as_ref()?.data.as_ref()?.downcast_ref()
    }

    /// Whether a socket is attached at this moment. The answer may be outdated when it arrives: use it for lists of members, not
    /// to decide whether to send.
    pub fn is_attached(&self) -> bool {
        self.0.session.drive(|session| session.state() == SessionState::Connected)
    }

    /// Sends a frame to the peer. In session mode, success means that the frame will be delivered exactly once and in order while
    /// the session lives, or that the peer gets a report of the gap (PROTOCOL.md §6).
    ///
    /// Does not wait. Costs one encoding, a queue entry, and the encoded bytes until the peer has acknowledged them.
    ///
    /// # Errors
    /// [`SendError::Full`] if the send buffer is full, because the peer receives or acknowledges more slowly than frames are sent
    /// ([`Builder::overflow`](crate::Builder::overflow) sets another policy), [`SendError::Closed`] once the session has ended,
    /// [`SendError::Reserved`] for an event that begins with `$` in session mode, [`SendError::Encode`] if the peer's codec
    /// cannot represent the payload. The frame is then not queued.
    pub fn send(&self, frame: &Frame) -> Result<(), SendError> {
        self.send_with(frame, self.0.shared.options.overflow)
    }

    /// Like [`Self::send`], with another policy for this frame if the buffer is full. Dropped frames are counted, and in session
    /// mode they are reported to the peer.
    ///
    /// # Errors
    /// As [`Self::send`], but [`SendError::Full`] only with [`Overflow::Reject`], and [`SendError::Closed`] also when
    /// [`Overflow::Disconnect`] has ended the session.
    pub fn send_with(&self, frame: &Frame, overflow: Overflow) -> Result<(), SendError> {
        let message = self.encode(frame)?;
        self.0.session.send(message, overflow)?;
        Ok(())
    }

    /// Like [`Self::send`], but waits for space in the buffer, at most for the write timeout.
    ///
    /// Cancel safe: if the future is dropped before it completes, the frame is not sent.
    ///
    /// # Errors
    /// As [`Self::send`], with [`SendError::Timeout`] instead of [`SendError::Full`].
    pub async fn send_wait(&self, frame: &Frame) -> Result<(), SendError> {
        let message = self.encode(frame)?;
        self.0.session.send_wait(message, self.0.shared.options.write_timeout).await?;
        Ok(())
    }

    /// Like [`Self::send_wait`], but also waits until the peer has acknowledged the frame: the peer's session has received it,
    /// and delivers it once and in order. This takes a round trip (PROTOCOL.md §4, `$sync`), and longer while the peer's
    /// application lags behind. Sockets may be lost and replaced meanwhile.
    ///
    /// Dropping the future stops the waiting; a frame that was accepted is delivered all the same.
    ///
    /// ```
    /// # use rejoin_server::{Connection, Frame, DeliveryError};
    /// # async fn example(connection: Connection, order: Frame) {
    /// match connection.send_acked(&order).await {
    ///     Ok(()) => println!("delivered"),
    ///     Err(DeliveryError::Ended) => println!("the session ended; the order may have arrived"),
    ///     Err(error) => println!("not delivered: {error}"),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DeliveryError::NotSent`] if [`Self::send_wait`] would fail, [`DeliveryError::Dropped`] if the buffer overflowed later
    /// and the frame was evicted, [`DeliveryError::Ended`] if the session ended first, [`DeliveryError::PlainMode`] in plain
    /// mode, which has no acknowledgements.
    pub async fn send_acked(&self, frame: &Frame) -> Result<(), DeliveryError> {
        let message = self.encode(frame)?;
        self.0.session.send_acked(message, self.0.shared.options.write_timeout).await
    }

    fn encode(&self, frame: &Frame) -> Result<Bytes, SendError> {
        self.0.session.check(frame)?;
        let message = self.codec().encode(frame)?;
        Ok(ws::encode_message(message.kind, &message.data))
    }

    /// Closes the connection with 1000 and no reason: it accepts no more frames, delivers the accepted ones within the [close
    /// timeout](crate::Builder::close_timeout), closes the socket, and ends the session. Messages that the application has not
    /// handled yet are discarded. rejoin's client does not reconnect.
    ///
    /// Returns at once; [`Self::closed`] waits.
    pub fn close(&self) {
        self.begin_close(CloseFrame::from_static(1000, ""));
    }

    /// Like [`Self::close`], with a close code and a reason. After a code of 4001 to 4999, rejoin's client reconnects, and gets a
    /// report that the session is lost (PROTOCOL.md §7).
    ///
    /// # Errors
    /// Fails for a code that must not be sent, and for a reason longer than 123 bytes (RFC 6455 §7.4, §5.5). The connection is
    /// then not closed.
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
        // `notified` receives every notification from here on, even before it is first polled.
        let notified = end.notified();
        if self.is_gone() {
            // The session may have ended before `end` was registered, so that nothing would notify it.
            ends.tell(self.0.number);
        }
        notified.await;
    }

    /// Whether the connection accepts frames: the session has not ended, and is not closing.
    pub fn is_open(&self) -> bool {
        self.0.session.drive(|session| session.is_open())
    }

    /// The session's counters, over all its sockets so far.
    pub fn counts(&self) -> Counts {
        self.0.session.drive(|session| session.counts())
    }

    // --- internal

    /// The data as a shared pointer.
    pub(crate) fn shared_data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.cold.as_ref()?.data.clone()?.downcast().ok()
    }

    pub(crate) fn shared_server(&self) -> &Arc<ServerInner> {
        &self.0.shared
    }

    pub(crate) fn number_ref(&self) -> &u64 {
        &self.0.number
    }

    /// The name of the room; empty if it has none, because no room can have that name.
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

    /// The span for the session's log events.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::debug_span!("session", id = self.id(), room = self.room())
    }

    /// The attached socket; `None` while another thread holds the lock.
    pub(crate) fn try_attachment(&self) -> Option<MutexGuard<'_, Attachment>> {
        match self.0.attachment.try_lock() {
            Ok(socket) => Some(socket),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Like [`Self::try_attachment`], but blocks, for a task that ends and cannot try again later. Cannot deadlock: a thread that
    /// holds this lock never waits for a task.
    pub(crate) fn attachment(&self) -> MutexGuard<'_, Attachment> {
        self.0.attachment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes queued frames. If the socket is in use, its task is woken and does it.
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

    /// Prefetches this connection's cache lines. Once they have arrived, [`Self::prefetch_session`] and [`Self::prefetch_driver`]
    /// prefetch the memory that a broadcast reads next.
    pub(crate) fn prefetch(&self) {
        // Up to the pointer to the socket's driver, which follows the lock.
        prefetch(&*self.0, offset_of!(Inner, attachment) + 32);
    }

    pub(crate) fn prefetch_session(&self) {
        self.0.session.prefetch();
    }

    pub(crate) fn prefetch_driver(&self) {
        self.0.prefetch_hint.prefetch(SocketDriver::HOT);
    }

    /// Notes the address of the driver that has been attached, for [`Self::prefetch_driver`].
    pub(crate) fn note_prefetch_driver(&self, driver: &SocketDriver) {
        self.0.prefetch_hint.set(driver);
    }

    pub(crate) fn room_slot(&self) -> usize {
        self.0.room_slot.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn set_room_slot(&self, place: usize) {
        let place = u32::try_from(place).expect("a room has fewer than 2^32 members");
        self.0.room_slot.store(place, Ordering::Relaxed);
    }

    /// Hibernates the session if its state allows it: it then has no task, and its waker starts a new one. Returns whether it
    /// hibernates.
    pub(crate) fn hibernate(&self) -> bool {
        let counts = SessionReporter::is_wanted(&self.0.shared);
        self.0.session.hibernate(self.0.clone().into(), counts)
    }

    /// Ends the session at once. Returns `false` if it had already ended.
    pub(crate) fn end(&self, reason: CloseReason) -> bool {
        self.0.session.command(|session| {
            let lives = session.state() != SessionState::Closed;
            session.end(reason);
            lives
        })
    }

    /// Stores a socket for the session's task, and wakes the task. Returns the socket that loses, if two wait: the one with the
    /// earlier epoch.
    pub(crate) fn arrive(&self, pending: PendingSocket) -> Option<PendingSocket> {
        let mut slot = self.0.pending_socket.lock().unwrap_or_else(PoisonError::into_inner);
        let loser = match &*slot {
            Some(waiting) if waiting.driver.epoch() > pending.driver.epoch() => Some(pending),
            _ => slot.replace(Box::new(pending)).map(|loser| *loser),
        };
        self.0.has_pending_socket.store(true, Ordering::Release);
        drop(slot);
        // The task checks the slot each time that it is woken.
        self.0.session.wake_driver();
        loser
    }

    /// Whether a socket may be waiting to be attached.
    pub(crate) fn has_pending_socket(&self) -> bool {
        self.0.has_pending_socket.load(Ordering::Acquire)
    }

    pub(crate) fn take_pending_socket(&self) -> Option<PendingSocket> {
        if self.has_pending_socket() { self.take_late_socket() } else { None }
    }

    /// Like [`Self::take_pending_socket`], for a session that is [gone](Self::is_gone). Always checks under the lock: a thread
    /// that brings a socket stores it under the lock before it reads `gone`, and this method is called after `gone` has been
    /// stored. So at least one of the two sees the other's store. The two flags alone do not guarantee that, since each thread
    /// stores one and then reads the other.
    pub(crate) fn take_late_socket(&self) -> Option<PendingSocket> {
        let mut slot = self.0.pending_socket.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.has_pending_socket.store(false, Ordering::Release);
        slot.take().map(|pending| *pending)
    }

    /// Marks the session's task as ended for good, and notifies [`Self::closed`].
    pub(crate) fn set_gone(&self) {
        self.0.gone.store(true, Ordering::Release);
        self.0.shared.ends.tell(self.0.number);
    }

    /// The close frame for a socket that arrived too late for this session.
    pub(crate) fn farewell(&self) -> CloseFrame {
        self.0.session.drive(|session| match session.ended() {
            // Neither side closed the session on purpose: the client may reconnect, and gets a fresh session.
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

    /// The number of handles to this connection.
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

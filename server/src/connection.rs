//! [`Connection`]: the application's handle to a session.

mod asking;
mod equality;
mod input;
mod membership;
mod presence;
mod sink;
mod state;
mod weak;
pub use self::{input::Input, presence::Presence, weak::WeakConnection};

use std::any::Any;
use std::borrow::Cow;
use std::mem::offset_of;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, TryLockError};
use std::task::Wake;
use std::time::Instant;

use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_core::drive::{DeliveryError, EncodedFrame, SendError, SharedSession, now, prefetch};
use rejoin_core::{
    CloseFrame, CloseReason, Counts, Frame, InvalidClose, Mode, Overflow, Session, SessionState,
};

use crate::context::ServerContext;
use crate::durable::{DurableLog, LogWriter};
use crate::observe::reporter::SessionReporter;
use crate::session::attachment::Attachment;
use crate::session::belongings::Belongings;
use crate::session::expiry_slot::ExpirySlot;
use crate::session::handle::{SessionHandle, SessionKey};

/// A connection that outlives its sockets: a session.
///
/// Cheap to clone. Clones of one connection are equal; two successive connections with the same ID are not. A handle stays valid
/// after the session has ended: [`Self::send`] then fails. The connection's memory is freed when the last handle is dropped.
/// [`Self::downgrade`] creates a handle that does not keep it alive.
#[derive(Clone)]
pub struct Connection(Arc<ConnectionInner>);

/// The fields that a broadcast reads are adjacent, from the [codec's index](SessionHandle::codec_index) to the attachment's socket.
#[repr(C)]
struct ConnectionInner {
    handle: SessionHandle,
    host: Arc<dyn ConnectionHost>,
    attachment: Mutex<Attachment>,
    expiry_slot: ExpirySlot,
}

/// The server of a connection, as the connection sees it.
pub(crate) trait ConnectionHost: Any + Send + Sync {
    fn context(&self) -> &ServerContext;

    /// The log of the connection's realm, if sessions outlive the process.
    fn log(&self) -> Option<&Arc<DurableLog>>;

    /// The name of the connection's realm; empty for the default one.
    fn realm(&self) -> &str;

    /// Starts a task for a hibernated session. Called by the session's waker, from any thread that holds no lock of the session.
    fn wake(self: Arc<Self>, connection: Connection);
}

/// The parts of a new [`Connection`].
pub(crate) struct NewConnection {
    pub(crate) number: Option<u64>,
    pub(crate) host: Arc<dyn ConnectionHost>,
    pub(crate) who: SessionKey,
    pub(crate) remote_addr: Option<SocketAddr>,
    pub(crate) belongings: Belongings,
    pub(crate) codec_index: usize,
    pub(crate) session: Session,
    /// The session as a store knows it.
    pub(crate) writer: Option<Arc<LogWriter>>,
}

/// The waker of a hibernated session.
impl Wake for ConnectionInner {
    fn wake(self: Arc<Self>) {
        let connection = Connection(self);
        let host = connection.0.host.clone();
        host.wake(connection);
    }
}

impl Connection {
    /// The size of a connection without its socket and its task.
    #[cfg(test)]
    pub(crate) const SIZE: usize = size_of::<ConnectionInner>();

    pub(crate) fn new(parts: NewConnection) -> Self {
        let NewConnection { number, host, who, remote_addr, belongings, codec_index, session, writer } =
            parts;
        let context = host.context();
        let reports_changes = context.reports_changes || belongings.has_handler;
        Self(Arc::new(ConnectionInner {
            handle: SessionHandle::new(
                number,
                who,
                remote_addr,
                belongings,
                codec_index,
                session,
                context.budget.clone(),
                reports_changes,
                writer,
            ),
            host,
            attachment: Mutex::default(),
            expiry_slot: ExpirySlot::default(),
        }))
    }

    /// The connection ID that `ConnectFn` assigned, or the random one that was generated.
    pub fn id(&self) -> &str {
        self.0.handle.id()
    }

    /// The home room, which `ConnectFn` assigned; `None` if it assigned none. For all rooms see [`Self::rooms`].
    pub fn room(&self) -> Option<&str> {
        self.0.handle.room()
    }

    /// The number of the session, which is unique in this process; those of later requests are greater. It distinguishes
    /// successive sessions with the same [ID](Self::id). Use it in maps and logs; the client does not know it.
    pub fn number(&self) -> u64 {
        *self.0.handle.number()
    }

    /// Plain or session mode (PROTOCOL.md §1).
    pub fn mode(&self) -> Mode {
        self.0.handle.mode()
    }

    /// The address from which the session was opened, if the listener knew it ([`Server::listen`](crate::Server::listen),
    /// [`Server::serve`](crate::Server::serve)). A resume from another address does not change it.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.0.handle.remote_addr()
    }

    /// Whether a socket is attached at this moment. The answer may be outdated when it arrives: use it for lists of members, not
    /// to decide whether to send.
    pub fn is_attached(&self) -> bool {
        self.session().drive(|session| session.state() == SessionState::Connected)
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
        self.send_with(frame, self.context().options.overflow)
    }

    /// Like [`Self::send`], with another policy for this frame if the buffer is full. Dropped frames are counted, and in session
    /// mode they are reported to the peer.
    ///
    /// # Errors
    /// As [`Self::send`], but [`SendError::Full`] only with [`Overflow::Reject`], and [`SendError::Closed`] also when
    /// [`Overflow::Disconnect`] has ended the session.
    pub fn send_with(&self, frame: &Frame, overflow: Overflow) -> Result<(), SendError> {
        let message = self.encode(frame)?;
        if let Some(said) = self.say(frame, &message, overflow) {
            return said;
        }
        self.session().send(message, overflow).map(drop)
    }

    /// Like [`Self::send`], but waits for space in the buffer, at most for the write timeout.
    ///
    /// Cancel safe: if the future is dropped before it completes, the frame is not sent.
    ///
    /// # Errors
    /// As [`Self::send`], with [`SendError::Timeout`] instead of [`SendError::Full`].
    pub async fn send_wait(&self, frame: &Frame) -> Result<(), SendError> {
        let message = self.encode(frame)?;
        if let Some(said) = self.say_when_possible(frame, &message).await {
            return said;
        }
        self.session().send_wait(message, self.context().options.write_timeout).await
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
        if self.is_kept(frame) {
            return self.say_acked(frame, message).await;
        }
        self.session().send_acked(message, self.context().options.write_timeout).await
    }

    fn encode(&self, frame: &Frame) -> Result<EncodedFrame, SendError> {
        self.session().check(frame)?;
        Ok(EncodedFrame::new(self.handle().codec(self.context()).encode_framed(frame)?, frame))
    }

    /// Closes the connection with 1000 and no reason: it accepts no more frames, delivers the accepted ones within the [close
    /// timeout](crate::Builder::close_timeout), closes the socket, and ends the session. Messages that the application has not
    /// handled yet are discarded. rejoin's client does not reconnect.
    ///
    /// Returns at once; [`Self::closed`] waits.
    pub fn close(&self) {
        self.begin_close(CloseReason::Local(CloseFrame::from_static(1000, "")));
    }

    /// Like [`Self::close`], with a close code and a reason. After a code of 4001 to 4999, rejoin's client reconnects, and gets a
    /// report that the session is lost (PROTOCOL.md §7).
    ///
    /// # Errors
    /// Fails for a code that must not be sent, and for a reason longer than 123 bytes (RFC 6455 §7.4, §5.5). The connection is
    /// then not closed.
    pub fn close_with(&self, code: u16, reason: impl Into<Cow<'static, str>>) -> Result<(), InvalidClose> {
        self.begin_close(CloseReason::Local(CloseFrame::new(code, reason)?));
        Ok(())
    }

    pub(crate) fn begin_close(&self, reason: CloseReason) {
        let deadline = now() + self.context().options.close_timeout;
        self.session().close(|session| session.close(reason, deadline));
    }

    /// Waits until the session has ended and `on_disconnect` has returned.
    pub async fn closed(&self) {
        if self.is_gone() {
            return;
        }
        let ends = &self.context().ends;
        let end = ends.of(self.number());
        // `notified` receives every notification from here on, even before it is first polled.
        let notified = end.notified();
        if self.is_gone() {
            // The session may have ended before `end` was registered, so that nothing would notify it.
            ends.tell(self.number());
        }
        notified.await;
    }

    /// Whether the connection accepts frames: the session has not ended, and is not closing.
    pub fn is_open(&self) -> bool {
        self.session().drive(|session| session.is_open())
    }

    /// The session's counters, over all its sockets so far.
    pub fn counts(&self) -> Counts {
        self.session().drive(|session| session.counts())
    }

    // --- internal

    pub(crate) fn handle(&self) -> &SessionHandle {
        &self.0.handle
    }

    pub(crate) fn host(&self) -> &Arc<dyn ConnectionHost> {
        &self.0.host
    }

    fn context(&self) -> &ServerContext {
        self.0.host.context()
    }

    pub(crate) fn expiry_slot(&self) -> &ExpirySlot {
        &self.0.expiry_slot
    }

    /// The hash in tables of connections, by the number. Numbers are consecutive, and our own: no peer can make them collide.
    pub(crate) fn hashed(&self) -> u64 {
        self.number().wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn codec_index(&self) -> usize {
        self.0.handle.codec_index.into()
    }

    pub(crate) fn session(&self) -> &SharedSession {
        self.0.handle.session()
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
            socket.flush(self.context(), self.handle(), now)
        } else {
            self.session().drain();
            true
        };
        if wakes {
            self.session().wake_driver();
        }
    }

    /// Prefetches this connection's cache lines. Once they have arrived, [`Self::prefetch_session`] and
    /// [`SessionHandle::prefetch_driver`] prefetch the memory that a broadcast reads next.
    pub(crate) fn prefetch(&self) {
        // Up to the pointer to the socket's driver, which follows the lock.
        const END: usize = offset_of!(ConnectionInner, attachment) + 32;
        prefetch(&self.0.handle.codec_index, END - offset_of!(ConnectionInner, handle.codec_index));
    }

    pub(crate) fn prefetch_session(&self) {
        self.session().prefetch();
    }

    /// Hibernates the session if its state allows it: it then has no task, and its waker starts a new one. Returns whether it
    /// hibernates.
    pub(crate) fn hibernate(&self) -> bool {
        let counts = SessionReporter::is_wanted(self.context());
        self.session().hibernate(self.0.clone().into(), counts)
    }

    /// Ends the session at once. Returns `false` if it had already ended.
    pub(crate) fn end(&self, reason: CloseReason) -> bool {
        self.session().command(|session| {
            let lives = session.state() != SessionState::Closed;
            session.end(reason);
            lives
        })
    }

    /// Marks the session's task as ended for good, and notifies [`Self::closed`].
    pub(crate) fn set_gone(&self) {
        self.0.handle.set_gone();
        self.context().ends.tell(self.number());
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0.handle.is_gone()
    }

    /// The number of handles to this connection.
    #[cfg(test)]
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

#[cfg(test)]
mod tests;

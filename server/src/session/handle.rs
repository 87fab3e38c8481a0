//! [`SessionHandle`]: one session, and the sockets that wait for it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;
use rejoin_core::drive::sync::atomic::{AtomicBool, Ordering};
use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_core::drive::{MemoryBudget, PrefetchHint, SharedSession, SocketDriver, now};
use rejoin_core::{CloseFrame, CloseReason, Codec, Mode, Payload, Session, SessionIdentity, Token};

use crate::context::ServerContext;
use crate::durable::LogWriter;
use crate::durable::handover::Resuming;
use crate::session::belongings::{Belongings, Renewal, Value};

/// One session: its identity, its state, and the socket that waits to be attached.
///
/// The attached socket is in [`Connection`](crate::Connection) instead, because the code that drives a socket works on a handle.
///
/// A broadcast reads the fields from [`Self::codec_index`] on, and the next ones in a connection. They are adjacent, so that they take
/// few cache lines: in a room with a thousand members, each of them is a cache miss.
#[repr(C)]
pub(crate) struct SessionHandle {
    who: SessionKey,
    /// Unique in this process, for maps and logs: the number of the request that opened it.
    number: u64,
    /// Usually empty.
    cold: OnceBox<ColdFields>,
    /// The socket that waits to be attached. If two arrive, the later request wins.
    pending_socket: Mutex<Option<Box<PendingSocket>>>,
    /// When the session was opened, in [tenths of a second](TICK) since [`START`]: it fits beside the flags.
    opened: u32,
    /// The peer's address, if it is an IPv4 address; otherwise [`NO_ADDR`], which no peer has.
    remote_addr: SocketAddrV4,
    gone: AtomicBool,
    /// Whether the session counts in the server's limits.
    has_place: AtomicBool,
    /// Whether a socket may be waiting. Each poll checks it to skip the lock.
    has_pending_socket: AtomicBool,
    /// Whether there are unreported changes of the session's memberships.
    pub(crate) has_changes: AtomicBool,
    /// Whether changes of its memberships are reported.
    pub(crate) reports_changes: bool,
    /// The index of the codec among the server's, by which a broadcast finds its encoding.
    pub(crate) codec_index: u8,
    session: SharedSession,
    /// The address of the attached socket's driver.
    prefetch_hint: PrefetchHint,
}

/// The ID and the room of a connection.
pub(crate) enum SessionKey {
    Plain {
        id: Box<str>,
        room: Arc<str>,
    },
    /// With the token for resuming the session.
    Session(Arc<SessionIdentity>),
}

/// The fields that few connections use.
#[derive(Default)]
struct ColdFields {
    /// The peer's address, if it is an IPv6 address.
    remote_addr: Option<SocketAddrV6>,
    /// The user, as in the server's table of users. Locked while the entry there changes.
    user: Mutex<Option<Arc<str>>>,
    /// The connection's presence, for the members of its rooms.
    presence: Mutex<Option<Box<Payload>>>,
    /// The values that the application keeps with the connection. They are dropped and cloned outside of the lock.
    belongings: Mutex<Belongings>,
    /// The store's view of the session.
    writer: Option<Arc<LogWriter>>,
}

/// A socket that waits to be attached.
pub(crate) struct PendingSocket {
    pub(crate) driver: Box<SocketDriver>,
    /// The number of received frames in the resume offer, in session mode.
    pub(crate) received: Option<u64>,
    /// The changes that its request makes to the session.
    pub(crate) renewal: Renewal,
    /// The number of its attachment in the store.
    pub(crate) attachment: Option<u64>,
    /// Prevents the session's export until the socket is attached.
    pub(crate) resuming: Option<Resuming>,
    /// Whether the session existed before this socket.
    pub(crate) resumes: bool,
}

/// The number of the next request or session in this process.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A number that is greater than those before it.
pub(crate) fn next_number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// No address.
const NO_ADDR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// A time before any session of this process was opened.
static START: OnceLock<Instant> = OnceLock::new();

/// The unit of [`SessionHandle::opened`]: 32 bits of it are 13 years.
const TICK: Duration = Duration::from_millis(100);

/// The time since [`START`].
fn ticks() -> u32 {
    let since = now().saturating_duration_since(*START.get_or_init(now));
    u32::try_from(since.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
}

impl SessionHandle {
    #[allow(clippy::too_many_arguments, reason = "one caller, which has them by name")]
    pub(crate) fn new(
        number: Option<u64>,
        who: SessionKey,
        remote_addr: Option<SocketAddr>,
        belongings: Belongings,
        codec_index: usize,
        session: Session,
        budget: Arc<MemoryBudget>,
        reports_changes: bool,
        writer: Option<Arc<LogWriter>>,
    ) -> Self {
        let (v4, v6) = match remote_addr {
            None => (None, None),
            Some(SocketAddr::V4(addr)) => (Some(addr), None),
            Some(SocketAddr::V6(addr)) => (None, Some(addr)),
        };
        let cold = OnceBox::new();
        if v6.is_some() || !belongings.is_empty() || writer.is_some() {
            cold.get_or_init(|| {
                Box::new(ColdFields {
                    remote_addr: v6,
                    user: Mutex::default(),
                    presence: Mutex::default(),
                    belongings: Mutex::new(belongings),
                    writer,
                })
            });
        }
        Self {
            who,
            number: number.unwrap_or_else(next_number),
            cold,
            pending_socket: Mutex::new(None),
            opened: ticks(),
            remote_addr: v4.unwrap_or(NO_ADDR),
            gone: AtomicBool::new(false),
            has_place: AtomicBool::new(false),
            has_pending_socket: AtomicBool::new(false),
            has_changes: AtomicBool::new(false),
            reports_changes,
            codec_index: u8::try_from(codec_index).expect("a server has a handful of codecs"),
            session: SharedSession::new(session).with_budget(budget),
            prefetch_hint: PrefetchHint::default(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        match &self.who {
            SessionKey::Plain { id, .. } => id,
            SessionKey::Session(identity) => &identity.id,
        }
    }

    /// The name of the room; `None` if there is none.
    pub(crate) fn room(&self) -> Option<&str> {
        Some(&**self.shared_room()).filter(|room| !room.is_empty())
    }

    /// The name of the room; empty if there is none.
    pub(crate) fn shared_room(&self) -> &Arc<str> {
        match &self.who {
            SessionKey::Plain { room, .. } => room,
            SessionKey::Session(identity) => &identity.room,
        }
    }

    pub(crate) fn number(&self) -> &u64 {
        &self.number
    }

    /// Whether the session was opened by a request after this one. Restored sessions were opened before.
    pub(crate) fn is_later_than(&self, request: u64) -> bool {
        self.number > request && self.writer().is_none_or(|writer| writer.proof().is_none())
    }

    pub(crate) fn mode(&self) -> Mode {
        match self.who {
            SessionKey::Plain { .. } => Mode::Plain,
            SessionKey::Session(_) => Mode::Session,
        }
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        match &self.who {
            SessionKey::Plain { .. } => None,
            SessionKey::Session(identity) => Some(&identity.token),
        }
    }

    /// The store's view of the session; `None` if no store keeps it.
    pub(crate) fn writer(&self) -> Option<&Arc<LogWriter>> {
        self.cold.get()?.writer.as_ref()
    }

    pub(crate) fn remote_addr(&self) -> Option<SocketAddr> {
        let v6 = || self.cold.get()?.remote_addr;
        let v4 = Some(self.remote_addr).filter(|addr| *addr != NO_ADDR);
        v4.map(SocketAddr::from).or_else(|| v6().map(SocketAddr::from))
    }

    /// When the session was opened.
    pub(crate) fn opened(&self) -> Instant {
        *START.get_or_init(now) + TICK * self.opened
    }

    /// Reads the values that the application keeps with the connection; `None` if there are none. `read` runs under the lock.
    pub(crate) fn read_belongings<T>(&self, read: impl FnOnce(&Belongings) -> Option<T>) -> Option<T> {
        read(&lock(&self.cold.get()?.belongings))
    }

    /// Changes the values that the application keeps with the connection. `change` runs under the lock.
    pub(crate) fn change_belongings<T>(&self, change: impl FnOnce(&mut Belongings) -> T) -> T {
        change(&mut lock(&self.cold.get_or_init(Box::default).belongings))
    }

    /// Whether callbacks have to wait for the connection's own handlers, which only a request can bring.
    pub(crate) fn awaits_handler(&self) -> bool {
        self.read_belongings(|belongings| belongings.awaits_handler().then_some(())).is_some()
    }

    /// Takes over the handlers that a request has brought, if the connection awaits them.
    pub(crate) fn settle_handler(&self, handler: Option<Value>) {
        if self.awaits_handler() {
            self.change_belongings(|belongings| belongings.settle_handler(handler));
        }
    }

    /// Takes over what the request of an attached socket has brought.
    pub(crate) fn renew(&self, Renewal { data, headers, .. }: Renewal) {
        if data.is_some() || headers.is_some() {
            // Dropped after the lock is released.
            let _replaced = self.change_belongings(|belongings| belongings.renew(data, headers));
        }
    }

    /// The user's name.
    pub(crate) fn user(&self) -> Option<Arc<str>> {
        lock(&self.cold.get()?.user).clone()
    }

    /// Locks the user's name for a change.
    pub(crate) fn user_to_change(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        lock(&self.cold.get_or_init(Box::default).user)
    }

    /// The connection's presence, for the members of its rooms.
    pub(crate) fn presence(&self) -> Option<Payload> {
        lock(&self.cold.get()?.presence).as_deref().cloned()
    }

    pub(crate) fn set_presence(&self, presence: Option<Payload>) {
        if presence.is_none() && self.cold.get().is_none() {
            return;
        }
        let presence = presence.map(Box::new);
        let cold = self.cold.get_or_init(Box::default);
        // The old one is dropped after the lock is released: its bytes may have a foreign owner.
        let old = std::mem::replace(&mut *lock(&cold.presence), presence);
        drop(old);
    }

    /// Takes the user's name, and calls `then` with it while the name is locked.
    pub(crate) fn take_user(&self, then: impl FnOnce(Arc<str>)) {
        // If another thread creates the fields after this check, it finds the session ended.
        if let Some(cold) = self.cold.get() {
            let mut user = lock(&cold.user);
            user.take().map(then);
        }
    }

    pub(crate) fn codec<'a>(&self, context: &'a ServerContext) -> &'a dyn Codec {
        &*context.options.codecs[usize::from(self.codec_index)]
    }

    pub(crate) fn session(&self) -> &SharedSession {
        &self.session
    }

    /// The span for the session's log events.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::debug_span!("session", id = self.id(), room = self.room())
    }

    /// Records the address of the attached driver, for [`Self::prefetch_driver`].
    pub(crate) fn note_prefetch_driver(&self, driver: &SocketDriver) {
        self.prefetch_hint.set(driver);
    }

    pub(crate) fn prefetch_driver(&self) {
        self.prefetch_hint.prefetch(SocketDriver::HOT);
    }

    /// Ends a session whose handler or codec has panicked. The log names the callback, but not the panic's message: it may quote a
    /// payload, and the panic hook has printed it already.
    pub(crate) fn end_after_panic(&self, which: &'static str) {
        // With the ID: the span exists only if the level `debug` is enabled.
        tracing::error!(id = self.id(), which, "handler panicked");
        self.session.drive(|session| session.end(CloseReason::HandlerPanicked));
    }

    /// Stores a socket for the session's task, and wakes the task. If two sockets wait, returns the one with the earlier epoch.
    pub(crate) fn arrive(&self, pending: PendingSocket) -> Option<PendingSocket> {
        let mut slot = self.pending_socket.lock().unwrap_or_else(PoisonError::into_inner);
        let loser = match &*slot {
            Some(waiting) if waiting.driver.epoch() > pending.driver.epoch() => Some(pending),
            _ => slot.replace(Box::new(pending)).map(|loser| *loser),
        };
        self.has_pending_socket.store(true, Ordering::Release);
        drop(slot);
        // The task checks the slot each time that it is woken.
        self.session.wake_driver();
        loser
    }

    /// Whether a socket may be waiting to be attached.
    pub(crate) fn has_pending_socket(&self) -> bool {
        self.has_pending_socket.load(Ordering::Acquire)
    }

    pub(crate) fn take_pending_socket(&self) -> Option<PendingSocket> {
        if self.has_pending_socket() { self.take_late_socket() } else { None }
    }

    /// Like [`Self::take_pending_socket`], for a session that is [gone](Self::is_gone). Always checks under the lock: a thread
    /// that brings a socket stores it under the lock before it reads `gone`, and this method is called after `gone` has been
    /// stored. So at least one of the two sees the other's store. The two flags alone do not guarantee that, since each thread
    /// stores one and then reads the other.
    pub(crate) fn take_late_socket(&self) -> Option<PendingSocket> {
        let mut slot = self.pending_socket.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_pending_socket.store(false, Ordering::Release);
        slot.take().map(|pending| *pending)
    }

    /// Marks the session as counted in the server's limits.
    pub(crate) fn take_place(&self) {
        self.has_place.store(true, Ordering::SeqCst);
    }

    /// Stops counting the session. Returns `false` if it does not count: of several callers, only one gets `true`.
    pub(crate) fn give_place(&self) -> bool {
        self.has_place.swap(false, Ordering::SeqCst)
    }

    /// Marks the session's task as ended for good.
    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Whether the session's task has ended for good.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The close frame for a socket that arrived too late for this session.
    pub(crate) fn farewell(&self) -> CloseFrame {
        self.session.drive(|session| match session.ended() {
            // Neither side closed the session on purpose, so the client may reconnect, and gets a fresh session.
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
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

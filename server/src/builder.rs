//! [`Builder`]: the configuration of a server.

mod asking;
mod callbacks;
mod hooks;
mod limits;
mod rates;
mod rooms;
mod store;
mod upgrade;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rejoin_core::{Codec, DropReason, Frame, Gap, Overflow};

use crate::accept::connect::{ConnectFn, DynConnect, diagnostic::DecidesOnConnections};
use crate::connection::Connection;
use crate::durable::{self, StoreOptions};
use crate::error::ConfigError;
use crate::inner::ServerInner;
use crate::observe::{hooks::MetricsHooks, metrics::Metrics};
use crate::options::{DuplicateId, ServerOptions};
use crate::router::Router;
use crate::server::Server;
use crate::session::handlers::{Closures, ErasedHandler, Handler, Handlers, erase};
use crate::session::hooks::Hooks;

/// Configures a server: its callbacks and its options. Created by [`Server::builder`].
///
/// # Callbacks
/// The callbacks of one connection run one after the other, in this order: connect, joins of the rooms that `ConnectFn` assigned,
/// messages, (drop, away, restore, back, messages)…, before_disconnect, leaves of all rooms, expired, disconnect. Joins and leaves between
/// them stand where they are made: those of a callback come when it has returned, those of another task before the next message.
/// Without a drop there is no away, and drop and restore come without away and back if the client returns before away is due.
/// While a callback awaits, the connection continues to write, to acknowledge, and to read ahead (64 frames, 1 MiB).
/// A panic in a callback ends that connection with 1011, and affects no other. Connections do not wait for each other, with one
/// exception: if a new session [replaces](DuplicateId::Replace) one with the same ID, its callbacks start when those of the old
/// session have returned, including disconnect, or after a second; [`Connection::number`] tells the two apart. A new session does
/// not wait if the ID is already free, for example after a kick or a close.
///
/// # Defaults
/// | option | default | range |
/// |---|---|---|
/// | [`resume_window`](Self::resume_window) | 30 s | more than 0, or `None`: off |
/// | [`heartbeat`](Self::heartbeat) | 10 s / 30 s | 0 < ping < pong ≤ 10 min |
/// | [`write_timeout`](Self::write_timeout) | 10 s | (0, 30 s] |
/// | [`ask_timeout`](Self::ask_timeout) | 30 s | more than 0 |
/// | [`close_timeout`](Self::close_timeout) | 5 s | (0, 30 s] |
/// | [`handshake_timeout`](Self::handshake_timeout) | 10 s | (0, 1 min] |
/// | [`max_message_size`](Self::max_message_size) | 64 KiB | 1 B to 64 MiB |
/// | [`send_buffer`](Self::send_buffer) | 256 frames | 1 to 65,536 |
/// | [`send_buffer_bytes`](Self::send_buffer_bytes) | 1 MiB | at least 1 B |
/// | [`overflow`](Self::overflow) | reject | |
/// | [`broadcast_overflow`](Self::broadcast_overflow) | drop oldest | |
/// | [`max_retained_bytes`](Self::max_retained_bytes) | 1 GiB | at least 1 B |
/// | [`codec`](Self::codec) | JSON | |
/// | [`name_rooms`](Self::name_rooms) | false | |
/// | [`history`](Self::history), [`history_of`](Self::history_of) | none | [`History`](crate::History) |
/// | [`duplicate_id`](Self::duplicate_id) | replace | |
/// | [`allow_origin`](Self::allow_origin), [`origin_fn`](Self::origin_fn) | the request's own host | |
/// | [`subprotocol`](Self::subprotocol), [`health_path`](Self::health_path), [`script_path`](Self::script_path), [`metrics`](Self::metrics) | none | |
/// | [`max_request_head`](Self::max_request_head) | 16 KiB | 1 KiB to 1 MiB |
/// | [`max_handshakes`](Self::max_handshakes) | 8,192 | 1 to 1,000,000 |
/// | [`max_connections`](Self::max_connections), [`max_connections_per_user`](Self::max_connections_per_user), [`max_connections_per_address`](Self::max_connections_per_address) | none | at least 1 |
/// | [`frame_rate`](Self::frame_rate), [`byte_rate`](Self::byte_rate), [`user_frame_rate`](Self::user_frame_rate), [`user_byte_rate`](Self::user_byte_rate) | none | 1 to 1,000,000,000 per second |
/// | [`rate_policy`](Self::rate_policy) | delay | |
/// | [`max_inbound_bytes`](Self::max_inbound_bytes) | none | at least 1 |
/// | [`client_address`](Self::client_address) | the peer's | |
/// | [`store`](Self::store), [`durability`](Self::durability), [`node`](Self::node) | none | |
/// | [`max_rooms`](Self::max_rooms), [`max_rooms_per_connection`](Self::max_rooms_per_connection), [`max_members`](Self::max_members) | none | at least 1 |
#[must_use = "a builder does nothing before build()"]
pub struct Builder {
    connect: Box<dyn DynConnect>,
    handler: Option<Arc<dyn ErasedHandler>>,
    closures: Closures,
    options: ServerOptions,
    metrics: MetricsHooks,
    hooks: Hooks,
    store: Option<StoreOptions>,
}

impl Server {
    /// Starts to configure a server. `connect` decides on each upgrade request who may connect, and as whom: pass an `async
    /// fn(ConnectRequest) -> Result<Identity, Reject>`, or any other [`ConnectFn`].
    /// The type parameter is inferred: by it, the compiler explains why an unsuitable argument does not fit.
    pub fn builder<By>(connect: impl DecidesOnConnections<By> + ConnectFn) -> Builder {
        Builder {
            connect: Box::new(connect),
            handler: None,
            closures: Closures::default(),
            options: ServerOptions::default(),
            metrics: MetricsHooks::default(),
            hooks: Hooks::default(),
            store: None,
        }
    }
}

impl Builder {
    /// Builds the server. It serves nothing until a listener or a connection is passed to it.
    ///
    /// Each server has its own tokio runtime: the one in which it is built, or else the first in which it
    /// [listens](Server::listen) or serves. The resume windows of all sessions expire there, and resumed sessions run there. If
    /// that runtime ends, its tasks end with it, and so do the sessions that they drive; the next runtime in which the server has
    /// served takes its place. If the last runtime ends, the suspended sessions end, too, and their `on_disconnect` is not
    /// called, because there is no runtime to run it.
    ///
    /// # Errors
    /// Fails if an option is out of its range. The error names the option, its value and the range.
    pub fn build(self) -> Result<Server, ConfigError> {
        let options = self.options.checked()?;
        let handlers = match (self.handler, self.closures.names().next()) {
            (None, _) => Handlers::Closures(self.closures),
            (Some(handler), None) => Handlers::Handler(handler),
            (Some(_), Some(closure)) => {
                let value = format!("together with `{closure}`");
                let range = "a handler or closures, not both";
                return Err(ConfigError { option: "handler", value, range });
            }
        };
        let node = self.store.map(StoreOptions::into_node).transpose()?.flatten();
        let shared = ServerInner::new(options, self.connect, handlers, self.hooks, self.metrics, node);
        shared.runtimes.note();
        let rooms = Arc::downgrade(&shared.core);
        let relieve = move || rooms.upgrade().is_some_and(|core| core.forget_histories());
        shared.context.budget.relieve_with(relieve);
        durable::tasks::begin(&shared);
        Ok(Server::new(shared))
    }

    // --- callbacks

    /// Sets all callbacks at once, as the methods of one type with its state: see [`Handler`]. Default: none. A second call
    /// replaces the first. [`Self::build`] fails if it is combined with one of the closures below or a router.
    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// Called when a session has opened. The session is already a member of its room, and its first message is handled after this
    /// callback has returned. Default: does nothing. Here, as for the other callbacks, a second call replaces the first.
    pub fn on_connect<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.connect = erase(move |connection, ()| handler(connection));
        self
    }

    /// Called for each message. The next message of the same connection is handled when this callback has returned. While it
    /// awaits, the connection reads ahead (64 frames, 1 MiB), and then the client has to wait. The last call of this method or of
    /// [`Self::router`] takes effect. Default: discards messages.
    pub fn on_message<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, Frame) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.message = erase(handler);
        self
    }

    /// Handles messages with this router. It takes the place of [`Self::on_message`].
    pub fn router(self, router: Router) -> Self {
        self.on_message(move |connection, frame| {
            let router = router.clone();
            async move { router.handle(&connection, frame).await }
        })
    }

    /// Called when the socket is lost and the session waits for another one, while frames sent to it are buffered. Never called
    /// without a resume window. Default: does nothing.
    pub fn on_transport_drop<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, DropReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.transport_drop = erase(handler);
        self
    }

    /// Called when another socket is attached, before its first message. Buffered frames are sent before any frame that this
    /// callback sends. Default: does nothing.
    pub fn on_transport_restore<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.transport_restore = erase(move |connection, ()| handler(connection));
        self
    }

    /// Called when the client reports frames that it will never deliver (PROTOCOL.md §3), because its buffer overflowed and its
    /// policy was to drop frames. Called at the position of those frames among the messages. Default: does nothing.
    pub fn on_gap<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, Gap) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.gap = erase(handler);
        self
    }

    // --- sessions

    /// Sets how long a session outlives its socket. Default 30 s; more than 0. `None` turns resuming off: a session ends with its
    /// socket. [`Duration::MAX`] keeps sessions without a time limit.
    ///
    /// Costs the memory of the session and of its buffered frames for that time.
    pub fn resume_window(mut self, window: impl Into<Option<Duration>>) -> Self {
        self.options.resume_window = window.into();
        self
    }

    /// Sets after how much silence a socket is pinged, and after how much it counts as lost. Default 10 s and 30 s; 0 < ping <
    /// pong ≤ 10 min.
    ///
    /// Every received byte ends the silence (PROTOCOL.md §8). A half-open socket is detected after `pong` at the latest. Costs an
    /// idle connection 8 bytes per `ping` interval, both directions together, and shows proxies that the connection is in use.
    pub fn heartbeat(mut self, ping: Duration, pong: Duration) -> Self {
        self.options.ping_interval = ping;
        self.options.pong_timeout = pong;
        self
    }

    /// Sets how long a socket may accept no pending bytes before it counts as lost. A socket also counts as lost if it accepts
    /// less than 1 KiB/s on average over this time while more than 1 KiB is pending (PROTOCOL.md §7). A message may take longer,
    /// whatever its size. This is also how long [`Connection::send_wait`] waits for buffer space. Default 10 s; more than 0, at
    /// most 30 s.
    ///
    /// For a TCP stream on Linux, bytes count when the peer has received them. For any other stream, such as TLS, they count when
    /// the stream has accepted them, and the operating system may still buffer some.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.options.write_timeout = timeout;
        self
    }

    /// Sets how long a closing connection may take to deliver the accepted frames and to receive the peer's close frame. Default
    /// 5 s; more than 0, at most 30 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// Sets the number of data frames that are buffered for a peer: in session mode until the peer has acknowledged them, in
    /// plain mode until they are written. Default 256; 1 to 65,536. It is `buffer` in `$open`, and limits clients, too.
    ///
    /// [`Self::overflow`] and [`Self::broadcast_overflow`] set what happens when the buffer is full.
    pub fn send_buffer(mut self, frames: usize) -> Self {
        self.options.send_buffer = frames;
        self
    }

    /// Sets the number of bytes that are buffered for a peer. The buffer is full when it reaches this or [`Self::send_buffer`].
    /// Default 1 MiB; at least 1. An empty buffer accepts one frame of any size.
    pub fn send_buffer_bytes(mut self, bytes: usize) -> Self {
        self.options.send_buffer_bytes = bytes;
        self
    }

    /// Sets the policy for a [`send`](Connection::send) to a full buffer. Default: [`Overflow::Reject`], the caller gets an
    /// error. A caller can instead wait for space with [`Connection::send_wait`], or choose the policy for one frame with
    /// [`Connection::send_with`].
    pub fn overflow(mut self, policy: Overflow) -> Self {
        self.options.overflow = policy;
        self
    }

    /// Sets the policy for a [`broadcast`](Server::broadcast) to a member whose buffer is full. Default:
    /// [`Overflow::DropOldest`], that member loses its oldest frame, and no other member does. [`Server::broadcast_with`] sets
    /// the policy for one frame.
    pub fn broadcast_overflow(mut self, policy: Overflow) -> Self {
        self.options.broadcast_overflow = policy;
        self
    }

    /// Sets the number of bytes that all sessions of this server may retain together: their messages, those of the histories of
    /// rooms, and 512 bytes for each suspended session. Default 1 GiB; at least 1. It limits the total cost of windows and buffers of any size.
    ///
    /// A broadcast counts once for each codec, however many members retain it. At the limit, the [histories](Self::history) of rooms
    /// give way first: those of rooms without members, then all. If that does not suffice, suspended sessions are evicted, the
    /// oldest first ([evicted](crate::CloseReason::Evicted)), if that frees enough; a client that returns to an evicted session gets a report
    /// that it is lost. No session is evicted for a message that a socket accepts at once. If evicting cannot free enough, every
    /// buffer counts as full: a `send` follows its [policy](Self::overflow), and a broadcast reaches the members whose sockets
    /// keep up; for the others it replaces older frames of the same member.
    ///
    /// The total can exceed the limit by frames that several threads send at the same moment, by broadcasts until their sockets
    /// have been written to, and by frames that are being written.
    pub fn max_retained_bytes(mut self, bytes: usize) -> Self {
        self.options.max_retained_bytes = bytes;
        self
    }

    /// Sets the largest message that a client may send, in bytes of payload, all fragments together. Default 64 KiB; 1 byte to 64
    /// MiB. A larger message ends the session with 1009 as soon as a header announces it.
    ///
    /// While a message arrives, it costs at most twice the bytes that have arrived; an announced size costs nothing.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.options.max_message_size = bytes;
        self
    }

    /// Adds a wire format: [`JsonCodec`](crate::JsonCodec), `MsgpackCodec` (feature `msgpack`), `ProtobufCodec` (feature
    /// `protobuf`), or your own [`Codec`]. The first one added is the default, which plain clients get; session clients choose
    /// theirs. Default: JSON only. Once any codec is added, only the added ones are available. [`Self::build`] fails for two
    /// codecs with the same name.
    ///
    /// Clients with different formats can be in one room: each gets payloads in its own format. Costs a broadcast one more
    /// encoding if any member of the room uses this codec. A frame that the codec cannot represent is dropped for the members
    /// that use it, and counted.
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.options.codecs.push(Arc::new(codec));
        self
    }

    /// Sets what happens when a connection claims an ID that is in use. Default: the new session replaces the old one.
    pub fn duplicate_id(mut self, policy: DuplicateId) -> Self {
        self.options.duplicate_id = policy;
        self
    }

    // --- metrics

    /// Reports the server's activity to these hooks. Default: no hooks. A second call replaces the first.
    ///
    /// Costs the time that the hooks take, and one or two comparisons of counters each time that a session's task runs.
    pub fn metrics(mut self, metrics: impl Metrics) -> Self {
        self.metrics = MetricsHooks::new(metrics);
        self
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("handler", &self.handler.is_some())
            .field("closures", &self.closures)
            .field("options", &self.options)
            .field("hooks", &self.hooks)
            .field("metrics", &self.metrics.is_on())
            .finish_non_exhaustive()
    }
}

//! [`Builder`]: a server before it is one.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rejoin_core::{CloseReason, Codec, DropReason, Frame, Gap, Overflow};

use crate::accept::connect::{ConnectFn, DynConnect};
use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::observe::hooks::MetricsHooks;
use crate::observe::metrics::Metrics;
use crate::options::{ConfigError, DuplicateId, Options};
use crate::router::Router;
use crate::server::Server;
use crate::session::handlers::{Closures, DynHandler, Handler, Handlers, erase};

/// A server before it is one: its callbacks and its options. Made by [`Server::builder`].
///
/// # Callbacks
/// Those of one connection run one after the other, in this order: connect, messages, (drop, restore, messages)…,
/// disconnect. While one awaits, the connection goes on to write, to acknowledge and to read ahead (64 frames, 1 MiB). A
/// panic in one ends that connection with 1011, and nothing else. Connections do not wait for each other, with one exception:
/// where a newcomer [replaces](DuplicateId::Replace) a session with the same ID, its callbacks begin when those of that session are over,
/// disconnect included, or after a second; [`Connection::number`] tells the two apart. An ID that is free already, after a kick or a close
/// say, has nobody to wait for.
///
/// # Defaults
/// | option | default |
/// |---|---|
/// | [`resume_window`](Self::resume_window) | 30 s |
/// | [`heartbeat`](Self::heartbeat) | ping after 10 s, lost after 30 s |
/// | [`write_timeout`](Self::write_timeout) | 10 s |
/// | [`close_timeout`](Self::close_timeout) | 5 s |
/// | [`handshake_timeout`](Self::handshake_timeout) | 10 s |
/// | [`max_message_size`](Self::max_message_size) | 64 KiB |
/// | [`send_buffer`](Self::send_buffer), [`send_buffer_bytes`](Self::send_buffer_bytes) | 256 frames, 1 MiB |
/// | [`overflow`](Self::overflow), [`broadcast_overflow`](Self::broadcast_overflow) | reject, drop oldest |
/// | [`max_retained_bytes`](Self::max_retained_bytes) | 1 GiB |
/// | [`codec`](Self::codec) | JSON |
/// | [`duplicate_id`](Self::duplicate_id) | replace |
/// | [`allow_origin`](Self::allow_origin) | the request's own host |
/// | [`health_path`](Self::health_path) | none |
/// | [`max_request_head`](Self::max_request_head) | 16 KiB |
/// | [`max_handshakes`](Self::max_handshakes) | 8,192 |
/// | [`metrics`](Self::metrics) | none |
#[must_use = "a builder does nothing before build()"]
pub struct Builder {
    connect: Box<dyn DynConnect>,
    handler: Option<Arc<dyn DynHandler>>,
    closures: Closures,
    options: Options,
    metrics: MetricsHooks,
}

impl Builder {
    pub(crate) fn new(connect: impl ConnectFn) -> Self {
        Self {
            connect: Box::new(connect),
            handler: None,
            closures: Closures::default(),
            options: Options::default(),
            metrics: MetricsHooks::default(),
        }
    }

    /// Builds the server. Nothing is served before a connection comes.
    ///
    /// A server has a tokio runtime of its own: the one in which it is built, or else the first in which it
    /// [listens](Server::listen) or serves. The resume windows of all its sessions end there, and a session that comes back
    /// goes on there. When that runtime ends, the next one in which the server has served takes its place; its tasks end, and
    /// with them the sessions that they drive. When the last one ends, the suspended sessions end, too, and their `on_disconnect`
    /// is not called, for lack of a runtime.
    ///
    /// # Errors
    /// Fails when an option is out of its range, and names option, value and range.
    pub fn build(self) -> Result<Server, ConfigError> {
        let options = self.options.checked()?;
        let handlers = match (self.handler, self.closures.names().next()) {
            (None, _) => Handlers::Closures(self.closures),
            (Some(handler), None) => Handlers::Handler(handler),
            (Some(_), Some(closure)) => {
                let value = format!("together with `{closure}`");
                return Err(ConfigError {
                    option: "handler",
                    value,
                    range: "a handler or closures, not both",
                });
            }
        };
        let shared = ServerInner::new(options, self.connect, handlers, self.metrics);
        shared.runtimes.note();
        Ok(Server::new(Arc::new(shared)))
    }

    // --- callbacks

    /// Sets all callbacks at once, as the methods of one type with its state: see [`Handler`]. Default: none. A second call
    /// replaces the first. Together with one of the closures below, or a router, it is an error of [`Self::build`].
    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// A session has begun. It is a member of its room already; its first message comes after this has returned. Default:
    /// nothing is done. Here as for the others, a second closure replaces the first.
    pub fn on_connect<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.connect = erase(move |connection, ()| handler(connection));
        self
    }

    /// A message has arrived. The next one of the same connection is handled when this has returned; while it awaits, what
    /// comes is read ahead (64 frames, 1 MiB), and then the client has to wait. Of this and
    /// [`Self::router`] the last one given holds. Default: messages are thrown away.
    pub fn on_message<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, Frame) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.message = erase(handler);
        self
    }

    /// Messages are handled by this router: it is the server's [`Self::on_message`].
    pub fn router(self, router: Router) -> Self {
        self.on_message(move |connection, frame| {
            let router = router.clone();
            async move { router.handle(&connection, frame).await }
        })
    }

    /// The socket is gone, the session waits for another; what is sent to it is kept. Only with a resume window. Default:
    /// nothing is done.
    pub fn on_transport_drop<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, DropReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.transport_drop = erase(handler);
        self
    }

    /// Another socket is attached. Comes before its first message; what was kept leaves before anything that is sent here.
    /// Default: nothing is done.
    pub fn on_transport_restore<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.transport_restore = erase(move |connection, ()| handler(connection));
        self
    }

    /// The client says that it will never deliver these of its frames (PROTOCOL.md §3): its buffer
    /// overflowed, and its policy was to give some up. Comes in their place among the messages. Default: nothing is done.
    pub fn on_gap<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, Gap) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.gap = erase(handler);
        self
    }

    /// The session has ended. Comes once, last, and after the last message has been handled; the ID is free already.
    pub fn on_disconnect<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, CloseReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.disconnect = erase(handler);
        self
    }

    // --- sessions

    /// How long a session outlives its socket. Default 30 s; more than 0. `None` turns resuming off: a session ends with its
    /// socket. [`Duration::MAX`] keeps sessions without a limit of time.
    ///
    /// Costs the memory of the session and of the frames that it keeps, for that time.
    pub fn resume_window(mut self, window: impl Into<Option<Duration>>) -> Self {
        self.options.resume_window = window.into();
        self
    }

    /// When a silent socket is pinged, and when it is given up. Default 10 s and 30 s; 0 < ping < pong ≤ 10 min.
    ///
    /// Any byte that arrives counts as life (PROTOCOL.md §8). A half-open socket is noticed after `pong` at the latest. Costs
    /// an idle connection 8 bytes each `ping`, there and back together, and proxies see that it is alive.
    pub fn heartbeat(mut self, ping: Duration, pong: Duration) -> Self {
        self.options.ping_interval = ping;
        self.options.pong_timeout = pong;
        self
    }

    /// How long a socket may take nothing of what there is to write before it counts as lost; so does one that takes less than
    /// 1 KiB/s on average over this time while more than 1 KiB is pending (PROTOCOL.md §7). A message of any size may take longer than
    /// that. Also how long [`Connection::send_wait`] waits for room. Default 10 s; more than 0, at most 30 s.
    ///
    /// Of a TCP stream on Linux it is what the peer takes that counts. Of any other stream, TLS for one, it is what the stream takes,
    /// and the operating system may hold some for it.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.options.write_timeout = timeout;
        self
    }

    /// How long a closing connection may take to deliver what was accepted and to hear the peer's answer. Default 5 s; more
    /// than 0, at most 30 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// The data frames kept for a peer: in session mode until it has acknowledged them, in plain mode until they are
    /// written. Default 256; 1 to 65,536. It is `buffer` of `$open`, and holds for clients alike.
    ///
    /// What happens when it is full, [`Self::overflow`] and [`Self::broadcast_overflow`] say.
    pub fn send_buffer(mut self, frames: usize) -> Self {
        self.options.send_buffer = frames;
        self
    }

    /// The bytes kept for a peer, reached or not before [`Self::send_buffer`]. Default 1 MiB; at least 1. A buffer that
    /// holds nothing takes one frame of any size.
    pub fn send_buffer_bytes(mut self, bytes: usize) -> Self {
        self.options.send_buffer_bytes = bytes;
        self
    }

    /// What becomes of a [`send`](Connection::send) for which the buffer has no room. Default: [`Overflow::Reject`], the caller
    /// gets an error. To wait for room is the caller's choice: [`Connection::send_wait`]; to choose otherwise for one frame,
    /// [`Connection::send_with`].
    pub fn overflow(mut self, policy: Overflow) -> Self {
        self.options.overflow = policy;
        self
    }

    /// What becomes of a [`broadcast`](Server::broadcast) for a member whose buffer has no room. Default:
    /// [`Overflow::DropOldest`]: that member, and no other, loses its oldest frame. To choose otherwise for one frame,
    /// [`Server::broadcast_with`].
    pub fn broadcast_overflow(mut self, policy: Overflow) -> Self {
        self.options.broadcast_overflow = policy;
        self
    }

    /// The bytes of messages that all sessions of this server keep together, and 512 bytes for each suspended session. Default
    /// 1 GiB; at least 1. It bounds what windows and buffers may cost, however long and big they are.
    ///
    /// A broadcast counts once for each codec, however many members keep it. Where the bound is reached, suspended sessions end,
    /// the oldest first ([`CloseReason::Evicted`]), if that frees enough; a client that comes back to one learns that it is
    /// lost. Nobody is evicted for a message that a socket takes at once. Where evicting cannot help, a buffer counts as full: a `send`
    /// follows its [policy](Self::overflow), and a broadcast goes to members whose sockets keep up; for others it replaces
    /// older frames of the same member.
    ///
    /// It may be passed by what several threads send at the same moment, by broadcasts until their sockets have had their turn, and by
    /// frames that are being written.
    pub fn max_retained_bytes(mut self, bytes: usize) -> Self {
        self.options.max_retained_bytes = bytes;
        self
    }

    /// The biggest message that a client may send, in bytes of payload, its fragments together. Default 64 KiB; 1 byte to
    /// 64 MiB. A bigger one ends the session with 1009, at the header that says so.
    ///
    /// Costs, while a message is under way, at most twice what of it has arrived; a size that is only announced costs nothing.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.options.max_message_size = bytes;
        self
    }

    /// Adds a wire format: [`JsonCodec`](crate::JsonCodec), `MsgpackCodec` (feature `msgpack`), `ProtobufCodec` (feature
    /// `protobuf`), or an application's own [`Codec`]. The first one added is the default, which plain clients get; session
    /// clients say which they want. Default: JSON alone, and once any is added, only what was. Two of the same name are an
    /// error of [`Self::build`].
    ///
    /// Clients of different formats may meet in one room: each gets payloads in its own. Costs a broadcast one encoding more
    /// where members of a room use it; a frame that has no image in it is dropped for them, and counted.
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.options.codecs.push(Arc::new(codec));
        self
    }

    /// What happens when a connection claims an ID that another one has. Default: the new one replaces the old one.
    pub fn duplicate_id(mut self, policy: DuplicateId) -> Self {
        self.options.duplicate_id = policy;
        self
    }

    // --- the upgrade

    /// How long an upgrade may take: the request's head, `ConnectFn` and the answer, each. Default 10 s; more than 0, at
    /// most 1 min.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// Accepts pages of this origin too. Default: those of the request's own host alone (PROTOCOL.md §9). Can be called several
    /// times; an origin that no browser sends is an error of [`Self::build`].
    ///
    /// | `origin` | accepts |
    /// |---|---|
    /// | `https://app.example`, `http://localhost:3000` | pages of this scheme, host and port; without a port, that of the scheme |
    /// | `https://*.app.example` | pages of every host below this domain, however deep, and not of the domain itself |
    /// | `app://-`, `chrome-extension://…` | pages of a scheme that an application or an extension has registered |
    /// | `file://` | pages from files, as Electron loads them |
    /// | `null` | pages without an origin: sandboxed frames, `data:` URLs, files in some browsers |
    ///
    /// Every page on the machine of a user can have the origins `file://` and `null`: allow them only where `ConnectFn` does not
    /// trust cookies. A refusal is answered by 403, whose body names the origin and the host, and logged as a warning, at most
    /// once a second.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.options.origins.allow(origin.into());
        self
    }

    /// Accepts pages of any origin. Whoever visits one of them then connects with the cookies of their browser: do it only
    /// where `ConnectFn` does not trust those (PROTOCOL.md §9).
    pub fn allow_any_origin(mut self) -> Self {
        self.options.origins.allow_any();
        self
    }

    /// A subprotocol of the application's own, selected for plain clients that offer it. Can be given several times, each name
    /// once: the first of the client's offers that is known is selected. A token (RFC 9110 §5.6.2) that does not begin with `rejoin.`;
    /// anything else is an error of [`Self::build`]. Default: none is selected.
    pub fn subprotocol(mut self, name: impl Into<Box<str>>) -> Self {
        self.options.subprotocols.push(name.into());
        self
    }

    /// Answers health checks at this path, `/healthz` for example: GET, HEAD and OPTIONS, of HTTP/1.0 too, with 200, and with 503
    /// once the server shuts down. Default: none, and such a request is refused with 405 or 426, which marks a server as down.
    ///
    /// A request at the same path that asks for an upgrade gets one. Health checks are neither counted as refused nor logged.
    /// With [`Server::service`] the path is the one that the service sees. A path that does not begin with `/` or has a query is
    /// an error of [`Self::build`].
    pub fn health_path(mut self, path: impl Into<Box<str>>) -> Self {
        self.options.health_path = Some(path.into());
        self
    }

    /// The longest head of a request that the server's own listeners read, in bytes; a longer one is refused with 431. Default
    /// 16 KiB; 1 KiB to 1 MiB. A head has at most 64 headers, and one more for each 256 bytes beyond 16 KiB.
    ///
    /// Costs that much memory for each handshake that is under way. Under somebody else's HTTP server that one has the limit.
    pub fn max_request_head(mut self, bytes: usize) -> Self {
        self.options.max_request_head = bytes;
        self
    }

    /// The handshakes that the server's own listeners have under way at the same time, refusals that are still being delivered
    /// included. Beyond it they accept no connection until one is done; the operating system holds the next ones in its backlog
    /// of up to 4,096. Default 8,192; 1 to 1,000,000.
    ///
    /// Bounds what peers cost that connect and say nothing, together with [`Self::handshake_timeout`]. Established connections
    /// do not count.
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.options.max_handshakes = handshakes;
        self
    }

    // --- who watches

    /// Has what the server does told to these hooks, in numbers. Default: nobody is told. A second call replaces the first.
    ///
    /// Costs the time that the hooks take, and for each time that a session's task runs one or two looks at its counts.
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
            .field("metrics", &self.metrics.is_on())
            .finish_non_exhaustive()
    }
}

//! [`Server`]: the handle to a server and all its connections.

mod drain;
pub use drain::Drain;

mod listeners;

mod health;
pub use health::Health;
#[cfg(feature = "hyper")]
pub use health::Probe;

mod realms;

mod rooms;
pub use rooms::{Join, JoinRewound, Joining};

mod members;
pub use members::Member;

#[cfg(feature = "script")]
mod script;

mod users;
pub use users::User;

mod credentials;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rejoin_core::drive::{OptimisticTcp, SendError, now};
use rejoin_core::{CloseReason, Frame, SessionState};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

use crate::accept::handshake;
use crate::accept::listen::{self, ServeHandle};
#[cfg(feature = "hyper")]
use crate::accept::service::Service;
use crate::connection::Connection;
use crate::durable;
use crate::error::ConnectionError;
use crate::fanout::audience::Audience;
use crate::fanout::broadcast;
use crate::inner::ServerInner;
use crate::observe::stats::Stats;

/// A WebSocket server and all its connections. Cheap to clone; all clones refer to the same server, and to one
/// [realm](Self::realm) of it.
#[derive(Clone)]
pub struct Server {
    shared: Arc<ServerInner>,
}

impl Server {
    #[cfg(any(test, feature = "axum"))]
    pub(crate) fn shared(&self) -> &Arc<ServerInner> {
        &self.shared
    }

    pub(crate) fn new(shared: Arc<ServerInner>) -> Self {
        Self { shared }
    }

    // --- accepting connections

    /// Listens on a TCP address, and accepts upgrades on every path until [`Self::shutdown`]. A server can have several listeners,
    /// also [on Unix sockets](Self::listen_unix) and [with TLS](Self::listen_tls); its connections share everything else. A failing `accept`, for example when no file descriptor is left, is logged and retried.
    ///
    /// # Errors
    /// Fails when the server cannot listen on the address.
    pub async fn listen(&self, addr: impl ToSocketAddrs) -> io::Result<ServeHandle> {
        self.serve(listen::bind(addr).await?)
    }

    /// Like [`Self::listen`], with an existing listener.
    ///
    /// # Errors
    /// Fails when the listener cannot report its local address.
    pub fn serve(&self, listener: TcpListener) -> io::Result<ServeHandle> {
        self.shared.runtimes.note();
        listen::listen(self.shared.clone(), listener)
    }

    /// Returns a tower service that answers upgrade requests, for axum or any hyper stack. That stack must allow upgrades, and
    /// should limit the time and the size of a request's head. Only the stack knows the peer's address, which it may put into
    /// [`ConnectRequest::extensions`](crate::ConnectRequest::extensions); [`Connection::remote_addr`] is `None`.
    #[cfg(feature = "hyper")]
    pub fn service(&self) -> Service {
        self.shared.runtimes.note();
        Service::new(self.shared.clone(), None)
    }

    /// Serves one connection over any byte stream, starting with the HTTP request: TLS, Unix sockets, an in-memory pipe. Returns
    /// when the request has been refused, or when the socket belongs to a session.
    pub async fn serve_connection<S>(&self, io: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.shared.runtimes.note();
        let session = match handshake::as_tcp(io) {
            Ok(tcp) => handshake::serve(self.shared.clone(), self.eager(tcp), None).await,
            Err(io) => handshake::serve(self.shared.clone(), io, None).await,
        };
        if let Some(session) = session {
            self.shared.spawn(session);
        }
    }

    /// Wraps a TCP stream as the server's own listeners do.
    fn eager(&self, tcp: TcpStream) -> OptimisticTcp {
        OptimisticTcp::new(tcp).with_write_timeout(self.shared.options.write_timeout)
    }

    /// Serves one connection in a new task, as [`Self::listen`] does. Use it with your own accept loop, which can also pass the
    /// peer's address ([`Connection::remote_addr`]). Returns at once. It is cheaper than a task that calls
    /// [`Self::serve_connection`], because the session continues in the same task.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    ///
    /// ```
    /// # use rejoin_server::Server;
    /// async fn accept(server: Server, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    ///     loop {
    ///         let (stream, peer) = listener.accept().await?;
    ///         server.spawn_connection(stream, Some(peer));
    ///     }
    /// }
    /// ```
    pub fn spawn_connection<S>(&self, io: S, remote_addr: Option<SocketAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.shared.runtimes.note();
        match handshake::as_tcp(io) {
            Ok(tcp) => handshake::spawn(&self.shared, self.eager(tcp), remote_addr, None),
            Err(io) => handshake::spawn(&self.shared, io, remote_addr, None),
        }
    }

    // --- sending to one

    /// Sends a frame to one connection, as [`Connection::send`] does.
    ///
    /// # Errors
    /// Fails with [`SendError::NotFound`] for an unknown ID, and otherwise as [`Connection::send`].
    pub fn send(&self, id: &str, frame: &Frame) -> Result<(), SendError> {
        self.connection(id).ok_or(SendError::NotFound)?.send(frame)
    }

    // --- looking up connections

    /// Returns the connection with this ID, suspended or not; `None` if there is none, or if it has ended. Costs one lookup.
    pub fn connection(&self, id: &str) -> Option<Connection> {
        self.shared.realm.ids.get(id)
    }

    /// Returns the connections of an audience, suspended ones included ([`Connection::is_attached`] tells them apart), in the order
    /// in which they began. Empty for an unknown room. Costs a handle for each of them.
    pub fn connections<'a>(&self, audience: impl Into<Audience<'a>>) -> Vec<Connection> {
        broadcast::connections(&self.shared, &audience.into())
    }

    /// Returns the server's counters and gauges. Visits every connection: call it every few seconds, not for each message.
    pub fn stats(&self) -> Stats {
        // Read under one lock, so that a session that ends meanwhile is counted exactly once.
        let (mut sum, running) = {
            let totals = self.shared.totals.lock().unwrap_or_else(PoisonError::into_inner);
            (*totals, self.shared.registry.running())
        };
        let mut stats = Stats::default();
        for connection in running {
            let (state, counts) = connection.session().drive(|session| (session.state(), session.counts()));
            sum.add(&counts);
            stats.connections += usize::from(state == SessionState::Connected);
            stats.suspended += usize::from(state == SessionState::Suspended);
        }
        stats.frames_in = sum.frames_in;
        stats.frames_out = sum.frames_out;
        stats.bytes_in = sum.bytes_in;
        stats.bytes_out = sum.bytes_out;
        stats.dropped = sum.dropped;
        stats.volatile_dropped = sum.volatile_dropped;
        stats.resumed = sum.resumed;
        stats.retained_bytes = self.shared.budget.messages();
        let realms = self.shared.realms();
        stats.rooms = realms.iter().map(|realm| realm.rooms.len()).sum();
        stats.memberships = realms.iter().map(|realm| realm.rooms.memberships()).sum();
        stats.users = realms.iter().map(|realm| realm.users.len()).sum();
        stats.handlers_running = self.shared.handlers_running.load(Ordering::Relaxed);
        stats.refused = self.shared.refused.load(Ordering::Relaxed);
        stats
    }

    // --- ending

    /// Ends a session at once, without a resume window. When it returns, the ID is free, the room has lost the member, and no
    /// further message reaches the application; `on_disconnect` follows as soon as a running handler has returned.
    ///
    /// # Errors
    /// Fails if no connection has this ID, or if the session has already ended by itself. In that case the frames that it had
    /// received are still delivered.
    pub async fn kick(&self, id: &str) -> Result<(), ConnectionError> {
        let connection = self.connection(id).ok_or(ConnectionError::NotFound)?;
        let kicked = connection.end(CloseReason::Kicked);
        self.shared.forget(&connection);
        if kicked { Ok(()) } else { Err(ConnectionError::NotFound) }
    }

    /// Cuts a connection's socket without a close frame, as a network failure would. The session continues for its resume window.
    ///
    /// # Errors
    /// Fails if no connection has this ID, or if it has no socket at the moment.
    pub fn cut(&self, id: &str) -> Result<(), ConnectionError> {
        let connection = self.connection(id).ok_or(ConnectionError::NotFound)?;
        let attached = connection.session().command(|session| session.cut(now()));
        if attached { Ok(()) } else { Err(ConnectionError::NotAttached) }
    }

    /// Waits until the frames and changes that were made before this call in this handle's realm, outside of handlers, are committed to the
    /// [store](crate::Builder::store) and have reached the receivers' sessions. Returns at once without a store. What a handler does is
    /// committed when the handler returns, so a call inside a handler does not wait for it.
    pub async fn committed(&self) {
        if let Some(log) = &self.shared.durable {
            log.barrier().await;
        }
    }

    /// Completes once [`Self::shutdown`] was called. For listeners of the application's own, which have to end with the server:
    ///
    /// ```
    /// # use rejoin_server::Server;
    /// # async fn serve(listener: tokio::net::TcpListener, app: axum::Router, server: Server) -> std::io::Result<()> {
    /// axum::serve(listener, app).with_graceful_shutdown(server.shutting_down()).await
    /// # }
    /// ```
    pub fn shutting_down(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.shared.closing.clone().cancelled_owned()
    }

    /// Shuts the server down: accepts no more connections, delivers the accepted frames, closes every session with 1001, and
    /// returns when every task of the server has ended, including callbacks, sockets and listeners. At the deadline the remaining
    /// tasks are dropped. Returns the number of sessions that were dropped this way.
    ///
    /// With a [store](crate::Builder::store) the sessions do not end: their sockets are closed with 1012, and once everything is
    /// committed they are left to the next process.
    pub async fn shutdown(&self, deadline: Duration) -> usize {
        // `Duration::MAX` is a valid choice, and must not overflow the clock.
        let deadline = deadline.min(MAX_SHUTDOWN);
        // Earlier than the deadline: otherwise `on_disconnect` of sessions with a silent peer would have no time left.
        let end = now() + (deadline - LAST_WORDS.min(deadline / 4));
        self.shared.closing.cancel();
        if let Some(node) = &self.shared.node {
            let patience = deadline - LAST_WORDS.min(deadline / 4);
            let leaving = durable::stop::leave_all(&self.shared, node, patience);
            if tokio::time::timeout(patience, leaving).await.is_err() {
                tracing::warn!("not everything that was said is in the store");
            }
            durable::stop::close(&self.shared, node, LAST_WORDS).await;
        }
        let running = self.shared.registry.running_in_order();
        tracing::info!(sessions = running.len(), ?deadline, "shutting down");
        for chunk in running.chunks(SHUTDOWN_CHUNK) {
            for connection in chunk {
                if connection.handle().writer().is_some() {
                    // The session continues elsewhere, so its task ends without another callback.
                    connection.session().wake_driver();
                    continue;
                }
                connection.session().close(|session| match session.state() {
                    // No socket is attached that could carry a close frame, and no client can resume any more.
                    SessionState::Suspended | SessionState::New => session.end(CloseReason::ServerClosed),
                    _ => session.close(CloseReason::ServerClosed, end),
                });
            }
            tokio::task::yield_now().await;
        }
        self.shared.tasks.close();
        // A closing session ends by itself at `end`; its callbacks may not.
        let grace = tokio::time::timeout(deadline, self.shared.tasks.wait()).await;
        let mut left = 0;
        if grace.is_err() {
            left = self.shared.registry.running().len();
            self.shared.abort();
            self.shared.tasks.wait().await;
        }
        tracing::info!(dropped = left, "shut down");
        left
    }
}

/// Defined here because [`Connection`]'s own module does not depend on [`Server`].
impl Connection {
    /// Returns the server of this connection, for handlers, which are written before the server exists. It speaks to the
    /// connection's [realm](Self::realm).
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
    /// # fn main() -> Result<(), rejoin_server::ConfigError> {
    /// let server = Server::builder(connect)
    ///     .on_message(|connection, frame| async move {
    ///         connection.server().send("moderator", &frame).ok();
    ///     })
    ///     .build()?;
    /// # let _ = server; Ok(())
    /// # }
    /// ```
    pub fn server(&self) -> Server {
        Server::new(ServerInner::of(self))
    }
}

/// The time that a shutdown reserves for the last callbacks: a quarter of the deadline, and at most this.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The number of sessions that a shutdown closes before it yields to other tasks: about 100 µs of work.
const SHUTDOWN_CHUNK: usize = 256;

/// Effectively without a limit.
const MAX_SHUTDOWN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Waker};

    use super::*;
    use crate::testing::{connection, server};

    #[tokio::test]
    async fn shutdown_yields_to_other_tasks() {
        let server = Server::new(server());
        let connections: Vec<_> = (0..2 * SHUTDOWN_CHUNK).map(|_| connection(server.shared())).collect();
        let mut shutdown = std::pin::pin!(server.shutdown(LAST_WORDS));
        for turn in 1..=2 {
            assert!(shutdown.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let ended = connections.iter().filter(|connection| !connection.is_open()).count();
            assert_eq!(ended, turn * SHUTDOWN_CHUNK);
        }
    }
}

//! [`Server`]: the handle to everything that is connected.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rejoin_core::drive::{OptimisticTcp, SendError, now};
use rejoin_core::{CloseReason, Frame, Overflow, SessionState};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

use crate::accept::connect::ConnectFn;
use crate::accept::connect::diagnostic::DecidesOnConnections;
use crate::accept::listen::{self, ServeHandle};
#[cfg(feature = "hyper")]
use crate::accept::service::Service;
use crate::builder::Builder;
use crate::connection::Connection;
use crate::error::{BroadcastError, ConnectionError};
use crate::inner::ServerInner;
use crate::observe::stats::Stats;

/// A server: all its connections, and what can be said to them. Cheap to clone; all clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<ServerInner>,
}

impl Server {
    /// Begins a server. `connect` decides who may connect, and as whom: an `async fn(ConnectRequest) -> Result<Identity,
    /// Reject>`, or any other [`ConnectFn`].
    ///
    /// The type parameter is inferred: it makes the compiler explain what a wrong argument lacks.
    pub fn builder<By>(connect: impl DecidesOnConnections<By> + ConnectFn) -> Builder {
        Builder::new(connect)
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<ServerInner> {
        &self.shared
    }

    pub(crate) fn new(shared: Arc<ServerInner>) -> Self {
        Self { shared }
    }

    // --- connections come

    /// Listens on a TCP address, and accepts upgrades on every path until [`Self::shutdown`]. May be called for several
    /// addresses. A failing `accept` (no descriptor left, say) is logged and tried again.
    ///
    /// # Errors
    /// Fails when the address cannot be listened on.
    pub async fn listen(&self, addr: impl ToSocketAddrs) -> io::Result<ServeHandle> {
        self.serve(listen::bind(addr).await?)
    }

    /// Like [`Self::listen`], with a listener that is there already.
    ///
    /// # Errors
    /// Fails when the listener does not know its address.
    pub fn serve(&self, listener: TcpListener) -> io::Result<ServeHandle> {
        self.shared.runtimes.note();
        listen::listen(self.shared.clone(), listener)
    }

    /// A tower service that answers upgrades, for axum or any hyper stack. That stack must allow upgrades, and should bound
    /// the time and the size of a request's head. It alone knows the peer's address: look for it in
    /// [`ConnectRequest::extensions`](crate::ConnectRequest::extensions), [`Connection::remote_addr`] is `None`.
    #[cfg(feature = "hyper")]
    pub fn service(&self) -> Service {
        self.shared.runtimes.note();
        Service::new(self.shared.clone(), None)
    }

    /// Serves one connection over any byte stream, from the HTTP request on: TLS, Unix sockets, a pair in memory. Returns
    /// when it has been upgraded and belongs to a session, or was refused.
    pub async fn serve_connection<S>(&self, io: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.shared.runtimes.note();
        let session = match listen::as_tcp(io) {
            Ok(tcp) => listen::serve(self.shared.clone(), self.eager(tcp), None).await,
            Err(io) => listen::serve(self.shared.clone(), io, None).await,
        };
        if let Some(session) = session {
            self.shared.spawn(session);
        }
    }

    /// A TCP stream as the own listeners have it.
    fn eager(&self, tcp: TcpStream) -> OptimisticTcp {
        OptimisticTcp::new(tcp).with_write_timeout(self.shared.options.write_timeout)
    }

    /// Serves one connection as [`Self::listen`] does, in a task of its own: for whoever accepts connections himself, and may know the
    /// address of the peer ([`Connection::remote_addr`]). Returns at once. It costs less than a task that calls
    /// [`Self::serve_connection`]: the session goes on in the same one.
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
        match listen::as_tcp(io) {
            Ok(tcp) => listen::spawn(&self.shared, self.eager(tcp), remote_addr, None),
            Err(io) => listen::spawn(&self.shared, io, remote_addr, None),
        }
    }

    // --- saying something

    /// Accepts a frame for one connection: [`Connection::send`].
    ///
    /// # Errors
    /// [`SendError::NotFound`] for an unknown ID, else as [`Connection::send`].
    pub fn send(&self, id: &str, frame: &Frame) -> Result<(), SendError> {
        self.connection(id).ok_or(SendError::NotFound)?.send(frame)
    }

    /// Queues a frame for everyone in a room, suspended members included, and returns for how many. An empty or unknown room
    /// is no error. A member whose buffer is full loses its oldest frame, and is told so in session mode; or what
    /// [`Builder::broadcast_overflow`] says.
    ///
    /// Costs one encoding for each codec in the room, and a place in one queue for each 256 members: each takes the frame over when
    /// it is written to, or when anything else is done with it. What is sent to a member later comes later. All members see the
    /// broadcasts of a room in the same order. A task in the server's own runtime writes to the sockets, wherever the call comes from:
    /// another runtime, or a thread without one. While members wait for half of what their buffers hold, a call writes to 256 of
    /// them before it returns, so that a caller without pause does not outrun them.
    ///
    /// # Errors
    /// Fails as a whole for an event that begins with `$` while a member is in session mode, when no member's codec can
    /// represent the frame, and after [`Self::shutdown`].
    pub fn broadcast(&self, room: &str, frame: &Frame) -> Result<usize, BroadcastError> {
        self.broadcast_with(room, frame, self.shared.options.broadcast_overflow)
    }

    /// Like [`Self::broadcast`], with another policy for this frame where a member's buffer is full. A member that does not get
    /// the frame is not among those that are counted. So each member has to be asked at once, unless the policy is
    /// [`Overflow::DropOldest`], which refuses nothing.
    ///
    /// # Errors
    /// As [`Self::broadcast`].
    pub fn broadcast_with(
        &self,
        room: &str,
        frame: &Frame,
        overflow: Overflow,
    ) -> Result<usize, BroadcastError> {
        if self.shared.closing.is_cancelled() {
            return Err(BroadcastError::ShutDown);
        }
        let queued = self.shared.rooms.broadcast(room, frame, overflow, &self.shared);
        // The encodings are gone where no member keeps them, and no access to a session has reported it.
        self.shared.suspended.budget().settle();
        let (receivers, bytes) = queued?;
        self.shared.metrics.report(|metrics| metrics.broadcast(bytes as u64, receivers));
        Ok(receivers)
    }

    // --- who is there

    /// The connection with this ID, suspended or not; `None` where there is none, or no more. Costs one lookup.
    pub fn connection(&self, id: &str) -> Option<Connection> {
        self.shared.registry.by_id(id)
    }

    /// A snapshot of who is in a room, suspended ones included ([`Connection::is_attached`] tells), in no particular order. An
    /// unknown room is empty. Costs a handle for each member.
    pub fn connections(&self, room: &str) -> Vec<Connection> {
        let mut members = self.shared.rooms.members(room);
        members.retain(Connection::is_open);
        members
    }

    /// What the server has done so far, and what it holds. Visits every connection: for once in some seconds, not for each
    /// message.
    pub fn stats(&self) -> Stats {
        // Both at the same moment, so that a session that ends is counted once; sessions end while they are visited.
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
        stats.resumed = sum.resumed;
        stats.retained_bytes = self.shared.suspended.budget().messages();
        stats.rooms = self.shared.rooms.len();
        stats.refused = self.shared.refused.load(Ordering::Relaxed);
        stats
    }

    // --- the end

    /// Ends a session at once, past its resume window. When it returns the ID is free, the room has lost the member, and no
    /// message reaches the application any more; `on_disconnect` follows as soon as a handler that is running has returned.
    ///
    /// # Errors
    /// Fails when no connection has this ID, or the one that had it has ended by itself: what that one had received is still
    /// delivered.
    pub async fn kick(&self, id: &str) -> Result<(), ConnectionError> {
        let connection = self.connection(id).ok_or(ConnectionError::NotFound)?;
        let kicked = connection.end(CloseReason::Kicked);
        self.shared.forget(&connection);
        if kicked { Ok(()) } else { Err(ConnectionError::NotFound) }
    }

    /// Cuts a connection's socket without a close frame, as a network would. The session stays, for its resume window.
    ///
    /// # Errors
    /// Fails when no connection has this ID, and when it has no socket at the moment.
    pub fn cut(&self, id: &str) -> Result<(), ConnectionError> {
        let connection = self.connection(id).ok_or(ConnectionError::NotFound)?;
        let attached = connection.session().command(|session| session.cut(now()));
        if attached { Ok(()) } else { Err(ConnectionError::NotAttached) }
    }

    /// Accepts no more connections, delivers what was accepted, closes every session with 1001, and returns when every task
    /// of the server has ended: callbacks, sockets and listeners. What is not done by the deadline is dropped where it
    /// stands; the number of such sessions is returned.
    pub async fn shutdown(&self, deadline: Duration) -> usize {
        // A time without end is a choice; it must not overflow the clock.
        let deadline = deadline.min(MAX_SHUTDOWN);
        // Before the deadline, or `on_disconnect` of those whose peer is silent would have no time left.
        let end = now() + (deadline - LAST_WORDS.min(deadline / 4));
        self.shared.closing.cancel();
        let running = self.shared.registry.running_in_order();
        tracing::info!(sessions = running.len(), ?deadline, "shutting down");
        for chunk in running.chunks(SHUTDOWN_CHUNK) {
            for connection in chunk {
                connection.session().close(|session| match session.state() {
                    // Nobody is there to be told, and nobody can come back.
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

/// Here rather than beside the rest of `Connection`, which need not know [`Server`].
impl Connection {
    /// The server that this is a connection of: for handlers, which exist before it does.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
    /// # fn main() -> Result<(), rejoin_server::ConfigError> {
    /// let server = Server::builder(connect)
    ///     .on_message(|connection, frame| async move {
    ///         connection.server().send("the clerk", &frame).ok();
    ///     })
    ///     .build()?;
    /// # let _ = server; Ok(())
    /// # }
    /// ```
    pub fn server(&self) -> Server {
        Server::new(self.shared_server().clone())
    }

    /// Queues a frame for everyone in the connection's room, this connection included, and returns for how many:
    /// [`Server::broadcast`]. Without a room that is 0.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
    /// # fn main() -> Result<(), rejoin_server::ConfigError> {
    /// let server = Server::builder(connect)
    ///     .on_message(|connection, frame| async move {
    ///         connection.broadcast(&frame).ok();
    ///     })
    ///     .build()?;
    /// # let _ = server; Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Server::broadcast`].
    pub fn broadcast(&self, frame: &Frame) -> Result<usize, BroadcastError> {
        self.room().map_or(Ok(0), |room| self.server().broadcast(room, frame))
    }
}

/// What a shutdown leaves for the last callbacks: a quarter of its time, and no more than this.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A shutdown closes so many sessions before other tasks have their turn: some 100 µs of work.
const SHUTDOWN_CHUNK: usize = 256;

/// As good as for ever.
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
    async fn a_shutdown_lets_other_tasks_run() {
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

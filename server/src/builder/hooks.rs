//! Hooks: decisions and events in addition to the callbacks.

use std::future::Future;

use rejoin_core::{Frame, WhyDropped};

use super::Builder;
use crate::connection::Connection;
use crate::error::JoinError;
use crate::observe::errors::ErrorKind;

/// # Hooks
/// Hooks can be combined with a [handler](Self::handler). No lock is held while one runs, so a hook may use the server and its
/// connections. Each costs nothing if it is not set.
impl Builder {
    /// Decides whether a connection may join a room: it fails with [`JoinError::Refused`] to refuse it, which
    /// [`Connection::join`] then returns. Default: every join is allowed. A second call replaces the first.
    ///
    /// It runs in the task that calls `join`, and delays no other. It is not asked for a room that the connection is in already,
    /// nor for the rooms that `ConnectFn` assigns, which has decided on them. Memberships are not asked for again on a resume. Two
    /// joins of one connection may be decided at the same time.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, JoinError, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_user("ada")) }
    /// # async fn is_invited(user: Option<String>, room: &str) -> bool { true }
    /// # fn main() -> Result<(), rejoin_server::ConfigError> {
    /// let server = Server::builder(connect)
    ///     .before_join(|me, room| async move {
    ///         if is_invited(me.user(), &room).await { Ok(()) } else { Err(JoinError::Refused) }
    ///     })
    ///     .build()?;
    /// # let _ = server; Ok(())
    /// # }
    /// ```
    pub fn before_join<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Connection, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JoinError>> + Send + 'static,
    {
        self.hooks.set_before_join(hook);
        self
    }

    /// Called for each outgoing frame that was dropped, with its receiver and the reason: it was evicted from a full buffer, it was
    /// the newest in one, or a broadcast was refused, see [`WhyDropped`]. Not called for a `send` that returns an error, which says
    /// it, nor for volatile frames, which may be dropped at any time, nor for frames that a session takes with it when it ends. The
    /// frame is `None` if the receiver's codec cannot represent it. Default: does nothing.
    ///
    /// It is one of the connection's [callbacks](Self#callbacks): it is called before the next message, after a running callback
    /// has returned. Up to 64 dropped frames wait for it; further ones are counted ([`Stats::dropped`](crate::Stats::dropped)), and
    /// not reported. Costs a decoding for each dropped frame, and a suspended session gets a task for it.
    pub fn on_send_dropped<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Connection, Option<Frame>, WhyDropped) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.hooks.set_send_dropped(hook);
        self
    }

    /// Called when a session's window has passed, with the frames that its client never acknowledged, oldest first; in plain mode,
    /// those that no socket took. They may be stored for the user's next session, or sent another way. A frame may have arrived
    /// although its acknowledgement was lost. Frames that were [dropped](Self::on_send_dropped) earlier are not among them.
    /// Default: does nothing.
    ///
    /// It is called after `on_leave` and before `on_disconnect`. Not called for sessions that end in another way, such as
    /// [eviction](crate::CloseReason::Evicted), which has to free their frames. Costs a decoding for each frame.
    pub fn on_expired<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Connection, Vec<Frame>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.hooks.set_expired(hook);
        self
    }

    /// Called for each error, see [`ErrorKind`]: a panic, a peer that violates the protocol, a failing `ConnectFn`, a failing
    /// listener. Errors of a router's handlers go to the router's own [`on_error`](crate::router::RouterBuilder::on_error).
    /// Default: they are only logged.
    ///
    /// It is called by the task in which the error has occurred, so it must not block. A panic in it is logged. A peer can cause
    /// errors at will: count them, but do not page anybody for each.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// # fn main() -> Result<(), rejoin_server::ConfigError> {
    /// let server = Server::builder(connect)
    ///     .on_error(|error| eprintln!("{}: {error}", error.connection().map_or("server", |connection| connection.id())))
    ///     .build()?;
    /// # let _ = server; Ok(())
    /// # }
    /// ```
    pub fn on_error(mut self, hook: impl Fn(&ErrorKind) + Send + Sync + 'static) -> Self {
        self.hooks.set_error(hook);
        self
    }
}

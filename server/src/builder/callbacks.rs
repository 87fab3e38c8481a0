//! The callbacks that report who is in a room, who is away, and the end.

use std::future::Future;

use rejoin_core::CloseReason;

use super::Builder;
use crate::connection::Connection;
use crate::session::handlers::erase;

impl Builder {
    /// Called when a connection has become a member of a room: first for the rooms that `ConnectFn` assigned, the home room first,
    /// when `on_connect` has returned; then for each [`Connection::join`], whoever calls it. Broadcasts to the room may have
    /// arrived before. Default: does nothing.
    ///
    /// [`Server::members`](crate::Server::members) lists the members, this one included. Costs a note in a table for each join and
    /// each leave until the callback is called; a suspended session gets a task for it.
    ///
    /// ```
    /// # use rejoin_server::{Audience, ConnectRequest, Frame, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
    /// # fn main() -> Result<(), rejoin_server::ConfigError> {
    /// let server = Server::builder(connect)
    ///     .on_join(|me, room| async move {
    ///         let joined = Frame::new("joined", me.id()).expect("a text can be represented in JSON");
    ///         me.server().broadcast(Audience::room(&room).except(&me), &joined).ok();
    ///     })
    ///     .build()?;
    /// # let _ = server; Ok(())
    /// # }
    /// ```
    pub fn on_join<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.join = erase(handler);
        self
    }

    /// Called when a connection has left a room: after [`Connection::leave`], whoever calls it, and for each of its rooms once
    /// its session has ended, the home room last. A lost socket is not a leave: see [`Self::on_away`]. Each join is followed by
    /// one leave, except if a shutdown's deadline cuts the callbacks short. Default: does nothing.
    pub fn on_leave<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.leave = erase(handler);
        self
    }

    /// Called when a connection has lost its socket and waits for another one, after [`Self::on_transport_drop`]. Not called if
    /// another socket has come by then. The connection is still a member of its rooms; [`Self::on_back`] follows if it returns in
    /// time, and otherwise [`Self::on_leave`] for each room. Never called without a [resume window](Self::resume_window). Default:
    /// does nothing.
    pub fn on_away<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.away = erase(move |connection, ()| handler(connection));
        self
    }

    /// Called when a connection that [was away](Self::on_away) has a socket again, after [`Self::on_transport_restore`]. Default:
    /// does nothing.
    pub fn on_back<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.back = erase(move |connection, ()| handler(connection));
        self
    }

    /// Called once, as the last callback, when the session continues on another server of the same [store](Self::store), because its
    /// client has reconnected there. Neither `on_leave` nor `on_disconnect` is called here, because the session has not ended. Frames
    /// that this callback sends through the connection are discarded. Also called if the store has lost the session. Default: does
    /// nothing.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// let builder = Server::builder(connect).on_moved(|connection| async move {
    ///     println!("{} is at another server now", connection.id());
    /// });
    /// # drop(builder);
    /// ```
    pub fn on_moved<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.moved = erase(move |connection, ()| handler(connection));
        self
    }

    /// Called once, when the session has ended and its last message is handled, and before the connection leaves its rooms and
    /// its ID is free, unless it was kicked or replaced, which frees them at once. Frames that are sent to the connection fail;
    /// broadcasts to its rooms reach the other members. Default: does nothing.
    ///
    /// Until it returns, the connection is listed as a member, and with [`DuplicateId::Reject`](crate::DuplicateId::Reject) its
    /// client cannot come back.
    pub fn before_disconnect<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, CloseReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.before_disconnect = erase(handler);
        self
    }

    /// Called once, when the session has ended and its last message is handled, as the last callback. The ID is free by then, and
    /// the connection has left its rooms. Default: does nothing.
    pub fn on_disconnect<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Connection, CloseReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.closures.disconnect = erase(handler);
        self
    }
}

//! Rooms: broadcasts, and the memberships of connections.

mod joining;
pub use joining::Joining;

use std::future::IntoFuture;
use std::sync::Arc;

use rejoin_core::{CloseFrame, CloseReason, Frame, InvalidClose, Overflow};

use super::Server;
use crate::connection::Connection;
use crate::durable::say;
use crate::error::{BroadcastError, JoinError, LeaveError};
use crate::fanout::audience::Audience;
use crate::fanout::broadcast;
use crate::fanout::members::Joined;
use crate::fanout::rewind::{Rewind, Rewound};
use crate::limits::limit::Limit;

impl Server {
    // --- broadcasts

    /// Queues a frame for all connections of an audience, suspended ones included, and returns their number. A text is the room of
    /// that name; [`Audience`] also has several rooms, users, IDs, everyone, and exceptions. An empty or unknown room is not an
    /// error. A receiver whose buffer is full loses its oldest frame, and in session mode gets a report of the gap;
    /// [`Builder::broadcast_overflow`](crate::Builder::broadcast_overflow) sets another policy.
    ///
    /// Costs one encoding for each codec among the receivers, and one queue entry for each 256 members of a room. A member drains
    /// the queue when its socket is written to, or with any other access to its session, so that frames sent later come later.
    /// All members see the broadcasts of a room in the same order. A task in the server's own runtime writes to the sockets, even
    /// if the caller runs in another runtime or in none. While broadcasts that would fill half of the members' buffers are
    /// pending, a call writes to 256 members before it returns, so that a caller that never pauses cannot outrun them.
    ///
    /// # Errors
    /// Fails if the event begins with `$` while a receiver is in session mode, if no receiver's codec can represent the frame, and
    /// after [`Self::shutdown`]. Then no connection gets the frame.
    pub fn broadcast<'a>(
        &self,
        audience: impl Into<Audience<'a>>,
        frame: &Frame,
    ) -> Result<usize, BroadcastError> {
        self.broadcast_with(audience, frame, self.shared.options.broadcast_overflow)
    }

    /// Like [`Self::broadcast`], with another policy for this frame if a receiver's buffer is full. Receivers that do not get the
    /// frame are not counted. Unless the policy is [`Overflow::DropOldest`], which refuses no frame, the call therefore has to
    /// visit each receiver at once.
    ///
    /// # Errors
    /// Fails as [`Self::broadcast`] does.
    pub fn broadcast_with<'a>(
        &self,
        audience: impl Into<Audience<'a>>,
        frame: &Frame,
        overflow: Overflow,
    ) -> Result<usize, BroadcastError> {
        // With a store, the acts of handlers count until their sessions are left to it.
        let is_over = match &self.shared.durable {
            Some(log) => log.is_left(),
            None => self.shared.closing.is_cancelled(),
        };
        if is_over {
            return Err(BroadcastError::ShutDown);
        }
        let audience = audience.into();
        match &self.shared.durable {
            Some(log) if !frame.is_volatile() && !frame.is_reserved() => {
                say::broadcast(&self.shared, log, &audience, frame, overflow)
            }
            _ => broadcast::broadcast_now(&self.shared, &audience, frame, None, overflow),
        }
    }

    // --- looking up rooms

    /// Returns the names of all rooms that have members, in no particular order.
    pub fn rooms(&self) -> Vec<String> {
        let rooms = self.shared.realm.rooms.all().into_iter().filter(|room| room.len() > 0);
        let names = rooms.map(|room| String::from(&**room.name()));
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Returns the number of a room's members, suspended ones included; 0 for a room that does not exist. Costs one lookup.
    pub fn member_count(&self, room: &str) -> usize {
        self.shared.realm.rooms.get(room).filter(|_| !room.is_empty()).map_or(0, |room| room.len())
    }

    // --- changing many connections

    /// Makes all connections of an audience members of a room, as [`Connection::join`] does. Returns the number of those that were
    /// not members before. Those that [`before_join`](crate::Builder::before_join) refuses, and those in too many rooms, are left out.
    ///
    /// # Errors
    /// Fails if the room's name is empty, and at a limit on rooms or on members. Those before it have joined.
    pub async fn join<'a>(&self, audience: impl Into<Audience<'a>>, room: &str) -> Result<usize, JoinError> {
        let mut joined = 0;
        for connection in self.connections(audience) {
            match connection.join(room).await {
                Ok(is_new) => joined += usize::from(is_new),
                // It has ended since, the application refuses it, or it is in too many rooms.
                Err(JoinError::Closed | JoinError::Refused | JoinError::TooManyRooms) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(joined)
    }

    /// Removes all connections of an audience from a room, as [`Connection::leave`] does. Returns the number of those that were
    /// members.
    ///
    /// # Errors
    /// Fails if the room is the home of one of them. Those before it have left.
    pub async fn leave<'a>(
        &self,
        audience: impl Into<Audience<'a>>,
        room: &str,
    ) -> Result<usize, LeaveError> {
        let mut left = 0;
        for connection in self.connections(audience) {
            left += usize::from(connection.leave(room).await?);
        }
        Ok(left)
    }

    /// Closes all connections of an audience, as [`Connection::close_with`] does. Returns their number.
    ///
    /// # Errors
    /// Fails for an invalid code or reason. No connection is then closed.
    pub fn close<'a>(
        &self,
        audience: impl Into<Audience<'a>>,
        code: u16,
        reason: &str,
    ) -> Result<usize, InvalidClose> {
        let frame = CloseFrame::new(code, reason.to_owned())?;
        let connections = self.connections(audience);
        connections.iter().for_each(|connection| connection.begin_close(CloseReason::Local(frame.clone())));
        Ok(connections.len())
    }
}

/// Rooms are a matter of the server, which [`Connection`]'s own module does not depend on.
impl Connection {
    /// Makes the connection a member of a room, until it leaves or ends: the membership outlives its sockets. When this returns,
    /// every later broadcast to the room arrives. Returns whether it was not a member before.
    ///
    /// Costs a lookup, and about 48 bytes for each room beyond the first.
    ///
    /// ```
    /// # use rejoin_server::{Connection, JoinError};
    /// # async fn example(connection: Connection) -> Result<(), JoinError> {
    /// connection.join("game-7").await?;
    /// assert!(connection.is_in("game-7"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Fails if the connection has ended or is closing, for an empty name, if [`before_join`](crate::Builder::before_join) refuses
    /// it, and at a limit on rooms.
    pub fn join<'a>(&'a self, room: &'a str) -> Join<'a> {
        Join { connection: self, room }
    }

    /// Removes the connection from a room. When this returns, no later broadcast to the room arrives. Returns whether it was a
    /// member.
    ///
    /// # Errors
    /// Fails for the [home room](Self::room), which the connection leaves with its end.
    pub async fn leave(&self, room: &str) -> Result<bool, LeaveError> {
        if self.room() == Some(room) {
            return Err(LeaveError::HomeRoom);
        }
        let server = self.server();
        match (&server.shared.durable, self.handle().writer()) {
            (Some(log), Some(writer)) if !room.is_empty() => Ok(say::leave(log, writer, self, room).await),
            _ => Ok(!room.is_empty() && server.shared.realm.rooms.leave(self, room)),
        }
    }

    /// The rooms that the connection is a member of, the home room first. Empty once it has ended or is closing.
    pub fn rooms(&self) -> Vec<String> {
        let rooms = self.session().rooms().into_iter().filter(|room| !room.is_empty());
        rooms.map(|room| String::from(&*room)).collect()
    }

    /// Whether the connection is a member of this room. Costs a lookup.
    pub fn is_in(&self, room: &str) -> bool {
        let found = self.server().shared.realm.rooms.get(room).filter(|_| !room.is_empty());
        found.is_some_and(|room| room.contains(self))
    }

    /// Queues a frame for all members of the connection's home room, this connection included, and returns their number, as
    /// [`Server::broadcast`] does. Returns 0 for a connection without a room.
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
    /// Fails as [`Server::broadcast`] does.
    pub fn broadcast(&self, frame: &Frame) -> Result<usize, BroadcastError> {
        self.room().map_or(Ok(0), |room| self.server().broadcast(room, frame))
    }

    pub(super) fn join_now(&self, room: &str, rewind: Option<&Rewind>) -> Result<Rewound, JoinError> {
        if room.is_empty() {
            return Err(JoinError::EmptyName);
        }
        let server = self.server();
        let name: Arc<str> = server.shared.realm.rooms.name(room);
        self.joined(server.shared.realm.rooms.join_rewound(self, &name, rewind))
    }

    /// The result of a join.
    pub(super) fn joined(&self, outcome: (Joined, Rewound)) -> Result<Rewound, JoinError> {
        match outcome {
            (Joined::Added | Joined::Already, rewound) => Ok(rewound),
            (Joined::Closed | Joined::Dead, _) => Err(JoinError::Closed),
            (Joined::Refused(limit), _) => {
                self.server().shared.reached(limit);
                Err(match limit {
                    Limit::Members => JoinError::RoomFull,
                    Limit::Rooms => JoinError::ServerFull,
                    _ => JoinError::TooManyRooms,
                })
            }
        }
    }
}

/// A connection that is about to join a room: await it ([`Connection::join`]).
#[derive(Debug)]
#[must_use = "await it"]
pub struct Join<'a> {
    connection: &'a Connection,
    room: &'a str,
}

impl<'a> Join<'a> {
    /// Also queues frames of the room's [history](crate::History) for a new member: the last `50`, those of a time
    /// (`Duration::from_secs(60)`), or those after the frame with the ID `"m-41"`. The connection gets exactly these frames and then
    /// all later ones, each once and in order, even while others broadcast. A member that has joined before gets nothing.
    ///
    /// The frames are ordinary ones from then on: numbered, acknowledged and replayed. They do not count against the send buffer,
    /// and one call queues at most as many as an empty send buffer would take; the oldest are left out. Costs one encoding of each
    /// frame that no receiver with this connection's codec has had yet.
    ///
    /// ```
    /// # use rejoin_server::{Connection, JoinError};
    /// # async fn example(connection: Connection) -> Result<(), JoinError> {
    /// let rewound = connection.join("news").rewind(50).await?;
    /// println!("{} old messages", rewound.frames);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rewind(self, rewind: impl Into<Rewind>) -> JoinRewound<'a> {
        JoinRewound { join: self, rewind: rewind.into() }
    }
}

impl<'a> IntoFuture for Join<'a> {
    type Output = Result<bool, JoinError>;
    type IntoFuture = Joining<'a>;

    fn into_future(self) -> Self::IntoFuture {
        Joining::new(self.connection, self.room, None, |joined| joined.is_new)
    }
}

/// A connection that is about to join a room, and to get a part of its history: await it ([`Join::rewind`]).
#[derive(Debug)]
#[must_use = "await it"]
pub struct JoinRewound<'a> {
    join: Join<'a>,
    rewind: Rewind,
}

impl<'a> IntoFuture for JoinRewound<'a> {
    type Output = Result<Rewound, JoinError>;
    type IntoFuture = Joining<'a, Rewound>;

    fn into_future(self) -> Self::IntoFuture {
        Joining::new(self.join.connection, self.join.room, Some(self.rewind), |joined| joined)
    }
}

#[cfg(test)]
mod tests;

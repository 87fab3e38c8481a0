//! [`Audience`]: the receivers of a broadcast.

use std::fmt;

use crate::connection::Connection;

/// The receivers of a broadcast: rooms, users, connections, or everyone, except for some. A connection gets the frame once, even if it
/// belongs to the audience in several ways.
///
/// A string is the room with that name, wherever an audience is expected.
///
/// ```
/// # use rejoin_server::{Audience, Connection, Frame, Server};
/// # fn example(server: &Server, connection: &Connection, frame: &Frame) -> Result<(), rejoin_server::BroadcastError> {
/// server.broadcast("lobby", frame)?;
/// server.broadcast(Audience::room("lobby").except(connection), frame)?;
/// server.broadcast(Audience::rooms(["red", "blue"]).and(Audience::user("referee")), frame)?;
/// server.broadcast(Audience::everyone().except_room("spectators"), frame)?;
/// # Ok(())
/// # }
/// ```
///
/// # Cost
///
/// A room costs one queue entry for each 256 members. An excepted connection costs a lookup in each room. For several rooms, and
/// for an excepted room, the smaller of two rooms is compared with the other, member by member. A user or an ID costs a lookup,
/// and one queue entry for each connection.
///
/// # Order
///
/// A broadcast is ordered in all rooms of its audience at once, so members of several rooms receive their broadcasts in the same order.
/// If one task broadcasts to two audiences in turn, receivers in both get the frames in that order.
#[derive(Clone, Default)]
#[must_use = "pass it to `Server::broadcast`"]
pub struct Audience<'a> {
    /// Usually there is one target, and no allocation.
    pub(crate) first: Option<Target<'a>>,
    pub(crate) more: Vec<Target<'a>>,
    pub(crate) except: Vec<Exception<'a>>,
    /// `None`: the server's option applies.
    pub(crate) names_rooms: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Room(&'a str),
    User(&'a str),
    Id(&'a str),
    Everyone,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Exception<'a> {
    Connection(&'a Connection),
    Room(&'a str),
    User(&'a str),
}

impl<'a> Audience<'a> {
    /// The members of a room. An unknown room has none.
    pub fn room(name: &'a str) -> Self {
        Self::of(Target::Room(name))
    }

    /// The members of several rooms.
    pub fn rooms(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_all(names.into_iter().map(Target::Room))
    }

    /// All connections of a user ([`Identity::with_user`](crate::Identity::with_user)). An unknown user has none.
    pub fn user(name: &'a str) -> Self {
        Self::of(Target::User(name))
    }

    /// All connections of several users.
    pub fn users(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_all(names.into_iter().map(Target::User))
    }

    /// The connection with this ID, if there is one.
    pub fn id(id: &'a str) -> Self {
        Self::of(Target::Id(id))
    }

    /// The connections with these IDs.
    pub fn ids(ids: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_all(ids.into_iter().map(Target::Id))
    }

    /// All connections of the server, also those without a room.
    pub fn everyone() -> Self {
        Self::of(Target::Everyone)
    }

    /// Adds another audience, with its exceptions, which then hold for both.
    pub fn and(mut self, other: impl Into<Self>) -> Self {
        let other = other.into();
        let mut targets = other.targets().copied();
        self.first = self.first.or_else(|| targets.next());
        self.more.extend(targets);
        self.except.extend(other.except);
        self.names_rooms = self.names_rooms.or(other.names_rooms);
        self
    }

    /// Leaves this connection out, for example the one whose message is being handled.
    pub fn except(mut self, connection: &'a Connection) -> Self {
        self.except.push(Exception::Connection(connection));
        self
    }

    /// Leaves the members of this room out.
    pub fn except_room(mut self, name: &'a str) -> Self {
        self.except.push(Exception::Room(name));
        self
    }

    /// Leaves all connections of this user out.
    pub fn except_user(mut self, name: &'a str) -> Self {
        self.except.push(Exception::User(name));
        self
    }

    /// Sets whether the frame names the room through which a receiver gets it ([`Frame::room`](crate::Frame::room)), overriding
    /// [`Builder::name_rooms`](crate::Builder::name_rooms). Costs one encoding for each room and codec.
    pub fn name_rooms(mut self, names: bool) -> Self {
        self.names_rooms = Some(names);
        self
    }

    /// The room, if the audience is a single room without exceptions.
    pub(crate) fn as_room(&self) -> Option<&'a str> {
        match self.first {
            Some(Target::Room(name)) if self.more.is_empty() && self.except.is_empty() => Some(name),
            _ => None,
        }
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target<'a>> {
        self.first.iter().chain(&self.more)
    }

    fn of(target: Target<'a>) -> Self {
        Self { first: Some(target), ..Self::default() }
    }

    fn of_all(mut targets: impl Iterator<Item = Target<'a>>) -> Self {
        Self { first: targets.next(), more: targets.collect(), ..Self::default() }
    }
}

/// A room.
impl<'a> From<&'a str> for Audience<'a> {
    fn from(room: &'a str) -> Self {
        Self::room(room)
    }
}

/// A room.
impl<'a> From<&'a String> for Audience<'a> {
    fn from(room: &'a String) -> Self {
        Self::room(room)
    }
}

impl fmt::Debug for Audience<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets: Vec<_> = self.targets().collect();
        f.debug_struct("Audience").field("targets", &targets).field("except", &self.except).finish()
    }
}

//! Presence: whether a [`Connection`] is attached, and a small value that it shows to others.

use std::time::Instant;

use rejoin_core::{Payload, SessionState};

use super::Connection;
use crate::durable::{Act, blob};

/// Whether a connection has a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// A socket is attached.
    Attached,
    /// The socket is lost, and the session waits for another one until its [window](crate::Builder::resume_window) ends.
    #[non_exhaustive]
    Away {
        /// When the socket was lost, on tokio's clock.
        since: Instant,
    },
}

impl Presence {
    /// Whether a socket is attached.
    pub fn is_attached(self) -> bool {
        self == Self::Attached
    }

    /// When the socket was lost; `None` if one is attached.
    pub fn away_since(self) -> Option<Instant> {
        match self {
            Self::Attached => None,
            Self::Away { since } => Some(since),
        }
    }
}

impl Connection {
    /// Sets the connection's presence: a small value that the application chooses, such as a name, a colour, or "is typing", for the
    /// lists of members ([`Member::data`](crate::Member::data)). `None` removes it. Default: none, or that of
    /// [`Identity::with_presence`](crate::Identity::with_presence). It outlives sockets, and is dropped with the connection.
    ///
    /// It is a [`Payload`], not a Rust value, because it is meant for clients: it can be put into a frame unchanged, whatever the
    /// receivers' codecs. Other clients are not notified: broadcast a frame if they have to know at once. Costs about 150 bytes for
    /// each connection that has one, plus its size.
    ///
    /// ```
    /// # use rejoin_server::{Connection, Payload, PayloadError};
    /// # fn example(connection: &Connection) -> Result<(), PayloadError> {
    /// connection.set_presence(Payload::json(&("ada", "typing"))?);
    /// for member in connection.server().members("lobby") {
    ///     println!("{}: {:?}, {:?}", member.id(), member.presence(), member.data());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_presence(&self, presence: impl Into<Option<Payload>>) {
        let presence = presence.into();
        match (self.host().log(), self.handle().writer()) {
            (Some(log), Some(writer)) => {
                let value = presence.as_ref().map(blob);
                log.say(Act::Presence { who: writer.key, value });
            }
            _ => self.handle().set_presence(presence),
        }
    }

    /// The connection's presence: see [`Self::set_presence`].
    pub fn presence(&self) -> Option<Payload> {
        self.handle().presence()
    }

    /// Whether the connection is there; `None` once its session has ended.
    pub(crate) fn whereabouts(&self) -> Option<Presence> {
        let (state, since) = self.session().drive(|session| (session.state(), session.suspended_since()));
        match since {
            Some(since) => Some(Presence::Away { since }),
            // Before its first socket, the connection is about to get one.
            None => (state != SessionState::Closed).then_some(Presence::Attached),
        }
    }
}

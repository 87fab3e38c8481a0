//! [`Subscriptions`]: lets clients choose their rooms.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use rejoin_core::{ErrorAnswer, Frame};
use serde::{Deserialize, Serialize};

use super::{BoxError, Decoded, FrameId, Part, RouterBuilder};
use crate::connection::Connection;
use crate::error::JoinError;

/// A [part](Part) of a router that lets clients join and leave rooms by themselves, with questions:
///
/// | question | answer |
/// |---|---|
/// | `subscribe` `{"room":ROOM}` | `ok` `{"rooms":[…]}`: all rooms of the connection, the home room first; also if it is in that room already |
/// | `unsubscribe` `{"room":ROOM}` | the same; also if it is not in that room |
///
/// A refusal is an [`ErrorAnswer`] with one of these codes: `bad_request` for a payload without a room, and for a name that is
/// empty or has more than 256 bytes, `too_many_rooms`, `room_full` and `server_full` where a [limit](crate::Builder) is reached,
/// `refused` by [`before_join`](crate::Builder::before_join), `home_room` for the room that the connection leaves with its end, or the code
/// that your function has chosen. An event without an id is not answered.
///
/// Each subscription is a membership as by [`Connection::join`]: it outlives sockets, and needs no second `subscribe` after a resume.
/// Where a right may end, remove the member with [`Server::leave`](crate::Server::leave).
///
/// ```
/// use rejoin_server::router::Subscriptions;
/// use rejoin_server::{Connection, ErrorAnswer, Router};
///
/// async fn authorise(connection: Connection, room: String) -> Result<(), ErrorAnswer> {
///     let own = connection.user().map(|user| format!("user-{user}"));
///     if room.starts_with("public-") || Some(&room) == own.as_ref() {
///         Ok(())
///     } else {
///         Err(ErrorAnswer::new("forbidden", "this room is not yours"))
///     }
/// }
///
/// let router = Router::builder().part(Subscriptions::new(authorise)).build()?;
/// # let _ = router;
/// # Ok::<(), rejoin_server::router::RouterError>(())
/// ```
#[derive(Clone)]
pub struct Subscriptions {
    authorise: Arc<Authorise>,
    max_rooms: usize,
}

type Authorise =
    dyn Fn(Connection, String) -> Pin<Box<dyn Future<Output = Result<(), ErrorAnswer>> + Send>> + Send + Sync;

/// The longest name of a room that a client may ask for, in bytes.
const MAX_NAME: usize = 256;

impl Subscriptions {
    /// Creates the part with the function that decides whether a client may join a room. It has no default, because none is safe:
    /// rooms of the application whose names a client can guess would be open to it. It is not asked for rooms that the connection
    /// is in, nor for leaving one. While it awaits, later messages of the connection wait.
    pub fn new<F, Fut>(authorise: F) -> Self
    where
        F: Fn(Connection, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ErrorAnswer>> + Send + 'static,
    {
        Self {
            authorise: Arc::new(move |connection, room| Box::pin(authorise(connection, room))),
            max_rooms: 100,
        }
    }

    /// Limits the rooms of a connection, its home included, beyond which `subscribe` is refused with `too_many_rooms`. Each costs the
    /// server about 48 bytes. Default: 100.
    #[must_use]
    pub fn max_rooms(mut self, rooms: usize) -> Self {
        self.max_rooms = rooms;
        self
    }

    async fn subscribe(&self, connection: &Connection, room: String) -> Result<(), ErrorAnswer> {
        if room.is_empty() || room.len() > MAX_NAME {
            let why = format!("a room has a name of 1 to {MAX_NAME} bytes");
            return Err(ErrorAnswer::new("bad_request", why));
        }
        if connection.is_in(&room) {
            return Ok(());
        }
        if connection.rooms().len() >= self.max_rooms {
            return Err(ErrorAnswer::new("too_many_rooms", format!("at most {} rooms", self.max_rooms)));
        }
        (self.authorise)(connection.clone(), room.clone()).await?;
        match connection.join(&room).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let code = match error {
                    JoinError::Closed => "closed",
                    JoinError::TooManyRooms => "too_many_rooms",
                    JoinError::RoomFull => "room_full",
                    JoinError::ServerFull => "server_full",
                    _ => "refused",
                };
                Err(ErrorAnswer::new(code, error.to_string()))
            }
        }
    }
}

impl Part<Connection> for Subscriptions {
    fn add_to(self, router: RouterBuilder) -> RouterBuilder {
        let subscribe =
            move |connection: Connection, FrameId(id): FrameId, Decoded(asked): Decoded<RoomQuestion>| {
                let this = self.clone();
                async move {
                    this.subscribe(&connection, asked.room).await?;
                    answer(&connection, &id)
                }
            };
        router.on("subscribe", subscribe).on("unsubscribe", unsubscribe)
    }
}

async fn unsubscribe(
    connection: Connection,
    FrameId(id): FrameId,
    Decoded(asked): Decoded<RoomQuestion>,
) -> Result<Option<Frame>, BoxError> {
    connection.leave(&asked.room).await.map_err(|error| ErrorAnswer::new("home_room", error.to_string()))?;
    answer(&connection, &id)
}

/// The answer to a question; an event without an id is none.
fn answer(connection: &Connection, id: &str) -> Result<Option<Frame>, BoxError> {
    if id.is_empty() {
        return Ok(None);
    }
    Ok(Some(Frame::new("ok", &RoomsAnswer { rooms: connection.rooms() })?))
}

#[derive(Deserialize)]
struct RoomQuestion {
    room: String,
}

#[derive(Serialize)]
struct RoomsAnswer {
    rooms: Vec<String>,
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions").field("max_rooms", &self.max_rooms).finish_non_exhaustive()
    }
}

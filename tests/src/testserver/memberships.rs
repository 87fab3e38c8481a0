//! The events `join`, `leave`, `say` and `who`: rooms, audiences and members. Each is answered.
//!
//! Written without [`Subscriptions`](rejoin_server::router::Subscriptions): clients are tested against these events, which offer more
//! than an application's clients may have.

use rejoin_server::{Audience, Connection, Frame, JoinError, LeaveError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Whether [`handle`] handles this event.
pub(super) fn handles(event: &str) -> bool {
    matches!(event, "join" | "leave" | "say" | "who")
}

/// Performs the request of the event, and answers.
pub(super) async fn handle(connection: &Connection, frame: &Frame) {
    let result = match frame.event() {
        "join" => join(connection, frame).await,
        "leave" => leave(connection, frame).await,
        "say" => say(connection, frame),
        _ => who(connection, frame),
    };
    let answer = match result {
        Ok(answer) => answer,
        Err(Failure { code, message }) => json("error", &Error { code, message: &message }),
    };
    connection.send_wait(&answer.with_re(frame.id())).await.ok();
}

/// An error that is answered.
struct Failure {
    code: &'static str,
    message: String,
}

fn failure(code: &'static str, error: &dyn std::error::Error) -> Failure {
    Failure { code, message: error.to_string() }
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Deserialize)]
struct InRoom {
    room: String,
}

#[derive(Serialize)]
struct OwnRooms {
    rooms: Vec<String>,
}

async fn join(connection: &Connection, frame: &Frame) -> Result<Frame, Failure> {
    let InRoom { room } = decode(frame)?;
    connection.join(&room).await.map_err(|error| {
        let code = match error {
            JoinError::EmptyName => "bad_request",
            JoinError::Refused => "refused",
            JoinError::TooManyRooms => "too_many_rooms",
            _ => "closed",
        };
        failure(code, &error)
    })?;
    Ok(rooms(connection))
}

async fn leave(connection: &Connection, frame: &Frame) -> Result<Frame, Failure> {
    let InRoom { room } = decode(frame)?;
    connection.leave(&room).await.map_err(|error| match error {
        LeaveError::HomeRoom => failure("home_room", &error),
        _ => failure("closed", &error),
    })?;
    Ok(rooms(connection))
}

fn rooms(connection: &Connection) -> Frame {
    json("ok", &OwnRooms { rooms: connection.rooms() })
}

#[derive(Deserialize)]
struct Say {
    to: To,
    #[serde(default)]
    except_me: bool,
    event: String,
    payload: Option<Box<RawValue>>,
    #[serde(default)]
    volatile: bool,
    /// Implies `volatile`.
    key: Option<String>,
}

/// The receiver: one of the members.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum To {
    Room(String),
    Rooms(Vec<String>),
    User(String),
    Id(String),
    All(bool),
}

#[derive(Serialize)]
struct Queued {
    queued: usize,
}

fn say(connection: &Connection, frame: &Frame) -> Result<Frame, Failure> {
    let say: Say = decode(frame)?;
    let audience = match &say.to {
        To::Room(room) => Audience::room(room),
        To::Rooms(rooms) => Audience::rooms(rooms.iter().map(String::as_str)),
        To::User(user) => Audience::user(user),
        To::Id(id) => Audience::id(id),
        To::All(true) => Audience::everyone(),
        To::All(false) => return Err(Failure { code: "bad_request", message: "`all` is true".into() }),
    };
    let audience = if say.except_me { audience.except(connection) } else { audience };
    let mut said = Frame::event_only(say.event);
    if let Some(payload) = &say.payload {
        said = said.with_payload(rejoin_server::Payload::json(payload).map_err(bad_request)?);
    }
    if say.volatile {
        said = said.volatile();
    }
    if let Some(key) = say.key {
        said = said.latest(key);
    }
    let queued = connection.server().broadcast(audience, &said).map_err(bad_request)?;
    Ok(json("ok", &Queued { queued }))
}

#[derive(Serialize)]
struct Members {
    members: Vec<Member>,
}

#[derive(Serialize)]
struct Member {
    id: String,
    user: String,
    state: &'static str,
}

fn who(connection: &Connection, frame: &Frame) -> Result<Frame, Failure> {
    let InRoom { room } = decode(frame)?;
    let members = connection.server().members(&room).into_iter().map(|member| Member {
        id: member.id().to_owned(),
        user: member.user().unwrap_or_default().to_owned(),
        state: if member.presence().is_attached() { "attached" } else { "suspended" },
    });
    Ok(json("ok", &Members { members: members.collect() }))
}

fn decode<T: DeserializeOwned>(frame: &Frame) -> Result<T, Failure> {
    frame.decode().map_err(bad_request)
}

#[allow(clippy::needless_pass_by_value, reason = "`map_err` passes a value")]
fn bad_request(error: impl std::error::Error) -> Failure {
    failure("bad_request", &error)
}

fn json(event: &'static str, value: &impl Serialize) -> Frame {
    Frame::new(event, value).expect("the payload can be represented in JSON")
}

//! A chat in rooms. Cut the connection whenever you like: what was said meanwhile arrives once, and in order.
//!
//! The contract with the page, `chat.js`:
//!
//! | event | to | payload |
//! |---|---|---|
//! | `say` | the server | `{text}`; the frame's id names the message |
//! | `said` | the room | `{from, text, at}` under the id of its `say`; `at` in milliseconds since 1970 |
//! | `welcome` | who has joined | `{you, people}` |
//! | `joined`, `left` | the room | a person |
//! | `away`, `back` | the room | a person whose socket is gone, or there again |
//!
//! A person is `{id, name, away?}`. The id is the connection's: random, so that nobody can take another's session by naming it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rejoin_server::{
    CloseReason, ConfigError, ConnectRequest, Connection, DropReason, Frame, Identity, Reject, Server,
    StatusCode,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

mod page;

const LONGEST_NAME: usize = 32; // characters, like the other two
const LONGEST_ROOM: usize = 64;
const LONGEST_TEXT: usize = 2000;

/// How long the sessions may take to end when the chat is stopped.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Serves the chat until `stop` is ready: the page on `/`, its connections on `/ws`.
///
/// # Errors
/// Fails when the options of the server are invalid.
pub async fn serve(listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), ConfigError> {
    let server = server()?;
    tokio::select! {
        () = page::serve(listener, server.service()) => {}
        () = stop => drop(server.shutdown(SHUTDOWN).await),
    }
    Ok(())
}

fn server() -> Result<Server, ConfigError> {
    let chat = Arc::new(Chat::default());
    Server::builder(move |request| connect(chat.clone(), request))
        .on_connect(handle_join)
        .on_message(handle_message)
        .on_transport_drop(handle_drop)
        .on_transport_restore(handle_restore)
        .on_disconnect(handle_leave)
        .build()
}

/// What all members have in common.
#[derive(Default)]
struct Chat {
    /// Held while somebody's coming or going is told. Without it a newcomer could be told of a leaving first, and then get
    /// a list in which the one who has left is still there.
    order: Mutex<()>,
}

/// What a connection carries: its identity's data.
struct Member {
    name: String,
    chat: Arc<Chat>,
}

#[derive(Serialize)]
struct Person<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    away: bool,
}

#[derive(Serialize)]
struct Welcome<'a> {
    you: Person<'a>,
    people: Vec<Person<'a>>,
}

#[derive(Deserialize)]
struct Say {
    text: String,
}

#[derive(Serialize)]
struct Said<'a> {
    from: Person<'a>,
    text: &'a str,
    at: u128,
}

/// Runs for every socket, those of a resume included. A real application finds out here who this is.
async fn connect(chat: Arc<Chat>, request: ConnectRequest) -> Result<Identity, Reject> {
    let name = label("name", request.query("name"), LONGEST_NAME)?;
    let room = label("room", request.query("room"), LONGEST_ROOM)?;
    Ok(Identity::room(room).with_data(Member { name, chat }))
}

fn label(what: &str, value: Option<String>, longest: usize) -> Result<String, Reject> {
    let value = value.unwrap_or_default().trim().to_owned();
    if (1..=longest).contains(&value.chars().count()) {
        return Ok(value);
    }
    Err(Reject::new(StatusCode::BAD_REQUEST, format!("{what} must have 1 to {longest} characters")))
}

async fn handle_join(me: Connection) {
    let chat = chat(&me);
    let _in_order = chat.order.lock().unwrap_or_else(PoisonError::into_inner);
    let members = me.server().connections(me.room());
    // I am reading this, so I am not away.
    let people = members.iter().map(|member| person(member, !member.is_attached() && member.id() != me.id()));
    let welcome = Welcome { you: person(&me, false), people: people.collect() };
    if me.send(&frame("welcome", &welcome)).is_err() {
        return me.close(1011, "no room for the welcome"); // it comes again, to a fresh session
    }
    tell_room(&me, &frame("joined", &person(&me, false)));
}

async fn handle_drop(me: Connection, _: DropReason) {
    chat(&me).tell_change("away", &me);
}

async fn handle_restore(me: Connection) {
    chat(&me).tell_change("back", &me);
}

async fn handle_leave(me: Connection, _: CloseReason) {
    chat(&me).tell_change("left", &me);
}

async fn handle_message(me: Connection, message: Frame) {
    let text = match text(&message) {
        Ok(text) => text,
        // The page does not send such; whoever does is told why this is the end.
        Err(why) => return me.close(1008, why),
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let said = Said { from: person(&me, false), text: &text, at: now.as_millis() };
    tell_room(&me, &frame("said", &said).with_id(message.id()));
}

fn text(message: &Frame) -> Result<String, &'static str> {
    if message.event() != "say" {
        return Err("this chat understands say alone");
    }
    let say: Say = message.decode().map_err(|_| "the payload of say is {text}")?;
    let text = say.text.trim();
    match text.chars().count() {
        0 => Err("this message is empty"),
        1..=LONGEST_TEXT => Ok(text.to_owned()),
        _ => Err("this message is too long"),
    }
}

impl Chat {
    fn tell_change(&self, event: &str, who: &Connection) {
        let _in_order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        tell_room(who, &frame(event, &person(who, false)));
    }
}

/// Everybody in this member's room, those away included: they get it when they are back.
fn tell_room(member: &Connection, frame: &Frame) {
    // Fails when the server has been shut down: then nobody is there.
    member.server().broadcast(member.room(), frame).ok();
}

fn chat(connection: &Connection) -> &Chat {
    &member(connection).chat
}

fn member(connection: &Connection) -> &Member {
    connection.data().expect("connect attaches it")
}

fn person(connection: &Connection, away: bool) -> Person<'_> {
    Person { id: connection.id(), name: &member(connection).name, away }
}

fn frame(event: &str, payload: &impl Serialize) -> Frame {
    Frame::new(event, payload).expect("strings and numbers have an image in JSON")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn say(text: &str) -> Frame {
        Frame::new("say", &BTreeMap::from([("text", text)])).unwrap()
    }

    #[test]
    fn a_text_is_counted_in_characters_and_without_the_space_around_it() {
        assert_eq!(text(&say(" ü\n")).unwrap(), "ü");
        assert!(text(&say(&format!(" {}\n", "ü".repeat(LONGEST_TEXT)))).is_ok());
        assert!(text(&say(&"ü".repeat(LONGEST_TEXT + 1))).is_err());
        assert!(text(&say(" \n")).is_err());
    }

    #[test]
    fn what_is_no_say_is_refused() {
        assert!(text(&Frame::event_only("say")).is_err());
        assert!(text(&Frame::new("say", "hello").unwrap()).is_err());
        assert!(text(&Frame::new("shout", "hello").unwrap()).is_err());
    }

    #[test]
    fn a_name_is_trimmed_and_bounded() {
        assert_eq!(label("name", Some(" Ada ".into()), 3).unwrap(), "Ada");
        assert!(label("name", Some("Åsa ".into()), 3).is_ok());
        assert!(label("name", Some("Anna".into()), 3).is_err());
        assert!(label("name", Some("   ".into()), 3).is_err());
        assert!(label("name", None, 3).is_err());
    }
}

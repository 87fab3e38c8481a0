//! A chat in rooms. Cut the connection whenever you like, stop the chat or kill it and start it again: messages sent meanwhile arrive
//! once and in order.
//!
//! The protocol between the server and the page, `chat.js`:
//!
//! | event | to | payload |
//! |---|---|---|
//! | `say` | the server | `{text}`; the frame's id names the message |
//! | `said` | the room | `{from, text, at}` under the id of its `say`; `at` in milliseconds since 1970 |
//! | `welcome` | the new member | `{you, people}` |
//! | `joined`, `left` | the room | a person |
//! | `away`, `back` | the room | a person whose socket is lost, or who has another one in time |
//! | `restarted` | a member whose session outlived the server's process | |
//!
//! A person is `{id, name, away?}`. The id is the connection's, which is random, so that a client cannot take over a session by
//! guessing its id. The name is the connection's presence, so that it outlives the process.

use std::time::{Duration, SystemTime};

use rejoin_server::{
    ConfigError, ConnectRequest, Connection, Durability, Frame, History, Identity, Payload, Reject, Server,
};
use rejoin_store_local::LocalStore;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

mod page;

const LONGEST_NAME: usize = 32; // in characters, like the next two
const LONGEST_ROOM: usize = 64;
const LONGEST_TEXT: usize = 2000;

/// How many messages of the room a newcomer gets.
const HISTORY: usize = 100;

/// The deadline for handlers to return when the chat stops.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Serves the chat until `stop` is ready: the page on `/`, its connections on `/ws`. The sessions live on in the store: the next chat
/// with it goes on with them. Without one they end with this one.
///
/// # Errors
/// Fails when the options of the server are invalid.
pub async fn serve(
    listener: TcpListener,
    store: Option<LocalStore>,
    stop: impl Future<Output = ()>,
) -> Result<(), ConfigError> {
    let server = server(store.clone())?;
    tokio::select! {
        () = page::serve(listener, server.service()) => {}
        () = stop => drop(server.shutdown(SHUTDOWN).await),
    }
    if let Some(store) = store {
        store.close().await;
    }
    Ok(())
}

fn server(store: Option<LocalStore>) -> Result<Server, ConfigError> {
    let builder = Server::builder(connect)
        .history(History::new().frames(HISTORY))
        .on_join(handle_join)
        .on_message(handle_message)
        .on_away(async |me: Connection| tell_room(&me, "away"))
        .on_back(handle_back)
        .on_leave(async |me: Connection, _| tell_room(&me, "left"));
    match store {
        Some(store) => builder.store(store).durability(Durability::Commit).build(),
        None => builder.build(),
    }
}

/// Kept with each connection that this process knows. Unlike the session, it does not outlive the process.
struct Known;

#[derive(Serialize)]
struct Person<'a> {
    id: &'a str,
    name: String,
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

/// Runs for every socket, including those of a resume. A real application authenticates the request here.
async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let name = label("name", request.query("name"), LONGEST_NAME)?;
    let room = label("room", request.query("room"), LONGEST_ROOM)?;
    let name = Payload::json(&name).expect("a text can be represented in JSON");
    Ok(Identity::new().with_room(room).with_presence(name).with_rewind(HISTORY))
}

fn label(what: &str, value: Option<String>, longest: usize) -> Result<String, Reject> {
    let value = value.unwrap_or_default().trim().to_owned();
    if (1..=longest).contains(&value.chars().count()) {
        return Ok(value);
    }
    Err(Reject::bad_request(format!("{what} must have 1 to {longest} characters")))
}

async fn handle_join(me: Connection, room: String) {
    me.set(Known);
    let members = me.server().members(&room);
    let people = members.iter().map(|member| {
        // The new member may already have lost its socket again, but it must not see itself as away.
        let is_away = !member.presence().is_attached() && member.connection() != &me;
        person(member.connection(), is_away)
    });
    let welcome = Welcome { you: person(&me, false), people: people.collect() };
    if me.send(&frame("welcome", &welcome)).is_err() {
        // The client retries with a fresh session.
        return me.close_with(1011, "no space for the welcome").expect("code and reason are valid");
    }
    tell_room(&me, "joined");
}

async fn handle_back(me: Connection) {
    if me.set(Known).is_none() {
        // The process is another one than that which the member has left. The page shows it.
        me.send(&Frame::event_only("restarted")).ok();
    }
    tell_room(&me, "back");
}

/// Announces a person's change to the room. A new member may get this before its welcome; the page copes with it.
fn tell_room(who: &Connection, event: &str) {
    say(who, &frame(event, &person(who, false)));
}

async fn handle_message(me: Connection, message: Frame) {
    let text = match text(&message) {
        Ok(text) => text,
        // The page never sends this. The close frame tells another client why its session ends.
        Err(why) => return me.close_with(1008, why).expect("code and reason are valid"),
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let said = Said { from: person(&me, false), text: &text, at: now.as_millis() };
    say(&me, &frame("said", &said).with_id(message.id()));
}

fn text(message: &Frame) -> Result<String, &'static str> {
    if message.event() != "say" {
        return Err("expected the event say");
    }
    let say: Say = message.decode().map_err(|_| "the payload of say is {text}")?;
    let text = say.text.trim();
    match text.chars().count() {
        0 => Err("this message is empty"),
        1..=LONGEST_TEXT => Ok(text.to_owned()),
        _ => Err("this message is too long"),
    }
}

/// Sends a frame to all members of this member's room. Members who are away get it when they are back.
fn say(member: &Connection, frame: &Frame) {
    // Fails after a shutdown, when the room is empty anyway.
    member.broadcast(frame).ok();
}

fn person(connection: &Connection, away: bool) -> Person<'_> {
    let name = connection.presence().and_then(|name| name.decode().ok());
    Person { id: connection.id(), name: name.unwrap_or_default(), away }
}

fn frame(event: &str, payload: &impl Serialize) -> Frame {
    Frame::new(event, payload).expect("strings and numbers can be represented in JSON")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn saying(text: &str) -> Frame {
        Frame::new("say", &BTreeMap::from([("text", text)])).unwrap()
    }

    #[test]
    fn text_length_is_counted_in_trimmed_characters() {
        assert_eq!(text(&saying(" ü\n")).unwrap(), "ü");
        assert!(text(&saying(&format!(" {}\n", "ü".repeat(LONGEST_TEXT)))).is_ok());
        assert!(text(&saying(&"ü".repeat(LONGEST_TEXT + 1))).is_err());
        assert!(text(&saying(" \n")).is_err());
    }

    #[test]
    fn other_messages_than_say_are_refused() {
        assert!(text(&Frame::event_only("say")).is_err());
        assert!(text(&Frame::new("say", "hello").unwrap()).is_err());
        assert!(text(&Frame::new("shout", "hello").unwrap()).is_err());
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(label("name", Some(" Ada ".into()), 3).unwrap(), "Ada");
        assert!(label("name", Some("Åsa ".into()), 3).is_ok());
        assert!(label("name", Some("Anna".into()), 3).is_err());
        assert!(label("name", Some("   ".into()), 3).is_err());
        assert!(label("name", None, 3).is_err());
    }
}

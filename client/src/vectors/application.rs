//! [`Application`]: the application of a vector, which makes its inputs and records the events that it gets.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoin_core::{CloseFrame, DropReason, Frame, LostReason, Payload};
use serde_json::{Map, Value, json};

use crate::backoff::Jitter;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::ConnectError;
use crate::event::{CloseReason, Event};
use crate::options::ClientOptions;
use crate::sender::Sender;
use crate::transport::FORGIVEN;
use crate::{AskError, SendError};

use super::log::EventLog;
use super::server::ScriptedServer;

/// How long the vectors wait for `$open`.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub(super) struct Application {
    log: EventLog,
    /// Outcomes of questions.
    outcomes: EventLog,
    server: ScriptedServer,
    draw: f64,
    sender: Arc<Mutex<Option<Sender>>>,
    tokens: Tokens,
    asks: u64,
}

/// A dial that waits for a token.
type PlayedAnswer = tokio::sync::oneshot::Sender<Option<String>>;

/// The application's source of tokens.
#[derive(Clone, Default)]
struct Tokens {
    left: Arc<Mutex<VecDeque<Value>>>,
    waiting: Arc<Mutex<Vec<Option<PlayedAnswer>>>>,
}

impl Application {
    pub(super) fn new(log: EventLog, outcomes: EventLog, server: ScriptedServer, draw: f64) -> Self {
        Self { log, outcomes, server, draw, sender: Arc::default(), tokens: Tokens::default(), asks: 0 }
    }

    pub(super) fn connect(&self, step: &Value) {
        let server = self.server.clone();
        let mut options = ClientOptions {
            jitter: Jitter::Fixed(self.draw),
            handshake_timeout: OPEN_TIMEOUT,
            connector: Some(Arc::new(move || server.dial())),
            ..ClientOptions::default()
        };
        if let Some(frames) = step["buffer"].as_u64() {
            options.send_buffer = usize::try_from(frames).unwrap();
        }
        if let Some(bytes) = step["buffer_bytes"].as_u64() {
            options.send_buffer_bytes = usize::try_from(bytes).unwrap();
        }
        if let Some(token) = step["token"].as_str() {
            let token = token.to_owned();
            options.dial_token = Some(Arc::new(move || Box::pin(std::future::ready(Ok(token.clone())))));
        } else if let Some(tokens) = step["tokens"].as_array() {
            *self.tokens.left.lock().unwrap() = tokens.clone().into();
            let (source, log) = (self.tokens.clone(), self.log.clone());
            options.dial_token = Some(Arc::new(move || Box::pin(source.clone().next(log.clone()))));
        }
        let client =
            options.check().and_then(|()| Client::new(&"ws://server.test/ws".parse().unwrap(), options));
        match client {
            Ok(client) => {
                tokio::spawn(self.clone().run(client));
            }
            Err(_) => self.log.add(json!({ "see": "error", "error": "invalid_option" })),
        }
    }

    /// Writes down every event until the end.
    async fn run(self, client: Client) {
        let mut connection = match client.connect().await {
            Ok(connection) => connection,
            Err(ConnectError::Closed(why)) => return self.hear("closed", &ended(&why)),
            Err(ConnectError::Protocol(frame)) => return self.hear("closed", &close(&frame)),
            Err(ConnectError::Subprotocol { .. }) => return self.hear("closed", &json!({ "code": 1002 })),
            Err(error) => return self.log.add(json!({ "see": "error", "error": error.to_string() })),
        };
        *self.sender.lock().unwrap() = Some(connection.sender());
        self.hear("open", &session(&connection));
        while let Some(event) = connection.recv().await {
            match event {
                Event::Message(frame) => self.hear("message", &json!({ "frame": members(&frame) })),
                Event::Disconnected { reason } => self.hear("dropped", &ended(&reason)),
                Event::Reconnected { resumed } => {
                    self.hear(if resumed { "restored" } else { "open" }, &session(&connection));
                }
                Event::Gap(gap) => self.hear("gap", &json!({ "from": gap.from, "to": gap.to })),
                Event::SessionLost { reason, unacknowledged, dropped } => {
                    let kept = unacknowledged.len() as u64 + dropped;
                    self.hear(
                        "lost",
                        &json!({ "reason": reason.unwrap_or(LostReason::Unknown), "kept": kept }),
                    );
                }
                Event::Closed(closed) => {
                    let mut detail = match &closed.reason {
                        CloseReason::Remote(frame) | CloseReason::Protocol(frame) => close(frame),
                        CloseReason::TakenOver => json!({ "code": 4000, "reason": "taken over" }),
                        CloseReason::TooBig => json!({ "code": 1009 }),
                        other => json!({ "reason": other.to_string() }),
                    };
                    detail["kept"] = json!(closed.unacknowledged);
                    self.hear("closed", &detail);
                }
                other => self.hear("other", &json!({ "text": format!("{other:?}") })),
            }
        }
        // After its own close the application hears nothing more, but how the connection ended.
        std::future::pending::<()>().await;
    }

    fn hear(&self, kind: &str, detail: &Value) {
        let mut event = json!({ "see": "event", "type": kind });
        event.as_object_mut().unwrap().extend(detail.as_object().unwrap().clone());
        self.log.add(event);
    }

    /// Before `$open` there is no connection to send, ask or close with.
    pub(super) fn is_connected(&self) -> bool {
        self.sender.lock().unwrap().is_some()
    }

    fn sender(&self) -> Sender {
        self.sender.lock().unwrap().clone().expect("connected")
    }

    /// Statistics of the session.
    pub(super) fn counts(&self) -> rejoin_core::Counts {
        self.sender().shared().session.drive(|session| session.counts())
    }

    /// Sends a frame, and returns whether it was accepted.
    pub(super) fn send(&self, step: &Value) -> bool {
        let error = match self.sender().send(&frame(step["frame"].as_object().unwrap())) {
            Ok(()) => return true,
            Err(SendError::Full) => json!({ "error": "full" }),
            Err(SendError::Closed) => json!({ "error": "closed" }),
            Err(SendError::TooBig { size, limit }) => {
                json!({ "error": "too_big", "size": size, "limit": limit })
            }
            Err(SendError::Reserved) => json!({ "error": "reserved_event" }),
            Err(other) => json!({ "error": other.to_string() }),
        };
        let mut seen = json!({ "see": "error" });
        seen.as_object_mut().unwrap().extend(error.as_object().unwrap().clone());
        self.log.add(seen);
        false
    }

    /// Asks. The vectors have names of their own for the ids of questions: the client is given them.
    pub(super) fn ask(&mut self, step: &Value) {
        self.asks += 1;
        let name = format!("ask-{}", self.asks);
        let mut question = Frame::event_only(step["event"].as_str().unwrap()).with_id(&*name);
        if let Some(payload) = step.get("payload") {
            question = question.with_payload(Payload::json(payload).unwrap());
        }
        let mut ask = self.sender().ask(&question);
        if let Some(ms) = step["timeout"].as_u64() {
            ask = ask.timeout(Duration::from_millis(ms));
        }
        let log = self.outcomes.clone();
        tokio::spawn(async move {
            let failed = match ask.await {
                Ok(answer) => {
                    let payload: Value = answer.decode().unwrap();
                    return log.add(json!({ "see": "answered", "ask": name, "payload": payload }));
                }
                Err(AskError::Answer(error)) => error.code().to_owned(),
                Err(AskError::Timeout) => "timeout".to_owned(),
                Err(AskError::Ended | AskError::SessionLost) => "closed".to_owned(),
                Err(other) => other.to_string(),
            };
            log.add(json!({ "see": "failed", "ask": name, "error": failed }));
        });
    }

    pub(super) fn close(&self) {
        let (sender, application) = (self.sender(), self.clone());
        tokio::spawn(async move {
            let closed = sender.close().await;
            application.hear("closed", &json!({ "code": 1000, "reason": "", "kept": closed.unacknowledged }));
        });
    }

    pub(super) fn token(&self, step: &Value) {
        let mut waiting = self.tokens.waiting.lock().unwrap();
        let last = waiting.len() as u64 - 1;
        let index = usize::try_from(step["ask"].as_u64().unwrap_or(last)).unwrap();
        // The client may have stopped reconnecting.
        waiting[index].take().unwrap().send(step["token"].as_str().map(ToOwned::to_owned)).ok();
    }
}

impl Tokens {
    async fn next(self, log: EventLog) -> io::Result<String> {
        log.add(json!({ "see": "ask" }));
        let next = self.left.lock().unwrap().pop_front().unwrap_or_default();
        let token = if next["later"] == true {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            self.waiting.lock().unwrap().push(Some(sender));
            receiver.await.unwrap()
        } else {
            next.as_str().map(ToOwned::to_owned)
        };
        token.ok_or_else(|| io::Error::other("no token"))
    }
}

/// The session that a socket has opened or resumed.
fn session(connection: &Connection) -> Value {
    let shared = connection.sender_ref().shared();
    let identity = shared.session.drive(|session| session.identity().cloned()).expect("open");
    json!({ "session": identity.token.as_str(), "id": &*identity.id, "room": &*identity.room })
}

/// The code and reason of a close frame, as the socket of a page reports them.
fn close(frame: &CloseFrame) -> Value {
    json!({ "code": frame.code, "reason": frame.reason })
}

/// The same for a socket that was dropped. A page reports the code with which it closes itself.
fn ended(why: &DropReason) -> Value {
    match why {
        DropReason::Closed(Some(frame)) => close(frame),
        DropReason::TakenOver | DropReason::Io(FORGIVEN) => json!({ "code": 4000, "reason": "taken over" }),
        DropReason::Closed(None) => json!({ "code": 1005, "reason": "" }),
        DropReason::Io(_) => json!({ "code": 1006, "reason": "" }),
        DropReason::CredentialsExpired => json!({ "code": 3000, "reason": "credentials expired" }),
        DropReason::HeartbeatTimeout => json!({ "code": 4002 }),
        other => json!({ "reason": other.to_string() }),
    }
}

fn frame(members: &Map<String, Value>) -> Frame {
    let text = |name: &str| members.get(name).map_or("", |value| value.as_str().unwrap());
    let flag = |name: &str| members.get(name) == Some(&json!(true));
    let mut frame = Frame::event_only(text("event")).with_id(text("id"));
    if let Some(payload) = members.get("payload") {
        frame = frame.with_payload(Payload::json(payload).unwrap());
    }
    // These allocate, so most frames do without.
    for (name, set) in [("re", Frame::with_re as fn(Frame, Box<str>) -> Frame), ("room", Frame::with_room)] {
        if !text(name).is_empty() {
            frame = set(frame, text(name).into());
        }
    }
    if flag("more") {
        frame = frame.with_more(true);
    }
    if flag("volatile") { frame.volatile() } else { frame }
}

/// The members of a frame that are present.
fn members(frame: &Frame) -> Value {
    let mut members = Map::new();
    for (name, text) in
        [("id", frame.id()), ("re", frame.re()), ("event", frame.event()), ("room", frame.room())]
    {
        if !text.is_empty() {
            members.insert(name.to_owned(), json!(text));
        }
    }
    for (name, flag) in [("more", frame.more()), ("volatile", frame.is_volatile())] {
        if flag {
            members.insert(name.to_owned(), json!(true));
        }
    }
    if let Some(payload) = frame.payload() {
        members.insert("payload".to_owned(), payload.decode().unwrap());
    }
    Value::Object(members)
}

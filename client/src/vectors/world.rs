//! [`World`]: a client, its application and its server during one vector.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until};

use super::application::Application;
use super::log::EventLog;
use super::server::ScriptedServer;

/// More than any chain of tasks that wake each other is long.
const TURNS: usize = 200;

pub(super) struct World {
    began: Instant,
    wire: EventLog,
    heard: EventLog,
    outcomes: EventLog,
    server: ScriptedServer,
    application: Application,
    /// The application's reactions to its next events.
    reactions: Vec<(String, Vec<Value>)>,
    /// Whether the newest socket has had a `$open`.
    is_open: bool,
    /// Events `answer`: this client drops answers to no question of its own, and counts them.
    stray_answers: u64,
    /// Frames that the session has accepted.
    sent: u64,
    /// A loss that has not been reported yet.
    lost: Option<Value>,
    /// The time of the dial that the last `waiting` promises.
    due: Option<u64>,
}

impl World {
    /// Must be made in the runtime whose clock is the vector's.
    pub(super) fn new(draw: f64) -> Self {
        let began = Instant::now();
        let [wire, heard, outcomes] = [(); 3].map(|()| EventLog::new(began));
        let server = ScriptedServer::new(wire.clone());
        let application = Application::new(heard.clone(), outcomes.clone(), server.clone(), draw);
        Self {
            began,
            wire,
            heard,
            outcomes,
            server,
            application,
            reactions: Vec::new(),
            is_open: false,
            stray_answers: 0,
            sent: 0,
            lost: None,
            due: None,
        }
    }

    /// Makes the inputs of a vector and compares the outputs.
    ///
    /// # Errors
    /// Shows the expected and the actual step.
    pub(super) async fn play(mut self, steps: &Value) -> Result<(), String> {
        let steps = steps.as_array().unwrap();
        for (index, step) in steps.iter().enumerate() {
            let at = step["at"].as_u64().unwrap();
            self.advance(at, step["late_timers"] == true).await;
            if step.get("do").is_some() {
                self.nothing_else(step)?;
                self.make(step, &steps[index + 1..]).await?;
                self.settle().await;
            } else {
                self.see(step, &steps[index + 1..])?;
                self.react(step).await?;
            }
        }
        self.nothing_else(&json!("the end"))?;
        self.keeps_its_word().await
    }

    async fn advance(&self, at: u64, late: bool) {
        let until = self.began + Duration::from_millis(at);
        if late {
            tokio::time::advance(until - Instant::now()).await;
        } else if until > Instant::now() {
            sleep_until(until).await;
        }
        self.settle().await;
    }

    /// Every task goes as far as it can without time.
    async fn settle(&self) {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }

    async fn make(&mut self, step: &Value, rest: &[Value]) -> Result<(), String> {
        if matches!(step["do"].as_str(), Some("send" | "ask" | "close")) && !self.application.is_connected() {
            return Err(format!("not before `$open`: {step}"));
        }
        let socket = || self.server.socket(step["socket"].as_u64());
        match step["do"].as_str().unwrap() {
            "connect" => self.application.connect(step),
            "accept" => socket().accept(step["protocol"].as_str().unwrap_or("rejoin.v1.json")).await,
            "receive" => {
                self.is_open |= step.get("open").is_some();
                match step["binary"].as_str() {
                    Some(base64) => socket().binary(base64).await,
                    None => socket().text(&text(step)).await,
                }
            }
            "closing" => {
                let end = rest.iter().find(|step| step["do"] == "end").unwrap_or(&Value::Null);
                socket().close(code(end).unwrap_or(1000), end["reason"].as_str().unwrap_or("")).await;
            }
            "end" => {
                socket().close(code(step).unwrap(), step["reason"].as_str().unwrap_or("")).await;
                // The client answers the close frame before the end.
                self.settle().await;
                socket().end().await;
            }
            "send" => self.send(step),
            "ask" => {
                self.sent += 1;
                self.application.ask(step);
            }
            "close" => self.application.close(),
            "token" => self.application.token(step),
            "when" => {
                let then = step["then"].as_array().unwrap().clone();
                self.reactions.push((step["type"].as_str().unwrap().to_owned(), then));
            }
            "nothing" => {}
            other => return Err(format!("this client has no input {other}")),
        }
        Ok(())
    }

    fn send(&mut self, step: &Value) {
        if self.application.send(step) && step["frame"]["volatile"] != true {
            self.sent += 1;
        }
    }

    /// The vector's listener performs its planned reaction.
    async fn react(&mut self, step: &Value) -> Result<(), String> {
        let index = self.reactions.iter().position(|(kind, _)| step["type"] == kind.as_str());
        let Some(index) = index else { return Ok(()) };
        for input in self.reactions.remove(index).1 {
            self.make(&input, &[]).await?;
        }
        self.settle().await;
        Ok(())
    }

    fn see(&mut self, step: &Value, rest: &[Value]) -> Result<(), String> {
        let at = step["at"].as_u64().unwrap();
        match (step["see"].as_str().unwrap(), step["type"].as_str().unwrap_or_default()) {
            ("event", "waiting") => {
                self.due = step["ms"].as_u64().map(|ms| at + ms);
                return Ok(());
            }
            ("event", "sent") => return Ok(()),
            ("event", "acked") => {
                let up_to = self.sent - self.application.counts().unacknowledged;
                let named = step.get("up_to").cloned();
                return same(step, &json!(up_to), &named.unwrap_or_else(|| json!(up_to)));
            }
            ("event", "answer") => {
                self.stray_answers += 1;
                return same(
                    step,
                    &json!(self.application.counts().stray_answers),
                    &json!(self.stray_answers),
                );
            }
            ("dial", _) => {
                self.due = None;
                self.is_open = false;
            }
            _ => {}
        }
        if step["type"] == "lost" {
            self.sent = 0;
            // This client reports a loss when it knows of the session that follows.
            if self.heard.peek().is_none() {
                self.lost = Some(step.clone());
                return Ok(());
            }
        }
        if let Some(lost) = self.lost.take_if(|_| step["type"] == "open") {
            let mut seen = self.heard.pop().ok_or_else(|| format!("expected {lost}\n    saw nothing"))?;
            seen["at"] = lost["at"].clone();
            seen["reason"] = lost["reason"].clone();
            same(&lost, &only(&seen, &expected(&lost, &seen)), &expected(&lost, &seen))?;
        }
        let log = match step["see"].as_str() {
            Some("dial" | "write" | "close") => &self.wire,
            Some("answered" | "failed") => &self.outcomes,
            _ => &self.heard,
        };
        let seen = log.pop();
        let Some(seen) = seen else { return Err(format!("expected {step}\n    saw nothing")) };
        let expected =
            if step["see"] == "close" { self.close(step, &seen, rest) } else { expected(step, &seen) };
        // Members that the step does not name are not compared.
        let shown = if step["see"] == "event" { only(&seen, &expected) } else { seen.clone() };
        same(step, &shown, &expected)
    }

    /// The expected end of a socket. A violation has its own code in the close frame; a page cannot write it. An abandoned dial has no
    /// code, and a socket whose session continues need not have one.
    fn close(&self, step: &Value, seen: &Value, rest: &[Value]) -> Value {
        let mut expected = step.clone();
        let code = step["code"].as_u64().unwrap();
        let verdict =
            rest.iter().find(|step| step["type"] == "closed").and_then(|step| step["code"].as_u64());
        let is_verdict = code == 1000 && verdict.is_some() && seen["code"].as_u64() == verdict;
        let suspends = |code: Option<u64>| !matches!(code, Some(1000 | 1002 | 1007 | 1008 | 1009));
        let both_suspend = suspends(Some(code)) && suspends(seen["code"].as_u64());
        let is_abandoned = !self.is_open && seen["code"].is_null();
        if is_verdict || both_suspend || is_abandoned {
            let expected = expected.as_object_mut().unwrap();
            expected.remove("code");
            expected.extend(seen.get("code").map(|code| ("code".to_owned(), code.clone())));
        }
        expected
    }

    fn nothing_else(&self, step: &Value) -> Result<(), String> {
        match self.wire.peek().or_else(|| self.heard.peek()).or_else(|| self.outcomes.peek()) {
            Some(seen) => Err(format!("before {step}\n    saw {seen}")),
            None => Ok(()),
        }
    }

    /// A vector that ends with `waiting` promises a dial.
    async fn keeps_its_word(&self) -> Result<(), String> {
        let Some(due) = self.due else { return Ok(()) };
        self.advance(due - 1, false).await;
        self.nothing_else(&json!(format!("the dial at {due}")))?;
        self.advance(due, false).await;
        match self.wire.pop() {
            Some(seen) if seen["see"] == "dial" && seen["at"] == due => Ok(()),
            other => Err(format!("expected a dial at {due}\n    saw {other:?}")),
        }
    }
}

/// A step as this client does it.
fn expected(step: &Value, seen: &Value) -> Value {
    let mut expected = step.as_object().unwrap().clone();
    let is = |kind: &str| step["type"] == kind;
    if is("message") {
        expected.remove("number");
    }
    if is("open") || is("restored") {
        expected.retain(|name, _| matches!(name.as_str(), "at" | "see" | "type" | "session" | "id" | "room"));
    }
    expected.remove("states");
    if let Some(sends) = expected.remove("sends") {
        expected.insert("kept".to_owned(), json!(sends.as_array().unwrap().len()));
    }
    // It stands for no close frame, as 1006 does.
    if step["code"] == 1015 {
        expected.insert("code".to_owned(), json!(1006));
    }
    // The text is the client's own where it has dropped the socket itself.
    if is("dropped") && (seen.get("code").is_none() || step["code"].as_u64() >= Some(4001)) {
        expected.remove("reason");
        expected.remove("code");
    }
    Value::Object(expected)
}

/// The members of `seen` that `expected` has.
fn only(seen: &Value, expected: &Value) -> Value {
    let named = seen.as_object().unwrap().iter().filter(|(name, _)| expected.get(name.as_str()).is_some());
    Value::Object(named.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

fn code(step: &Value) -> Option<u16> {
    Some(u16::try_from(step["code"].as_u64()?).unwrap())
}

fn text(step: &Value) -> String {
    if let Some(text) = step["text"].as_str() {
        return text.to_owned();
    }
    let Some(open) = step.get("open") else { return step["frame"].to_string() };
    let mut payload = json!({
        "session": "tokentokentokentoken-1", "id": "ada", "room": "tea", "resumed": false, "received": 0,
        "window_ms": 30_000, "buffer": 256, "buffer_bytes": 1 << 20, "max_message": 1 << 16,
    });
    payload.as_object_mut().unwrap().extend(open.as_object().unwrap().clone());
    json!({ "event": "$open", "payload": payload }).to_string()
}

fn same(step: &Value, seen: &Value, expected: &Value) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(format!("expected {step}\n    saw {seen}")) }
}

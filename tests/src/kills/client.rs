//! [`Load`]: one client, and its checks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use rejoin_client::{AskError, Client, Event, Sender};
use rejoin_core::Frame;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::process::Process;

/// The number of clients in a room.
const ROOM: usize = 5;

/// The number of users.
const USERS: usize = 3;

/// Frames that were lost, repeated, or out of order.
#[derive(Debug, Default)]
pub(super) struct Faults {
    received: AtomicU64,
    all: Mutex<Vec<String>>,
}

impl Faults {
    pub(super) fn note(&self, fault: String) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < 20 {
            all.push(fault);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }
}

/// A client's broadcast to its room.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    by: usize,
    n: u64,
}

/// A client under load.
pub(super) struct Load {
    number: usize,
    clients: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stops: AtomicBool,
    has_stopped: AtomicBool,
    stopped: Notify,
    echoes: AtomicU64,
    said: AtomicU64,
    counted: AtomicU64,
    /// Numbered frames to all connections of the user, and the answers of the server to them.
    told: AtomicU64,
    confirmed: AtomicU64,
    asked: AtomicU64,
    answered: AtomicU64,
    /// The last echo that came back.
    echoed: AtomicU64,
    /// The last number from each member of the room.
    heard: Mutex<HashMap<usize, u64>>,
    /// The last number from each connection of the user.
    heard_as_user: Mutex<HashMap<usize, u64>>,
}

impl Load {
    pub(super) async fn start(
        process: &Process,
        number: usize,
        clients: usize,
        faults: Arc<Faults>,
    ) -> Result<Self, String> {
        let url = process.url(&format!("id=c{number}&room=r{}&user=u{}", number / ROOM, number % USERS));
        let client = Client::builder(url).reconnect(Duration::from_millis(20), Duration::from_millis(200));
        let mut connection = client.connect().await.map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared::default());
        tokio::spawn(send(connection.sender(), number, shared.clone(), faults.clone()));
        let heard = shared.clone();
        tokio::spawn(async move {
            while let Some(event) = connection.recv().await {
                match event {
                    Event::Message(frame) if frame.event() == "whoami" => {
                        let answer = Frame::new("me", &number).expect("a number is JSON").with_re(frame.id());
                        let sender = connection.sender();
                        tokio::spawn(async move { sender.send_wait(&answer).await.ok() });
                    }
                    Event::Message(frame) => {
                        faults.received.fetch_add(1, Ordering::SeqCst);
                        if let Some(fault) = check(number, &frame, &heard) {
                            faults.note(fault);
                        }
                    }
                    Event::Disconnected { .. } | Event::Refused(_) | Event::Reconnected { resumed: true } => {
                    }
                    other => faults.note(format!("c{number}: {other:?}")),
                }
            }
        });
        Ok(Self { number, clients, shared })
    }

    pub(super) fn stop(&self) {
        self.shared.stops.store(true, Ordering::SeqCst);
    }

    pub(super) async fn has_stopped(&self) {
        while !self.shared.has_stopped.load(Ordering::SeqCst) {
            let stopped = self.shared.stopped.notified();
            if !self.shared.has_stopped.load(Ordering::SeqCst) {
                stopped.await;
            }
        }
    }

    pub(super) fn said(&self) -> u64 {
        self.shared.said.load(Ordering::SeqCst)
    }

    pub(super) fn sent(&self) -> u64 {
        let of = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let Shared { echoes, said, counted, told, asked, .. } = &*self.shared;
        [echoes, said, counted, told, asked].into_iter().map(of).sum()
    }

    fn is_complete(&self, said: &[u64]) -> bool {
        let heard = self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.number / ROOM * ROOM;
        let members = first..(first + ROOM).min(self.clients);
        self.shared.echoed.load(Ordering::SeqCst) == self.shared.echoes.load(Ordering::SeqCst)
            && self.shared.confirmed.load(Ordering::SeqCst) == self.shared.told.load(Ordering::SeqCst)
            && members.clone().all(|member| heard.get(&member).copied().unwrap_or(0) == said[member])
    }

    /// Waits until everything has come that it was to get.
    pub(super) async fn has_all(&self, said: &[u64]) {
        while !self.is_complete(said) {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until all its questions are answered.
    pub(super) async fn is_answered(&self) {
        while self.shared.answered.load(Ordering::SeqCst) < self.shared.asked.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn check_sink(&self, process: &Process, faults: &Faults) {
        let want = serde_json::json!({"received": self.shared.counted.load(Ordering::SeqCst), "errors": 0});
        let path = format!("/sink?id=c{}", self.number);
        let mut got = serde_json::Value::Null;
        for _ in 0..400 {
            let answer = process.get(&path).await.unwrap_or_default();
            got = serde_json::from_str(&answer).unwrap_or_default();
            if got == want {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        faults.note(format!("c{}: the server has counted {got}, not {want}", self.number));
    }

    pub(super) fn state(&self) -> String {
        format!("c{}: {:?}", self.number, self.shared)
    }
}

/// Sends until it is stopped.
async fn send(sender: Sender, number: usize, shared: Arc<Shared>, faults: Arc<Faults>) {
    let mut turn = 0_u64;
    while !shared.stops.load(Ordering::SeqCst) {
        turn += 1;
        let next = |counter: &AtomicU64| counter.load(Ordering::SeqCst) + 1;
        let (counter, frame) = match turn % 5 {
            0 => (&shared.said, Frame::new("pub", &Said { by: number, n: next(&shared.said) })),
            1 => (&shared.echoes, Frame::new("echo", &next(&shared.echoes))),
            2 => {
                let payload = Said { by: number, n: next(&shared.told) };
                let to = serde_json::json!({"user": format!("u{}", number % USERS)});
                let say = serde_json::json!({"to": to, "event": "told", "payload": payload});
                (&shared.told, Frame::new("say", &say))
            }
            3 if turn.is_multiple_of(4) => {
                shared.asked.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(ask(
                    sender.clone(),
                    number,
                    turn.is_multiple_of(8),
                    shared.clone(),
                    faults.clone(),
                ));
                continue;
            }
            _ => (&shared.counted, Frame::new("sink", &serde_json::json!({"i": next(&shared.counted)}))),
        };
        let frame = frame.expect("numbers are JSON");
        // Counted before it can come back.
        counter.fetch_add(1, Ordering::SeqCst);
        while let Err(error) = sender.send_wait(&frame).await {
            if error != rejoin_client::SendError::Timeout {
                faults.note(format!("c{number}: {error}"));
                counter.fetch_sub(1, Ordering::SeqCst);
                shared.stops.store(true, Ordering::SeqCst);
                break;
            }
        }
        if turn.is_multiple_of(5) {
            sleep(Duration::from_millis(20)).await;
        }
    }
    shared.has_stopped.store(true, Ordering::SeqCst);
    shared.stopped.notify_waiters();
}

/// Asks the server, which answers with some numbers, or passes the question back.
async fn ask(sender: Sender, number: usize, is_passed_back: bool, shared: Arc<Shared>, faults: Arc<Faults>) {
    let patience = Duration::from_secs(600);
    if is_passed_back {
        let question = serde_json::json!({"event": "whoami", "timeout_ms": 2000});
        let question = Frame::new("ask", &question).expect("it is JSON");
        let answer = sender.ask(&question).timeout(patience).await;
        let is_late = matches!(&answer, Err(AskError::Answer(error)) if error.code() == "timeout");
        // An answer behind more than the server reads ahead is late.
        if !is_late && answer.as_ref().ok().and_then(|answer| answer.decode::<usize>().ok()) != Some(number) {
            faults.note(format!("c{number}: a question that is passed back: {answer:?}"));
        }
    } else {
        let question = Frame::new("count", &serde_json::json!({"n": 7})).expect("it is JSON");
        let answers: Vec<_> = sender.ask_stream(&question).timeout(patience).collect().await;
        let number_of = |answer: &Result<Frame, AskError>| {
            answer.as_ref().ok()?.decode::<serde_json::Value>().ok()?["i"].as_u64()
        };
        let numbers: Vec<_> = answers.iter().filter_map(number_of).collect();
        if numbers != [1, 2, 3, 4, 5, 6, 7] || answers.len() != 7 {
            faults.note(format!("c{number}: a question with seven answers: {answers:?}"));
        }
    }
    shared.answered.fetch_add(1, Ordering::SeqCst);
}

/// Checks a frame, and returns a description of the fault.
fn check(number: usize, frame: &Frame, shared: &Shared) -> Option<String> {
    let (what, last, n) = match frame.event() {
        "echo" => {
            let n = frame.decode::<u64>().ok()?;
            ("echo".to_owned(), shared.echoed.swap(n, Ordering::SeqCst), n)
        }
        // The answer to `told`.
        "ok" => {
            shared.confirmed.fetch_add(1, Ordering::SeqCst);
            return None;
        }
        "pub" | "told" => {
            let Said { by, n } = frame.decode().ok()?;
            let heard = if frame.event() == "pub" { &shared.heard } else { &shared.heard_as_user };
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            // It has joined in the middle.
            (format!("{} of c{by}", frame.event()), heard.insert(by, n).unwrap_or(n - 1), n)
        }
        other => return Some(format!("c{number}: an event {other}")),
    };
    (n != last + 1).then(|| format!("c{number}: {what} {n} follows {last}"))
}

//! Questions in both directions over a line that is cut: each is answered once, or the asker learns why not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rand::Rng as _;
use rand::rngs::SmallRng;
use rejoin_client::{AskError, Event, Frame, SendError, router as client_router};
use rejoin_server::router::{BoxError, Decoded, Failure, State, Streamed};
use rejoin_server::{Connection, ErrorAnswer, Server, router};
use tokio::time::{sleep, timeout};

use super::super::check::{Findings, Property};
use super::{Plan, in_paused_time};
use crate::harness::connect;
use crate::network::{Dials, Direction, Line};

/// Longer than any plan needs.
const PATIENCE: Duration = Duration::from_secs(600);

/// One session, whose applications ask each other.
#[derive(Debug)]
pub(super) struct Questions {
    latency: Duration,
    buffer: usize,
    /// The average number of bytes between cuts.
    cuts: usize,
    seed: u64,
    /// When the client cannot dial for longer than the resume window.
    away: Option<Duration>,
    questions: Vec<Question>,
}

#[derive(Debug, Clone)]
struct Question {
    number: u64,
    at: Duration,
    by_server: bool,
    kind: Kind,
    /// When the asker drops the question.
    gives_up: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One answer, after a time.
    One,
    /// An error.
    Error,
    /// Several answers.
    Stream(u64),
    /// The server's handler asks back before it answers.
    Relay,
}

impl Plan for Questions {
    fn draw(rng: &mut SmallRng) -> Self {
        let count = rng.random_range(1..40);
        let questions = (0..count).map(|number| Question {
            number,
            at: Duration::from_millis(rng.random_range(0..5000)),
            by_server: rng.random(),
            kind: match rng.random_range(0..5) {
                0 => Kind::Error,
                1 => Kind::Stream(rng.random_range(1..30)),
                2 => Kind::Relay,
                _ => Kind::One,
            },
            gives_up: (rng.random_range(0..6) == 0).then(|| Duration::from_millis(rng.random_range(0..3000))),
        });
        let mut questions: Vec<_> = questions.collect();
        for question in &mut questions {
            // Handlers run one after the other: if those of both sides asked back, they could wait for each other.
            question.by_server &= question.kind != Kind::Relay;
        }
        Self {
            latency: Duration::from_millis(rng.random_range(0..=20)),
            buffer: [4, 8, 256][rng.random_range(0..3)],
            cuts: [1000, 3000, 10_000, 1 << 30][rng.random_range(0..4)],
            seed: rng.random(),
            away: (rng.random_range(0..4) == 0).then(|| Duration::from_millis(rng.random_range(0..5000))),
            questions,
        }
    }

    fn play(self) -> Findings {
        in_paused_time(self.carry_out())
    }
}

/// How often each question was handled.
#[derive(Clone, Default)]
struct Handled {
    times: Arc<Mutex<BTreeMap<u64, u32>>>,
    /// An answer found no capacity for the write timeout, and was not sent.
    has_failed: Arc<AtomicBool>,
}

impl Handled {
    fn note(&self, number: u64) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner).entry(number).or_default() += 1;
    }

    fn note_error(&self, failure: &Failure) {
        if let Failure::Reply(_) = failure {
            self.has_failed.store(true, Ordering::Relaxed);
        }
    }
}

fn frame(event: &str, content: &impl serde::Serialize) -> Frame {
    Frame::new(event, content).expect("JSON takes it")
}

/// Handlers of either side; those of `$peer` may ask back.
macro_rules! handlers {
    ($builder:expr, $handled:expr, $peer:ty) => {{
        let noted = $handled.clone();
        $builder
            .with_state($handled.clone())
            .on(
                "one",
                async |State(handled): State<Handled>, Decoded((number, millis)): Decoded<(u64, u64)>| {
                    handled.note(number);
                    sleep(Duration::from_millis(millis)).await;
                    frame("answer", &number)
                },
            )
            .on("error", async |State(handled): State<Handled>, Decoded(number): Decoded<u64>| {
                handled.note(number);
                Err::<(), _>(ErrorAnswer::new(number.to_string(), ""))
            })
            .on(
                "stream",
                async |State(handled): State<Handled>, Decoded((number, n)): Decoded<(u64, u64)>| {
                    handled.note(number);
                    Streamed(stream::iter(1..=n).map(|i| frame("item", &i)))
                },
            )
            .on(
                "relay",
                async |peer: $peer, State(handled): State<Handled>, Decoded(number): Decoded<u64>| {
                    handled.note(number);
                    let back = peer.ask(&frame("echo", &number)).timeout(PATIENCE).await?;
                    Ok::<_, BoxError>(frame("answer", &back.decode::<u64>()?))
                },
            )
            .on("echo", async |Decoded(number): Decoded<u64>| frame("echoed", &number))
            .on_error(move |_, error| {
                noted.note_error(error.failure());
                std::future::ready(())
            })
            .build()
            .expect("each event has one handler")
    }};
}

impl Question {
    fn frame(&self) -> Frame {
        let number = self.number;
        match self.kind {
            Kind::One => frame("one", &(number, number * 7 % 400)),
            Kind::Error => frame("error", &number),
            Kind::Stream(n) => frame("stream", &(number, n)),
            Kind::Relay => frame("relay", &number),
        }
    }

    /// The fault of the answers, if there is one. `Ok(false)` if the session was lost.
    fn judge(&self, answers: &[Result<Frame, AskError>]) -> Result<bool, String> {
        let lost = |error: &AskError| {
            matches!(error, AskError::SessionLost | AskError::Ended | AskError::NotSent(SendError::Closed))
        };
        let is_lost = match answers.last() {
            Some(Err(error)) if lost(error) => true,
            // The peer's own question was lost with the session.
            Some(Err(AskError::Answer(error))) if self.kind == Kind::Relay => error.code() == "internal",
            _ => false,
        };
        let items: Vec<u64> =
            answers.iter().filter_map(|answer| answer.as_ref().ok()?.decode().ok()).collect();
        let code = match answers {
            [Err(AskError::Answer(error))] => Some(error.code().to_owned()),
            _ => None,
        };
        let expected: Vec<u64> = match self.kind {
            Kind::One | Kind::Relay => vec![self.number],
            Kind::Error => vec![],
            Kind::Stream(n) => (1..=n).collect(),
        };
        if is_lost {
            return if expected.starts_with(&items) { Ok(false) } else { Err(format!("{answers:?}")) };
        }
        let is_right = items == expected
            && answers.len() == expected.len().max(1)
            && (self.kind != Kind::Error || code == Some(self.number.to_string()));
        if is_right { Ok(true) } else { Err(format!("{answers:?}")) }
    }
}

impl Questions {
    async fn carry_out(self) -> Findings {
        let (of_server, of_client) = (Handled::default(), Handled::default());
        let router = handlers!(router::Router::builder(), of_server, Connection);
        let server = Server::builder(connect).router(router).send_buffer(self.buffer);
        let server = server.build().expect("the options are in their ranges");
        let line = Line::to(&server);
        let client = line.client("/?id=ada").connect().await.expect("dials are served");
        let sender = client.sender();
        let router = handlers!(client_router::Router::builder(), of_client, rejoin_client::Sender);
        let receiving = tokio::spawn(receive(client, router));
        for direction in Direction::BOTH {
            line.set_latency(direction, self.latency);
        }
        line.cut_at_random(self.seed, self.cuts);

        let asking = self.questions.iter().cloned().map(|question| {
            let (sender, server) = (sender.clone(), server.clone());
            tokio::spawn(async move {
                sleep(question.at).await;
                let frame = question.frame();
                let gives_up = question.gives_up.unwrap_or(PATIENCE);
                let answers = if question.by_server {
                    // No connection while the client is away for too long.
                    let Some(connection) = server.connection("ada") else { return (question, None) };
                    let answers = connection.ask_stream(&frame).timeout(PATIENCE).collect::<Vec<_>>();
                    timeout(gives_up, answers).await
                } else {
                    timeout(gives_up, sender.ask_stream(&frame).timeout(PATIENCE).collect::<Vec<_>>()).await
                };
                (question, answers.ok())
            })
        });
        let asking: Vec<_> = asking.collect();
        if let Some(at) = self.away {
            sleep(at).await;
            line.set_dials(Dials::Refused);
            line.cut();
            sleep(Duration::from_secs(40)).await;
            line.set_dials(Dials::Served);
        }
        sleep(Duration::from_secs(60)).await;
        line.heal();

        let mut findings = Findings::default();
        let mut asked = Vec::new();
        for asking in asking {
            match asking.await {
                Ok((question, answers)) => asked.extend(answers.map(|answers| (question, answers))),
                Err(_) => findings.add(Property::End, "an asker has panicked".into()),
            }
        }
        let strays = server.connection("ada").map_or(0, |ada| ada.counts().stray_answers);
        sender.close().await;
        // Cuts may keep the client from resuming for too long, too.
        let is_lost = receiving.await.unwrap_or(false);
        server.shutdown(Duration::from_secs(5)).await;
        for (question, answers) in asked {
            let answerer = if question.by_server { &of_client } else { &of_server };
            if answers.last() == Some(&Err(AskError::Timeout)) && answerer.has_failed.load(Ordering::Relaxed)
            {
                continue;
            }
            match question.judge(&answers) {
                Ok(true) => {}
                Ok(false) if is_lost => {}
                Ok(false) => {
                    findings.add(Property::NothingLostSilently, format!("{question:?}: {answers:?}"));
                }
                Err(answers) => findings.add(Property::Once, format!("{question:?}: {answers}")),
            }
        }
        for (side, handled) in [("server", of_server), ("client", of_client)] {
            for (number, times) in &*handled.times.lock().unwrap_or_else(PoisonError::into_inner) {
                if *times != 1 {
                    let text = format!("the {side} has handled question {number} {times} times");
                    findings.add(Property::Once, text);
                }
            }
        }
        let gives_up = self.questions.iter().any(|question| question.gives_up.is_some());
        if strays > 0 && !gives_up && !is_lost {
            findings.add(Property::Once, format!("{strays} answers came twice"));
        }
        findings
    }
}

/// Answers the server's questions. Returns whether the session was lost.
async fn receive(mut client: rejoin_client::Connection, router: client_router::Router) -> bool {
    let sender = client.sender();
    let mut is_lost = false;
    while let Some(event) = client.recv().await {
        match event {
            Event::Message(frame) => router.handle(&sender, frame).await,
            Event::SessionLost { .. } => is_lost = true,
            _ => {}
        }
    }
    is_lost
}

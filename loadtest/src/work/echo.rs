//! `echo`: round trips.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rejoin_client::{Connection, Event, Sender};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::window::Window;
use crate::common::{Common, rate, seconds};
use crate::counter::Counter;
use crate::error::Error;
use crate::fleet::{Failures, Fleet, is_open, part};
use crate::latency::{Latencies, Summary};
use crate::message::{Messages, Stamp};
use crate::pace::pace;
use crate::report::{Errors, Report, per_second};
use crate::run::Run;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The event that the server sends back to its sender
    #[arg(long, default_value = "echo", value_name = "EVENT")]
    echo_event: String,
    /// Approximate size of a payload, in bytes
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    size: usize,
    /// Frames of each client under way at a time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    inflight: u16,
    /// Round trips per second of all clients together, on a schedule that does not wait for answers; default: as fast as possible
    #[arg(long, value_name = "PER_SEC", value_parser = rate, conflicts_with = "inflight")]
    rate: Option<f64>,
    /// How long to run before measuring, in seconds
    #[arg(long, default_value = "1", value_name = "SECS", value_parser = seconds)]
    warmup: Duration,
    /// How long to measure, in seconds
    #[arg(long, short, default_value = "10", value_name = "SECS", value_parser = seconds)]
    duration: Duration,
}

/// State that the clients share.
struct Echo {
    run: Arc<Run>,
    messages: Messages,
    window: Window,
    /// Round-trip times of questions that were due in the window.
    latencies: Latencies,
    /// Answers that arrived in the window.
    answers: Counter,
    /// Whether any answer has arrived.
    answered: AtomicBool,
    /// Closed loop: each answer triggers the next question.
    goes_on: AtomicBool,
}

pub(crate) async fn run(options: &Options) -> Result<Report, Error> {
    let common = &options.common;
    let run = Arc::new(Run::begin(common, common.clients.into()).await?);
    let connecting = run.clone();
    let mut fleet = Fleet::connect(&run, 0..common.clients, Failures::Fatal, move |client| {
        let run = connecting.clone();
        async move { run.target.connect(client).await }
    })
    .await?;
    let echo = Arc::new(Echo {
        run: run.clone(),
        messages: Messages::new(&options.echo_event, common.codec, options.size),
        window: Window::new(),
        latencies: Latencies::new(),
        answers: Counter::default(),
        answered: AtomicBool::new(false),
        goes_on: AtomicBool::new(options.rate.is_none()),
    });
    let senders = fleet.senders();
    let mut clients = JoinSet::new();
    let inflight = if options.rate.is_some() { 0 } else { options.inflight };
    for (client, connection) in fleet.clients.drain(..) {
        clients.spawn(echo.clone().client(client, connection, inflight));
    }
    let paced = options.rate.map(|rate| echo.clone().ask_at(rate, senders.clone()));

    run.hold("warming up", options.warmup).await;
    echo.expect_an_answer().await?;
    let meter = run.meter()?;
    let began = Instant::now();
    echo.window.begin(run.now());
    run.hold("measuring", options.duration).await;
    echo.window.end(run.now());
    let time = began.elapsed();
    let cost = run.cost_since(&meter)?;

    echo.goes_on.store(false, Ordering::Relaxed);
    let mut lateness = None;
    if let Some((stop, pace)) = paced {
        stop.cancel();
        lateness = pace.await.ok();
        // If the server does not keep up, the last questions are answered late.
        run.hold("draining", LAST_ANSWERS.min(common.timeout)).await;
    }
    let connected = senders.len() as u64;
    let open = senders.iter().filter(|sender| is_open(sender)).count() as u64;
    part(senders).await;
    let mut errors = Errors::default();
    while let Some(Ok(ended)) = clients.join_next().await {
        ended.into_iter().for_each(|error| errors.add(error));
    }

    let mut report = run.report("echo");
    report.parameter("event", echo.messages.event());
    report.parameter("size", options.size);
    report.seconds("duration_seconds", time);
    match options.rate {
        Some(rate) => report.parameter("rate_per_second", rate),
        None => report.parameter("inflight", options.inflight),
    }
    let answers = echo.answers.total();
    report.count("connected", "connected", connected);
    report.count("lost_connections", "connections lost", connected - open);
    report.count("round_trips", "round trips", answers);
    report.figure("round_trips_per_second", "rate", per_second(answers, time), "per s");
    report.errors(&errors);
    report.cost(&cost, answers, "round trip");
    report.latency("round_trip", "round trip", echo.latencies.summary());
    if let Some(pace) = lateness {
        report.latency("sent_late", "sent late by", Summary::of(&pace.late));
    }
    Ok(report)
}

/// How long to wait for the last answers.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

impl Echo {
    /// Receives answers until the connection ends. Returns the reason, unless we closed it.
    async fn client(
        self: Arc<Self>,
        client: u32,
        mut connection: Connection,
        inflight: u16,
    ) -> Option<String> {
        let sender = connection.sender();
        let mut sent = 0;
        for _ in 0..inflight {
            self.ask(&sender, client, &mut sent, self.run.now());
        }
        while let Some(event) = connection.recv().await {
            let frame = match event {
                Event::Message(frame) => frame,
                Event::Closed(closed) => return Some(closed.reason.to_string()),
                _ => continue,
            };
            // The server's own frames are not answers.
            let Some(stamp) = Stamp::of(&frame).filter(|stamp| stamp.p == client) else { continue };
            let now = self.run.now();
            self.answered.store(true, Ordering::Relaxed);
            if self.window.has(stamp.t) {
                self.latencies.record(client, now.saturating_sub(stamp.t));
            }
            if self.window.has(now) {
                self.answers.add(client);
            }
            if self.goes_on.load(Ordering::Relaxed) {
                self.ask(&sender, client, &mut sent, now);
            }
        }
        None
    }

    /// Sends a question. Ignores a failed send: either the connection has ended, which `client` reports, or its buffer is full of
    /// questions that the server does not read.
    fn ask(&self, sender: &Sender, client: u32, sent: &mut u64, at: u64) {
        *sent += 1;
        if let Ok(frame) = self.messages.frame(Stamp { t: at, s: *sent, p: client }) {
            sender.send(&frame).ok();
        }
    }

    /// Sends questions on a schedule, one client after the other.
    fn ask_at(
        self: Arc<Self>,
        rate: f64,
        senders: Vec<Sender>,
    ) -> (CancellationToken, tokio::task::JoinHandle<crate::pace::Pace>) {
        let stop = self.run.stop.child_token();
        let clients = senders.len() as u64;
        let pace = pace(Instant::now(), rate, stop.clone(), move |k, intended| {
            let client = (k % clients) as u32;
            let mut sent = k / clients;
            self.ask(&senders[client as usize], client, &mut sent, self.run.nanos(intended));
        });
        (stop, pace)
    }

    /// # Errors
    /// Fails when no answer arrives in time, because the server does not send this event back.
    async fn expect_an_answer(&self) -> Result<(), Error> {
        let patience = Instant::now() + self.run.common.timeout;
        while !self.answered.load(Ordering::Relaxed) && !self.run.stop.is_cancelled() {
            if Instant::now() > patience {
                return Err(Error::failed(format!(
                    "no answer to the event {:?} within {:?}: does the server send frames of this event back, payload unchanged? \
                     --echo-event names another",
                    self.messages.event(),
                    self.run.common.timeout
                )));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

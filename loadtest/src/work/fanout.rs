//! `fanout`: one client in each room publishes, and all members measure the delivery.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rejoin_client::{Connection, Event, Sender};
use serde_json::json;
use tokio::task::JoinSet;

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
use crate::sequence::{Counts, Sequence};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The event that the server broadcasts to the sender's room
    #[arg(long, default_value = "pub", value_name = "EVENT")]
    publish_event: String,
    /// Approximate size of a payload, in bytes
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    size: usize,
    /// Messages per second, in all rooms together, on a schedule that does not wait
    #[arg(long, default_value = "40", value_name = "PER_SEC", value_parser = rate)]
    rate: f64,
    /// How long to publish before measuring, in seconds
    #[arg(long, default_value = "1", value_name = "SECS", value_parser = seconds)]
    warmup: Duration,
    /// How long to measure, in seconds
    #[arg(long, short, default_value = "10", value_name = "SECS", value_parser = seconds)]
    duration: Duration,
    /// How long to wait for the last deliveries, in seconds
    #[arg(long, default_value = "5", value_name = "SECS", value_parser = seconds)]
    drain: Duration,
}

/// State that the members share.
struct Fanout {
    run: Arc<Run>,
    window: Window,
    /// Delivery times of messages that were due in the window.
    latencies: Latencies,
    /// Deliveries in the window.
    in_window: Counter,
    /// All deliveries.
    deliveries: Counter,
    /// Frames reported as gaps, which will not arrive.
    missed: Counter,
}

/// A member's observations, complete when its connection ends.
struct Seen {
    client: u32,
    sequence: Sequence,
    /// Frames that the server reported as gaps.
    missed: u64,
    ended: Option<String>,
}

pub(crate) async fn run(options: &Options) -> Result<Report, Error> {
    let common = &options.common;
    if common.rooms > common.clients {
        return Err(Error::usage("--rooms: expected at most as many rooms as --clients"));
    }
    let run = Arc::new(Run::begin(common, common.clients.into()).await?);
    let connecting = run.clone();
    let mut fleet = Fleet::connect(&run, 0..common.clients, Failures::Fatal, move |client| {
        let run = connecting.clone();
        async move { run.target.connect(client).await }
    })
    .await?;
    let fanout = Arc::new(Fanout {
        run: run.clone(),
        window: Window::new(),
        latencies: Latencies::new(),
        in_window: Counter::default(),
        deliveries: Counter::default(),
        missed: Counter::default(),
    });
    let senders = fleet.senders();
    let connected = senders.len() as u64;
    let mut members = JoinSet::new();
    for (client, connection) in fleet.clients.drain(..) {
        members.spawn(fanout.clone().member(client, connection));
    }
    let rooms = common.rooms.min(senders.len() as u32);
    let publishers = senders[..rooms as usize].to_vec();
    let publishing = Publishing::begin(
        &run,
        publishers,
        Messages::new(&options.publish_event, common.codec, options.size),
        options.rate,
    );

    run.hold("warming up", options.warmup).await;
    fanout.expect_a_delivery(&options.publish_event).await?;
    let meter = run.meter()?;
    let began = Instant::now();
    fanout.window.begin(run.now());
    run.hold("measuring", options.duration).await;
    fanout.window.end(run.now());
    let time = began.elapsed();
    let cost = run.cost_since(&meter)?;
    let published = publishing.end().await?;
    fanout.drain(&published.sent, connected, options.drain).await;
    let open = senders.iter().filter(|sender| is_open(sender)).count() as u64;
    part(senders).await;

    let (mut counts, mut missed, mut errors) = (Counts::default(), 0, Errors::default());
    let mut publishers_get_theirs = false;
    while let Some(Ok(seen)) = members.join_next().await {
        let room = run.target.room_of(seen.client);
        let publishes = seen.client < rooms;
        publishers_get_theirs |= publishes && seen.sequence.last() > 0;
        // A server may or may not send to the publisher itself.
        if !publishes || seen.sequence.last() > 0 {
            counts += seen.sequence.of(published.sent[room as usize]);
        }
        missed += seen.missed;
        seen.ended.into_iter().for_each(|why| errors.add(why));
    }
    let mut report = run.report("fanout");
    report.parameter("event", options.publish_event.as_str());
    report.parameter("size", options.size);
    report.parameter("rate_per_second", options.rate);
    report.seconds("duration_seconds", time);
    let in_window = fanout.in_window.total();
    report.count("connected", "connected", connected);
    report.count("lost_connections", "connections lost", connected - open);
    report.count("published", "published", published.sent.iter().sum());
    report.count("not_accepted", "not accepted by the publishers' own buffers", published.not_accepted);
    report.count("delivered", "delivered once and in order", counts.once);
    report.count("repeated", "repeated, or out of order", counts.repeated);
    report.count("lost", "lost", counts.lost);
    report.count("lost_and_reported", "of these, reported by the server as gaps", missed);
    report.parts("publishers_get_their_own", json!(publishers_get_theirs));
    report.figure("deliveries_per_second", "rate of deliveries", per_second(in_window, time), "per s");
    report.errors(&errors);
    report.cost(&cost, in_window, "delivery");
    report.latency("delivery", "delivery", fanout.latencies.summary());
    report.latency("sent_late", "sent late by", Summary::of(&published.late));
    Ok(report)
}

impl Fanout {
    async fn member(self: Arc<Self>, client: u32, mut connection: Connection) -> Seen {
        let mut seen = Seen { client, sequence: Sequence::default(), missed: 0, ended: None };
        let room = self.run.target.room_of(client);
        while let Some(event) = connection.recv().await {
            let frame = match event {
                Event::Message(frame) => frame,
                Event::Gap(gap) => {
                    seen.missed += gap.frames();
                    self.missed.add_many(client, gap.frames());
                    continue;
                }
                Event::Closed(closed) => {
                    seen.ended = Some(closed.reason.to_string());
                    break;
                }
                _ => continue,
            };
            let Some(stamp) = Stamp::of(&frame).filter(|stamp| stamp.p == room) else { continue };
            let now = self.run.now();
            if !seen.sequence.came(stamp.s) {
                continue;
            }
            self.deliveries.add(client);
            if self.window.has(stamp.t) {
                self.latencies.record(client, now.saturating_sub(stamp.t));
            }
            if self.window.has(now) {
                self.in_window.add(client);
            }
        }
        seen
    }

    /// # Errors
    /// Fails when no delivery arrives in time, because the server does not broadcast this event.
    async fn expect_a_delivery(&self, event: &str) -> Result<(), Error> {
        let patience = Instant::now() + self.run.common.timeout;
        while self.deliveries.total() == 0 && !self.run.stop.is_cancelled() {
            if Instant::now() > patience {
                return Err(Error::failed(format!(
                    "no client got a message of the event {event:?} within {:?}: does the server broadcast frames of this event to the \
                     sender's room, payload unchanged? --publish-event names another",
                    self.run.common.timeout
                )));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Waits until every member has every message, or until the patience ends.
    async fn drain(&self, sent: &[u64], members: u64, patience: Duration) {
        let room_of = |client: u64| sent[(client % sent.len() as u64) as usize];
        // Publishers are not counted, because they may get no messages.
        let least: u64 = (sent.len() as u64..members).map(room_of).sum();
        let patience = Instant::now() + patience;
        let mut seen = self.deliveries.total() + self.missed.total();
        while Instant::now() < patience && !self.run.stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = self.deliveries.total() + self.missed.total();
            if now >= least && now == seen {
                break;
            }
            seen = now;
        }
    }
}

/// Running publishers, one for each room.
pub(super) struct Publishing {
    stop: tokio_util::sync::CancellationToken,
    sent: Arc<[AtomicU64]>,
    not_accepted: Arc<AtomicU64>,
    pace: tokio::task::JoinHandle<crate::pace::Pace>,
}

/// Published messages.
pub(super) struct Published {
    /// The count for each room.
    pub(super) sent: Vec<u64>,
    pub(super) not_accepted: u64,
    pub(super) late: hdrhistogram::Histogram<u64>,
}

impl Publishing {
    /// Publishes at a rate, in one room after the other.
    pub(super) fn begin(run: &Arc<Run>, publishers: Vec<Sender>, messages: Messages, rate: f64) -> Self {
        let stop = run.stop.child_token();
        let sent: Arc<[AtomicU64]> = publishers.iter().map(|_| AtomicU64::new(0)).collect();
        let not_accepted = Arc::new(AtomicU64::new(0));
        let (run, counts, refused) = (run.clone(), sent.clone(), not_accepted.clone());
        let pace = pace(Instant::now(), rate, stop.clone(), move |k, intended| {
            let room = (k % publishers.len() as u64) as usize;
            let number = counts[room].load(Ordering::Relaxed) + 1;
            let stamp = Stamp { t: run.nanos(intended), s: number, p: room as u32 };
            let accepted = messages.frame(stamp).is_ok_and(|frame| publishers[room].send(&frame).is_ok());
            // A refused message does not use up its number.
            if accepted {
                counts[room].store(number, Ordering::Relaxed)
            } else {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, sent, not_accepted, pace }
    }

    /// # Errors
    /// None, unless the schedule panics.
    pub(super) async fn end(self) -> Result<Published, Error> {
        self.stop.cancel();
        let pace = self.pace.await.map_err(|error| Error::failed(error.to_string()))?;
        Ok(Published {
            sent: self.sent.iter().map(|sent| sent.load(Ordering::Relaxed)).collect(),
            not_accepted: self.not_accepted.load(Ordering::Relaxed),
            late: pace.late,
        })
    }
}

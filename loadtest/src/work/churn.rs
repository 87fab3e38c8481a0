//! `churn`: clients that connect and disconnect at a rate.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rejoin_client::{ConnectError, Connection};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::common::{Common, rate, seconds};
use crate::error::{Error, explain};
use crate::fleet::{Failures, Fleet, part};
use crate::latency::{Latencies, Summary};
use crate::pace::pace;
use crate::report::{Errors, Report, per_second};
use crate::run::Run;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Clients replaced per second, the oldest first, on a schedule that does not wait
    #[arg(long, default_value = "100", value_name = "PER_SEC", value_parser = rate)]
    rate: f64,
    /// How clients leave
    #[arg(long, value_enum, default_value_t = Leave::Close)]
    leave: Leave,
    /// How long to measure, in seconds
    #[arg(long, short, default_value = "10", value_name = "SECS", value_parser = seconds)]
    duration: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Leave {
    /// With a close frame, which ends the session
    Close,
    /// Without a close frame: the session is suspended for its window
    Vanish,
}

/// A client's number, the time since its handshake was due, and the outcome.
type Arrival = (u32, Duration, Result<Connection, ConnectError>);

pub(crate) async fn run(options: &Options) -> Result<Report, Error> {
    let common = &options.common;
    // Arriving and leaving clients overlap.
    let under_way = u64::from(common.concurrency) * 2;
    let run = Arc::new(Run::begin(common, u64::from(common.clients) + under_way).await?);
    let connecting = run.clone();
    let fleet = Fleet::connect(&run, 0..common.clients, Failures::Fatal, move |client| {
        let run = connecting.clone();
        async move { run.target.connect(client).await }
    })
    .await?;

    let meter = run.meter()?;
    let began = Instant::now();
    let stop = run.stop.child_token();
    let (ticks, mut due) = mpsc::unbounded_channel();
    let pace = pace(began, options.rate, stop.clone(), move |_, intended| {
        ticks.send(intended).ok();
    });
    let mut churn = Churn::new(&run, options.leave, fleet);
    let measured = async {
        loop {
            tokio::select! {
                Some(intended) = due.recv(), if churn.has_capacity() => churn.replace(intended),
                Some(arrival) = churn.arriving.join_next() => churn.arrived(arrival),
                Some(_) = churn.leaving.join_next() => {}
                else => break,
            }
        }
    };
    tokio::select! {
        _ = run.hold("measuring", options.duration) => {}
        () = measured => {}
    }
    let time = began.elapsed();
    let cost = run.cost_since(&meter)?;
    stop.cancel();
    let late = pace.await.map_err(|error| Error::failed(error.to_string()))?.late;
    let waiting = due.len() as u64;

    let mut report = run.report("churn");
    report.parameter("rate_per_second", options.rate);
    report.parameter("concurrency", common.concurrency);
    report.seconds("duration_seconds", time);
    let came = churn.latencies.count();
    report.count("connected", "connected at the end", churn.here.len() as u64);
    report.count("came", "arrived", came);
    report.count("left", "left", churn.left);
    report.figure("replaced_per_second", "rate", per_second(came, time), "per s");
    report.count("not_begun", "not started in time", waiting);
    if waiting > 0 {
        report.note("the server does not keep up with --rate, or --concurrency is too small for it");
    }
    report.errors(&churn.errors);
    report.cost(&cost, came, "replacement");
    report.latency("handshake", "handshake, from due time", churn.latencies.summary());
    report.latency("begun_late", "scheduled late by", Summary::of(&late));
    part(churn.here.iter().map(Connection::sender).collect()).await;
    Ok(report)
}

/// The state of the replacement.
struct Churn {
    run: Arc<Run>,
    leave: Leave,
    /// Connected clients, the oldest first.
    here: VecDeque<Connection>,
    arriving: JoinSet<Arrival>,
    leaving: JoinSet<()>,
    /// The number of the next client.
    next: u32,
    left: u64,
    latencies: Latencies,
    errors: Errors,
}

impl Churn {
    fn new(run: &Arc<Run>, leave: Leave, fleet: Fleet) -> Self {
        Self {
            run: run.clone(),
            leave,
            next: run.common.clients,
            here: fleet.clients.into_iter().map(|(_, connection)| connection).collect(),
            arriving: JoinSet::new(),
            leaving: JoinSet::new(),
            left: 0,
            latencies: Latencies::new(),
            errors: Errors::default(),
        }
    }

    fn has_capacity(&self) -> bool {
        let most = self.run.common.concurrency as usize;
        self.arriving.len() < most && self.leaving.len() < most
    }

    /// Replaces the oldest client by a new one.
    fn replace(&mut self, intended: Instant) {
        if let Some(oldest) = self.here.pop_front() {
            self.left += 1;
            match self.leave {
                Leave::Close => drop(self.leaving.spawn(async move { drop(oldest.close().await) })),
                Leave::Vanish => drop(oldest),
            }
        }
        let (run, client) = (self.run.clone(), self.next);
        self.next = self.next.wrapping_add(1);
        self.arriving.spawn(async move {
            let connected = run.target.connect(client).await;
            (client, intended.elapsed(), connected)
        });
    }

    fn arrived(&mut self, arrival: Result<Arrival, tokio::task::JoinError>) {
        match arrival {
            Ok((client, time, Ok(connection))) => {
                self.latencies.record_time(client, time);
                self.here.push_back(connection);
            }
            Ok((_, _, Err(error))) => self.errors.add(explain(&error)),
            Err(error) => self.errors.add(error.to_string()),
        }
    }
}

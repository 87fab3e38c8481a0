//! `resume-storm`: cuts all sockets at once, and lets all clients resume.

mod member;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rejoin_client::Sender;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::member::{Member, Seen, Storm};
use super::fanout::Publishing;
use crate::cable::{Cable, Cut};
use crate::common::{Common, rate, seconds};
use crate::error::Error;
use crate::fleet::{Failures, Fleet, part};
use crate::message::Messages;
use crate::process::Cost;
use crate::report::{Errors, Report, per_second};
use crate::run::Run;
use crate::sequence::Counts;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// What the server sees of the cut
    #[arg(long, value_enum, default_value_t = Cut::Reset)]
    cut: Cut,
    /// How long dials are held back after the cut, in seconds, so that all clients dial at once; at most 60
    #[arg(long, default_value = "1", value_name = "SECS", value_parser = seconds)]
    away: Duration,
    /// The longest wait of a client before its first dial, in seconds; each waits a random half to whole of it
    #[arg(long, default_value = "0.5", value_name = "SECS", value_parser = seconds)]
    backoff: Duration,
    /// How long to wait for all clients to resume, in seconds
    #[arg(long, default_value = "60", value_name = "SECS", value_parser = seconds)]
    patience: Duration,
    /// Messages per second in all rooms together, before, during and after the cut, from one client per room that is not cut
    #[arg(long, default_value = "10", value_name = "PER_SEC", value_parser = rate)]
    rate: f64,
    /// Do not publish
    #[arg(long)]
    no_publish: bool,
    /// The event that the server broadcasts to the sender's room
    #[arg(long, default_value = "pub", value_name = "EVENT")]
    publish_event: String,
    /// Frames that each client sends while it is away, which must come back once and in order; 0 for none
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(..=128))]
    echoes: u16,
    /// The event that the server sends back to its sender
    #[arg(long, default_value = "echo", value_name = "EVENT")]
    echo_event: String,
    /// Approximate size of a payload, in bytes
    #[arg(long, default_value_t = 128, value_name = "BYTES")]
    size: usize,
    /// How long to wait for the last deliveries, in seconds
    #[arg(long, default_value = "5", value_name = "SECS", value_parser = seconds)]
    drain: Duration,
}

/// How long messages flow before the cut, so that the cut interrupts traffic.
const BEFORE: Duration = Duration::from_millis(500);

pub(crate) async fn run(options: &Options) -> Result<Report, Error> {
    let common = &options.common;
    check(options)?;
    // Silently cut sockets stay open.
    let each = if options.cut == Cut::Silent { 2 } else { 1 };
    let sockets = u64::from(common.clients) * each + u64::from(common.rooms);
    let run = Arc::new(Run::begin(common, sockets).await?);
    if common.plain && !run.target.has("{client}") {
        return Err(Error::usage(
            "--plain: expected {client} in the URL or in a --header, because a plain session is resumed by its connection ID",
        ));
    }
    let publishers = if options.no_publish { Vec::new() } else { publishers(&run).await? };
    let (away, gate) = watch::channel(false);
    let cables: Arc<[Arc<Cable>]> =
        (0..common.clients).map(|_| Arc::new(Cable::new(options.cut, gate.clone(), run.epoch))).collect();
    let mut fleet = connect(&run, options, &cables).await?;
    let senders = fleet.senders();
    let storm = Arc::new(Storm::new(
        &run,
        Messages::new(&options.echo_event, common.codec, options.size),
        options.echoes,
    ));
    let mut members = JoinSet::new();
    for (client, connection) in fleet.clients.drain(..) {
        let cable = cables[client as usize].clone();
        members.spawn(Member::new(storm.clone(), client, cable).live(connection));
    }
    let messages = Messages::new(&options.publish_event, common.codec, options.size);
    let publishing =
        (!publishers.is_empty()).then(|| Publishing::begin(&run, publishers.clone(), messages, options.rate));

    run.hold("publishing", BEFORE).await;
    let meter = run.meter()?;
    away.send_replace(true);
    for cable in &*cables {
        cable.cut();
    }
    run.hold("away", options.away).await;
    // From here on the time is the server's and the clients' backoff.
    storm.open(run.now());
    let began = Instant::now();
    away.send_replace(false);
    storm.wait_for_all(senders.len() as u64, options.patience).await;
    let time = began.elapsed();
    let cost = run.cost_since(&meter)?;

    let (published, not_accepted) = match publishing {
        Some(publishing) => {
            publishing.end().await.map(|published| (published.sent, published.not_accepted))?
        }
        None => (Vec::new(), 0),
    };
    storm.drain(&published, senders.len() as u64, options.drain).await;
    part(senders).await;
    part(publishers).await;
    let mut outcome = Outcome::of(&mut members, &run, &published, options).await;
    outcome.not_accepted = not_accepted;

    Ok(report(&run, options, &storm, &outcome, time, &cost))
}

fn report(
    run: &Run,
    options: &Options,
    storm: &Storm,
    outcome: &Outcome,
    time: Duration,
    cost: &Cost,
) -> Report {
    let mut report = run.report("resume-storm");
    report.parameter("cut", format!("{:?}", options.cut).to_lowercase());
    report.seconds("away_seconds", options.away);
    report.seconds("backoff_seconds", options.backoff);
    let back = storm.back.total();
    report.count("clients", "clients", outcome.clients);
    report.count("resumed", "back, session resumed", back.saturating_sub(outcome.fresh));
    report.count("sessions_lost", "back, session lost", outcome.fresh);
    report.count("not_back", "not back", outcome.clients.saturating_sub(back));
    report.figure("all_back_after_seconds", "all back after", time.as_secs_f64(), "s");
    report.figure("resumes_per_second", "rate", per_second(back, time), "per s");
    if !options.no_publish {
        report.count("not_accepted", "not accepted by the publishers' own buffers", outcome.not_accepted);
        counts(
            &mut report,
            ["published_once", "published_repeated", "published_lost"],
            "published",
            outcome.published,
        );
        report.count(
            "published_lost_and_reported",
            "of these, reported by the server as gaps",
            outcome.missed,
        );
    }
    if options.echoes > 0 {
        counts(
            &mut report,
            ["echoes_once", "echoes_repeated", "echoes_lost"],
            "sent while away",
            outcome.echoes,
        );
    }
    report.errors(&outcome.errors);
    report.cost(cost, back, "client");
    report.latency("back", "back, from the release of dials", storm.back_after.summary());
    report.latency("dial", "of that, the last dial", storm.dials.summary());
    if run.common.plain {
        report.note(
            "in plain mode a client cannot see whether its session was resumed, and frames written to a dead socket are lost",
        );
    }
    if storm.dials.summary().max_us > 1e6 {
        report.note(
            "some dials took a second or more: when a server's accept queue is full, TCP retries after a second; a longer queue (listen's \
             backlog, net.core.somaxconn) or a longer --backoff helps",
        );
    }
    if !options.no_publish && outcome.published.once == 0 {
        report.note("no published message arrived: set --publish-event to an event that the server broadcasts, or use --no-publish");
    }
    if options.echoes > 0 && outcome.echoes.once == 0 {
        report.note("no sent frame came back: set --echo-event to an event that the server sends back, or use --echoes 0");
    }
    report
}

fn check(options: &Options) -> Result<(), Error> {
    if options.away > Duration::from_secs(60) {
        return Err(Error::usage("--away: expected at most 60 seconds"));
    }
    if options.backoff.is_zero() || options.backoff > Duration::from_secs(60) {
        return Err(Error::usage("--backoff: expected more than 0 and at most 60 seconds"));
    }
    Ok(())
}

fn counts(report: &mut Report, keys: [&'static str; 3], what: &str, counts: Counts) {
    report.count(keys[0], &format!("{what}: arrived once and in order"), counts.once);
    report.count(keys[1], &format!("{what}: repeated, or out of order"), counts.repeated);
    report.count(keys[2], &format!("{what}: lost"), counts.lost);
}

/// Connects a publisher for each room, whose socket is not cut. Their numbers follow those of the members.
async fn publishers(run: &Arc<Run>) -> Result<Vec<Sender>, Error> {
    let common = &run.common;
    let connecting = run.clone();
    // The first number after the members' that is in room 0.
    let first = common.clients.next_multiple_of(common.rooms);
    let fleet = Fleet::connect(run, first..first + common.rooms, Failures::Fatal, move |client| {
        let run = connecting.clone();
        async move { run.target.connect(client).await }
    })
    .await?;
    let senders = fleet.senders();
    for (_, mut connection) in fleet.clients {
        // Their own messages may come back to them. Read those, or acknowledgements would wait behind them.
        tokio::spawn(async move { while connection.recv().await.is_some() {} });
    }
    Ok(senders)
}

async fn connect(run: &Arc<Run>, options: &Options, cables: &Arc<[Arc<Cable>]>) -> Result<Fleet, Error> {
    let (connecting, cables) = (run.clone(), cables.clone());
    // Dials wait while the client is away.
    let timeout = (run.common.timeout + options.away).min(Duration::from_secs(120));
    let backoff = options.backoff;
    Fleet::connect(run, 0..run.common.clients, Failures::Fatal, move |client| {
        let builder = connecting
            .target
            .on_cable(client, cables[client as usize].clone())
            .reconnect(backoff, backoff.max(Duration::from_secs(30)))
            .handshake_timeout(timeout);
        builder.connect()
    })
    .await
}

/// The observations of all members.
struct Outcome {
    clients: u64,
    /// Clients that came back to a fresh session.
    fresh: u64,
    published: Counts,
    /// Refused by the publishers' own buffers.
    not_accepted: u64,
    echoes: Counts,
    /// Frames that the server reported as gaps.
    missed: u64,
    errors: Errors,
}

impl Outcome {
    async fn of(members: &mut JoinSet<Seen>, run: &Run, published: &[u64], options: &Options) -> Self {
        let mut outcome = Self {
            clients: 0,
            fresh: 0,
            published: Counts::default(),
            not_accepted: 0,
            echoes: Counts::default(),
            missed: 0,
            errors: Errors::default(),
        };
        while let Some(Ok(seen)) = members.join_next().await {
            outcome.clients += 1;
            outcome.fresh += u64::from(seen.fresh);
            outcome.missed += seen.missed;
            if let Some(sent) = published.get(run.target.room_of(seen.client) as usize) {
                outcome.published += seen.published.of(*sent);
            }
            if options.echoes > 0 {
                outcome.echoes += seen.echoes.of(seen.asked);
            }
            seen.ended.into_iter().for_each(|why| outcome.errors.add(why));
        }
        outcome
    }
}

//! `idle`: clients that do nothing, and the cost of each.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Common, seconds};
use crate::error::Error;
use crate::fleet::{Failures, Fleet, is_open, part};
use crate::report::Report;
use crate::run::Run;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How long to hold all clients after --settle, in seconds; the server's CPU time meanwhile is that of heartbeats
    #[arg(long, default_value = "10", value_name = "SECS", value_parser = seconds)]
    hold: Duration,
    /// How long to wait after the last handshake before measuring memory, in seconds
    #[arg(long, default_value = "1", value_name = "SECS", value_parser = seconds)]
    settle: Duration,
}

pub(crate) async fn run(options: &Options) -> Result<Report, Error> {
    let common = &options.common;
    let run = Arc::new(Run::begin(common, common.clients.into()).await?);
    let before = run.meter()?;
    let connecting = run.clone();
    let fleet = Fleet::connect(&run, 0..common.clients, Failures::Fatal, move |client| {
        let run = connecting.clone();
        async move { run.target.connect(client).await }
    })
    .await?;
    run.hold("settling", options.settle).await;
    let connecting = run.cost_since(&before)?;
    let meter = run.meter()?;
    run.hold("holding", options.hold).await;
    let cost = run.cost_since(&meter)?;

    let mut report = run.report("idle");
    report.seconds("hold_seconds", options.hold);
    let connected = fleet.clients.len() as u64;
    let open = fleet.clients.iter().filter(|(_, connection)| is_open(&connection.sender())).count() as u64;
    report.count("connected", "connected", connected);
    report.count("lost", "lost while held", connected - open);
    report.cost(&cost, 0, "");
    if let Some(server) = &connecting.server {
        let growth = server.memory_after.saturating_sub(server.memory_before) as f64;
        let each = growth / connected as f64;
        report.figure("server_memory_bytes_per_connection", "server: memory per connection", each, "B");
        report.note(
            "memory per connection is the growth of the server's resident memory: restart the server for each run, because it reuses \
             memory of earlier connections; the kernel's socket buffers are not included",
        );
    } else {
        report.note("use --pid to add the server's memory per connection");
    }
    report.latency("handshake", "handshake", fleet.handshakes.summary());
    part(fleet.senders()).await;
    Ok(report)
}

//! `connect`: handshakes per second.

use std::sync::Arc;

use crate::common::Common;
use crate::error::Error;
use crate::fleet::{Failures, Fleet, part};
use crate::report::{Report, per_second};
use crate::run::Run;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
}

pub(crate) async fn run(options: &Options) -> Result<Report, Error> {
    let common = &options.common;
    let run = Arc::new(Run::begin(common, common.clients.into()).await?);
    let meter = run.meter()?;
    let connecting = run.clone();
    let fleet = Fleet::connect(&run, 0..common.clients, Failures::Counted, move |client| {
        let run = connecting.clone();
        async move { run.target.connect(client).await }
    })
    .await?;
    let cost = run.cost_since(&meter)?;

    let mut report = run.report("connect");
    report.parameter("concurrency", common.concurrency);
    let connected = fleet.clients.len() as u64;
    report.count("connected", "connected", connected);
    report.figure("handshakes_per_second", "rate", per_second(connected, fleet.time), "per s");
    report.errors(&fleet.errors);
    report.cost(&cost, connected, "handshake");
    report.latency("handshake", "handshake", fleet.handshakes.summary());
    part(fleet.senders()).await;
    Ok(report)
}

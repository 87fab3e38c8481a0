//! [`Run`]: the context of a work: target, clock, monitored processes, and cancellation.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::common::Common;
use crate::error::Error;
use crate::limits;
use crate::process::{Cost, Process, ServerCost, Usage};
use crate::progress::Progress;
use crate::report::Report;
use crate::target::Target;

/// The context of a work.
pub(crate) struct Run {
    pub(crate) common: Common,
    pub(crate) target: Target,
    /// Cancelled by Ctrl-C.
    pub(crate) stop: CancellationToken,
    /// The time from which stamps count.
    pub(crate) epoch: Instant,
    server: Option<Process>,
    own: Option<Process>,
}

impl Run {
    /// Checks the arguments and limits before connecting, for a work that needs this number of sockets.
    ///
    /// # Errors
    /// Fails for invalid arguments, and if there are not enough descriptors.
    pub(crate) async fn begin(common: &Common, sockets: u64) -> Result<Self, Error> {
        let server = common.pid.map(Process::new).transpose()?;
        limits::fit(sockets)?;
        let target = Target::new(common).await?;
        let stop = CancellationToken::new();
        tokio::spawn(interrupted(stop.clone()));
        let own = Process::own();
        Ok(Self { common: common.clone(), target, stop, epoch: Instant::now(), server, own })
    }

    /// Converts a time to nanoseconds since the epoch.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The current time in nanoseconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        self.nanos(Instant::now())
    }

    /// Waits. Returns `false` if interrupted.
    pub(crate) async fn hold(&self, what: &'static str, time: Duration) -> bool {
        let bar = Progress::time(what, time);
        let began = Instant::now();
        let ticking = async {
            loop {
                tokio::time::sleep(TICK).await;
                bar.set(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
            () = ticking => unreachable!("it ticks forever"),
        }
    }

    /// Starts measuring the processes' usage.
    ///
    /// # Errors
    /// Fails when the server's process has ended.
    pub(crate) fn meter(&self) -> Result<Meter, Error> {
        let server = self.server.as_ref().map(Process::usage).transpose()?;
        Ok(Meter { server, own: self.own.as_ref().and_then(|own| own.usage().ok()), began: Instant::now() })
    }

    /// The processes' usage since `meter` was taken.
    ///
    /// # Errors
    /// Fails when the server's process has ended.
    pub(crate) fn cost_since(&self, meter: &Meter) -> Result<Cost, Error> {
        let now = self.meter()?;
        let server = meter.server.zip(now.server).map(|(before, after)| ServerCost {
            cpu: after.cpu.saturating_sub(before.cpu),
            memory_before: before.memory,
            memory_after: after.memory,
        });
        let own = meter.own.zip(now.own).map(|(before, after)| after.cpu.saturating_sub(before.cpu));
        Ok(Cost { time: now.began - meter.began, server, own })
    }

    /// Creates a report, with a note if the run was interrupted.
    pub(crate) fn report(&self, work: &'static str) -> Report {
        let mut report = Report::new(work, &self.common);
        if self.stop.is_cancelled() {
            report.note("interrupted: these are the figures so far");
        }
        report
    }
}

const TICK: Duration = Duration::from_millis(100);

/// The first Ctrl-C stops and reports the figures so far, the second one exits at once.
async fn interrupted(stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        stop.cancel();
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    }
}

/// The processes' usage at one time.
#[derive(Debug)]
pub(crate) struct Meter {
    server: Option<Usage>,
    own: Option<Usage>,
    began: Instant,
}

//! Kills a server process again and again under load, and checks every frame of its clients.
//!
//! The server is the test server with a store. Each client sends numbered frames that come back to it, numbered frames that go to
//! everyone in its room, and numbered frames that the server counts. Whatever happens to the process, each of them has to arrive
//! once and in order.

mod client;
mod process;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep, timeout};

use client::{Faults, Load};
use process::Process;

/// What to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Kills {
    /// The program of the test server.
    pub program: PathBuf,
    /// The store's directory.
    pub directory: PathBuf,
    /// How often the process is killed.
    pub kills: usize,
    /// The number of clients, in rooms of five.
    pub clients: usize,
    /// Decides when and how it is killed.
    pub seed: u64,
}

/// What has happened.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// Frames that clients have sent.
    pub sent: u64,
    /// Frames that clients have received.
    pub received: u64,
    /// Kills by SIGKILL, ends by SIGTERM, and pauses by SIGSTOP.
    pub killed: [usize; 3],
    /// What was lost, repeated or out of order; at most the first twenty.
    pub faults: Vec<String>,
    /// The time from a start of the process to the first frame that a client got, the longest one.
    pub longest: Duration,
}

impl Kills {
    /// Starts the server and its clients in rooms of five.
    pub fn new(program: PathBuf, directory: PathBuf) -> Self {
        Self { program, directory, kills: 20, clients: 20, seed: 1 }
    }

    /// Runs it.
    ///
    /// # Errors
    /// Fails if the server cannot be started, or if its clients do not get everything in the end.
    pub async fn run(&self) -> Result<Report, String> {
        let mut random = SmallRng::seed_from_u64(self.seed);
        let mut process = Process::start(&self.program, &self.directory, None).await?;
        let faults = Arc::new(Faults::default());
        let mut loads = Vec::new();
        for number in 0..self.clients {
            loads.push(Load::start(&process, number, self.clients, faults.clone()).await?);
        }
        let mut report = Report::default();
        for _ in 0..self.kills {
            sleep(Duration::from_millis(random.random_range(20..600))).await;
            let how = match random.random_range(0..10) {
                0 => 1,
                1 => 2,
                _ => 0,
            };
            report.killed[how] += 1;
            match how {
                0 => process.kill().await?,
                1 => process.terminate().await?,
                _ => {
                    process.pause(true)?;
                    sleep(Duration::from_millis(random.random_range(100..700))).await;
                    process.pause(false)?;
                    continue;
                }
            }
            let before = faults.received();
            let started = Instant::now();
            process = Process::start(&self.program, &self.directory, Some(process.ports())).await?;
            while faults.received() == before && started.elapsed() < Duration::from_secs(20) {
                sleep(Duration::from_millis(2)).await;
            }
            report.longest = report.longest.max(started.elapsed());
            if faults.count() > 0 {
                break;
            }
        }
        for load in &loads {
            load.stop();
        }
        let ends = async {
            let mut all = Vec::new();
            for load in &loads {
                load.has_stopped().await;
                all.push(load.said());
            }
            for load in &loads {
                load.has_all(&all).await;
                load.check_sink(&process, &faults).await;
            }
        };
        if timeout(Duration::from_secs(60), ends).await.is_err() {
            for load in &loads {
                faults.note(load.state());
            }
        }
        report.sent = loads.iter().map(Load::sent).sum();
        report.received = faults.received();
        report.faults = faults.take();
        process.kill().await?;
        Ok(report)
    }
}

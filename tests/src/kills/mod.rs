//! Kills a server process again and again under load, and checks every frame of its clients.
//!
//! The server is the test server with a store. Each client sends numbered frames that come back to it, numbered frames that go to
//! everyone in its room, numbered frames that go to all connections of a user, and numbered frames that the server counts; it asks
//! questions, some of which the server passes back to it. Whatever happens to the process, each of them has to arrive once and in
//! order, and each question is answered once.

mod client;
mod handed;
mod process;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep, timeout};

use client::{Faults, Load};
use process::{Process, Program};

/// The parameters of a run.
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
    /// The longest time for which it is stopped.
    pub longest_stop: Duration,
    /// Sessions are handed over, not committed. Then SIGTERM alone loses nothing, so the process ends in no other way.
    pub hands_over: bool,
}

/// The results.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// Frames that clients have sent.
    pub sent: u64,
    /// Frames that clients have received.
    pub received: u64,
    /// How often the process was ended in each way, by the names of [`Kills::WAYS`].
    pub ways: [usize; 7],
    /// Frames that were lost, repeated or out of order; at most the first twenty.
    pub faults: Vec<String>,
    /// The time from a start of the process to the first frame that a client got, the longest one.
    pub longest: Duration,
}

/// How a process ends.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// SIGKILL.
    Kill,
    /// SIGKILL, and again soon after the next start.
    KillTwice,
    /// SIGKILL, and again while the next one starts.
    KillTheNext,
    /// SIGTERM.
    Terminate,
    /// SIGTERM, and SIGKILL before it is through.
    KillTheDying,
    /// SIGSTOP, and SIGCONT after a while.
    Stop,
    /// SIGSTOP, and SIGKILL after a while.
    KillTheStopped,
}

impl Way {
    fn draw(random: &mut SmallRng) -> Self {
        match random.random_range(0..16) {
            0..6 => Self::Kill,
            6 | 7 => Self::KillTwice,
            8 | 9 => Self::KillTheNext,
            10 => Self::Terminate,
            11 | 12 => Self::KillTheDying,
            13 | 14 => Self::Stop,
            _ => Self::KillTheStopped,
        }
    }
}

fn millis(random: &mut SmallRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}

impl Kills {
    /// The ways in which a process ends, as [`Report::ways`] counts them.
    pub const WAYS: [&str; 7] = [
        "SIGKILL",
        "two SIGKILLs",
        "SIGKILL during the start",
        "SIGTERM",
        "SIGKILL during SIGTERM",
        "SIGSTOP",
        "SIGKILL during SIGSTOP",
    ];

    /// Starts the server and its clients in rooms of five.
    pub fn new(program: PathBuf, directory: PathBuf) -> Self {
        Self {
            program,
            directory,
            kills: 20,
            clients: 20,
            seed: 1,
            longest_stop: Duration::from_millis(700),
            hands_over: false,
        }
    }

    fn program(&self) -> Program {
        let (path, directory) = (self.program.clone(), self.directory.clone());
        Program { path, directory, hands_over: self.hands_over }
    }

    /// Ends the process. Returns whether another one has to be started.
    async fn end(&self, process: &mut Process, way: Way, random: &mut SmallRng) -> Result<bool, String> {
        match way {
            Way::Kill | Way::KillTwice | Way::KillTheNext => process.kill().await?,
            Way::Terminate => {
                process.terminate()?;
                process.wait().await?;
            }
            Way::KillTheDying => {
                process.terminate()?;
                sleep(millis(random, 0..60)).await;
                process.kill().await?;
            }
            Way::Stop | Way::KillTheStopped => {
                let most = u64::try_from(self.longest_stop.as_millis()).unwrap_or(u64::MAX);
                process.pause(true)?;
                sleep(millis(random, 100..most.max(101))).await;
                if let Way::Stop = way {
                    process.pause(false)?;
                    return Ok(false);
                }
                process.kill().await?;
            }
        }
        if let Way::KillTheNext = way {
            for _ in 0..random.random_range(1..4) {
                let lives = Duration::from_micros(random.random_range(0..60_000));
                Process::start_in_vain(&self.program(), process.ports(), lives).await?;
            }
        }
        Ok(true)
    }

    /// Runs it.
    ///
    /// # Errors
    /// Fails if the server cannot be started, or if its clients do not get everything in the end.
    pub async fn run(&self) -> Result<Report, String> {
        let mut random = SmallRng::seed_from_u64(self.seed);
        let mut process = Process::start(&self.program(), None).await?;
        let faults = Arc::new(Faults::default());
        let mut loads = Vec::new();
        for number in 0..self.clients {
            loads.push(Load::start(&process, number, self.clients, faults.clone()).await?);
        }
        let mut report = Report::default();
        for _ in 0..self.kills {
            sleep(millis(&mut random, 20..600)).await;
            let way = if self.hands_over { Way::Terminate } else { Way::draw(&mut random) };
            report.ways[way as usize] += 1;
            if !self.end(&mut process, way, &mut random).await? {
                continue;
            }
            let before = faults.received();
            let started = Instant::now();
            process = Process::start(&self.program(), Some(process.ports())).await?;
            if let Way::KillTwice = way {
                sleep(millis(&mut random, 0..40)).await;
                process.kill().await?;
                process = Process::start(&self.program(), Some(process.ports())).await?;
            }
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
                load.is_answered().await;
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

//! [`Trial`]: small simulations of one danger each, which random [schedules](super::run) reach too rarely.
//!
//! A trial generates a plan from its seed, performs it with real servers and clients, and checks its observations. All except
//! [`Trial::Runtimes`] run in memory with paused time, so that any delay is a timer that some task waited for.

mod flood;
mod frames;
mod haste;
mod memory;
mod newcomers;
mod pace;
mod peer;
mod questions;
mod runtimes;
mod stores;

use std::fmt;
use std::thread;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::check::{Findings, Property, Violation};
use super::{FOREVER, panics_of};

/// The danger that a trial simulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Trial {
    /// Sockets whose first bytes already end them: attached and lost in one poll, again and again, beside suspended sessions.
    Haste,
    /// Messages about as large as the total limit of all sessions, to members that keep up, stall, or are away.
    Memory,
    /// Messages from short-lived runtimes and plain threads: over sockets, in real time.
    Runtimes,
    /// Clients that send without a pause, beside others.
    Flood,
    /// Frames of 1 KiB to 900 KiB in both directions.
    Frames,
    /// Peers that read slowly, and some that read almost nothing.
    Pace,
    /// Questions in both directions over a line that is cut.
    Questions,
    /// Members that join a room with a history over lines that are cut, while frames are broadcast, some of them volatile.
    Newcomers,
    /// Servers that are killed, stopped, shut down and started again over a store that fails in every way.
    Stores,
    /// The same with servers that hand their sessions over: they are shut down and started again, and none is killed.
    Handover,
}

/// The actions of a trial, generated from its seed.
trait Plan: fmt::Debug {
    fn draw(rng: &mut SmallRng) -> Self;

    /// Performs the plan, and checks its outcome.
    fn play(self) -> Findings;
}

impl Trial {
    /// All trials.
    pub const ALL: [Self; 10] = [
        Self::Haste,
        Self::Memory,
        Self::Runtimes,
        Self::Flood,
        Self::Frames,
        Self::Pace,
        Self::Questions,
        Self::Newcomers,
        Self::Stores,
        Self::Handover,
    ];

    /// The trial with this name, the variant's name in lower case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trial| trial.to_string() == name)
    }

    /// Performs the plan of this seed. Returns the violated promises.
    ///
    /// # Panics
    /// Panics if the system has no threads or ports available.
    pub fn run(self, seed: u64) -> Vec<Violation> {
        match self {
            Self::Haste => play::<haste::Haste>(seed),
            Self::Memory => play::<memory::Memory>(seed),
            Self::Runtimes => play::<runtimes::Runtimes>(seed),
            Self::Flood => play::<flood::Flood>(seed),
            Self::Frames => play::<frames::Frames>(seed),
            Self::Pace => play::<pace::Pace>(seed),
            Self::Questions => play::<questions::Questions>(seed),
            Self::Newcomers => play::<newcomers::Newcomers>(seed),
            Self::Stores => play::<stores::Stores>(seed),
            Self::Handover => play::<stores::Handover>(seed),
        }
    }

    /// As [`Self::run`], but logs its progress, for the trial that has a log.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub fn run_aloud(self, seed: u64, listener: impl Fn(&str) + Send + Sync + 'static) -> Vec<Violation> {
        match self {
            Self::Stores => watched(|| draw::<stores::Stores>(seed).play_aloud(Some(Box::new(listener)))),
            Self::Handover => {
                watched(|| draw::<stores::Handover>(seed).0.play_aloud(Some(Box::new(listener))))
            }
            _ => self.run(seed),
        }
    }

    /// The plan of this seed as text.
    pub fn plan(self, seed: u64) -> String {
        match self {
            Self::Haste => plan::<haste::Haste>(seed),
            Self::Memory => plan::<memory::Memory>(seed),
            Self::Runtimes => plan::<runtimes::Runtimes>(seed),
            Self::Flood => plan::<flood::Flood>(seed),
            Self::Frames => plan::<frames::Frames>(seed),
            Self::Pace => plan::<pace::Pace>(seed),
            Self::Questions => plan::<questions::Questions>(seed),
            Self::Newcomers => plan::<newcomers::Newcomers>(seed),
            Self::Stores => plan::<stores::Stores>(seed),
            Self::Handover => plan::<stores::Handover>(seed),
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

fn draw<P: Plan>(seed: u64) -> P {
    P::draw(&mut SmallRng::seed_from_u64(seed))
}

fn plan<P: Plan>(seed: u64) -> String {
    format!("{:#?}", draw::<P>(seed))
}

fn play<P: Plan>(seed: u64) -> Vec<Violation> {
    watched(|| draw::<P>(seed).play())
}

/// Runs a trial, and adds whether a task has panicked.
fn watched(play: impl FnOnce() -> Findings) -> Vec<Violation> {
    let thread = thread::current().name().unwrap_or_default().to_owned();
    let before = panics_of(&thread);
    let mut findings = play();
    if panics_of(&thread) > before {
        findings.add(Property::End, "a task has panicked".into());
    }
    findings.0
}

/// Runs a trial on one thread, with paused time.
fn in_paused_time(play: impl Future<Output = Findings>) -> Findings {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing");
    runtime.block_on(async {
        tokio::time::timeout(FOREVER, play).await.unwrap_or_else(|_| {
            let mut findings = Findings::default();
            findings.add(Property::End, "the trial has no end".into());
            findings
        })
    })
}

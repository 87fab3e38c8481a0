//! [`Crowd`]: simulations over sockets.

use std::fmt::{self, Write as _};
use std::ops::AddAssign;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use tokio::runtime::{Builder, Handle, Runtime};

use super::check::check;
use super::history::{Call, History, Tale, What};
use super::world::World;
use super::{crowd, panics_of, stage};
use crate::network::Medium;

/// Longer than any crowd may take.
const FOREVER: Duration = Duration::from_secs(180);

/// How long tasks and sockets may take to disappear. Only a failing crowd waits this long.
const LINGERING: Duration = Duration::from_secs(20);

/// The number of last entries that a failure prints.
const TAIL: usize = 40;

/// Dozens of clients over sockets, in real time. The seed decides the actions, but not their outcome, which differs each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing more to it")]
pub struct Crowd {
    /// The seed.
    pub seed: u64,
    /// The threads that it runs on.
    pub threads: Threads,
}

/// The threads that a crowd runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Threads {
    /// One thread for everything.
    One,
    /// Two threads for the servers, and others for the clients and the network.
    Several,
}

/// The figures of one or several crowds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// Upgrades that servers have accepted.
    pub sockets: usize,
    /// Socket losses that a client noticed.
    pub lost: usize,
    /// Sessions that a client resumed on another socket.
    pub restored: usize,
    /// Messages that reached the application, of servers and of clients.
    pub messages: usize,
}

impl Crowd {
    /// Performs the schedule of the seed, and returns its history. Effects come after their causes, whatever the threads did.
    ///
    /// # Panics
    /// Panics if the system has no threads or ports available.
    pub fn run(self) -> History {
        // Thread names attribute panics to crowds.
        let stage = thread::Builder::new().name(self.to_string()).spawn(move || self.play());
        stage.expect("the system has threads to give").join().expect("a stage does not panic")
    }

    /// [Runs](Self::run) the crowd, and checks its history.
    ///
    /// # Errors
    /// Fails with the violations and the last entries; the complete history is saved in this folder.
    pub fn check(self, folder: &Path) -> Result<Figures, String> {
        let history = self.run();
        let violations = check(&history);
        if violations.is_empty() {
            return Ok(Figures::of(&history));
        }
        let mut text = format!("{self}:\n");
        for violation in violations {
            writeln!(text, "  {violation}").expect("a string takes everything");
        }
        let all = history.to_string();
        let skipped = all.lines().count().saturating_sub(TAIL);
        for line in all.lines().skip(skipped) {
            writeln!(text, "    {line}").expect("a string takes everything");
        }
        let path = folder.join(format!("{self}.log").replace(' ', "-"));
        match fs::create_dir_all(folder).and_then(|()| fs::write(&path, all)) {
            Ok(()) => text += &format!("  all of it: {}\n", path.display()),
            Err(error) => text += &format!("  all of it could not be left in {}: {error}\n", path.display()),
        }
        text += "  the seed decides what is done; what comes of it is never the same again\n";
        Err(text)
    }

    fn play(self) -> History {
        let schedule = crowd::schedule(self.seed);
        let stage = self.runtime();
        let servers = (self.threads == Threads::Several).then(|| self.runtime());
        let runtimes: Vec<_> =
            [Some(&stage), servers.as_ref()].into_iter().flatten().map(|r| r.handle().clone()).collect();
        let medium = Medium::Tcp(servers.as_ref().unwrap_or(&stage).handle().clone());
        stage.block_on(async {
            // The workers, and the thread that blocks on the stage.
            let workers = runtimes.iter().map(|runtime| runtime.metrics().num_workers()).sum::<usize>();
            let threads = if self.threads == Threads::One { 1 } else { workers + 1 };
            let world = World::new(schedule.seed, threads, Box::new(|_, _| {}));
            let performed = stage::perform(&world, schedule, medium);
            if tokio::time::timeout(FOREVER, performed).await.is_err() {
                world.note(What::Stuck("the crowd has no end"));
            }
            world.note(What::TasksLeft(left(&runtimes).await));
            if panics_of(&self.to_string()) > 0 {
                world.note(What::Stuck("a task has panicked"));
            }
            world.take_history()
        })
    }

    fn runtime(self) -> Runtime {
        let mut builder = match self.threads {
            Threads::One => Builder::new_current_thread(),
            Threads::Several => Builder::new_multi_thread(),
        };
        let builder = builder.worker_threads(2).thread_name(self.to_string());
        builder.enable_all().build().expect("the system has threads to give")
    }
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.threads == Threads::One { "one thread" } else { "several threads" };
        write!(f, "crowd {} on {threads}", self.seed)
    }
}

/// The tasks that remain after all had time to end.
async fn left(runtimes: &[Handle]) -> usize {
    let since = Instant::now();
    loop {
        let tasks = runtimes.iter().map(|runtime| runtime.metrics().num_alive_tasks()).sum();
        if tasks == 0 || since.elapsed() > LINGERING {
            return tasks;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Figures {
    fn of(history: &History) -> Self {
        let mut figures = Self::default();
        for entry in &history.entries {
            match &entry.what {
                What::Asked { .. } => figures.sockets += 1,
                What::Callback { call: Call::Message(_), .. } => figures.messages += 1,
                What::Told { tale: Tale::Message(_), .. } => figures.messages += 1,
                What::Told { tale: Tale::Dropped(_), .. } => figures.lost += 1,
                What::Told { tale: Tale::Restored { .. }, .. } => figures.restored += 1,
                _ => {}
            }
        }
        figures
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.sockets += more.sockets;
        self.lost += more.lost;
        self.restored += more.restored;
        self.messages += more.messages;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sockets, lost, restored, messages } = self;
        write!(f, "{sockets} sockets, {lost} lost, {restored} restored, {messages} messages")
    }
}

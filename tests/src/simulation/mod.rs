//! The whole, simulated: real servers and real clients over lines in memory, with paused time, and one seed for everything;
//! and the same over sockets, in real time.
//!
//! [`run`] makes a schedule of a seed (options of both sides, faults, sends), carries it out, lets everything come to rest,
//! and ends everything. What happened is a [`History`], the same for the same seed, byte for byte. [`check`] is a pure
//! function over it: it knows what PROTOCOL.md §6 and the docs of the callbacks promise, and nothing of how it is kept.
//!
//! In memory everything runs on one thread. Where code of ours would take one of several turns at random (`select!`), it says in
//! which order; tokens and masks come from the operating system, and decide nothing. [`Crowd`] gives the same schedules
//! to a crowd: there the seed decides what is done alone, threads and the operating system the rest; the history keeps
//! the order of cause and effect, so that it is checked in the same way. [`Trial`] has small simulations of one danger each.

mod history;
pub use history::{
    Call, ClientNo, End, Entry, FrameNo, History, How, Numbers, Outcome, SessionNo, Tale, Way, What,
};

mod schedule;
pub use schedule::Size;

mod crowd;

mod world;

mod server;

mod client;

mod network;

mod stage;

mod sockets;
pub use sockets::{Crowd, Figures, Threads};

mod trials;
pub use trials::Trial;

mod check;
pub use check::{Property, Violation, check};

use std::collections::HashMap;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::Duration;

/// Longer than anything may take.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// How many panics the threads of this name have seen: the runtime would keep those of tasks to itself.
fn panics_of(thread: &str) -> usize {
    static PANICS: Mutex<Option<HashMap<String, usize>>> = Mutex::new(None);
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
            let thread = thread::current().name().unwrap_or_default().to_owned();
            *panics.get_or_insert_default().entry(thread).or_default() += 1;
            drop(panics);
            hook(panic);
        }));
    });
    let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    panics.as_ref().and_then(|panics| panics.get(thread)).copied().unwrap_or_default()
}

/// Carries out what the seed says. Returns what happened.
///
/// # Panics
/// Panics where server or client do.
pub fn run(seed: u64, size: Size) -> History {
    run_aloud(seed, size, |_, _| {})
}

/// Like [`run`], and tells each entry at once, with its number: for simulations that do not end.
///
/// # Panics
/// As [`run`].
pub fn run_aloud(seed: u64, size: Size, listener: impl Fn(usize, &Entry) + Send + 'static) -> History {
    let schedule = schedule::Schedule::new(seed, size);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing");
    let thread = thread::current().name().unwrap_or_default().to_owned();
    let before = panics_of(&thread);
    runtime.block_on(async {
        let world = world::World::new(schedule.seed, 1, Box::new(listener));
        let staged =
            tokio::time::timeout(FOREVER, stage::perform(&world, schedule, network::Network::Memory)).await;
        match staged {
            // What is told last to nobody has its time to end.
            Ok(()) => tokio::time::sleep(Duration::from_secs(60)).await,
            Err(_) => world.note(What::Stuck("the simulation has no end")),
        }
        if panics_of(&thread) > before {
            world.note(What::Stuck("a task has panicked"));
        }
        world.note(What::TasksLeft(tokio::runtime::Handle::current().metrics().num_alive_tasks()));
        world.take_history()
    })
}

//! Simulations of the whole system: real servers and clients over in-memory lines with paused time, driven by one seed; and the
//! same over sockets in real time.
//!
//! [`run`] generates a schedule from a seed (options of both sides, faults, sends), performs it, lets everything come to rest,
//! and ends everything. The result is a [`History`], identical byte for byte for the same seed. [`check`] is a pure function of
//! it: it knows the promises of PROTOCOL.md §6 and of the callbacks' docs, and nothing of the implementation.
//!
//! In memory everything runs on one thread. Wherever our code would choose randomly (`select!`), it specifies an order; tokens
//! and masks come from the operating system, and decide nothing. [`Crowd`] performs the same schedules over sockets. There, the
//! seed only decides the actions; threads and the operating system decide the rest. The history preserves the order of cause and
//! effect, so that the same checks apply. Each [`Trial`] is a small simulation of one danger.

mod history;
pub use history::{
    Call, ClientNo, End, Entry, FrameNo, History, How, Numbers, Outcome, SessionNo, Tale, To, Way, What,
};

mod schedule;
pub use schedule::Size;

mod extras;
pub use extras::Note;

mod crowd;

mod world;

mod server;

mod hub;

mod client;

mod pace;

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

use crate::network::Medium;

/// Longer than any simulation may take.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of panics in the threads with this name. The runtime would hide panics in tasks.
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

/// Performs the schedule of a seed, and returns its history.
///
/// # Panics
/// Panics if the server or a client panics.
pub fn run(seed: u64, size: Size) -> History {
    run_aloud(seed, size, |_, _| {})
}

/// Like [`run`], but also reports each entry immediately, with its number, for simulations that do not end.
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
        let staged = tokio::time::timeout(FOREVER, stage::perform(&world, schedule, Medium::Memory)).await;
        match staged {
            // Gives the last tasks time to end.
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

//! The model: runs a scenario on the real types in many orders of its steps, under shuttle.
//!
//! Each lock and each atomic of [`sync`](super::sync) is a step between two of which any other thread or task may run. All of them
//! are coroutines of one thread. What tokio has (`Notify`, channels, timers, pipes) is used as it is, and each call of it is a part
//! of the step around it; tasks are shuttle's ([`spawn_on`]), and time passes when a scenario says so ([`Time::pass`]).
//!
//! A scenario begins threads ([`thread`]) and tasks, waits for [`idle`], and asserts what has to hold then. A lost wake-up is a
//! task that still waits there for something that has come.

mod explore;
pub use explore::explore;

mod tasks;
pub use tasks::{Dropped, Joined, Task, current_runtime, end_runtime, enter_runtime, idle, live, spawn_on};

mod time;
pub use time::Time;

/// Begins a thread that belongs to no runtime.
pub fn thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> shuttle::thread::JoinHandle<T> {
    shuttle::thread::spawn(run)
}

/// Lets others run first, who have waited.
pub fn give_way() {
    shuttle::thread::yield_now();
}

/// Lets any other thread or task run: a step that changes nothing.
pub fn step() {
    shuttle::thread::sleep(std::time::Duration::ZERO);
}

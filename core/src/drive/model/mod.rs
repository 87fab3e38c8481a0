//! The model: runs a scenario on the real types in many orders of its steps, under shuttle.
//!
//! Each operation on a lock or an atomic of [`sync`](super::sync) is a step. Between two steps, any other thread or task may run;
//! all of them are coroutines of one thread. Tokio's parts (`Notify`, channels, timers, pipes) are used unchanged, and each call
//! belongs to the step around it. Tasks are shuttle's ([`spawn_on`]), and time passes when a scenario calls [`Time::pass`].
//!
//! A scenario starts threads ([`thread`]) and tasks, waits until they are [`idle`], and asserts the outcome. A lost wake-up shows
//! as a task that still waits although its event has occurred.

mod explore;
pub use explore::explore;

mod tasks;
pub use tasks::{
    Dropped, JoinedTask, Task, close_runtime, current_runtime, end_runtime, enter_runtime, idle, live,
    spawn_on,
};

mod time;
pub use time::Time;

/// Spawns a thread that belongs to no runtime.
pub fn thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> shuttle::thread::JoinHandle<T> {
    shuttle::thread::spawn(run)
}

/// Yields: other threads and tasks that are ready run first.
pub fn give_way() {
    shuttle::thread::yield_now();
}

/// Lets any other thread or task run: a step that changes nothing.
pub fn step() {
    shuttle::thread::sleep(std::time::Duration::ZERO);
}

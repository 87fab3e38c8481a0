//! The locks, atomics and task spawning of this layer, from `std` and tokio.
//!
//! Under `--cfg rejoin_model` they belong to shuttle, and under `--cfg rejoin_loom` to loom, which run small scenarios in many
//! orders of their steps (docs/concurrency.md, "The model"). A lock that only guards a few moves and is never held together with
//! another, and an atomic that only counts, come from `std` even there: modelling them makes every run longer, and finds nothing.

#[cfg(not(rejoin_model))]
use tokio::runtime::Handle;

#[cfg(not(any(rejoin_model, rejoin_loom)))]
pub use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(rejoin_model)]
pub use shuttle::sync::{Mutex, MutexGuard, atomic};

#[cfg(rejoin_loom)]
pub use {
    super::loom_atomic as atomic,
    loom::sync::{Mutex, MutexGuard},
};

/// Spawns a task in this runtime.
#[cfg(not(rejoin_model))]
pub fn spawn_on<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
    runtime: &Handle,
) -> tokio::task::JoinHandle<T> {
    runtime.spawn(task)
}

/// The runtime of the task that calls this; `None` in a plain thread.
#[cfg(not(rejoin_model))]
pub fn current_runtime() -> Option<Handle> {
    Handle::try_current().ok()
}

#[cfg(rejoin_model)]
pub use super::model::{current_runtime, spawn_on};

/// The hasher of maps whose keys come from the network. The model's has no random key, so that a run can be repeated.
#[cfg(not(rejoin_model))]
pub type MapHasher = std::hash::RandomState;
/// A hasher without a random key.
#[cfg(rejoin_model)]
pub type MapHasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

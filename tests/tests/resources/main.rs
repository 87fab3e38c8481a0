//! The resources of a process: they return to the baseline, and a hostile peer can take only a bounded amount.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod hostile;
mod leaks;
mod memberships;

use std::alloc::System;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use rejoin_server::Server;
use rejoin_tests::harness;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::{Builder, Handle};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Runs a test alone: tests share an allocator and descriptors, and each runtime uses some of both.
fn alone(starts_paused: bool, test: impl Future<Output = ()>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_current_thread().enable_all().start_paused(starts_paused).build().unwrap();
    runtime.block_on(test);
}

/// Bytes on the heap.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// The descriptors of this process.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The runtime's tasks that have not ended.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// An echo server with these options.
fn echo_server(configure: impl FnOnce(rejoin_server::Builder) -> rejoin_server::Builder) -> Server {
    let echo = harness::echo(Server::builder(harness::connect));
    configure(echo).build().unwrap()
}

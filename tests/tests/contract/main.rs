//! The promises of server and client, over TCP on the loopback interface. Each scenario runs alone, and must leave neither a task
//! nor a socket behind.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod backpressure;
mod bare;
mod callbacks;
mod client;
mod heartbeat;
mod identity;
mod left_behind;
mod lifecycle;
mod order;
mod resume;
mod rooms;
mod stage;

use std::time::Duration;

use rejoin_tests::harness::alone;

/// The mode of a client (PROTOCOL.md §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Session,
    Plain,
}

/// Runs a scenario once in each mode.
fn in_both_modes(scenario: impl AsyncFn(Mode)) {
    for mode in [Mode::Session, Mode::Plain] {
        println!("{mode:?}");
        alone(scenario(mode));
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

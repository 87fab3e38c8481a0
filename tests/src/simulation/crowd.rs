//! [`schedule`]: the schedule of a crowd over sockets. It takes a tenth of the time of other schedules, and adds faults that only
//! sockets have.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::schedule::{Schedule, Seat, ServerOptions, Size, Step};
use crate::network::Dials;

/// A peer that is silent for less than this may just be waiting for the CPU.
const PATIENCE: Duration = Duration::from_secs(1);

/// The socket buffer of the operating system, if it should be small.
const SMALL: u32 = 8 * 1024;

/// The schedule is the same for the same seed on every machine; its outcome is not.
pub(super) fn schedule(seed: u64) -> Schedule {
    let mut schedule = Schedule::new(seed, Size::Crowd);
    let rng = &mut SmallRng::seed_from_u64(schedule.seed);
    for server in &mut schedule.servers {
        hurry_server(server);
        server.socket_buffer = rng.random::<bool>().then_some(SMALL);
    }
    for seat in &mut schedule.seats {
        hurry_seat(seat);
    }
    for (at, step) in &mut schedule.steps {
        *at = tenth(*at);
        hurry_step(step, rng);
    }
    schedule
}

/// `Duration::MAX` is left unchanged.
fn tenth(duration: Duration) -> Duration {
    if duration == Duration::MAX { duration } else { duration / 10 }
}

fn heartbeat((ping, pong): (Duration, Duration), patience: Duration) -> (Duration, Duration) {
    let (ping, pong) = (tenth(ping) + PATIENCE / 10, tenth(pong));
    (ping, ping + pong + patience)
}

fn hurry_server(server: &mut ServerOptions) {
    server.window = tenth(server.window);
    // Longer than the client's, so that it returns before the server has noticed the loss, and takes over its socket.
    server.heartbeat = heartbeat(server.heartbeat, PATIENCE);
    for duration in [&mut server.write_timeout, &mut server.close_timeout] {
        *duration = tenth(*duration) + PATIENCE / 4;
    }
    server.slow = tenth(server.slow);
    server.waits = tenth(server.waits);
}

fn hurry_seat(seat: &mut Seat) {
    let (ping, pong) = seat.heartbeat;
    seat.heartbeat = heartbeat((ping / 4, pong / 4), PATIENCE / 2);
    for duration in [&mut seat.write_timeout, &mut seat.close_timeout] {
        *duration = tenth(*duration) + PATIENCE / 4;
    }
    seat.handshake_timeout = tenth(seat.handshake_timeout) + PATIENCE;
    seat.reconnect = seat.reconnect.map(|(base, max)| (base, tenth(max).max(base)));
    seat.slow = tenth(seat.slow);
    // Bytes in transit on a slow line must arrive within the time that a stage takes to come to rest.
    seat.capacity = seat.capacity.min(16 * 1024);
}

fn hurry_step(step: &mut Step, rng: &mut SmallRng) {
    match step {
        Step::Latency { seat, direction, .. } if rng.random() => {
            let rate = rng.random::<bool>().then(|| rng.random_range(8_000..80_000));
            *step = Step::Rate { seat: *seat, direction: *direction, rate };
        }
        Step::Latency { latency, .. } => *latency = tenth(*latency),
        Step::Dials { dials: dials @ Dials::Swallowed, .. } if rng.random() => *dials = Dials::Held,
        Step::ToServer { patience, .. } | Step::ToClient { patience, .. } => {
            *patience = patience.map(tenth);
        }
        Step::Restart { down, .. } => *down = tenth(*down),
        _ => {}
    }
}

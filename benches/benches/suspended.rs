//! The memory of a suspended session in bytes: without frames, and with a full buffer of a room's broadcasts, whose bytes all
//! members share. Measured with the allocator.

use std::alloc::System;

use rejoin_benches::{Crowd, Mode, message};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SESSIONS: usize = 10_000;

/// The number of frames that the server buffers for each session.
const FRAMES: usize = 256;

fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn main() {
    println!("bytes per session, of {SESSIONS} in one room");
    println!("{:<8} {:>9} {:>10} {:>18}", "mode", "attached", "suspended", "with 256 x 128 B");
    for mode in [Mode::Plain, Mode::Session] {
        let [attached, suspended, full] = measure(mode);
        println!("{:<8} {attached:>9} {suspended:>10} {full:>18}", format!("{mode:?}").to_lowercase());
    }
}

fn measure(mode: Mode) -> [usize; 3] {
    let runtime =
        Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing special");
    let crowd = Crowd::new(mode, |builder| builder);
    let before = live();
    let each = || live().saturating_sub(before) / SESSIONS;
    runtime.block_on(async {
        for id in 0..SESSIONS {
            crowd.join(id).await;
        }
        let attached = each();
        for id in 0..SESSIONS {
            crowd.suspend(id);
        }
        crowd.settle(0).await;
        let suspended = each();
        for _ in 0..FRAMES {
            assert_eq!(crowd.broadcast(&message()), SESSIONS);
        }
        [attached, suspended, each()]
    })
}

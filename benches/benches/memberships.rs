//! Memberships: the memory of each further room of a connection, and the time of joining and leaving a room of 10,000, quiet and
//! while broadcasts are being written to it. Measured with the allocator and the clock, in plain mode, on one thread.

use std::alloc::System;
use std::time::{Duration, Instant};

use rejoin_benches::{Crowd, Mode, message};
use rejoin_server::Connection;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MEMBERS: usize = 10_000;

/// The number of further rooms at which the memory is measured.
const ROOMS: [usize; 5] = [1, 2, 4, 8, 16];

/// The number of members that leave the room and join it again.
const CHANGES: usize = 20_000;

fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn main() {
    let runtime =
        Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing special");
    runtime.block_on(async {
        let crowd = Crowd::new(Mode::Plain, |builder| builder);
        for id in 0..MEMBERS {
            crowd.join(id).await;
        }
        let members: Vec<_> = (0..MEMBERS).map(|id| member(&crowd, id)).collect();
        measure_memory(&members).await;
        println!("\nns, of {CHANGES} members of a room of {MEMBERS}, which leave and join again");
        println!("{:<22} {:>12} {:>12} {:>12} {:>12}", "", "leave", "99 %", "join", "99 %");
        for is_broadcasting in [false, true] {
            measure_time(&crowd, &members, is_broadcasting).await;
        }
    });
}

fn member(crowd: &Crowd, id: usize) -> Connection {
    crowd.server().connection(&id.to_string()).expect("it is connected")
}

async fn measure_memory(members: &[Connection]) {
    println!("bytes per further membership, of {MEMBERS} connections that are in the same rooms");
    println!("{:>6} {:>9}", "rooms", "bytes");
    let before = live();
    for room in 1..=ROOMS[ROOMS.len() - 1] {
        let name = format!("further-{room}");
        for member in members {
            member.join(&name).await.expect("it is open");
        }
        if ROOMS.contains(&room) {
            println!("{room:>6} {:>9.1}", (live() - before) as f64 / (room * MEMBERS) as f64);
        }
    }
    for room in 2..=ROOMS[ROOMS.len() - 1] {
        let name = format!("further-{room}");
        for member in members {
            member.leave(&name).await.expect("it is not its home");
        }
    }
}

/// Members of the room `further-1` leave it and join it again. With `is_broadcasting`, a broadcast is being written to the room,
/// and another member leaves and joins whenever the fan-out lets it.
async fn measure_time(crowd: &Crowd, members: &[Connection], is_broadcasting: bool) {
    const ROOM: &str = "further-1";
    let frame = message();
    let (mut leaves, mut joins) = (Vec::with_capacity(CHANGES), Vec::with_capacity(CHANGES));
    let mut next = 0;
    while leaves.len() < CHANGES {
        if is_broadcasting && crowd.tally().is_reached() {
            let queued = crowd.server().broadcast(ROOM, &frame).expect("JSON can represent the frame");
            crowd.tally().expect(queued as u64);
        }
        // The fan-out writes to one chunk of members.
        tokio::task::yield_now().await;
        // A step that visits all members, far from one another.
        next = (next + 3_331) % MEMBERS;
        let member = &members[next];
        let began = Instant::now();
        member.leave(ROOM).await.expect("it is not its home");
        let left = Instant::now();
        member.join(ROOM).await.expect("it is open");
        joins.push(left.elapsed());
        leaves.push(left - began);
    }
    let ([leave, leave_99], [join, join_99]) = (times(leaves), times(joins));
    let name = if is_broadcasting { "under broadcasts" } else { "quiet" };
    println!("{name:<22} {leave:>12} {leave_99:>12} {join:>12} {join_99:>12}");
    while is_broadcasting && !crowd.tally().is_reached() {
        tokio::task::yield_now().await;
    }
}

/// The mean and the 99th percentile in nanoseconds.
fn times(mut times: Vec<Duration>) -> [u128; 2] {
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).expect("a few");
    [mean.as_nanos(), times[times.len() * 99 / 100].as_nanos()]
}

//! `million [N] [--session]`: N attached connections and N suspended sessions in one process, without sockets. Prints the memory
//! of each, and the time of a broadcast to all of them.
//!
//! The default is a million of each, and needs about 10 GB.

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rejoin_benches::{Crowd, Mode, Peer, message, resident};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The rooms of the attached and of the suspended sessions.
const HERE: &str = "crowd";
const AWAY: &str = "away";

/// The number of clients that connect concurrently.
const CONCURRENCY: usize = 64;

const BROADCASTS: usize = 3;

fn main() {
    let (mut count, mut mode) = (1_000_000, Mode::Plain);
    for arg in std::env::args().skip(1) {
        match (arg.as_str(), arg.replace([',', '_'], "").parse()) {
            ("--session", _) => mode = Mode::Session,
            (_, Ok(number)) if number > 0 => count = number,
            _ => {
                eprintln!("usage: million [N] [--session]");
                std::process::exit(2);
            }
        }
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing special");
    runtime.block_on(run(count, mode));
    // The remaining tasks end with the process.
    runtime.shutdown_background();
}

async fn run(count: usize, mode: Mode) {
    // Heartbeats would distort the measured times.
    let (ping, pong) = (Duration::from_secs(300), Duration::from_secs(600));
    let crowd = Arc::new(Crowd::new(mode, |builder| builder.heartbeat(ping, pong)));
    println!("{count} connections and {count} suspended sessions, {mode:?} mode");
    println!("of each connection {} bytes are the client's end", size_of::<Peer>());

    let (memory, began) = (Memory::now(), Instant::now());
    all(count, &crowd, |crowd, id| async move { crowd.join_room(HERE, id).await }).await;
    told("attached", count, began.elapsed(), &memory);
    broadcasts(&crowd, HERE, count, count).await;

    let (memory, began) = (Memory::now(), Instant::now());
    all(count, &crowd, move |crowd, id| async move {
        crowd.join_room(AWAY, count + id).await;
        crowd.suspend(count + id);
    })
    .await;
    crowd.settle(count).await;
    told("suspended", count, began.elapsed(), &memory);
    broadcasts(&crowd, AWAY, count, 0).await;

    let began = Instant::now();
    let stats = crowd.server().stats();
    println!(
        "stats() in {:?}: {} attached, {} suspended",
        began.elapsed(),
        stats.connections,
        stats.suspended
    );
    assert_eq!((stats.connections, stats.suspended), (count, count));
    if let Some(resident) = resident() {
        println!("resident memory of the process: {} MiB", resident >> 20);
    }
}

/// Runs a task for each number up to `count`, some concurrently.
async fn all<Fut>(
    count: usize,
    crowd: &Arc<Crowd>,
    each: impl Fn(Arc<Crowd>, usize) -> Fut + Clone + Send + 'static,
) where
    Fut: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let (next, crowd, each) = (next.clone(), crowd.clone(), each.clone());
        workers.spawn(async move {
            loop {
                let id = next.fetch_add(1, Ordering::Relaxed);
                if id >= count {
                    break;
                }
                each(crowd.clone(), id).await;
            }
        });
    }
    workers.join_all().await;
}

/// Broadcasts to a room, and waits until all attached members have the frame.
async fn broadcasts(crowd: &Crowd, room: &str, members: usize, attached: usize) {
    let frame = message();
    for _ in 0..BROADCASTS {
        crowd.tally().expect(attached as u64);
        let began = Instant::now();
        let queued = crowd.server().broadcast(room, &frame).expect("JSON can represent the frame");
        let accepted = began.elapsed();
        crowd.tally().reached().await;
        let delivered = began.elapsed();
        assert_eq!(queued, members);
        let each = delivered.as_nanos() / members as u128;
        println!(
            "broadcast to {members}: accepted after {accepted:?}, delivered after {delivered:?}, {each} ns each"
        );
    }
}

/// The memory of the process at one moment.
struct Memory {
    live: usize,
    resident: Option<u64>,
}

impl Memory {
    fn now() -> Self {
        let stats = ALLOCATOR.stats();
        Self { live: stats.bytes_allocated - stats.bytes_deallocated, resident: resident() }
    }
}

fn told(what: &str, count: usize, time: Duration, before: &Memory) {
    let now = Memory::now();
    let live = now.live.saturating_sub(before.live) / count;
    print!("{what} in {time:?} ({} per s): {live} bytes each", (count as f64 / time.as_secs_f64()).round());
    match before.resident.zip(now.resident) {
        Some((before, now)) => println!(", {} resident", now.saturating_sub(before) / count as u64),
        None => println!(),
    }
}

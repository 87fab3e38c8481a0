//! Looks up sessions by ID, with various numbers of sessions and threads; the number of sessions should not matter. The sessions
//! are suspended, and the IDs are random.
//!
//! Inserting and removing have no public API of their own: they are measured together with a session.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use divan::Bencher;
use rejoin_benches::{Crowd, Mode};
use rejoin_server::Server;
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

const THREADS: [usize; 3] = [1, 2, 4];

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing special")
}

/// Creates a server with this many suspended sessions, once; the runtime with their tasks has to stay alive.
fn server_of(sessions: usize) -> Server {
    static MADE: Mutex<BTreeMap<usize, (Runtime, Server)>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().expect("no bench panics");
    let (_, server) = made.entry(sessions).or_insert_with(|| {
        let (runtime, crowd) = (runtime(), Crowd::new(Mode::Plain, |builder| builder));
        runtime.block_on(async {
            for id in 0..sessions {
                crowd.join_room(&format!("room-{}", id % 64), id).await;
                crowd.suspend(id);
            }
            crowd.settle(0).await;
        });
        (runtime, crowd.server().clone())
    });
    server.clone()
}

thread_local! {
    /// Each thread has its own random numbers.
    static RANDOM: Cell<u64> = {
        static THREADS: AtomicU64 = AtomicU64::new(1);
        Cell::new(THREADS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    };
}

/// A pseudo-random number below `end`.
fn below(end: usize) -> usize {
    RANDOM.with(|random| {
        let next =
            random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random.set(next);
        (next >> 33) as usize % end
    })
}

const SESSIONS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Looks up any session: with a million of them, this includes cache misses.
#[divan::bench(args = SESSIONS, threads = THREADS, sample_size = 1000)]
fn lookup(bencher: Bencher<'_, '_>, sessions: usize) {
    let server = server_of(sessions);
    let ids: Vec<String> = (0..sessions).map(|id| id.to_string()).collect();
    bencher.bench(|| server.connection(&ids[below(sessions)]));
}

/// Looks up one of a thousand fixed sessions among all: without the cache misses.
#[divan::bench(args = SESSIONS, threads = THREADS, sample_size = 1000)]
fn lookup_of_a_thousand(bencher: Bencher<'_, '_>, sessions: usize) {
    let server = server_of(sessions);
    let ids: Vec<String> = (0..1000).map(|id| id.to_string()).collect();
    bencher.bench(|| server.connection(&ids[below(1000)]));
}

#[divan::bench(args = [1_000, 1_000_000], threads = THREADS, sample_size = 1000)]
fn lookup_of_nobody(bencher: Bencher<'_, '_>, sessions: usize) {
    let server = server_of(sessions);
    bencher.bench(|| server.connection("nobody"));
}

/// A client connects and is kicked: its ID and its number are inserted and removed. Most of the time goes to the upgrade and the
/// session; the point is that it does not grow.
#[divan::bench(args = [1_000, 100_000], threads = THREADS)]
fn join_and_kick(bencher: Bencher<'_, '_>, sessions: usize) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Runtime = runtime();
    }
    let server = server_of(sessions);
    let newcomers = Crowd::on(&server, Mode::Plain);
    bencher.bench(|| {
        OWN.with(|runtime| {
            runtime.block_on(async {
                // An ID that is not in use.
                let id = sessions + NEXT.fetch_add(1, Ordering::Relaxed);
                newcomers.join_room(&format!("room-{}", id % 64), id).await;
                newcomers.server().kick(&id.to_string()).await.expect("it is there");
            });
        });
    });
}

//! The cost of a delivery in the server, without a kernel: one frame for a room, until all members have it. Single-threaded. An
//! iteration's time is that of all deliveries, which are the items.

use divan::Bencher;
use divan::counter::ItemsCount;
use rejoin_benches::{Crowd, Mode, message};
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

const MEMBERS: [usize; 3] = [100, 1_000, 10_000];

fn room(mode: Mode, members: usize) -> (Runtime, Crowd) {
    let runtime =
        Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing special");
    let crowd = Crowd::new(mode, |builder| builder);
    runtime.block_on(async {
        for id in 0..members {
            crowd.join(id).await;
        }
    });
    (runtime, crowd)
}

fn broadcast(bencher: Bencher<'_, '_>, mode: Mode, members: usize) {
    let (runtime, crowd) = room(mode, members);
    let frame = message();
    bencher
        .counter(ItemsCount::new(members))
        .bench_local(|| runtime.block_on(crowd.broadcast_and_deliver(&frame, members)));
}

#[divan::bench(args = MEMBERS)]
fn plain(bencher: Bencher<'_, '_>, members: usize) {
    broadcast(bencher, Mode::Plain, members);
}

/// Includes the acknowledgements of all members, one per 64 frames.
#[divan::bench(args = MEMBERS)]
fn session(bencher: Bencher<'_, '_>, members: usize) {
    broadcast(bencher, Mode::Session, members);
}

/// Sends 64 frames to each before waiting: frames that leave together are written together.
#[divan::bench(args = MEMBERS)]
fn plain_64_at_once(bencher: Bencher<'_, '_>, members: usize) {
    let (runtime, crowd) = room(Mode::Plain, members);
    let frame = message();
    bencher.counter(ItemsCount::new(64 * members)).bench_local(|| {
        runtime.block_on(async {
            crowd.tally().expect(64 * members as u64);
            for _ in 0..64 {
                crowd.broadcast(&frame);
            }
            crowd.tally().reached().await;
        });
    });
}

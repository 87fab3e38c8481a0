//! A client reconnects to the server: the upgrade, and the replay of all buffered frames. Beside it a newcomer, and the history of its
//! room. The items are frames. The benchmark
//! `session` measures the session alone.

use divan::Bencher;
use divan::counter::ItemsCount;
use rejoin_benches::{Crowd, Mode, message};
use rejoin_server::History;
use tokio::runtime::Builder;

fn main() {
    divan::main();
}

/// In plain mode, by connection ID. The server's buffer holds 256 frames.
#[divan::bench(args = [1, 16, 256])]
fn reconnect_and_replay(bencher: Bencher<'_, '_>, kept: u64) {
    let runtime =
        Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing special");
    let crowd = Crowd::new(Mode::Plain, |builder| builder);
    runtime.block_on(crowd.join(0));
    let frame = message();
    bencher
        .counter(ItemsCount::new(kept))
        .with_inputs(|| {
            crowd.suspend(0);
            runtime.block_on(crowd.settle(0));
            (0..kept).for_each(|_| _ = crowd.broadcast(&frame));
            crowd.tally().expect(kept);
        })
        .bench_local_values(|()| {
            runtime.block_on(async {
                crowd.join(0).await;
                crowd.tally().reached().await;
            });
        });
    assert!(crowd.server().stats().resumed > 0, "each client resumed the same session");
}

/// A newcomer gets the history of its room: the upgrade, and the same number of frames.
#[divan::bench(args = [1, 16, 256])]
fn connect_and_rewind(bencher: Bencher<'_, '_>, kept: u64) {
    let runtime =
        Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing special");
    let frames = usize::try_from(kept).expect("they are few");
    let crowd = Crowd::new(Mode::Plain, |builder| builder.history(History::new().frames(frames)));
    runtime.block_on(crowd.join(0));
    for _ in 0..kept {
        crowd.broadcast(&message());
    }
    let mut id = 0;
    bencher
        .counter(ItemsCount::new(kept))
        .with_inputs(|| {
            // Or the members would add up.
            runtime.block_on(crowd.server().kick(&id.to_string())).expect("it is connected");
            id += 1;
            crowd.tally().expect(kept);
            id
        })
        .bench_local_values(|id| {
            runtime.block_on(async {
                crowd.join_rewound(id).await;
                crowd.tally().reached().await;
            });
        });
}

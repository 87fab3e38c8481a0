//! Broadcasts to other audiences than one room, beside one to one room with as many receivers; joins and leaves. Single-threaded and
//! without a kernel, in plain mode. An iteration's time is that of all deliveries, which are the items.

use std::fmt::Write as _;

use divan::Bencher;
use divan::counter::ItemsCount;
use rejoin_benches::{Crowd, Mode, message};
use rejoin_server::{Audience, Connection};
use tokio::runtime::{Builder, Runtime};

fn main() {
    divan::main();
}

const MEMBERS: usize = 10_000;

/// A server with members in `rooms` rooms, named by numbers.
fn crowd(rooms: usize) -> (Runtime, Crowd) {
    let runtime =
        Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing special");
    let crowd = Crowd::new(Mode::Plain, |builder| builder);
    runtime.block_on(async {
        let mut name = String::new();
        for id in 0..MEMBERS {
            name.clear();
            write!(name, "{}", id % rooms).expect("a string takes everything");
            crowd.join_room(&name, id).await;
        }
    });
    (runtime, crowd)
}

fn connection(crowd: &Crowd, id: usize) -> Connection {
    crowd.server().connection(&id.to_string()).expect("it is connected")
}

fn deliver(
    bencher: Bencher<'_, '_>,
    (runtime, crowd): &(Runtime, Crowd),
    audience: &Audience<'_>,
    receivers: usize,
) {
    let frame = message();
    bencher.counter(ItemsCount::new(receivers)).bench_local(|| {
        runtime.block_on(async {
            crowd.tally().expect(receivers as u64);
            let queued = crowd.server().broadcast(audience.clone(), &frame);
            assert_eq!(queued.expect("JSON can represent the frame"), receivers);
            crowd.tally().reached().await;
        });
    });
}

/// The reference: a room whose members are in no other one.
#[divan::bench]
fn one_room(bencher: Bencher<'_, '_>) {
    deliver(bencher, &crowd(1), &Audience::room("0"), MEMBERS);
}

/// The same room, whose members are in four more.
#[divan::bench]
fn one_room_of_members_in_five(bencher: Bencher<'_, '_>) {
    let crowd = crowd(1);
    crowd.0.block_on(async {
        for id in 0..MEMBERS {
            for room in ["a", "b", "c", "d"] {
                connection(&crowd.1, id).join(room).await.expect("it is open");
            }
        }
    });
    deliver(bencher, &crowd, &Audience::room("0"), MEMBERS);
}

#[divan::bench]
fn one_room_without_one_member(bencher: Bencher<'_, '_>) {
    let crowd = crowd(1);
    let left_out = connection(&crowd.1, 17);
    deliver(bencher, &crowd, &Audience::room("0").except(&left_out), MEMBERS - 1);
}

/// The members are in 1,000 rooms.
#[divan::bench]
fn everyone(bencher: Bencher<'_, '_>) {
    deliver(bencher, &crowd(1000), &Audience::everyone(), MEMBERS);
}

/// A connection joins a room of 10,000, and leaves it. The items are the two calls.
#[divan::bench]
fn join_and_leave(bencher: Bencher<'_, '_>) {
    let (runtime, crowd) = crowd(1);
    runtime.block_on(crowd.join_room("elsewhere", MEMBERS));
    let newcomer = connection(&crowd, MEMBERS);
    bencher.counter(ItemsCount::new(2_usize)).bench_local(|| {
        runtime.block_on(async {
            newcomer.join("0").await.expect("it is open");
            newcomer.leave("0").await.expect("it is not its home");
        });
    });
}

//! Random schedules: PROTOCOL.md §6 holds for any behavior of the network, the clock and the applications.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::oracle::Witness;
use super::pair::Pair;
use super::snapshot;
use crate::session::{Overflow, Side};
use Side::{Client, Server};

#[derive(Debug, Clone)]
enum Step {
    Send(Side),
    Write(Side),
    /// How many places before the newest a socket is, and the number of items that arrive there.
    Deliver(Side, usize, usize),
    Run,
    Cut,
    /// The client's credentials expire.
    Expire,
    Lose(Side),
    Connect,
    /// The application takes this number of events.
    Take(Side, usize),
    /// This number of milliseconds passes, and nothing moves.
    Stall(u64),
    /// This number of milliseconds passes, and everything moves.
    Wait(u64),
}

#[derive(Debug, Clone)]
struct Limits {
    server_buffer: u32,
    client_buffer: u32,
    server_bytes: usize,
    client_bytes: usize,
    events: usize,
    server_overflow: Overflow,
    client_overflow: Overflow,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Server), Just(Client)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => side().prop_map(Step::Send),
        5 => side().prop_map(Step::Write),
        6 => (side(), 0..3usize, 1..6usize).prop_map(|(side, back, count)| Step::Deliver(side, back, count)),
        1 => Just(Step::Run),
        1 => Just(Step::Cut),
        1 => Just(Step::Expire),
        2 => side().prop_map(Step::Lose),
        3 => Just(Step::Connect),
        4 => (side(), 1..6usize).prop_map(|(side, count)| Step::Take(side, count)),
        1 => prop_oneof![Just(100), Just(1000), Just(5000), Just(12_000), Just(31_000)].prop_map(Step::Stall),
        1 => prop_oneof![Just(500), Just(1500), Just(35_000)].prop_map(Step::Wait),
    ]
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![Just(Overflow::Reject), Just(Overflow::DropOldest), Just(Overflow::DropNewest)]
}

/// Limits in bytes. All messages have four bytes: often this is no limit, sometimes it is the only one.
fn bytes() -> impl Strategy<Value = usize> {
    prop_oneof![2 => Just(1 << 20), 1 => 1..=40usize]
}

fn limits() -> impl Strategy<Value = Limits> {
    (1..=8u32, 1..=8u32, bytes(), bytes(), 1..=8usize, overflow(), overflow()).prop_map(
        |(
            server_buffer,
            client_buffer,
            server_bytes,
            client_bytes,
            events,
            server_overflow,
            client_overflow,
        )| {
            Limits {
                server_buffer,
                client_buffer,
                server_bytes,
                client_bytes,
                events,
                server_overflow,
                client_overflow,
            }
        },
    )
}

#[test]
fn frames_arrive_once_in_order_or_as_gaps() {
    check(1000, &(limits(), vec(step(), 1..120)), |(limits, steps)| {
        let mut witness = run(&limits, &steps);
        witness.heal();
        witness.check_agreement();
    });
}

#[test]
fn simultaneous_closers_know_which_frames_may_be_lost() {
    check(800, &(limits(), vec(step(), 1..60)), |(limits, steps)| {
        let mut witness = run(&limits, &steps);
        witness.close_both();
    });
}

#[test]
fn a_closer_knows_which_frames_may_be_lost() {
    check(800, &(limits(), vec(step(), 1..60), side()), |(limits, steps, side)| {
        let mut witness = run(&limits, &steps);
        witness.close(side);
    });
}

#[test]
fn restored_sessions_behave_like_their_originals() {
    let steps = || vec(step(), 1..80);
    check(400, &(limits(), steps(), side(), steps()), |(limits, before, side, after)| {
        let [mut original, mut copy] = snapshot::fork(&run(&limits, &before), side);
        for step in &after {
            take(&mut original, &limits, step);
            take(&mut copy, &limits, step);
            snapshot::assert_same(&mut original, &mut copy);
        }
        snapshot::heal_both(original, copy);
    });
}

pub(super) fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let result = TestRunner::new_with_rng(config, rng).run(strategy, |input| {
        test(input);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

fn run(limits: &Limits, steps: &[Step]) -> Witness {
    let pair = Pair::new(
        |c| {
            (c.buffer_frames, c.inbox_frames) = (limits.server_buffer, limits.events);
            c.buffer_bytes = limits.server_bytes;
        },
        |c| {
            (c.buffer_frames, c.inbox_frames) = (limits.client_buffer, limits.events);
            c.buffer_bytes = limits.client_bytes;
        },
    );
    let mut witness = Witness::new(pair).with_watched_deliveries();
    for step in steps {
        take(&mut witness, limits, step);
        for (side, overflow) in [(Server, limits.server_overflow), (Client, limits.client_overflow)] {
            if overflow == Overflow::Reject {
                witness.check_is_read(side);
            }
        }
    }
    witness
}

fn take(witness: &mut Witness, limits: &Limits, step: &Step) {
    match *step {
        Step::Send(Server) => _ = witness.send(Server, limits.server_overflow),
        Step::Send(Client) => _ = witness.send(Client, limits.client_overflow),
        Step::Write(side) => witness.pair.write(side),
        Step::Deliver(side, back, count) => {
            if let Some(socket) = witness.pair.sockets.len().checked_sub(1 + back) {
                witness.deliver(socket, side, count);
            }
        }
        Step::Run => witness.pair.run(),
        Step::Cut => witness.pair.cut(),
        Step::Expire => witness.pair.expire(),
        Step::Lose(side) => witness.pair.lose(side),
        Step::Connect => witness.connect(),
        Step::Take(side, count) => witness.take(side, count),
        Step::Stall(millis) => witness.pair.advance(Duration::from_millis(millis)),
        Step::Wait(millis) => witness.pair.wait(Duration::from_millis(millis)),
    }
    witness.look();
    witness.check();
}

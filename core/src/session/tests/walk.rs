//! Explores every path through a small world.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::oracle::Witness;
use super::pair::Pair;
use super::snapshot;
use crate::session::{Overflow, Side};
use Side::{Client, Server};

/// Remaining steps of a path, in total and by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Left {
    steps: u32,
    server_sends: u32,
    client_sends: u32,
    losses: u32,
    connects: u32,
    passes: u32,
    restarts: u32,
}

const NONE: Left =
    Left { steps: 0, server_sends: 0, client_sends: 0, losses: 0, connects: 0, passes: 0, restarts: 0 };

#[derive(Debug, Clone, Copy)]
enum Step {
    Send(Side),
    Write(Side),
    Deliver(usize, Side),
    Cut,
    Lose(Side),
    Connect,
    /// The application takes one event.
    Take(Side),
    /// This number of seconds passes, and only timers run.
    Pass(u64),
    /// The server and all its sessions are replaced by a new server.
    Restart,
}

/// In seconds: an acknowledgement is due; a ping is due; the server's pong timeout or resume window ends; the client's pong
/// timeout ends.
const PASSES: [u64; 4] = [1, 10, 30, 60];

#[derive(Debug, Clone, Copy)]
struct World {
    buffer: u32,
    events: usize,
    /// The server's policy for a full buffer.
    overflow: Overflow,
    /// When pending data of a session is written to its socket.
    writing: When,
    /// When an application takes events.
    taking: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    AtOnce,
    AsAStep,
}

/// Visits every world that is at most `left.steps` steps away once, and heals the network from each. Returns their number.
fn walk(world: World, left: Left) -> usize {
    walk_with(world, left, |witness| {
        let mut healed = witness.clone();
        healed.heal();
        healed.check_agreement();
    })
}

/// Visits every world that is at most `left.steps` steps away once. Returns their number.
fn walk_with(world: World, left: Left, visit: impl Fn(&Witness)) -> usize {
    let World { buffer, events, .. } = world;
    let pair = Pair::new(
        |c| (c.buffer_frames, c.inbox_frames) = (buffer, events),
        |c| (c.buffer_frames, c.inbox_frames) = (buffer, events),
    );
    let mut seen = HashSet::new();
    // Breadth first, so that the first visit to a world has the most steps left.
    let mut next = vec![(Witness::new(pair), left)];
    while !next.is_empty() {
        let mut after = Vec::new();
        for (witness, left) in next {
            visit(&witness);
            for step in steps(&witness, world) {
                let Some(left) = left.after(step) else {
                    continue;
                };
                let mut witness = witness.clone();
                take(&mut witness, step, world);
                if seen.insert(fingerprint(&witness, left)) {
                    after.push((witness, left));
                }
            }
        }
        next = after;
    }
    seen.len()
}

fn steps(witness: &Witness, world: World) -> Vec<Step> {
    let mut steps = vec![
        Step::Send(Server),
        Step::Send(Client),
        Step::Cut,
        Step::Lose(Server),
        Step::Lose(Client),
        Step::Connect,
    ];
    if world.writing == When::AsAStep {
        steps.extend([Step::Write(Server), Step::Write(Client)]);
    }
    if world.taking == When::AsAStep {
        steps.extend([Step::Take(Server), Step::Take(Client)]);
    }
    steps.extend(PASSES.map(Step::Pass));
    steps.push(Step::Restart);
    for socket in 0..witness.pair.sockets.len() {
        steps.extend([Step::Deliver(socket, Server), Step::Deliver(socket, Client)]);
    }
    steps
}

fn take(witness: &mut Witness, step: Step, world: World) {
    match step {
        Step::Send(Server) => _ = witness.send(Server, world.overflow),
        Step::Send(Client) => _ = witness.send(Client, Overflow::Reject),
        Step::Write(side) => witness.pair.write(side),
        Step::Deliver(socket, side) => witness.deliver(socket, side, 1),
        Step::Cut => witness.pair.cut(),
        Step::Lose(side) => witness.pair.lose(side),
        Step::Connect => witness.connect(),
        Step::Take(side) => witness.take(side, 1),
        Step::Pass(seconds) => {
            witness.pair.advance(Duration::from_secs(seconds));
            witness.look();
        }
        Step::Restart => witness.pair.restart(),
    }
    if world.taking == When::AtOnce {
        witness.take(Server, usize::MAX);
        witness.take(Client, usize::MAX);
    }
    witness.check();
    if world.writing == When::AtOnce {
        witness.pair.write(Server);
        witness.pair.write(Client);
    }
}

impl Left {
    fn after(mut self, step: Step) -> Option<Self> {
        let of = match step {
            Step::Send(Server) => Some(&mut self.server_sends),
            Step::Send(Client) => Some(&mut self.client_sends),
            Step::Cut | Step::Lose(_) => Some(&mut self.losses),
            Step::Connect => Some(&mut self.connects),
            Step::Pass(_) => Some(&mut self.passes),
            Step::Restart => Some(&mut self.restarts),
            Step::Write(_) | Step::Deliver(..) | Step::Take(_) => None,
        };
        if let Some(of) = of {
            *of = of.checked_sub(1)?;
        }
        self.steps = self.steps.checked_sub(1)?;
        Some(self)
    }
}

/// What distinguishes two worlds: all state except the remaining steps.
fn fingerprint(witness: &Witness, left: Left) -> u64 {
    let mut hasher = Fingerprint(DefaultHasher::new());
    Left { steps: 0, ..left }.hash(&mut hasher.0);
    witness.describe(&mut hasher).expect("a hasher takes everything");
    hasher.0.finish()
}

struct Fingerprint(DefaultHasher);

impl fmt::Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[test]
fn every_short_path_heals() {
    let world = World {
        buffer: 2,
        events: 64,
        overflow: Overflow::Reject,
        writing: When::AsAStep,
        taking: When::AtOnce,
    };
    let left = Left { steps: 9, server_sends: 2, client_sends: 2, losses: 2, connects: 2, ..NONE };
    let worlds = walk(world, left);
    assert!(worlds > 10_000, "{worlds} worlds");
}

#[test]
fn every_short_path_heals_with_evictions() {
    let world = World {
        buffer: 1,
        events: 64,
        overflow: Overflow::DropOldest,
        writing: When::AtOnce,
        taking: When::AtOnce,
    };
    let left = Left { steps: 9, server_sends: 3, client_sends: 1, losses: 2, connects: 2, ..NONE };
    let worlds = walk(world, left);
    assert!(worlds > 10_000, "{worlds} worlds");
}

#[test]
fn every_short_path_heals_with_reading_ahead() {
    let world = World {
        buffer: 2,
        events: 1,
        overflow: Overflow::DropOldest,
        writing: When::AtOnce,
        taking: When::AsAStep,
    };
    let left = Left { steps: 10, server_sends: 4, client_sends: 1, losses: 1, connects: 1, ..NONE };
    let worlds = walk(world, left);
    assert!(worlds > 10_000, "{worlds} worlds");
}

#[test]
fn every_short_path_heals_with_passing_time() {
    let world = World {
        buffer: 2,
        events: 64,
        overflow: Overflow::DropNewest,
        writing: When::AtOnce,
        taking: When::AtOnce,
    };
    let left = Left { steps: 7, server_sends: 2, client_sends: 1, losses: 1, connects: 1, passes: 2, ..NONE };
    let worlds = walk(world, left);
    assert!(worlds > 10_000, "{worlds} worlds");
}

#[test]
fn every_short_path_heals_with_a_restored_server() {
    let world = World {
        buffer: 2,
        events: 64,
        overflow: Overflow::DropOldest,
        writing: When::AsAStep,
        taking: When::AtOnce,
    };
    let left =
        Left { steps: 8, server_sends: 1, client_sends: 2, losses: 1, connects: 2, passes: 1, restarts: 1 };
    let worlds = walk(world, left);
    assert!(worlds > 10_000, "{worlds} worlds");
}

#[test]
fn every_short_path_continues_alike_from_a_snapshot() {
    let world = World {
        buffer: 2,
        events: 1,
        overflow: Overflow::DropOldest,
        writing: When::AtOnce,
        taking: When::AsAStep,
    };
    let left = Left { steps: 6, server_sends: 2, client_sends: 1, losses: 1, connects: 1, ..NONE };
    let worlds = walk_with(world, left, |witness| {
        for side in [Server, Client] {
            let [original, copy] = snapshot::fork(witness, side);
            snapshot::heal_both(original, copy);
        }
    });
    assert!(worlds > 1000, "{worlds} worlds");
}

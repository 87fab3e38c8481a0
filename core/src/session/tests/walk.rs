//! Every way through a small world, to its end.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::oracle::Witness;
use super::pair::Pair;
use crate::session::{Overflow, Side};
use Side::{Client, Server};

/// How many of each a path may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Left {
    steps: u32,
    server_sends: u32,
    client_sends: u32,
    losses: u32,
    connects: u32,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Send(Side),
    Write(Side),
    Deliver(usize, Side),
    Cut,
    Lose(Side),
    Connect,
}

struct Walk {
    overflow: Overflow,
    seen: HashSet<u64>,
    /// States from which the network healed.
    healed: u64,
}

impl Walk {
    fn all(buffer: u32, overflow: Overflow, left: Left) -> Self {
        let pair = Pair::new(|c| c.buffer_frames = buffer, |c| c.buffer_frames = buffer);
        let mut walk = Self { overflow, seen: HashSet::new(), healed: 0 };
        walk.visit(&Witness::new(pair), left);
        walk
    }

    fn visit(&mut self, witness: &Witness, left: Left) {
        if !self.seen.insert(fingerprint(witness, left)) {
            return;
        }
        self.healed += 1;
        let mut healed = witness.clone();
        healed.heal();
        healed.check_agreement();
        if left.steps == 0 {
            return;
        }
        let sockets = witness.pair.links.len();
        let deliveries = (0..sockets).flat_map(|link| [Step::Deliver(link, Server), Step::Deliver(link, Client)]);
        let steps = [
            Step::Send(Server),
            Step::Send(Client),
            Step::Write(Server),
            Step::Write(Client),
            Step::Cut,
            Step::Lose(Server),
            Step::Lose(Client),
            Step::Connect,
        ];
        for step in steps.into_iter().chain(deliveries) {
            if let Some(left) = left.after(step) {
                let mut next = witness.clone();
                self.take(&mut next, step);
                self.visit(&next, left);
            }
        }
    }

    fn take(&self, witness: &mut Witness, step: Step) {
        match step {
            Step::Send(Server) => _ = witness.send(Server, self.overflow),
            Step::Send(Client) => _ = witness.send(Client, Overflow::Reject),
            Step::Write(side) => witness.pair.write(side),
            Step::Deliver(link, side) => witness.deliver(link, side, 1),
            Step::Cut => witness.pair.cut(),
            Step::Lose(side) => witness.pair.lose(side),
            Step::Connect => witness.connect(),
        }
        witness.take(Server, usize::MAX);
        witness.take(Client, usize::MAX);
        witness.check();
    }
}

impl Left {
    fn after(mut self, step: Step) -> Option<Self> {
        let of = match step {
            Step::Send(Server) => Some(&mut self.server_sends),
            Step::Send(Client) => Some(&mut self.client_sends),
            Step::Cut | Step::Lose(_) => Some(&mut self.losses),
            Step::Connect => Some(&mut self.connects),
            Step::Write(_) | Step::Deliver(..) => None,
        };
        if let Some(of) = of {
            *of = of.checked_sub(1)?;
        }
        self.steps = self.steps.checked_sub(1)?;
        Some(self)
    }
}

fn fingerprint(witness: &Witness, left: Left) -> u64 {
    let mut text = String::new();
    write!(text, "{witness:?}").expect("a string takes everything");
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    left.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn every_short_path_heals() {
    let left = Left { steps: 7, server_sends: 2, client_sends: 2, losses: 2, connects: 2 };
    let walk = Walk::all(2, Overflow::Reject, left);
    eprintln!("{} states, {} healed", walk.seen.len(), walk.healed);
}

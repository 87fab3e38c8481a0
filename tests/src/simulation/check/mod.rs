//! [`check`]: finds the violated promises of a history. A pure function.

mod facts;

mod audiences;

mod callbacks;

mod tales;

mod to_client;

mod to_server;

mod state;

mod questions;

mod presence;

mod rules;

#[cfg(test)]
mod tests;

use std::fmt;

use super::history::History;
use facts::Facts;

/// A property of every history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Property {
    /// Every delivered frame was accepted for this peer before.
    Genuine,
    /// No frame is delivered twice.
    Once,
    /// Frames are delivered in the order in which they were accepted, also across the sessions of a client.
    Order,
    /// Frames missing between two deliveries are covered by a gap of that size, and each gap begins at the current count.
    Numbering,
    /// Each accepted frame is delivered, covered by a gap, or counted as unacknowledged when the session ends.
    NothingLostSilently,
    /// A gap is reported only for dropped frames.
    Gaps,
    /// `send_acked` reports correctly whether a frame was delivered or dropped.
    Receipts,
    /// Callbacks: connect, then messages, drops and restores in turn, then disconnect; one after the other.
    Callbacks,
    /// The events of a client: messages, drops and restores in turn, then the end; none after its own close.
    Tales,
    /// All members of a room get its broadcasts in the same order.
    Broadcasts,
    /// A broadcast reaches its audience, and no other session.
    Audiences,
    /// Retained bytes stay within their bounds.
    Bounds,
    /// At rest, both sides are connected, agree on their counts, and retain nothing.
    Agreement,
    /// Neither side reports a protocol error of the other.
    Accusations,
    /// Everything ends, and no task remains.
    End,
    /// A resume window expires on time, whatever other sessions do.
    Windows,
    /// No session is evicted and no frame dropped without freeing memory that is needed.
    Memory,
    /// No task waits for a timer or for other sessions without need.
    Pace,
    /// Each question is answered once, or its asker learns that the session is lost.
    Answers,
    /// Joins, leaves, absences and returns come in order, and match the members that a room shows at rest.
    Presence,
    /// Limits hold, and refuse no session that counts already.
    Limits,
    /// Credentials end on time, and not before; the session then waits for others, or has ended if it was forbidden.
    Credentials,
    /// A drain ends no session, opens none, and lasts until no socket is left.
    Drain,
    /// A peer that reads fast enough keeps its socket; one that reads almost nothing loses it.
    Sockets,
    /// The acts of only one run of a handler are delivered, all of them, even if it has run again after a crash; and acknowledged
    /// inputs are in the store.
    Effects,
    /// One owner acts for a session, and the one that was fenced writes nothing.
    Owner,
}

/// A violation of a property.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Violation {
    /// The violated property.
    pub property: Property,
    /// The details.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.property, self.text)
    }
}

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Violation>);

impl Findings {
    pub(super) fn add(&mut self, property: Property, text: String) {
        self.0.push(Violation { property, text });
    }
}

/// Returns the violations in a history.
pub fn check(history: &History) -> Vec<Violation> {
    let facts = Facts::of(history);
    let mut findings = Findings::default();
    callbacks::check(&facts, &mut findings);
    tales::check(&facts, &mut findings);
    audiences::check(history, &mut findings);
    to_client::check(&facts, &mut findings);
    to_server::check(&facts, &mut findings);
    state::check(history, &facts, &mut findings);
    questions::check(history, &facts, &mut findings);
    presence::check(history, &mut findings);
    rules::check(history, &facts, &mut findings);
    findings.0
}

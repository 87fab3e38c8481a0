//! [`check`]: whether a history keeps what is promised. A pure function.

mod facts;

mod callbacks;

mod tales;

mod to_client;

mod to_server;

mod state;

#[cfg(test)]
mod tests;

use std::fmt;

use super::history::History;
use facts::Facts;

/// What a history has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Property {
    /// What is delivered was accepted, for this peer, before.
    Genuine,
    /// Nothing is delivered twice.
    Once,
    /// What is delivered comes in the order in which it was accepted, and over all sessions of a client alike.
    Order,
    /// What is missing between two frames that are delivered lies in a gap of that size, and each gap begins where the count is.
    Numbering,
    /// What was accepted and not delivered lies in a gap, or was counted as not acknowledged when the session ended.
    NothingLostSilently,
    /// A gap is told only for what was given up.
    Gaps,
    /// Who was told that a frame was delivered was told the truth; who was told that it was dropped, too.
    Receipts,
    /// Callbacks: connect, then messages, drops and restores in turn, then disconnect; one after the other.
    Callbacks,
    /// A client is told of messages, drops and restores in turn, then of the end; nothing after its own close.
    Tales,
    /// All members of a room get its broadcasts in the same order.
    Broadcasts,
    /// What is kept stays within its bounds.
    Bounds,
    /// When it is quiet, both sides are connected, agree on their counts, and keep nothing.
    Agreement,
    /// Neither side accuses the other of a mistake.
    Accusations,
    /// Everything has an end, and no task is left.
    End,
    /// A resume window ends when it is due, whatever other sessions do.
    Windows,
    /// No session ends and no frame is dropped for memory that this does not free, or that nobody needs.
    Memory,
    /// Nobody waits for a timer, or for what others do, where nothing else is in the way.
    Pace,
    /// A peer that takes enough keeps its socket; one that takes next to nothing loses it.
    Sockets,
}

/// What a history does not keep.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Violation {
    /// Which property.
    pub property: Property,
    /// How.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.property, self.text)
    }
}

/// What is found.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Violation>);

impl Findings {
    pub(super) fn add(&mut self, property: Property, text: String) {
        self.0.push(Violation { property, text });
    }
}

/// What this history does not keep; nothing, where all is well.
pub fn check(history: &History) -> Vec<Violation> {
    let facts = Facts::of(history);
    let mut findings = Findings::default();
    callbacks::check(&facts, &mut findings);
    tales::check(&facts, &mut findings);
    to_client::check(&facts, &mut findings);
    to_server::check(&facts, &mut findings);
    state::check(history, &facts, &mut findings);
    findings.0
}

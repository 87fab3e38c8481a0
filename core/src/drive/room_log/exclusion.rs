//! [`Exclusion`]: the subscribers of a log that a message is not for.

/// The subscribers of a log that a message is not for. They get no gap in its place. Default: none.
#[derive(Debug, Default)]
pub struct Exclusion {
    pub(super) guests: bool,
    pub(super) sessions: Vec<Subscriber>,
}

/// A session that subscribes to a log ([`SharedSession::subscriber_of`](crate::drive::SharedSession::subscriber_of)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscriber {
    /// The session's address, which does not change while it subscribes. A later session at the same address subscribes behind
    /// the messages that exclude the earlier one.
    address: usize,
    /// The index of its codec.
    pub(super) lane: u16,
}

impl Exclusion {
    /// Excludes all subscribers that have subscribed to another log first. So a message that enters every log of a server reaches
    /// each session once: through its first log.
    pub fn guests() -> Self {
        Self { guests: true, sessions: Vec::new() }
    }

    /// Excludes a subscriber of the log.
    pub fn add(&mut self, subscriber: Subscriber) {
        self.sessions.push(subscriber);
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.guests && self.sessions.is_empty()
    }

    /// Whether a subscriber is excluded. `is_home`: this is its first log.
    pub(super) fn covers(&self, subscriber: Subscriber, is_home: bool) -> bool {
        (self.guests && !is_home) || self.sessions.contains(&subscriber)
    }
}

impl Subscriber {
    pub(in crate::drive) fn new<T>(session: &T, lane: u16) -> Self {
        Self { address: std::ptr::from_ref(session).addr(), lane }
    }
}

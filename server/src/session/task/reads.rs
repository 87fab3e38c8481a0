//! [`Reads`]: the limits on one session's incoming messages.

use std::sync::Arc;

use rejoin_core::{ErrorAnswer, Event};

use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::limits::rate::RatePolicy;
use crate::limits::reading::ReadLimits;
use crate::session::call::Call;

/// The limits on one session's incoming messages; usually none.
#[derive(Debug)]
pub(super) struct Reads(Option<Arc<ReadLimits>>);

impl Reads {
    pub(super) fn of(shared: &ServerInner, connection: &Connection) -> Self {
        Self(shared.reading.of(connection.number()))
    }

    /// Updates the amount that the session holds for its application. Returns whether its socket may therefore be read again: nothing
    /// else wakes the task then.
    pub(super) fn note_held(&self, connection: &Connection) -> bool {
        let Some(limits) = self.0.as_deref().filter(|limits| limits.limits_inbound()) else { return false };
        let was_over = limits.is_over_inbound();
        limits.hold(connection.session().drive(|session| session.inbound_bytes()));
        was_over && !limits.is_over_inbound()
    }

    /// Records that the session no longer holds anything.
    pub(super) fn note_end(&self) {
        if let Some(limits) = &self.0 {
            limits.hold(0);
        }
    }

    /// Answers a message that exceeds a rate, if that is the policy, and hides it from the application.
    pub(super) fn refuses(&self, call: &Call, shared: &ServerInner, connection: &Connection) -> bool {
        let (Some(limits), Call::Event(Event::Message(frame))) = (&self.0, call) else { return false };
        if limits.policy() != RatePolicy::Answer {
            return false;
        }
        let bytes = frame.event().len() + frame.payload().map_or(0, |payload| payload.data().len());
        let Err(limit) = limits.try_take(bytes, limits.now()) else { return false };
        shared.reached(limit);
        let answer = ErrorAnswer::new("rate_limited", "too many messages").to_frame();
        // A peer that does not read its answers gets none.
        connection.send(&answer.with_re(frame.id())).ok();
        true
    }
}

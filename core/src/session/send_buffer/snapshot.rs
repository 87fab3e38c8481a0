//! A [`SendBuffer`] as plain data, and back.

use super::super::config::Mode;
use super::super::snapshot::{Outgoing, Run, Unacknowledged};
use super::super::span::Span;
use super::super::span_queue::SpanQueue;
use super::SendBuffer;

impl SendBuffer {
    /// The numbers.
    pub(in super::super) fn outgoing(&self) -> Outgoing {
        Outgoing {
            accepted: self.accepted,
            cursor: match self.mode {
                Mode::Session => self.cursor,
                // The next socket is sent what this one has not wholly written.
                Mode::Plain => self.before_kept(),
            },
            sent: self.sent,
            acknowledged: self.acked,
            dropped: self.dropped,
        }
    }

    /// What there is beside the numbers.
    pub(in super::super) fn unacknowledged_frames(&self) -> Unacknowledged {
        // Every field is named, so that a new one cannot be forgotten.
        let Self {
            mode: _,
            // They follow from `kept` and `cursor`.
            frames: _,
            handed: _,
            bytes: _,
            // `outgoing` has these.
            accepted: _,
            cursor: _,
            sent: _,
            acked: _,
            dropped: _,
            kept,
            evicted_in_flight,
            deliveries,
            abandoned,
        } = self;
        Unacknowledged {
            kept: runs(kept),
            evicted_in_flight: evicted_in_flight.as_deref().copied(),
            deliveries: deliveries.as_deref().cloned(),
            abandoned: *abandoned,
        }
    }

    /// A buffer with these numbers, for a session without a socket. It keeps nothing.
    pub(in super::super) fn with_outgoing(mode: Mode, outgoing: Outgoing) -> Self {
        let Outgoing { accepted, cursor, sent, acknowledged, dropped } = outgoing;
        Self { accepted, cursor, sent, acked: acknowledged, dropped, ..Self::new(mode) }
    }

    /// Adds what there is beside the numbers to a buffer that keeps nothing yet.
    pub(in super::super) fn add_unacknowledged(&mut self, unacknowledged: Unacknowledged) {
        let Unacknowledged { kept, evicted_in_flight, deliveries, abandoned } = unacknowledged;
        for Run { first, messages } in kept {
            for (number, message) in (first..).zip(messages) {
                self.frames += 1;
                self.handed += u32::from(number <= self.cursor);
                self.bytes += message.len();
                self.kept.push_back(Span::direct(message).numbered(number));
            }
        }
        self.evicted_in_flight = evicted_in_flight.map(Box::new);
        self.deliveries = deliveries.map(Box::new);
        self.abandoned = abandoned;
    }
}

/// The kept messages, joined where their numbers follow each other.
fn runs(kept: &SpanQueue) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for span in kept.iter_from(0) {
        let messages = (0..span.len()).map(|offset| span.message(offset).clone());
        match runs.last_mut() {
            Some(run) if run.first + run.messages.len() as u64 == span.first() => {
                run.messages.extend(messages)
            }
            _ => runs.push(Run { first: span.first(), messages: messages.collect() }),
        }
    }
    runs
}

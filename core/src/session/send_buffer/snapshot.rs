//! Conversion of a [`SendBuffer`] to and from plain data.

use super::super::config::Mode;
use super::super::snapshot::{Outgoing, SnapshotRun, Unacknowledged};
use super::super::span::Span;
use super::super::span_queue::SpanQueue;
use super::SendBuffer;

impl SendBuffer {
    /// Takes everything that was accepted for sent to some socket.
    pub(in super::super) fn assume_sent(&mut self) {
        self.sent = self.sent.max(self.accepted);
    }

    /// Takes everything that was accepted for sent to the attached socket, so that an evicted frame is missing only if a resume
    /// asks for it.
    pub(in super::super) fn assume_in_flight(&mut self) {
        self.assume_sent();
        self.cursor = self.accepted;
        self.in_flight = self.frames;
    }

    /// The counts, for a snapshot.
    pub(in super::super) fn outgoing(&self) -> Outgoing {
        Outgoing {
            accepted: self.accepted,
            cursor: match self.mode {
                Mode::Session => self.cursor,
                // Frames that this socket has not written completely are sent to the next one.
                Mode::Plain => self.before_kept(),
            },
            sent: self.sent,
            acknowledged: self.acked,
            dropped: self.dropped,
        }
    }

    /// The kept frames and everything else that is not a count, for a snapshot.
    pub(in super::super) fn unacknowledged_frames(&self) -> Unacknowledged {
        // Naming every field makes the compiler report a new one that is missing here.
        let Self {
            mode: _,
            // Derived from `kept` and `cursor`.
            frames: _,
            in_flight: _,
            bytes: _,
            // In `outgoing`.
            accepted: _,
            cursor: _,
            sent: _,
            acked: _,
            dropped: _,
            kept,
            evicted_in_flight,
            deliveries,
            rewound,
            abandoned,
        } = self;
        Unacknowledged {
            kept: runs(kept),
            evicted_in_flight: evicted_in_flight.as_deref().copied(),
            deliveries: deliveries.as_deref().cloned(),
            abandoned: *abandoned,
            rewound: rewound.as_deref().copied(),
        }
    }

    /// Creates a buffer with these counts, for a session without a socket. It keeps no frames.
    pub(in super::super) fn with_outgoing(mode: Mode, outgoing: Outgoing) -> Self {
        let Outgoing { accepted, cursor, sent, acknowledged, dropped } = outgoing;
        Self { accepted, cursor, sent, acked: acknowledged, dropped, ..Self::new(mode) }
    }

    /// Adds the [unacknowledged frames](Self::unacknowledged_frames) of a snapshot to a buffer that keeps none.
    pub(in super::super) fn add_unacknowledged(&mut self, unacknowledged: Unacknowledged) {
        let Unacknowledged { kept, evicted_in_flight, deliveries, abandoned, rewound } = unacknowledged;
        for SnapshotRun { first, messages } in kept {
            for (number, message) in (first..).zip(messages) {
                self.frames += 1;
                self.in_flight += u32::from(number <= self.cursor);
                self.bytes += message.len();
                self.kept.push_back(Span::direct(message).numbered(number));
            }
        }
        self.evicted_in_flight = evicted_in_flight.map(Box::new);
        self.deliveries = deliveries.map(Box::new);
        self.abandoned = abandoned;
        self.rewound = rewound.map(Box::new);
    }
}

/// The kept messages, grouped into runs of consecutive numbers.
fn runs(kept: &SpanQueue) -> Vec<SnapshotRun> {
    let mut runs: Vec<SnapshotRun> = Vec::new();
    for span in kept.iter_from(0) {
        let messages = (0..span.len()).map(|offset| span.message(offset).clone());
        match runs.last_mut() {
            Some(run) if run.first + run.messages.len() as u64 == span.first() => {
                run.messages.extend(messages)
            }
            _ => runs.push(SnapshotRun { first: span.first(), messages: messages.collect() }),
        }
    }
    runs
}

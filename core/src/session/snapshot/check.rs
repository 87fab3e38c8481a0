//! Validation of snapshots, whose bytes may be damaged or forged.

use std::fmt;

use crate::Gap;

use super::super::config::{Mode, SessionConfig, Side};
use super::super::event::Event;
use super::{
    Deliveries, EvictedInFlight, Outgoing, PendingEvent, RewoundFrames, SessionSnapshot, SnapshotRun,
    Unacknowledged,
};

/// Why a session cannot continue from a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The configuration is for the other side, or for the other mode.
    Mismatch {
        /// The snapshot's side and mode.
        found: (Side, Mode),
        /// The configuration's side and mode.
        expected: (Side, Mode),
    },
    /// The session keeps more for its peer than the configuration allows.
    TooBig {
        /// Number of messages in the snapshot.
        frames: usize,
        /// Bytes of these messages.
        bytes: usize,
    },
    /// No session can have this content: it was damaged or forged. The text says what is wrong.
    Damaged(&'static str),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { found, expected } => {
                write!(f, "session snapshot of another side or mode: {found:?} (expected {expected:?})")
            }
            Self::TooBig { frames, bytes } => {
                write!(
                    f,
                    "session snapshot keeps more than `buffer_frames` or `buffer_bytes`: {frames} frames, {bytes} bytes"
                )
            }
            Self::Damaged(what) => write!(f, "damaged session snapshot: {what}"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// Maximum of all numbers: no real session counts that far, and sums of such numbers do not overflow.
const MAX_NUMBER: u64 = 1 << 60;

/// The valid range of a server's `buffer`, in frames.
const BUFFERS: std::ops::RangeInclusive<u32> = 1..=65_536;

impl SessionSnapshot {
    /// Checks all invariants that the session relies on.
    pub(super) fn check(&self, config: &SessionConfig) -> Result<(), SnapshotError> {
        let (found, expected) = ((self.side, self.mode), (config.side, config.mode));
        if found != expected {
            return Err(SnapshotError::Mismatch { found, expected });
        }
        let (progress, unacknowledged) = (&self.progress, &self.unacknowledged);
        let rules = [
            (self.has_valid_identity(), "`identity` does not fit side, mode and `announced`"),
            (self.has_valid_sockets(), "`sockets`, `suspended_for_ns` and `ended` contradict each other"),
            (progress.outgoing.is_ordered(self.mode, &unacknowledged.kept), "`outgoing` is not in order"),
            (
                self.side == Side::Client || progress.outgoing.dropped <= progress.outgoing.accepted,
                "more frames dropped than accepted",
            ),
            (progress.sent.replayed <= progress.sent.frames, "more frames replayed than sent"),
            (progress.received.gaps <= progress.received.frames, "more frames in gaps than received"),
            (self.numbers().all(|number| number <= MAX_NUMBER), "a number is too large"),
            (
                unacknowledged.is_between(&progress.outgoing),
                "`kept` is not in order, or not between `acknowledged` and `accepted`",
            ),
            (self.has_valid_evicted(), "`evicted_in_flight` is not a range of sent frames before `kept`"),
            (
                unacknowledged.has_valid_rewound(&progress.outgoing),
                "`rewound` is empty, or of frames that were not accepted",
            ),
            (
                self.has_valid_deliveries(),
                "`deliveries` are not in order, or of frames that were not accepted",
            ),
            (self.events.iter().all(PendingEvent::is_possible), "an event is impossible"),
            (self.has_valid_end(), "`ended`, `closing` and the event `closed` contradict each other"),
            (
                self.side == Side::Client || !(self.retired || self.unreported.is_some()),
                "a server's session is `retired` or has `unreported` losses",
            ),
        ];
        if let Some((_, what)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(SnapshotError::Damaged(what));
        }
        unacknowledged.check_limits(config)
    }

    fn has_valid_identity(&self) -> bool {
        let has_identity = self.identity.is_some();
        let is_opened = match (self.side, self.mode) {
            (_, Mode::Plain) => return !has_identity && self.announced.is_none(),
            (Side::Server, Mode::Session) => return has_identity && self.announced.is_none(),
            (Side::Client, Mode::Session) => self.announced,
        };
        is_opened.is_some() == has_identity
            && is_opened
                .is_none_or(|limits| BUFFERS.contains(&limits.buffer_frames) && limits.buffer_bytes > 0)
    }

    fn has_valid_sockets(&self) -> bool {
        let (is_suspended, had_socket) =
            (self.progress.suspended_for.is_some(), self.progress.sockets.epoch > 0);
        let is_known =
            if self.ended.is_some() { had_socket || !is_suspended } else { had_socket == is_suspended };
        is_known && self.progress.sockets.epoch <= self.progress.sockets.reserved
    }

    /// All numbers that enter a sum.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        let lost = |pending: &PendingEvent| match &pending.event {
            Event::Lost { dropped, .. } => *dropped,
            _ => 0,
        };
        let unreported = self.unreported.as_ref().map_or(0, |unreported| unreported.dropped);
        let others = [
            self.progress.sockets.reserved,
            self.progress.outgoing.accepted,
            self.progress.outgoing.dropped,
            self.progress.sent.frames,
            self.progress.sent.bytes,
            self.progress.sent.gaps,
            self.progress.received.frames,
            self.unacknowledged.abandoned,
            unreported,
            self.events.iter().map(|pending| u64::from(pending.size)).sum(),
        ];
        others.into_iter().chain(self.events.iter().map(lost))
    }

    fn has_valid_evicted(&self) -> bool {
        let Some(EvictedInFlight { range, frames }) = self.unacknowledged.evicted_in_flight else {
            return true;
        };
        self.mode == Mode::Session
            && is_possible(range)
            && (1..=range.frames()).contains(&frames)
            && range.to > self.progress.outgoing.acknowledged
            && range.to <= self.progress.outgoing.cursor
            && self.unacknowledged.kept.first().is_none_or(|run| run.first > range.to)
    }

    fn has_valid_deliveries(&self) -> bool {
        let Some(Deliveries { waiting, decided: _ }) = &self.unacknowledged.deliveries else {
            return true;
        };
        waiting.iter().is_sorted_by(|a, b| a < b)
            && waiting.back().is_none_or(|last| *last <= self.progress.outgoing.accepted)
    }

    fn has_valid_end(&self) -> bool {
        let is_end = |pending: &PendingEvent| matches!(pending.event, Event::Closed(_));
        let end = self.events.iter().position(is_end);
        match &self.ended {
            Some(_) => self.closing.is_none() && end.is_none_or(|end| end + 1 == self.events.len()),
            None => end.is_none(),
        }
    }
}

impl Outgoing {
    fn is_ordered(&self, mode: Mode, kept: &[SnapshotRun]) -> bool {
        let Self { accepted, cursor, sent, acknowledged, dropped: _ } = *self;
        let follows_socket = match mode {
            Mode::Session => acknowledged <= cursor && cursor <= sent,
            Mode::Plain => {
                kept.first().map_or(Some(accepted), |run| run.first.checked_sub(1)) == Some(cursor)
            }
        };
        follows_socket && acknowledged <= sent && sent <= accepted
    }
}

impl Unacknowledged {
    fn is_between(&self, outgoing: &Outgoing) -> bool {
        let mut before = outgoing.acknowledged;
        self.abandoned <= outgoing.accepted
            && self.kept.iter().all(|run| {
                let last =
                    run.first.checked_add(run.messages.len() as u64).and_then(|end| end.checked_sub(1));
                let follows = run.first > before && !run.messages.is_empty();
                before = last.unwrap_or(u64::MAX);
                follows && before <= outgoing.accepted
            })
    }

    fn has_valid_rewound(&self, outgoing: &Outgoing) -> bool {
        self.rewound.is_none_or(|RewoundFrames { last, frames, bytes }| {
            (1..=outgoing.accepted).contains(&last) && frames > 0 && bytes as u64 <= MAX_NUMBER
        })
    }

    /// Checks the limits in session mode. In plain mode a session can exceed them: messages that a lost socket did not write
    /// completely count against the buffer again.
    fn check_limits(&self, config: &SessionConfig) -> Result<(), SnapshotError> {
        let messages = || self.kept.iter().flat_map(|run| &run.messages);
        let (frames, bytes) = (messages().count(), messages().map(|message| message.len()).sum());
        let rewound = self.rewound.unwrap_or_default();
        let fits = frames <= config.buffer_frames as usize + rewound.frames as usize
            && (frames <= 1 || bytes <= config.buffer_bytes.saturating_add(rewound.bytes));
        match config.mode {
            Mode::Session if !fits => Err(SnapshotError::TooBig { frames, bytes }),
            Mode::Session | Mode::Plain => Ok(()),
        }
    }
}

impl PendingEvent {
    fn is_possible(&self) -> bool {
        match self.event {
            Event::Gap(gap) => is_possible(gap),
            _ => true,
        }
    }
}

fn is_possible(gap: Gap) -> bool {
    1 <= gap.from && gap.from <= gap.to && gap.to <= MAX_NUMBER
}

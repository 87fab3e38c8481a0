//! Adds members to a [`Room`], and decides whether it stays when it has none.

use std::sync::Arc;
use std::time::Instant;

use rejoin_core::drive::sync::MutexGuard;
use rejoin_core::drive::{Effects, Sequencer, now};

use crate::connection::Connection;
use crate::context::ServerContext;
use crate::fanout::encoded::Encoded;
use crate::fanout::history::{Selection, Unencoded};
use crate::fanout::members::{Joined, Members};
use crate::fanout::rewind::{Rewind, Rewound};
use crate::fanout::room::Room;

/// The result of joining a room.
pub(crate) struct JoinOutcome {
    pub(crate) joined: Joined,
    /// The room had no members before.
    pub(crate) is_first: bool,
    pub(crate) rewound: Rewound,
}

/// The outcome for a room without members.
pub(super) enum Settled {
    /// It is dead, and has to be removed from the table.
    Dead,
    /// It is kept until its history ends, at this time at the earliest.
    Kept(Instant),
    /// It has members again, or was kept already.
    Other,
}

/// Why a kept room is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Its history has expired, unless newer frames were added.
    Ended,
    /// Too many rooms are kept.
    TooMany,
}

impl Room {
    /// Adds a member, after queueing the frames of the history that it requests.
    pub(crate) fn join(
        &self,
        connection: &Connection,
        sequencer: &Arc<Sequencer>,
        rewind: Option<&Rewind>,
        context: &ServerContext,
    ) -> JoinOutcome {
        let (mut members, selection) = self.select(connection.codec_index(), rewind, context);
        let joined = members.add(connection, self.name(), sequencer, &context.options.limits);
        let mut rewound = Rewound { is_new: joined == Joined::Added, ..Rewound::default() };
        let mut effects = Effects::default();
        // Under the lock, so that no broadcast falls between the history and the first later frame.
        if let Some((history, selection)) = members.history.as_ref().zip(selection).filter(|_| rewound.is_new)
        {
            let spans = history.spans(&selection.offsets, connection.codec_index());
            let asked = spans.len();
            (rewound.frames, effects) = connection.session().send_history(spans);
            rewound.is_complete = selection.is_complete && rewound.frames == asked;
        }
        let is_first = rewound.is_new && members.len() == 1;
        drop(members);
        connection.session().apply(effects);
        if rewound.is_new && connection.has_changes() {
            // The session's own task reports the join.
            connection.session().wake_driver();
        }
        JoinOutcome { joined, is_first, rewound }
    }

    /// Locks the room, and selects the frames that a newcomer requests. All of them are encoded with its codec.
    fn select(
        &self,
        codec: usize,
        rewind: Option<&Rewind>,
        context: &ServerContext,
    ) -> (MutexGuard<'_, Members>, Option<Selection>) {
        loop {
            let mut members = self.lock();
            let Some((history, rewind)) = members.history.as_mut().zip(rewind) else {
                return (members, None);
            };
            let selection = history.select(rewind, codec, now());
            let unencoded = history.unencoded(&selection.offsets, codec);
            if unencoded.is_empty() {
                return (members, Some(selection));
            }
            // A codec is foreign code, so the lock is released. The loop ends, because later frames are encoded with the codec
            // before they enter the history.
            drop(members);
            let encode = |(offset, frame): Unencoded| {
                let mut encoded = Encoded::new(&frame, context);
                encoded.encode(codec);
                (offset, encoded.encodings()[codec].clone())
            };
            let encodings = unencoded.into_iter().map(encode).collect();
            if let Some(history) = &mut self.lock().history {
                history.add_encodings(codec, encodings);
            }
        }
    }

    /// Clears the history if the room has no members or `forgets_all` is set; otherwise removes expired frames. Returns whether the
    /// room is dead.
    pub(super) fn forget(&self, forgets_all: bool, now: Instant) -> bool {
        let mut members = self.lock();
        let is_empty = members.len() == 0;
        let Some(history) = &mut members.history else { return false };
        if is_empty || forgets_all {
            history.clear();
        } else {
            history.expire(now);
        }
        if is_empty {
            members.settle();
        }
        members.dead
    }

    /// Decides the outcome for a room that lost its last member, that got a frame without a member, or that was kept until now.
    pub(super) fn settle(&self, why: Option<Overdue>, now: Instant) -> Settled {
        let mut members = self.lock();
        members.is_kept &= why.is_none();
        if members.len() > 0 || members.is_kept {
            return Settled::Other;
        }
        if let Some(history) = &mut members.history {
            match why {
                Some(Overdue::TooMany) => history.clear(),
                _ => history.expire(now),
            }
        }
        members.settle();
        match members.history.as_ref().and_then(|history| history.ends_at()) {
            Some(ends_at) => {
                members.is_kept = true;
                Settled::Kept(ends_at)
            }
            None => Settled::Dead,
        }
    }
}

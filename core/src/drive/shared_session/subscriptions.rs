//! [`Subscriptions`]: the room logs that a session subscribes to.

use std::sync::Arc;

use crate::Session;
use crate::drive::room_log::{Cursor, Drained, RoomLog};

use super::form::Form;

/// The room logs that a session subscribes to.
///
/// Usually there is one, which is stored inline: every session has this field, and a fan-out reads it for each member.
#[derive(Debug)]
pub(super) enum Subscriptions {
    /// No log, or one.
    Single { log: Option<Arc<RoomLog>>, cursor: Cursor },
    /// Two or more.
    #[allow(
        clippy::box_collection,
        reason = "every session has this field, and a box needs no more than a single log"
    )]
    Several(Box<Vec<Subscription>>),
}

#[derive(Debug)]
pub(super) struct Subscription {
    log: Arc<RoomLog>,
    cursor: Cursor,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self::Single { log: None, cursor: Cursor::default() }
    }
}

impl Subscriptions {
    /// Subscribes to a log from its next message on. All logs of a session share one [`Sequencer`](crate::drive::Sequencer), and
    /// `lane`, the index of the session's codec, is the same in all of them.
    pub(super) fn add(&mut self, log: &Arc<RoomLog>, lane: u16) {
        debug_assert!(self.get(0).is_none_or(|(first, _)| first.shares_sequencer(log)));
        let (log, cursor) = (log.clone(), log.subscribe(lane));
        match self {
            Self::Single { log: None, .. } => *self = Self::Single { log: Some(log), cursor },
            Self::Single { log: first, cursor: first_cursor } => {
                let first = first.take().map(|log| Subscription { log, cursor: *first_cursor });
                let all = first.into_iter().chain([Subscription { log, cursor }]).collect();
                *self = Self::Several(Box::new(all));
            }
            Self::Several(all) => all.push(Subscription { log, cursor }),
        }
    }

    /// Drains a log for the last time, and removes it. Does not wake a hibernated session that has nothing to drain.
    pub(super) fn remove(&mut self, log: &RoomLog, lane: u16, form: &mut Form) -> Drained {
        let found =
            (0..).map_while(|index| self.get(index)).position(|(other, _)| std::ptr::eq(&**other, log));
        found.map(|index| self.remove_at(index, lane, form)).unwrap_or_default()
    }

    /// Drains all logs for the last time, and removes them.
    pub(super) fn clear(&mut self, lane: u16, form: &mut Form) -> Drained {
        let mut drained = Drained::default();
        while self.get(0).is_some() {
            drained |= self.remove_at(0, lane, form);
        }
        drained
    }

    fn remove_at(&mut self, index: usize, lane: u16, form: &mut Form) -> Drained {
        let mut drained = Drained::default();
        // Draining keeps the order of the tickets, so it locks all logs, one after the other. A message that is broadcast between
        // draining and unsubscribing is drained in the next round.
        while let Some((log, cursor)) = self.get(index)
            && !log.unsubscribe(lane, cursor)
        {
            drained |= self.drain(lane, form);
        }
        if let Self::Several(all) = self {
            all.remove(index);
            // A single remaining log is stored inline again.
            if all.len() == 1
                && let Some(Subscription { log, cursor }) = all.pop()
            {
                *self = Self::Single { log: Some(log), cursor };
            }
        } else {
            *self = Self::default();
        }
        drained
    }

    /// Sends the broadcasts since the last call to the session, in the order of their tickets. Does not wake a hibernated session
    /// if there are none.
    pub(super) fn drain(&mut self, lane: u16, form: &mut Form) -> Drained {
        // Comparing a cursor takes no lock: usually there is nothing to drain.
        match self {
            // A single log is in the order of its tickets.
            Self::Single { log: Some(log), cursor } if log.is_behind(*cursor) => {
                log.drain(lane, cursor, u64::MAX, &mut form.live().session)
            }
            Self::Single { .. } => Drained::default(),
            Self::Several(all) if all.iter().any(|each| each.log.is_behind(each.cursor)) => {
                merge(all, lane, &mut form.live().session)
            }
            Self::Several(_) => Drained::default(),
        }
    }

    fn get(&self, index: usize) -> Option<(&Arc<RoomLog>, Cursor)> {
        match self {
            Self::Single { log, cursor } => log.as_ref().filter(|_| index == 0).map(|log| (log, *cursor)),
            Self::Several(all) => all.get(index).map(|each| (&each.log, each.cursor)),
        }
    }
}

/// Drains several logs in the order of their tickets, and holds the lock of one at a time.
fn merge(all: &mut [Subscription], lane: u16, session: &mut Session) -> Drained {
    let mut drained = Drained::default();
    // Read before any log is locked. A message that is broadcast from here on waits for the next access, even if its log is
    // locked last: otherwise it could overtake a message that meanwhile entered a log that was locked earlier.
    let horizon = all[0].log.horizon();
    loop {
        // The message with the lowest ticket, and the lowest ticket in the other logs: up to there its log is drained.
        let mut lowest: Option<(u64, &mut Subscription)> = None;
        let mut until = horizon;
        for subscription in &mut *all {
            let Some(ticket) = subscription.log.ticket(subscription.cursor) else { continue };
            match &lowest {
                Some((other, _)) if *other < ticket => until = until.min(ticket),
                _ => {
                    if let Some((other, _)) = lowest.replace((ticket, subscription)) {
                        until = until.min(other);
                    }
                }
            }
        }
        match lowest {
            Some((ticket, Subscription { log, cursor })) if ticket < horizon => {
                drained |= log.drain(lane, cursor, until, session);
            }
            _ => return drained,
        }
    }
}

#[cfg(test)]
mod tests;

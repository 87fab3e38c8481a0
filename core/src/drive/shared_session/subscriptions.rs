//! [`RoomSubscriptions`]: the room logs that a session subscribes to.

use std::sync::Arc;

use thin_vec::ThinVec;

use crate::Session;
use crate::drive::room_log::{Cursor, Drained, RoomLog, Subscriber};

use super::form::Form;

/// The room logs that a session subscribes to. The first is that of its home room.
///
/// Usually there is one, which is stored inline: every session has this field, and a fan-out reads it for each member.
#[derive(Debug)]
pub(super) enum RoomSubscriptions {
    /// No log, or one.
    Single { log: Option<Arc<RoomLog>>, cursor: Cursor },
    /// Two or more; or those of a session that has ended or is closing.
    Several(ThinVec<Subscription>),
}

#[derive(Debug)]
pub(super) struct Subscription {
    log: Arc<RoomLog>,
    /// `None` once the session has ended or is closing: it gets no more messages, and is still a member of the log's room.
    cursor: Option<Cursor>,
}

impl Default for RoomSubscriptions {
    fn default() -> Self {
        Self::Single { log: None, cursor: Cursor::default() }
    }
}

impl RoomSubscriptions {
    /// Subscribes to a log from its next message on. All logs of a session share one [`Sequencer`](crate::drive::Sequencer), and
    /// the subscriber is the same in all of them.
    pub(super) fn add(&mut self, log: &Arc<RoomLog>, subscriber: Subscriber) {
        debug_assert!(self.get(0).is_none_or(|(first, _)| first.shares_sequencer(log)));
        let cursor = log.subscribe(subscriber, self.get(0).is_none());
        let log = log.clone();
        match self {
            Self::Single { log: None, .. } => *self = Self::Single { log: Some(log), cursor },
            Self::Single { log: first, cursor: first_cursor } => {
                let first = first.take().map(|log| Subscription { log, cursor: Some(*first_cursor) });
                let mut all = ThinVec::with_capacity(2);
                all.extend(first.into_iter().chain([Subscription { log, cursor: Some(cursor) }]));
                *self = Self::Several(all);
            }
            Self::Several(all) => {
                // By a quarter: many sessions have a few rooms each, and doubling would waste up to half of the memory.
                if all.len() == all.capacity() {
                    all.reserve_exact(1 + all.len() / 4);
                }
                all.push(Subscription { log, cursor: Some(cursor) });
            }
        }
    }

    /// Drains a log for the last time, and removes it. The first log is removed last. Does not wake a hibernated session that has
    /// nothing to drain.
    pub(super) fn remove(&mut self, log: &RoomLog, subscriber: Subscriber, form: &mut Form) -> Drained {
        let Some(index) = self.index_of(log) else { return Drained::default() };
        debug_assert!(index > 0 || self.len() == 1, "the home room is left last");
        let drained = self.unsubscribe(index, subscriber, form);
        match self {
            Self::Several(all) => {
                all.remove(index);
                // A single remaining log is stored inline again.
                if all.len() == 1
                    && let Some(Subscription { log, cursor: Some(cursor) }) = all.pop()
                {
                    *self = Self::Single { log: Some(log), cursor };
                }
            }
            _ => *self = Self::default(),
        }
        drained
    }

    /// Drains a log for the last time, and subscribes to another one in its place.
    pub(super) fn replace(
        &mut self,
        from: &RoomLog,
        to: &Arc<RoomLog>,
        subscriber: Subscriber,
        form: &mut Form,
    ) -> Drained {
        let Some(index) = self.index_of(from) else { return Drained::default() };
        let drained = self.unsubscribe(index, subscriber, form);
        let (new, begin) = (to.clone(), to.subscribe(subscriber, index == 0));
        match self {
            Self::Single { log, cursor } => (*log, *cursor) = (Some(new), begin),
            Self::Several(all) => all[index] = Subscription { log: new, cursor: Some(begin) },
        }
        drained
    }

    /// Drains all logs for the last time, and ends all subscriptions. A second call does nothing.
    pub(super) fn end(&mut self, subscriber: Subscriber, form: &mut Form) -> Drained {
        let mut drained = Drained::default();
        let mut ended = ThinVec::new();
        // The last one first, because the index of the first one makes it the home.
        while let Some(index) = self.len().checked_sub(1) {
            drained |= self.unsubscribe(index, subscriber, form);
            let log = match self {
                Self::Single { log, .. } => log.take(),
                Self::Several(all) => all.pop().map(|each| each.log),
            };
            ended.extend(log.map(|log| Subscription { log, cursor: None }));
        }
        if !ended.is_empty() {
            *self = Self::Several(ended);
        }
        drained
    }

    /// Takes the logs of a session that has ended or is closing, the last one first.
    pub(super) fn take_ended(&mut self) -> ThinVec<Subscription> {
        match self {
            Self::Several(ended) if ended.iter().all(|each| each.cursor.is_none()) => std::mem::take(ended),
            _ => ThinVec::new(),
        }
    }

    /// Drains the log at this index for the last time. The caller removes it.
    fn unsubscribe(&mut self, index: usize, subscriber: Subscriber, form: &mut Form) -> Drained {
        let mut drained = Drained::default();
        // Draining keeps the order of the tickets, so it locks all logs, one after the other. A message that is broadcast between
        // draining and unsubscribing is drained in the next round.
        while let Some((log, cursor)) = self.get(index)
            && !log.unsubscribe(subscriber, index == 0, cursor)
        {
            drained |= self.drain(subscriber, form);
        }
        drained
    }

    /// Sends the broadcasts since the last call to the session, in the order of their tickets. Does not wake a hibernated session
    /// if there are none.
    pub(super) fn drain(&mut self, subscriber: Subscriber, form: &mut Form) -> Drained {
        // Comparing a cursor takes no lock: usually there is nothing to drain.
        match self {
            // A single log is in the order of its tickets.
            Self::Single { log: Some(log), cursor } if log.is_behind(*cursor) => {
                log.drain(subscriber, true, cursor, u64::MAX, &mut form.live().session)
            }
            Self::Several(all) if all.iter().any(Subscription::is_behind) => {
                merge(all, subscriber, &mut form.live().session)
            }
            _ => Drained::default(),
        }
    }

    /// The rooms of the logs, the home room first.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &Arc<str>> {
        (0..).map_while(|index| self.get(index)).map(|(log, _)| log.room())
    }

    /// Whether it subscribes to this log.
    pub(super) fn contains(&self, log: &RoomLog) -> bool {
        self.index_of(log).is_some()
    }

    fn len(&self) -> usize {
        match self {
            Self::Single { log, .. } => usize::from(log.is_some()),
            Self::Several(all) => all.iter().filter(|each| each.cursor.is_some()).count(),
        }
    }

    fn index_of(&self, log: &RoomLog) -> Option<usize> {
        (0..).map_while(|index| self.get(index)).position(|(other, _)| std::ptr::eq(&**other, log))
    }

    /// The subscription at this index, which has not ended.
    fn get(&self, index: usize) -> Option<(&Arc<RoomLog>, Cursor)> {
        match self {
            Self::Single { log, cursor } => log.as_ref().filter(|_| index == 0).map(|log| (log, *cursor)),
            Self::Several(all) => all.get(index).and_then(|each| Some((&each.log, each.cursor?))),
        }
    }
}

impl Subscription {
    pub(super) fn room(&self) -> &Arc<str> {
        self.log.room()
    }

    fn is_behind(&self) -> bool {
        self.cursor.is_some_and(|cursor| self.log.is_behind(cursor))
    }

    /// The ticket of the first message that is not drained.
    fn ticket(&self) -> Option<u64> {
        self.log.ticket(self.cursor?)
    }
}

/// Drains several logs in the order of their tickets, and holds the lock of one at a time.
fn merge(all: &mut [Subscription], subscriber: Subscriber, session: &mut Session) -> Drained {
    let mut drained = Drained::default();
    // Read before any log is locked. A message that is broadcast from here on waits for the next access, even if its log is
    // locked last: otherwise it could overtake a message that meanwhile entered a log that was locked earlier.
    let horizon = all[0].log.horizon();
    loop {
        // The message with the lowest ticket, and the lowest ticket in the other logs: up to there its log is drained.
        let mut lowest: Option<(u64, usize)> = None;
        let mut until = horizon;
        for (index, each) in all.iter().enumerate() {
            let Some(ticket) = each.ticket().filter(|ticket| *ticket < horizon) else { continue };
            match lowest {
                Some((other, _)) if other < ticket => until = until.min(ticket),
                _ => {
                    if let Some((other, _)) = lowest.replace((ticket, index)) {
                        until = until.min(other);
                    }
                }
            }
        }
        let Some((_, index)) = lowest else { return drained };
        let Subscription { log, cursor: Some(cursor) } = &mut all[index] else { return drained };
        drained |= log.drain(subscriber, index == 0, cursor, until, session);
        if until == horizon {
            // The other logs have nothing before the horizon.
            return drained;
        }
    }
}

#[cfg(test)]
mod tests;

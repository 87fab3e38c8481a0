//! [`KeptRooms`]: rooms without members that keep a history.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Instant;

use rejoin_core::drive::sync::{Mutex, MutexGuard};

use crate::fanout::joining::Overdue;
use crate::fanout::room::Room;

/// The maximum number of kept rooms.
pub(super) const MAX_KEPT: usize = if cfg!(test) { 4 } else { 10_000 };

/// Rooms without members that keep a history, the longest kept first. A room may occur more than once, and may have members again: the
/// caller checks.
#[derive(Debug, Default)]
pub(super) struct KeptRooms {
    rooms: Mutex<KeptQueue>,
}

type KeptQueue = VecDeque<(Instant, Weak<Room>)>;

impl KeptRooms {
    /// Adds a room whose history expires at this time. Returns the rooms to check now.
    pub(super) fn push(
        &self,
        room: &Arc<Room>,
        ends_at: Instant,
        now: Instant,
    ) -> Vec<(Arc<Room>, Option<Overdue>)> {
        let mut rooms = self.lock();
        rooms.push_back((ends_at, Arc::downgrade(room)));
        take_overdue(&mut rooms, now).map(|(room, why)| (room, Some(why))).collect()
    }

    /// Takes the rooms to check: those whose history has expired, and those beyond the limit.
    pub(super) fn overdue(&self, now: Instant) -> Vec<(Arc<Room>, Overdue)> {
        take_overdue(&mut self.lock(), now).collect()
    }

    fn lock(&self) -> MutexGuard<'_, KeptQueue> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_overdue(rooms: &mut KeptQueue, now: Instant) -> impl Iterator<Item = (Arc<Room>, Overdue)> {
    std::iter::from_fn(move || {
        let (ends_at, _) = rooms.front()?;
        let why = if rooms.len() > MAX_KEPT {
            Overdue::TooMany
        } else if *ends_at < now {
            Overdue::Ended
        } else {
            return None;
        };
        Some((rooms.pop_front()?.1, why))
    })
    .filter_map(|(room, why)| Some((room.upgrade()?, why)))
}

//! [`Rooms`]: who is in which room, and one frame to all of them.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use rejoin_core::drive::{Queued, Tally, now};
use rejoin_core::{EncodeError, Frame, Mode, Overflow, SharedFrame, Tape, ws};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::error::BroadcastError;
use crate::sharded::Sharded;
use crate::shared::Shared;

/// All rooms. A room exists while it has members.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: Sharded<Arc<str>, Arc<Room>>,
}

#[derive(Debug, Default)]
struct Room {
    /// Held while a broadcast is queued, so that all members see the broadcasts of a room in the same order.
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// Shared with who flushes them; copied when somebody comes or goes meanwhile.
    list: Arc<Vec<Connection>>,
    /// What is broadcast in each codec, by its place among the server's.
    tapes: Vec<Tape>,
    /// Something was queued that no flush has begun to write.
    flush_due: bool,
    /// A flush is under way.
    flushing: bool,
    /// The last member has left, and the room is about to be removed: nobody may join any more.
    dead: bool,
}

impl Rooms {
    pub(crate) fn new() -> Self {
        Self { rooms: Sharded::new() }
    }

    /// The name of a room, the room's own where there is one.
    pub(crate) fn name(&self, name: &str) -> Arc<str> {
        let rooms = self.rooms.lock(name);
        rooms.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone())
    }

    /// Puts a connection into its room. Returns how many rooms were created for it: none or one, unless somebody else
    /// entered and left the first of them at the same time.
    pub(crate) fn join(&self, connection: &Connection) -> usize {
        let name = connection.shared_room();
        let mut created = 0;
        loop {
            let room = self
                .rooms
                .lock(&**name)
                .entry(name.clone())
                .or_insert_with(|| {
                    created += 1;
                    Arc::default()
                })
                .clone();
            let mut members = room.lock();
            if members.dead {
                // Whoever emptied it removes it; then there is a new one.
                drop(members);
                self.remove(name, &room);
                continue;
            }
            connection.set_place(members.list.len());
            Arc::make_mut(&mut members.list).push(connection.clone());
            return created;
        }
    }

    /// Takes a connection out of its room. A second call does nothing. Returns whether the room is gone with it.
    pub(crate) fn leave(&self, connection: &Connection) -> bool {
        let name = connection.shared_room();
        let Some(room) = self.room(name) else { return false };
        let mut members = room.lock();
        let place = connection.place();
        if !members.list.get(place).is_some_and(|found| found.is_same(connection)) {
            return false;
        }
        Arc::make_mut(&mut members.list).swap_remove(place);
        if let Some(moved) = members.list.get(place) {
            moved.set_place(place);
        }
        members.dead = members.list.is_empty();
        let dead = members.dead;
        drop(members);
        if dead {
            self.remove(name, &room);
        }
        dead
    }

    /// The members of a room, suspended ones included, and those whose last callback is to come.
    pub(crate) fn members(&self, name: &str) -> Vec<Connection> {
        self.room(name).map(|room| room.lock().list.to_vec()).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Queues a frame for all members: encoded and framed once for each codec among them. Returns for how many, and the
    /// bytes of all the encodings.
    pub(crate) fn broadcast(
        &self,
        name: &str,
        frame: &Frame,
        overflow: Overflow,
        shared: &Shared,
    ) -> Result<(usize, usize), BroadcastError> {
        let codecs = &shared.options.codecs;
        let Some(room) = self.room(name) else { return Ok((0, 0)) };
        let mut members = room.lock();
        //= PROTOCOL.md#3-control-frames: a broadcast of a `$` event fails as a whole
        if frame.is_reserved() && members.list.iter().any(|member| member.mode() == Mode::Session) {
            return Err(BroadcastError::Reserved);
        }
        members.tapes.resize_with(codecs.len(), Tape::default);
        let Members { list, tapes, .. } = &mut *members;
        let mut encodings: Vec<Option<Result<SharedFrame, EncodeError>>> = vec![None; codecs.len()];
        let mut tally = Tally::new(shared.suspended.budget());
        // Who may have to give something up although the socket would take it, because no flush has come so far.
        let mut behind = Vec::new();
        let (mut queued, mut told) = (0, false);
        let mut failed = None;
        for member in list.iter() {
            let index = member.codec_index();
            let encoding = encodings[index].get_or_insert_with(|| {
                let message = codecs[index].encode(frame)?;
                Ok(tapes[index].push(ws::encode_message(message.kind, &message.data)))
            });
            let accepted = match encoding {
                Ok(frame) => match member.cell().queue(frame, overflow, &mut tally) {
                    Ok(Queued { is_dropped, urgent }) => {
                        // Of a frame that was dropped there is a gap to be told.
                        told = true;
                        if urgent {
                            behind.push(member.clone());
                        }
                        !is_dropped
                    }
                    Err(_) => false,
                },
                Err(error) => {
                    failed = Some(error.clone());
                    member.cell().command(|session| session.send_missing()).ok();
                    false
                }
            };
            queued += usize::from(accepted);
        }
        members.flush_due |= told;
        let begins = members.flush_due && !std::mem::replace(&mut members.flushing, true);
        drop(tally);
        drop(members);
        write(&behind);
        if begins {
            Flush::begin(room, &shared.tasks);
        }
        match failed {
            // For some there is an image: the others are told of a gap.
            Some(error) if queued == 0 => Err(BroadcastError::Encode(error)),
            _ => Ok((queued, encodings.iter().flatten().flatten().map(|frame| frame.bytes().len()).sum())),
        }
    }

    fn room(&self, name: &str) -> Option<Arc<Room>> {
        self.rooms.lock(name).get(name).cloned()
    }

    fn remove(&self, name: &Arc<str>, room: &Arc<Room>) {
        let mut rooms = self.rooms.lock(&**name);
        if rooms.get(name).is_some_and(|found| Arc::ptr_eq(found, room)) {
            Sharded::remove(&mut rooms, name);
        }
    }
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what broadcasts have queued for the members of a room, one member after the other: each of them would have to be
/// woken otherwise, for one write. What is queued while a member waits for its turn leaves in the same write.
struct Flush {
    room: Arc<Room>,
    /// It has said that it ends.
    over: bool,
}

/// So many members are written to before other tasks have their turn.
const FLUSH_CHUNK: usize = 256;

impl Flush {
    /// Begins a flush, in a task of its own where there is a runtime.
    fn begin(room: Arc<Room>, tasks: &TaskTracker) {
        let mut flush = Self { room, over: false };
        match Handle::try_current() {
            Ok(runtime) => {
                let workers = runtime.metrics().num_workers();
                drop(tasks.spawn(flush.run(workers, tasks.clone())));
            }
            Err(_) => {
                while let Some(members) = flush.next() {
                    write(&members);
                }
            }
        }
    }

    async fn run(mut self, workers: usize, tasks: TaskTracker) {
        let mut first = true;
        while let Some(members) = self.next() {
            if !std::mem::take(&mut first) {
                tokio::task::yield_now().await;
            }
            // Every worker that is free takes a part of a room that is big.
            let parts = members.len().div_ceil(FLUSH_CHUNK).clamp(1, workers);
            let size = members.len().div_ceil(parts);
            if parts == 1 {
                write_in_chunks(&members).await;
                continue;
            }
            let writing: Vec<_> = (0..parts)
                .map(|part| {
                    let members = members.clone();
                    let range = (part * size).min(members.len())..((part + 1) * size).min(members.len());
                    tasks.spawn(async move { write_in_chunks(&members[range]).await })
                })
                .collect();
            for part in writing {
                // It does not panic; and what it has not written is written with what comes next.
                part.await.ok();
            }
        }
    }

    /// The members, if anything was queued for them since they were returned last.
    fn next(&mut self) -> Option<Arc<Vec<Connection>>> {
        let mut members = self.room.lock();
        let due = std::mem::take(&mut members.flush_due);
        members.flushing = due;
        self.over = !due;
        due.then(|| members.list.clone())
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        // Not to its end, where the runtime has ended.
        if !self.over {
            self.room.lock().flushing = false;
        }
    }
}

async fn write_in_chunks(members: &[Connection]) {
    for (index, chunk) in members.chunks(FLUSH_CHUNK).enumerate() {
        if index > 0 {
            tokio::task::yield_now().await;
        }
        write(chunk);
    }
}

fn write(members: &[Connection]) {
    let Some(first) = members.first() else { return };
    // All of them, though each write counts against the budget of the task that happens to do it.
    let write = tokio::task::coop::unconstrained(async {
        let now = now();
        let mut tally = Tally::new(first.budget());
        for member in members {
            member.flush(now, &mut tally);
        }
    });
    let written = pin!(write).poll(&mut Context::from_waker(Waker::noop()));
    debug_assert!(written.is_ready(), "nothing is waited for");
}

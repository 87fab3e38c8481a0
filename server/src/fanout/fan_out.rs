//! [`FanOut`]: the task that writes the queued broadcasts of a room to its members.

use std::sync::Arc;

use rejoin_core::drive::sync::{current_runtime, spawn_on};
use tokio::runtime::{Handle, Id};

use crate::context::ServerContext;
use crate::fanout::room::Room;
use crate::fanout::snapshot::RoomSnapshot;

/// The task that writes queued broadcasts to the members of a room, one member after the other. Otherwise each member's task
/// would have to be woken for one write. Frames that are queued while a member waits for its turn leave in the same write.
///
/// A room has at most one. It runs in the server's own runtime, wherever the broadcast came from.
pub(crate) struct FanOut {
    room: Arc<Room>,
    context: Arc<ServerContext>,
    /// The runtime that it runs in.
    runtime: Option<Id>,
    /// It has found the room clean, and has cleared `flushing` with that. Another fan-out may be there already.
    is_done: bool,
}

impl FanOut {
    /// Starts the fan-out of a room. The caller has set `flushing` and holds no lock: without a runtime the task is dropped at
    /// once, which takes the room's lock.
    pub(crate) fn begin(room: Arc<Room>, context: &Arc<ServerContext>) {
        let own = context.runtimes.own();
        // Without a runtime the number does not matter: the task is dropped.
        let workers = own.as_ref().map(|runtime| runtime.metrics().num_workers()).unwrap_or_default();
        let runtime = own.as_ref().map(Handle::id);
        let fan_out = Self { room, context: context.clone(), runtime, is_done: false };
        context.runtimes.spawn_on(own.as_ref(), fan_out.run(workers));
    }

    async fn run(mut self, workers: usize) {
        let mut first = true;
        while let Some(snapshot) = self.room.next_snapshot() {
            // Lets other tasks run between rounds: a room with a constant stream of broadcasts would otherwise occupy this
            // worker.
            if !std::mem::take(&mut first) {
                tokio::task::yield_now().await;
            }
            self.write(snapshot, workers).await;
            let budget = &self.context.budget;
            // Trimming a log has freed frames, behind the last access to a session.
            budget.settle();
            // Frames that the sockets did not take are kept, and may exceed the bound of all sessions.
            budget.evict_to_fit(0);
        }
        self.is_done = true;
    }

    async fn write(&self, snapshot: RoomSnapshot, workers: usize) {
        // The chunks of a big room are split among the runtime's workers.
        let chunks = snapshot.len();
        let size = chunks.div_ceil(chunks.clamp(1, workers));
        if chunks <= size {
            snapshot.write_all(0..chunks).await;
            return;
        }
        let runtime = current_runtime().expect("a task runs in one");
        let writing: Vec<_> = (0..chunks)
            .step_by(size)
            .map(|from| {
                let snapshot = snapshot.clone();
                let part = from..chunks.min(from + size);
                let write = async move { snapshot.write_all(part).await };
                spawn_on(self.context.tasks.track_future(write), &runtime)
            })
            .collect();
        // Waits for all parts before the next round, so that no two rounds write to the same chunk at the same time.
        for part in writing {
            // Fails only with its runtime, which drops this task, too: the next runtime writes the frames that are left.
            part.await.ok();
        }
    }
}

impl Drop for FanOut {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        // Dropped before its end. If its runtime ends, a fan-out in the next runtime writes to the members that are left. After a
        // panic the next broadcast starts one: here a waker that always panics would start fan-outs for ever. If `flushing`
        // stayed set without a fan-out, no broadcast would ever start another one.
        let panics = std::thread::panicking();
        if let Some(runtime) = self.runtime.filter(|_| !panics) {
            self.context.runtimes.remove(runtime);
        }
        let goes_on = !panics && self.context.runtimes.own().is_some();
        self.room.fan_out_stopped(goes_on);
        if goes_on {
            Self::begin(self.room.clone(), &self.context);
        }
    }
}

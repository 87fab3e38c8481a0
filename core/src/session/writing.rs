//! Progress reports of the driver about its writes.

use std::time::Instant;

use super::blocked::Blocked;
use super::{Epoch, Session, SessionState};

impl Session {
    /// Whether the last [`Self::handle_written`] on the attached socket left bytes pending.
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Records a write to the socket: the socket took `bytes` of any kind, which completed `frames` data frames. `pending` is
    /// the number of bytes that it did not take yet, `None` if it took everything.
    pub fn handle_written(
        &mut self,
        epoch: Epoch,
        frames: usize,
        bytes: usize,
        pending: Option<usize>,
        now: Instant,
    ) {
        if epoch != self.epoch {
            return;
        }
        // This includes frames that were written while the socket was being lost: they must not be written again.
        self.send_buffer.written(frames);
        if self.state != SessionState::Connected {
            return;
        }
        match (pending, &mut self.blocked) {
            (None, blocked) => *blocked = None,
            (Some(pending), Some(blocked)) => {
                // The peer cannot answer a ping before it has read the bytes in front of it, so progress counts as life. With few
                // bytes pending, progress proves little: a dying socket could take them byte by byte.
                //= PROTOCOL.md#R8.5: any byte that it takes counts as life too
                if bytes > 0 && blocked.has_much_pending() {
                    self.last_activity = now;
                }
                blocked.note(bytes, pending, self.config.write_timeout, now);
            }
            (Some(pending), blocked) => *blocked = Some(Box::new(Blocked::new(pending, now))),
        }
    }
}

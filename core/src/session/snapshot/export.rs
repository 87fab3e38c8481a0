//! Takes snapshots of sessions.

use std::time::Instant;

use super::super::pending_close::Closing;
use super::super::{Session, SessionState, Side};
use super::{Announced, PendingClose, Progress, SessionSnapshot, Sockets, VERSION};

impl Session {
    /// Takes a snapshot of the session at `now`; the session itself does not change.
    ///
    /// If a socket is attached, the snapshot is that of the session after the socket was [cut](Self::cut) at `now` (see
    /// [`SessionSnapshot`]). Copies the pending events; messages are shared.
    pub fn snapshot(&self, now: Instant) -> SessionSnapshot {
        if self.state == SessionState::Connected {
            let mut detached = self.clone();
            detached.cut(now);
            return detached.snapshot(now);
        }
        // Naming every field makes the compiler report a new one that is missing here.
        let Self {
            // In `progress`.
            epoch: _,
            sent: _,
            receiver: _,
            peer_max: _,
            lost: _,
            reserved: _,
            suspended_since: _,
            resumed: _,
            drops: _,
            // Partly in `progress`. Questions end with their process: the tasks that wait do not survive it. Volatile frames end with
            // their socket.
            rare: _,
            // Derived from `ended` and `suspended_since`.
            state: _,
            // State of the attached socket, which the next one resets.
            opened: _,
            ping: _,
            asking: _,
            asked: _,
            blocked: _,
            ahead: _,
            last_activity: _,
            // Derived from the configuration and `peer_buffer`.
            buffer: _,
            config,
            closing,
            ended,
            send_buffer,
            events,
            peer_buffer,
            peer_buffer_bytes,
            retired,
            // Nobody exports a session before it is there.
            is_reviving: _,
            identity,
            unreported,
            dropped,
            reconnect,
        } = self;
        let is_opened = config.side == Side::Client && identity.is_some();
        SessionSnapshot {
            version: VERSION,
            side: config.side,
            mode: config.mode,
            identity: identity.clone(),
            progress: self.progress(now),
            unacknowledged: send_buffer.unacknowledged_frames(),
            events: events.pending(),
            dropped: dropped.as_deref().cloned(),
            closing: closing.as_deref().map(|Closing { reason, deadline, sent: _ }| PendingClose {
                reason: reason.clone(),
                remaining: deadline.saturating_duration_since(now),
            }),
            ended: ended.as_deref().cloned(),
            reconnect: *reconnect,
            announced: is_opened
                .then_some(Announced { buffer_frames: *peer_buffer, buffer_bytes: *peer_buffer_bytes }),
            retired: *retired,
            unreported: unreported.as_deref().cloned(),
        }
    }

    /// The counts and numbers of a session without a socket.
    pub(in super::super) fn progress(&self, now: Instant) -> Progress {
        Progress {
            suspended_for: self.suspended_since.map(|since| now.saturating_duration_since(since)),
            sockets: Sockets {
                reserved: self.reserved.0,
                epoch: self.epoch.0,
                drops: self.drops,
                resumed: self.resumed,
            },
            max_message: Some(self.peer_max).filter(|max| *max < u32::MAX),
            outgoing: self.send_buffer.outgoing(),
            sent: self.sent,
            received: self.receiver.counts(),
            lost: self.lost,
            stray_answers: self.stray_answers(),
            volatile_dropped: self.volatile_dropped(),
        }
    }
}

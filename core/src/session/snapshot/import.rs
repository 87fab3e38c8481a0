//! Restores sessions from snapshots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::event_queue::EventQueue;
use super::super::pending_close::Closing;
use super::super::rare::RareState;
use super::super::receiver::Receiver;
use super::super::send_buffer::SendBuffer;
use super::super::{Epoch, Session, SessionConfig, SessionIdentity, SessionState};
use super::{
    Announced, Outgoing, PendingClose, Progress, ReceivedCounts, Sent, SessionSnapshot, SnapshotError,
    Sockets,
};

impl Session {
    /// Restores the session of a [snapshot](Self::snapshot).
    ///
    /// `now` is the time at which the snapshot was taken, on the clock of this process. If time has passed since then that counts
    /// against the resume window, subtract it from the current time. The configuration may have other limits than before; the
    /// next `$open` announces them to the peer.
    ///
    /// # Errors
    /// Fails if the configuration is for another side or mode, if the session keeps more messages than it allows, or if the
    /// content contradicts itself. A snapshot of an unknown version has already failed to deserialize.
    pub fn from_snapshot(
        snapshot: SessionSnapshot,
        config: Arc<SessionConfig>,
        now: Instant,
    ) -> Result<Self, SnapshotError> {
        snapshot.check(&config)?;
        let SessionSnapshot {
            version: _,
            side: _,
            mode: _,
            identity,
            progress,
            unacknowledged,
            events,
            dropped,
            closing,
            ended,
            reconnect,
            announced,
            retired,
            unreported,
        } = snapshot;
        let since = match progress.suspended_for {
            Some(time) => before(now, time)?,
            None => now,
        };
        let mut session = Self::with_progress(progress, identity, config, since);
        session.send_buffer.add_unacknowledged(unacknowledged);
        session.events = EventQueue::new(events);
        session.dropped = dropped.map(Box::new);
        if let Some(PendingClose { reason, remaining }) = closing {
            let deadline = now.checked_add(remaining);
            let deadline = deadline.ok_or(SnapshotError::Damaged("`closing.remaining_ns` is too long"))?;
            session.closing = Some(Box::new(Closing { reason, deadline, sent: false }));
        }
        if let Some(reason) = ended {
            session.state = SessionState::Closed;
            session.ended = Some(Box::new(reason));
        }
        session.reconnect = reconnect;
        if let Some(Announced { buffer_frames, buffer_bytes }) = announced {
            session.buffer = buffer_frames.min(session.config.buffer_frames);
            session.peer_buffer = buffer_frames;
            session.peer_buffer_bytes = buffer_bytes;
        }
        session.retired = retired;
        session.unreported = unreported.map(Box::new);
        Ok(session)
    }

    /// Server: a session of an earlier process, suspended for the time `waited`, that has sent `number` frames, which the client has
    /// received, and handled `received` frames of the client.
    ///
    /// It is revived until [`Self::assume_sent`]: what is accepted meanwhile was accepted by the earlier process already, and the
    /// client may have acknowledged it since. So a full buffer forgets its oldest frames, whatever the policy, and reports nothing.
    pub fn revived(
        config: Arc<SessionConfig>,
        identity: Arc<SessionIdentity>,
        number: u64,
        received: u64,
        waited: Duration,
        now: Instant,
    ) -> Self {
        let progress = Progress {
            suspended_for: Some(waited),
            sockets: Sockets { reserved: 1, epoch: 1, drops: 1, resumed: 0 },
            max_message: None,
            outgoing: Outgoing {
                accepted: number,
                cursor: number,
                sent: number,
                acknowledged: number,
                dropped: 0,
            },
            sent: Sent::default(),
            received: ReceivedCounts { frames: received, ..ReceivedCounts::default() },
            lost: None,
            stray_answers: 0,
            volatile_dropped: 0,
        };
        // The clock of the machine may be younger than the session.
        let since = now.checked_sub(waited).unwrap_or(now);
        Self { is_reviving: true, ..Self::with_progress(progress, Some(identity), config, since) }
    }

    /// Server: the client may have received everything that was accepted until now. For a [revived](Self::revived) session, which
    /// does not know what its earlier sockets have carried.
    pub fn assume_sent(&mut self) {
        self.send_buffer.assume_sent();
        self.is_reviving = false;
    }

    /// Creates a session that consists of this progress alone. `since` is the time of its suspension, if it is suspended.
    pub(in super::super) fn with_progress(
        progress: Progress,
        identity: Option<Arc<SessionIdentity>>,
        config: Arc<SessionConfig>,
        since: Instant,
    ) -> Self {
        let Progress {
            suspended_for,
            sockets,
            max_message,
            outgoing,
            sent,
            received,
            lost,
            stray_answers,
            volatile_dropped,
        } = progress;
        let Sockets { reserved, epoch, drops, resumed } = sockets;
        let is_suspended = suspended_for.is_some();
        Self {
            state: if is_suspended { SessionState::Suspended } else { SessionState::New },
            suspended_since: is_suspended.then_some(since),
            identity,
            reserved: Epoch(reserved),
            epoch: Epoch(epoch),
            drops,
            resumed,
            peer_max: max_message.unwrap_or(u32::MAX),
            send_buffer: SendBuffer::with_outgoing(config.mode, outgoing),
            sent,
            receiver: Receiver::new(received),
            lost,
            rare: RareState::of_counts(stray_answers, volatile_dropped),
            ..Self::new(config, since)
        }
    }
}

fn before(now: Instant, time: Duration) -> Result<Instant, SnapshotError> {
    now.checked_sub(time).ok_or(SnapshotError::Damaged("`suspended_for_ns` is too long"))
}

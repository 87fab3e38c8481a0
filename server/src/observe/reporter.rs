//! [`SessionReporter`]: tells the metrics and the log what becomes of one session.

use std::time::Instant;

use rejoin_core::drive::now;
use rejoin_core::{Counts, DropReason};
use tracing::Level;

use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::observe::hooks::elapsed;

/// What was told of a session so far. Its task calls this, inside the session's span.
#[derive(Debug, Default)]
pub(crate) struct SessionReporter {
    /// When the first socket was attached.
    opened: Option<Instant>,
    closed: bool,
    /// [`Counts::drops`] when it was looked at last, as far as it matters whether there are others.
    drops: u32,
    /// The counts that were told. `None` while nobody wants to know.
    told: Option<Box<Counts>>,
}

impl SessionReporter {
    /// A socket was attached.
    pub(crate) fn note_attached(&mut self, shared: &ServerInner, connection: &Connection) {
        // A takeover is the loss of the older socket, too.
        self.note_dropped(shared, connection);
        if self.opened.is_some() {
            shared.metrics.report(|metrics| metrics.transport_restored());
            tracing::debug!("socket attached, session goes on");
            return;
        }
        self.opened = Some(now());
        shared.metrics.report(|metrics| metrics.connection_opened());
        let (mode, codec) = (connection.mode(), connection.codec().name());
        tracing::debug!(?mode, codec, remote_addr = ?connection.remote_addr(), "session opened");
    }

    /// A socket may be no longer the session's.
    pub(crate) fn note_dropped(&mut self, shared: &ServerInner, connection: &Connection) {
        let (drops, why) =
            connection.session().drive(|session| (session.counts().drops, session.dropped().cloned()));
        let drops = drops as u32;
        if drops == self.drops {
            return;
        }
        self.drops = drops;
        let Some(why) = why else { return };
        tracing::debug!(%why, "socket dropped");
        shared.metrics.report(|metrics| {
            metrics.transport_dropped(&why);
            match why {
                DropReason::HeartbeatTimeout => metrics.heartbeat_failed(),
                DropReason::TakenOver => metrics.takeover(),
                _ => {}
            }
        });
    }

    /// Whether anybody wants to know what is counted.
    pub(crate) fn is_wanted(shared: &ServerInner) -> bool {
        shared.metrics.is_on() || tracing::enabled!(Level::DEBUG)
    }

    /// Tells what has passed since the last time.
    pub(crate) fn note_counts(&mut self, shared: &ServerInner, connection: &Connection) {
        if !Self::is_wanted(shared) {
            return;
        }
        let (counts, used) = connection.session().drive(|session| (session.counts(), session.occupied()));
        let told = self.told.get_or_insert_default();
        if **told == counts {
            return;
        }
        let old = std::mem::replace(&mut **told, counts);
        // A server's session only counts on; should one not, its task is not to panic over it.
        let new = |count: fn(&Counts) -> u64| count(&counts).saturating_sub(count(&old));
        let (gaps, dropped) = (new(|counts| counts.sent_gaps), new(|counts| counts.dropped));
        if dropped > 0 {
            // For each broadcast to each member that is away or slow: too much for debug.
            tracing::trace!(frames = dropped, "frames given up");
        }
        if gaps > 0 {
            tracing::debug!(frames = gaps, "peer is told of a gap");
        }
        shared.metrics.report(|metrics| {
            let gaps_received = new(|counts| counts.received_gaps);
            let received = new(|counts| counts.received - counts.received_gaps);
            let (sent, replayed) = (new(|counts| counts.sent), new(|counts| counts.replayed));
            if received > 0 {
                metrics.received(received, new(|counts| counts.received_bytes));
            }
            if gaps_received > 0 {
                metrics.gap_received(gaps_received);
            }
            if new(|counts| counts.accepted) > 0 {
                metrics.send_buffer_used(used, shared.options.send_buffer);
            }
            if sent > 0 {
                metrics.sent(sent, new(|counts| counts.sent_bytes));
            }
            if replayed > 0 {
                metrics.replayed(replayed);
            }
            if dropped > 0 {
                metrics.frames_dropped(dropped);
            }
            if gaps > 0 {
                metrics.gap_sent(gaps);
            }
            if counts.retained_bytes != old.retained_bytes {
                metrics.retained_bytes_changed(difference(counts.retained_bytes, old.retained_bytes));
            }
        });
    }

    /// Tells the end, once there is one.
    pub(crate) fn note_closed(&mut self, shared: &ServerInner, connection: &Connection) {
        let Some(opened) = self.opened.filter(|_| !self.closed) else { return };
        let (counts, reason) =
            connection.session().drive(|session| (session.counts(), session.ended().cloned()));
        let Some(reason) = reason else { return };
        self.closed = true;
        let lived = elapsed(opened);
        // With the ID: the span is there only where debug is wanted.
        tracing::info!(
            id = connection.id(),
            room = connection.room(),
            %reason,
            ?lived,
            received = counts.received,
            sent = counts.sent,
            replayed = counts.replayed,
            dropped = counts.dropped,
            unacknowledged = counts.unacknowledged,
            lost_sockets = counts.drops,
            resumed = counts.resumed,
            "session closed"
        );
        shared.metrics.report(|metrics| metrics.connection_closed(lived, &reason));
    }

    /// The session's task ends: what is left is told.
    pub(crate) fn finish(&mut self, shared: &ServerInner, connection: &Connection) {
        if self.opened.is_none() {
            tracing::debug!("session never had a socket");
        }
        self.note_dropped(shared, connection);
        // A session that has ended keeps nothing.
        self.note_counts(shared, connection);
        self.note_closed(shared, connection);
    }
}

/// `new - old`. No buffer is near the bounds.
fn difference(new: usize, old: usize) -> i64 {
    new as i64 - old as i64
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use rejoin_core::{CloseReason, Frame};

    use super::*;
    use crate::testing::{dial, runtime};
    use crate::{ConnectRequest, Identity, Metrics, Reject, Server};

    /// What was told, and the sum of the bytes that are kept.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<(Vec<String>, i64)>>);

    impl Metrics for Told {
        fn transport_dropped(&self, reason: &DropReason) {
            self.0.lock().unwrap().0.push(reason.kind().into());
        }

        fn connection_closed(&self, _: Duration, reason: &CloseReason) {
            self.0.lock().unwrap().0.push(reason.kind().into());
        }

        fn retained_bytes_changed(&self, by: i64) {
            self.0.lock().unwrap().1 += by;
        }
    }

    /// Nothing polls a task any more: it tells what has happened since as it is dropped.
    #[test]
    fn the_end_of_a_runtime_reports_what_its_sessions_have_not() {
        let told = Told::default();
        let runtime = runtime();
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::room("room").with_id("ada"));
        let server = Server::builder(connect).metrics(told.clone()).build().unwrap();
        let theirs = runtime.block_on(async {
            let theirs = dial(&server).await;
            server.cut("ada").unwrap();
            server.send("ada", &Frame::event_only("kept")).unwrap();
            theirs
        });
        drop(runtime);
        assert_eq!(*told.0.lock().unwrap(), (vec!["cut".to_owned(), "server_closed".to_owned()], 0));
        drop(theirs);
    }
}

//! [`SessionReporter`]: reports the life of one session to the metrics and the log.

use std::time::Instant;

use rejoin_core::drive::now;
use rejoin_core::{CloseReason, Counts, DropReason};
use tracing::Level;

use crate::context::ServerContext;
use crate::observe::hooks::elapsed;
use crate::session::handle::SessionHandle;

/// The state of one session that has been reported so far.
///
/// The session task and fan-outs call it, inside the session's span and behind the lock of the
/// [`Attachment`](crate::session::attachment::Attachment), never behind the session's own: hooks are foreign code.
#[derive(Debug, Default)]
pub(crate) struct SessionReporter {
    /// When the first socket was attached.
    opened: Option<Instant>,
    closed: bool,
    /// [`Counts::drops`] at the last report, in 32 bits: only a change matters.
    drops: u32,
    /// The counts at the last report. `None` while neither metrics nor the log need them.
    reported: Option<Box<Counts>>,
}

impl SessionReporter {
    /// Reports that a socket was attached.
    pub(crate) fn note_attached(&mut self, context: &ServerContext, handle: &SessionHandle) {
        // In a takeover the session has lost its older socket, too.
        self.note_dropped(context, handle);
        if self.opened.is_some() {
            context.metrics.report(|metrics| metrics.transport_restored());
            tracing::debug!("socket attached, session continues");
            return;
        }
        self.opened = Some(now());
        context.metrics.report(|metrics| metrics.connection_opened());
        let (mode, codec) = (handle.mode(), handle.codec(context).name());
        tracing::debug!(?mode, codec, remote_addr = ?handle.remote_addr(), "session opened");
    }

    /// Reports that the session has lost a socket, if it has.
    pub(crate) fn note_dropped(&mut self, context: &ServerContext, handle: &SessionHandle) {
        let (drops, why) =
            handle.session().drive(|session| (session.counts().drops, session.dropped().cloned()));
        let drops = drops as u32;
        if drops == self.drops {
            return;
        }
        self.drops = drops;
        let Some(why) = why else { return };
        tracing::debug!(%why, "socket dropped");
        context.metrics.report(|metrics| {
            metrics.transport_dropped(&why);
            match why {
                DropReason::HeartbeatTimeout => metrics.heartbeat_failed(),
                DropReason::TakenOver => metrics.takeover(),
                _ => {}
            }
        });
    }

    /// Whether metrics or the log need the counts.
    pub(crate) fn is_wanted(context: &ServerContext) -> bool {
        context.metrics.is_on() || tracing::enabled!(Level::DEBUG)
    }

    /// Reports the frames that have passed since the last call.
    pub(crate) fn note_counts(&mut self, context: &ServerContext, handle: &SessionHandle) {
        if !Self::is_wanted(context) {
            return;
        }
        let (counts, used) = handle.session().drive(|session| (session.counts(), session.occupied()));
        let reported = self.reported.get_or_insert_default();
        if **reported == counts {
            return;
        }
        let old = std::mem::replace(&mut **reported, counts);
        // A server's counts never decrease. If one did, the task must not panic.
        let new = |count: fn(&Counts) -> u64| count(&counts).saturating_sub(count(&old));
        let (gaps, dropped) = (new(|counts| counts.sent_gaps), new(|counts| counts.dropped));
        if dropped > 0 {
            // One line for each broadcast to each member that is away or slow would be too much for `debug`.
            tracing::trace!(frames = dropped, "frames dropped");
        }
        if gaps > 0 {
            tracing::debug!(frames = gaps, "gap reported to peer");
        }
        context.metrics.report(|metrics| {
            let gaps_received = new(|counts| counts.received_gaps);
            let received = new(|counts| counts.received - counts.received_gaps);
            let volatile_dropped = new(|counts| counts.volatile_dropped);
            let (sent, replayed) = (new(|counts| counts.sent), new(|counts| counts.replayed));
            if received > 0 {
                metrics.received(received, new(|counts| counts.received_bytes));
            }
            if gaps_received > 0 {
                metrics.gap_received(gaps_received);
            }
            if new(|counts| counts.accepted) > 0 {
                metrics.send_buffer_used(used, context.options.send_buffer);
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
            if volatile_dropped > 0 {
                metrics.volatile_dropped(volatile_dropped);
            }
            if gaps > 0 {
                metrics.gap_sent(gaps);
            }
            if counts.retained_bytes != old.retained_bytes {
                metrics.retained_bytes_changed(difference(counts.retained_bytes, old.retained_bytes));
            }
        });
    }

    /// Reports the end of the session, once it has ended.
    pub(crate) fn note_closed(&mut self, context: &ServerContext, handle: &SessionHandle) {
        let Some(opened) = self.opened.filter(|_| !self.closed) else { return };
        let (counts, reason) = handle.session().drive(|session| (session.counts(), session.ended().cloned()));
        let Some(reason) = reason else { return };
        self.closed = true;
        let lived = elapsed(opened);
        let is_left = handle.writer().is_some()
            && matches!(reason, CloseReason::TransportLost(DropReason::Draining { .. }));
        if is_left {
            tracing::info!(id = handle.id(), room = handle.room(), ?lived, "session left to the store");
        } else {
            // With the ID: the span exists only if the level `debug` is enabled.
            tracing::info!(
                id = handle.id(),
                room = handle.room(),
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
        }
        context.metrics.report(|metrics| metrics.connection_closed(lived, &reason));
    }

    /// Reports the remaining changes when the session task ends.
    pub(crate) fn finish(&mut self, context: &ServerContext, handle: &SessionHandle) {
        if self.opened.is_none() {
            tracing::debug!("session never had a socket");
        }
        self.note_dropped(context, handle);
        // A session that has ended keeps nothing.
        self.note_counts(context, handle);
        self.note_closed(context, handle);
    }
}

/// `new - old`. No buffer is large enough to overflow.
fn difference(new: usize, old: usize) -> i64 {
    new as i64 - old as i64
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use rejoin_core::{CloseReason, Frame};

    use super::*;
    use crate::testing::{connection, dial, runtime, server};
    use crate::{ConnectRequest, Identity, Metrics, Reject, Server};

    /// The reported reasons, and the total of the kept bytes.
    #[derive(Clone, Default)]
    struct Reported(Arc<Mutex<(Vec<String>, i64)>>);

    impl Metrics for Reported {
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

    /// No runtime polls the task any more: it reports the remaining changes when it is dropped.
    #[test]
    fn ending_runtime_reports_its_sessions() {
        let told = Reported::default();
        let runtime = runtime();
        let connect =
            async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room").with_id("ada"));
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

    #[test]
    fn counts_are_only_kept_for_metrics() {
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
        let measured = Server::builder(connect).metrics(Reported::default()).build().unwrap();
        for (shared, is_kept) in [(server(), false), (measured.shared().clone(), true)] {
            let mut reporter = SessionReporter::default();
            reporter.note_counts(&shared, connection(&shared).handle());
            assert_eq!(reporter.reported.is_some(), is_kept);
        }
    }
}

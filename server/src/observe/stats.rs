//! [`Stats`]: a snapshot of a server's numbers.

use rejoin_core::Counts;

/// A snapshot of a server's numbers. Taking one visits every connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The number of sessions with a socket.
    pub connections: usize,
    /// The number of sessions that wait for a socket.
    pub suspended: usize,
    /// The number of rooms with members.
    pub rooms: usize,
    /// The number of memberships: the members of all rooms together.
    pub memberships: usize,
    /// The number of users with connections.
    pub users: usize,
    /// Data frames received since the server was built, without those that clients have reported as gaps (PROTOCOL.md §3,
    /// `$gap`).
    pub frames_in: u64,
    /// Data frames accepted for sending since the server was built, once for each receiver.
    pub frames_out: u64,
    /// Bytes of the data frames received: the payloads of their WebSocket messages.
    pub bytes_in: u64,
    /// Bytes of the data frames sent to sockets, including replayed frames and WebSocket headers.
    pub bytes_out: u64,
    /// Data frames that were accepted and dropped, because a buffer overflowed or a codec could not represent them.
    pub dropped: u64,
    /// Volatile frames that were dropped, in both directions (PROTOCOL.md §12).
    pub volatile_dropped: u64,
    /// Sockets that resumed a session.
    pub resumed: u64,
    /// Upgrade requests that were refused.
    pub refused: u64,
    /// The number of callbacks that have been called and await something. Each session has at most one.
    pub handlers_running: usize,
    /// Bytes of messages that are kept for peers or being written to them. A broadcast counts once for each codec, however many
    /// sessions keep it. For the bytes that one session keeps see [`Counts::retained_bytes`](crate::Counts::retained_bytes).
    pub retained_bytes: usize,
}

/// The sums of the counts of sessions that have ended.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) frames_in: u64,
    pub(crate) frames_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) dropped: u64,
    pub(crate) volatile_dropped: u64,
    pub(crate) resumed: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, counts: &Counts) {
        let add = |sum: &mut u64, count: u64| *sum = sum.saturating_add(count);
        // Frames in a gap were not received, and a peer may report a gap of any size.
        add(&mut self.frames_in, counts.received.saturating_sub(counts.received_gaps));
        add(&mut self.frames_out, counts.accepted);
        add(&mut self.bytes_in, counts.received_bytes);
        add(&mut self.bytes_out, counts.sent_bytes);
        add(&mut self.dropped, counts.dropped);
        add(&mut self.volatile_dropped, counts.volatile_dropped);
        add(&mut self.resumed, counts.resumed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::testing::connection;
    use crate::{ConnectRequest, Identity, Reject, Server};

    #[test]
    fn reported_gaps_count_no_frames_and_never_overflow() {
        let mut totals = Totals::default();
        let mut counts = Counts::default();
        // A peer may report any number below 2^53, and many peers may.
        (counts.received, counts.received_gaps, counts.received_bytes) = ((1 << 53) + 1, (1 << 53) - 1, 7);
        for _ in 0..5000 {
            totals.add(&counts);
        }
        assert_eq!((totals.frames_in, totals.bytes_in), (2 * 5000, 7 * 5000));
        counts.accepted = u64::MAX;
        totals.add(&counts);
        totals.add(&counts);
        assert_eq!(totals.frames_out, u64::MAX);
    }

    #[test]
    fn sessions_end_while_connections_are_visited() {
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
        let server = Server::builder(connect).build().unwrap();
        let shared = server.shared().clone();
        let [visited, ends] = [connection(&shared), connection(&shared)];
        let (held, is_held) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let busy = visited.clone();
        let holds = std::thread::spawn(move || {
            busy.session().drive(|_| {
                held.send(()).unwrap();
                released.recv().ok();
            });
        });
        is_held.recv().unwrap();
        let handles = visited.handles();
        let visiting = server.clone();
        let visits = std::thread::spawn(move || visiting.stats());
        // The visitor has its list, and waits for the session's lock.
        while visited.handles() == handles {
            std::thread::yield_now();
        }
        let (ended, has_ended) = mpsc::channel();
        let retires = std::thread::spawn(move || {
            shared.retire(&ends);
            ended.send(()).unwrap();
        });
        let in_time = has_ended.recv_timeout(Duration::from_secs(10));
        drop(release);
        for thread in [holds, retires] {
            thread.join().unwrap();
        }
        visits.join().unwrap();
        assert_eq!(in_time, Ok(()));
    }
}

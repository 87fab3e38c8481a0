//! [`Member`]: one client of a storm, and its observations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rejoin_client::{Connection, Event};

use crate::cable::Cable;
use crate::counter::Counter;
use crate::latency::Latencies;
use crate::message::{Messages, Stamp};
use crate::run::Run;
use crate::sequence::Sequence;

/// State that the clients of a storm share.
pub(super) struct Storm {
    run: Arc<Run>,
    messages: Messages,
    /// The number of frames that each sends while it is away.
    echoes: u16,
    /// The time when dials were released.
    opened: AtomicU64,
    /// Clients that are back.
    pub(super) back: Counter,
    /// Clients that will not come back.
    gone: Counter,
    /// Counted frames that arrived, and frames reported as gaps.
    came: Counter,
    /// The time from the release of dials until each client was back.
    pub(super) back_after: Latencies,
    /// The duration of the dial that succeeded, for each client.
    pub(super) dials: Latencies,
}

impl Storm {
    pub(super) fn new(run: &Arc<Run>, messages: Messages, echoes: u16) -> Self {
        Self {
            run: run.clone(),
            messages,
            echoes,
            opened: AtomicU64::new(0),
            back: Counter::default(),
            gone: Counter::default(),
            came: Counter::default(),
            back_after: Latencies::new(),
            dials: Latencies::new(),
        }
    }

    /// Records the release of dials.
    pub(super) fn open(&self, now: u64) {
        self.opened.store(now, Ordering::Relaxed);
    }

    /// Waits until every client is back or has ended, or until the patience ends.
    pub(super) async fn wait_for_all(&self, clients: u64, patience: Duration) {
        let bar = crate::progress::Progress::clients("resuming", clients);
        let patience = Instant::now() + patience;
        while Instant::now() < patience && !self.run.stop.is_cancelled() {
            let back = self.back.total();
            bar.set(back);
            if back + self.gone.total() >= clients {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until every client has every frame, or until the patience ends.
    pub(super) async fn drain(&self, published: &[u64], clients: u64, patience: Duration) {
        let rooms = published.len().max(1) as u64;
        let of_room = |client: u64| published.get((client % rooms) as usize).copied().unwrap_or_default();
        let all: u64 = (0..clients).map(|client| of_room(client) + u64::from(self.echoes)).sum();
        let patience = Instant::now() + patience;
        let mut seen = None;
        while Instant::now() < patience && !self.run.stop.is_cancelled() {
            let came = self.came.total();
            // Wait one round longer than needed, so that repeated frames are seen.
            if came >= all && seen == Some(came) {
                break;
            }
            seen = Some(came);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Marks a client's own frames, so that they differ from published ones whatever their event.
const ECHO: u32 = 1 << 31;

/// One client of a storm.
pub(super) struct Member {
    storm: Arc<Storm>,
    cable: Arc<Cable>,
    seen: Seen,
}

/// A client's observations, complete when its connection ends.
pub(super) struct Seen {
    pub(super) client: u32,
    pub(super) published: Sequence,
    pub(super) echoes: Sequence,
    /// The number of accepted frames that must come back.
    pub(super) asked: u64,
    /// Frames that the server reported as gaps.
    pub(super) missed: u64,
    /// Whether it came back to a fresh session.
    pub(super) fresh: bool,
    pub(super) ended: Option<String>,
}

impl Member {
    pub(super) fn new(storm: Arc<Storm>, client: u32, cable: Arc<Cable>) -> Self {
        let seen = Seen {
            client,
            published: Sequence::default(),
            echoes: Sequence::default(),
            asked: 0,
            missed: 0,
            fresh: false,
            ended: None,
        };
        Self { storm, cable, seen }
    }

    /// Receives until the connection ends.
    pub(super) async fn live(mut self, mut connection: Connection) -> Seen {
        let mut back = false;
        while let Some(event) = connection.recv().await {
            match event {
                Event::Message(frame) => {
                    if let Some(stamp) = Stamp::of(&frame) {
                        self.came(stamp);
                    }
                }
                Event::Disconnected { .. } => self.ask(&connection),
                Event::Reconnected { .. } if !back => {
                    back = true;
                    self.restored();
                }
                Event::SessionLost { .. } => self.seen.fresh = true,
                Event::Gap(gap) => {
                    self.seen.missed += gap.frames();
                    self.storm.came.add_many(self.seen.client, gap.frames());
                }
                Event::Closed(closed) => {
                    self.seen.ended = Some(closed.reason.to_string());
                    break;
                }
                _ => {}
            }
        }
        if !back {
            self.storm.gone.add(self.seen.client);
        }
        self.seen
    }

    fn came(&mut self, stamp: Stamp) {
        let room = self.storm.run.target.room_of(self.seen.client);
        let new = if stamp.p == ECHO | self.seen.client {
            self.seen.echoes.came(stamp.s)
        } else if stamp.p == room {
            self.seen.published.came(stamp.s)
        } else {
            return;
        };
        if new {
            self.storm.came.add(self.seen.client);
        }
    }

    /// Sends the frames that must come back. Without a socket, they go into the buffer.
    fn ask(&mut self, connection: &Connection) {
        while self.seen.asked < u64::from(self.storm.echoes) {
            let stamp = Stamp { t: self.storm.run.now(), s: self.seen.asked + 1, p: ECHO | self.seen.client };
            let Ok(frame) = self.storm.messages.frame(stamp) else { break };
            if connection.send(&frame).is_err() {
                break;
            }
            self.seen.asked += 1;
        }
    }

    fn restored(&self) {
        let (storm, client) = (&self.storm, self.seen.client);
        let now = storm.run.now();
        storm.back_after.record(client, now.saturating_sub(storm.opened.load(Ordering::Relaxed)));
        let dialled = u64::try_from(self.cable.dialled().as_nanos()).unwrap_or(u64::MAX);
        storm.dials.record(client, now.saturating_sub(dialled));
        storm.back.add(client);
    }
}

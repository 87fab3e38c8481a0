//! [`Landings`]: inserts sessions from other servers at the follower's position in the log.
//!
//! A session that is taken over is folded from the log, apart from the follower, and then has to be inserted exactly at the follower's
//! position, so that no entry is applied twice or skipped. The follower therefore records the entries that it applies from the moment
//! the fold begins. Between two entries it gives the session the recorded ones, and inserts it.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_store::{Entry, Position};
use tokio::sync::{Notify, oneshot};

use super::act::Key;

/// The entries that the follower has applied since a fold began.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<Entry>>);

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Inserts a session, after applying the entries after the end of its fold.
pub(super) type Land = Box<dyn FnOnce(Vec<Entry>) + Send>;

/// A request of a fold to the follower.
enum FoldRequest {
    /// Start recording, and report the position.
    Record(Weak<Recorder>, oneshot::Sender<Position>),
    /// Insert a session whose fold ends here.
    Land(Arc<Recorder>, Position, Land),
}

/// The requests of folds, and the sessions that are being taken over.
#[derive(Default)]
pub(crate) struct Landings {
    inner: Mutex<LandingInner>,
    /// Wakes the follower.
    asked: Notify,
    /// Wakes tasks that wait for the end of another task's takeover.
    arrived: Notify,
}

#[derive(Default)]
struct LandingInner {
    requests: Vec<FoldRequest>,
    coming: HashSet<Key>,
}

/// A takeover of a session. It lasts until this is dropped.
pub(super) struct Coming<'a>(&'a Landings, Key);

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.0.lock().coming.remove(&self.1);
        self.0.arrived.notify_waiters();
    }
}

impl Landings {
    /// Waits until no other task takes this session over.
    pub(super) async fn begin(&self, key: Key) -> Coming<'_> {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Enabled before the check, so that no takeover that ends in between is missed.
            arrived.as_mut().enable();
            if self.lock().coming.insert(key) {
                return Coming(self, key);
            }
            arrived.await;
        }
    }

    /// Asks the follower to record. Returns the recorder, and the last entry that the follower had applied before; `None` if the
    /// follower has ended.
    pub(super) async fn record(&self) -> Option<(Arc<Recorder>, Position)> {
        let recorder = Arc::<Recorder>::default();
        let (done, began) = oneshot::channel();
        self.ask(FoldRequest::Record(Arc::downgrade(&recorder), done));
        Some((recorder, began.await.ok()?))
    }

    /// Asks the follower to insert a session whose fold ends at this position.
    pub(super) fn land(&self, recorder: Arc<Recorder>, at: Position, land: Land) {
        self.ask(FoldRequest::Land(recorder, at, land));
    }

    /// For the follower: waits until a fold makes a request.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    fn ask(&self, request: FoldRequest) {
        self.lock().requests.push(request);
        self.asked.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, LandingInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Landings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Landings").finish_non_exhaustive()
    }
}

/// The follower's side.
#[derive(Default)]
pub(super) struct Runway {
    recorders: Vec<Weak<Recorder>>,
    /// Sessions whose fold is ahead of the follower.
    waiting: Vec<(Position, Land)>,
}

impl Runway {
    /// Serves the requests. Called between two entries.
    pub(super) fn serve(&mut self, landings: &Landings, cursor: Position) {
        let requests = std::mem::take(&mut landings.lock().requests);
        for request in requests {
            match request {
                FoldRequest::Record(recorder, began) => {
                    self.recorders.push(recorder);
                    began.send(cursor).ok();
                }
                // The store has since lost a part of the log that was folded.
                FoldRequest::Land(_, at, _) if at.generation != cursor.generation => {}
                FoldRequest::Land(recorder, at, land) if at <= cursor => {
                    let recorded = std::mem::take(&mut *recorder.lock());
                    land(recorded.into_iter().filter(|entry| entry.position > at).collect());
                }
                FoldRequest::Land(_, at, land) => self.waiting.push((at, land)),
            }
        }
    }

    /// Records an applied entry.
    pub(super) fn pass(&mut self, entry: &Entry) {
        self.recorders.retain(|recorder| {
            let recorder = recorder.upgrade();
            recorder.inspect(|recorder| recorder.lock().push(entry.clone())).is_some()
        });
        let (here, further) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at == entry.position);
        self.waiting = further;
        let here: Vec<(Position, Land)> = here;
        here.into_iter().for_each(|(_, land)| land(Vec::new()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use rejoin_store::WriterKey;
    use tokio::time::timeout;

    use super::*;

    fn at(offset: u64) -> Position {
        Position { generation: 0, offset }
    }

    fn entry(offset: u64) -> Entry {
        Entry { position: at(offset), writer: WriterKey([1; 16]), epoch: 1, time: 0, body: Bytes::new() }
    }

    fn land(landings: &Landings, recorder: Arc<Recorder>, offset: u64) -> oneshot::Receiver<Vec<u64>> {
        let (done, landed) = oneshot::channel();
        let land = move |entries: Vec<Entry>| {
            done.send(entries.iter().map(|entry| entry.position.offset).collect()).unwrap();
        };
        landings.land(recorder, at(offset), Box::new(land));
        landed
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lands_where_the_follower_is() {
        let (landings, mut runway) = (Landings::default(), Runway::default());
        let mut recorders = Vec::new();
        for _ in 0..3 {
            let recording = landings.record();
            tokio::pin!(recording);
            assert!(timeout(Duration::ZERO, &mut recording).await.is_err());
            runway.serve(&landings, at(5));
            let (recorder, began) = recording.await.unwrap();
            assert_eq!(began, at(5));
            recorders.push(recorder);
        }
        let [behind, ahead, here] = recorders.try_into().unwrap_or_else(|_| panic!("three"));
        (6..=8).for_each(|offset| runway.pass(&entry(offset)));
        let mut landed = [land(&landings, behind, 6), land(&landings, ahead, 9), land(&landings, here, 8)];
        landings.asked().await;
        runway.serve(&landings, at(8));
        assert_eq!(landed[0].try_recv().unwrap(), [7, 8]);
        assert_eq!(landed[2].try_recv().unwrap(), [0; 0]);
        assert!(landed[1].try_recv().is_err(), "its fold is ahead");
        runway.pass(&entry(9));
        assert_eq!(landed[1].try_recv().unwrap(), [0; 0]);
        assert!(runway.recorders.iter().all(|recorder| recorder.upgrade().is_none()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_brings_a_session() {
        let landings = Landings::default();
        let key = Key::new([1; 16]);
        let first = landings.begin(key).await;
        assert!(timeout(Duration::from_secs(1), landings.begin(key)).await.is_err());
        drop(landings.begin(Key::new([2; 16])).await);
        drop(first);
        drop(landings.begin(key).await);
    }
}

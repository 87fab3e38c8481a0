//! [`MemoryStore`]: a store for tests, and for several servers in one process.

mod faults;
mod table;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use self::faults::{CallFaults, TailFaults};
pub use self::faults::{Fault, FaultRates, StoreCall, TailFault};
use self::table::MemoryRows;
use crate::tails::Tails;
use crate::{
    Attach, AttachError, Attached, Commit, CommitError, Committed, LeaseError, LogId, NodeId, OpenError,
    OpenWriter, Page, Position, ReadError, ReadLimit, Record, Store, StoreError, Tail, TailStream, Touch,
    WriterKey, rules,
};

/// Keeps everything in memory, and injects faults.
///
/// Clones share one store, so that several servers of one process can use it. Its contents are lost with the process. Its clock is
/// tokio's, which stands still under `start_paused`, unless [`Self::with_clock`] sets another one. Without faults, each call is applied
/// when its future is first polled, and completes at once.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use rejoin_store::{Fault, MemoryStore, NodeId, Store};
/// use std::time::Duration;
///
/// let store = MemoryStore::new();
/// let node = NodeId { name: 1, incarnation: 1 };
/// store.set_faults(|_| Fault::Unanswered);
/// assert!(store.lease(node, Duration::from_secs(5)).await.is_err()); // and yet it has happened
/// # });
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    inner: Arc<MemoryStoreInner>,
}

struct MemoryStoreInner {
    rows: Mutex<MemoryRows>,
    faults: Mutex<Faults>,
    tails: Tails,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

#[derive(Default)]
struct Faults {
    calls: Option<CallFaults>,
    tails: Option<TailFaults>,
}

/// No code that holds a lock can panic while its data is inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store with tokio's clock, which starts at one million milliseconds.
    pub fn new() -> Self {
        let begin = Instant::now();
        Self::with_clock(move || 1_000_000 + rules::millis(begin.elapsed()))
    }

    /// An empty store with another clock, in milliseconds. It must not go back.
    pub fn with_clock(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let clock = Box::new(clock);
        Self {
            inner: Arc::new(MemoryStoreInner {
                rows: Mutex::default(),
                faults: Mutex::default(),
                tails: Tails::default(),
                clock,
            }),
        }
    }

    /// Sets the function that chooses the fault of each call. Delays use tokio's clock.
    pub fn set_faults(&self, faults: impl FnMut(StoreCall) -> Fault + Send + 'static) {
        lock(&self.inner.faults).calls = Some(Box::new(faults));
    }

    /// Sets the function that chooses the fault of each piece of a tail.
    pub fn set_tail_faults(&self, faults: impl FnMut() -> TailFault + Send + 'static) {
        lock(&self.inner.faults).tails = Some(Box::new(faults));
    }

    /// Ends all faults. Calls that are already delayed are still applied.
    pub fn heal(&self) {
        *lock(&self.inner.faults) = Faults::default();
    }

    /// The logs that have entries, or have had some, in the order of their numbers.
    pub fn logs(&self) -> Vec<LogId> {
        lock(&self.inner.rows).logs()
    }

    /// Keeps what [`Self::fail_over`] needs for this number of steps; 0 by default.
    pub fn keep_steps(&self, steps: usize) {
        lock(&self.inner.rows).kept_steps = steps;
    }

    /// Undoes the last `steps` steps, like a failover to a replica that lags behind, and begins a new generation of all logs. Followers
    /// get a gap. Returns the number of undone steps: at most the number that [`Self::keep_steps`] has kept.
    pub fn fail_over(&self, steps: usize) -> usize {
        let undone = self.inner.lock_rows().fail_over(steps);
        self.inner.tails.send_gaps();
        undone
    }

    /// Makes a call with its fault.
    async fn call<R: Clone + Send + 'static>(
        &self,
        call: StoreCall,
        apply: impl Fn(&mut MemoryRows) -> R + Send + Sync + 'static,
        error: impl Fn(StoreError) -> R + Send,
    ) -> R {
        let fault = lock(&self.inner.faults).calls.as_mut().map_or(Fault::None, |faults| faults(call));
        let unanswered = || error(StoreError::new("the store does not answer"));
        match fault {
            Fault::None => self.inner.apply(apply),
            Fault::Lost => unanswered(),
            Fault::Unanswered => {
                self.inner.apply(apply);
                unanswered()
            }
            Fault::Late(delay) => {
                self.later(delay, apply);
                unanswered()
            }
            Fault::Twice(delay) => {
                let answer = self.inner.apply(&apply);
                self.later(delay, apply);
                answer
            }
            Fault::Delayed(delay) => {
                sleep(delay).await;
                self.inner.apply(apply)
            }
            Fault::SlowAnswer(delay) => {
                let answer = self.inner.apply(apply);
                sleep(delay).await;
                answer
            }
        }
    }

    /// Applies a call later, even if its caller drops the future.
    fn later<R: Send + 'static>(
        &self,
        delay: Duration,
        apply: impl Fn(&mut MemoryRows) -> R + Send + 'static,
    ) {
        let inner = self.inner.clone();
        drop(tokio::spawn(async move {
            sleep(delay).await;
            inner.apply(apply);
        }));
    }
}

impl MemoryStoreInner {
    fn lock_rows(&self) -> MutexGuard<'_, MemoryRows> {
        let now = (self.clock)();
        let mut rows = lock(&self.rows);
        rows.now = rows.now.max(now);
        rows
    }

    /// Applies steps, and sends their entries to the followers, in the order of the log.
    fn apply<R>(self: &Arc<Self>, apply: impl Fn(&mut MemoryRows) -> R) -> R {
        let mut rows = self.lock_rows();
        let answer = apply(&mut rows);
        rows.end_step();
        // Under the lock, so that pieces of different threads keep the order of the log.
        let wakers: Vec<_> =
            rows.take_appended().into_iter().flat_map(|(log, piece)| self.bring(log, piece)).collect();
        drop(rows);
        wakers.into_iter().for_each(Waker::wake);
        answer
    }

    fn bring(self: &Arc<Self>, log: LogId, piece: Tail) -> Vec<Waker> {
        if !self.tails.is_followed(log) {
            return Vec::new();
        }
        let fault = lock(&self.faults).tails.as_mut().map_or(TailFault::None, |faults| faults());
        let later = |delay: Duration, piece: Tail| {
            let inner = self.clone();
            drop(tokio::spawn(async move {
                sleep(delay).await;
                inner.tails.send(log, &[piece]).into_iter().for_each(Waker::wake);
            }));
        };
        match fault {
            TailFault::None => self.tails.send(log, &[piece]),
            TailFault::Dropped => Vec::new(),
            TailFault::Delayed(delay) => {
                later(delay, piece);
                Vec::new()
            }
            TailFault::Repeated(delay) => {
                later(delay, piece.clone());
                self.tails.send(log, &[piece])
            }
            TailFault::Gap => self.tails.send(log, &[Tail::Gap]),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn lease(&self, node: NodeId, ttl: Duration) -> Result<(), LeaseError> {
        let apply =
            move |rows: &mut MemoryRows| if rows.lease(node, ttl) { Ok(()) } else { Err(LeaseError::Passed) };
        self.call(StoreCall::Lease, apply, |error| Err(error.into())).await
    }

    async fn open(&self, open: OpenWriter) -> Result<Position, OpenError> {
        self.call(StoreCall::Open, move |rows| rules::open(rows, &open), |error| Err(error.into())).await
    }

    async fn attach(&self, attach: Attach) -> Result<Attached, AttachError> {
        self.call(StoreCall::Attach, move |rows| rules::attach(rows, &attach), |error| Err(error.into()))
            .await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<Committed, CommitError>> {
        let number = commits.len();
        let apply = move |rows: &mut MemoryRows| {
            let one = |commit| {
                let answer = rules::commit(rows, commit);
                rows.end_step();
                answer
            };
            commits.iter().map(one).collect()
        };
        self.call(StoreCall::Commit, apply, move |error| vec![Err(error.into()); number]).await
    }

    async fn touch(&self, touches: Vec<Touch>) -> Result<(), StoreError> {
        let apply = move |rows: &mut MemoryRows| {
            touches.iter().try_for_each(|touch| rules::touch(rows, touch).map(drop))
        };
        self.call(StoreCall::Touch, apply, Err).await
    }

    async fn read(&self, log: LogId, after: Position, limit: ReadLimit) -> Result<Page, ReadError> {
        self.call(StoreCall::Read, move |rows| rows.read(log, after, limit), |error| Err(error.into())).await
    }

    async fn bounds(&self, log: LogId) -> Result<(Position, Position), StoreError> {
        self.call(StoreCall::Read, move |rows| Ok(rows.bounds(log)), Err).await
    }

    async fn records(
        &self,
        log: LogId,
        after: Option<WriterKey>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.call(StoreCall::Read, move |rows| Ok(rows.records(log, after, most)), Err).await
    }

    async fn expired(&self, log: LogId, window: Duration, most: usize) -> Result<Vec<WriterKey>, StoreError> {
        self.call(StoreCall::Read, move |rows| Ok(rows.expired(log, window, most)), Err).await
    }

    async fn adopt(&self, attach: Attach) -> Result<Attached, AttachError> {
        self.call(StoreCall::Adopt, move |rows| rules::adopt(rows, &attach), |error| Err(error.into())).await
    }

    fn tail(&self, log: LogId) -> TailStream {
        self.inner.tails.follow(log)
    }

    async fn trim(&self, log: LogId, age: Duration) -> Result<(), StoreError> {
        let apply = move |rows: &mut MemoryRows| {
            rows.trim(log, age);
            Ok(())
        };
        self.call(StoreCall::Trim, apply, Err).await
    }

    fn now(&self) -> u64 {
        self.inner.lock_rows().now
    }
}

#[cfg(test)]
mod tests;

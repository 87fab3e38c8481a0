//! [`StoreHealth`]: whether the store answers.

use std::time::{Duration, Instant};

use rejoin_core::drive::now;
use rejoin_store::{AttachError, CommitError, LeaseError, OpenError, ReadError, StoreError};
use tokio::sync::watch;

/// The pause before a failed request is repeated.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// The response time after which a store counts as down.
const SLOW: Duration = Duration::from_secs(2);

/// Whether requests fail. The store counts as down from the first failure of a request until the same request succeeds, even if others
/// succeed in between.
#[derive(Debug)]
pub(crate) struct StoreHealth(watch::Sender<StoreHealthState>);

#[derive(Debug, Default)]
struct StoreHealthState {
    /// The number of requests that fail.
    failing: usize,
    /// The time of the first of these failures.
    since: Option<Instant>,
}

impl Default for StoreHealth {
    fn default() -> Self {
        Self(watch::Sender::new(StoreHealthState::default()))
    }
}

/// A request that has failed, until it succeeds or is abandoned.
struct Failing<'a>(&'a StoreHealth);

impl<'a> Failing<'a> {
    fn new(health: &'a StoreHealth) -> Self {
        health.0.send_modify(|state| {
            state.failing += 1;
            state.since.get_or_insert_with(now);
        });
        Self(health)
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| {
            state.failing -= 1;
            state.since = state.since.filter(|_| state.failing > 0);
        });
    }
}

/// A store error that may leave the outcome unknown.
pub(super) trait MaybeUnsure {
    /// The underlying error, if the request has to be repeated unchanged.
    fn unsure(&self) -> Option<&StoreError>;
}

impl MaybeUnsure for StoreError {
    fn unsure(&self) -> Option<&StoreError> {
        Some(self)
    }
}

macro_rules! maybe_unsure {
    ($($error:ident)*) => {$(
        impl MaybeUnsure for $error {
            fn unsure(&self) -> Option<&StoreError> {
                match self {
                    Self::Unsure(error) => Some(error),
                    _ => None,
                }
            }
        }
    )*};
}

maybe_unsure!(AttachError CommitError LeaseError OpenError ReadError);

impl StoreHealth {
    /// Whether the store is known to be down.
    pub(crate) fn is_down(&self) -> bool {
        self.0.borrow().since.is_some()
    }

    /// Waits until the store is down. Returns since when.
    pub(super) async fn down(&self) -> Instant {
        let mut state = self.0.subscribe();
        let since = state.wait_for(|state| state.since.is_some()).await.ok().and_then(|state| state.since);
        // `changed` cannot fail: the sender is `self`.
        since.unwrap_or_else(now)
    }

    /// Waits until the store is up.
    pub(crate) async fn up(&self) {
        self.0.subscribe().wait_for(|state| state.since.is_none()).await.ok();
    }
}

impl StoreHealth {
    /// Repeats a request until its outcome is known.
    pub(super) async fn ask<T, E: MaybeUnsure, F>(&self, request: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut failing = None;
        loop {
            let answer = self.watch(request(), &mut failing).await;
            let Some(failed) = answer.as_ref().err().and_then(E::unsure) else { return answer };
            tracing::warn!(error = %failed, "the store has failed");
            failing.get_or_insert_with(|| Failing::new(self));
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Makes a request once.
    pub(super) async fn ask_once<T>(&self, request: impl Future<Output = T>) -> T {
        self.watch(request, &mut None).await
    }

    async fn watch<'a, T>(
        &'a self,
        request: impl Future<Output = T>,
        failing: &mut Option<Failing<'a>>,
    ) -> T {
        let mut request = std::pin::pin!(request);
        match tokio::time::timeout(SLOW, &mut request).await {
            Ok(answer) => answer,
            Err(_) => {
                failing.get_or_insert_with(|| Failing::new(self));
                request.await
            }
        }
    }
}

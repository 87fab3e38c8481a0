//! [`StoreHealth`]: whether the store answers.

use std::time::{Duration, Instant};

use rejoin_core::drive::now;
use rejoin_store::{AttachError, CommitError, LeaseError, OpenError, ReadError, StoreError};
use tokio::sync::watch;

/// How long a failed request waits before it is repeated.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// A store that takes longer than this for an answer counts as down.
const SLOW: Duration = Duration::from_secs(2);

/// Whether requests fail. The store is down from the first failure of a request until the same request is answered: others may
/// be answered meanwhile.
#[derive(Debug)]
pub(crate) struct StoreHealth(watch::Sender<StoreHealthState>);

#[derive(Debug, Default)]
struct StoreHealthState {
    /// The number of requests that fail.
    failing: usize,
    /// Since when there is one.
    since: Option<Instant>,
}

impl Default for StoreHealth {
    fn default() -> Self {
        Self(watch::Sender::new(StoreHealthState::default()))
    }
}

/// A request that fails, until it is answered or given up.
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

/// An error of a store that may say that the outcome is unknown.
pub(super) trait MaybeUnsure {
    /// What has failed, if the request has to be repeated as it was.
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
        // It never ends: the sender is `self`.
        since.unwrap_or_else(now)
    }

    /// Waits until the store answers.
    pub(crate) async fn up(&self) {
        self.0.subscribe().wait_for(|state| state.since.is_none()).await.ok();
    }
}

impl StoreHealth {
    /// Asks the store until it has an answer: after an unknown outcome the request is repeated as it was.
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

    /// Asks the store once.
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

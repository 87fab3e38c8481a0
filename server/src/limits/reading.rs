//! [`Reading`]: how fast clients may send, and how much of it may wait for the application.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use rejoin_core::drive::now;
use rejoin_core::drive::sync::Mutex;
use rejoin_core::drive::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

use crate::limits::limit::Limit;
use crate::limits::options::LimitOptions;
use crate::limits::rate::{Buckets, RatePolicy, Rates, Wait, longer};
use crate::session::sharded::{Keyed, Sharded, Shards};

/// The limits on what clients send, and the state of each session under them. Empty unless there is such a limit.
#[derive(Debug)]
pub(crate) struct Reading {
    rules: Arc<ReadRules>,
    sessions: Sharded<ReadingSession>,
}

#[derive(Debug)]
struct ReadingSession {
    number: u64,
    limits: Arc<ReadLimits>,
}

impl Keyed for ReadingSession {
    type Key = u64;

    fn key(&self) -> &u64 {
        &self.number
    }
}

/// The limits on what clients send, and the bytes that all sessions hold.
#[derive(Debug)]
pub(crate) struct ReadRules {
    rates: Rates,
    user_rates: Rates,
    policy: RatePolicy,
    max_inbound: usize,
    inbound: AtomicUsize,
    /// Notified when `inbound` falls to `max_inbound`.
    freed: Notify,
    /// The zero of times in buckets.
    began: Instant,
}

/// The state of one session under the limits.
#[derive(Debug)]
pub(crate) struct ReadLimits {
    rules: Arc<ReadRules>,
    own: Buckets,
    /// Those of the session's user.
    user: Mutex<Option<Arc<Buckets>>>,
    /// The part of [`ReadRules::inbound`] that this session holds.
    held: AtomicUsize,
}

impl Reading {
    pub(crate) fn new(options: &LimitOptions) -> Self {
        let rules = ReadRules {
            rates: options.rates,
            user_rates: options.user_rates,
            policy: options.rate_policy,
            max_inbound: options.inbound_bytes,
            inbound: AtomicUsize::new(0),
            freed: Notify::new(),
            began: now(),
        };
        Self { rules: Arc::new(rules), sessions: Sharded::new(Shards::Usual) }
    }

    /// Begins to limit a fresh session.
    pub(crate) fn enter(&self, number: u64) {
        let rules = &self.rules;
        if rules.rates.is_limited() || rules.user_rates.is_limited() || rules.limits_inbound() {
            let limits = ReadLimits {
                rules: rules.clone(),
                own: Buckets::default(),
                user: Mutex::default(),
                held: AtomicUsize::new(0),
            };
            self.sessions.lock(&number).insert(ReadingSession { number, limits: Arc::new(limits) });
        }
    }

    /// The state of a session; `None` if nothing limits it.
    pub(crate) fn of(&self, number: u64) -> Option<Arc<ReadLimits>> {
        let rules = &self.rules;
        if !rules.rates.is_limited() && !rules.user_rates.is_limited() && !rules.limits_inbound() {
            return None;
        }
        self.sessions.lock(&number).get().map(|entry| entry.limits.clone())
    }

    /// Sets the limits that a session shares with others of its user.
    pub(crate) fn set_user(&self, number: u64, user: Option<Arc<Buckets>>) {
        if let Some(limits) = self.of(number) {
            *limits.user.lock().unwrap_or_else(PoisonError::into_inner) = user;
        }
    }

    /// Whether users have rates.
    pub(crate) fn limits_users(&self) -> bool {
        self.rules.user_rates.is_limited()
    }

    /// Forgets a session that has ended. A second call does nothing.
    pub(crate) fn leave(&self, number: u64) {
        // Dropped without the lock.
        let _left = self.sessions.lock(&number).remove();
    }
}

impl ReadRules {
    fn limits_inbound(&self) -> bool {
        self.max_inbound < usize::MAX
    }
}

const OWN: [Limit; 2] = [Limit::FrameRate, Limit::ByteRate];
const OF_USER: [Limit; 2] = [Limit::UserFrameRate, Limit::UserByteRate];

impl ReadLimits {
    pub(crate) fn policy(&self) -> RatePolicy {
        self.rules.policy
    }

    /// The time in buckets.
    pub(crate) fn now(&self) -> u64 {
        // For 584 years.
        u64::try_from((now() - self.rules.began).as_nanos()).unwrap_or(u64::MAX)
    }

    fn user(&self) -> Option<Arc<Buckets>> {
        if !self.rules.user_rates.is_limited() {
            return None;
        }
        self.user.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a frame of this size, if all rates allow it. Returns the limit if one does not.
    pub(crate) fn try_take(&self, bytes: usize, now: u64) -> Result<(), Limit> {
        self.own.try_take(&self.rules.rates, bytes as u64, now, OWN)?;
        self.user().map_or(Ok(()), |user| user.try_take(&self.rules.user_rates, bytes as u64, now, OF_USER))
    }

    /// Takes a frame of this size. Returns how long to wait before the next one.
    pub(crate) fn take(&self, bytes: usize, now: u64) -> Option<Wait> {
        let own = self.own.take(&self.rules.rates, bytes as u64, now, OWN);
        let user = self.user();
        longer(own, user.and_then(|user| user.take(&self.rules.user_rates, bytes as u64, now, OF_USER)))
    }

    /// Whether the inbound bytes of all sessions are limited.
    pub(crate) fn limits_inbound(&self) -> bool {
        self.rules.limits_inbound()
    }

    /// Sets the bytes that this session holds for the application.
    pub(crate) fn hold(&self, bytes: usize) {
        let before = self.held.swap(bytes, Ordering::SeqCst);
        let inbound = &self.rules.inbound;
        if bytes >= before {
            inbound.fetch_add(bytes - before, Ordering::SeqCst);
            return;
        }
        let freed = before - bytes;
        let sum = inbound.fetch_sub(freed, Ordering::SeqCst);
        if sum > self.rules.max_inbound && sum - freed <= self.rules.max_inbound {
            self.rules.freed.notify_waiters();
        }
    }

    /// Whether this session has to wait until others, or itself, have handled what they hold. One that holds nothing never waits:
    /// its handler may await an answer.
    pub(crate) fn is_over_inbound(&self) -> bool {
        self.limits_inbound()
            && self.held.load(Ordering::SeqCst) > 0
            && self.rules.inbound.load(Ordering::SeqCst) > self.rules.max_inbound
    }

    /// Returns when [`Self::is_over_inbound`] no longer holds because of others. The caller looks again.
    pub(crate) async fn freed(self: Arc<Self>) {
        let freed = self.rules.freed.notified();
        // It receives every notification from here on.
        if self.is_over_inbound() {
            freed.await;
        }
    }
}

impl Drop for ReadLimits {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn ended_session_is_forgotten() {
        let connect = async |_: crate::ConnectRequest| Ok::<_, crate::Reject>(crate::Identity::new());
        let server = crate::Server::builder(connect).frame_rate(1).build().unwrap();
        let shared = server.shared();
        let connection = crate::testing::connection(shared);
        shared.reading.enter(connection.number());
        assert!(shared.reading.of(connection.number()).is_some());
        shared.release(&connection);
        assert!(shared.reading.of(connection.number()).is_none());
    }

    fn reading(options: &LimitOptions) -> Reading {
        Reading::new(options)
    }

    fn per_second(units: u64) -> Option<rejoin_core::drive::UnitsPerSecond> {
        rejoin_core::drive::UnitsPerSecond::new(units)
    }

    #[test]
    fn each_rate_has_its_limit() {
        let rates = |frames, bytes| Rates { frames, bytes };
        let (few, many) = (per_second(1), per_second(1_000_000));
        let cases = [
            (rates(few, many), rates(many, many), Limit::FrameRate),
            (rates(many, few), rates(many, many), Limit::ByteRate),
            (rates(many, many), rates(few, many), Limit::UserFrameRate),
            (rates(many, many), rates(many, few), Limit::UserByteRate),
        ];
        for (rates, user_rates, limit) in cases {
            let reading = reading(&LimitOptions { rates, user_rates, ..LimitOptions::default() });
            reading.enter(1);
            reading.set_user(1, Some(Arc::default()));
            let limits = reading.of(1).unwrap();
            assert_eq!([(); 2].map(|()| limits.try_take(1, 0)), [Ok(()), Err(limit)]);
            let wait = limits.take(1, 5).unwrap();
            assert_eq!(wait.limit, limit);
            assert!(wait.nanos >= 1_000_000_000, "{wait:?}");
        }
    }

    #[test]
    fn users_share_their_rate() {
        let user_rates = Rates { frames: per_second(2), bytes: None };
        let reading = reading(&LimitOptions { user_rates, ..LimitOptions::default() });
        let shared = Arc::new(Buckets::default());
        let limits = [1, 2, 3].map(|number| {
            reading.enter(number);
            reading.set_user(number, (number < 3).then(|| shared.clone()));
            reading.of(number).unwrap()
        });
        let takes = [0, 1, 0, 1, 2, 2, 2].map(|index: usize| limits[index].try_take(1, 0).is_ok());
        assert_eq!(takes, [true, true, false, false, true, true, true], "the last has no user");
        reading.leave(1);
        assert!(reading.of(1).is_none());
    }

    #[test]
    fn held_bytes_are_summed_and_released() {
        let reading = reading(&LimitOptions { inbound_bytes: 100, ..LimitOptions::default() });
        let [one, two] = [1, 2].map(|number| {
            reading.enter(number);
            reading.of(number).unwrap()
        });
        one.hold(60);
        assert!(!one.is_over_inbound());
        two.hold(41);
        assert!(one.is_over_inbound() && two.is_over_inbound());
        let mut waits = Box::pin(one.clone().freed());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        two.hold(41);
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        two.hold(0);
        assert!(!two.is_over_inbound() && waits.as_mut().poll(&mut cx).is_ready());
        two.hold(50);
        one.hold(0);
        assert!(!one.is_over_inbound(), "it holds nothing");
        one.hold(60);
        assert!(one.is_over_inbound());
        reading.leave(2);
        assert!(one.is_over_inbound(), "its task still has it");
        drop(two);
        assert!(!one.is_over_inbound());
    }

    #[test]
    fn no_limit_costs_nothing() {
        let reading = reading(&LimitOptions::default());
        reading.enter(1);
        assert!(reading.of(1).is_none() && reading.sessions.len() == 0);
    }
}

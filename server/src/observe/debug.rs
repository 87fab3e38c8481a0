//! [`DebugMetrics`]: [`Metrics`] that keep their sums, and print them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::StatusCode;
use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_core::{CloseReason, DropReason};

use crate::limits::limit::Limit;
use crate::observe::metrics::{CallbackKind, Metrics, ResumeRefused};

/// [`Metrics`] that keep their sums in memory, for a test, a debugging session, or a program without a metrics system. Clones
/// share one set of sums: pass one to [`Builder::metrics`](crate::Builder::metrics), and keep the other.
///
/// Each report takes a lock, for some additions.
///
/// ```
/// # use rejoin_server::{Identity, Reject, Server};
/// use rejoin_server::DebugMetrics;
///
/// # fn main() -> Result<(), rejoin_server::ConfigError> {
/// let metrics = DebugMetrics::new();
/// let server = Server::builder(async |_| Ok::<_, Reject>(Identity::new().with_room("lobby")))
///     .metrics(metrics.clone())
///     .build()?;
/// println!("{}", metrics.snapshot());
/// # let _ = server; Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct DebugMetrics {
    sums: Arc<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    sums: Mutex<MetricsSnapshot>,
}

/// The sums of [`DebugMetrics`] at one moment. It prints itself with [`Display`](fmt::Display), a line for each sum that is not 0.
///
/// The maps are by the `kind` of a reason, as in the labels of other metrics.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Sessions that have begun.
    pub opened: u64,
    /// Sessions that have ended, by reason.
    pub closed: BTreeMap<&'static str, u64>,
    /// The total lifetime of ended sessions.
    pub lived: Duration,
    /// Rooms with members.
    pub rooms: u64,
    /// Memberships: the members of all rooms.
    pub memberships: u64,
    /// Joins, including those of rooms in which sessions began.
    pub joins: u64,
    /// Joins that the application refused.
    pub joins_refused: u64,
    /// Requests that were refused, by their status.
    pub upgrades_refused: BTreeMap<u16, u64>,
    /// Sockets that requested an existing session.
    pub resume_attempts: u64,
    /// Those of them that did not get it, by reason.
    pub resumes_refused: BTreeMap<&'static str, u64>,
    /// Sockets that were lost, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// Sockets that were attached to suspended or attached sessions.
    pub restores: u64,
    /// Those of them that replaced an attached one.
    pub takeovers: u64,
    /// Sockets that were lost because they were silent.
    pub heartbeat_failures: u64,
    /// Data frames received.
    pub received_frames: u64,
    /// The size of these frames, in bytes.
    pub received_bytes: u64,
    /// Data frames sent to sockets.
    pub sent_frames: u64,
    /// The size of these frames, in bytes.
    pub sent_bytes: u64,
    /// Those of these frames that had been sent to an older socket.
    pub replayed_frames: u64,
    /// Data frames accepted and dropped.
    pub dropped_frames: u64,
    /// Volatile frames dropped, in both directions.
    pub volatile_dropped_frames: u64,
    /// Data frames that were reported to clients as gaps.
    pub gap_frames_sent: u64,
    /// Data frames that clients have reported as gaps.
    pub gap_frames_received: u64,
    /// Broadcasts.
    pub broadcasts: u64,
    /// The total size of their encodings, in bytes.
    pub broadcast_bytes: u64,
    /// The total number of members that they were queued for.
    pub broadcast_receivers: u64,
    /// The highest fill level of a send buffer, from 0 to 1.
    pub fullest_send_buffer: f64,
    /// Bytes that are kept for peers.
    pub retained_bytes: i64,
    /// The finished callbacks, by name.
    pub callbacks: BTreeMap<&'static str, CallbackTimes>,
    /// Limits that were reached, by name.
    pub limits_reached: BTreeMap<&'static str, u64>,
    /// Errors, by kind.
    pub errors: BTreeMap<&'static str, u64>,
}

/// The durations of the callbacks of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CallbackTimes {
    /// The number of calls.
    pub calls: u64,
    /// Their total duration.
    pub total: Duration,
    /// The longest duration.
    pub longest: Duration,
}

impl DebugMetrics {
    /// Creates metrics whose sums are 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The current sums.
    pub fn snapshot(&self) -> MetricsSnapshot {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, MetricsSnapshot> {
        self.sums.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetricsSnapshot {
    /// The number of live sessions, suspended ones included.
    pub fn connections(&self) -> u64 {
        self.opened - self.closed.values().sum::<u64>()
    }
}

#[allow(clippy::cast_precision_loss, reason = "a buffer has fewer than 2^52 frames")]
impl Metrics for DebugMetrics {
    fn upgrade_refused(&self, status: StatusCode) {
        *self.lock().upgrades_refused.entry(status.as_u16()).or_default() += 1;
    }

    fn limit_reached(&self, limit: Limit) {
        *self.lock().limits_reached.entry(limit.as_str()).or_default() += 1;
    }

    fn connection_opened(&self) {
        self.lock().opened += 1;
    }

    fn connection_closed(&self, lived: Duration, reason: &CloseReason) {
        let mut sums = self.lock();
        *sums.closed.entry(reason.kind()).or_default() += 1;
        sums.lived = sums.lived.saturating_add(lived);
    }

    fn room_created(&self) {
        let rooms = &mut self.lock().rooms;
        *rooms = rooms.wrapping_add(1);
    }

    fn room_destroyed(&self) {
        // A room may be destroyed before its creation is reported.
        let rooms = &mut self.lock().rooms;
        *rooms = rooms.wrapping_sub(1);
    }

    fn joined(&self) {
        let mut sums = self.lock();
        sums.joins += 1;
        sums.memberships = sums.memberships.wrapping_add(1);
    }

    fn left(&self) {
        // As with rooms.
        let memberships = &mut self.lock().memberships;
        *memberships = memberships.wrapping_sub(1);
    }

    fn join_refused(&self) {
        self.lock().joins_refused += 1;
    }

    fn resume_attempted(&self) {
        self.lock().resume_attempts += 1;
    }

    fn resume_refused(&self, why: ResumeRefused) {
        *self.lock().resumes_refused.entry(why.as_str()).or_default() += 1;
    }

    fn takeover(&self) {
        self.lock().takeovers += 1;
    }

    fn transport_dropped(&self, reason: &DropReason) {
        *self.lock().drops.entry(reason.kind()).or_default() += 1;
    }

    fn heartbeat_failed(&self) {
        self.lock().heartbeat_failures += 1;
    }

    fn transport_restored(&self) {
        self.lock().restores += 1;
    }

    fn received(&self, frames: u64, bytes: u64) {
        let mut sums = self.lock();
        sums.received_frames += frames;
        sums.received_bytes += bytes;
    }

    fn sent(&self, frames: u64, bytes: u64) {
        let mut sums = self.lock();
        sums.sent_frames += frames;
        sums.sent_bytes += bytes;
    }

    fn replayed(&self, frames: u64) {
        self.lock().replayed_frames += frames;
    }

    fn broadcast(&self, bytes: u64, receivers: usize) {
        let mut sums = self.lock();
        sums.broadcasts += 1;
        sums.broadcast_bytes += bytes;
        sums.broadcast_receivers += receivers as u64;
    }

    fn frames_dropped(&self, frames: u64) {
        self.lock().dropped_frames += frames;
    }

    fn volatile_dropped(&self, frames: u64) {
        self.lock().volatile_dropped_frames += frames;
    }

    fn gap_sent(&self, frames: u64) {
        self.lock().gap_frames_sent += frames;
    }

    fn gap_received(&self, frames: u64) {
        self.lock().gap_frames_received += frames;
    }

    fn send_buffer_used(&self, used: usize, capacity: usize) {
        let mut sums = self.lock();
        sums.fullest_send_buffer = sums.fullest_send_buffer.max(used as f64 / capacity as f64);
    }

    fn retained_bytes_changed(&self, by: i64) {
        self.lock().retained_bytes += by;
    }

    fn callback_finished(&self, which: CallbackKind, took: Duration) {
        let mut sums = self.lock();
        let times = sums.callbacks.entry(which.as_str()).or_default();
        times.calls += 1;
        times.total = times.total.saturating_add(took);
        times.longest = times.longest.max(took);
    }

    fn error(&self, kind: &'static str) {
        *self.lock().errors.entry(kind).or_default() += 1;
    }
}

impl fmt::Display for MetricsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: [(&str, u64); 23] = [
            ("connections", self.connections()),
            ("connections opened", self.opened),
            ("rooms", self.rooms),
            ("memberships", self.memberships),
            ("joins", self.joins),
            ("joins refused", self.joins_refused),
            ("resume attempts", self.resume_attempts),
            ("restores", self.restores),
            ("takeovers", self.takeovers),
            ("heartbeat failures", self.heartbeat_failures),
            ("received frames", self.received_frames),
            ("received bytes", self.received_bytes),
            ("sent frames", self.sent_frames),
            ("sent bytes", self.sent_bytes),
            ("replayed frames", self.replayed_frames),
            ("dropped frames", self.dropped_frames),
            ("volatile frames dropped", self.volatile_dropped_frames),
            ("gap frames sent", self.gap_frames_sent),
            ("gap frames received", self.gap_frames_received),
            ("broadcasts", self.broadcasts),
            ("broadcast bytes", self.broadcast_bytes),
            ("broadcast receivers", self.broadcast_receivers),
            ("retained bytes", self.retained_bytes.unsigned_abs()),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "{name}: {count}")?;
        }
        let maps = [
            ("connections closed", &self.closed),
            ("resumes refused", &self.resumes_refused),
            ("sockets lost", &self.drops),
            ("limits reached", &self.limits_reached),
            ("errors", &self.errors),
        ];
        for (name, map) in maps {
            for (kind, count) in map {
                writeln!(f, "{name}, {kind}: {count}")?;
            }
        }
        for (status, count) in &self.upgrades_refused {
            writeln!(f, "upgrades refused, {status}: {count}")?;
        }
        if self.fullest_send_buffer > 0.0 {
            writeln!(f, "fullest send buffer: {:.0} %", 100.0 * self.fullest_send_buffer)?;
        }
        for (callback, CallbackTimes { calls, total, longest }) in &self.callbacks {
            writeln!(f, "callback {callback}: {calls} in {total:?}, the longest {longest:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! [`MetricsLog`]: records the calls of a server's metrics hooks.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rejoin_server::{CallbackKind, CloseReason, DropReason, Limit, Metrics, ResumeRefused, StatusCode};

/// Records the calls of a server's metrics hooks: events as texts, counters as sums. Clones share one log.
#[derive(Debug, Clone, Default)]
pub struct MetricsLog(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    happened: Vec<String>,
    sums: BTreeMap<&'static str, i64>,
    buffer: Vec<(usize, usize)>,
    callbacks: Vec<(CallbackKind, Duration)>,
}

impl MetricsLog {
    /// The hooks that were called since the last call, with their arguments.
    pub fn happened(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().happened)
    }

    /// The sum of a counter so far: `received`, `received_bytes`, `sent`, `sent_bytes`, `replayed`, `broadcasts`,
    /// `broadcast_bytes`, `broadcast_receivers`, `frames_dropped`, `volatile_dropped`, `gap_sent`, `gap_received`, `retained_bytes`,
    /// `joined`, `left`, `join_refused`, and that of errors by their kind.
    pub fn sum(&self, name: &str) -> i64 {
        self.lock().sums.get(name).copied().unwrap_or_default()
    }

    /// The reported fill levels of send buffers since the last call.
    pub fn buffer(&self) -> Vec<(usize, usize)> {
        std::mem::take(&mut self.lock().buffer)
    }

    /// The callbacks that have finished since the last call, with their durations.
    pub fn callbacks(&self) -> Vec<(CallbackKind, Duration)> {
        std::mem::take(&mut self.lock().callbacks)
    }

    fn note(&self, what: impl Display) {
        self.lock().happened.push(what.to_string());
    }

    fn add(&self, name: &'static str, count: impl TryInto<i64>) {
        let count = count.try_into().unwrap_or(i64::MAX);
        *self.lock().sums.entry(name).or_default() += count;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metrics for MetricsLog {
    fn upgrade_refused(&self, status: StatusCode) {
        self.note(format_args!("upgrade refused: {}", status.as_u16()));
    }

    fn limit_reached(&self, limit: Limit) {
        self.note(format_args!("limit reached: {limit}"));
    }

    fn connection_opened(&self) {
        self.note("connection opened");
    }

    fn connection_closed(&self, lived: Duration, reason: &CloseReason) {
        self.note(format_args!("connection closed after {} s: {}", lived.as_secs(), reason.kind()));
    }

    fn room_created(&self) {
        self.note("room created");
    }

    fn room_destroyed(&self) {
        self.note("room destroyed");
    }

    fn resume_attempted(&self) {
        self.note("resume attempted");
    }

    fn resume_refused(&self, why: ResumeRefused) {
        self.note(format_args!("resume refused: {why}"));
    }

    fn takeover(&self) {
        self.note("takeover");
    }

    fn transport_dropped(&self, reason: &DropReason) {
        self.note(format_args!("transport dropped: {}", reason.kind()));
    }

    fn heartbeat_failed(&self) {
        self.note("heartbeat failed");
    }

    fn transport_restored(&self) {
        self.note("transport restored");
    }

    fn received(&self, frames: u64, bytes: u64) {
        self.add("received", frames);
        self.add("received_bytes", bytes);
    }

    fn sent(&self, frames: u64, bytes: u64) {
        self.add("sent", frames);
        self.add("sent_bytes", bytes);
    }

    fn replayed(&self, frames: u64) {
        self.add("replayed", frames);
    }

    fn broadcast(&self, bytes: u64, receivers: usize) {
        self.add("broadcasts", 1);
        self.add("broadcast_bytes", bytes);
        self.add("broadcast_receivers", receivers);
    }

    fn frames_dropped(&self, frames: u64) {
        self.add("frames_dropped", frames);
    }

    fn volatile_dropped(&self, frames: u64) {
        self.add("volatile_dropped", frames);
    }

    fn gap_sent(&self, frames: u64) {
        self.add("gap_sent", frames);
    }

    fn gap_received(&self, frames: u64) {
        self.add("gap_received", frames);
    }

    fn send_buffer_used(&self, used: usize, capacity: usize) {
        self.lock().buffer.push((used, capacity));
    }

    fn retained_bytes_changed(&self, by: i64) {
        self.add("retained_bytes", by);
    }

    fn callback_finished(&self, which: CallbackKind, took: Duration) {
        self.lock().callbacks.push((which, took));
    }

    fn joined(&self) {
        self.add("joined", 1);
    }

    fn left(&self) {
        self.add("left", 1);
    }

    fn join_refused(&self) {
        self.add("join_refused", 1);
    }

    fn error(&self, kind: &'static str) {
        self.add(kind, 1);
    }
}

//! [`Counter`]: a sharded counter.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter with a shard for each of many tasks, so that cores do not contend for one cache line.
#[derive(Debug, Default)]
pub(crate) struct Counter([Place; PLACES]);

/// Usually more than the number of cores.
const PLACES: usize = 32;

/// Alone on its cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(AtomicU64);

impl Counter {
    /// Adds one. `client` chooses the shard.
    pub(crate) fn add(&self, client: u32) {
        self.add_many(client, 1);
    }

    pub(crate) fn add_many(&self, client: u32, many: u64) {
        self.0[client as usize % PLACES].0.fetch_add(many, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|place| place.0.load(Ordering::Relaxed)).sum()
    }
}

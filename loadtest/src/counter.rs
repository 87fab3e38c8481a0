//! [`Counter`]: a number to which many tasks add.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number to which many tasks add, each in its own place.
#[derive(Debug, Default)]
pub(crate) struct Counter([Place; PLACES]);

/// More than a machine has cores, as a rule.
const PLACES: usize = 32;

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(AtomicU64);

impl Counter {
    /// Adds one. `client` chooses the place.
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

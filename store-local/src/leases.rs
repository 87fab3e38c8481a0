//! [`Leases`]: which nodes are alive, and which may have records without a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rejoin_store::rules::millis;
use rejoin_store::{LeaseError, LogId, NodeId};

/// The leases of live nodes. A new process knows none: it has the directory's lock, so all earlier nodes are dead.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    until: Mutex<BTreeMap<NodeId, u64>>,
    /// Nodes whose lease has ended for good.
    buried: Mutex<BTreeSet<NodeId>>,
    /// Nodes that may have records without a deadline. A search for expired records only visits those of dead nodes.
    owners: Mutex<BTreeSet<(LogId, NodeId)>>,
}

/// No code that holds a lock of this file can panic while its data is inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leases {
    pub(crate) fn until(&self, node: NodeId) -> Option<u64> {
        lock(&self.until).get(&node).copied()
    }

    pub(crate) fn lives(&self, node: NodeId, now: u64) -> bool {
        self.until(node).is_some_and(|until| until > now)
    }

    pub(crate) fn add_owner(&self, log: LogId, owner: NodeId) {
        lock(&self.owners).insert((log, owner));
    }

    pub(crate) fn remove_owner(&self, log: LogId, owner: NodeId) {
        lock(&self.owners).remove(&(log, owner));
    }

    pub(crate) fn owners(&self, log: LogId) -> Vec<NodeId> {
        lock(&self.owners).iter().filter(|(of, _)| *of == log).map(|(_, owner)| *owner).collect()
    }

    pub(crate) fn renew(&self, node: NodeId, now: u64, ttl: Duration) -> Result<(), LeaseError> {
        if lock(&self.buried).contains(&node) {
            return Err(LeaseError::Passed);
        }
        lock(&self.until).insert(node, now.saturating_add(millis(ttl)));
        if ttl.is_zero() {
            self.bury(node);
        }
        Ok(())
    }

    pub(crate) fn bury(&self, node: NodeId) {
        lock(&self.buried).insert(node);
    }
}

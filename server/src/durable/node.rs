//! [`StoreNode`]: a server as its store knows it, whatever its realms.

use std::sync::Arc;
use std::time::Duration;

use rejoin_core::drive::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use rejoin_store::{LogId, NodeId, Store, WriterKey};
use sha1_smol::Sha1;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health::StoreHealth;

/// A server and its store: what the logs of its realms share. It has one lease.
#[derive(Debug)]
pub(crate) struct StoreNode {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) node: NodeId,
    pub(crate) health: StoreHealth,
    /// With `Durability::Handover`.
    pub(crate) hands_over: bool,
    /// Nonces of requests; each is greater than the one before.
    nonce: AtomicU64,
    /// With `Durability::Handover`: the server is about to leave its sessions to the store. No further callback of a session without
    /// a socket begins, and none resumes; also in a realm whose restart is not over yet.
    is_stopping: AtomicBool,
    /// Sessions stay in the store from now on, whatever becomes of them in this process.
    is_left: AtomicBool,
    /// The task of the lease was begun.
    has_begun: AtomicBool,
    /// No further log is opened.
    closing: CancellationToken,
    /// Cancelled when the server is gone, or has waited for the store for long enough.
    pub(super) gone: CancellationToken,
    /// Cancelled when the lease has been given up, or lost.
    pub(super) over: CancellationToken,
    /// The tasks of all logs.
    pub(super) logs: TaskTracker,
}

/// The log of the default realm.
pub(super) const DEFAULT: LogId = LogId(1);

/// How long a node is believed to live without a word. Longer than a process is likely to be stopped: one whose lease has passed
/// has to be restarted. A clean end and a store in a directory need no such wait, so it costs nothing there.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// The first bytes of a hash, which is the same in each process.
fn hash(parts: &[&[u8]]) -> [u8; 8] {
    let mut hash = Sha1::new();
    parts.iter().for_each(|part| hash.update(part));
    *hash.digest().bytes().first_chunk().expect("it has 20")
}

/// The number of a realm's log. Two realms may have the same number, so opening a log compares the names.
pub(super) fn log_of(realm: &str) -> LogId {
    match realm {
        "" => DEFAULT,
        _ => LogId(u64::from_be_bytes(hash(&[realm.as_bytes()])) | 1 << 63),
    }
}

impl StoreNode {
    pub(crate) fn new(store: Arc<dyn Store>, name: u64, incarnation: u64, hands_over: bool) -> Arc<Self> {
        Arc::new(Self {
            store,
            node: NodeId { name, incarnation },
            health: StoreHealth::default(),
            hands_over,
            nonce: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
            is_left: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            closing: CancellationToken::new(),
            gone: CancellationToken::new(),
            over: CancellationToken::new(),
            logs: TaskTracker::new(),
        })
    }

    /// The key of the server's own writer in a log. No token has a zero byte.
    pub(super) fn own_key(&self, log: LogId) -> WriterKey {
        match log {
            DEFAULT => self.key(0, [0; 8]),
            LogId(log) => self.key(0, log.to_be_bytes()),
        }
    }

    /// The key of the record in the default log which says that this life of the server has had a realm.
    pub(super) fn realm_key(&self, log: LogId) -> WriterKey {
        self.key(1, hash(&[&self.node.incarnation.to_be_bytes(), &log.0.to_be_bytes()]))
    }

    /// Whether a key is one that [`Self::realm_key`] of any server has made.
    pub(super) fn is_realm_key(key: WriterKey) -> bool {
        key.0[0] == 1
    }

    fn key(&self, kind: u8, which: [u8; 8]) -> WriterKey {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&which);
        key[8..].copy_from_slice(&self.node.name.to_be_bytes());
        key[0] = kind;
        WriterKey(key)
    }

    pub(super) fn nonce(&self) -> u64 {
        self.nonce.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    /// Whether the server is about to leave its sessions to the store, with `Durability::Handover`.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// Whether the sessions of this process were left to the store.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::SeqCst)
    }

    pub(crate) fn leave(&self) {
        self.is_left.store(true, Ordering::SeqCst);
    }

    /// The lease is given up as soon as the tasks of all logs have ended.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Waits until the server has closed and the tasks of all logs have ended.
    pub(super) async fn closed(&self) {
        self.closing.cancelled().await;
        self.logs.close();
        self.logs.wait().await;
    }

    /// Whether the caller is the first, who begins the task.
    pub(super) fn begins(&self) -> bool {
        !self.has_begun.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use rejoin_store::MemoryStore;

    use super::*;

    #[test]
    fn each_realm_has_a_log_and_keys_of_its_own() {
        let lives =
            [1, 2].map(|incarnation| StoreNode::new(Arc::new(MemoryStore::new()), 7, incarnation, false));
        let logs = ["", "blue", "red"].map(log_of);
        assert!(logs[0] == DEFAULT && logs[1] != logs[0] && logs[2] != logs[1]);
        let own = |life: usize| logs.map(|log| lives[life].own_key(log));
        assert_eq!(own(0), own(1), "a restart finds it");
        assert_eq!(own(0)[0].0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        let notes = [0, 1].map(|life: usize| logs.map(|log| lives[life].realm_key(log)));
        let mut all: Vec<_> = own(0).into_iter().chain(notes.into_iter().flatten()).collect();
        assert!(notes.iter().flatten().all(|key| StoreNode::is_realm_key(*key)));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9, "each life has its own notes");
        // Those of sessions come after them.
        assert!(all.iter().all(|key| key.0[0] < b'-'));
    }
}

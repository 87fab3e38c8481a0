//! Where sessions outlive the process.

use std::sync::Arc;

use rejoin_store::Store;

use super::Builder;
use crate::durable::DurableLog;
use crate::error::ConfigError;

/// When what a session has caused is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Never: sessions end with the process, as without a store.
    Process,
    /// Before anybody learns of it: no frame is acknowledged, and none is sent, before it is committed.
    #[default]
    Commit,
}

/// The store of a server that is being configured.
#[derive(Debug)]
pub(super) struct StoreOptions {
    store: Option<Arc<dyn Store>>,
    durability: Durability,
    node: String,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { store: None, durability: Durability::default(), node: "node".into() }
    }
}

impl StoreOptions {
    pub(super) fn into_log(self) -> Result<Option<Arc<DurableLog>>, ConfigError> {
        let Some(store) = self.store.filter(|_| self.durability == Durability::Commit) else { return Ok(None) };
        let incarnation = getrandom::u64().map_err(|error| ConfigError {
            option: "store",
            value: error.to_string(),
            range: "randomness from the operating system",
        })?;
        // FNV-1a: the same in each process.
        let name = self.node.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok(Some(Arc::new(DurableLog::new(store, name, incarnation))))
    }
}

impl Builder {
    /// Keeps sessions in a store, so that they outlive the process: it may be killed at any instruction, and each session goes on
    /// within its window. Every accepted frame is delivered once, in both directions. Default: none.
    ///
    /// What a handler says, through whichever handle, is committed when it returns, together with the number of the frame that it
    /// has handled: both or neither. So after a crash a handler may run again, and what its first run has said is nowhere. What is
    /// said elsewhere is a commit of its own, and [`Server::committed`](crate::Server::committed) waits for those.
    ///
    /// Connections in plain mode and volatile frames stay outside the store. Costs a call of the store for each frame that is
    /// handled, shared by those that are handled meanwhile, and its time before an answer is sent.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store.get_or_insert_default().store = Some(Arc::new(store));
        self
    }

    /// Sets when what a session has caused is in the store. Default: [`Durability::Commit`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.store.get_or_insert_default().durability = durability;
        self
    }

    /// Names this server among those that share a store. After a restart the server with the same name goes on with the sessions of
    /// the last one. Default: `node`.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.store.get_or_insert_default().node = name.into();
        self
    }
}

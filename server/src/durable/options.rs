//! The store of a server that is being configured.

use std::sync::Arc;

use rejoin_store::Store;

use super::log::DurableLog;
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
pub(crate) struct StoreOptions {
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) durability: Durability,
    pub(crate) node: String,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { store: None, durability: Durability::default(), node: "node".into() }
    }
}

impl StoreOptions {
    pub(crate) fn into_log(self) -> Result<Option<Arc<DurableLog>>, ConfigError> {
        let Some(store) = self.store.filter(|_| self.durability == Durability::Commit) else {
            return Ok(None);
        };
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

//! The store of a server that is being configured.

use std::sync::Arc;

use rejoin_store::Store;

use super::node::StoreNode;
use crate::error::ConfigError;

/// When what a session has caused is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Never: sessions end with the process, as without a store.
    Process,
    /// When the session has lost its socket: for a server that is to be replaced without a loss, and whose inputs need not survive
    /// a crash.
    ///
    /// A session is in the memory of its process while it has a socket: inputs are counted and acknowledged there, their handlers run
    /// once, and what is sent to it goes straight to its socket. Once its socket is lost and its last callback has returned, it is
    /// written to the store, with the frames that its client has not acknowledged and the inputs that are not handled. So it is after
    /// a drain, and after a clean shutdown, which closes all sockets first. From then on it survives a crash, and gets everything that
    /// is said to it meanwhile.
    ///
    /// A crash loses the sessions that had a socket, and those whose callbacks were still running or whose client was being resumed:
    /// their clients get a fresh session and the report that the old one is lost, each is logged as a warning, and none of its callbacks
    /// run. While the store is down, sessions with sockets go on, and only what is said to audiences waits; those that lose
    /// their socket cannot be resumed before the store is back, and stay in memory.
    ///
    /// A handler that a shutdown cannot wait for is dropped, and runs again in the next process with the same message; what it has
    /// said before stays said. So does a callback that has run while its session waited, if the process dies before that was written.
    /// What one connection's handlers say has its order. Elsewhere a frame that is sent to one connection may overtake a broadcast
    /// that was said before it: [`Server::committed`](crate::Server::committed) waits for those.
    ///
    /// Costs no call of the store for an input or for a frame to a connection with a socket. A broadcast, a join or a leave costs a
    /// part of one, shared by all that are made meanwhile; so does a frame to a connection without a socket. A lost socket costs one
    /// call with the frames that the session keeps, and a resume two.
    Handover,
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
    pub(crate) fn into_node(self) -> Result<Option<Arc<StoreNode>>, ConfigError> {
        let Some(store) = self.store.filter(|_| self.durability != Durability::Process) else {
            return Ok(None);
        };
        let incarnation = getrandom::u64().map_err(|error| ConfigError {
            option: "store",
            value: error.to_string(),
            range: "randomness from the operating system",
        })?;
        let name = number_of(&self.node);
        Ok(Some(StoreNode::new(store, name, incarnation, self.durability == Durability::Handover)))
    }
}

/// The number that a store knows a node by. FNV-1a: the same in each process and version.
fn number_of(node: &str) -> u64 {
    node.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_know_a_node_by_the_same_number_for_ever() {
        assert_eq!(number_of(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(number_of("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(number_of("foobar"), 0x8594_4171_f739_67e8);
    }
}

//! The store of a server that is being configured.

use std::sync::Arc;

use rejoin_store::Store;

use super::node::StoreNode;
use crate::error::ConfigError;

/// When the acts and inputs of a session reach the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Never: sessions end with the process, as without a store.
    Process,
    /// When the session has lost its socket. For a server that is to be replaced without a loss, and whose inputs need not survive a
    /// crash.
    ///
    /// While a session has a socket, it is in the memory of its process: inputs are counted and acknowledged there, their handlers run
    /// once, and frames to it go directly to its socket. Once its socket is lost and its last callback has returned, the session is
    /// written to the store, with its unacknowledged frames and unhandled inputs. A drain and a clean shutdown close all sockets first,
    /// so all sessions are in the store afterwards. From then on the session survives a crash, and receives every frame that is sent to
    /// it meanwhile.
    ///
    /// A crash loses the sessions that had a socket, and those whose callbacks were still running or whose client was being resumed.
    /// Their clients get a fresh session and a report of the loss; each loss is logged as a warning, and none of the session's
    /// callbacks run. While the store is down, sessions with sockets continue, and only broadcasts and other acts on audiences wait.
    /// Sessions that lose their socket cannot be resumed before the store is back, and stay in memory.
    ///
    /// A handler that a shutdown cannot wait for is dropped, and runs again in the next process with the same message; the frames that
    /// it has already sent remain sent. The same holds for a callback that runs while its session waits, if the process dies before the
    /// session is written. Frames from one connection's handlers keep their order. Elsewhere, a frame to one connection may overtake an
    /// earlier broadcast: [`Server::committed`](crate::Server::committed) waits for pending broadcasts.
    ///
    /// An input or a frame to a connection with a socket makes no store call. A broadcast, a join, a leave, or a frame to a connection
    /// without a socket costs a share of one call, which carries all acts that accumulate meanwhile. A lost socket costs one call with
    /// the frames that the session keeps, and a resume two.
    Handover,
    /// Before it has any visible effect: no frame is acknowledged or sent before it is committed.
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

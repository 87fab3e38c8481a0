//! Where sessions outlive the process.

use std::sync::Arc;

use rejoin_store::Store;

use super::Builder;
use crate::durable::Durability;

impl Builder {
    /// Keeps sessions in a store, so that they outlive the process: it may be killed at any instruction, and each session continues if
    /// its client returns within the resume window. Every accepted frame is delivered once, in both directions. Default: none. The
    /// guide has a page on [restarts](crate::guide::restarts).
    ///
    /// The acts of a handler (frames, joins, leaves, and so on, through any handle) are committed when it returns, in one step with the
    /// number of the frame that it has handled. So after a crash a handler may run again, but no act of its first run has had an
    /// effect. Acts outside of handlers are separate commits, and [`Server::committed`](crate::Server::committed) waits for them.
    ///
    /// Several servers may share a store if each has its own [name](Self::node). A session then moves to the server where its client
    /// reconnects, whether its former server still runs or not. A former server that still runs calls [`on_moved`](Self::on_moved). A
    /// broadcast reaches the members at all servers. Connections and members are only listed and counted by the server that has them.
    ///
    /// Each [realm](crate::Identity::with_realm) has a log of its own in the store, which is open while the realm has connections here;
    /// [`Durability::Handover`](crate::Durability::Handover) allows the default realm alone.
    ///
    /// Connections in plain mode and volatile frames stay outside the store. Costs a call of the store for each frame that is
    /// handled, shared by those that are handled meanwhile, and its time before an answer is sent.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store.get_or_insert_default().store = Some(Arc::new(store));
        self
    }

    /// Sets when the acts and inputs of a session reach the store. Default: [`Durability::Commit`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.store.get_or_insert_default().durability = durability;
        self
    }

    /// Names this server among those that share a store. Two servers that run at the same time must have different names. After a
    /// restart, the server with the same name continues the sessions of the last one. Default: `node`.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.store.get_or_insert_default().node = name.into();
        self
    }
}

//! Closes the sockets of sessions that wait for the store for too long.

use std::sync::Weak;
use std::time::Duration;

use rejoin_core::drive::now;

use crate::connection::Connection;
use crate::inner::ServerCore;

use super::node::StoreNode;

/// How long the store may be down before sockets with uncommitted inputs are closed.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the sessions are checked after that.
const INTERVAL: Duration = Duration::from_secs(1);

/// Closes sockets that have waited for the store for too long, with 1013. Their sessions are suspended, and go on when the store is
/// back; nothing that was not committed has been acknowledged.
pub(super) async fn relieve(server: &Weak<ServerCore>, node: &StoreNode) {
    loop {
        let since = node.health.down().await;
        tokio::select! {
            () = tokio::time::sleep_until((since + STORE_TIMEOUT).into()) => {}
            () = node.health.up() => continue,
        }
        let Some(shared) = server.upgrade() else { return std::future::pending().await };
        let closes = |connection: &Connection| {
            connection.handle().writer().is_some()
                && connection
                    .session()
                    .command(|session| session.uncommitted() > 0 && session.dismiss_without_store(now()))
        };
        let closed = shared.registry.running_in_order().into_iter().filter(closes).count();
        drop(shared);
        if closed > 0 {
            tracing::warn!(sockets = closed, "closed, because the store does not answer");
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = node.health.up() => {}
        }
    }
}

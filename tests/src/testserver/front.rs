//! The test server's listener, which can hide pings.

use std::time::Duration;

use rejoin_core::drive::OptimisticTcp;
use rejoin_server::Server;
use socket2::SockRef;
use tokio::net::TcpListener;

use super::pingless::Pingless;

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until it is dropped. Connections that have not been upgraded by then end with the server.
pub(super) async fn accept(server: Server, listener: TcpListener, write_timeout: Duration) {
    // On most systems accepted connections inherit it; the first one shows whether they do.
    SockRef::from(&listener).set_tcp_nodelay(true).ok();
    let mut nodelay = None;
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !*nodelay.get_or_insert_with(|| stream.nodelay().unwrap_or(false)) {
            stream.set_nodelay(true).ok();
        }
        let stream = OptimisticTcp::new(stream).with_write_timeout(write_timeout);
        server.spawn_connection(Pingless::new(stream), Some(peer));
    }
}

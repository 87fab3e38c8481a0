//! The test server's listener: hides the pings of those who ask for it.

use std::time::Duration;

use rejoin_core::drive::OptimisticTcp;
use rejoin_server::Server;
use socket2::SockRef;
use tokio::net::TcpListener;

use super::pingless::Pingless;

/// How long accepting rests when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until it is dropped. What has not been upgraded then goes with the server.
pub(super) async fn accept(server: Server, listener: TcpListener, write_timeout: Duration) {
    // Most systems hand it on to what a listener accepts; the first that comes shows it.
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

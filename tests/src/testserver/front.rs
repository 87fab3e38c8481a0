//! The test server's listener, which can hide pings.

use std::net::SocketAddr;
use std::time::Duration;

use rejoin_core::drive::OptimisticTcp;
use rejoin_server::Server;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::pingless::{self, Pingless};

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection may be silent before the server's own patience with it begins.
const PATIENCE: Duration = Duration::from_secs(5);

/// Accepts connections until it is dropped. Connections that have not been upgraded by then end with the server.
pub(super) async fn accept(server: Server, listener: TcpListener, write_timeout: Duration) {
    // On most systems accepted connections inherit it; the first one shows whether they do.
    SockRef::from(&listener).set_tcp_nodelay(true).ok();
    let mut nodelay = None;
    let mut beginning = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = beginning.join_next() => continue,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !*nodelay.get_or_insert_with(|| stream.nodelay().unwrap_or(false)) {
            stream.set_nodelay(true).ok();
        }
        beginning.spawn(begin(server.clone(), stream, peer, write_timeout));
    }
}

/// Serves a connection as the server's own listener does, unless its request asks for a server that answers no ping. One that
/// sends nothing is the server's affair once it would give up, too.
async fn begin(server: Server, stream: TcpStream, peer: SocketAddr, write_timeout: Duration) {
    if tokio::time::timeout(PATIENCE, pingless::is_wanted(&stream)).await == Ok(true) {
        let stream = OptimisticTcp::new(stream).with_write_timeout(write_timeout);
        server.spawn_connection(Pingless::new(stream), Some(peer));
    } else {
        server.spawn_connection(stream, Some(peer));
    }
}

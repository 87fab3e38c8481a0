//! [`Accepting`]: a listener of the server's own, over TCP, a Unix socket or TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rejoin_core::drive::OptimisticTcp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::accept::handshake::spawn;
use crate::accept::nodelay::Nodelay;
use crate::inner::ServerInner;
use crate::limits::limit::Limit;
use crate::observe::errors::ErrorKind;

/// How long accepting pauses when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener, as the accept loop uses it.
pub(crate) trait Accepting: Send + 'static {
    /// A connection that has been accepted.
    type Socket: Send;

    /// Accepts the next connection. Cancel safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Socket>> + Send;

    /// Serves a connection in a new task.
    fn begin(&mut self, shared: &Arc<ServerInner>, socket: Self::Socket, permit: OwnedSemaphorePermit);
}

/// Accepts connections until the server is shut down.
pub(crate) async fn accept(shared: Arc<ServerInner>, mut listener: impl Accepting) {
    let accepts = async {
        loop {
            // Taken before `accept`: while there are too many handshakes, the next connections wait in the operating system's
            // queue, where they cost this process nothing.
            let permit = match shared.handshakes.clone().try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    shared.reached(Limit::Handshakes);
                    shared.handshakes.clone().acquire_owned().await.expect("the semaphore is never closed")
                }
            };
            match listener.accept().await {
                Ok(socket) => listener.begin(&shared, socket, permit),
                Err(error) => {
                    shared.report_error(|| ErrorKind::Accept(error.kind()));
                    if let Some(suppressed) = shared.accept_errors.pass() {
                        tracing::warn!(%error, suppressed, "accept failed");
                    }
                    if !is_of_one_connection(&error) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shared.closing.cancelled() => {}
        () = accepts => {}
    }
}

/// A TCP listener.
pub(crate) struct Tcp {
    listener: TcpListener,
    nodelay: Nodelay,
}

impl Tcp {
    pub(crate) fn new(listener: TcpListener) -> Self {
        let nodelay = Nodelay::new(&listener);
        Self { listener, nodelay }
    }
}

impl Accepting for Tcp {
    type Socket = (TcpStream, SocketAddr);

    async fn accept(&mut self) -> io::Result<Self::Socket> {
        let (stream, peer) = self.listener.accept().await?;
        self.nodelay.set(&stream);
        Ok((stream, peer))
    }

    fn begin(
        &mut self,
        shared: &Arc<ServerInner>,
        (stream, peer): Self::Socket,
        permit: OwnedSemaphorePermit,
    ) {
        let stream = OptimisticTcp::new(stream).with_write_timeout(shared.options.write_timeout);
        spawn(shared, stream, Some(peer), Some(permit));
    }
}

#[cfg(unix)]
impl Accepting for tokio::net::UnixListener {
    type Socket = tokio::net::UnixStream;

    async fn accept(&mut self) -> io::Result<Self::Socket> {
        Ok(Self::accept(self).await?.0)
    }

    fn begin(&mut self, shared: &Arc<ServerInner>, stream: Self::Socket, permit: OwnedSemaphorePermit) {
        spawn(shared, stream, None, Some(permit));
    }
}

/// Whether an error of `accept` concerns one connection that has ended before it was accepted. Any other error, such as no
/// descriptor or no memory left, would come again at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    // `accept` of Linux returns errors that are pending on the new connection, and EPERM where a firewall forbids it.
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepting_pauses_only_for_persistent_errors() {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Other, OutOfMemory};
        assert!(
            [ConnectionAborted, ConnectionReset].iter().all(|kind| is_of_one_connection(&(*kind).into()))
        );
        assert!([OutOfMemory, Other].iter().all(|kind| !is_of_one_connection(&(*kind).into())));
        // EMFILE, ENFILE
        #[cfg(unix)]
        assert!([24, 23].iter().all(|code| !is_of_one_connection(&io::Error::from_raw_os_error(*code))));
    }
}

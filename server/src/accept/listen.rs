//! [`ServeHandle`]: the server's own TCP listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs};

use crate::accept::accepting::{Tcp, accept};
use crate::inner::ServerInner;

/// The number of connections that the operating system queues until they are accepted. Linux limits it to `net.core.somaxconn`,
/// by default 4,096.
const BACKLOG: u32 = 4096;

/// A listener that accepts connections until the server is shut down. Dropping the handle does not stop it.
#[derive(Debug)]
pub struct ServeHandle {
    local_addr: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl ServeHandle {
    /// The address of the listener. If port 0 was asked for, it has the port that the operating system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until the server has been shut down and the listener is closed.
    pub async fn closed(self) {
        self.task.await.ok();
    }
}

/// Binds a listener with the longest backlog that the operating system allows: after an outage all clients come back at once.
pub(crate) async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    for addr in tokio::net::lookup_host(addr).await? {
        let listen = || {
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A server that is restarted gets its port at once.
            #[cfg(not(windows))]
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            socket.listen(BACKLOG)
        };
        match listen() {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Starts the task that accepts connections from a listener.
pub(crate) fn listen(shared: Arc<ServerInner>, listener: TcpListener) -> io::Result<ServeHandle> {
    let local_addr = listener.local_addr()?;
    tracing::info!(%local_addr, "listening");
    let task = shared.tasks.clone().spawn(accept(shared, Tcp::new(listener)));
    Ok(ServeHandle { local_addr, task })
}

/// Like [`listen`], for connections that begin with a TLS handshake.
#[cfg(feature = "tls")]
pub(crate) fn listen_tls(
    shared: Arc<ServerInner>,
    listener: TcpListener,
    tls: crate::accept::tls::Tls,
) -> io::Result<ServeHandle> {
    let local_addr = listener.local_addr()?;
    tracing::info!(%local_addr, "listening with TLS");
    let accepting = crate::accept::tls::TlsOverTcp { tcp: Tcp::new(listener), tls };
    let task = shared.tasks.clone().spawn(accept(shared, accepting));
    Ok(ServeHandle { local_addr, task })
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    #[cfg(not(windows))]
    async fn restarted_server_can_reuse_its_port() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        assert!(SockRef::from(&listener).reuse_address().unwrap());
    }

    #[tokio::test]
    async fn listens_on_first_free_address() {
        let other = bind("127.0.0.1:0").await.unwrap();
        let taken = other.local_addr().unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        assert_ne!(bind(&[taken, any][..]).await.unwrap().local_addr().unwrap(), taken);
        assert_eq!(bind(taken).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind(&[][..]).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

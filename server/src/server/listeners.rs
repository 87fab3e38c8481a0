//! Listeners on Unix sockets, and with TLS.

use std::io;

use super::Server;

#[cfg(unix)]
impl Server {
    /// Listens on a Unix socket, like [`Self::listen`], for example behind a proxy on the same machine. Connections have no
    /// [`remote_addr`](crate::Connection::remote_addr). Only on Unix.
    ///
    /// A socket that an earlier process has left at this path is replaced, unless a process listens there. The file stays when the
    /// server shuts down. Its directory's permissions decide who may connect.
    ///
    /// ```
    /// # use rejoin_server::Server;
    /// async fn serve(server: &Server) -> std::io::Result<()> {
    ///     server.listen_unix("/run/chat/ws.sock").await?;
    ///     server.listen("127.0.0.1:9000").await?; // and over TCP
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Fails when the server cannot listen at the path.
    pub async fn listen_unix(&self, path: impl AsRef<std::path::Path>) -> io::Result<crate::UnixServeHandle> {
        self.serve_unix(crate::accept::unix::bind(path.as_ref()).await?)
    }

    /// Like [`Self::listen_unix`], with an existing listener.
    ///
    /// # Errors
    /// Fails when the listener cannot report its local address.
    pub fn serve_unix(&self, listener: tokio::net::UnixListener) -> io::Result<crate::UnixServeHandle> {
        self.shared.runtimes.note();
        crate::accept::unix::listen(self.shared.clone(), listener)
    }
}

#[cfg(feature = "tls")]
impl Server {
    /// Listens on a TCP address with TLS, like [`Self::listen`]: for `wss` without a proxy. [`Tls`](crate::Tls) has the
    /// certificates, and replaces them while connections live. Requires the feature `tls`.
    ///
    /// The TLS handshake is one more step of the upgrade, for at most the [handshake
    /// timeout](crate::Builder::handshake_timeout), and counts in [`max_handshakes`](crate::Builder::max_handshakes).
    ///
    /// # Errors
    /// Fails when the server cannot listen on the address.
    pub async fn listen_tls(
        &self,
        addr: impl tokio::net::ToSocketAddrs,
        tls: &crate::Tls,
    ) -> io::Result<crate::ServeHandle> {
        self.serve_tls(crate::accept::listen::bind(addr).await?, tls)
    }

    /// Like [`Self::listen_tls`], with an existing listener.
    ///
    /// # Errors
    /// Fails when the listener cannot report its local address.
    pub fn serve_tls(
        &self,
        listener: tokio::net::TcpListener,
        tls: &crate::Tls,
    ) -> io::Result<crate::ServeHandle> {
        self.shared.runtimes.note();
        crate::accept::listen::listen_tls(self.shared.clone(), listener, tls.clone())
    }
}

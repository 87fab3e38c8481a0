//! [`Tls`]: the certificates of a listener, which can be replaced while it runs.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use crate::accept::accepting::{Accepting, Tcp};
use crate::accept::handshake::spawn_after;
use crate::inner::ServerInner;

/// The TLS configuration of listeners ([`Server::listen_tls`](crate::Server::listen_tls)), with their certificates. Requires the
/// feature `tls`. Clones share one configuration.
///
/// [`Self::reload`] replaces it, for example when a certificate has been renewed. Later connections get the new one, and
/// established connections keep theirs. A configuration of rustls with a `ResolvesServerCert` of your own works as well.
///
/// Configure no ALPN, or `http/1.1` alone: a WebSocket upgrade is an HTTP/1.1 request.
///
/// ```
/// # use std::sync::Arc;
/// # use rejoin_server::{ConnectRequest, Identity, Reject, Server, Tls, rustls};
/// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
/// async fn serve(
///     first: rustls::ServerConfig,
///     mut renewed: tokio::sync::mpsc::Receiver<rustls::ServerConfig>,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     let server = Server::builder(connect).build()?;
///     let tls = Tls::new(first);
///     server.listen_tls("0.0.0.0:443", &tls).await?;
///     while let Some(config) = renewed.recv().await {
///         tls.reload(config);
///     }
///     Ok(())
/// }
/// # let _ = serve;
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

impl Tls {
    /// Takes a configuration of rustls, with a certificate and its key.
    pub fn new(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self { config: Arc::new(Mutex::new(config.into())) }
    }

    /// Replaces the configuration, for all listeners that use it or a clone of it. Connections accepted from now on get it.
    pub fn reload(&self, config: impl Into<Arc<ServerConfig>>) {
        let config = config.into();
        let old = std::mem::replace(&mut *self.config.lock().unwrap_or_else(PoisonError::into_inner), config);
        // Dropped without the lock: it may contain code of the application.
        drop(old);
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// A TCP listener whose connections begin with a TLS handshake.
pub(crate) struct TlsOverTcp {
    pub(crate) tcp: Tcp,
    pub(crate) tls: Tls,
}

impl Accepting for TlsOverTcp {
    type Socket = (TcpStream, SocketAddr);

    async fn accept(&mut self) -> io::Result<Self::Socket> {
        self.tcp.accept().await
    }

    fn begin(
        &mut self,
        shared: &Arc<ServerInner>,
        (stream, peer): Self::Socket,
        permit: OwnedSemaphorePermit,
    ) {
        let handshake = self.tls.acceptor().accept(stream);
        let (patience, closing) = (shared.options.handshake_timeout, shared.closing.clone());
        // One more step of the upgrade, with its own time.
        let opening = async move {
            tokio::select! {
                biased;
                opened = tokio::time::timeout(patience, handshake) => opened?,
                () = closing.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
            }
        };
        spawn_after(shared, opening, Some(peer), Some(permit));
    }
}

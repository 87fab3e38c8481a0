//! [`Dialer`]: from an address to a WebSocket.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use rejoin_core::{Mode, Token};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::ConnectError;
use crate::options::Options;
use crate::target::Target;
use crate::transport::WsTransport;
use crate::upgrade;

/// Any byte stream: TCP, TLS over it, whatever the application's connector brings.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(crate) type BoxIo = Box<dyn Io>;

/// The application's own source of streams, its types erased.
pub(crate) type Connector =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send>> + Send + Sync>;

/// The application's own source of headers, its types erased.
pub(crate) type DialHeaders =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<HeaderMap>> + Send>> + Send + Sync>;

/// Makes sockets to one server. Knows nothing of sessions but the resume offer that it sends.
pub(crate) struct Dialer {
    target: Target,
    /// For `wss` without a connector.
    tls: Option<TlsConnector>,
    options: Arc<Options>,
}

impl Dialer {
    pub(crate) fn new(target: Target, options: Arc<Options>) -> Self {
        let tls = (target.tls && options.connector.is_none())
            .then(|| TlsConnector::from(options.tls.clone().unwrap_or_else(default_tls)));
        Self { target, tls, options }
    }

    /// Host and port, for logs.
    pub(crate) fn authority(&self) -> &str {
        &self.target.authority
    }

    /// Dials, unless a stream is there already, and asks for a WebSocket. The caller bounds the time.
    pub(crate) async fn dial(
        &self,
        ready: Option<BoxIo>,
        resume: Option<(&Token, u64)>,
    ) -> Result<WsTransport, ConnectError> {
        // First, for a server does not wait long for the request.
        let headers = self.headers().await?;
        let mut io = match ready {
            Some(stream) => stream,
            None => self.stream().await?,
        };
        let offer = match self.options.mode {
            Mode::Session => Some(upgrade::Offer { codec: self.options.codec.name(), resume }),
            Mode::Plain => None,
        };
        let tail = upgrade::upgrade(&mut io, &self.target, &headers, offer.as_ref()).await?;
        Ok(WsTransport::new(io, &tail, self.options.max_message_size))
    }

    async fn headers(&self) -> Result<Cow<'_, HeaderMap>, ConnectError> {
        let fixed = &self.options.headers;
        let Some(fresh) = &self.options.dial_headers else { return Ok(Cow::Borrowed(fixed)) };
        let fresh = fresh().await.map_err(ConnectError::Headers)?;
        self.options.check_headers(&fresh)?;
        let mut headers = fixed.clone();
        // Replaces what stands there under the same names.
        headers.extend(fresh);
        Ok(Cow::Owned(headers))
    }

    async fn stream(&self) -> Result<BoxIo, ConnectError> {
        if let Some(connector) = &self.options.connector {
            return connector().await.map_err(ConnectError::Dial);
        }
        let tcp = self.tcp().await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = ServerName::try_from(self.target.host.clone())
            .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        Ok(Box::new(tls.connect(name, tcp).await.map_err(ConnectError::Tls)?))
    }

    /// Tries all addresses of the host, one after the other. Each has its share of the time, so that one that swallows
    /// everything does not hide the others.
    async fn tcp(&self) -> Result<TcpStream, ConnectError> {
        let Target { host, port, .. } = &self.target;
        let found = tokio::net::lookup_host((host.as_str(), *port)).await.map_err(ConnectError::Resolve)?;
        let addresses: Vec<_> = found.collect();
        let share =
            self.options.handshake_timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = ConnectError::Resolve(io::ErrorKind::NotFound.into());
        for address in addresses {
            match connect(address, share).await {
                // A few small frames must not wait for each other.
                Ok(tcp) => return tcp.set_nodelay(true).map(|()| tcp).map_err(ConnectError::Dial),
                Err(error) => last = ConnectError::Dial(error),
            }
        }
        Err(last)
    }
}

async fn connect(address: std::net::SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    timeout(patience, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn default_tls() -> Arc<rustls::ClientConfig> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // Named, because a process may have no default provider, or several.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for the protocol versions that rustls turns on")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("authority", &self.target.authority).finish_non_exhaustive()
    }
}

//! [`ClientBuilder`]: the configuration of a client.

mod asking;
mod sources;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use rejoin_core::{Codec, Mode, Overflow};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backoff::Jitter;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{ConfigError, ConnectError};
use crate::options::ClientOptions;
use crate::sources::Connector;
use crate::stream::BoxIo;

/// Configures a [`Client`]. All options have defaults; [`Self::build`] checks them.
///
/// | option | default | range |
/// |---|---|---|
/// | [`codec`](Self::codec) | JSON | |
/// | [`plain`](Self::plain) | session mode | |
/// | [`reconnect`](Self::reconnect) | 500 ms to 30 s | base (0, 1 min], max [base, 5 min] |
/// | [`max_retries`](Self::max_retries) | `None`: unlimited | 1 to 32, or `None` |
/// | [`heartbeat`](Self::heartbeat) | 20 s / 60 s | 0 < ping < pong ≤ 10 min |
/// | [`write_timeout`](Self::write_timeout) | 10 s | (0, 30 s] |
/// | [`ask_timeout`](Self::ask_timeout) | 30 s | more than 0 |
/// | [`handshake_timeout`](Self::handshake_timeout) | 10 s | (0, 1 min] |
/// | [`close_timeout`](Self::close_timeout) | 5 s | (0, 2 min] |
/// | [`max_message_size`](Self::max_message_size) | 1 MiB | 1 B to 64 MiB, or `None`: unlimited |
/// | [`send_buffer`](Self::send_buffer) | 256 frames | 1 to 65,536 |
/// | [`send_buffer_bytes`](Self::send_buffer_bytes) | 1 MiB | at least 1 B |
/// | [`overflow`](Self::overflow) | reject | |
/// | [`header`](Self::header), [`dial_headers`](Self::dial_headers), [`dial_url`](Self::dial_url) | none | |
/// | [`token`](Self::token) | none | |
/// | [`no_cookies`](Self::no_cookies) | cookies are kept for later dials | |
/// | [`seed`](Self::seed) | random | |
/// | [`connector`](Self::connector) | TCP, and TLS for `wss` | |
/// | `tls` (features `rustls-tls-*`) | the roots of the features, no client certificate | |
///
/// The options that a server has, too, have the same names, defaults and ranges. The exceptions, with their reasons:
///
/// | option | here | server | reason |
/// |---|---|---|---|
/// | `heartbeat` | 20 s / 60 s | 10 s / 30 s | the server's pings count as a sign of life here, so that a client rarely has to ping |
/// | `close_timeout` | (0, 2 min] | (0, 30 s] | a closing client may have to reconnect to deliver the frames that it accepted |
/// | `max_message_size` | 1 MiB; 1 B to 64 MiB, or `None`: unlimited | 64 KiB; 1 B to 64 MiB | a client has chosen its server, and may trust it; a server cannot trust its clients |
///
/// ```
/// use std::time::Duration;
/// use rejoin_client::Client;
///
/// let client = Client::builder("wss://chat.example.com/ws")
///     .header("authorization", "Bearer ...")
///     .reconnect(Duration::from_millis(200), Duration::from_secs(10))
///     .build()?;
/// # Ok::<(), rejoin_client::ConfigError>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct ClientBuilder {
    url: Result<Uri, ConfigError>,
    options: ClientOptions,
    /// The first invalid header.
    header_error: Option<ConfigError>,
}

impl Client {
    /// Configures a client of the server at `url`, a string or a [`Uri`]: `ws://…` or `wss://…`; `http` and `https` mean the
    /// same. The path and query are sent unchanged, the fragment is not sent. [`ClientBuilder::build`] reports an invalid URL.
    pub fn builder<U>(url: U) -> ClientBuilder
    where
        U: TryInto<Uri, Error: Into<http::Error>>,
    {
        let url = url.try_into().map_err(|error| ConfigError::Url { why: error.into().to_string() });
        ClientBuilder { url, options: ClientOptions::default(), header_error: None }
    }
}

impl ClientBuilder {
    /// Checks the options. Does not dial.
    ///
    /// # Errors
    /// Fails for a URL whose scheme is not `ws`, `wss`, `http` or `https`, and for an option out of its range; the error names
    /// the option. Also fails for `wss` if the client has neither TLS with a trusted authority ([features](crate#features)) nor a
    /// [connector](Self::connector); with [`Self::no_reconnect`] only a dial fails then, because the stream of
    /// [`Client::connect_over`] needs no TLS.
    pub fn build(self) -> Result<Client, ConfigError> {
        if let Some(error) = self.header_error {
            return Err(error);
        }
        self.options.check()?;
        Client::new(&self.url?, self.options)
    }

    /// Builds the client and connects it: [`Self::build`], then [`Client::connect`]. Awaiting the builder does the same.
    ///
    /// # Errors
    /// As these two.
    pub async fn connect(self) -> Result<Connection, ConnectError> {
        self.build()?.connect().await
    }

    /// Sets the wire format: `MsgpackCodec` (feature `msgpack`), `ProtobufCodec` (feature `protobuf`), or your own [`Codec`].
    /// Default: [`JsonCodec`](crate::JsonCodec). In session mode a server that does not support it refuses the dial with 400 and
    /// a list of its formats. In plain mode it has to be the server's default format.
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.options.codec = Arc::new(codec);
        self
    }

    /// Selects plain mode, for a server that does not speak rejoin's session mode. The client offers no subprotocol, and frames
    /// are neither counted nor acknowledged: when a socket is lost, frames that were under way may be missing, and one whose
    /// writing had not finished may arrive twice. Default: session mode.
    pub fn plain(mut self) -> Self {
        self.options.mode = Mode::Plain;
        self
    }

    /// Sets the delay before a reconnect: `min(base × 2^attempt, max) × uniform(0.5, 1.0)`. The attempts restart at 0 after a
    /// socket that lasted 10 s, or `max` if that is shorter. A delay that the server asks for (`1012 retry in N ms`,
    /// `Retry-After`) is a lower bound, stretched by up to a quarter. Default: 500 ms to 30 s; `base` more than 0 and at most 1
    /// min, `max` at least `base` and at most 5 min. Reverts [`Self::no_reconnect`].
    pub fn reconnect(mut self, base: Duration, max: Duration) -> Self {
        self.options.reconnect = true;
        self.options.base_delay = base;
        self.options.max_delay = max;
        self
    }

    /// Sets the number of reconnects in a row that may fail before the connection ends with
    /// [`RetriesExhausted`](crate::CloseReason::RetriesExhausted). A reconnect has succeeded when its socket lasted (10 s, or the
    /// longest delay if that is shorter), and also when it resumed the session and the network then lost the socket, however
    /// soon. A socket that the server closes sooner, or that opens a fresh session and is lost sooner, counts as failed:
    /// otherwise a server whose `on_connect` always panics would keep the client reconnecting forever. Default: `None`,
    /// unlimited; otherwise 1 to 32. To make no reconnect at all, use [`Self::no_reconnect`].
    pub fn max_retries(mut self, retries: impl Into<Option<u32>>) -> Self {
        self.options.max_retries = retries.into();
        self
    }

    /// Ends the connection when its first socket is lost. Default: the client reconnects.
    pub fn no_reconnect(mut self) -> Self {
        self.options.reconnect = false;
        self
    }

    /// Sets the heartbeat: the client pings a socket on which nothing has arrived for `ping`, and drops one on which nothing has
    /// arrived for `pong`. Costs a few bytes every `ping` on an idle connection. Default: 20 s and 60 s; 0 < `ping` < `pong` ≤ 10
    /// min.
    pub fn heartbeat(mut self, ping: Duration, pong: Duration) -> Self {
        self.options.ping_interval = ping;
        self.options.pong_timeout = pong;
        self
    }

    /// Sets the write timeout. A socket that takes none of the pending bytes for this time is lost, and so is one that takes less
    /// than 1 KiB/s on average over this time while more than 1 KiB is pending (PROTOCOL.md §7). It is also the time for which
    /// [`send_wait`](crate::Connection::send_wait) waits for capacity. Default: 10 s; more than 0, at most 30 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.options.write_timeout = timeout;
        self
    }

    /// Limits the time of a dial: the sources of URLs, headers and tokens, name resolution, TCP, TLS, the upgrade, and the opening of the
    /// session, together. Default: 10 s; more than 0, at most 1 min.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// Limits the time for which [`close`](crate::Connection::close) delivers accepted frames, including reconnects. For the same
    /// time the client reads from a socket that it closes otherwise, so that the close code reaches a server that is still
    /// sending. Default: 5 s; more than 0, at most 2 min.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// Sets the size of the largest message that is received, in bytes; a larger one ends the connection with 1009. With `None`
    /// the server decides how much memory the client uses. Default: 1 MiB; 1 B to 64 MiB, or `None`.
    pub fn max_message_size(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.options.max_message_size = bytes.into();
        self
    }

    /// Sets the number of frames that the send buffer keeps: in session mode until the server has acknowledged them, in plain
    /// mode until they are written. The server may allow fewer. When the buffer is full, `send` fails, or does what
    /// [`Self::overflow`] determines. Default: 256; 1 to 65,536.
    pub fn send_buffer(mut self, frames: usize) -> Self {
        self.options.send_buffer = frames;
        self
    }

    /// Sets the number of bytes that the send buffer keeps; an empty buffer accepts one frame of any size. Default: 1 MiB; at
    /// least 1 B.
    pub fn send_buffer_bytes(mut self, bytes: usize) -> Self {
        self.options.send_buffer_bytes = bytes;
        self
    }

    /// Sets the policy for a [`send`](crate::Connection::send) when the buffer is full. Default: [`Overflow::Reject`], which
    /// returns an error. To wait for capacity, call [`send_wait`](crate::Connection::send_wait).
    pub fn overflow(mut self, policy: Overflow) -> Self {
        self.options.overflow = policy;
        self
    }

    /// Adds a header that is sent with each dial, including reconnects: a cookie, an `Authorization`. Several headers can have
    /// the same name. The headers of the upgrade are refused: `Connection`, `Upgrade`, `Content-Length`, `Transfer-Encoding`, and
    /// `Sec-WebSocket-*`, except `Sec-WebSocket-Protocol` in plain mode. Default: none. [`Self::build`] reports an invalid
    /// header. Values are not logged.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let wrong = |why| ConfigError::Header { name: name.to_owned(), why };
        let header =
            HeaderName::try_from(name).map_err(|_| wrong("it is not a valid name")).and_then(|name| {
                Ok((
                    name,
                    HeaderValue::from_str(value).map_err(|_| wrong("its value has control characters"))?,
                ))
            });
        match header {
            Ok((name, value)) => {
                self.options.headers.append(name, value);
            }
            Err(error) => {
                self.header_error.get_or_insert(error);
            }
        }
        self
    }

    /// Ignores the cookies that answers to a dial set. By default they are kept and sent on later dials of the same connection
    /// (RFC 6265), so that a load balancer that assigns clients to servers by a cookie recognises a reconnect. Each goes back to
    /// the host that set it only, whatever its `Domain`; at most 32 of 4 KiB are kept, in memory. A cookie of the same name that
    /// [`Self::header`] or [`Self::dial_headers`] sends is not replaced.
    pub fn no_cookies(mut self) -> Self {
        self.options.cookies = false;
        self
    }

    /// Sets the seed of the reconnect jitter, which makes tests repeatable. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.jitter = Jitter::Seed(seed);
        self
    }

    /// Sets a source of streams, which replaces TCP, and TLS for `wss`: a tunnel, a Unix socket, a pair in memory. It is called
    /// for each dial, and the WebSocket upgrade runs over the stream that it returns; if that needs TLS, the source has to speak
    /// it.
    ///
    /// ```
    /// use rejoin_client::Client;
    ///
    /// let client = Client::builder("ws://chat.internal/ws")
    ///     .connector(|| tokio::net::TcpStream::connect("localhost:7000"))
    ///     .build()?;
    /// # Ok::<(), rejoin_client::ConfigError>(())
    /// ```
    ///
    /// Through an HTTP proxy, by `CONNECT` (RFC 9110 §9.3.6):
    ///
    /// ```
    /// use std::io;
    /// use rejoin_client::Client;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tokio::net::TcpStream;
    ///
    /// async fn tunnel(proxy: String, target: &str) -> io::Result<TcpStream> {
    ///     let mut stream = TcpStream::connect(proxy).await?;
    ///     stream.set_nodelay(true)?;
    ///     let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    ///     stream.write_all(request.as_bytes()).await?;
    ///     // Read no byte beyond the answer's head: further bytes are the server's.
    ///     let mut head = Vec::new();
    ///     while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
    ///         head.push(stream.read_u8().await?);
    ///     }
    ///     match head.split(|byte| *byte == b' ').nth(1) {
    ///         Some(b"200") => Ok(stream),
    ///         _ => Err(io::Error::other("the proxy refused the tunnel")),
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let proxy = "proxy.internal:3128";
    /// # let proxy = proxy_to_a_server().await?;
    /// let connection = Client::builder("ws://chat.example.com/ws")
    ///     .connector(move || tunnel(proxy.to_string(), "chat.example.com:80"))
    ///     .connect()
    ///     .await?;
    /// # connection.close().await;
    /// # Ok(())
    /// # }
    /// #
    /// # async fn proxy_to_a_server() -> Result<std::net::SocketAddr, Box<dyn std::error::Error>> {
    /// #     use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// #     async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
    /// #     let server = Server::builder(connect).build()?;
    /// #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// #     let addr = listener.local_addr()?;
    /// #     tokio::spawn(async move {
    /// #         let (mut stream, _) = listener.accept().await.unwrap();
    /// #         let mut head = Vec::new();
    /// #         while !head.ends_with(b"\r\n\r\n") { head.push(stream.read_u8().await.unwrap()); }
    /// #         assert!(head.starts_with(b"CONNECT chat.example.com:80 HTTP/1.1\r\n"));
    /// #         stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    /// #         server.serve_connection(stream).await;
    /// #     });
    /// #     Ok(addr)
    /// # }
    /// ```
    ///
    /// For `wss` through the proxy, speak TLS on the tunnel with `tokio_rustls::TlsConnector::connect`, and return that stream.
    pub fn connector<F, Fut, S>(mut self, connector: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connector: Connector = Arc::new(move || {
            let stream = connector();
            Box::pin(async move { Ok(Box::new(stream.await?) as BoxIo) })
        });
        self.options.connector = Some(connector);
        self
    }

    /// Sets how TLS is spoken for `wss`, for example with a client certificate or roots of the application's own. It replaces the
    /// roots of the features `rustls-tls-webpki-roots` and `rustls-tls-native-roots`. Default: those roots, TLS 1.2 and 1.3, and
    /// no client certificate. Has no effect on streams from a [connector](Self::connector). Needs one of the features
    /// `rustls-tls-*`.
    ///
    /// A server whose certificate comes from a company's own authority:
    ///
    /// ```
    /// use std::error::Error;
    /// use std::path::Path;
    /// use std::sync::Arc;
    /// use rejoin_client::rustls::pki_types::{CertificateDer, pem::PemObject};
    /// use rejoin_client::rustls::{ClientConfig, RootCertStore, crypto::ring};
    /// use rejoin_client::Client;
    ///
    /// /// Trusts only the authorities in this file.
    /// fn trusting(pem: &Path) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    ///     let mut roots = RootCertStore::empty();
    ///     for certificate in CertificateDer::pem_file_iter(pem)? {
    ///         roots.add(certificate?)?;
    ///     }
    ///     let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
    ///         .with_safe_default_protocol_versions()?
    ///         .with_root_certificates(roots)
    ///         .with_no_client_auth();
    ///     Ok(Arc::new(config))
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn Error>> {
    /// # let company_ca = std::env::temp_dir().join(format!("rejoin-{}.pem", std::process::id()));
    /// # let authority = rcgen::generate_simple_self_signed(["chat.internal".to_owned()])?;
    /// # std::fs::write(&company_ca, authority.cert.pem())?;
    /// let client = Client::builder("wss://chat.internal/ws").tls(trusting(&company_ca)?).build()?;
    /// # std::fs::remove_file(company_ca)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "rustls-tls-manual-roots")]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.options.tls.config = Some(config);
        self
    }
}

/// Awaiting a builder is [`ClientBuilder::connect`].
impl IntoFuture for ClientBuilder {
    type Output = Result<Connection, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

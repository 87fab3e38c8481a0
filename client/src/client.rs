//! [`Client`]: checked options, which make connections.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Instrument;

use crate::connection::Connection;
use crate::dial::Dialer;
use crate::error::{ConfigError, ConnectError};
use crate::options::ClientOptions;
use crate::reconnect::Driver;
use crate::saved::SavedSession;
use crate::stream::BoxIo;
use crate::target::DialTarget;

/// A server's address with options. Cheap to clone; each [`Self::connect`] opens a separate session.
#[derive(Clone)]
pub struct Client {
    dialer: Arc<Dialer>,
    options: Arc<ClientOptions>,
}

impl Client {
    pub(crate) fn new(url: &Uri, options: ClientOptions) -> Result<Self, ConfigError> {
        let target = DialTarget::new(url)?;
        let options = Arc::new(options);
        Ok(Self { dialer: Arc::new(Dialer::new(target, options.clone())?), options })
    }

    /// Dials, and returns when the server has opened the session; in plain mode, when it has accepted the upgrade. Spawns the
    /// connection's task on the current tokio runtime.
    ///
    /// # Errors
    /// Fails at once when the dial fails; there is no second attempt, and nothing continues in the background. A server that broke
    /// the protocol has up to a second to read the close frame. Fails with [`ConnectError::Timeout`] when the handshake timeout
    /// passes.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        self.open(None, None).await
    }

    /// Like [`Self::connect`], over a stream that the application supplies: an open tunnel, an inherited socket, one end of a
    /// pair in memory. The WebSocket upgrade runs directly over the stream, for `wss` too: if it needs TLS, the stream has to
    /// speak it. The URL still determines the path and the `Host`.
    ///
    /// When this stream is lost, reconnects dial as configured: by the [connector](crate::ClientBuilder::connector), or by TCP to
    /// the URL's host. With [`no_reconnect`](crate::ClientBuilder::no_reconnect) this one stream is the only one, and the client
    /// never dials.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// use rejoin_client::{Client, Frame};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn anyone(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
    /// # let server = Server::builder(anyone).build()?;
    /// let (ours, theirs) = tokio::io::duplex(64 * 1024);
    /// # let serving = server.clone();
    /// # tokio::spawn(async move { serving.serve_connection(theirs).await });
    /// let client = Client::builder("ws://chat.internal/ws").no_reconnect().build()?;
    /// let connection = client.connect_over(ours).await?;
    /// connection.send(&Frame::new("chat.message", "hello")?)?;
    /// connection.close().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::connect`], without those of TCP and TLS. The stream is then dropped.
    pub async fn connect_over<S>(&self, stream: S) -> Result<Connection, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.open(Some(Box::new(stream)), None).await
    }

    /// Dials, and continues a session that has left its process: [`Connection::save`] has an example. The first events are those that
    /// the application has not taken before, then [`Event::Disconnected`](crate::Event::Disconnected) for the socket that `save` has
    /// cut, and [`Event::Reconnected`](crate::Event::Reconnected), after [`Event::SessionLost`](crate::Event::SessionLost) if the
    /// server no longer has the session.
    ///
    /// # Errors
    /// As [`Self::connect`], and [`ConnectError::Saved`] if the saved session does not fit the client. The same saved session can be
    /// tried again after an error, but not after a success.
    pub async fn resume(&self, saved: &SavedSession) -> Result<Connection, ConnectError> {
        self.open(None, Some(saved)).await
    }

    async fn open(
        &self,
        ready: Option<BoxIo>,
        saved: Option<&SavedSession>,
    ) -> Result<Connection, ConnectError> {
        let host = self.dialer.authority();
        let span = tracing::debug_span!("connection", host, id = tracing::field::Empty);
        let mut driver =
            Driver::new(self.dialer.clone(), self.options.clone(), saved).map_err(ConnectError::Saved)?;
        let link = match driver.open(ready).instrument(span.clone()).await {
            Ok(link) => link,
            Err(error) => {
                driver.part().await;
                return Err(error);
            }
        };
        let shared = driver.shared();
        span.record("id", shared.id());
        let task = tokio::spawn(driver.run(link).instrument(span));
        Ok(Connection::new(shared, task, saved.map_or((0, false), SavedSession::seen)))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.dialer.authority())
            .field("options", &self.options)
            .finish()
    }
}

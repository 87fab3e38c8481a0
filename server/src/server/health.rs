//! [`Health`]: a snapshot that costs little, for probes.

#[cfg(feature = "hyper")]
mod probe;
#[cfg(feature = "hyper")]
pub use probe::Probe;

use serde::Serialize;

use super::Server;
use crate::inner::ServerInner;
use crate::state::ServerState;

/// A snapshot of a server for health checks ([`Server::health`]). Unlike [`Stats`](crate::Stats) it visits no connection: taking
/// one costs about a microsecond, whatever their number.
///
/// As JSON: `{"state":"running","is_ready":true,"sessions":12,"sockets":10,"handshakes":0,"retained_bytes":4096,
/// "max_retained_bytes":1073741824}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether the server accepts newcomers.
    pub state: ServerState,
    /// Whether a load balancer should send newcomers here: the server neither drains nor shuts down, and its
    /// [store](crate::Builder::store) is not down.
    pub is_ready: bool,
    /// The number of sessions, including suspended ones.
    pub sessions: usize,
    /// The number of sockets that sessions have, or are closing.
    pub sockets: usize,
    /// The number of handshakes that the server's own listeners perform at the moment
    /// ([`max_handshakes`](crate::Builder::max_handshakes)).
    pub handshakes: usize,
    /// The bytes of messages that are kept for peers.
    pub retained_bytes: usize,
    /// The most bytes that all sessions may keep together ([`max_retained_bytes`](crate::Builder::max_retained_bytes)).
    pub max_retained_bytes: usize,
}

impl ServerInner {
    pub(crate) fn health(&self) -> Health {
        let state = self.state();
        Health {
            state,
            is_ready: state == ServerState::Running
                && !self.durable.as_ref().is_some_and(|log| log.is_down()),
            sessions: self.registry.len(),
            sockets: self.sockets.count(),
            handshakes: self.options.max_handshakes - self.handshakes.available_permits(),
            retained_bytes: self.budget.messages(),
            max_retained_bytes: self.options.max_retained_bytes,
        }
    }
}

impl Server {
    /// Returns whether the server runs, drains, or has begun to shut down.
    pub fn state(&self) -> ServerState {
        self.shared.state()
    }

    /// Returns a snapshot for health checks, which serializes to JSON.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server, ServerState};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// # fn main() -> Result<(), rejoin_server::ConfigError> {
    /// let server = Server::builder(connect).build()?;
    /// let health = server.health();
    /// assert!(health.is_ready && health.state == ServerState::Running && health.sessions == 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Returns a tower service that answers whether the process works: always 200, with the [`Health`] as JSON, also while the
    /// server drains or shuts down. A supervisor that gets no answer restarts the process.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// # fn main() -> Result<(), rejoin_server::ConfigError> {
    /// let server = Server::builder(connect).build()?;
    /// let app: axum::Router = axum::Router::new()
    ///     .route_service("/livez", server.livez())
    ///     .route_service("/readyz", server.readyz())
    ///     .route_service("/ws", server.service());
    /// # let _ = app; Ok(())
    /// # }
    /// ```
    #[cfg(feature = "hyper")]
    pub fn livez(&self) -> Probe {
        Probe::new(self.shared.clone(), false)
    }

    /// Returns a tower service that answers whether a load balancer should send newcomers here: 200 while the server runs, 503
    /// once it drains or shuts down and while its [store](crate::Builder::store) is down, with the [`Health`] as JSON.
    #[cfg(feature = "hyper")]
    pub fn readyz(&self) -> Probe {
        Probe::new(self.shared.clone(), true)
    }
}

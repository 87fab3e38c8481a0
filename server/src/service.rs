//! [`Service`]: the upgrade as a tower service, to mount in axum or any hyper stack.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode, request};
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
#[cfg(feature = "axum")]
use hyper_util::server::conn::auto;
use rejoin_core::drive::{Eager, Unmasked, WsTransport};
use tokio::net::TcpStream;

use crate::admission::Admission;
use crate::connect::{ConnectRequest, Identity, Reject};
use crate::listen::within;
use crate::metrics::CallbackKind;
use crate::session_task::SessionTask;
use crate::shared::Shared;
use crate::upgrade::{self, HttpResponse, Offer, Switch, Upgrade};

/// Answers upgrade requests; every other request is refused with 4xx and a text that says why.
///
/// It answers on whatever path it is mounted. Under axum:
///
/// ```
/// # use rejoin_server::{Server, Identity, Reject, ConnectRequest};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::room("lobby")) }
/// let server = Server::builder(connect).build()?;
/// let app: axum::Router = axum::Router::new().route_service("/ws", server.service());
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
    /// Where the listener knows the peer's address.
    remote_addr: Option<SocketAddr>,
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, remote_addr: Option<SocketAddr>) -> Self {
        Self { shared, remote_addr }
    }

    /// The answer to a request; in its wake the socket is attached, once it is there.
    async fn answer(self, mut parts: Box<request::Parts>) -> HttpResponse {
        let socket = parts.extensions.remove::<OnUpgrade>();
        let shared = self.shared.clone();
        shared.runtimes.note();
        match admit(&shared, parts, self.remote_addr, socket.is_some()).await {
            Ok((admission, switch)) => {
                if let Some(socket) = socket {
                    shared.spawn(async move { self.attach(socket, admission).await });
                }
                switch.into_response()
            }
            Err(refusal) => refusal,
        }
    }

    async fn attach(self, socket: OnUpgrade, admission: Admission) {
        let timeout = self.shared.options.handshake_timeout;
        let upgraded = tokio::select! {
            // First: a socket that has come is told of the shutdown.
            biased;
            upgraded = tokio::time::timeout(timeout, socket) => upgraded,
            () = self.shared.closing.cancelled() => return,
        };
        match upgraded {
            Ok(Ok(upgraded)) => {
                if let Some(session) = attach(&self.shared, admission, upgraded) {
                    // In a task of its own: this one is bigger than a session needs.
                    self.shared.spawn(session);
                }
            }
            Ok(Err(error)) => tracing::debug!(id = admission.id(), %error, "upgrade failed"),
            Err(_) => tracing::debug!(id = admission.id(), "upgrade took too long"),
        }
    }
}

/// Decides on a request. Returns the session that it gets, and the answer that says so.
///
/// # Errors
/// Fails with the answer that refuses it.
pub(crate) async fn admit(
    shared: &Arc<Shared>,
    parts: Box<request::Parts>,
    remote_addr: Option<SocketAddr>,
    has_socket: bool,
) -> Result<(Admission, Switch), HttpResponse> {
    let secrets = upgrade::secrets(&parts.headers);
    let refused = |reject| refuse(shared, reject, &secrets);
    let upgrade = check(shared, &parts, has_socket).map_err(refused)?;
    let identity = identify(shared, ConnectRequest::new(parts, remote_addr)).await.map_err(refused)?;
    let admission = Admission::decide(shared, &upgrade.offer, identity, remote_addr).map_err(refused)?;
    let subprotocol = match upgrade.offer {
        Offer::Plain { subprotocol } => subprotocol,
        //= PROTOCOL.md#1-two-modes: with a token that resumes the server selects the session's codec
        Offer::Session { .. } => {
            let codec = &shared.options.codecs[admission.codec_index()];
            Some(format!("rejoin.v1.{}", codec.name()).into())
        }
    };
    Ok((admission, Switch { accept: upgrade.accept, subprotocol }))
}

/// Whether there is something to decide on at all.
fn check(shared: &Shared, parts: &request::Parts, has_socket: bool) -> Result<Upgrade, Reject> {
    if shared.closing.is_cancelled() {
        return Err(Reject::new(StatusCode::SERVICE_UNAVAILABLE, "server is shutting down"));
    }
    let upgrade = upgrade::read(parts, &shared.options)?;
    if has_socket { Ok(upgrade) } else { Err(upgrade::bad("this connection cannot be upgraded")) }
}

/// Has the application decide, within the handshake timeout.
async fn identify(shared: &Shared, request: ConnectRequest) -> Result<Identity, Reject> {
    let stopwatch = shared.meter.start(CallbackKind::ConnectFn);
    let decision = AssertUnwindSafe(shared.connect.connect(request)).catch_unwind();
    let decision = within(shared.options.handshake_timeout, decision).await;
    shared.meter.stop(stopwatch);
    match decision {
        Ok(Ok(decision)) => decision,
        Ok(Err(_)) => {
            tracing::error!("ConnectFn panicked");
            Err(Reject::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
        }
        Err(_) => Err(Reject::new(StatusCode::SERVICE_UNAVAILABLE, "authentication took too long")),
    }
}

/// The answer that refuses a request, which is counted and logged.
pub(crate) fn refuse(shared: &Shared, reject: Reject, secrets: &[String]) -> HttpResponse {
    shared.refused.fetch_add(1, Ordering::Relaxed);
    shared.meter.tell(|metrics| metrics.upgrade_refused(reject.status));
    log_refusal(&reject, secrets);
    upgrade::refuse(reject)
}

/// The operator's own failures at info, what clients do wrong at debug.
fn log_refusal(reject: &Reject, secrets: &[String]) {
    let status = reject.status.as_u16();
    // An application may quote the request to the client that sent it; a log is read by others.
    if reject.status.is_server_error() {
        tracing::info!(status, why = %upgrade::redact(&reject.body, secrets), "upgrade refused");
    } else {
        tracing::debug!(status, why = %upgrade::redact(&reject.body, secrets), "upgrade refused");
    }
}

/// Attaches the socket without the HTTP server around it, where it is one that we know.
fn attach(shared: &Arc<Shared>, admission: Admission, upgraded: Upgraded) -> Option<SessionTask> {
    let max_message_size = shared.options.max_message_size;
    let tcp = |io: TokioIo<TcpStream>, read: &[u8]| {
        WsTransport::new(Eager::new(io.into_inner()), Unmasked, read, max_message_size)
    };
    let upgraded = match upgraded.downcast() {
        Ok(parts) => return admission.attach(shared, tcp(parts.io, &parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    // `axum::serve`, like every server that detects HTTP/2, wraps the socket once more.
    #[cfg(feature = "axum")]
    let upgraded = match auto::upgrade::downcast(upgraded) {
        Ok(parts) => return admission.attach(shared, tcp(parts.io, &parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    let transport = WsTransport::new(TokioIo::new(upgraded), Unmasked, &[], max_message_size);
    admission.attach(shared, transport)
}

impl<B> tower_service::Service<Request<B>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The body of an upgrade request is of no interest.
        let answer = self.clone().answer(Box::new(request.into_parts().0));
        Box::pin(async move { Ok(answer.await.map(Full::new)) })
    }
}

impl<B: Send + 'static> hyper::service::Service<Request<B>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        tower_service::Service::call(&mut self.clone(), request)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

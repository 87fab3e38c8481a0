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

use futures_util::FutureExt as _;
use http::{HeaderMap, Request, StatusCode, request};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use rejoin_core::drive::{Transport, Unmasked, WsTransport};
use tokio::net::TcpStream;

use crate::admission::Admission;
use crate::connect::{ConnectRequest, Reject};
use crate::metrics::CallbackKind;
use crate::shared::Shared;
use crate::upgrade::{self, HttpResponse, Offer};

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

    async fn answer(self, mut parts: request::Parts) -> HttpResponse {
        match self.try_answer(&mut parts).await {
            Ok(response) => response,
            Err(reject) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                self.shared.meter.tell(|metrics| metrics.upgrade_refused(reject.status));
                log_refusal(&reject, &parts.headers);
                upgrade::refuse(reject)
            }
        }
    }

    async fn try_answer(&self, parts: &mut request::Parts) -> Result<HttpResponse, Reject> {
        let shared = &self.shared;
        if shared.closing.is_cancelled() {
            return Err(Reject::new(StatusCode::SERVICE_UNAVAILABLE, "server is shutting down"));
        }
        let upgrade = upgrade::read(parts, &shared.options)?;
        let socket = parts.extensions.remove::<OnUpgrade>();
        let socket = socket.ok_or_else(|| upgrade::bad("this connection cannot be upgraded"))?;
        let request = ConnectRequest::new(parts.clone(), self.remote_addr);
        // Made and polled inside: a ConnectFn may panic in either.
        let decision = AssertUnwindSafe(async { shared.connect.connect(request).await }).catch_unwind();
        let stopwatch = shared.meter.start(CallbackKind::ConnectFn);
        let decision = tokio::time::timeout(shared.options.handshake_timeout, decision).await;
        shared.meter.stop(stopwatch);
        let identity = match decision {
            Ok(Ok(decision)) => decision?,
            Ok(Err(_)) => {
                tracing::error!("ConnectFn panicked");
                return Err(Reject::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error"));
            }
            Err(_) => {
                return Err(Reject::new(StatusCode::SERVICE_UNAVAILABLE, "authentication took too long"));
            }
        };
        let admission = Admission::decide(shared, &upgrade.offer, identity, self.remote_addr)?;
        let response =
            upgrade::accept(&upgrade.accept, self.subprotocol(&upgrade.offer, &admission).as_deref());
        let service = self.clone();
        shared.spawn(async move { service.attach(socket, admission).await });
        Ok(response)
    }

    fn subprotocol(&self, offer: &Offer, admission: &Admission) -> Option<Box<str>> {
        match offer {
            Offer::Plain { subprotocol } => subprotocol.clone(),
            //= PROTOCOL.md#1-two-modes: with a token that resumes the server selects the session's codec
            Offer::Session { .. } => {
                let codec = &self.shared.options.codecs[admission.codec_index()];
                Some(format!("rejoin.v1.{}", codec.name()).into())
            }
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
                let transport = transport(upgraded, self.shared.options.max_message_size);
                admission.attach(&self.shared, transport);
            }
            Ok(Err(error)) => tracing::debug!(id = admission.id(), %error, "upgrade failed"),
            Err(_) => tracing::debug!(id = admission.id(), "upgrade took too long"),
        }
    }
}

/// The operator's own failures at info, what clients do wrong at debug.
fn log_refusal(reject: &Reject, headers: &HeaderMap) {
    let status = reject.status.as_u16();
    // An application may quote the request to the client that sent it; a log is read by others.
    if reject.status.is_server_error() {
        tracing::info!(status, why = %upgrade::redact(&reject.body, headers), "upgrade refused");
    } else {
        tracing::debug!(status, why = %upgrade::redact(&reject.body, headers), "upgrade refused");
    }
}

/// The socket without the HTTP server around it, where it is one that we know.
fn transport(upgraded: Upgraded, max_message_size: usize) -> Box<dyn Transport> {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            return Box::new(WsTransport::new(
                parts.io.into_inner(),
                Unmasked,
                &parts.read_buf,
                max_message_size,
            ));
        }
        Err(upgraded) => upgraded,
    };
    // axum and whoever else detects HTTP/2 wraps the socket once more.
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => {
            Box::new(WsTransport::new(parts.io.into_inner(), Unmasked, &parts.read_buf, max_message_size))
        }
        Err(upgraded) => Box::new(WsTransport::new(TokioIo::new(upgraded), Unmasked, &[], max_message_size)),
    }
}

impl<B> tower_service::Service<Request<B>> for Service {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The body of an upgrade request is of no interest.
        let answer = self.clone().answer(request.into_parts().0);
        Box::pin(async move { Ok(answer.await) })
    }
}

impl<B: Send + 'static> hyper::service::Service<Request<B>> for Service {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        tower_service::Service::call(&mut self.clone(), request)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

//! [`admit`]: the decision on an upgrade request, from our own listener or from hyper.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use http::{HeaderMap, StatusCode, request};

use crate::accept::admission::{self, Admission, Decision};
use crate::accept::answer::{self, HttpResponse, Switch};
use crate::accept::connect::{ConnectRequest, Identity};
use crate::accept::logged_request::LoggedRequest;
use crate::accept::offer::Offer;
use crate::accept::reject::{Cause, Reject};
use crate::accept::upgrade::{self, UpgradeRequest};
use crate::accept::within::within;
use crate::durable;
use crate::inner::ServerInner;
use crate::observe::errors::ErrorKind;
use crate::observe::health;
use crate::observe::metrics::CallbackKind;

/// Decides on a request that has a socket. Returns its session, the answer that accepts it, and the socket.
///
/// # Errors
/// Fails with the answer that refuses it.
pub(crate) async fn admit<S>(
    shared: &Arc<ServerInner>,
    parts: Box<request::Parts>,
    remote_addr: Option<SocketAddr>,
    socket: Option<S>,
) -> Result<(Admission, Switch, S), HttpResponse> {
    let store_is_down = shared.durable.as_ref().is_some_and(|log| log.is_down());
    let health_path = shared.options.health_path.as_deref();
    if let Some(answer) = health::answer(&parts, health_path, shared.state(), store_is_down) {
        return Err(answer);
    }
    #[cfg(feature = "script")]
    if let Some(answer) = crate::script::answer(&parts, shared.options.script_path.as_deref()) {
        return Err(answer);
    }
    let asked = logged(shared, &parts, remote_addr);
    let refused = |reject| refuse(shared, reject, &asked);
    let (upgrade, socket) = check(shared, &parts, socket).map_err(refused)?;
    let request = ConnectRequest::new(parts, remote_addr, admission::resumable(shared, &upgrade.offer))
        .with_auth(upgrade.offer.auth().cloned())
        .with_host(shared.clone());
    let identity = identify(shared, request).await.map_err(refused)?;
    let (admission, switch) = settle(shared, upgrade, identity, &asked).await.map_err(refused)?;
    Ok((admission, switch, socket))
}

/// The part of a request that is logged, and counts.
pub(crate) fn logged(
    shared: &ServerInner,
    parts: &request::Parts,
    peer: Option<SocketAddr>,
) -> LoggedRequest {
    let find = |find: &dyn Fn(&HeaderMap) -> Option<IpAddr>| {
        std::panic::catch_unwind(AssertUnwindSafe(|| find(&parts.headers))).unwrap_or_else(|_| {
            tracing::error!("client_address panicked");
            None
        })
    };
    let forwarded = shared.options.limits.client_address.as_deref().and_then(|function| find(function));
    LoggedRequest::new(parts, peer).with_forwarded(forwarded)
}

/// Finds or opens the session of a request whose identity is decided. Returns it, and the answer that accepts the request.
///
/// # Errors
/// Fails with the refusal of the request.
pub(crate) async fn settle(
    shared: &Arc<ServerInner>,
    upgrade: UpgradeRequest,
    identity: Identity,
    asked: &LoggedRequest,
) -> Result<(Admission, Switch), Reject> {
    if shared.closing.is_cancelled() {
        // Shutdown may already have listed all sessions, and would miss this one.
        return Err(shutting_down());
    }
    let named = identity.realm.as_deref().map(|realm| shared.in_realm(realm));
    let shared = named.as_ref().unwrap_or(shared);
    let log = shared.durable.as_ref();
    if let Some(log) = log {
        durable::tasks::begin(shared);
        durable::admit::ready(log).await?;
        durable::takeover::bring(shared, log, &upgrade.offer).await?;
    }
    let decision = Admission::decide(shared, &upgrade.offer, identity, asked)?;
    if log.is_some() && shared.closing.is_cancelled() {
        // After the decision: a session that was left to the store just now would begin anew.
        return Err(shutting_down());
    }
    let admission = match (decision, log) {
        (Decision::Known(admission), None) => *admission,
        (Decision::Known(admission), Some(_)) => {
            // A request that does not say its realm finds its session in any.
            let own = ServerInner::of(admission.connection());
            let log = own.durable.as_ref().ok_or_else(shutting_down)?;
            let mut admission =
                durable::takeover::resume(&own, log, *admission, &upgrade.offer, asked).await?;
            admission.resuming = durable::void::resume(log, admission.connection()).await?;
            admission
        }
        (Decision::New(newcomer), None) => Admission::open(shared, newcomer, None, asked)?,
        (Decision::New(newcomer), Some(log)) => durable::admit::open(shared, log, newcomer, asked).await?,
    };
    let subprotocol = match upgrade.offer {
        Offer::Plain { subprotocol } => subprotocol,
        //= PROTOCOL.md#R1.3: the server MUST select that session's codec instead
        Offer::Session { .. } => {
            let codec = &shared.options.codecs[admission.codec_index()];
            Some(format!("rejoin.v1.{}", codec.name()).into())
        }
    };
    Ok((admission, Switch { accept: upgrade.accept, subprotocol }))
}

/// Checks the request, and that its connection has a socket to upgrade, before the application decides on it.
pub(crate) fn check<S>(
    shared: &ServerInner,
    parts: &request::Parts,
    socket: Option<S>,
) -> Result<(UpgradeRequest, S), Reject> {
    if shared.closing.is_cancelled() {
        return Err(shutting_down());
    }
    let upgrade = upgrade::read(parts, &shared.options)?;
    let socket = socket.ok_or_else(|| Reject::bad_request("this connection cannot be upgraded"))?;
    Ok((upgrade, socket))
}

fn shutting_down() -> Reject {
    Reject::checked(StatusCode::SERVICE_UNAVAILABLE, "server is shutting down")
}

/// Asks the application to decide, within the handshake timeout and until a shutdown begins.
async fn identify(shared: &ServerInner, request: ConnectRequest) -> Result<Identity, Reject> {
    let stopwatch = shared.metrics.start(CallbackKind::ConnectFn);
    let decision = AssertUnwindSafe(shared.connect.connect(request)).catch_unwind();
    let decision = tokio::select! {
        biased;
        decision = within(shared.options.handshake_timeout, decision) => Some(decision),
        () = shared.closing.cancelled() => None,
    };
    shared.metrics.stop(stopwatch);
    match decision {
        _ if shared.closing.is_cancelled() => Err(shutting_down()),
        Some(Ok(Ok(decision))) => {
            if let Err(reject) = &decision
                && reject.status.is_server_error()
            {
                shared.report_error(|| ErrorKind::ConnectFailed { status: reject.status });
            }
            decision
        }
        Some(Ok(Err(_))) => {
            tracing::error!("ConnectFn panicked");
            shared.report_error(|| ErrorKind::ConnectPanicked);
            Err(Reject::checked(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
        }
        Some(Err(_)) | None => {
            shared.report_error(|| ErrorKind::ConnectTimedOut);
            Err(Reject::checked(StatusCode::SERVICE_UNAVAILABLE, "authentication took too long"))
        }
    }
}

/// Counts and logs a refusal, and returns its answer.
pub(crate) fn refuse(shared: &ServerInner, reject: Reject, asked: &LoggedRequest) -> HttpResponse {
    shared.refused.fetch_add(1, Ordering::Relaxed);
    shared.metrics.report(|metrics| metrics.upgrade_refused(reject.status));
    log_refusal(shared, &reject, asked);
    answer::refuse(reject)
}

/// Logs failures of the server, and those that an operator has to fix, at warn, and clients' mistakes at info.
fn log_refusal(shared: &ServerInner, reject: &Reject, asked: &LoggedRequest) {
    let status = reject.status.as_u16();
    let path = asked.path();
    let peer = asked.peer.map(tracing::field::display);
    // An application's text may quote the request. The client may see its own request, but readers of the log may not.
    let why = asked.redact(&reject.body);
    match &reject.cause {
        Some(Cause::Origin) => {
            if let Some(suppressed) = shared.origin_refusals.pass() {
                tracing::warn!(status, path, peer, %why, suppressed, "upgrade refused");
            }
        }
        Some(Cause::Error(error)) => {
            let error = asked.redact(error);
            if reject.status.is_server_error() {
                tracing::warn!(status, path, peer, %why, %error, "upgrade refused");
            } else {
                tracing::info!(status, path, peer, %why, %error, "upgrade refused");
            }
        }
        None => tracing::info!(status, path, peer, %why, "upgrade refused"),
    }
}

//! [`attach`]: takes over the socket of an HTTP server under hyper.

use std::pin::pin;
use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
#[cfg(feature = "axum")]
use hyper_util::server::conn::auto;
use rejoin_core::drive::{OptimisticTcp, Unmasked, WsTransport};
use tokio::net::TcpStream;

use crate::accept::admission::Admission;
use crate::inner::ServerInner;
use crate::session::task::SessionTask;

/// Waits for the socket of an accepted upgrade, and passes it to its session.
pub(crate) async fn attach(shared: Arc<ServerInner>, socket: OnUpgrade, admission: Admission) {
    let mut upgraded = pin!(tokio::time::timeout(shared.options.handshake_timeout, socket));
    let upgraded = tokio::select! {
        biased;
        upgraded = &mut upgraded => upgraded,
        // The peer may already have read that it is connected, so the shutdown is announced on its socket.
        () = shared.closing.cancelled() => match shared.until_abort(upgraded).await {
            Some(upgraded) => upgraded,
            None => return,
        },
    };
    match upgraded {
        Ok(Ok(upgraded)) => {
            if let Some(session) = unwrap(&shared, admission, upgraded) {
                // In a new task, because this future is larger than a session needs.
                shared.spawn(session);
            }
        }
        Ok(Err(error)) => tracing::debug!(id = admission.id(), %error, "upgrade failed"),
        Err(_) => tracing::debug!(id = admission.id(), "upgrade took too long"),
    }
}

/// Attaches the socket, unwrapped from the HTTP server's types if they are known.
fn unwrap(shared: &Arc<ServerInner>, admission: Admission, upgraded: Upgraded) -> Option<SessionTask> {
    let max_message_size = shared.options.max_message_size;
    let tcp = |io: TokioIo<TcpStream>, read: &[u8]| {
        let io = io.into_inner();
        // The surrounding HTTP server may not have set it, and then a frame would wait for the acknowledgement of the previous
        // one.
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let io = OptimisticTcp::new(io).with_write_timeout(shared.options.write_timeout);
        WsTransport::new(io, Unmasked, read, max_message_size)
    };
    let upgraded = match upgraded.downcast() {
        Ok(parts) => return admission.attach(shared, tcp(parts.io, &parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    // `axum::serve` wraps the socket once more, as every server does that detects HTTP/2.
    #[cfg(feature = "axum")]
    let upgraded = match auto::upgrade::downcast(upgraded) {
        Ok(parts) => return admission.attach(shared, tcp(parts.io, &parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    let transport = WsTransport::new(TokioIo::new(upgraded), Unmasked, &[], max_message_size);
    admission.attach(shared, transport)
}

//! [`Service`]: the upgrade as a tower service, to mount in axum or any hyper stack.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use http::{Request, Response, request};
use http_body::Body;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
#[cfg(feature = "axum")]
use hyper_util::server::conn::auto;
use rejoin_core::drive::{MAX_DISCARDED, OptimisticTcp, Unmasked, WsTransport};
use tokio::net::TcpStream;

use crate::accept::admission::Admission;
use crate::accept::body::ResponseBody;
use crate::accept::decide::admit;
use crate::accept::upgrade::HttpResponse;
use crate::inner::ServerInner;
use crate::session::task::SessionTask;

/// Answers upgrade requests; every other request is refused with 4xx and a text that says why.
///
/// It answers on whatever path it is mounted. Under axum:
///
/// ```
/// # use rejoin_server::{Server, Identity, Reject, ConnectRequest};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
/// let server = Server::builder(connect).build()?;
/// let app: axum::Router = axum::Router::new().route_service("/ws", server.service());
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Service {
    shared: Arc<ServerInner>,
    /// Where the listener knows the peer's address.
    remote_addr: Option<SocketAddr>,
}

impl Service {
    pub(crate) fn new(shared: Arc<ServerInner>, remote_addr: Option<SocketAddr>) -> Self {
        Self { shared, remote_addr }
    }

    /// The answer to a request; in its wake the socket is attached, once it is there.
    async fn answer(self, mut parts: Box<request::Parts>, content: impl Body) -> HttpResponse {
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
            Err(refusal) => {
                // The peer may hear nothing before it has sent everything, and the HTTP server around us ends a connection on
                // which content is unread.
                shared.until_abort(discard(content)).await;
                refusal
            }
        }
    }

    async fn attach(self, socket: OnUpgrade, admission: Admission) {
        let mut upgraded = pin!(tokio::time::timeout(self.shared.options.handshake_timeout, socket));
        let upgraded = tokio::select! {
            biased;
            upgraded = &mut upgraded => upgraded,
            // The peer may have read that it is connected: it hears of the shutdown on its socket.
            () = self.shared.closing.cancelled() => match self.shared.until_abort(upgraded).await {
                Some(upgraded) => upgraded,
                None => return,
            },
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

/// Reads and discards the content of a request, as much as is discarded of a WebSocket.
async fn discard(content: impl Body) {
    let mut content = pin!(content);
    let mut discarded = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| content.as_mut().poll_frame(cx)).await {
        discarded += frame.data_ref().map_or(0, Buf::remaining);
        if discarded > MAX_DISCARDED {
            return;
        }
    }
}

/// Attaches the socket without the HTTP server around it, where it is one that we know.
fn attach(shared: &Arc<ServerInner>, admission: Admission, upgraded: Upgraded) -> Option<SessionTask> {
    let max_message_size = shared.options.max_message_size;
    let tcp = |io: TokioIo<TcpStream>, read: &[u8]| {
        let io = io.into_inner();
        // The HTTP server around us may not have asked for it: frames would wait for each other's acknowledgement.
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let io = OptimisticTcp::new(io).with_write_timeout(shared.options.write_timeout);
        WsTransport::new(io, Unmasked, read, max_message_size)
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

impl<B> tower_service::Service<Request<B>> for Service
where
    B: Body + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, content) = request.into_parts();
        let answer = self.clone().answer(Box::new(parts), content);
        Box::pin(async move { Ok(answer.await.map(ResponseBody::new)) })
    }
}

impl<B> hyper::service::Service<Request<B>> for Service
where
    B: Body + Send + 'static,
{
    type Response = Response<ResponseBody>;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use http_body::Frame;

    use super::*;

    /// As many frames of 1 MiB.
    struct Content<'a> {
        left: usize,
        read: &'a AtomicUsize,
    }

    impl Body for Content<'_> {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
            self.left = left;
            self.read.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1 << 20])))))
        }
    }

    #[tokio::test]
    async fn content_of_a_refused_request_is_read_up_to_a_bound() {
        let most = MAX_DISCARDED >> 20;
        for (frames, expected) in [(0, 0), (most, most), (most + 1, most + 1), (2 * most, most + 1)] {
            let read = AtomicUsize::new(0);
            discard(Content { left: frames, read: &read }).await;
            assert_eq!(read.into_inner(), expected);
        }
    }
}

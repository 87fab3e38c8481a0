//! [`Service`]: answers upgrades as a tower service, in axum or any hyper stack.

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
use hyper::upgrade::OnUpgrade;
use rejoin_core::drive::MAX_DISCARDED;

use crate::accept::answer::HttpResponse;
use crate::accept::body::ResponseBody;
use crate::accept::decide::admit;
use crate::accept::upgraded;
use crate::inner::ServerInner;

/// A tower service that answers upgrade requests. It refuses any other request with 4xx and a text that gives the reason.
///
/// It serves every path that it is mounted on. With axum:
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
    /// The peer's address, if the listener knows it.
    remote_addr: Option<SocketAddr>,
}

impl Service {
    pub(crate) fn new(shared: Arc<ServerInner>, remote_addr: Option<SocketAddr>) -> Self {
        Self { shared, remote_addr }
    }

    /// Answers a request. If the upgrade is accepted, a new task attaches the socket once hyper provides it.
    async fn answer(self, mut parts: Box<request::Parts>, content: impl Body) -> HttpResponse {
        let socket = parts.extensions.remove::<OnUpgrade>();
        let shared = self.shared.clone();
        shared.runtimes.note();
        match admit(&shared, parts, self.remote_addr, socket).await {
            Ok((admission, switch, socket)) => {
                shared.spawn(upgraded::attach(shared.clone(), socket, admission));
                switch.into_response()
            }
            Err(refusal) => {
                // The peer may not read the answer before it has sent all its content, and the surrounding HTTP server closes a
                // connection with unread content.
                shared.until_abort(discard(content)).await;
                refusal
            }
        }
    }
}

/// Reads and discards the content of a request, up to the same limit as for a WebSocket.
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

    /// A body of `left` frames of 1 MiB each.
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
    async fn discards_content_up_to_a_limit() {
        let most = MAX_DISCARDED >> 20;
        for (frames, expected) in [(0, 0), (most, most), (most + 1, most + 1), (2 * most, most + 1)] {
            let read = AtomicUsize::new(0);
            discard(Content { left: frames, read: &read }).await;
            assert_eq!(read.into_inner(), expected);
        }
    }
}

//! [`Listening`]: a server on a TCP port of its own.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::service::Service;
use crate::shared::Shared;

/// The most that the head of a request may take, and the most headers in it.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// How long accepting rests when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener that accepts connections until the server is shut down. Dropping it changes nothing.
#[derive(Debug)]
pub struct Listening {
    local_addr: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Listening {
    /// The address that is listened on: with port 0, the port that the operating system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until the server has been shut down and the listener is closed.
    pub async fn closed(self) {
        self.task.await.ok();
    }
}

pub(crate) fn listen(shared: Arc<Shared>, listener: TcpListener) -> io::Result<Listening> {
    let local_addr = listener.local_addr()?;
    let task = shared.tasks.clone().spawn(accept(shared, listener));
    Ok(Listening { local_addr, task })
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let shared = shared.clone();
                shared.clone().spawn(async move { serve_tcp(&shared, stream, peer).await });
            }
            Err(error) => {
                // One connection's failure, or no descriptor left: neither is a reason to stop.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_tcp(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    // A frame is to leave when it is written, not when more have come.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    serve(shared, stream, Some(peer)).await;
}

/// Answers the request of one connection until it is upgraded. Its head and `ConnectFn` have the handshake timeout each, and
/// so has the peer to take the answer.
pub(crate) async fn serve<S>(shared: &Arc<Shared>, io: S, remote_addr: Option<SocketAddr>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let timeout = shared.options.handshake_timeout;
    let service = Service::new(shared.clone(), remote_addr);
    // One request each. Not by hyper's `keep_alive(false)`: it says `close` in the 101, too, and there are clients that
    // take no `Connection` but `Upgrade`.
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = service.call(request);
        async move {
            let mut response = answer.await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().append(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    tokio::select! {
        biased;
        result = tokio::time::timeout(timeout * 3, connection) => match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
            Err(_) => tracing::debug!("handshake took too long"),
        },
        () = shared.closing.cancelled() => {}
    }
}

//! The handshake of a connection that a listener has accepted, in the task that becomes its session's.

use std::any::Any;
use std::future::{Future, ready as resolved};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Method;
use rejoin_core::drive::{self, Unmasked, WsTransport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::accept::admission::Admission;
use crate::accept::decide;
use crate::accept::head::{self, Asked};
use crate::accept::logged_request::LoggedRequest;
use crate::accept::within::within;
use crate::inner::ServerInner;
use crate::session::task::SessionTask;

/// Downcasts a stream to a TCP stream, if it is one.
pub(crate) fn as_tcp<S: 'static>(io: S) -> Result<TcpStream, S> {
    let mut io = Some(io);
    let tcp = (&mut io as &mut dyn Any).downcast_mut::<Option<TcpStream>>().and_then(Option::take);
    tcp.ok_or_else(|| io.expect("it has not been taken"))
}

/// Serves one connection in a new task, which returns the permit when the handshake is over.
pub(crate) fn spawn<S>(
    shared: &Arc<ServerInner>,
    io: S,
    remote_addr: Option<SocketAddr>,
    permit: Option<OwnedSemaphorePermit>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    spawn_after(shared, resolved(Ok(io)), remote_addr, permit);
}

/// Like [`spawn`], for a stream that has to be opened first.
pub(crate) fn spawn_after<S>(
    shared: &Arc<ServerInner>,
    opening: impl Future<Output = io::Result<S>> + Send + 'static,
    remote_addr: Option<SocketAddr>,
    permit: Option<OwnedSemaphorePermit>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let server = shared.clone();
    let handshake = Box::pin(async move {
        let _permit = permit;
        match opening.await {
            Ok(io) => serve(server, io, remote_addr).await,
            Err(error) => {
                tracing::debug!(%error, "handshake failed");
                None
            }
        }
    });
    shared.spawn(Serving::Handshake(handshake));
}

/// The task of a connection. After the handshake of a fresh session it becomes the session task, and frees the memory of the
/// handshake, since a session lasts.
enum Serving<F> {
    Handshake(Pin<Box<F>>),
    Session(SessionTask),
}

impl<F: Future<Output = Option<SessionTask>>> Future for Serving<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Handshake(handshake) = &mut *self {
            match ready!(handshake.as_mut().poll(cx)) {
                Some(session) => *self = Self::Session(session),
                None => return Poll::Ready(()),
            }
        }
        match &mut *self {
            Self::Session(session) => Pin::new(session).poll(cx),
            Self::Handshake(_) => unreachable!("the handshake is over"),
        }
    }
}

/// Answers the request of one connection, and attaches its socket to a session. Returns the session's task if the session is
/// fresh. The handshake timeout applies to each of three steps: reading the head of the request, `ConnectFn`, and writing the
/// answer.
pub(crate) async fn serve<S>(
    shared: Arc<ServerInner>,
    mut io: S,
    remote_addr: Option<SocketAddr>,
) -> Option<SessionTask>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = &shared;
    let patience = shared.options.handshake_timeout;
    let handshake = async {
        let asked = tokio::select! {
            biased;
            asked = timeout(patience, head::read(&mut io, shared.options.max_request_head)) => asked??,
            () = shared.closing.cancelled() => return Ok(Handshake::Nothing),
        };
        let (parts, rest) = match asked {
            Asked::Request(parts, rest) => (parts, rest),
            Asked::Nonsense(reject) => {
                let asked = LoggedRequest::unreadable(remote_addr);
                let refusal = decide::refuse(shared, reject, &asked);
                return Ok(Handshake::Refused(head::answer(&refusal, &Method::GET)));
            }
            Asked::Nothing => return Ok(Handshake::Nothing),
        };
        let method = parts.method.clone();
        match decide::admit(shared, parts, remote_addr, Some(())).await {
            Ok((admission, switch, ())) => {
                within(patience, head::write(&mut io, &head::switch(&switch))).await??;
                Ok(Handshake::Admitted(Box::new(admission), rest))
            }
            Err(refusal) => Ok(Handshake::Refused(head::answer(&refusal, &method))),
        }
    };
    let handshake: io::Result<_> = handshake.await;
    match handshake {
        Ok(Handshake::Admitted(admission, rest)) => {
            let transport = WsTransport::new(io, Unmasked, &rest, shared.options.max_message_size);
            return admission.attach(shared, transport);
        }
        Ok(Handshake::Refused(answer)) => {
            shared.until_abort(drive::finish(&mut io, &answer)).await;
        }
        Ok(Handshake::Nothing) => {}
        Err(error) => tracing::debug!(%error, "handshake failed"),
    }
    None
}

/// The result of a handshake.
enum Handshake {
    /// A session, and the bytes that were read beyond the head of the request.
    Admitted(Box<Admission>, Bytes),
    /// A refusal: this answer contains the last bytes on its connection.
    Refused(Vec<u8>),
    /// No answer.
    Nothing,
}

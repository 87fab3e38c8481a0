//! [`ServeHandle`]: the server's own TCP listener.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use rejoin_core::drive::{self, OptimisticTcp, Unmasked, WsTransport};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::accept::admission::Admission;
use crate::accept::decide;
use crate::accept::head::{self, Asked};
use crate::accept::logged_request::LoggedRequest;
use crate::accept::within::within;
use crate::inner::ServerInner;
use crate::limits::limit::Limit;
use crate::observe::errors::ErrorKind;
use crate::session::task::SessionTask;

/// The number of connections that the operating system queues until they are accepted. Linux limits it to `net.core.somaxconn`,
/// by default 4,096.
const BACKLOG: u32 = 4096;

/// How long accepting pauses when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener that accepts connections until the server is shut down. Dropping the handle does not stop it.
#[derive(Debug)]
pub struct ServeHandle {
    local_addr: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl ServeHandle {
    /// The address of the listener. If port 0 was asked for, it has the port that the operating system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until the server has been shut down and the listener is closed.
    pub async fn closed(self) {
        self.task.await.ok();
    }
}

/// Binds a listener with the longest backlog that the operating system allows: after an outage all clients come back at once.
pub(crate) async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    for addr in tokio::net::lookup_host(addr).await? {
        let listen = || {
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A server that is restarted gets its port at once.
            #[cfg(not(windows))]
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            socket.listen(BACKLOG)
        };
        match listen() {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Starts the task that accepts connections from a listener.
pub(crate) fn listen(shared: Arc<ServerInner>, listener: TcpListener) -> io::Result<ServeHandle> {
    let local_addr = listener.local_addr()?;
    tracing::info!(%local_addr, "listening");
    let task = shared.tasks.clone().spawn(accept(shared, listener));
    Ok(ServeHandle { local_addr, task })
}

async fn accept(shared: Arc<ServerInner>, listener: TcpListener) {
    let mut nodelay = Nodelay::new(&listener);
    let accepts = async {
        loop {
            // Taken before `accept`: while there are too many handshakes, the next connections wait in the operating system's
            // queue, where they cost this process nothing.
            let permit = match shared.handshakes.clone().try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    shared.reached(Limit::Handshakes);
                    shared.handshakes.clone().acquire_owned().await.expect("the semaphore is never closed")
                }
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    nodelay.set(&stream);
                    let stream = OptimisticTcp::new(stream).with_write_timeout(shared.options.write_timeout);
                    spawn(&shared, stream, Some(peer), Some(permit));
                }
                Err(error) => {
                    shared.report_error(|| ErrorKind::Accept(error.kind()));
                    if let Some(suppressed) = shared.accept_errors.pass() {
                        tracing::warn!(%error, suppressed, "accept failed");
                    }
                    if !is_of_one_connection(&error) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shared.closing.cancelled() => {}
        () = accepts => {}
    }
}

/// Whether an error of `accept` concerns one connection that has ended before it was accepted. Any other error, such as no
/// descriptor or no memory left, would come again at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    // `accept` of Linux returns errors that are pending on the new connection, and EPERM where a firewall forbids it.
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

/// Sets `TCP_NODELAY`, so that a frame leaves when it is written and does not wait for further ones.
struct Nodelay {
    /// Whether accepted streams inherit the option from the listener, as on most systems. The first stream shows it.
    inherited: Option<bool>,
}

impl Nodelay {
    fn new(listener: &TcpListener) -> Self {
        // Where it cannot be set here, the first connection shows that it is not inherited.
        SockRef::from(listener).set_tcp_nodelay(true).ok();
        Self { inherited: None }
    }

    fn set(&mut self, stream: &TcpStream) {
        let inherited = *self.inherited.get_or_insert_with(|| stream.nodelay().unwrap_or(false));
        if !inherited && let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    }
}

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
    let serving = serve(shared.clone(), io, remote_addr);
    let handshake = Box::pin(async move {
        let _permit = permit;
        serving.await
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
                Ok(Handshake::Admitted(admission, rest))
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
    Admitted(Admission, Bytes),
    /// A refusal: this answer contains the last bytes on its connection.
    Refused(Vec<u8>),
    /// No answer.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepting_pauses_only_for_persistent_errors() {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Other, OutOfMemory};
        assert!(
            [ConnectionAborted, ConnectionReset].iter().all(|kind| is_of_one_connection(&(*kind).into()))
        );
        assert!([OutOfMemory, Other].iter().all(|kind| !is_of_one_connection(&(*kind).into())));
        // EMFILE, ENFILE
        #[cfg(unix)]
        assert!([24, 23].iter().all(|code| !is_of_one_connection(&io::Error::from_raw_os_error(*code))));
    }

    #[tokio::test]
    async fn accepted_connections_have_nodelay() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let mut nodelay = Nodelay::new(&listener);
        for _ in 0..2 {
            let (dialled, accepted) =
                tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            let (stream, _) = accepted.unwrap();
            nodelay.set(&stream);
            assert!(stream.nodelay().unwrap());
            drop(dialled);
        }
    }

    #[tokio::test]
    #[cfg(not(windows))]
    async fn restarted_server_can_reuse_its_port() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        assert!(SockRef::from(&listener).reuse_address().unwrap());
    }

    #[tokio::test]
    async fn listens_on_first_free_address() {
        let other = bind("127.0.0.1:0").await.unwrap();
        let taken = other.local_addr().unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        assert_ne!(bind(&[taken, any][..]).await.unwrap().local_addr().unwrap(), taken);
        assert_eq!(bind(taken).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind(&[][..]).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    /// On systems whose listeners do not pass the option on, it is set on each connection.
    #[tokio::test]
    async fn nodelay_is_set_where_it_is_not_inherited() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let mut nodelay = Nodelay::new(&listener);
        SockRef::from(&listener).set_tcp_nodelay(false).unwrap();
        for _ in 0..2 {
            let (dialled, accepted) =
                tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            let (stream, _) = accepted.unwrap();
            assert!(!stream.nodelay().unwrap());
            nodelay.set(&stream);
            assert!(stream.nodelay().unwrap());
            drop(dialled);
        }
    }
}

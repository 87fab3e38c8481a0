//! [`ServeHandle`]: a server on a TCP port of its own.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
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
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::accept::admission::Admission;
use crate::accept::head::{self, Asked};
use crate::accept::service::{self, LoggedRequest};
use crate::inner::ServerInner;
use crate::session::task::SessionTask;

/// Connections that nobody has accepted yet. Linux has at most 4,096 unless told otherwise (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// How long accepting pauses when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener that accepts connections until the server is shut down. Dropping it changes nothing.
#[derive(Debug)]
pub struct ServeHandle {
    local_addr: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl ServeHandle {
    /// The address that is listened on: with port 0, the port that the operating system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until the server has been shut down and the listener is closed.
    pub async fn closed(self) {
        self.task.await.ok();
    }
}

/// A listener with room for as many connections that nobody has accepted yet as the operating system allows: all clients of
/// a server that was away come back at once.
pub(crate) async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    for addr in tokio::net::lookup_host(addr).await? {
        let listen = || {
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A server that is started anew has its port at once.
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
            // Where there are too many handshakes, the operating system holds the next connections back.
            let permit = shared.handshakes.clone().acquire_owned().await.expect("it is never closed");
            match listener.accept().await {
                Ok((stream, peer)) => {
                    nodelay.set(&stream);
                    let stream = OptimisticTcp::new(stream).with_write_timeout(shared.options.write_timeout);
                    spawn(&shared, stream, Some(peer), Some(permit));
                }
                Err(error) => {
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

/// Whether an error of `accept` is that of one connection, which has ended before it was accepted. Any other (no descriptor or
/// no memory left, say) would come again at once.
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

/// Has a frame leave when it is written, not when more have come: `TCP_NODELAY`.
struct Nodelay {
    /// Whether the listener hands the option on to what it accepts, as most systems have it. The first that comes shows it.
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
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    }
}

/// The TCP stream that a stream is, if it is one.
pub(crate) fn as_tcp<S: 'static>(io: S) -> Result<TcpStream, S> {
    let mut io = Some(io);
    let tcp = (&mut io as &mut dyn Any).downcast_mut::<Option<TcpStream>>().and_then(Option::take);
    tcp.ok_or_else(|| io.expect("it is something else"))
}

/// Serves one connection in a task of its own, which returns the permit when the handshake is over.
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

/// The task of a connection, which becomes that of its session where that is a fresh one. The session lasts; what the handshake
/// needs is given back.
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
            Self::Handshake(_) => unreachable!("it is over"),
        }
    }
}

/// Answers the request of one connection, and hands it to its session. Returns the task of that session, where it is a fresh
/// one. The head of the request and `ConnectFn` have the handshake timeout each, and so has the peer to take the answer.
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
                let asked = LoggedRequest { peer: remote_addr, ..Default::default() };
                let refusal = service::refuse(shared, reject, &asked);
                return Ok(Handshake::Refused(head::answer(&refusal, &Method::GET)));
            }
            Asked::Nothing => return Ok(Handshake::Nothing),
        };
        let method = parts.method.clone();
        match service::admit(shared, parts, remote_addr, true).await {
            Ok((admission, switch)) => {
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

/// How a handshake ends.
enum Handshake {
    /// With a session, and the bytes that were read behind the head of the request.
    Admitted(Admission, Bytes),
    /// With this answer, the last bytes on its connection.
    Refused(Vec<u8>),
    /// Without an answer.
    Nothing,
}

/// A timeout for what is mostly ready at once: that has no timer.
///
/// # Errors
/// Fails when the time is over.
pub(crate) async fn within<F: Future>(patience: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return Ok(output);
    }
    timeout(patience, future).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepting_pauses_for_errors_that_come_again_alone() {
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
    async fn no_connection_waits_for_more_to_send() {
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
    async fn a_server_that_is_started_anew_has_its_port() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        assert!(SockRef::from(&listener).reuse_address().unwrap());
    }

    #[tokio::test]
    async fn of_several_addresses_the_first_that_is_free_is_listened_on() {
        let other = bind("127.0.0.1:0").await.unwrap();
        let taken = other.local_addr().unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        assert_ne!(bind(&[taken, any][..]).await.unwrap().local_addr().unwrap(), taken);
        assert_eq!(bind(taken).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind(&[][..]).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    /// On a system where a listener hands nothing on, each connection needs it.
    #[tokio::test]
    async fn what_is_not_inherited_is_set_on_each_connection() {
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

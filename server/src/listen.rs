//! [`Listening`]: a server on a TCP port of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rejoin_core::drive::{Unmasked, WsTransport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs};
use tokio::time::timeout;

use crate::head::{self, Asked};
use crate::service;
use crate::shared::Shared;

/// Connections that nobody has accepted yet. Linux has at most 4,096 unless told otherwise (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

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

/// Answers the request of one connection, and hands it to its session. The head of the request and `ConnectFn` have the
/// handshake timeout each, and so has the peer to take the answer.
pub(crate) async fn serve<S>(shared: &Arc<Shared>, io: S, remote_addr: Option<SocketAddr>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::select! {
        biased;
        result = handshake(shared, io, remote_addr) => if let Err(error) = result {
            tracing::debug!(%error, "handshake failed");
        },
        () = shared.closing.cancelled() => {}
    }
}

async fn handshake<S>(shared: &Arc<Shared>, mut io: S, remote_addr: Option<SocketAddr>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = shared.options.handshake_timeout;
    let (answer, admitted) = match timeout(patience, head::read(&mut io)).await?? {
        Asked::Request(parts, rest) => match service::admit(shared, *parts, remote_addr, true).await {
            Ok((admission, answer)) => (answer, Some((admission, rest))),
            Err(refusal) => (refusal, None),
        },
        Asked::Nonsense(reject) => (service::refuse(shared, reject, &[]), None),
        Asked::Nothing => return Ok(()),
    };
    timeout(patience, head::write(&mut io, &answer)).await??;
    if let Some((admission, rest)) = admitted {
        let transport = WsTransport::new(io, Unmasked, &rest, shared.options.max_message_size);
        admission.attach(shared, transport);
    }
    Ok(())
}

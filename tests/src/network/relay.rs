//! Connects a [`Line`] to sockets: passes on bytes, and the way in which a connection ends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::line::Line;
use super::wire::End;

/// The smallest buffer that the operating system uses for a socket.
const LEAST_BUFFER: usize = 4096;

/// More connections than any scenario leaves unaccepted.
const BACKLOG: u32 = 1024;

/// Creates a socket that buffers about this many bytes that the application has not read.
fn socket(capacity: usize) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    let buffer = u32::try_from(capacity.max(LEAST_BUFFER)).unwrap_or(u32::MAX);
    socket.set_recv_buffer_size(buffer)?;
    Ok(socket)
}

/// Listens on its own port.
pub(super) fn listen(capacity: usize) -> io::Result<TcpListener> {
    let socket = socket(capacity)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(BACKLOG)
}

/// Connects every accepted socket to a new connection of the line, or resets it.
pub(super) async fn accept(line: impl Fn() -> Option<Line>, listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        let Some(line) = line() else { return };
        match line.open() {
            Ok(end) => line.spawn(relay(socket, end)),
            Err(_) => reset(socket),
        }
    }
}

/// Connects an end of the line's connection to this address.
pub(super) async fn dial(addr: SocketAddr, capacity: usize, end: End) {
    let dialled = match socket(capacity) {
        Ok(socket) => socket.connect(addr).await,
        Err(error) => Err(error),
    };
    match dialled {
        Ok(socket) => relay(socket, end).await,
        Err(_) => end.wire().pass_reset(),
    }
}

/// Passes bytes on in both directions until both have ended, or one side is reset.
async fn relay(socket: TcpStream, end: End) {
    // Only the line itself delays bytes.
    socket.set_nodelay(true).ok();
    let wire = end.wire();
    let (mut from_peer, mut to_peer) = socket.into_split();
    let (mut from_line, mut to_line) = split(end);
    let inward = async {
        pass(&mut from_peer, &mut to_line).await?;
        // The peer is gone, no byte will come, and a half-open line would not report that.
        if wire.is_half_open() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    };
    let outward = pass(&mut from_line, &mut to_peer);
    let ended = tokio::select! {
        biased;
        () = wire.reset() => Err(io::ErrorKind::ConnectionReset.into()),
        ended = async { tokio::try_join!(inward, outward) } => ended,
    };
    if ended.is_err() {
        wire.pass_reset();
        reset(from_peer.reunite(to_peer).expect("they are halves of one"));
    }
}

/// Passes bytes on until the source ends, or the destination accepts no more.
///
/// # Errors
/// Fails if either side is reset.
async fn pass(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    match copy(from, to).await {
        Ok(_) => to.shutdown().await.or(Ok(())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(error),
        Err(_) => Ok(()),
    }
}

/// Closes with a RST and without a FIN.
fn reset(socket: TcpStream) {
    // If this fails, the socket is closed instead.
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).ok();
    drop(socket);
}

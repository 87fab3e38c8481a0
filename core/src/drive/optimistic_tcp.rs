//! [`OptimisticTcp`]: a TCP stream that is written before anybody asks whether it can be.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

#[cfg(target_os = "linux")]
use crate::session::SLOWEST;

/// A stream that hands what is to be written to the operating system at once, and asks the runtime only where that takes no
/// more: of a broadcast nearly every member's socket has room, and what the runtime knows of it is in nobody's cache.
///
/// On Linux. Elsewhere it is the stream itself.
#[derive(Debug)]
pub struct OptimisticTcp {
    io: TcpStream,
    /// It has been full, and nothing was written since: the runtime says when it has room.
    full: bool,
}

impl OptimisticTcp {
    /// The same stream.
    pub fn new(io: TcpStream) -> Self {
        Self { io, full: false }
    }

    /// Has the operating system take no more than the peer takes soon, so that a peer that takes nothing is noticed within the
    /// write timeout, and one that takes its time is not taken for one: what is written and not sent is at most what the slowest
    /// peer takes in two write timeouts (PROTOCOL.md §7). What is on its way to the peer is not limited.
    ///
    /// On Linux (`TCP_NOTSENT_LOWAT`); elsewhere it does nothing. One call of the system; where many bytes are under way, some
    /// more wake-ups.
    #[must_use]
    pub fn with_write_timeout(self, timeout: Duration) -> Self {
        limit_unsent(&self.io, timeout);
        self
    }

    fn poll_with(
        &mut self,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = write(Pin::new(&mut self.io));
        self.full = written.is_pending();
        written
    }
}

impl AsyncWrite for OptimisticTcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.full {
            let budget = ready!(coop::poll_proceed(cx));
            if let Some(written) = send(&this.io, data) {
                budget.made_progress();
                return Poll::Ready(written);
            }
        }
        this.poll_with(|io| io.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_with(|io| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl AsyncRead for OptimisticTcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }
}

/// As [`OptimisticTcp::with_write_timeout`], for a stream of any other kind that has a TCP socket below.
pub fn limit_unsent(io: &TcpStream, write_timeout: Duration) {
    #[cfg(target_os = "linux")]
    {
        let bytes = (2 * SLOWEST as u128 * write_timeout.as_millis() / 1000).clamp(4096, 131_072);
        let bytes = u32::try_from(bytes).expect("it is clamped");
        // A system that does not know it takes what it takes.
        socket2::SockRef::from(io).set_tcp_notsent_lowat(bytes).ok();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (io, write_timeout);
}

/// One send; `None` where the runtime has to say when it can be.
#[cfg(target_os = "linux")]
fn send(io: &TcpStream, data: &[u8]) -> Option<io::Result<usize>> {
    use rustix::io::Errno;
    use rustix::net::SendFlags;

    match rustix::net::send(io, data, SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN | Errno::INTR) => None,
        sent => Some(sent.map_err(io::Error::from)),
    }
}

#[cfg(not(target_os = "linux"))]
fn send(_: &TcpStream, _: &[u8]) -> Option<io::Result<usize>> {
    None
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (OptimisticTcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (theirs, ours) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (OptimisticTcp::new(ours.unwrap().0), theirs.unwrap())
    }

    #[tokio::test]
    async fn what_finds_no_room_is_written_when_there_is_some() {
        let (mut ours, mut theirs) = pair().await;
        let data: Vec<u8> = (0..16_u32 << 20).map(|n| (n % 251) as u8).collect();
        let sent = data.clone();
        let mut was_full = false;
        let writing = tokio::spawn(async move {
            let mut rest = &*sent;
            while !rest.is_empty() {
                let written = std::future::poll_fn(|cx| {
                    let written = Pin::new(&mut ours).poll_write(cx, rest);
                    was_full |= ours.full;
                    written
                });
                rest = &rest[written.await.unwrap()..];
            }
            assert!(!ours.full);
            was_full
        });
        // Once it is full.
        tokio::task::yield_now().await;
        let mut read = vec![0; data.len()];
        theirs.read_exact(&mut read).await.unwrap();
        assert!(read == data, "in order, nothing twice");
        assert!(writing.await.unwrap(), "no socket holds as much");
    }

    /// How much a peer that takes nothing lets us write. Its own buffer is as small as it gets.
    #[cfg(target_os = "linux")]
    async fn taken_for_nobody(limits: bool) -> usize {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let (ours, theirs) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let _theirs = theirs.unwrap();
        let ours = OptimisticTcp::new(ours.unwrap());
        let mut ours = if limits { ours.with_write_timeout(Duration::from_secs(10)) } else { ours };
        let mut taken = 0;
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(count) = Pin::new(&mut ours).poll_write(&mut cx, &[0; 1000]) {
            taken += count.unwrap();
        }
        taken
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_the_peer_does_not_take_the_system_does_not_take_either() {
        let (limited, unlimited) = (taken_for_nobody(true).await, taken_for_nobody(false).await);
        assert!(limited < 100_000 && unlimited > 2 * limited, "{limited} of {unlimited}");
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (mut ours, theirs) = pair().await;
        drop(theirs);
        let failed = loop {
            if let Err(error) = ours.write(b"x").await {
                break error;
            }
        };
        assert!(matches!(failed.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset));
    }

    #[tokio::test]
    async fn who_writes_without_end_lets_others_have_their_turn() {
        let (mut ours, mut theirs) = pair().await;
        let reading = tokio::spawn(async move { tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await });
        let turn = tokio::spawn(async {});
        while !turn.is_finished() {
            ours.write_all(b"x").await.unwrap();
        }
        drop(ours);
        reading.await.unwrap().unwrap();
    }
}

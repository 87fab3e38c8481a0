//! [`Eager`]: a TCP stream that is written before anybody asks whether it can be.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

/// A stream that hands what is to be written to the operating system at once, and asks the runtime only where that takes no
/// more: of a broadcast nearly every member's socket has room, and what the runtime knows of it is in nobody's cache.
///
/// On Linux. Elsewhere it is the stream itself.
#[derive(Debug)]
pub struct Eager {
    io: TcpStream,
    /// It has been full, and nothing was written since: the runtime says when it has room.
    full: bool,
}

impl Eager {
    /// The same stream.
    pub fn new(io: TcpStream) -> Self {
        Self { io, full: false }
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

impl AsyncWrite for Eager {
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

impl AsyncRead for Eager {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }
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

    async fn pair() -> (Eager, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (theirs, ours) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Eager::new(ours.unwrap().0), theirs.unwrap())
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

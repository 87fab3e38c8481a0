//! [`OptimisticTcp`]: a TCP stream that writes without asking for readiness first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

#[cfg(target_os = "linux")]
use crate::session::SLOWEST;

/// A stream that writes to the operating system at once, and asks the runtime for readiness only when the socket is full. During
/// a broadcast nearly every member's socket can take the frame, and the runtime's record of its readiness is in no cache.
///
/// On Linux only. Elsewhere it behaves like the stream itself.
#[derive(Debug)]
pub struct OptimisticTcp {
    io: TcpStream,
    /// The last write found the socket full. The next one goes through the runtime, which knows without a system call whether
    /// that has changed.
    full: bool,
}

impl OptimisticTcp {
    /// Wraps a stream.
    pub fn new(io: TcpStream) -> Self {
        Self { io, full: false }
    }

    /// Limits the bytes that the operating system accepts but has not sent, so that a peer that reads nothing is noticed within
    /// the write timeout, and a slow one is not mistaken for it: the limit is the number of bytes that the slowest peer reads in
    /// two write timeouts (PROTOCOL.md §7). Bytes in flight to the peer are not limited.
    ///
    /// On Linux only (`TCP_NOTSENT_LOWAT`); elsewhere it does nothing. Costs one system call, and some more wake-ups while many
    /// bytes are in flight.
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
            // tokio's own writes count against the task's budget. Without this, a task that writes without end to sockets that
            // are never full would not let others run.
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

/// Does the same as [`OptimisticTcp::with_write_timeout`], for the TCP socket below any other kind of stream.
pub fn limit_unsent(io: &TcpStream, write_timeout: Duration) {
    #[cfg(target_os = "linux")]
    {
        let bytes = (2 * SLOWEST as u128 * write_timeout.as_millis() / 1000).clamp(4096, 131_072);
        let bytes = u32::try_from(bytes).expect("it is clamped");
        // A kernel that does not know the option keeps its own limit.
        socket2::SockRef::from(io).set_tcp_notsent_lowat(bytes).ok();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (io, write_timeout);
}

/// One `send`; `None` if the runtime has to report when the socket is writable.
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
    async fn bytes_beyond_a_full_socket_are_written_later() {
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
        // Read only once the socket is full.
        tokio::task::yield_now().await;
        let mut read = vec![0; data.len()];
        theirs.read_exact(&mut read).await.unwrap();
        assert!(read == data, "in order, nothing twice");
        assert!(writing.await.unwrap(), "no socket buffers 16 MiB");
    }

    /// The number of bytes that can be written to a peer that reads nothing, and whose receive buffer is as small as possible.
    #[cfg(target_os = "linux")]
    async fn accepted_without_reader(limits: bool) -> usize {
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
    async fn write_timeout_limits_bytes_buffered_by_the_system() {
        let (limited, unlimited) =
            (accepted_without_reader(true).await, accepted_without_reader(false).await);
        assert!(limited < 100_000 && unlimited > 2 * limited, "{limited} of {unlimited}");
    }

    #[tokio::test]
    async fn writing_to_a_lost_peer_raises_no_signal() {
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
    async fn an_endless_writer_lets_other_tasks_run() {
        let (mut ours, mut theirs) = pair().await;
        let reading = tokio::spawn(async move { tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await });
        let turn = tokio::spawn(async {});
        while !turn.is_finished() {
            ours.write_all(b"x").await.unwrap();
        }
        drop(ours);
        reading.await.unwrap().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn unsent_limit_is_two_timeouts_of_slowest_peer() {
        let (ours, _theirs) = pair().await;
        // Between a page and 128 KiB.
        for (seconds, bytes) in
            [(1, 4096), (2, 4096), (3, 6144), (10, 20_480), (64, 131_072), (1000, 131_072)]
        {
            limit_unsent(&ours.io, Duration::from_secs(seconds));
            assert_eq!(socket2::SockRef::from(&ours.io).tcp_notsent_lowat().unwrap(), bytes, "{seconds} s");
        }
    }
}

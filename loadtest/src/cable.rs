//! [`Cable`]: the connection between a client's sockets and the network, which can be cut.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use crate::dial::{Dialer, Stream};

/// The server's view of a cut socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cut {
    /// The server gets a TCP reset
    Reset,
    /// The server gets the end of the stream, without a close frame
    Close,
    /// The server gets nothing, and sees a takeover when the client resumes
    Silent,
}

/// Cuts a client's sockets, and delays its dials while the client is away.
pub(crate) struct Cable {
    cut: Mutex<Arc<Severed>>,
    away: watch::Receiver<bool>,
    /// The start of the last dial, in nanoseconds since `epoch`.
    dialled: AtomicU64,
    epoch: Instant,
    how: Cut,
    /// Sockets that were cut silently. Kept open so that the server does not notice.
    silent: Mutex<Vec<Stream>>,
}

#[derive(Default)]
struct Severed {
    is: AtomicBool,
    waker: AtomicWaker,
}

impl Cable {
    /// Creates a cable whose dials wait while `away` is true.
    pub(crate) fn new(how: Cut, away: watch::Receiver<bool>, epoch: Instant) -> Self {
        Self { cut: Mutex::default(), away, dialled: AtomicU64::new(0), epoch, how, silent: Mutex::default() }
    }

    /// Dials a new socket as soon as the client is not away.
    pub(crate) async fn dial(self: Arc<Self>, dialer: Arc<Dialer>) -> io::Result<CableStream> {
        let mut away = self.away.clone();
        away.wait_for(|away| !away).await.map_err(|_| io::ErrorKind::ConnectionAborted)?;
        let now = self.epoch.elapsed().as_nanos();
        self.dialled.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
        let severed = Arc::new(Severed::default());
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = severed.clone();
        Ok(CableStream { stream: Some(dialer.dial().await?), severed, cable: self })
    }

    /// Cuts the socket that was dialled last.
    pub(crate) fn cut(&self) {
        let severed = self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
        severed.is.store(true, Ordering::Release);
        severed.waker.wake();
    }

    /// The start of the last dial, since the epoch.
    pub(crate) fn dialled(&self) -> Duration {
        Duration::from_nanos(self.dialled.load(Ordering::Relaxed))
    }
}

/// A socket that the cable can cut.
pub(crate) struct CableStream {
    /// `None` once it is cut.
    stream: Option<Stream>,
    severed: Arc<Severed>,
    cable: Arc<Cable>,
}

impl CableStream {
    /// Returns the socket unless it is cut, and registers the caller's task to be woken by a cut.
    fn poll_whole(&mut self, cx: &Context<'_>) -> io::Result<&mut Stream> {
        self.severed.waker.register(cx.waker());
        if self.severed.is.load(Ordering::Acquire)
            && let Some(stream) = self.stream.take()
        {
            match self.cable.how {
                // Dropping a socket with a linger time of 0 resets it.
                Cut::Reset => drop(SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO))),
                Cut::Close => {}
                Cut::Silent => {
                    self.cable.silent.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                }
            }
        }
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for CableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.poll_whole(cx)?).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.poll_whole(cx)?).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.poll_whole(cx)?).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.poll_whole(cx)?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.poll_whole(cx)?).poll_shutdown(cx)
    }
}

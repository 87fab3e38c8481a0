//! [`Wire`]: one connection of a [`Line`](super::Line), two streams that share their fate.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::line::Direction;

/// What has become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// Bytes pass.
    Whole,
    /// Bytes vanish, and nobody is told.
    HalfOpen,
    /// What is under way arrives, then the stream ends.
    Finished,
    /// What is under way is lost.
    Reset,
}

/// The fate that the two ends share.
#[derive(Debug)]
pub(super) struct Wire {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    condition: Condition,
    /// By direction.
    lanes: [Lane; 2],
    wakers: Vec<Waker>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Bytes pile up before the reader.
    stalled: bool,
    /// So many more bytes arrive, then the connection becomes this.
    limit: Option<(usize, Condition)>,
}

impl Wire {
    /// A connection with room for so many bytes under way in each direction: the client's end, the server's, and their fate.
    pub(super) fn new(capacity: usize) -> (End, End, Arc<Self>) {
        let state = State { condition: Condition::Whole, lanes: Default::default(), wakers: Vec::new() };
        let wire = Arc::new(Self { state: Mutex::new(state) });
        let (client, server) = tokio::io::duplex(capacity);
        let client = End { io: client, wire: wire.clone(), incoming: Direction::ToClient };
        let server = End { io: server, wire: wire.clone(), incoming: Direction::ToServer };
        (client, server, wire)
    }

    pub(super) fn become_(&self, condition: Condition) {
        self.lock().become_(condition);
    }

    pub(super) fn stall(&self, direction: Direction, stalled: bool) {
        let mut state = self.lock();
        state.lanes[direction as usize].stalled = stalled;
        state.wake();
    }

    pub(super) fn limit(&self, direction: Direction, bytes: usize, then: Condition) {
        let mut state = self.lock();
        state.lanes[direction as usize].limit = Some((bytes, then));
        state.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn become_(&mut self, condition: Condition) {
        // A stream that has ended stays so.
        if matches!(self.condition, Condition::Whole | Condition::HalfOpen) {
            self.condition = condition;
        }
        self.wake();
    }

    fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// Pending until something is done to the connection.
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    io: DuplexStream,
    wire: Arc<Wire>,
    incoming: Direction,
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut state = this.wire.lock();
        let lane = &mut state.lanes[this.incoming as usize];
        if let (false, Some((0, then))) = (lane.stalled, lane.limit) {
            lane.limit = None;
            state.become_(then);
        }
        let lane = &state.lanes[this.incoming as usize];
        match state.condition {
            Condition::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Condition::HalfOpen => return state.wait(cx),
            Condition::Whole if lane.stalled => return state.wait(cx),
            Condition::Whole | Condition::Finished => {}
        }
        let most = lane.limit.map_or(usize::MAX, |(bytes, _)| bytes.max(1)).min(buf.remaining());
        let mut chunk = vec![0; most];
        let mut read = ReadBuf::new(&mut chunk);
        match Pin::new(&mut this.io).poll_read(cx, &mut read) {
            Poll::Ready(result) => result?,
            Poll::Pending if state.condition == Condition::Finished => return Poll::Ready(Ok(())),
            Poll::Pending => return state.wait(cx),
        }
        buf.put_slice(read.filled());
        if let Some((bytes, _)) = &mut state.lanes[this.incoming as usize].limit {
            *bytes = bytes.saturating_sub(read.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

impl End {
    /// Ready when something else than a write is to be the answer to one.
    fn poll_write_fails(&self, cx: &Context<'_>, size: usize) -> Poll<io::Result<usize>> {
        let mut state = self.wire.lock();
        match state.condition {
            Condition::Whole => state.wait(cx),
            Condition::HalfOpen => Poll::Ready(Ok(size)),
            Condition::Finished => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Condition::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.poll_write_fails(cx, buf.len()) {
            Poll::Pending => Pin::new(&mut self.io).poll_write(cx, buf),
            ready => ready,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.poll_write_fails(cx, bufs.iter().map(|buf| buf.len()).sum()) {
            Poll::Pending => Pin::new(&mut self.io).poll_write_vectored(cx, bufs),
            ready => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_write_fails(cx, 0) {
            Poll::Pending => Pin::new(&mut self.io).poll_shutdown(cx),
            // There is nobody to tell.
            Poll::Ready(_) => Poll::Ready(Ok(())),
        }
    }
}

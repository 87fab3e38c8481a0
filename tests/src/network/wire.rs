//! [`Wire`]: one connection of a [`Line`](super::Line), with two ends that share one state.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::line::Direction;

/// The condition of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Condition {
    /// Bytes pass.
    Whole,
    /// Bytes vanish, and neither end notices.
    HalfOpen,
    /// Bytes in transit arrive, then the stream ends.
    Finished,
    /// Bytes in transit are lost.
    Reset,
}

/// The state that the two ends share.
#[derive(Debug)]
pub(super) struct Wire {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    condition: Condition,
    /// Indexed by direction.
    lanes: [Lane; 2],
    /// For tasks that wait for a reset and for something else.
    reset: watch::Sender<bool>,
    /// The number of bytes that were written to the half-open connection.
    vanished: watch::Sender<usize>,
}

/// The bytes in transit in one direction.
#[derive(Debug)]
struct Lane {
    /// In order, each with the time at which it arrives.
    chunks: VecDeque<(Instant, Vec<u8>)>,
    /// The bytes of the first chunk that have been read.
    offset: usize,
    /// The bytes in `chunks` that have not been read.
    bytes: usize,
    capacity: usize,
    latency: Duration,
    /// Bytes per second; `None` is unlimited.
    rate: Option<u32>,
    /// The arrival time of the latest write: later writes do not overtake it.
    latest: Instant,
    /// Whether bytes queue up before the reader.
    stalled: bool,
    /// After this many more bytes, the connection enters this condition.
    limit: Option<(usize, Condition)>,
    /// Whether the writing end has finished.
    ended: bool,
    /// Whether the reading end has been dropped.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    /// Creates a connection that holds this many bytes in transit in each direction. Returns the client's end, the server's end,
    /// and the shared state.
    pub(super) fn new(capacity: usize, latency: [Duration; 2]) -> (End, End, Arc<Self>) {
        let lanes = latency.map(|latency| Lane {
            chunks: VecDeque::new(),
            offset: 0,
            bytes: 0,
            capacity,
            latency,
            rate: None,
            latest: Instant::now(),
            stalled: false,
            limit: None,
            ended: false,
            unread: false,
            reader: None,
            writer: None,
        });
        let state = State {
            condition: Condition::Whole,
            lanes,
            reset: watch::Sender::new(false),
            vanished: watch::Sender::new(0),
        };
        let wire = Arc::new(Self { state: Mutex::new(state) });
        let end = |incoming| End { wire: wire.clone(), incoming, arrival: None };
        (end(Direction::ToClient), end(Direction::ToServer), wire)
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

    pub(super) fn set_latency(&self, direction: Direction, latency: Duration) {
        self.lock().lanes[direction as usize].latency = latency;
    }

    pub(super) fn set_rate(&self, direction: Direction, rate: Option<u32>) {
        let mut state = self.lock();
        let lane = &mut state.lanes[direction as usize];
        let was_slow = std::mem::replace(&mut lane.rate, rate).is_some();
        if was_slow && rate.is_none() {
            // Bytes that have waited for the rate limit are no longer subject to it.
            let soon = Instant::now() + lane.latency;
            lane.latest = lane.latest.min(soon);
            for (at, _) in &mut lane.chunks {
                *at = soon.min(*at);
            }
            lane.wake();
        }
    }

    /// Waits until the connection is reset.
    pub(super) async fn reset(&self) {
        let mut reset = self.lock().reset.subscribe();
        // The sender lives as long as `self`.
        reset.wait_for(|reset| *reset).await.ok();
    }

    /// Waits until this many bytes have vanished.
    pub(super) async fn vanished(&self, bytes: usize) {
        let mut vanished = self.lock().vanished.subscribe();
        // The sender lives as long as `self`.
        vanished.wait_for(|vanished| *vanished >= bytes).await.ok();
    }

    /// Resets the connection, unless it is half-open.
    pub(super) fn pass_reset(&self) {
        let mut state = self.lock();
        if state.condition == Condition::Whole {
            state.become_(Condition::Reset);
        }
    }

    /// Whether bytes vanish.
    pub(super) fn is_half_open(&self) -> bool {
        self.lock().condition == Condition::HalfOpen
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn become_(&mut self, condition: Condition) {
        // An ended stream stays ended.
        if matches!(self.condition, Condition::Whole | Condition::HalfOpen) {
            self.condition = condition;
            self.reset.send_replace(condition == Condition::Reset);
        }
        self.wake();
    }

    fn wake(&mut self) {
        for lane in &mut self.lanes {
            lane.wake();
        }
    }
}

impl Lane {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn write(&mut self, slices: &[io::IoSlice<'_>]) -> usize {
        let room = self.capacity - self.bytes;
        let mut chunk = Vec::with_capacity(room.min(slices.iter().map(|slice| slice.len()).sum()));
        for slice in slices {
            let size = slice.len().min(room - chunk.len());
            chunk.extend_from_slice(&slice[..size]);
        }
        let written = chunk.len();
        if written > 0 {
            self.bytes += written;
            let takes = self.rate.map_or(0.0, |rate| written as f64 / f64::from(rate));
            self.latest = self.latest.max(Instant::now() + self.latency) + Duration::from_secs_f64(takes);
            self.chunks.push_back((self.latest, chunk));
        }
        written
    }

    /// Reads bytes that have arrived, up to the limit. Returns their number.
    fn read(&mut self, buf: &mut ReadBuf<'_>) -> usize {
        let now = Instant::now();
        // A limit of 0 has been handled before.
        let most = self.limit.map_or(usize::MAX, |(bytes, _)| bytes).min(buf.remaining());
        let mut read = 0;
        while read < most
            && let Some((at, chunk)) = self.chunks.front()
            && *at <= now
        {
            let rest = &chunk[self.offset..];
            let size = rest.len().min(most - read);
            buf.put_slice(&rest[..size]);
            read += size;
            self.offset += size;
            if self.offset == chunk.len() {
                self.offset = 0;
                self.chunks.pop_front();
            }
        }
        self.bytes -= read;
        if let Some((bytes, _)) = &mut self.limit {
            *bytes -= read;
        }
        read
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    wire: Arc<Wire>,
    incoming: Direction,
    /// The time at which there is something to read.
    arrival: Option<Pin<Box<Sleep>>>,
}

impl End {
    /// Its connection.
    pub(super) fn wire(&self) -> Arc<Wire> {
        self.wire.clone()
    }

    fn outgoing(&self) -> usize {
        1 - self.incoming as usize
    }

    /// Pending until the bytes in transit arrive.
    fn poll_arrival(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.arrival.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }

    fn poll_write_slices(&self, cx: &Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut state = self.wire.lock();
        match state.condition {
            Condition::Whole => {}
            Condition::HalfOpen => {
                let bytes = slices.iter().map(|slice| slice.len()).sum();
                state.vanished.send_modify(|vanished| *vanished += bytes);
                return Poll::Ready(Ok(bytes));
            }
            Condition::Finished => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Condition::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
        let lane = &mut state.lanes[self.outgoing()];
        if lane.unread || lane.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = lane.write(slices);
        if written == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(reader) = lane.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(written))
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let wire = self.wire.clone();
            let mut state = wire.lock();
            let index = self.incoming as usize;
            let condition = state.condition;
            let lane = &mut state.lanes[index];
            lane.reader = Some(cx.waker().clone());
            match condition {
                Condition::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Condition::HalfOpen => return Poll::Pending,
                Condition::Whole if lane.stalled => return Poll::Pending,
                Condition::Whole | Condition::Finished => {}
            }
            if let Some((0, then)) = lane.limit {
                lane.limit = None;
                state.become_(then);
                continue;
            }
            if lane.read(buf) > 0 {
                if let Some(writer) = lane.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(()));
            }
            let arrival = match lane.chunks.front() {
                Some((at, _)) => *at,
                None if lane.ended || condition == Condition::Finished => return Poll::Ready(Ok(())),
                None => return Poll::Pending,
            };
            drop(state);
            ready!(self.poll_arrival(cx, arrival));
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.wire.lock();
        let lane = &mut state.lanes[self.outgoing()];
        lane.ended = true;
        lane.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.wire.lock();
        state.lanes[self.outgoing()].ended = true;
        state.lanes[self.incoming as usize].unread = true;
        state.wake();
    }
}

//! [`Throttled`]: a transport that is read no faster than limits allow.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rejoin_core::drive::{Deadline, Flow, ReceiveError, Received, Transport, Written, now};
use rejoin_core::{Batch, CloseFrame, Message};

use crate::context::ServerContext;
use crate::limits::limit::Limit;
use crate::limits::rate::{RatePolicy, Wait};
use crate::limits::reading::ReadLimits;

/// A transport that is read no faster than limits allow. Writing is as before. Only sessions under such a limit have one.
///
/// While it waits it reads nothing, so the operating system stops the peer. It cannot see whether the peer is alive then, and
/// reports that it is: a heartbeat must not fail because this side does not listen.
pub(crate) struct Throttled<T> {
    inner: T,
    limits: Arc<ReadLimits>,
    context: Arc<ServerContext>,
    /// When the rates allow the next frame.
    opens_at: Option<Instant>,
    timer: Deadline,
    /// Waits until the sessions together hold less.
    freed: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// A frame exceeded a rate, and the session ends.
    has_exceeded: bool,
}

impl<T> Throttled<T> {
    pub(crate) fn new(inner: T, limits: Arc<ReadLimits>, context: Arc<ServerContext>) -> Self {
        let timer = Deadline::default();
        Self { inner, limits, context, opens_at: None, timer, freed: None, has_exceeded: false }
    }

    /// Ready when the next frame may be read.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(at) = self.opens_at {
            if now() < at {
                return self.wait(cx, at);
            }
            self.opens_at = None;
        }
        while self.limits.is_over_inbound() {
            let freed = self.freed.get_or_insert_with(|| {
                self.context.reached(Limit::InboundBytes);
                Box::pin(self.limits.clone().freed())
            });
            if freed.as_mut().poll(cx).is_pending() {
                return self.wait(cx, now() + Duration::from_secs(3600));
            }
            self.freed = None;
        }
        self.freed = None;
        Poll::Ready(())
    }

    /// Waits until this time, or until the peer has to count as alive once more.
    fn wait<R>(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<R> {
        let slice = self.context.options.pong_timeout / 3;
        if self.timer.poll(cx, Some(at.min(now() + slice))).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<T: Transport> Transport for Throttled<T> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Poll<ReceiveError> {
        if self.has_exceeded {
            return Poll::Ready(ReceiveError::RateExceeded);
        }
        if self.poll_open(cx).is_pending() {
            sink(Received::Bytes(0));
            return Poll::Pending;
        }
        let (limits, policy) = (&self.limits, self.limits.policy());
        // Read once for all that arrives in one call.
        let mut clock = None;
        let (mut exceeded, mut waits): (Option<Limit>, Option<Wait>) = (None, None);
        let received = self.inner.poll_receive(cx, &mut |received| {
            let Received::Message(message) = &received else { return sink(received) };
            let (bytes, now) = (message.data.len(), *clock.get_or_insert_with(|| limits.now()));
            match policy {
                RatePolicy::Close => {
                    exceeded = limits.try_take(bytes, now).err();
                    if exceeded.is_some() { Flow::Pause } else { sink(received) }
                }
                RatePolicy::Delay => {
                    let flow = sink(received);
                    waits = limits.take(bytes, now);
                    if waits.is_some() { Flow::Pause } else { flow }
                }
                // Answered where frames are handled.
                RatePolicy::Answer => sink(received),
            }
        });
        if let Some(limit) = exceeded {
            self.context.reached(limit);
            self.has_exceeded = true;
            return Poll::Ready(ReceiveError::RateExceeded);
        }
        if let Some(Wait { nanos, limit }) = waits
            && received.is_pending()
        {
            self.context.reached(limit);
            let at = now() + Duration::from_nanos(nanos);
            self.opens_at = Some(at);
            // The inner transport has registered nothing: it was paused.
            return self.wait(cx, at);
        }
        received
    }

    fn is_idle(&self) -> bool {
        self.inner.is_idle()
    }

    fn pending(&self) -> usize {
        self.inner.pending()
    }

    fn has_capacity(&self) -> bool {
        self.inner.has_capacity()
    }

    fn push_data(&mut self, message: Bytes) {
        self.inner.push_data(message);
    }

    fn push_volatile(&mut self, message: Bytes) {
        self.inner.push_volatile(message);
    }

    fn push_batch(&mut self, batch: Batch) {
        self.inner.push_batch(batch);
    }

    fn push_control(&mut self, message: Message) {
        self.inner.push_control(message);
    }

    fn push_ping(&mut self) {
        self.inner.push_ping();
    }

    fn push_close(&mut self, frame: Option<&CloseFrame>) {
        self.inner.push_close(frame);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, written: &mut Written) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx, written)
    }

    fn sends_without_foreign_code(&self) -> bool {
        self.inner.sends_without_foreign_code()
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        message: &Bytes,
        written: &mut Written,
    ) -> Poll<io::Result<()>> {
        self.inner.poll_send(cx, message, written)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.inner.poll_discard(cx, budget)
    }

    fn closes_first(&self) -> bool {
        self.inner.closes_first()
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }
}

impl<T> fmt::Debug for Throttled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttled").field("opens_at", &self.opens_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::drive::{Unmasked, WsTransport};

    use super::*;

    /// Otherwise the application's stream would be called while the session is locked.
    #[test]
    fn a_foreign_stream_stays_foreign() {
        let connect = async |_: crate::ConnectRequest| Ok::<_, crate::Reject>(crate::Identity::new());
        let server = crate::Server::builder(connect).frame_rate(1).build().unwrap();
        let shared = server.shared();
        let connection = crate::testing::connection(shared);
        shared.reading.enter(connection.number());
        let limits = shared.reading.of(connection.number()).unwrap();
        let (stream, _peer) = tokio::io::duplex(64);
        let transport = WsTransport::new(stream, Unmasked, &[], 64);
        assert!(!Throttled::new(transport, limits, shared.context.clone()).sends_without_foreign_code());
    }
}

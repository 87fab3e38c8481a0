//! [`ClientTransport`]: the WebSocket under a session.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rejoin_core::drive::{self, Flow, Masked, ReceiveError, Received, Transport, Written};
use rejoin_core::{CloseFrame, Message};

use crate::stream::BoxIo;

/// A WebSocket of the client's side.
#[derive(Debug)]
pub(crate) struct ClientTransport {
    socket: drive::WsTransport<BoxIo, Masked<Keys>>,
    /// See [`Self::forgive_takeover`].
    forgives_takeover: bool,
}

/// Masking keys, from a generator that cannot be predicted (RFC 6455 §10.3).
type Keys = Box<dyn FnMut() -> [u8; 4] + Send>;

/// How a forgiven takeover ends a socket: an error that a stream has hardly ever.
pub(crate) const FORGIVEN: io::ErrorKind = io::ErrorKind::ConnectionAborted;

impl ClientTransport {
    /// Makes the transport of an upgraded stream, from which `tail` has been read already.
    pub(crate) fn new(io: BoxIo, tail: &[u8], max_message_size: Option<usize>) -> Self {
        let mut rng = StdRng::from_os_rng();
        let keys: Keys = Box::new(move || rng.random());
        let most = max_message_size.unwrap_or(usize::MAX);
        Self { socket: drive::WsTransport::new(io, Masked(keys), tail, most), forgives_takeover: false }
    }

    /// Treats a close with 4000 `taken over` as a lost socket ([`FORGIVEN`]): the socket that took over may belong to an earlier
    /// dial of this client, which it has abandoned.
    pub(crate) fn forgive_takeover(&mut self, forgives: bool) {
        self.forgives_takeover = forgives;
    }
}

impl Transport for ClientTransport {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Poll<ReceiveError> {
        let mut forgiven = false;
        let received = self.socket.poll_receive(cx, &mut |received| match &received {
            Received::Close(Some(frame)) if self.forgives_takeover && frame.code == 4000 => {
                forgiven = true;
                Flow::Pause
            }
            _ => sink(received),
        });
        if !forgiven {
            return received;
        }
        tracing::debug!("taken over, perhaps by a late request of this client: resuming once more");
        Poll::Ready(ReceiveError::Io(FORGIVEN.into()))
    }

    fn is_idle(&self) -> bool {
        self.socket.is_idle()
    }

    fn pending(&self) -> usize {
        self.socket.pending()
    }

    fn has_capacity(&self) -> bool {
        self.socket.has_capacity()
    }

    fn push_data(&mut self, message: Bytes) {
        self.socket.push_data(message);
    }

    fn push_volatile(&mut self, message: Bytes) {
        self.socket.push_volatile(message);
    }

    fn push_control(&mut self, message: Message) {
        self.socket.push_control(message);
    }

    fn push_ping(&mut self) {
        self.socket.push_ping();
    }

    fn push_close(&mut self, frame: Option<&CloseFrame>) {
        self.socket.push_close(frame);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, written: &mut Written) -> Poll<io::Result<()>> {
        self.socket.poll_flush(cx, written)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.socket.poll_discard(cx, budget)
    }

    fn closes_first(&self) -> bool {
        self.socket.closes_first()
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_shutdown(cx)
    }
}

//! [`WsTransport`]: a session's socket, over tokio-tungstenite.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use rejoin_core::drive::{Flow, ReceiveError, Received, Transport, Written};
use rejoin_core::{CloseFrame, Message, MessageKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame as WsClose, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message as WsMessage};

use crate::dial::BoxIo;
use crate::packed::unpack;

/// A WebSocket of the client's side.
///
/// tungstenite writes into a buffer of its own and does not tell how far it came; so a message counts as written when a flush
/// has come to its end. To keep that close to the truth, no more is pushed than one flush is likely to take.
pub(crate) struct WsTransport {
    socket: WebSocketStream<Wire>,
    pending: Pending,
    /// The peer's close frame has come: tungstenite has queued the answer by itself, and takes nothing more.
    peer_closed: bool,
    /// Our close frame is queued.
    closed: bool,
    /// A push that failed, to be told by the next flush.
    failed: Option<io::Error>,
    /// The peer broke RFC 6455 with this: nothing more is read.
    broken: Option<CloseFrame>,
    /// See [`Self::forgive_takeover`].
    forgives_takeover: bool,
}

/// What was pushed since the last flush came to its end.
#[derive(Debug, Default)]
struct Pending {
    messages: usize,
    data: usize,
    bytes: usize,
}

/// As many bytes are pushed before a flush has to come to its end.
const FLUSH_BYTES: usize = 32 * 1024;

const READ_BUFFER: usize = 16 * 1024;

impl WsTransport {
    /// A transport for a stream that was upgraded; `tail` was read from it already. `max_message_size` 0 is no bound.
    pub(crate) async fn new(wire: Wire, tail: Vec<u8>, max_message_size: usize) -> Self {
        let limit = (max_message_size > 0).then_some(max_message_size);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(FLUSH_BYTES)
            .max_message_size(limit)
            .max_frame_size(limit);
        // The write buffer needs no bound of its own: `has_room` lets in FLUSH_BYTES and one message.
        let socket = WebSocketStream::from_partially_read(wire, tail, Role::Client, Some(config)).await;
        Self {
            socket,
            pending: Pending::default(),
            peer_closed: false,
            closed: false,
            failed: None,
            broken: None,
            forgives_takeover: false,
        }
    }

    /// Takes a close with 4000 `taken over` for a lost socket: it may be an earlier dial of our own that took the session over
    /// after we had abandoned it.
    pub(crate) fn forgive_takeover(&mut self, forgives: bool) {
        self.forgives_takeover = forgives;
    }

    fn push(&mut self, message: WsMessage, bytes: usize, data: bool) {
        if self.closed || self.peer_closed || self.failed.is_some() {
            return;
        }
        self.pending.messages += 1;
        self.pending.data += usize::from(data);
        self.pending.bytes += bytes;
        // A socket that blocks is no failure here: tungstenite has taken the message, and the flush goes on with it.
        if let Err(error) = Pin::new(&mut self.socket).start_send(message) {
            self.failed = Some(into_io(error));
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<WsMessage, ReceiveError>> {
        if let Some(frame) = &self.broken {
            return Poll::Ready(Err(ReceiveError::Protocol(frame.clone())));
        }
        match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(message)) => Poll::Ready(Ok(message)),
            Some(Err(error)) => {
                let error = receive_error(error);
                if let ReceiveError::Protocol(frame) = &error {
                    self.broken = Some(frame.clone());
                }
                Poll::Ready(Err(error))
            }
            None => Poll::Ready(Err(ReceiveError::Io(io::ErrorKind::UnexpectedEof.into()))),
        }
    }
}

impl Transport for WsTransport {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Poll<ReceiveError> {
        loop {
            let message = self.poll_message(cx);
            if self.socket.get_mut().take_heard() {
                // Not asked whether more is wanted: there may be a message in hand.
                sink(Received::Heard);
            }
            let message = match ready!(message) {
                Ok(message) => message,
                Err(error) => return Poll::Ready(error),
            };
            let received = match message {
                WsMessage::Text(text) => {
                    Received::Message(Message { kind: MessageKind::Text, data: text.into() })
                }
                WsMessage::Binary(data) => Received::Message(Message { kind: MessageKind::Binary, data }),
                WsMessage::Close(frame) => {
                    self.peer_closed = true;
                    let frame =
                        frame.map(|frame| CloseFrame::new(frame.code.into(), frame.reason.to_string()));
                    if self.forgives_takeover && frame.as_ref().is_some_and(|frame| frame.code == 4000) {
                        tracing::debug!(
                            "taken over by a late request of our own, perhaps: resuming once more"
                        );
                        return Poll::Ready(ReceiveError::Io(io::ErrorKind::ConnectionReset.into()));
                    }
                    Received::Close(frame)
                }
                WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_) => continue,
            };
            if sink(received) == Flow::Pause {
                return Poll::Pending;
            }
        }
    }

    fn has_room(&self) -> bool {
        self.pending.bytes < FLUSH_BYTES
    }

    fn push_data(&mut self, message: Bytes) {
        let Message { kind, data } = unpack(message);
        let bytes = data.len();
        self.push(as_frame(kind, data), bytes, true);
    }

    fn push_control(&mut self, message: Message) {
        let bytes = message.data.len();
        self.push(as_frame(message.kind, message.data), bytes, false);
    }

    fn push_ping(&mut self) {
        self.push(WsMessage::Ping(Bytes::new()), 0, false);
    }

    fn push_close(&mut self, frame: Option<&CloseFrame>) {
        let frame =
            frame.map(|frame| WsClose { code: frame.code.into(), reason: frame.reason.as_ref().into() });
        self.push(WsMessage::Close(frame), 0, false);
        self.closed = true;
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, written: &mut Written) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        written.progress = self.socket.get_mut().take_wrote();
        ready!(flushed).map_err(into_io)?;
        let pending = std::mem::take(&mut self.pending);
        written.messages = pending.messages;
        written.data = pending.data;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, &mut Written::default()))?;
        Pin::new(self.socket.get_mut()).poll_shutdown(cx)
    }
}

/// As a frame, not as a message: text from a codec need not be checked once more to be UTF-8.
fn as_frame(kind: MessageKind, data: Bytes) -> WsMessage {
    let opcode = match kind {
        MessageKind::Text => Data::Text,
        MessageKind::Binary => Data::Binary,
    };
    WsMessage::Frame(Frame::message(data, OpCode::Data(opcode), true))
}

fn receive_error(error: Error) -> ReceiveError {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        Error::Capacity(_) => ReceiveError::Protocol(CloseFrame::new(1009, "message too big")),
        Error::Utf8(_) => ReceiveError::Protocol(CloseFrame::new(1007, "text is not utf-8")),
        // Neither is anybody's breach: the stream ended, or went on after the close frame.
        Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::ReceivedAfterClosing,
        ) => ReceiveError::Io(io::ErrorKind::UnexpectedEof.into()),
        Error::Protocol(error) => ReceiveError::Protocol(CloseFrame::new(1002, error.to_string())),
        error => ReceiveError::Io(into_io(error)),
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::NotConnected.into(),
        error => io::Error::other(error),
    }
}

impl fmt::Debug for WsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsTransport").field("pending", &self.pending).finish_non_exhaustive()
    }
}

/// A stream that remembers whether something was read: any byte counts as life, were it a part of a long message.
pub(crate) struct Wire {
    io: BoxIo,
    heard: bool,
    wrote: bool,
}

impl Wire {
    pub(crate) fn new(io: BoxIo) -> Self {
        Self { io, heard: false, wrote: false }
    }

    fn take_wrote(&mut self) -> bool {
        std::mem::take(&mut self.wrote)
    }

    fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.heard |= buf.filled().len() > before;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.wrote |= written > 0;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

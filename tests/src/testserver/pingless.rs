//! [`Pingless`]: the server's end of a WebSocket connection that hides pings from the server, so that it answers none.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The server's end of a connection. Drops the pings that the client sends.
#[derive(Debug)]
pub(super) struct Pingless<S> {
    io: S,
    place: Place,
    /// The filtered bytes that the server has not read yet.
    heard: VecDeque<u8>,
}

/// The part of the stream to which the next byte belongs.
#[derive(Debug)]
enum Place {
    /// The head of the upgrade request, with its last four bytes.
    Head([u8; 4]),
    /// The header of a frame, as far as it has arrived.
    Header(Vec<u8>),
    /// The rest of a frame: its length, and whether it belongs to a ping.
    Payload(u64, bool),
}

const PING: u8 = 9;

impl<S> Pingless<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io, place: Place::Head([0; 4]), heard: VecDeque::new() }
    }

    fn take(&mut self, byte: u8) {
        match &mut self.place {
            Place::Head(last) => {
                last.rotate_left(1);
                last[3] = byte;
                self.heard.push_back(byte);
                if last == b"\r\n\r\n" {
                    self.place = Place::Header(Vec::new());
                }
            }
            Place::Header(header) => {
                header.push(byte);
                let Some(left) = payload_len(header) else { return };
                let is_ping = header[0] & 0xf == PING;
                if !is_ping {
                    self.heard.extend(&*header);
                }
                self.place = Place::after(left, is_ping);
            }
            Place::Payload(left, is_ping) => {
                if !*is_ping {
                    self.heard.push_back(byte);
                }
                self.place = Place::after(*left - 1, *is_ping);
            }
        }
    }
}

impl Place {
    fn after(left: u64, is_ping: bool) -> Self {
        if left == 0 { Self::Header(Vec::new()) } else { Self::Payload(left, is_ping) }
    }
}

/// The payload's length, once the header is complete (RFC 6455 §5.2).
fn payload_len(header: &[u8]) -> Option<u64> {
    let (masked, short) = (header.get(1)? & 0x80 != 0, header[1] & 0x7f);
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let complete = 2 + extended + if masked { 4 } else { 0 };
    (header.len() == complete).then(|| match extended {
        0 => short.into(),
        _ => header[2..2 + extended].iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    })
}

/// Whether the request that arrives on this stream asks for a server that answers no ping. Reads nothing: a connection that does
/// not ask is served like any other, and its stream is the fastest for the server to write to.
///
/// A request line that arrives in pieces does not count.
pub(super) async fn is_wanted(stream: &TcpStream) -> bool {
    let arrived = poll_fn(|cx| {
        let mut head = [0; 1024];
        let mut head = ReadBuf::new(&mut head);
        ready!(stream.poll_peek(cx, &mut head))?;
        Poll::Ready(io::Result::Ok(ignores_pings(head.filled())))
    });
    arrived.await.unwrap_or(false)
}

/// Whether a request's query contains `ignore_pings=1`.
fn ignores_pings(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let Some(query) = target.iter().position(|byte| *byte == b'?') else { return false };
    // A cheap check excludes nearly all parameters before they are decoded.
    let mut pairs = target[query + 1..].split(|byte| *byte == b'&').filter(|pair| pair.ends_with(b"1"));
    pairs.any(|pair| form_urlencoded::parse(pair).any(|(name, value)| name == "ignore_pings" && value == "1"))
}

impl<S: AsyncRead + Unpin> AsyncRead for Pingless<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.heard.is_empty() {
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            chunk.filled().iter().for_each(|byte| this.take(*byte));
        }
        let read = this.heard.read(buffer.initialize_unfilled())?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pingless<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A masked frame with an empty mask.
    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
            len => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    async fn heard(sent: Vec<u8>) -> Vec<u8> {
        let mut heard = Vec::new();
        Pingless::new(&*sent).read_to_end(&mut heard).await.unwrap();
        heard
    }

    #[tokio::test]
    async fn drops_only_pings() {
        let head = b"GET /?ignore_pings=1 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let (text, close) = (frame(1, &[7; 300]), frame(8, b""));
        let sent =
            [head.clone(), frame(9, b"a"), text.clone(), frame(9, b""), frame(9, &[9; 125]), close.clone()];
        assert_eq!(heard(sent.concat()).await, [head, text, close].concat());
    }

    #[tokio::test]
    async fn waits_for_the_request_and_reads_nothing_of_it() {
        for (query, is_asked) in [("ignore_pings=1", true), ("id=x", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asks = Box::pin(is_wanted(&stream));
            let before = poll_fn(|cx| Poll::Ready(asks.as_mut().poll(cx))).await;
            assert!(before.is_pending(), "nothing was sent");
            let head = format!("GET /?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            assert_eq!(asks.await, is_asked);
            let mut read = vec![0; head.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, head.as_bytes());
        }
    }

    #[test]
    fn reads_the_request_from_the_query_only() {
        for wish in
            ["/?ignore_pings=1", "/a?id=x&ignore_pings=1&room=y", "/?ignore%5Fpings=1", "/?ignore_pings=%31"]
        {
            assert!(ignores_pings(format!("GET {wish} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()), "{wish}");
        }
        for none in ["/", "/?ignore_pings=0", "/ignore_pings=1", "/ HTTP/1.1\r\nReferer: /?ignore_pings=1"] {
            assert!(!ignores_pings(format!("GET {none} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()), "{none}");
        }
        assert!(!ignores_pings(b""));
    }
}

//! [`Pingless`]: the server's end of a WebSocket connection that hides pings from the server on request, so that it answers none.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The server's end of a connection. Drops the pings that the client sends if the request contains `ignore_pings=1`. Otherwise it
/// is no larger than the stream itself, because tests measure the memory of idle connections.
#[derive(Debug)]
pub(super) enum Pingless<S> {
    /// The client has not requested it.
    Heard(S),
    /// The client has requested it, or the request is not complete yet.
    Filtered(Box<Filter<S>>),
}

/// Drops pings.
#[derive(Debug)]
pub(super) struct Filter<S> {
    /// `None` once the connection continues without a filter.
    io: Option<S>,
    /// Whether the request has arrived and asks for the filter.
    wished: bool,
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
        let place = Place::Head([0; 4]);
        Self::Filtered(Box::new(Filter { io: Some(io), wished: false, place, heard: VecDeque::new() }))
    }

    fn io(&mut self) -> Pin<&mut S>
    where
        S: Unpin,
    {
        Pin::new(match self {
            Self::Heard(io) => io,
            Self::Filtered(filter) => filter.io(),
        })
    }
}

impl<S> Filter<S> {
    fn io(&mut self) -> &mut S {
        self.io.as_mut().expect("it leaves with the filter")
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
        let Self::Filtered(filter) = this else { return this.io().poll_read(cx, buffer) };
        if !filter.wished {
            let before = buffer.filled().len();
            ready!(Pin::new(filter.io()).poll_read(cx, buffer))?;
            // A request line that arrives in pieces does not count as a request for the filter.
            let head = &buffer.filled()[before..];
            if !ignores_pings(head) {
                if let Some(io) = filter.io.take() {
                    *this = Self::Heard(io);
                }
                return Poll::Ready(Ok(()));
            }
            filter.wished = true;
            head.iter().for_each(|byte| filter.take(*byte));
            buffer.set_filled(before);
        }
        while filter.heard.is_empty() {
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(filter.io()).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            chunk.filled().iter().for_each(|byte| filter.take(*byte));
        }
        let read = filter.heard.read(buffer.initialize_unfilled())?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pingless<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().io().poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().io().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Heard(io) => io.is_write_vectored(),
            Self::Filtered(filter) => filter.io.as_ref().is_some_and(AsyncWrite::is_write_vectored),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpStream;

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

    #[test]
    fn costs_nothing_unless_requested() {
        assert_eq!(size_of::<Pingless<TcpStream>>(), size_of::<TcpStream>());
    }

    #[tokio::test]
    async fn drops_nothing_unless_requested() {
        let sent = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), frame(9, b"a"), frame(1, b"b")].concat();
        assert_eq!(heard(sent.clone()).await, sent);
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

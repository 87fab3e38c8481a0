//! [`Pingless`]: a WebSocket connection whose server hears no pings, and so answers none.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A server's end of a connection, without the pings that the client sends.
#[derive(Debug)]
pub(super) struct Pingless<S> {
    io: S,
    place: Place,
    /// What was read and is to be heard.
    heard: VecDeque<u8>,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Place {
    /// The head of the upgrade request, whose last four bytes were these.
    Head([u8; 4]),
    /// The header of a frame, as far as it has come.
    Header(Vec<u8>),
    /// The rest of a frame: its length, and whether it is a ping's.
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

/// The payload's length, when the header is complete (RFC 6455 §5.2).
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

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

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

    #[tokio::test]
    async fn leaves_out_pings_and_nothing_else() {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let (text, close) = (frame(1, &[7; 300]), frame(8, b""));
        let sent =
            [head.clone(), frame(9, b"a"), text.clone(), frame(9, b""), frame(9, &[9; 125]), close.clone()];
        let mut heard = Vec::new();
        Pingless::new(&*sent.concat()).read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, [head, text, close].concat());
    }
}

//! [`Peer`]: a handwritten client, for behaviour that ours never shows.

use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::network::Line;

/// Any byte stream.
trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// A handwritten client: its socket, and the bytes that have arrived.
pub(super) struct Peer {
    io: Pin<Box<dyn Io>>,
    pub(super) read: Vec<u8>,
}

/// An upgrade request with this query and these subprotocols; without any it asks for plain mode.
pub(super) fn request(query: &str, protocols: &str) -> Vec<u8> {
    let protocols = match protocols {
        "" => String::new(),
        list => format!("sec-websocket-protocol: {list}\r\n"),
    };
    format!(
        "GET /?{query} HTTP/1.1\r\nhost: server.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocols}\r\n"
    )
    .into_bytes()
}

/// A masked WebSocket frame with this first byte; the masking key is zero.
pub(super) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()).expect("it is short") {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).expect("it is below 126")),
        long => {
            frame.push(0x80 | 126);
            frame.extend(long.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

impl Peer {
    /// Opens a socket that starts with these bytes.
    pub(super) async fn dial(line: &Line, bytes: &[u8]) -> Self {
        let io = line.dial().expect("dials are served");
        let mut peer = Self { io: Box::pin(io), read: Vec::new() };
        peer.write(bytes).await;
        peer
    }

    /// Dials, and reads until `text` has arrived.
    pub(super) async fn open(line: &Line, bytes: &[u8], text: &str) -> Self {
        let mut peer = Self::dial(line, bytes).await;
        while !peer.has(text) && peer.io.read_buf(&mut peer.read).await.is_ok_and(|count| count > 0) {}
        peer
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.read.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// The session's token, if an `$open` has arrived.
    pub(super) fn token(&self) -> Option<String> {
        let read = String::from_utf8_lossy(&self.read);
        let (_, rest) = read.split_once(r#""session":""#)?;
        Some(rest.split_once('"')?.0.to_owned())
    }

    /// Writes bytes. Bytes that cannot be written are lost, as on any socket that has ended.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.ok();
    }

    /// Finishes writing.
    pub(super) async fn finish(&mut self) {
        self.io.shutdown().await.ok();
    }

    /// Reads up to this many bytes. Returns their number; 0 at the end.
    pub(super) async fn take(&mut self, most: usize) -> io::Result<usize> {
        self.io.read(&mut vec![0; most]).await
    }

    /// Reads until the server has ended the socket.
    pub(super) async fn read_to_end(&mut self) {
        while self.io.read_buf(&mut self.read).await.is_ok_and(|count| count > 0) {}
    }
}

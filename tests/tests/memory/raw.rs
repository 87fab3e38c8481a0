//! A handwritten client in session mode, for offers and frames that ours never sends.

use futures_util::{SinkExt as _, StreamExt as _};
use rejoin_tests::harness::within;
use rejoin_tests::network::Line;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Any byte stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens a WebSocket with these subprotocols, or returns the HTTP status of the refusal.
pub(crate) async fn dial(
    line: &Line,
    id: &str,
    protocols: &str,
) -> Result<WebSocketStream<Box<dyn Io>>, u16> {
    let mut io: Box<dyn Io> = Box::new(line.dial().unwrap());
    io.write_all(request(&format!("/?id={id}"), protocols).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let head = loop {
        assert!(within("answer", io.read_buf(&mut answer)).await.unwrap() > 0, "no answer");
        if let Some(end) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let tail = answer.split_off(head);
    let status = str::from_utf8(&answer).unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    if status != 101 {
        return Err(status);
    }
    Ok(WebSocketStream::from_partially_read(io, tail, Role::Client, None).await)
}

/// An upgrade request for this path, with these subprotocols.
pub(crate) fn request(path: &str, protocols: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: server.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: {protocols}\r\n\r\n"
    )
}

/// The next text message.
pub(crate) async fn read(socket: &mut WebSocketStream<Box<dyn Io>>) -> String {
    let message = within("message", socket.next()).await.unwrap().unwrap();
    message.into_text().unwrap().as_str().to_owned()
}

pub(crate) async fn write(socket: &mut WebSocketStream<Box<dyn Io>>, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

/// The session's token, from its `$open`.
pub(crate) fn token(open: &str) -> &str {
    let (_, rest) = open.split_once(r#""session":""#).expect("an $open names its session");
    rest.split_once('"').expect("a string ends").0
}

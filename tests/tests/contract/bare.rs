//! [`Bare`]: a foreign WebSocket client without sessions.

use std::pin::Pin;

use futures_util::{SinkExt as _, StreamExt as _};
use rejoin_tests::harness::within;
use rejoin_tests::network::Line;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Any byte stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// A foreign WebSocket client. Dropping it ends its connection without a close frame.
pub(crate) struct Bare(WebSocketStream<Pin<Box<dyn Io>>>);

impl Bare {
    /// Connects on this line, with this query.
    pub(crate) async fn connect(line: &Line, query: &str) -> Result<Self, Error> {
        Self::over(line.dial()?, query).await
    }

    /// Connects over this stream, with this query.
    pub(crate) async fn over(io: impl Io + 'static, query: &str) -> Result<Self, Error> {
        let io: Pin<Box<dyn Io>> = Box::pin(io);
        let url = format!("ws://server.test/?{query}");
        let (stream, _) = within("upgrade", tokio_tungstenite::client_async(url, io)).await?;
        Ok(Self(stream))
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next text message.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The payload of the next frame, made by [`harness::number`](rejoin_tests::harness::number).
    pub(crate) async fn number(&mut self) -> u64 {
        let text = self.text().await;
        let number = text.strip_prefix(r#"{"event":"n","payload":"#).and_then(|rest| rest.strip_suffix('}'));
        number.unwrap_or_else(|| panic!("no number: {text}")).parse().unwrap()
    }

    pub(crate) async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            numbers.push(self.number().await);
        }
        numbers
    }

    /// Receives the server's close frame, as its code and reason, and answers it.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let Message::Close(Some(CloseFrame { code, reason })) = self.next().await else { panic!("no close") };
        let end = within("end", self.0.next()).await;
        assert!(end.is_none_or(|end| end.is_err()), "nothing comes after a close");
        (code.into(), reason.to_string())
    }

    /// Closes with 1000, and waits for the server's answer.
    pub(crate) async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while let Some(Ok(_)) = within("close", self.0.next()).await {}
    }

    async fn next(&mut self) -> Message {
        loop {
            match within("message", self.0.next()).await.unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
}

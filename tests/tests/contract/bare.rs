//! [`Bare`]: a foreign WebSocket client without sessions.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use rejoin_tests::harness::within;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A foreign WebSocket client. Dropping it closes its socket without a close frame.
pub(crate) struct Bare(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Bare {
    pub(crate) async fn connect(addr: SocketAddr, query: &str) -> Self {
        Self::try_connect(addr, query).await.unwrap()
    }

    pub(crate) async fn try_connect(addr: SocketAddr, query: &str) -> Result<Self, Error> {
        let url = format!("ws://{addr}/?{query}");
        let (stream, _) = within("upgrade", tokio_tungstenite::connect_async(url)).await?;
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

    /// Receives the server's close frame, as `1000 why`, and answers it.
    pub(crate) async fn closed(&mut self) -> String {
        let Message::Close(Some(CloseFrame { code, reason })) = self.next().await else { panic!("no close") };
        let end = within("end", self.0.next()).await;
        assert!(end.is_none_or(|end| end.is_err()), "nothing comes after a close");
        format!("{code} {reason}")
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

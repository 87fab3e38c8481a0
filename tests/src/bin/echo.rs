//! `rejoin-echo ADDR`: echoes every WebSocket message unchanged, for conformance test suites of RFC 6455.

use std::error::Error;

use bytes::Bytes;
use rejoin_server::{
    Codec, ConnectRequest, DecodeError, EncodeError, Frame, Identity, Message, MessageKind, Payload, Reject,
    Server,
};

/// Represents any message as a frame whose event says whether it is text or binary.
struct AnyMessage;

impl Codec for AnyMessage {
    fn name(&self) -> &str {
        "any"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        let kind = if frame.event() == "text" { MessageKind::Text } else { MessageKind::Binary };
        let data = frame.payload().map(|payload| payload.data().clone()).unwrap_or_default();
        Ok(Message { kind, data })
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        let event = if message.kind == MessageKind::Text { "text" } else { "binary" };
        Ok(Frame::event_only(event).with_payload(Payload::bytes(Bytes::clone(&message.data))))
    }
}

async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
    Ok(Identity::new().with_room("echo"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let server = Server::builder(connect)
        .codec(AnyMessage)
        .max_message_size(64 << 20)
        .send_buffer_bytes(64 << 20)
        .on_message(|connection, frame| async move {
            connection.send_wait(&frame).await.ok();
        })
        .build()?;
    let listening = server.listen(addr).await?;
    eprintln!("READY:{}", listening.local_addr().port());
    listening.closed().await;
    Ok(())
}

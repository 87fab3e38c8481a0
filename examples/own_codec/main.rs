//! A custom wire format: [`Compact`], some 30 lines of code, which carries bytes without overhead.
//!
//! A sensor uses it, a dashboard uses JSON, and both are in one room of one server. Run it:
//!
//! ```text
//! cargo run -p rejoin-examples --bin own_codec
//! ```
//!
//! It starts the server on a free port, connects both, lets the sensor send two frames and the dashboard one, and prints the frames
//! that each of them got:
//!
//! ```text
//! dashboard: reading as {"celsius":21.5}, in 46 bytes
//! sensor:    reading as {"celsius":21.5}, in 29 bytes
//! dashboard: picture of 6 bytes as "/9j/4AAQ", in 40 bytes
//! sensor:    picture of 6 bytes, in 19 bytes
//! dashboard: lamp as "on", in 31 bytes
//! sensor:    lamp as "on", in 14 bytes
//! ```
//!
//! JSON reaches both as the same text. Bytes reach the sensor as bytes and the dashboard as base64, which
//! [`Payload::to_bytes`] decodes. Each codec decides which payloads it carries and in which form.
//! `rejoin_codecs::conformance::check` checks the properties that rejoin relies on, in the test at the end.

use std::error::Error;
use std::time::Duration;

use rejoin_client::{Client, Event};
use rejoin_server::codecs::payloads;
use rejoin_server::{
    Codec, ConnectRequest, DecodeError, EncodeError, Frame, Identity, JsonCodec, Message, MessageKind,
    Payload, PayloadFormat, Reject, Server,
};

/// Encodes the texts of a frame, a letter for each flag that is set, and the payload, separated by a byte that UTF-8 never
/// contains. The payload is a letter for its format, followed by its bytes; an absent payload is empty.
struct Compact;

const END: u8 = 0xff;

impl Codec for Compact {
    /// Clients request this codec as the subprotocol `rejoin.v1.compact`.
    fn name(&self) -> &str {
        "compact"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        let more = if frame.more() { "m" } else { "" };
        let volatile = if frame.is_volatile() { "v" } else { "" };
        let flags = [more, volatile].concat();
        let texts = [frame.id(), frame.event(), frame.re(), frame.room(), &flags, ""];
        let mut data = texts.map(str::as_bytes).join(&END);
        if let Some(payload) = frame.payload() {
            let (letter, payload) = match payload.format() {
                PayloadFormat::Bytes => (b'b', payload.clone()),
                // A payload that cannot be represented is not delivered to clients of this codec; they get a gap report instead.
                _ => (b'j', payloads::as_json(payload)?),
            };
            data.push(letter);
            data.extend_from_slice(payload.data());
        }
        Ok(Message::binary(data))
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        if message.kind != MessageKind::Binary {
            return Err(DecodeError::NotAFrame("text message".into()));
        }
        let parts: Vec<&[u8]> = message.data.splitn(6, |byte| *byte == END).collect();
        let [id, event, re, room, flags, rest] = parts[..] else {
            return Err(DecodeError::Malformed("cut short".into()));
        };
        let frame =
            Frame::event_only(utf8(event)?).with_id(utf8(id)?).with_re(utf8(re)?).with_room(utf8(room)?);
        let frame = frame.with_more(flags.contains(&b'm')).with_volatile(flags.contains(&b'v'));
        match rest.split_first() {
            None => Ok(frame),
            // Other codecs copy the text into their messages unchanged, so check that it is JSON.
            Some((b'j', json)) => Ok(frame.with_payload(payloads::json(&message.data.slice_ref(json))?)),
            // Shares the message's memory, as the JSON payload does.
            Some((b'b', bytes)) => Ok(frame.with_payload(Payload::bytes(message.data.slice_ref(bytes)))),
            Some(_) => Err(DecodeError::Malformed("unknown letter before the payload".into())),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).map_err(|error| DecodeError::Malformed(error.to_string().into()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();
    for line in run().await? {
        println!("{line}");
    }
    Ok(())
}

/// Returns a description of each frame that the dashboard and the sensor got.
async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    // The first codec is also the one for clients in plain mode. Clients in session mode request one by name.
    let server = Server::builder(connect)
        .codec(Compact)
        .codec(JsonCodec)
        .on_message(|connection, frame| async move {
            // To every member of the room, the sender included. Encoded once for all sensors and once for all dashboards.
            connection.broadcast(&frame).ok();
        })
        .build()?;
    let listening = server.listen("127.0.0.1:0").await?;
    let url = format!("ws://{}/?room=greenhouse", listening.local_addr());
    let mut dashboard = Client::builder(&*url).connect().await?;
    let mut sensor = Client::builder(&*url).codec(Compact).connect().await?;

    sensor.send(&Frame::new("reading", &Reading { celsius: 21.5 })?)?;
    sensor
        .send(&Frame::event_only("picture").with_payload(Payload::bytes(&b"\xff\xd8\xff\xe0\0\x10"[..])))?;
    let mut lines = Vec::new();
    for said in 1..=3 {
        lines.push(format!("dashboard: {}", describe(dashboard.recv().await, &JsonCodec)?));
        lines.push(format!("sensor:    {}", describe(sensor.recv().await, &Compact)?));
        if said == 2 {
            dashboard.send(&Frame::new("lamp", "on")?)?;
        }
    }

    sensor.close().await;
    dashboard.close().await;
    server.shutdown(Duration::from_secs(1)).await;
    Ok(lines)
}

async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    let room = request.query("room").ok_or_else(|| Reject::unauthorized("which room?"))?;
    Ok(Identity::new().with_room(room))
}

#[derive(serde::Serialize)]
struct Reading {
    celsius: f64,
}

fn describe(event: Option<Event>, codec: &dyn Codec) -> Result<String, Box<dyn Error>> {
    let Some(Event::Message(frame)) = event else {
        return Err(format!("{event:?} instead of a message").into());
    };
    let payload = frame.payload().ok_or("no payload")?;
    let mut value = String::new();
    if frame.event() == "picture" {
        value = format!(" of {} bytes", payload.to_bytes()?.len());
    }
    if payload.format() == PayloadFormat::Json {
        value = format!("{value} as {}", utf8(payload.data())?);
    }
    let size = codec.encode(&frame)?.data.len();
    Ok(format!("{}{value}, in {size} bytes", frame.event()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codec_passes_the_conformance_check() {
        rejoin_codecs::conformance::check(&Compact);
    }

    #[tokio::test]
    async fn both_members_get_each_message() {
        let documentation = include_str!("main.rs");
        for line in run().await.unwrap() {
            assert!(documentation.contains(&format!("//! {line}\n")), "{line}");
        }
    }
}

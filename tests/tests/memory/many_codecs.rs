//! One room with several codecs: a broadcast is encoded once for each of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rejoin_client::{Connection, Event};
use rejoin_server::{
    BroadcastError, Builder, CloseReason, Codec, DecodeError, EncodeError, Frame, JsonCodec, Message,
    MsgpackCodec, Payload, PayloadFormat, ProtobufCodec,
};
use rejoin_tests::harness::{Heard, Recorder, What, closed, message, next, numbers};
use rejoin_tests::network::Line;
use serde_json::{Value, json};

use crate::server;

/// Counts the data frames that a codec encodes.
struct Counting<C> {
    codec: C,
    encoded: Arc<AtomicUsize>,
}

impl<C: Codec> Counting<C> {
    fn new(codec: C) -> (Self, Arc<AtomicUsize>) {
        let encoded = Arc::new(AtomicUsize::new(0));
        (Self { codec, encoded: encoded.clone() }, encoded)
    }
}

impl<C: Codec> Codec for Counting<C> {
    fn name(&self) -> &str {
        self.codec.name()
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        self.encoded.fetch_add(1, Ordering::Relaxed);
        self.codec.encode(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        self.codec.decode(message)
    }

    fn encode_control(&self, event: &str, json: Option<Bytes>) -> Result<Message, EncodeError> {
        self.codec.encode_control(event, json)
    }
}

/// An application codec: JSON in binary messages, without ids.
struct Own;

impl Codec for Own {
    fn name(&self) -> &str {
        "own"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        if !frame.id().is_empty() {
            return Err(EncodeError::new("an id"));
        }
        JsonCodec.encode(frame).map(|message| Message::binary(message.data))
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        let text = String::from_utf8(message.data.to_vec());
        JsonCodec.decode(Message::text(text.map_err(|_| DecodeError::Malformed("no UTF-8".into()))?))
    }
}

fn all_codecs(builder: Builder) -> Builder {
    builder.codec(JsonCodec).codec(MsgpackCodec).codec(ProtobufCodec).codec(Own)
}

/// A client that has connected with this codec.
async fn client(line: &Line, log: &mut Recorder, codec: impl Codec) -> Connection {
    let connection = line.client("/").codec(codec).connect().await.unwrap();
    log.connected().await;
    connection
}

async fn one_of_each(line: &Line, log: &mut Recorder) -> [Connection; 4] {
    [
        client(line, log, JsonCodec).await,
        client(line, log, MsgpackCodec).await,
        client(line, log, ProtobufCodec).await,
        client(line, log, Own).await,
    ]
}

//= PROTOCOL.md#R2.6: once for each codec present, not once for each receiver
#[tokio::test(start_paused = true)]
async fn broadcast_is_encoded_once_per_codec_in_room() {
    let (json, json_encoded) = Counting::new(JsonCodec);
    let (msgpack, msgpack_encoded) = Counting::new(MsgpackCodec);
    let (protobuf, protobuf_encoded) = Counting::new(ProtobufCodec);
    let (own, own_encoded) = Counting::new(Own);
    let (server, mut log) = server(|builder| builder.codec(json).codec(msgpack).codec(protobuf).codec(own));
    let encoded = || {
        [&json_encoded, &msgpack_encoded, &protobuf_encoded, &own_encoded]
            .map(|count| count.load(Ordering::Relaxed))
    };
    let line = Line::to(&server);
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(client(&line, &mut log, JsonCodec).await);
        members.push(client(&line, &mut log, MsgpackCodec).await);
        members.push(client(&line, &mut log, ProtobufCodec).await);
    }
    let value = json!({"text": "ä", "numbers": [1, -2, 2.5, null]});
    for n in 1..=5 {
        assert_eq!(server.broadcast("room", &Frame::new("n", &value).unwrap()), Ok(9));
        assert_eq!(encoded(), [n, n, n, 0], "no member of the room uses the fourth codec");
    }
    members.push(client(&line, &mut log, Own).await);
    assert_eq!(server.broadcast("room", &Frame::new("n", &value).unwrap()), Ok(10));
    assert_eq!(encoded(), [6, 6, 6, 1]);
    for (index, member) in members.iter_mut().enumerate() {
        for _ in 0..if index < 9 { 6 } else { 1 } {
            assert_eq!(message(member).await.decode::<Value>().unwrap(), value);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn members_of_all_codecs_read_each_other() {
    let (server, mut log) = server(|builder| {
        all_codecs(builder).on_message(|connection, frame| async move {
            connection.broadcast(&frame).unwrap();
        })
    });
    let line = Line::to(&server);
    let mut members = one_of_each(&line, &mut log).await;
    let value = json!({"a": [1, -2, 2.5, "é", null, true], "b": {"c": [], "": 18446744073709551615_u64}});
    for sender in 0..members.len() {
        for frame in [Frame::new("e", &value).unwrap(), Frame::msgpack("e", &value).unwrap()] {
            members[sender].send(&frame).unwrap();
            for member in &mut members {
                assert_eq!(message(member).await.decode::<Value>().unwrap(), value);
            }
        }
        members[sender].send(&Frame::event_only("e").with_payload(Payload::bytes(&b"\0\xff"[..]))).unwrap();
        for member in &mut members {
            assert_eq!(message(member).await.payload().unwrap().to_bytes().unwrap(), &b"\0\xff"[..]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unrepresentable_value_is_gap_for_that_codec() {
    let (server, mut log) = server(all_codecs);
    let line = Line::to(&server);
    let mut members = one_of_each(&line, &mut log).await;
    // Nested arrays, deeper than JSON allows.
    let deep = [&b"\x91".repeat(200)[..], b"\xc0"].concat();
    let deep = Frame::event_only("e").with_payload(Payload::from_parts(PayloadFormat::Msgpack, deep.into()));
    assert_eq!(server.broadcast("room", &deep), Ok(2));
    assert_eq!(server.broadcast("room", &Frame::new("n", &1).unwrap().with_id("id")), Ok(3));
    assert_eq!(server.broadcast("room", &Frame::new("n", &2).unwrap()), Ok(4));

    let [json, msgpack, protobuf, own] = &mut members;
    for member in [msgpack, protobuf] {
        assert_eq!(message(member).await, deep);
        assert_eq!(numbers(member, 2).await, [1, 2]);
    }
    assert_eq!(next(json).await, Heard::gap(1, 1));
    assert_eq!(numbers(json, 2).await, [1, 2]);
    // Two consecutive gaps may be merged.
    let first = next(own).await;
    if first == Heard::gap(1, 1) {
        assert_eq!(next(own).await, Heard::gap(2, 2));
    } else {
        assert_eq!(first, Heard::gap(1, 2));
    }
    assert_eq!(numbers(own, 1).await, [2]);
    assert_eq!(server.stats().dropped, 3);
}

/// Cannot encode the event `odd`, and panics when it encodes the gap in its place, or decodes the event `boom`.
struct Panics;

impl Codec for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        if frame.event() == "odd" { Err(EncodeError::new("it is odd")) } else { JsonCodec.encode(frame) }
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        let frame = JsonCodec.decode(message)?;
        assert_ne!(frame.event(), "boom", "on purpose");
        Ok(frame)
    }

    fn encode_control(&self, event: &str, json: Option<Bytes>) -> Result<Message, EncodeError> {
        assert_ne!(event, "$gap", "on purpose");
        JsonCodec.encode_control(event, json)
    }
}

#[tokio::test(start_paused = true)]
async fn codec_panic_in_fan_out_ends_its_member() {
    let (server, mut log) = server(|builder| builder.codec(Panics).codec(JsonCodec));
    let line = Line::to(&server);
    let mut ada = client(&line, &mut log, Panics).await;
    let mut ben = client(&line, &mut log, JsonCodec).await;
    let since = tokio::time::Instant::now();
    assert_eq!(server.broadcast("room", &Frame::event_only("odd")), Ok(1));
    assert!(matches!(ben.recv().await, Some(Event::Message(_))));
    assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(1011, "handler panicked")));
    assert_eq!(log.next().await.what, What::Disconnected(CloseReason::HandlerPanicked));
    assert!(since.elapsed().is_zero(), "before the next ping");
}

#[tokio::test(start_paused = true)]
async fn codec_panic_on_a_message_ends_its_sender() {
    let (server, mut log) = server(|builder| builder.codec(Panics));
    let line = Line::to(&server);
    let mut ada = client(&line, &mut log, Panics).await;
    let _ben = client(&line, &mut log, Panics).await;
    ada.send(&Frame::event_only("boom")).unwrap();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(1011, "handler panicked")));
    assert_eq!(log.next().await.what, What::Disconnected(CloseReason::HandlerPanicked));
    assert_eq!(server.stats().connections, 1, "the other one goes on");
}

#[tokio::test(start_paused = true)]
async fn broadcast_no_codec_can_encode_fails() {
    let (server, mut log) = server(all_codecs);
    let line = Line::to(&server);
    let mut member = client(&line, &mut log, Own).await;
    let frame = Frame::new("n", &1).unwrap().with_id("id");
    let error = server.broadcast("room", &frame).unwrap_err();
    assert_eq!(error, BroadcastError::Encode(EncodeError::new("an id")));
    assert_eq!(next(&mut member).await, Heard::gap(1, 1));
}

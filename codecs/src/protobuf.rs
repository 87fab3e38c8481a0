//! [`ProtobufCodec`]: a frame as a Protobuf message in a binary message.

use rejoin_core::{Codec, DecodeError, EncodeError, Frame, Message, MessageKind, Payload, PayloadFormat};

use crate::transcode::{json_payload, msgpack_payload};

mod wire;
use wire::{WireReader, WireValue, malformed};

/// Protobuf in binary messages: the message `Frame` of `proto/rejoin/v1/frame.proto`, which this crate ships for
/// implementations in other languages (PROTOCOL.md §2). Its name is `protobuf`.
///
/// Encoding:
/// - Fields that are present are written in the order of their numbers: `payload` even if it is empty, and `format` if it is not
///   the default, bytes.
/// - A payload of any format is copied byte for byte, and never transcoded.
///
/// Decoding:
/// - Fields may be in any order; the last one of duplicates counts. Unknown fields are skipped, including groups of any depth.
/// - An empty string is the same as an absent one, and so is a false. A `format` without a payload is ignored.
/// - `payload` is kept byte for byte, except for whitespace around a JSON text. It shares the message's memory if it is at least
///   half of the message. Otherwise it is copied, so that a small payload does not keep a large message alive. JSON and
///   MessagePack cost one pass over their bytes for validation, because other codecs copy them without checking them.
/// - A MessagePack payload that is a `bin` becomes [`PayloadFormat::Bytes`] with its contents.
///
/// Errors:
/// - [`DecodeError::Malformed`] if the message violates Protobuf's wire format anywhere, if a string is not UTF-8, or if the
///   payload is not exactly one value of its `format`.
/// - [`DecodeError::NotAFrame`] for a text message, for a field of `Frame` with a wire type that does not match, and for an
///   unknown `format`.
///
/// ```
/// use rejoin_codecs::ProtobufCodec;
/// use rejoin_core::{Codec, Frame, Payload};
///
/// let frame = Frame::event_only("e").with_payload(Payload::bytes("abc"));
/// let message = ProtobufCodec.encode(&frame)?;
/// assert_eq!(&message.data[..], b"\x12\x01e\x1a\x03abc");
/// assert_eq!(ProtobufCodec.decode(message)?, frame);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs, reason = "the protocol leaves nothing to choose")]
pub struct ProtobufCodec;

// Field numbers of `Frame`, and values of `PayloadFormat`.
const ID: u32 = 1;
const EVENT: u32 = 2;
const PAYLOAD: u32 = 3;
const FORMAT: u32 = 4;
const RE: u32 = 5;
const VOLATILE: u32 = 6;
const MORE: u32 = 7;
const ROOM: u32 = 8;

const BYTES: i32 = 0;
const JSON: i32 = 1;
const MSGPACK: i32 = 2;

impl Codec for ProtobufCodec {
    fn name(&self) -> &str {
        "protobuf"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        let names = [(ID, frame.id()), (EVENT, frame.event())];
        let (re, room) = (frame.re(), frame.room());
        let flags = [(VOLATILE, frame.is_volatile()), (MORE, frame.more())];
        let format = frame.payload().map_or(Ok(BYTES), format_number)?;
        let mut len = 0;
        for (_, text) in names.iter().chain(&[(RE, re), (ROOM, room)]).filter(|(_, text)| !text.is_empty()) {
            len += wire::bytes_len(text.len());
        }
        len += flags.iter().filter(|(_, is_set)| *is_set).count() * wire::SMALL_INT_LEN;
        if let Some(payload) = frame.payload() {
            len += wire::bytes_len(payload.data().len());
        }
        if format != BYTES {
            len += wire::SMALL_INT_LEN;
        }
        // With the exact capacity, `Bytes` uses the allocation without a copy.
        let mut data = Vec::with_capacity(len);
        for (number, name) in names.iter().filter(|(_, name)| !name.is_empty()) {
            wire::write_bytes(&mut data, *number, name.as_bytes());
        }
        if let Some(payload) = frame.payload() {
            wire::write_bytes(&mut data, PAYLOAD, payload.data());
        }
        if format != BYTES {
            wire::write_small_int(&mut data, FORMAT, format as u8);
        }
        if !re.is_empty() {
            wire::write_bytes(&mut data, RE, re.as_bytes());
        }
        for (number, _) in flags.iter().filter(|(_, is_set)| *is_set) {
            wire::write_small_int(&mut data, *number, 1);
        }
        if !room.is_empty() {
            wire::write_bytes(&mut data, ROOM, room.as_bytes());
        }
        debug_assert_eq!(data.len(), len);
        Ok(Message::binary(data))
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        if message.kind != MessageKind::Binary {
            return Err(not_a_frame("text message where the format is binary"));
        }
        let fields = Fields::read(&message.data)?;
        let mut frame = Frame::event_only(fields.event).with_id(fields.id);
        if fields.has_rare {
            frame = frame
                .with_re(fields.re)
                .with_room(fields.room)
                .with_more(fields.more)
                .with_volatile(fields.volatile);
        }
        match fields.payload {
            Some(payload) => Ok(frame.with_payload(read_payload(&message, payload, fields.format)?)),
            None => Ok(frame),
        }
    }
}

/// The unparsed fields of a `Frame`; absent fields have their defaults.
#[derive(Default)]
struct Fields<'a> {
    id: &'a str,
    event: &'a str,
    payload: Option<&'a [u8]>,
    format: i32,
    re: &'a str,
    room: &'a str,
    more: bool,
    volatile: bool,
    /// Whether one of the four above may be present.
    has_rare: bool,
}

impl<'a> Fields<'a> {
    /// Reads the whole message before it reports a field of the wrong type, so that a malformed field after it is detected.
    fn read(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = WireReader::new(data);
        let mut fields = Self::default();
        let mut mistyped = None;
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (ID, WireValue::Bytes(id)) => fields.id = read_string(id, "id is not UTF-8")?,
                (EVENT, WireValue::Bytes(event)) => fields.event = read_string(event, "event is not UTF-8")?,
                (PAYLOAD, WireValue::Bytes(payload)) => fields.payload = Some(payload),
                // An enum is an int32; longer numbers are truncated to their low bits.
                (FORMAT, WireValue::Int(format)) => fields.format = format as i32,
                (RE..=ROOM, value) => {
                    mistyped = fields.read_rare(number, &value)?.or(mistyped);
                }
                (ID, _) => mistyped = Some("id is not a string"),
                (EVENT, _) => mistyped = Some("event is not a string"),
                (PAYLOAD, _) => mistyped = Some("payload is not bytes"),
                (FORMAT, _) => mistyped = Some("format is not a number"),
                _ => {}
            }
        }
        mistyped.map_or(Ok(fields), |what| Err(not_a_frame(what)))
    }

    /// Reads one of the fields from `RE` to `ROOM`. Returns the fault of its type, if there is one.
    fn read_rare(&mut self, number: u32, value: &WireValue<'a>) -> Result<Option<&'static str>, DecodeError> {
        self.has_rare = true;
        match (number, value) {
            (RE, WireValue::Bytes(re)) => self.re = read_string(re, "re is not UTF-8")?,
            (ROOM, WireValue::Bytes(room)) => self.room = read_string(room, "room is not UTF-8")?,
            (MORE, WireValue::Int(more)) => self.more = *more != 0,
            (VOLATILE, WireValue::Int(volatile)) => self.volatile = *volatile != 0,
            (RE, _) => return Ok(Some("re is not a string")),
            (ROOM, _) => return Ok(Some("room is not a string")),
            (MORE, _) => return Ok(Some("more is not a boolean")),
            _ => return Ok(Some("volatile is not a boolean")),
        }
        Ok(None)
    }
}

fn read_string<'a>(data: &'a [u8], why: &'static str) -> Result<&'a str, DecodeError> {
    str::from_utf8(data).map_err(|_| malformed(why))
}

/// Creates the payload from `data`, which is a part of `message`.
fn read_payload(message: &Message, data: &[u8], format: i32) -> Result<Payload, DecodeError> {
    let bytes = if data.len() * 2 >= message.data.len() {
        message.data.slice_ref(data)
    } else {
        data.to_vec().into()
    };
    match format {
        BYTES => Ok(Payload::bytes(bytes)),
        JSON => json_payload(&bytes).map_err(|why| DecodeError::Malformed(format!("payload: {why}").into())),
        MSGPACK => {
            msgpack_payload(&bytes).map_err(|why| DecodeError::Malformed(format!("payload: {why}").into()))
        }
        _ => Err(not_a_frame("unknown payload format")),
    }
}

fn format_number(payload: &Payload) -> Result<i32, EncodeError> {
    match payload.format() {
        PayloadFormat::Bytes => Ok(BYTES),
        PayloadFormat::Json => Ok(JSON),
        PayloadFormat::Msgpack => Ok(MSGPACK),
        other => Err(EncodeError::new(format!("a payload in {other}, which Protobuf frames cannot name"))),
    }
}

fn not_a_frame(why: &'static str) -> DecodeError {
    DecodeError::NotAFrame(why.into())
}

#[cfg(test)]
mod tests;

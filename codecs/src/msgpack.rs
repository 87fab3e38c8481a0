//! [`MsgpackCodec`]: a frame as a MessagePack map in a binary message.

use bytes::Bytes;
use rejoin_core::{Codec, DecodeError, EncodeError, Frame, Message, MessageKind, Payload, PayloadFormat};

use crate::transcode::{MalformedMsgPack, MsgPackToken, Reader, to_msgpack, write_bin, write_str};

/// MessagePack in binary messages: a map with the string keys `id`, `event`, `payload` and rarer ones, without absent members
/// (PROTOCOL.md §2). Its name is `msgpack`.
///
/// Encoding:
/// - Every head has the shortest format.
/// - A MessagePack payload is copied byte for byte, without another check.
/// - A JSON payload is transcoded by the [table of encodings](crate#encodings). If it is not JSON, or nested too deeply, encoding
///   fails with an [`EncodeError`].
/// - Opaque bytes ([`PayloadFormat::Bytes`]) become `bin`.
/// - The JSON of a control frame becomes text in `bin` (PROTOCOL.md §3).
///
/// Decoding:
/// - Members may be in any order and in any valid format, shortest or not. Other members are ignored, whatever their contents
///   and depth, and so are keys that are not strings.
/// - An empty string is the same as an absent one, and so is false, except in `payload`.
/// - `payload` keeps its value byte for byte; nil is a payload. If it is a `bin`, it becomes opaque bytes. The payload shares the
///   message's memory if it is at least half of the message. Otherwise it is copied, so that a small payload does not keep a
///   large message alive.
///
/// Errors:
/// - [`DecodeError::Malformed`] if the message is not exactly one MessagePack value (it is truncated, has trailing bytes, or
///   contains the reserved marker 0xc1), or if `id`, `event`, `re` or `room` is not UTF-8. Other strings are not validated.
/// - [`DecodeError::NotAFrame`] for a text message; for MessagePack that is not a map; for an `id`, `event`, `re` or
///   `room` that is not a string (nil included); for a `more` or `volatile` that is not a boolean; for a duplicate member,
///   because parsers differ in which one they use.
///
/// ```
/// use rejoin_codecs::MsgpackCodec;
/// use rejoin_core::{Codec, Message, PayloadFormat};
///
/// let message = Message::binary(&b"\x82\xa5event\xa4move\xa7payload\x81\xa1x\x01"[..]);
/// let frame = MsgpackCodec.decode(message.clone())?;
/// assert_eq!(frame.event(), "move");
/// assert_eq!(frame.payload().unwrap().format(), PayloadFormat::Msgpack);
/// assert_eq!(MsgpackCodec.encode(&frame).unwrap(), message);
/// # Ok::<(), rejoin_core::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs, reason = "the protocol leaves nothing to choose")]
pub struct MsgpackCodec;

impl Codec for MsgpackCodec {
    fn name(&self) -> &str {
        "msgpack"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        let payload_len = frame.payload().map_or(0, |payload| payload.data().len());
        let texts =
            [("id", frame.id()), ("re", frame.re()), ("event", frame.event()), ("room", frame.room())];
        let flags = [("more", frame.more()), ("volatile", frame.is_volatile())];
        let texts_len: usize = texts.iter().map(|(_, value)| value.len()).sum();
        let mut out = Vec::with_capacity(HEADS + texts_len + payload_len);
        let texts = texts.iter().filter(|(_, value)| !value.is_empty());
        let flags = flags.iter().filter(|(_, is_set)| *is_set);
        // A map of at most seven members, whose head is one byte.
        let len = texts.clone().count() + flags.clone().count() + usize::from(frame.payload().is_some());
        out.push(0x80 + len as u8);
        for (name, value) in texts {
            write_str(&mut out, name)?;
            write_str(&mut out, value)?;
        }
        for (name, _) in flags {
            write_str(&mut out, name)?;
            out.push(TRUE);
        }
        if let Some(payload) = frame.payload() {
            write_str(&mut out, "payload")?;
            write_payload(&mut out, payload)?;
        }
        // Free excess capacity, because the message may stay in send buffers for a long time.
        out.shrink_to_fit();
        Ok(Message::binary(out))
    }

    //= PROTOCOL.md#R3.5: JSON text in `bin` in msgpack
    fn encode_control(&self, event: &str, json: Option<Bytes>) -> Result<Message, EncodeError> {
        let frame = Frame::event_only(event);
        self.encode(&match json {
            Some(text) => frame.with_payload(Payload::bytes(text)),
            None => frame,
        })
    }

    //= PROTOCOL.md#R2.2: a map with these string keys
    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        if message.kind != MessageKind::Binary {
            return Err(not_a_frame("text message where the format is binary"));
        }
        let data = message.data;
        let members = MsgPackMembers::read(&data)?;
        let id = members.id.unwrap_or(Ok("")).map_err(not_a_frame)?;
        let event = members.event.unwrap_or(Ok("")).map_err(not_a_frame)?;
        if let Some(why) = members.refusal {
            return Err(not_a_frame(why));
        }
        let mut frame = Frame::event_only(event).with_id(id);
        if members.has_rare {
            frame = frame
                .with_re(members.re.unwrap_or(Ok("")).map_err(not_a_frame)?)
                .with_room(members.room.unwrap_or(Ok("")).map_err(not_a_frame)?)
                .with_more(members.more.unwrap_or(Ok(false)).map_err(not_a_frame)?)
                .with_volatile(members.volatile.unwrap_or(Ok(false)).map_err(not_a_frame)?);
        }
        let Some(payload) = members.payload else {
            return Ok(frame);
        };
        let (format, payload) = match Reader::new(payload).token().map_err(malformed)? {
            MsgPackToken::Bin(bytes) => (PayloadFormat::Bytes, bytes),
            _ => (PayloadFormat::Msgpack, payload),
        };
        let payload =
            if payload.len() * 2 >= data.len() { data.slice_ref(payload) } else { payload.to_vec().into() };
        Ok(frame.with_payload(Payload::from_parts(format, payload)))
    }
}

/// Length of everything but the values of a frame without rare members, at most: the head of the map, the names with their
/// heads, and the heads of the values.
const HEADS: usize = 1 + 3 + 6 + 8 + 3 * 5;

const TRUE: u8 = 0xc3;

/// The unparsed members of a frame. The whole message is valid MessagePack if these were read from it, so a wrong type does not
/// hide a malformed value after it.
#[derive(Default)]
struct MsgPackMembers<'a> {
    id: Option<Result<&'a str, &'static str>>,
    event: Option<Result<&'a str, &'static str>>,
    payload: Option<&'a [u8]>,
    re: Option<Result<&'a str, &'static str>>,
    room: Option<Result<&'a str, &'static str>>,
    more: Option<Result<bool, &'static str>>,
    volatile: Option<Result<bool, &'static str>>,
    /// Whether one of the four above is present.
    has_rare: bool,
    /// Why the message is not a frame, regardless of its members.
    refusal: Option<&'static str>,
}

impl<'a> MsgPackMembers<'a> {
    fn read(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut members = Self::default();
        let mut reader = Reader::new(data);
        let whole = reader.clone();
        if let MsgPackToken::Map(len) = reader.token().map_err(malformed)? {
            for _ in 0..len {
                members.read_member(&mut reader)?;
            }
        } else {
            reader = whole;
            reader.value().map_err(malformed)?;
            members.refusal = Some("MessagePack, but not a map");
        }
        reader.finish().map_err(malformed)?;
        Ok(members)
    }

    fn read_member(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let key = reader.value().map_err(malformed)?;
        let value = reader.value().map_err(malformed)?;
        let is_repeated = match Reader::new(key).token().map_err(malformed)? {
            MsgPackToken::Str(b"id") => self.id.replace(read_str(value, "id is not a string")?).is_some(),
            MsgPackToken::Str(b"event") => {
                self.event.replace(read_str(value, "event is not a string")?).is_some()
            }
            MsgPackToken::Str(b"payload") => self.payload.replace(value).is_some(),
            MsgPackToken::Str(name) => self.read_rare(name, value)?,
            _ => false,
        };
        if is_repeated {
            self.refusal = Some("duplicate member");
        }
        Ok(())
    }

    /// Reads a member that most frames do not have; others are ignored. Returns whether it is repeated.
    fn read_rare(&mut self, name: &[u8], value: &'a [u8]) -> Result<bool, DecodeError> {
        let is_repeated = match name {
            b"re" => self.re.replace(read_str(value, "re is not a string")?).is_some(),
            b"room" => self.room.replace(read_str(value, "room is not a string")?).is_some(),
            b"more" => self.more.replace(read_bool(value, "more is not a boolean")?).is_some(),
            b"volatile" => self.volatile.replace(read_bool(value, "volatile is not a boolean")?).is_some(),
            _ => return Ok(false),
        };
        self.has_rare = true;
        Ok(is_repeated)
    }
}

/// Reads a boolean. Returns `why` if the value is another type, like [`read_str`].
fn read_bool(value: &[u8], why: &'static str) -> Result<Result<bool, &'static str>, DecodeError> {
    Ok(match Reader::new(value).token().map_err(malformed)? {
        MsgPackToken::Bool(value) => Ok(value),
        _ => Err(why),
    })
}

/// Reads a string. Returns `why` if the value is not a string, so that the rest of the message is still validated.
fn read_str<'a>(value: &'a [u8], why: &'static str) -> Result<Result<&'a str, &'static str>, DecodeError> {
    match Reader::new(value).token().map_err(malformed)? {
        MsgPackToken::Str(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Ok(Ok(text)),
            Err(error) => Err(DecodeError::Malformed(error.to_string().into())),
        },
        _ => Ok(Err(why)),
    }
}

fn write_payload(out: &mut Vec<u8>, payload: &Payload) -> Result<(), EncodeError> {
    match payload.format() {
        PayloadFormat::Json => to_msgpack(payload.data(), out),
        PayloadFormat::Msgpack => {
            out.extend_from_slice(payload.data());
            Ok(())
        }
        PayloadFormat::Bytes => write_bin(out, payload.data()),
        other => Err(EncodeError::new(format!("a payload of format {other:?} in MessagePack"))),
    }
}

#[cold]
fn malformed(why: MalformedMsgPack) -> DecodeError {
    DecodeError::Malformed(why.to_string().into())
}

fn not_a_frame(why: &'static str) -> DecodeError {
    DecodeError::NotAFrame(why.into())
}

#[cfg(test)]
mod tests;

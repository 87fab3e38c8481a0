//! [`MsgpackCodec`]: a frame as a MessagePack map in a binary message.

use bytes::Bytes;
use rejoin_core::{Codec, DecodeError, EncodeError, Frame, Message, MessageKind, Payload, PayloadFormat};

use crate::transcode::{Malformed, Reader, Token, to_msgpack, write_bin, write_map_head, write_str};

/// MessagePack in binary messages: a map with the string keys `id`, `event` and `payload`, without absent members (PROTOCOL.md
/// §2). Its name is `msgpack`.
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
/// - An empty `id` or `event` is the same as an absent one.
/// - `payload` keeps its value byte for byte; nil is a payload. If it is a `bin`, it becomes opaque bytes. The payload shares the
///   message's memory if it is at least half of the message. Otherwise it is copied, so that a small payload does not keep a
///   large message alive.
///
/// Errors:
/// - [`DecodeError::Malformed`] if the message is not exactly one MessagePack value (it is truncated, has trailing bytes, or
///   contains the reserved marker 0xc1), or if `id` or `event` is not UTF-8. Other strings are not validated.
/// - [`DecodeError::NotAFrame`] for a text message; for MessagePack that is not a map; for an `id` or `event` that is not a
///   string (nil included); for a duplicate `id`, `event` or `payload`, because parsers differ in which one they use.
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
        let mut out = Vec::with_capacity(HEADS + frame.id().len() + frame.event().len() + payload_len);
        let texts = [("id", frame.id()), ("event", frame.event())];
        let texts = texts.iter().filter(|(_, value)| !value.is_empty());
        let len = texts.clone().count() + usize::from(frame.payload().is_some());
        write_map_head(&mut out, len as u32);
        for (name, value) in texts {
            write_str(&mut out, name)?;
            write_str(&mut out, value)?;
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

    //= PROTOCOL.md#R2.2: a map with the string keys `id`, `event`, `payload`
    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        if message.kind != MessageKind::Binary {
            return Err(not_a_frame("text message where the format is binary"));
        }
        let data = message.data;
        let members = Members::read(&data)?;
        let id = members.id.unwrap_or(Ok("")).map_err(not_a_frame)?;
        let event = members.event.unwrap_or(Ok("")).map_err(not_a_frame)?;
        if let Some(why) = members.refusal {
            return Err(not_a_frame(why));
        }
        let frame = Frame::event_only(event).with_id(id);
        let Some(payload) = members.payload else {
            return Ok(frame);
        };
        let (format, payload) = match Reader::new(payload).token().map_err(malformed)? {
            Token::Bin(bytes) => (PayloadFormat::Bytes, bytes),
            _ => (PayloadFormat::Msgpack, payload),
        };
        let payload =
            if payload.len() * 2 >= data.len() { data.slice_ref(payload) } else { payload.to_vec().into() };
        Ok(frame.with_payload(Payload::from_parts(format, payload)))
    }
}

/// Maximum length of everything but the values: the head of the map, the names with their heads, and the heads of the values.
const HEADS: usize = 1 + 3 + 6 + 8 + 3 * 5;

/// The unparsed members of a frame. The whole message is valid MessagePack if these were read from it, so a wrong type does not
/// hide a malformed value after it.
#[derive(Default)]
struct Members<'a> {
    id: Option<Result<&'a str, &'static str>>,
    event: Option<Result<&'a str, &'static str>>,
    payload: Option<&'a [u8]>,
    /// Why the message is not a frame, regardless of its members.
    refusal: Option<&'static str>,
}

impl<'a> Members<'a> {
    fn read(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut members = Self::default();
        let mut reader = Reader::new(data);
        let whole = reader.clone();
        if let Token::Map(len) = reader.token().map_err(malformed)? {
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
            Token::Str(b"id") => self.id.replace(read_str(value, "id is not a string")?).is_some(),
            Token::Str(b"event") => self.event.replace(read_str(value, "event is not a string")?).is_some(),
            Token::Str(b"payload") => self.payload.replace(value).is_some(),
            _ => false,
        };
        if is_repeated {
            self.refusal = Some("duplicate member");
        }
        Ok(())
    }
}

/// Reads a string. Returns `why` if the value is not a string, so that the rest of the message is still validated.
fn read_str<'a>(value: &'a [u8], why: &'static str) -> Result<Result<&'a str, &'static str>, DecodeError> {
    match Reader::new(value).token().map_err(malformed)? {
        Token::Str(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Ok(Ok(text)),
            Err(error) => Err(DecodeError::Malformed(error.to_string().into())),
        },
        _ => Ok(Err(why)),
    }
}

fn write_payload(out: &mut Vec<u8>, payload: &Payload) -> Result<(), EncodeError> {
    match payload.format() {
        PayloadFormat::Json => to_msgpack(payload.data(), out)?,
        PayloadFormat::Msgpack => out.extend_from_slice(payload.data()),
        PayloadFormat::Bytes => write_bin(out, payload.data())?,
        other => {
            let what = format!("a payload of format {other:?} in MessagePack");
            return Err(EncodeError::new(what));
        }
    }
    Ok(())
}

#[cold]
fn malformed(why: Malformed) -> DecodeError {
    DecodeError::Malformed(why.to_string().into())
}

fn not_a_frame(why: &'static str) -> DecodeError {
    DecodeError::NotAFrame(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    fn decode(data: &[u8]) -> Result<Frame, DecodeError> {
        MsgpackCodec.decode(Message::binary(data.to_vec()))
    }

    fn encode(frame: &Frame) -> Vec<u8> {
        let message = MsgpackCodec.encode(frame).unwrap();
        assert_eq!(message.kind, MessageKind::Binary);
        message.data.into()
    }

    fn assert_malformed(data: &[u8]) {
        let result = decode(data);
        let start = &data[..data.len().min(80)];
        assert!(matches!(result, Err(DecodeError::Malformed(_))), "{}: {result:?}", start.escape_ascii());
    }

    fn assert_not_a_frame(data: &[u8]) {
        let result = decode(data);
        let start = &data[..data.len().min(80)];
        assert!(matches!(result, Err(DecodeError::NotAFrame(_))), "{}: {result:?}", start.escape_ascii());
    }

    fn msgpack(data: &[u8]) -> Payload {
        Payload::from_parts(PayloadFormat::Msgpack, data.to_vec().into())
    }

    #[test]
    fn keeps_the_promises_of_every_codec() {
        conformance::check(&MsgpackCodec);
    }

    #[test]
    fn omits_absent_members() {
        let nil = msgpack(b"\xc0");
        for (frame, data) in [
            (Frame::default(), &b"\x80"[..]),
            (Frame::default().with_id("1"), b"\x81\xa2id\xa11"),
            (Frame::event_only("e"), b"\x81\xa5event\xa1e"),
            (Frame::default().with_payload(nil.clone()), b"\x81\xa7payload\xc0"),
            (
                Frame::event_only("e").with_id("1").with_payload(nil),
                b"\x83\xa2id\xa11\xa5event\xa1e\xa7payload\xc0",
            ),
        ] {
            assert_eq!(encode(&frame), data);
            assert_eq!(decode(data).unwrap(), frame);
        }
    }

    #[test]
    fn reads_members_in_any_order_and_ignores_others() {
        let data = b"\x88\xa1x\x81\xa2id\x01\xa7payload\x92\x01\x02\x01\xc0\xa5event\xa1e\
            \xc4\x02id\x02\xa2\xff\xfe\xc3\x91\xa2id\xc0\xa2id\xa11";
        let frame = decode(data).unwrap();
        assert_eq!((frame.id(), frame.event()), ("1", "e"));
        assert_eq!(frame.payload(), Some(&msgpack(b"\x92\x01\x02")));
    }

    #[test]
    fn reads_headers_of_any_length() {
        for head in [&b"\x83"[..], b"\xde\x00\x03", b"\xdf\x00\x00\x00\x03"] {
            let members =
                b"\xd9\x02id\xda\x00\x011\xdb\x00\x00\x00\x05event\xd9\x01e\xa7payload\xcf\0\0\0\0\0\0\0\x01";
            let frame = decode(&[head, members].concat()).unwrap();
            assert_eq!((frame.id(), frame.event()), ("1", "e"));
            assert_eq!(frame.payload(), Some(&msgpack(b"\xcf\0\0\0\0\0\0\0\x01")));
        }
    }

    #[test]
    fn empty_id_is_absent() {
        assert_eq!(decode(b"\x82\xa2id\xa0\xa5event\xd9\x00").unwrap(), Frame::default());
    }

    #[test]
    fn bin_is_opaque_bytes_only_as_whole_payload() {
        for data in [&b"\xc4\x02ab"[..], b"\xc5\0\x02ab", b"\xc6\0\0\0\x02ab"] {
            let frame = decode(&[b"\x81\xa7payload", data].concat()).unwrap();
            assert_eq!(frame.payload(), Some(&Payload::bytes("ab")));
            assert_eq!(encode(&frame), b"\x81\xa7payload\xc4\x02ab");
        }
        let frame = decode(b"\x81\xa7payload\x91\xc4\x02ab").unwrap();
        assert_eq!(frame.payload(), Some(&msgpack(b"\x91\xc4\x02ab")));
    }

    #[test]
    fn transcodes_json_payloads() {
        let frame = Frame::event_only("e").with_payload(Payload::json_text("[1, null]").unwrap());
        assert_eq!(encode(&frame), b"\x82\xa5event\xa1e\xa7payload\x92\x01\xc0");
        for json in ["", "[", "1 2", "nul"] {
            let payload = Payload::from_parts(PayloadFormat::Json, json.into());
            assert!(MsgpackCodec.encode(&Frame::default().with_payload(payload)).is_err());
        }
    }

    //= PROTOCOL.md#3-control-frames
    #[test]
    fn control_frames_carry_json_text_in_bin() {
        let message = MsgpackCodec.encode_control("$ack", Some("17".into())).unwrap();
        assert_eq!(message, Message::binary(&b"\x82\xa5event\xa4$ack\xa7payload\xc4\x0217"[..]));
        let message = MsgpackCodec.encode_control("$ping", None).unwrap();
        assert_eq!(message, Message::binary(&b"\x81\xa5event\xa5$ping"[..]));
    }

    #[test]
    fn refuses_invalid_messagepack_as_malformed() {
        for data in [
            &b""[..],
            b"\xc1",
            b"\x81",
            b"\x80\x80",
            b"\x80\xc1",
            b"\x01\x02",
            b"\x91",
            b"\x81\xa2id",
            b"\x81\xa2id\xc1",
            b"\x81\xc1\xc0",
            b"\x81\xa1x\x92\x01\xc1",
            b"\x81\xa2id\xa11\xc0",
            b"\x81\xa2id\xa1\xff",
            b"\x81\xa5event\xa3\xed\xa0\x80",
            b"\xdf\xff\xff\xff\xff",
            b"\x81\xa7payload\xdd\xff\xff\xff\xff",
            b"\x81\xa7payload\xc6\xff\xff\xff\xff",
        ] {
            assert_malformed(data);
        }
    }

    #[test]
    fn refuses_messagepack_that_is_not_a_frame() {
        for data in [
            &b"\xc0"[..],
            b"\x90",
            b"\xa2{}",
            b"\xd4\x01\x80",
            b"\x81\xa2id\x01",
            b"\x81\xa2id\xc0",
            b"\x81\xa5event\xc0",
            b"\x81\xa5event\xc4\x01e",
            b"\x81\xa5event\x91\xa1e",
            b"\x82\xa2id\xa11\xa2id\xa11",
            b"\x82\xa7payload\xc0\xa7payload\xc0",
            b"\x82\xa5event\xa1a\xd9\x05event\xa1b",
        ] {
            assert_not_a_frame(data);
        }
    }

    #[test]
    fn a_wrong_type_hides_no_later_wrong_byte() {
        for data in [
            &b"\x82\xa2id\x01\xa5event"[..],
            b"\x81\xa2id\x01\xc0",
            b"\x82\xa2id\xc0\xa5event\xa1\xff",
            b"\x82\xa2id\xa1\xff\xa2id\xa11",
            b"\x92\x01",
            b"\xc0\xc0",
        ] {
            assert_malformed(data);
        }
    }

    #[test]
    fn refuses_text_messages() {
        for data in [&b"\x00"[..], b"\x80"] {
            let message = Message { kind: MessageKind::Text, data: data.into() };
            let result = MsgpackCodec.decode(message);
            assert!(matches!(result, Err(DecodeError::NotAFrame(_))), "{}: {result:?}", data.escape_ascii());
        }
    }

    #[test]
    fn nesting_uses_no_stack() {
        let open = vec![0x91; 1_000_000];
        let deep = [&open[..], b"\xc0"].concat();
        assert_malformed(&open);
        assert_malformed(&[b"\x81\xa7payload", &open[..]].concat());
        assert_not_a_frame(&deep);
        assert_not_a_frame(&[b"\x81\xa2id", &deep[..]].concat());
        assert!(decode(&[b"\x81", &deep[..], b"\xc0"].concat()).is_ok());
        let frame = decode(&[b"\x81\xa7payload", &deep[..]].concat()).unwrap();
        assert_eq!(frame.payload(), Some(&msgpack(&deep)));
    }

    #[test]
    fn truncated_messages_are_malformed() {
        let frame =
            Frame::event_only("e").with_id("m-1").with_payload(Payload::msgpack(&[1.5, 2.5]).unwrap());
        let data = encode(&frame);
        for cut in 0..data.len() {
            assert_malformed(&data[..cut]);
        }
    }

    #[test]
    fn only_big_payloads_share_the_message() {
        let shared = |data: Vec<u8>| {
            let message = Message::binary(data);
            let frame = MsgpackCodec.decode(message.clone()).unwrap();
            message.data.as_ptr_range().contains(&frame.payload().unwrap().data().as_ptr())
        };
        let filler = [&b"\xda\x03\xe8"[..], &[b'x'; 1000]].concat();
        let bytes = [&b"\xc5\x03\xe8"[..], &[b'x'; 1000]].concat();
        assert!(shared([&b"\x81\xa7payload"[..], &filler].concat()));
        assert!(shared([&b"\x81\xa7payload"[..], &bytes].concat()));
        assert!(!shared([&b"\x82\xa7payload\xa1s\xa1x"[..], &filler].concat()));
        assert!(!shared([&b"\x82\xa7payload\xc4\x01s\xa1x"[..], &filler].concat()));
    }

    #[test]
    fn messages_have_no_spare_capacity_in_messagepack() {
        for frame in [
            Frame::default(),
            Frame::event_only("e".repeat(100)).with_id("id").with_payload(Payload::json(&[1, 2]).unwrap()),
            Frame::default().with_payload(Payload::bytes(vec![7; 1000])),
        ] {
            let data = MsgpackCodec.encode(&frame).unwrap().data;
            let len = data.len();
            assert_eq!(data.try_into_mut().unwrap().capacity(), len);
        }
    }

    #[test]
    fn errors_do_not_show_payloads() {
        for data in [&b"\x81\xa2id\x91\xa6secret"[..], b"\xa6secret", b"\x81\xa5event\xa7secret\xff"] {
            assert!(!decode(data).unwrap_err().to_string().contains("secret"));
        }
    }
}

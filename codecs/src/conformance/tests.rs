//! Codecs that break one claim each.

use super::*;
use crate::JsonCodec;

mod behind;
mod control;
mod samples;

type Encode = fn(&Frame) -> Result<Message, EncodeError>;
type Decode = fn(Message) -> Result<Frame, DecodeError>;

/// JSON, except for the part that a test replaces.
struct Broken {
    name: &'static str,
    encode: Encode,
    decode: Decode,
}

const JSON: Broken = Broken {
    name: "json",
    encode: |frame| JsonCodec.encode(frame),
    decode: |message| JsonCodec.decode(message),
};

impl Codec for Broken {
    fn name(&self) -> &str {
        self.name
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        (self.encode)(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        (self.decode)(message)
    }
}

fn broken_claim(codec: &dyn Codec) -> String {
    broken_claim_in(codec, |suite| check(suite.codec))
}

/// Like `broken_claim`, but runs only a part of the suite, which is faster if the claim belongs to one part.
fn broken_claim_in(codec: &dyn Codec, part: impl FnOnce(&Suite<'_>)) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| part(&Suite { codec }))).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    text.split('`').nth(1).unwrap().to_owned()
}

fn breaks_on_encode(encode: Encode) -> String {
    broken_claim(&Broken { encode, ..JSON })
}

fn breaks_on_decode(decode: Decode) -> String {
    broken_claim(&Broken { decode, ..JSON })
}

#[test]
fn json_samples_are_valid() {
    for payload in json_samples() {
        assert!(is_json_text(&payload), "{}", Excerpt(payload.data()));
    }
    for (event, json) in control_samples() {
        let payload = json.map(|json| Payload::from_parts(PayloadFormat::Json, json.into()));
        assert!(payload.as_ref().is_none_or(is_json_text), "{event}");
    }
}

#[test]
fn messagepack_samples_are_valid() {
    for payload in msgpack_samples().into_iter().chain(msgpack_only_samples()) {
        assert_eq!(msgpack_payload(payload.data()).as_ref(), Ok(&payload), "{}", Excerpt(payload.data()));
    }
}

/// A codec may use either kind of message.
#[test]
fn accepts_a_binary_codec() {
    check(&Broken {
        encode: |frame| Ok(Message::binary(JsonCodec.encode(frame)?.data)),
        decode: |message| {
            if message.kind == MessageKind::Text {
                return Err(DecodeError::NotAFrame("text".into()));
            }
            JsonCodec.decode(Message { kind: MessageKind::Text, ..message })
        },
        ..JSON
    });
}

#[test]
fn accepts_a_codec_for_json_only() {
    check(&Broken {
        encode: |frame| match frame.payload().map(Payload::format) {
            Some(PayloadFormat::Json) | None => JsonCodec.encode(frame),
            Some(_) => Err(EncodeError::new("no JSON")),
        },
        ..JSON
    });
}

#[test]
fn accepts_a_codec_for_bytes_only() {
    check(&Broken {
        encode: |frame| match frame.payload().map(Payload::format) {
            Some(PayloadFormat::Json) if !frame.is_reserved() => Err(EncodeError::new("JSON")),
            Some(PayloadFormat::Msgpack) => Err(EncodeError::new("MessagePack")),
            _ => JsonCodec.encode(frame),
        },
        decode: |message| match JsonCodec.decode(message)? {
            frame if frame.is_reserved() => Ok(frame),
            frame => match frame.payload().map(Payload::to_bytes) {
                Some(Ok(bytes)) => Ok(frame.with_payload(Payload::bytes(bytes))),
                Some(Err(_)) => Err(DecodeError::NotAFrame("payload".into())),
                None => Ok(frame),
            },
        },
        ..JSON
    });
}

/// A codec that encodes both kinds decodes both.
#[test]
fn accepts_a_codec_for_both_message_kinds() {
    check(&Broken {
        encode: |frame| match JsonCodec.encode(frame)? {
            message if frame.id().is_empty() => Ok(message),
            message => Ok(Message::binary(message.data)),
        },
        decode: |message| JsonCodec.decode(Message { kind: MessageKind::Text, ..message }),
        ..JSON
    });
}

/// WebSocket rejects text that is not UTF-8, so a codec may handle it in any way.
#[test]
fn requires_nothing_for_text_that_is_not_utf8() {
    let as_binary =
        |frame: &Frame| Ok(Message::binary([&b"\xff"[..], &JsonCodec.encode(frame)?.data].concat()));
    check(&Broken {
        encode: as_binary,
        decode: |message| match (message.kind, message.data.strip_prefix(b"\xff")) {
            (MessageKind::Text, Some(_)) => Err(DecodeError::Malformed("no UTF-8".into())),
            (MessageKind::Binary, Some(json)) => {
                JsonCodec.decode(Message { kind: MessageKind::Text, data: message.data.slice_ref(json) })
            }
            _ => Err(DecodeError::NotAFrame("no mark".into())),
        },
        ..JSON
    });
}

#[test]
fn finds_invalid_names() {
    for name in ["", "JSON", "a.b"] {
        assert_eq!(broken_claim(&Broken { name, ..JSON }), "name");
    }
}

#[test]
fn finds_changing_names() {
    struct Fickle(std::sync::atomic::AtomicBool);

    impl Codec for Fickle {
        fn name(&self) -> &str {
            let was_asked = self.0.fetch_not(std::sync::atomic::Ordering::Relaxed);
            if was_asked { "json" } else { "json2" }
        }

        fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
            JsonCodec.encode(frame)
        }

        fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
            JsonCodec.decode(message)
        }
    }

    assert_eq!(broken_claim(&Fickle(false.into())), "name");
}

#[test]
fn finds_codecs_that_carry_nothing() {
    let claim = breaks_on_encode(|frame| match frame.payload() {
        Some(_) => Err(EncodeError::new("payload")),
        None => JsonCodec.encode(frame),
    });
    assert_eq!(claim, "payloads");
    let claim = breaks_on_encode(|frame| match (frame.payload(), frame.id()) {
        (None, "m-1") => Err(EncodeError::new("an id and no payload")),
        _ => JsonCodec.encode(frame),
    });
    assert_eq!(claim, "payloads");
}

#[test]
fn finds_text_that_is_not_utf8() {
    let claim = breaks_on_encode(|frame| {
        let mut data = JsonCodec.encode(frame)?.data.to_vec();
        data.push(0xff);
        Ok(Message { kind: MessageKind::Text, data: data.into() })
    });
    assert_eq!(claim, "text");
}

#[test]
fn finds_lost_values() {
    let without_id = |frame: &Frame| {
        let event = Frame::event_only(frame.event());
        JsonCodec.encode(&match frame.payload() {
            Some(payload) => event.with_payload(payload.clone()),
            None => event,
        })
    };
    assert_eq!(breaks_on_encode(without_id), "round trip");
    let nulls_absent = |message| match JsonCodec.decode(message)? {
        frame if frame.payload().is_some_and(|payload| payload.data() == "null") => {
            Ok(Frame::event_only(frame.event()).with_id(frame.id()))
        }
        frame => Ok(frame),
    };
    assert_eq!(breaks_on_decode(nulls_absent), "round trip");
    // Opaque payloads are not transcoded, but they must differ as the originals do.
    let numbers_as_one = Broken {
        encode: |frame| match frame.payload() {
            Some(payload) if payload.data() == "number" => {
                JsonCodec.encode(&frame.clone().with_payload(json_sample("0")))
            }
            _ => JsonCodec.encode(frame),
        },
        decode: |message| match JsonCodec.decode(message)? {
            frame if frame.decode::<f64>().is_ok() => Ok(frame.with_payload(Payload::bytes("number"))),
            frame => Ok(frame),
        },
        ..JSON
    };
    assert_eq!(broken_claim(&numbers_as_one), "round trip");
}

#[test]
fn finds_values_changed_by_transcoding() {
    let claim = breaks_on_encode(|frame| as_list_of_bytes(frame, PayloadFormat::Bytes));
    assert_eq!(claim, "translation");
    let claim = breaks_on_encode(|frame| as_list_of_bytes(frame, PayloadFormat::Msgpack));
    assert_eq!(claim, "translation");
}

fn as_list_of_bytes(frame: &Frame, format: PayloadFormat) -> Result<Message, EncodeError> {
    match frame.payload() {
        Some(payload) if payload.format() == format => {
            let list = Payload::json(&payload.data()[..]).unwrap();
            JsonCodec.encode(&frame.clone().with_payload(list))
        }
        _ => JsonCodec.encode(frame),
    }
}

#[test]
fn finds_values_that_change_when_reencoded() {
    let encode: Encode = |frame| match frame.payload() {
        Some(payload) if payload.data() == "\"/w==\"" => Err(EncodeError::new("again")),
        _ => JsonCodec.encode(frame),
    };
    // The samples themselves show it, not only what is derived from them.
    let claim = broken_claim_in(&Broken { encode, ..JSON }, |suite| drop(suite.check_samples()));
    assert_eq!(claim, "second trip");
}

#[test]
fn finds_invalid_json_payloads() {
    let claim = breaks_on_decode(|message| match JsonCodec.decode(message.clone()) {
        Err(DecodeError::Malformed(_)) => {
            Ok(Frame::default().with_payload(Payload::from_parts(PayloadFormat::Json, message.data)))
        }
        result => result,
    });
    assert_eq!(claim, "json");
}

#[test]
fn finds_invalid_messagepack_payloads() {
    let claim = breaks_on_decode(|message| match JsonCodec.decode(message.clone()) {
        Err(DecodeError::Malformed(_)) => Ok(msgpack_frame(message.data)),
        result => result,
    });
    assert_eq!(claim, "msgpack");
    // A `bin` must become opaque bytes.
    let claim = breaks_on_decode(|message| match JsonCodec.decode(message.clone()) {
        Err(DecodeError::Malformed(_)) => Ok(msgpack_frame(b"\xc4\x01a"[..].into())),
        result => result,
    });
    assert_eq!(claim, "msgpack");
}

fn msgpack_frame(data: bytes::Bytes) -> Frame {
    Frame::default().with_payload(Payload::from_parts(PayloadFormat::Msgpack, data))
}

#[test]
fn finds_codecs_that_read_the_other_kind() {
    let claim = breaks_on_decode(|message| JsonCodec.decode(Message { kind: MessageKind::Text, ..message }));
    assert_eq!(claim, "kind");
}

#[test]
fn finds_panics_on_invalid_payloads() {
    let claim = breaks_on_encode(|frame| match frame.payload() {
        Some(payload) if payload.format() == PayloadFormat::Json => {
            assert!(Payload::json_text(str::from_utf8(payload.data()).unwrap()).is_ok());
            JsonCodec.encode(frame)
        }
        _ => JsonCodec.encode(frame),
    });
    assert_eq!(claim, "no panic");
    let claim = breaks_on_encode(|frame| {
        let random = frame.payload().filter(|payload| payload.format() == PayloadFormat::Msgpack);
        assert!(!random.is_some_and(|payload| is_noise(payload.data())));
        JsonCodec.encode(frame)
    });
    assert_eq!(claim, "no panic");
}

/// Only random data has this many different bytes in such a short length.
fn is_noise(data: &[u8]) -> bool {
    data.len() < 64 && data.iter().collect::<std::collections::HashSet<_>>().len() > 40
}

#[test]
fn finds_panics_on_each_kind_of_message() {
    let kinds: [(&str, Decode); 9] = [
        ("cut short", |message| panics_on(message, |data| data == br#"{"event":"$later""#)),
        ("changed", |message| {
            panics_on(message, |data| data.starts_with(br#"{"event":"$late"#) && data.contains(&0x7f))
        }),
        ("no UTF-8", |message| {
            panics_on(message, |data| data.starts_with(br#"{"event":"$la"#) && str::from_utf8(data).is_err())
        }),
        ("random text", |message| {
            let is_text = message.kind == MessageKind::Text;
            panics_on(message, |data| is_text && is_noise(data))
        }),
        ("random bytes", |message| {
            let is_binary = message.kind == MessageKind::Binary;
            panics_on(message, |data| is_binary && is_noise(data))
        }),
        ("deep text", |message| {
            let is_text = message.kind == MessageKind::Text;
            panics_on(message, |data| is_text && data == [b'['; 100_000])
        }),
        ("deep bytes", |message| {
            let is_binary = message.kind == MessageKind::Binary;
            panics_on(message, |data| is_binary && data == [b'['; 100_000])
        }),
        ("zeros", |message| panics_on(message, |data| data == [0; 100_000])),
        ("deep payload", |message| {
            panics_on(message, |data| data.len() > 100_000 && data.ends_with(&[b'['; 100_000]))
        }),
    ];
    for (kind, decode) in kinds {
        let claim = broken_claim_in(&Broken { decode, ..JSON }, |suite| {
            let written = suite.check_control_frames();
            suite.check_hostile_messages(&written);
        });
        assert_eq!(claim, "no panic", "{kind}");
    }
    assert_eq!(breaks_on_decode(kinds[0].1), "no panic");
    // A message with a payload is cut short, too.
    let with_payload = |message| panics_on(message, |data| data == br#"{"event":"e","payload":[]"#);
    assert_eq!(breaks_on_decode(with_payload), "no panic");
}

fn panics_on(message: Message, hostile: impl Fn(&[u8]) -> bool) -> Result<Frame, DecodeError> {
    assert!(!hostile(&message.data));
    JsonCodec.decode(message)
}

#[test]
fn long_messages_are_shown_truncated() {
    let show = |len: usize| Excerpt(&vec![b'a'; len]).to_string();
    assert_eq!(show(199), format!("`{}`", "a".repeat(199)));
    assert_eq!(show(200), format!("`{}`.. (200 bytes)", "a".repeat(200)));
    assert_eq!(show(1000), format!("`{}`.. (1000 bytes)", "a".repeat(200)));
    let message = Message::text("a\u{1}");
    assert_eq!(Shown(&message).to_string(), "the Text message `a\\x01`");
}

//! Exact limits, and the texts of errors, of the types that every other module uses.

use std::error::Error as _;

use bytes::Bytes;

use crate::{
    CloseFrame, Codec, Control, DecodeError, EncodeError, Frame, Gap, LostReason, Message, MessageKind, Open,
    Payload, PayloadError, PayloadFormat, Token, is_codec_name,
};

fn parse(event: &str, json: &str) -> Option<Control> {
    let frame = Frame::event_only(event).with_payload(Payload::json_text(json).unwrap());
    Control::parse(&frame).ok().flatten()
}

#[test]
fn control_frames_have_these_limits() {
    let most = (1_u64 << 53) - 1;
    assert_eq!(parse("$ack", "0"), Some(Control::Ack(0)));
    assert_eq!(parse("$ack", &most.to_string()), Some(Control::Ack(most)));
    assert_eq!(parse("$ack", &(most + 1).to_string()), None);
    for (from, to, fits) in
        [(1, 1, true), (1, most, true), (most, most, true), (1, most + 1, false), (2, 1, false)]
    {
        let gap = parse("$gap", &format!(r#"{{"from":{from},"to":{to}}}"#));
        assert_eq!(gap.is_some(), fits, "{from} to {to}");
    }
    for event in ["$ping", "$pong"] {
        for (len, fits) in [(4096, true), (4097, false)] {
            let text = format!("\"{}\"", "p".repeat(len - 2));
            assert_eq!(parse(event, &text).is_some(), fits, "{event} of {len} bytes");
        }
    }
}

#[test]
fn ping_and_pong_work_without_a_payload() {
    for (event, control) in [("$ping", Control::Ping(None)), ("$pong", Control::Pong(None))] {
        assert_eq!(Control::parse(&Frame::event_only(event)).unwrap(), Some(control.clone()));
        assert_eq!((control.event(), control.json()), (event, None));
    }
}

#[test]
fn control_frames_are_read_from_json_or_bytes() {
    for (format, fits) in
        [(PayloadFormat::Json, true), (PayloadFormat::Bytes, true), (PayloadFormat::Msgpack, false)]
    {
        let payload = Payload::from_parts(format, Bytes::from_static(b"7"));
        let read = Control::parse(&Frame::event_only("$ack").with_payload(payload));
        assert_eq!(read.is_ok(), fits, "{format}");
    }
}

#[test]
fn a_gap_counts_both_of_its_ends() {
    assert_eq!(Gap::new(3, 3).frames(), 1);
    assert_eq!(Gap::new(3, 9).frames(), 7);
    assert_eq!(Gap::new(0, u64::MAX).frames(), u64::MAX);
}

#[test]
fn tokens_have_22_to_64_base64url_characters() {
    for (len, fits) in [(0, false), (21, false), (22, true), (64, true), (65, false)] {
        assert_eq!(Token::parse(&"a".repeat(len)).is_some(), fits, "{len}");
    }
    let of = |last: char| Token::parse(&format!("{}{last}", "A0".repeat(11)));
    for last in ['z', 'Z', '9', '_', '-'] {
        let token = of(last).unwrap();
        assert_eq!(token.as_str(), format!("{}{last}", "A0".repeat(11)));
        assert_eq!(Token::try_from(token.as_str().to_owned()).unwrap(), token);
    }
    for last in ['.', '=', '+', '/', ' ', '~', 'ä'] {
        assert_eq!(of(last), None, "{last:?}");
    }
    assert_eq!(Token::try_from("short".to_owned()), Err("not a session token"));
    assert_eq!(format!("{:?}", of('z').unwrap()), "Token(..)");
}

#[test]
fn a_fresh_open_omits_lost() {
    let mut open = Open::new(Token::parse(&"t".repeat(22)).unwrap(), "ada", "garden");
    let json = |open: &Open| serde_json::to_value(open).unwrap();
    assert_eq!(
        json(&open),
        serde_json::json!({
            "session": "t".repeat(22), "id": "ada", "room": "garden", "resumed": false,
            "received": 0, "window_ms": 0, "buffer": 1, "buffer_bytes": 1 << 20,
            "max_message": (1_u64 << 53) - 1,
        })
    );
    for (lost, text) in
        [(LostReason::Codec, "codec"), (LostReason::Identity, "identity"), (LostReason::Unknown, "unknown")]
    {
        open.lost = Some(lost);
        assert_eq!(json(&open)["lost"], text);
    }
}

#[test]
fn a_codec_name_has_1_to_32_characters() {
    for (name, fits) in [
        (&*"a".repeat(32), true),
        (&*"a".repeat(33), false),
        ("", false),
        ("json-2_b", true),
        ("-", true),
        ("_", true),
        ("0", true),
        ("Json", false),
        ("a.b", false),
        ("a b", false),
        ("ä", false),
    ] {
        assert_eq!(is_codec_name(name), fits, "{name:?}");
    }
}

#[test]
fn a_close_frame_shows_its_code_and_reason() {
    assert_eq!(CloseFrame::from_static(1000, "").to_string(), "1000");
    assert_eq!(CloseFrame::from_static(1001, "going away").to_string(), "1001 going away");
}

#[test]
fn a_leading_dollar_reserves_an_event() {
    for (event, reserved) in [("$", true), ("$x", true), ("", false), ("x$", false), ("x", false)] {
        assert_eq!(Frame::event_only(event).is_reserved(), reserved, "{event:?}");
    }
}

#[test]
fn debug_output_of_a_frame_hides_its_payload() {
    let frame = Frame::new("e", "secret").unwrap().with_id("i");
    assert_eq!(
        format!("{frame:?}"),
        r#"Frame { id: "i", event: "e", payload: Some(Payload { format: Json, len: 8 }) }"#
    );
    assert_eq!(Frame::default(), Frame::event_only("").with_id(""));
}

#[test]
fn a_frame_without_a_payload_decodes_into_nothing() {
    assert!(matches!(Frame::event_only("e").decode::<u8>(), Err(PayloadError::Missing)));
    #[cfg(feature = "prost")]
    assert!(matches!(Frame::event_only("e").decode_protobuf::<String>(), Err(PayloadError::Missing)));
}

#[test]
fn payload_errors_keep_position_and_source() {
    let keyed = std::collections::HashMap::from([((1, 2), 3)]);
    let encode = Payload::json(&keyed).unwrap_err();
    assert_eq!(encode.to_string(), "payload cannot be represented in JSON: key must be a string");
    assert_eq!(encode.source().unwrap().to_string(), "key must be a string");

    let decode = Payload::json(&["a"]).unwrap().decode::<Vec<u8>>().unwrap_err();
    assert!(decode.to_string().starts_with("payload at [0]: invalid type: string"), "{decode}");
    assert!(decode.source().unwrap().to_string().starts_with("invalid type: string"));
    let whole = Payload::json("a").unwrap().decode::<u8>().unwrap_err();
    assert!(whole.to_string().starts_with("payload: invalid type: string"), "{whole}");

    let unsupported = PayloadError::Unsupported(PayloadFormat::Msgpack);
    for (error, text) in [
        (PayloadError::Opaque, "payload is opaque bytes, which serde cannot deserialize"),
        (PayloadError::Missing, "frame has no payload"),
        (unsupported, "payload is MessagePack, but the feature that reads it is disabled"),
    ] {
        assert_eq!(error.to_string(), text);
        assert!(error.source().is_none(), "{text}");
    }
    let formats = [PayloadFormat::Json, PayloadFormat::Msgpack, PayloadFormat::Bytes];
    assert_eq!(formats.map(|format| format.to_string()), ["JSON", "MessagePack", "bytes"]);
}

#[cfg(feature = "msgpack")]
#[test]
fn only_a_whole_bin_is_bytes() {
    let list = Payload::msgpack(&[1, 2]).unwrap();
    assert_eq!((list.format(), &**list.data()), (PayloadFormat::Msgpack, &b"\x92\x01\x02"[..]));
    let frame = Frame::msgpack("e", "text").unwrap();
    assert_eq!(frame.payload(), Some(&Payload::msgpack("text").unwrap()));
    assert_eq!(frame.event(), "e");
}

/// A codec that does not override `encode_control`.
struct Plain;

impl Codec for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        let payload = frame.payload().map(|payload| (payload.format(), payload.data().clone()));
        Ok(Message::text(format!("{} {payload:?}", frame.event())))
    }

    fn decode(&self, _: Message) -> Result<Frame, DecodeError> {
        Err(DecodeError::NotAFrame("nothing is one".into()))
    }
}

#[test]
fn control_frames_are_json_by_default() {
    let with = Plain.encode_control("$ack", Some(Bytes::from_static(b"7"))).unwrap();
    assert_eq!(with, Message::text("$ack Some((Json, b\"7\"))"));
    assert_eq!(Plain.encode_control("$ping", None).unwrap(), Message::text("$ping None"));
    assert_eq!(format!("{:?}", &Plain as &dyn Codec), "Codec(plain)");
}

#[test]
fn errors_of_codecs_name_their_close_code() {
    for (error, code, text) in [
        (DecodeError::Malformed("x".into()), 1007, "malformed message: x"),
        (DecodeError::NotAFrame("x".into()), 1008, "not a frame: x"),
    ] {
        assert_eq!((error.close_code(), error.to_string()), (code, text.to_owned()));
    }
    assert_eq!(EncodeError::new("x").to_string(), "frame cannot be encoded: x");
    assert_eq!(Message::binary(b"a".to_vec()).kind, MessageKind::Binary);
}

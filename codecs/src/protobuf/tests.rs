//! Tests of [`ProtobufCodec`].

use super::*;
use crate::conformance;

fn decode(data: impl AsRef<[u8]>) -> Result<Frame, DecodeError> {
    ProtobufCodec.decode(Message::binary(data.as_ref().to_vec()))
}

fn assert_malformed(data: impl AsRef<[u8]>) {
    let result = decode(&data);
    let shown = data.as_ref().escape_ascii();
    assert!(matches!(result, Err(DecodeError::Malformed(_))), "{shown:.80}: {result:?}");
}

fn assert_not_a_frame(data: impl AsRef<[u8]>) {
    let result = decode(&data);
    let shown = data.as_ref().escape_ascii();
    assert!(matches!(result, Err(DecodeError::NotAFrame(_))), "{shown:.80}: {result:?}");
}

#[test]
fn passes_the_conformance_check() {
    conformance::check(&ProtobufCodec);
}

#[test]
fn omits_defaults_except_an_empty_payload() {
    let json = Payload::json(&1).unwrap();
    let msgpack = Payload::from_parts(PayloadFormat::Msgpack, (&b"\xcd\0\x01"[..]).into());
    for (frame, data) in [
        (Frame::default(), &b""[..]),
        (Frame::default().with_id("1"), b"\x0a\x011"),
        (Frame::event_only("e"), b"\x12\x01e"),
        (Frame::default().with_payload(Payload::bytes("")), b"\x1a\0"),
        (Frame::default().with_payload(json), b"\x1a\x011\x20\x01"),
        (
            Frame::event_only("e").with_id("1").with_payload(msgpack),
            b"\x0a\x011\x12\x01e\x1a\x03\xcd\0\x01\x20\x02",
        ),
        (Frame::default().with_re("q"), b"\x2a\x01q"),
        (Frame::default().with_volatile(true), b"\x30\x01"),
        (Frame::default().with_more(true), b"\x38\x01"),
        (Frame::default().with_room("r"), b"\x42\x01r"),
    ] {
        assert_eq!(&ProtobufCodec.encode(&frame).unwrap().data[..], data);
        assert_eq!(decode(data).unwrap(), frame);
    }
}

#[test]
fn last_duplicate_field_wins() {
    let frame = decode(b"\x20\x02\x1a\x01x\x12\x01a\x0a\x01b\x20\0\x12\x01e\x1a\x01y\x0a\0").unwrap();
    assert_eq!(frame, Frame::event_only("e").with_payload(Payload::bytes("y")));
}

#[test]
fn empty_texts_and_false_are_absent() {
    assert_eq!(decode(b"\x2a\0\x30\0\x38\0\x42\0").unwrap(), Frame::default());
    assert_eq!(
        decode(b"\x38\x80\x02").unwrap(),
        Frame::default().with_more(true),
        "any other number is true"
    );
}

#[test]
fn ignores_format_without_payload() {
    assert_eq!(decode(b"\x20\x63\x12\x01e").unwrap(), Frame::event_only("e"));
    assert_eq!(decode(b"\x20\x01").unwrap(), Frame::default());
}

#[test]
fn skips_unknown_fields() {
    for field in [
        &b"\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..],
        b"\x49\0\0\0\0\0\0\0\0",
        b"\x4a\x02\xff\xfe",
        b"\x4d\0\0\0\0",
        b"\xf8\xff\xff\xff\x0f\0",
        b"\x4b\x0a\x02\xff\xfe\x33\x34\x4c",
        // A group with a value of each wire type.
        b"\x4b\x08\xff\x01\x09\0\0\0\0\0\0\0\0\x0a\x01x\x0b\x0c\x0d\0\0\0\0\x4c",
    ] {
        let data = [field, b"\x12\x01e", field].concat();
        assert_eq!(decode(&data).unwrap(), Frame::event_only("e"), "{}", field.escape_ascii());
    }
}

#[test]
fn nesting_uses_no_stack() {
    let deep = [b"\x4b".repeat(1_000_000), b"\x4c".repeat(1_000_000)].concat();
    assert_eq!(decode(&deep).unwrap(), Frame::default());
    assert_malformed(&deep[..1_999_999]);
    let json = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
    let frame = Frame::default().with_payload(Payload::from_parts(PayloadFormat::Json, json.into()));
    assert_eq!(ProtobufCodec.decode(ProtobufCodec.encode(&frame).unwrap()).unwrap(), frame);
}

#[test]
fn refuses_invalid_protobuf_as_malformed() {
    for data in [
        &b"\x0a"[..],
        b"\x0a\x05ab",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x80",
        b"\0",
        b"\x02\0",
        b"\x80\x80\x80\x80\x10\0",
        b"\x0e",
        b"\x0f",
        b"\x2b",
        b"\x2c",
        b"\x2b\x34",
        b"\x29\0\0\0\0\0\0\0",
        b"\x2d\0\0\0",
        b"{}",
    ] {
        assert_malformed(data);
    }
}

#[test]
fn refuses_names_that_are_not_utf8_as_malformed() {
    assert_malformed(b"\x0a\x02\xff\xfe");
    assert_malformed(b"\x12\x03\xed\xa0\x80");
    assert_malformed(b"\x12\x01\xff\x12\x01e");
    assert_malformed(b"\x2a\x01\xff");
    assert_malformed(b"\x42\x01\xff");
}

//= PROTOCOL.md#R2.11: 1008 for what is well-formed but no frame
#[test]
fn refuses_protobuf_that_is_not_a_frame() {
    for data in [
        &b"\x08\x01"[..],
        b"\x10\x01",
        b"\x18\x01",
        b"\x22\x01\x01",
        b"\x25\0\0\0\0",
        b"\x0b\x0c",
        b"\x28\x01",
        b"\x32\x01\x01",
        b"\x3d\0\0\0\0",
        b"\x40\x01",
        b"\x1a\0\x20\x03",
        b"\x1a\0\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ] {
        assert_not_a_frame(data);
    }
    let text = ProtobufCodec.decode(Message::text("\u{12}\u{1}e"));
    assert!(matches!(text, Err(DecodeError::NotAFrame(_))));
}

#[test]
fn names_wrong_wire_types() {
    for (data, why) in [
        (&b"\x0c"[..], "group end without a group"),
        (b"\x0b\x14", "group end without a group"),
        (b"\x0e", "invalid wire type"),
        (b"\x0f", "invalid wire type"),
    ] {
        let error = ProtobufCodec.decode(Message::binary(data)).unwrap_err();
        assert!(error.to_string().contains(why), "{data:?}: {error}");
    }
}

#[test]
fn wrong_type_does_not_hide_later_malformed_byte() {
    assert_malformed(b"\x08\x01\x0a");
    assert_malformed(b"\x18\x01\x12\x01\xff");
}

fn with_format(format: u8, payload: &[u8]) -> Vec<u8> {
    [&b"\x20"[..], &[format, 0x1a, payload.len() as u8], payload].concat()
}

#[test]
fn json_payload_must_be_one_json_text() {
    let frame = decode(with_format(1, b" \n[1.0, 2]\t")).unwrap();
    assert_eq!(frame.payload().unwrap(), &Payload::json_text("[1.0, 2]").unwrap());
    for payload in [&b""[..], b" ", b"{", b"1 2", b"\xef\xbb\xbf1", b"\"\xff\"", b"nul"] {
        assert_malformed(with_format(1, payload));
    }
}

#[test]
fn messagepack_payload_must_be_one_value() {
    let frame = decode(with_format(2, b"\xcd\0\x01")).unwrap();
    assert_eq!(frame.payload().unwrap().format(), PayloadFormat::Msgpack);
    assert_eq!(frame.payload().unwrap().data(), &b"\xcd\0\x01"[..]);
    for payload in [&b""[..], b"\xc1", b"\x91", b"\xc0\xc0", b"\xdf\xff\xff\xff\xff"] {
        assert_malformed(with_format(2, payload));
    }
}

#[test]
fn messagepack_bin_is_opaque_bytes() {
    let frame = decode(with_format(2, b"\xc4\x02\0\xff")).unwrap();
    assert_eq!(frame.payload().unwrap(), &Payload::bytes(&b"\0\xff"[..]));
}

#[test]
fn truncated_messages_never_decode_to_the_original() {
    let frame = Frame::event_only("e\n").with_id("m-1").with_payload(Payload::json(&["ä"]).unwrap());
    let data = ProtobufCodec.encode(&frame).unwrap().data;
    for cut in 0..data.len() {
        assert_ne!(decode(&data[..cut]), Ok(frame.clone()));
    }
}

#[test]
fn only_big_payloads_share_the_message() {
    let shared = |payload: Payload, event: &str| {
        let frame = Frame::event_only(event).with_payload(payload);
        let message = ProtobufCodec.encode(&frame).unwrap();
        let range = message.data.as_ptr_range();
        let frame = ProtobufCodec.decode(message.clone()).unwrap();
        range.contains(&frame.payload().unwrap().data().as_ptr())
    };
    let filler = "x".repeat(1000);
    for of in [Payload::bytes, |text: String| Payload::json(&text).unwrap()] {
        assert!(shared(of(filler.clone()), "e"));
        assert!(!shared(of("small".into()), &filler));
    }
    let msgpack = |len: u16| [&b"\xda"[..], &len.to_be_bytes(), &vec![b'x'; len.into()]].concat();
    let of = |len| Payload::from_parts(PayloadFormat::Msgpack, msgpack(len).into());
    assert!(shared(of(1000), "e"));
    assert!(!shared(of(10), &filler));
}

#[test]
fn messages_have_no_spare_capacity_in_protobuf() {
    for len in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
        for frame in [
            Frame::event_only("e".repeat(len)),
            Frame::event_only("e").with_id("id").with_payload(Payload::json(&"x".repeat(len)).unwrap()),
        ] {
            let data = ProtobufCodec.encode(&frame).unwrap().data;
            let len = data.len();
            assert!(len == 0 || data.try_into_mut().unwrap().capacity() == len);
        }
    }
}

#[test]
fn decode_errors_quote_no_content() {
    for data in [&b"\x0a\x07secret\xff"[..], b"\x1a\x06secret\x20\x01", b"\x1a\x06secret\x20\x63"] {
        assert!(!decode(data).unwrap_err().to_string().contains("secret"));
    }
}

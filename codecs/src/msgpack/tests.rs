//! Tests of [`MsgpackCodec`].

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
fn passes_the_conformance_check() {
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
        (Frame::event_only("e").with_re("q"), b"\x82\xa2re\xa1q\xa5event\xa1e"),
        (
            Frame::default().with_room("r").with_more(true).with_volatile(true),
            b"\x83\xa4room\xa1r\xa4more\xc3\xa8volatile\xc3",
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
fn empty_texts_and_false_are_absent() {
    assert_eq!(decode(b"\x82\xa2id\xa0\xa5event\xd9\x00").unwrap(), Frame::default());
    let rare = b"\x84\xa2re\xa0\xa4room\xd9\x00\xa4more\xc2\xa8volatile\xc2";
    assert_eq!(decode(rare).unwrap(), Frame::default());
}

#[test]
fn bin_is_opaque_only_as_whole_payload() {
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
fn control_frames_carry_json_in_bin() {
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
        b"\x81\xa2re\xa1\xff",
        b"\x81\xa4room\xa1\xff",
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
        b"\x81\xa2re\x01",
        b"\x81\xa2re\xc0",
        b"\x81\xa4room\xc4\x01r",
        b"\x81\xa4more\x01",
        b"\x81\xa4more\xc0",
        b"\x81\xa8volatile\xa4true",
        b"\x82\xa2re\xa0\xa2re\xa0",
        b"\x82\xa4room\xa0\xa4room\xa0",
        b"\x82\xa4more\xc2\xa4more\xc2",
        b"\x82\xa8volatile\xc2\xa8volatile\xc2",
    ] {
        assert_not_a_frame(data);
    }
}

#[test]
fn wrong_type_does_not_hide_later_malformed_byte() {
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
    let frame = Frame::event_only("e").with_id("m-1").with_payload(Payload::msgpack(&[1.5, 2.5]).unwrap());
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
fn decode_errors_quote_no_content() {
    for data in [&b"\x81\xa2id\x91\xa6secret"[..], b"\xa6secret", b"\x81\xa5event\xa7secret\xff"] {
        assert!(!decode(data).unwrap_err().to_string().contains("secret"));
    }
}

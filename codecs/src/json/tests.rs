//! Tests of [`JsonCodec`].

use super::*;
use crate::conformance;

fn decode(text: &str) -> Result<Frame, DecodeError> {
    JsonCodec.decode(Message::text(text))
}

fn encode(frame: &Frame) -> String {
    let message = JsonCodec.encode(frame).unwrap();
    assert_eq!(message.kind, MessageKind::Text);
    String::from_utf8(message.data.into()).unwrap()
}

fn assert_malformed(text: &str) {
    let result = decode(text);
    assert!(matches!(result, Err(DecodeError::Malformed(_))), "{text:.80}: {result:?}");
}

fn assert_not_a_frame(text: &str) {
    let result = decode(text);
    assert!(matches!(result, Err(DecodeError::NotAFrame(_))), "{text:.80}: {result:?}");
}

fn payload_of(frame: &Frame) -> &str {
    str::from_utf8(frame.payload().unwrap().data()).unwrap()
}

/// A capacity that is a byte too small costs a reallocation and a copy.
#[test]
fn capacity_is_exact_without_escapes_and_transcoding() {
    let frames = [("", ""), ("1", ""), ("", "e"), ("id", "event")]
        .map(|(id, event)| Frame::event_only(event).with_id(id));
    let rare = Frame::default().with_re("q").with_room("r").with_more(true).with_volatile(true);
    for frame in frames.into_iter().chain([rare]) {
        let opaque = |len| frame.clone().with_payload(Payload::bytes(vec![7; len]));
        let json = frame.clone().with_payload(Payload::json_text("[1, 2]").unwrap());
        for frame in [&opaque(0), &opaque(1), &opaque(2), &opaque(3), &opaque(100), &json] {
            assert_eq!(unescaped_len(frame).unwrap(), encode(frame).len(), "{frame:?}");
        }
        // The estimate counts one brace for an empty frame, which has two.
        let least = if frame == Frame::default() { 2 } else { encode(&frame).len() };
        assert_eq!(unescaped_len(&frame).unwrap() + usize::from(least == 2), least, "{frame:?}");
    }
}

#[test]
fn passes_the_conformance_check() {
    conformance::check(&JsonCodec);
}

#[test]
fn omits_absent_members() {
    let null = Payload::json_text("null").unwrap();
    for (frame, text) in [
        (Frame::default(), "{}"),
        (Frame::default().with_id("1"), r#"{"id":"1"}"#),
        (Frame::event_only("e"), r#"{"event":"e"}"#),
        (Frame::default().with_payload(null.clone()), r#"{"payload":null}"#),
        (
            Frame::event_only("e").with_id("1").with_payload(null.clone()),
            r#"{"id":"1","event":"e","payload":null}"#,
        ),
        (Frame::default().with_re("q"), r#"{"re":"q"}"#),
        (
            Frame::event_only("e").with_re("q").with_more(true).with_payload(null),
            r#"{"re":"q","event":"e","more":true,"payload":null}"#,
        ),
        (Frame::default().with_room("r").with_volatile(true), r#"{"room":"r","volatile":true}"#),
    ] {
        assert_eq!(encode(&frame), text);
        assert_eq!(decode(text).unwrap(), frame);
    }
}

#[test]
fn reads_members_in_any_order_and_ignores_others() {
    let frame = decode(
        " {\"x\":{\"id\":[1]},\"payload\" : [ 1.0,\n2 ] ,\"event\":\"e\",\"x\":\"\\ud800\",\"\\ud800\":0,\"id\":\"1\"}\n",
    )
    .unwrap();
    assert_eq!((frame.id(), frame.event()), ("1", "e"));
    assert_eq!(payload_of(&frame), "[ 1.0,\n2 ]");
}

#[test]
fn reads_escapes_in_names_and_strings() {
    let frame = decode(r#"{"\u0065vent":"\ud834\udd1e\n\"","\u0069d":"\u00e4","p\u0061yload":1}"#).unwrap();
    assert_eq!((frame.id(), frame.event()), ("ä", "𝄞\n\""));
    assert_eq!(payload_of(&frame), "1");
}

#[test]
fn reads_rare_members_in_any_order() {
    let frame =
        decode(r#"{"mor\u0065":true,"payload":1,"room":"\u0072","volatile": true ,"r\u0065":"q"}"#).unwrap();
    assert_eq!((frame.re(), frame.room(), frame.more(), frame.is_volatile()), ("q", "r", true, true));
    let absent = decode(r#"{"re":"","room":"","more":false,"volatile":false}"#).unwrap();
    assert_eq!(absent, Frame::default());
}

#[test]
fn keeps_the_payload_byte_for_byte() {
    for payload in
        ["1.0", "-0", "1e999", "123456789012345678901234567890", r#""\ud800""#, "{ \"a\" :\r\n[ ] , \"a\":1}"]
    {
        let frame = decode(&format!("{{\"payload\":\t{payload} \n}}")).unwrap();
        assert_eq!(payload_of(&frame), payload);
        assert_eq!(encode(&frame), format!("{{\"payload\":{payload}}}"));
    }
}

#[test]
fn writes_opaque_bytes_as_padded_base64() {
    for (bytes, text) in [("", ""), ("\u{fb}", "w7s="), ("a", "YQ=="), ("???", "Pz8/")] {
        let frame = Frame::default().with_payload(Payload::bytes(bytes));
        assert_eq!(encode(&frame), format!("{{\"payload\":\"{text}\"}}"));
    }
}

#[test]
fn refuses_invalid_json_as_malformed() {
    for text in [
        "",
        " ",
        "{",
        "nul",
        "{} {}",
        "{}x",
        "[] x",
        "\u{feff}{}",
        "{\"id\":1,}",
        "{\"id\":\"1\"",
        "{\"event\":\"\u{1}\"}",
        "{\"ev\u{1}ent\":\"\"}",
        r#"{"\x":1}"#,
        r#"{"payload":[1,]}"#,
        r#"{"payload":01}"#,
        r#"{"payload":NaN}"#,
        r#"{payload:1}"#,
        r#"{1:1}"#,
    ] {
        assert_malformed(text);
    }
    for data in [&b"{\"payload\":\"\xff\"}"[..], b"{\"\xed\xa0\x80\":1}", b"{}\xc3"] {
        let result = JsonCodec.decode(Message { kind: MessageKind::Text, data: data.into() });
        assert!(matches!(result, Err(DecodeError::Malformed(_))));
    }
}

#[test]
fn refuses_json_that_is_not_a_frame() {
    for text in [
        "null",
        "1e999",
        "[]",
        r#""{}""#,
        r#""\ud800""#,
        r#"{"id":1}"#,
        r#"{"id":null}"#,
        r#"{"event":null}"#,
        r#"{"event":["e"]}"#,
        r#"{"id":"\ud800"}"#,
        r#"{"event":"\udc00\ud800"}"#,
        r#"{"re":1}"#,
        r#"{"re":null}"#,
        r#"{"room":["r"]}"#,
        r#"{"more":"true"}"#,
        r#"{"more":null}"#,
        r#"{"volatile":1}"#,
    ] {
        assert_not_a_frame(text);
    }
}

#[test]
fn wrong_type_does_not_hide_later_malformed_byte() {
    for text in
        [r#"{"id":1,"event":"#, r#"{"id":"1","id":"2"}}"#, r#"{"event":null,"x":tru}"#, "[1,2", "\"a\" \"b\""]
    {
        assert_malformed(text);
    }
}

#[test]
fn refuses_duplicate_members() {
    assert_not_a_frame(r#"{"id":"1","id":"1"}"#);
    assert_not_a_frame(r#"{"payload":null,"payload":null}"#);
    assert_not_a_frame(r#"{"event":"a","\u0065vent":"b"}"#);
    for member in [r#""re":"""#, r#""room":"""#, r#""more":false"#, r#""volatile":false"#] {
        assert_not_a_frame(&format!("{{{member},{member}}}"));
    }
}

#[test]
fn refuses_binary_messages() {
    let result = JsonCodec.decode(Message::binary("{}"));
    assert!(matches!(result, Err(DecodeError::NotAFrame(_))));
}

#[test]
fn nesting_uses_no_stack() {
    let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_malformed(&open);
    assert_malformed(&"{\"a\":".repeat(1_000_000));
    assert_malformed(&format!("{{\"payload\":{open}"));
    assert_not_a_frame(&format!("{open}{close}"));
    assert_not_a_frame(&format!("{{\"id\":{open}{close}}}"));
    assert!(decode(&format!("{{\"x\":{open}{close}}}")).is_ok());
    let frame = decode(&format!("{{\"payload\":{open}{close}}}")).unwrap();
    assert!(frame.decode::<IgnoredAny>().is_ok());
    assert!(frame.decode::<serde_json::Value>().is_err());
}

#[test]
fn truncated_messages_are_malformed() {
    let text = r#"{"id":"m-1","event":"e\n","payload":{"a":[1,null,"ä"]}}"#;
    for cut in (0..text.len()).filter(|&cut| text.is_char_boundary(cut)) {
        assert_malformed(&text[..cut]);
    }
}

#[test]
fn only_big_payloads_share_the_message() {
    let shared = |message: Message| {
        let range = message.data.as_ptr_range();
        let frame = JsonCodec.decode(message.clone()).unwrap();
        range.contains(&frame.payload().unwrap().data().as_ptr())
    };
    let filler = "x".repeat(1000);
    assert!(shared(Message::text(format!("{{\"payload\":\"{filler}\"}}"))));
    assert!(!shared(Message::text(format!("{{\"payload\":\"small\",\"x\":\"{filler}\"}}"))));
}

#[test]
fn messages_have_no_spare_capacity_in_json() {
    for frame in [
        Frame::default(),
        Frame::event_only("event").with_payload(Payload::json(&[1, 2, 3]).unwrap()),
        Frame::event_only("\u{1}".repeat(100)).with_id("id"),
        Frame::default().with_payload(Payload::bytes(vec![7; 1000])),
    ] {
        let data = JsonCodec.encode(&frame).unwrap().data;
        let len = data.len();
        assert_eq!(data.try_into_mut().unwrap().capacity(), len);
    }
}

#[test]
fn decode_errors_quote_no_content() {
    for text in [r#"{"id":["secret"]}"#, r#""secret""#, r#"{"event":"secret"#] {
        assert!(!decode(text).unwrap_err().to_string().contains("secret"));
    }
}

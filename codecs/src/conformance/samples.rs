//! Frames for round trips.

use rejoin_core::{Frame, Payload, PayloadFormat};

/// Frames without a payload, whose ids and events are absent, plain, or contain everything that a format may have to escape.
pub(super) fn names_of_texts() -> Vec<Frame> {
    let texts = texts();
    texts.iter().flat_map(|id| texts.clone().map(|event| Frame::event_only(event).with_id(&**id))).collect()
}

fn texts() -> [String; 5] {
    let controls: String = ('\0'..='\u{a0}').collect();
    let escapes = "\"\\/\\u0041 ';<>&{}[]:,";
    let unicode = "ä€𝄞\u{feff}\u{fffd}\u{2028}\u{ffff}\u{10ffff}e\u{301}";
    ["".into(), "m-1".into(), controls, escapes.into(), unicode.into()]
}

/// Frames with members that most frames do not have, each with any text or length, and together.
pub(super) fn rare_members() -> Vec<Frame> {
    let mut frames = Vec::new();
    let lengths = LENGTHS.map(|len| "r".repeat(len));
    for text in texts().iter().chain(&lengths) {
        frames.push(Frame::event_only("e").with_re(&**text));
        frames.push(Frame::event_only("e").with_room(&**text));
    }
    for (more, volatile) in [(false, true), (true, false), (true, true)] {
        let frame = Frame::event_only("e").with_more(more).with_volatile(volatile);
        frames.push(frame.clone());
        frames.push(frame.with_id("m-1").with_re("q-1").with_room("lobby"));
    }
    frames
}

/// The lengths at which binary formats change their headers.
const LENGTHS: [usize; 11] = [15, 16, 31, 32, 127, 128, 255, 256, 16_384, 65_535, 65_536];

/// Frames whose ids and events have these lengths.
pub(super) fn names_of_lengths() -> Vec<Frame> {
    let frames =
        LENGTHS.map(|len| [Frame::default().with_id("i".repeat(len)), Frame::event_only("e".repeat(len))]);
    frames.concat()
}

/// Payloads to combine with names, to detect members that run into each other.
pub(super) fn payloads_beside_names() -> [Payload; 3] {
    [json_sample("null"), json_sample(r#"{ "id" : 1, "event":null }"#), Payload::bytes("AA==")]
}

/// JSON texts with different values.
pub(super) fn json_samples() -> Vec<Payload> {
    [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.50",
        "1e2",
        "9007199254740993",
        "123456789012345678901234567890",
        r#""""#,
        r#""ä €\u0000\n\ud834\udd1e""#,
        "[]",
        "{}",
        "[1, [2, [3, {\"a\":null}]],\n\t\"\"]",
        r#"{ "id" : 1, "event":null,"payload":{"":[]} }"#,
    ]
    .map(json_sample)
    .into()
}

pub(super) fn json_sample(text: &'static str) -> Payload {
    Payload::from_parts(PayloadFormat::Json, text.into())
}

/// MessagePack with different values that JSON can represent as well, with `bin` as base64.
pub(super) fn msgpack_samples() -> Vec<Payload> {
    let mut samples: Vec<Vec<u8>> = [
        &b"\xc0"[..],
        b"\xc2",
        b"\xc3",
        b"\x00",
        b"\x7f",
        b"\xcc\x80",
        b"\xcc\xff",
        b"\xcd\x01\x00",
        b"\xcd\xff\xff",
        b"\xce\x00\x01\x00\x00",
        b"\xce\xff\xff\xff\xff",
        b"\xcf\x00\x20\x00\x00\x00\x00\x00\x01",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff",
        b"\xe0",
        b"\xd0\xdf",
        b"\xd0\x80",
        b"\xd1\x80\x00",
        b"\xd2\x80\x00\x00\x00",
        b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
        b"\xca\x3f\x00\x00\x00",                 // 0.5
        b"\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", // 0.1
        b"\xcb\xff\xef\xff\xff\xff\xff\xff\xff", // the least finite float
        b"\xa0",
        b"\xb1\xc3\xa4 \xe2\x82\xac\x00\n\"\\/\xf0\x9d\x84\x9e\xc2\xa0",
        b"\x90",
        b"\x91\x90",
        b"\x80",
        b"\x81\xa0\xc0",
        b"\x91\xc4\x02\xfb\xff",
        b"\x81\xa1b\xc5\x00\x01\x00",
        b"\x83\xa2id\x01\xa5event\xc0\xa7payload\x81\xa0\x92\xc2\x91\xca\x3f\xc0\x00\x00",
    ]
    .map(<[u8]>::to_vec)
    .into();
    for (head, len) in [
        (&b"\xbf"[..], 31),
        (b"\xd9\x20", 32),
        (b"\xd9\xff", 255),
        (b"\xda\x01\x00", 256),
        (b"\xda\xff\xff", 65_535),
        (b"\xdb\x00\x01\x00\x00", 65_536),
    ] {
        samples.push([head, &vec![b's'; len]].concat());
    }
    for (head, len) in [
        (&b"\x9f"[..], 15),
        (b"\xdc\x00\x10", 16),
        (b"\xdc\xff\xff", 65_535),
        (b"\xdd\x00\x01\x00\x00", 65_536),
    ] {
        samples.push([head, &vec![b'\x07'; len]].concat());
    }
    for (head, len) in [(&b"\x8f"[..], b'o'), (b"\xde\x00\x10", b'p')] {
        let members = (b'a'..=len).flat_map(|name| [b'\xa1', name, b'\xc3']);
        samples.push(head.iter().copied().chain(members).collect());
    }
    samples.push([vec![0x91; 100], vec![0xc0]].concat());
    samples.into_iter().map(msgpack_sample).collect()
}

/// MessagePack that other formats represent differently or not at all, and values in longer formats than necessary.
pub(super) fn msgpack_only_samples() -> Vec<Payload> {
    let mut samples: Vec<Vec<u8>> = [
        &b"\xca\x7f\xc0\x00\x00"[..],            // not a number
        b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", // infinity
        b"\xcb\xff\xf0\x00\x00\x00\x00\x00\x00", // negative infinity
        b"\xcb\x80\x00\x00\x00\x00\x00\x00\x00", // negative zero
        b"\xca\x3f\x80\x00\x00",                 // 1.0
        b"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", // 1.0
        b"\xcc\x01",
        b"\xd3\x00\x00\x00\x00\x00\x00\x00\x01",
        b"\xd9\x01a",
        b"\xdb\x00\x00\x00\x01a",
        b"\xdd\x00\x00\x00\x01\xc0",
        b"\xdf\x00\x00\x00\x01\xa1a\xc0",
        b"\xa2\xff\xfe", // no UTF-8
        b"\xd4\x00a",
        b"\xd5\x7fab",
        b"\xd6\x80abcd",
        b"\xd7\x01abcdefgh",
        b"\xd8\x02abcdefghabcdefgh",
        b"\xc7\x00\x05",
        b"\xc8\x00\x03\x05abc",
        b"\xc9\x00\x00\x00\x03\x05abc",
        b"\xd6\xff\x00\x00\x00\x00",                                     // 1970
        b"\xd7\xff\xee\x6b\x28\x00\x65\x00\x00\x00",                     // with nanoseconds
        b"\xc7\x0c\xff\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff", // before 1970
        b"\xc7\x0c\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", // no moment
        b"\xd4\xff\x00",                                                 // no timestamp
        b"\x82\x01\xc0\xff\xc0",
        b"\x83\xc0\x01\xc2\x02\xc3\x03",
        b"\x81\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xc0",
        b"\x81\xc4\x01a\xc0",
        b"\x81\x92\x01\xa1\"\xc0",
        b"\x81\x81\x81\xa1a\x01\x02\x03",
        b"\x81\xd4\x05a\xc0",
        b"\x81\xd6\xff\x00\x00\x00\x00\xc0",
        b"\x82\xa1a\x01\xa1a\x02",
    ]
    .map(<[u8]>::to_vec)
    .into();
    for depth in [127, 128, 129, 1000] {
        samples.push([vec![0x91; depth], vec![0xc0]].concat());
        samples.push([vec![0x81; depth], vec![0xc0; depth + 1]].concat());
    }
    samples.into_iter().map(msgpack_sample).collect()
}

fn msgpack_sample(data: Vec<u8>) -> Payload {
    Payload::from_parts(PayloadFormat::Msgpack, data.into())
}

/// Payloads that no codec decodes, or that are nested deeper than necessary.
pub(super) fn hostile_payloads() -> Vec<Payload> {
    const DEPTH: usize = 100_000;
    let arrays = [vec![b'['; DEPTH], vec![b']'; DEPTH]].concat();
    let objects = [b"{\"\":".repeat(DEPTH), b"0".to_vec(), vec![b'}'; DEPTH]].concat();
    let json = [
        b"".to_vec(),
        b"[".repeat(DEPTH),
        b"\xff".to_vec(),
        b"\"\\u".to_vec(),
        b"-".to_vec(),
        arrays,
        objects,
    ];
    let msgpack = [
        vec![],
        b"\xc1".to_vec(),
        b"\x01\x02".to_vec(),
        b"\xc4\x01a".to_vec(),
        b"\xdd\xff\xff\xff\xff".repeat(DEPTH),
        b"\xdf\xff\xff\xff\xff".repeat(DEPTH),
        b"\xdb\xff\xff\xff\xff".to_vec(),
        vec![0x91; DEPTH],
        [vec![0x91; DEPTH], vec![0xc0]].concat(),
        // Keys inside keys.
        [vec![0x81; DEPTH], vec![0xc0; DEPTH + 1]].concat(),
    ];
    let json = json.map(|data| Payload::from_parts(PayloadFormat::Json, data.into()));
    json.into_iter().chain(msgpack.map(msgpack_sample)).collect()
}

pub(super) fn bytes_samples() -> Vec<Payload> {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let lengths = [0, 1, 2, 3, 4, 255, 256, 65_535, 65_536].map(|len| vec![0xff; len]);
    lengths.into_iter().chain([all, b"null".into(), b"AA==".into()]).map(Payload::bytes).collect()
}

pub(super) fn control_samples() -> Vec<(&'static str, Option<String>)> {
    let open = r#"{"session":"abcdefghijklmnopqrstuvwxyz","id":"ä\"","room":"","resumed":false,"received":0,"window_ms":30000,"buffer":256}"#;
    let mut samples = vec![("$ping", None), ("$pong", None), ("$later", None)];
    for (event, json) in [
        ("$open", open),
        ("$ack", "9007199254740991"),
        ("$gap", r#"{"from":3,"to":9}"#),
        ("$ping", "null"),
        ("$ping", r#""\ud800""#),
        ("$pong", "[1.0,  {\"a\":1e999,\"a\":-0}]"),
        ("$later", "{}"),
    ] {
        samples.push((event, Some(json.to_owned())));
    }
    samples.push(("$pong", Some(format!("\"{}\"", "p".repeat(4094)))));
    samples
}

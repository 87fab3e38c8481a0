//! Codecs that lose one frame each: every sample is needed to detect one of them.

use super::*;

/// JSON, except for the frames that it loses.
struct Loses<F>(F);

impl<F: Fn(&Frame) -> bool + Send + Sync + 'static> Codec for Loses<F> {
    fn name(&self) -> &str {
        "json"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        if (self.0)(frame) { JsonCodec.encode(&Frame::event_only("lost")) } else { JsonCodec.encode(frame) }
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        JsonCodec.decode(message)
    }
}

#[test]
fn finds_names_lost_by_length() {
    for len in [15, 16, 31, 32, 127, 128, 255, 256, 16_384, 65_535, 65_536] {
        assert_eq!(claim_on(move |frame| frame.id().len() == len), "round trip", "id of {len}");
        let claim = claim_on(move |frame| frame.event().len() == len);
        assert_eq!(claim, "round trip", "event of {len}");
    }
}

#[test]
fn finds_names_lost_by_character() {
    for character in ['\0', '\u{1f}', '\u{a0}', '"', '\\', '\u{feff}', '\u{10ffff}'] {
        let claim = claim_on(move |frame| frame.id().contains(character));
        assert_eq!(claim, "round trip", "id with {character:?}");
        let claim = claim_on(move |frame| frame.event().contains(character));
        assert_eq!(claim, "round trip", "event with {character:?}");
    }
}

#[test]
fn finds_lost_rare_members() {
    assert_eq!(claim_on(Frame::more), "round trip", "more");
    assert_eq!(claim_on(Frame::is_volatile), "round trip", "volatile");
    assert_eq!(claim_on(|frame| frame.is_volatile() && !frame.more()), "round trip", "only volatile");
    assert_eq!(claim_on(|frame| !frame.is_volatile() && frame.more()), "round trip", "only more");
    for len in [1, 16, 32, 128, 256, 65_536] {
        assert_eq!(claim_on(move |frame| frame.re().len() >= len), "round trip", "re of {len}");
        assert_eq!(claim_on(move |frame| frame.room().len() >= len), "round trip", "room of {len}");
    }
    let all = |frame: &Frame| !frame.re().is_empty() && !frame.room().is_empty() && frame.more();
    assert_eq!(claim_on(all), "round trip", "together");
}

#[test]
fn finds_payloads_lost_next_to_a_name() {
    for format in [PayloadFormat::Json, PayloadFormat::Bytes] {
        let is_lost = move |frame: &Frame| {
            frame.id() == "m-1" && frame.payload().is_some_and(|payload| payload.format() == format)
        };
        assert_eq!(claim_on(is_lost), "round trip", "{format}");
    }
}

#[test]
fn finds_bytes_lost_by_length() {
    for len in [0, 1, 2, 3, 4, 255, 256, 65_535, 65_536] {
        assert_eq!(loses_payload(Payload::bytes(vec![0xff; len])), "round trip", "{len}");
    }
}

#[test]
fn messagepack_samples_have_all_headers() {
    let samples = msgpack_samples();
    for (head, len) in [
        (&b"\x9f"[..], 15),
        (b"\xdc\x00\x10", 16),
        (b"\xdc\xff\xff", 65_535),
        (b"\xdd\x00\x01\x00\x00", 65_536),
    ] {
        assert!(samples.contains(&msgpack([head, &vec![7; len]].concat())), "a list of {len}");
    }
    for (head, last) in [(&b"\x8f"[..], b'o'), (b"\xde\x00\x10", b'p')] {
        let is_map = |sample: &Payload| {
            sample.data().starts_with(head) && sample.data().ends_with(&[0xa1, last, 0xc3])
        };
        assert!(samples.iter().any(is_map), "a map up to {}", char::from(last));
    }
}

#[test]
fn byte_samples_have_every_value() {
    let all = Payload::bytes((0..=u8::MAX).collect::<Vec<_>>());
    assert!(bytes_samples().contains(&all));
}

#[test]
fn messagepack_samples_have_depths_around_the_limit() {
    let samples: Vec<Payload> = msgpack_samples().into_iter().chain(msgpack_only_samples()).collect();
    for depth in [100, 127, 128, 129, 1000] {
        let lists = msgpack([vec![0x91; depth], vec![0xc0]].concat());
        assert!(samples.contains(&lists), "lists, {depth} deep");
        let maps = msgpack([vec![0x81; depth], vec![0xc0; depth + 1]].concat());
        assert!(samples.contains(&maps) || depth == 100, "maps, {depth} deep");
    }
}

#[test]
fn finds_messagepack_lost_by_length() {
    assert_eq!(loses_payload(msgpack(b"\xcc\x01".to_vec())), "round trip", "not in its shortest format");
    let strings = [(&b"\xbf"[..], 31), (b"\xd9\x20", 32), (b"\xdb\x00\x01\x00\x00", 65_536)];
    for (head, len) in strings {
        assert_eq!(loses_payload(msgpack([head, &vec![b's'; len]].concat())), "round trip", "{len}");
    }
}

#[test]
fn finds_lost_long_control_frames() {
    let is_long = |frame: &Frame| frame.payload().is_some_and(|json| json.data().len() == 4096);
    assert_eq!(claim_on(move |frame| frame.is_reserved() && is_long(frame)), "control");
}

fn msgpack(data: Vec<u8>) -> Payload {
    Payload::from_parts(PayloadFormat::Msgpack, data.into())
}

fn claim_on(lost: impl Fn(&Frame) -> bool + Send + Sync + 'static) -> String {
    broken_claim_in(&Loses(lost), |suite| {
        suite.check_samples();
        suite.check_control_frames();
    })
}

fn loses_payload(lost: Payload) -> String {
    claim_on(move |frame| frame.payload() == Some(&lost))
}

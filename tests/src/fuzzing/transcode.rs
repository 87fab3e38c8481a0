//! Transcoding between JSON and MessagePack preserves values, as other parsers see them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use rejoin_codecs::{JsonCodec, MsgpackCodec, payloads};
use rejoin_core::{Codec, Frame, Payload, PayloadFormat};
use serde::de::IgnoredAny;
use serde_json::{Number, Value};

use super::Input;

/// Deeper values cannot be represented.
const MAX_DEPTH: usize = 128;

/// The first byte chooses the format of the rest.
///
/// # Panics
/// Panics if another parser reads a different value from the transcoded payload.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let from_json = !input.flag();
    let data = Bytes::copy_from_slice(input.rest());
    if from_json {
        if let Ok(payload) = payloads::json(&data) {
            json(&payload);
        }
    } else if let Ok(payload) = payloads::msgpack(&data) {
        msgpack(&payload);
    }
}

/// Transcodes a JSON text to MessagePack and back.
fn json(payload: &Payload) {
    let value = serde_json::from_slice::<Value>(payload.data());
    let Some(there) = through(&MsgpackCodec, payload) else {
        return assert!(depth(payload.data()) > MAX_DEPTH, "it can be represented");
    };
    assert_eq!(there.format(), PayloadFormat::Msgpack);
    // The other parser may refuse invalid Unicode, numbers beyond the range of a float, and deep nesting.
    let Ok(value) = value else { return };
    let read: Value = rmp_serde::from_slice(there.data()).expect("another parser accepts it");
    assert!(is_same(&value, &read), "{value} became {read}");
    let back = through(&JsonCodec, &there).expect("a value from JSON can be represented in JSON");
    let again: Value = serde_json::from_slice(back.data()).expect("another parser accepts it");
    assert!(is_same(&value, &again), "{value} came back as {again}");
    assert_eq!(through(&MsgpackCodec, &back), Some(there), "the second round changes nothing");
}

/// Transcodes a MessagePack value to JSON.
fn msgpack(payload: &Payload) {
    if payload.format() == PayloadFormat::Bytes {
        let there = through(&JsonCodec, payload).expect("MessagePack has a JSON representation");
        return assert_eq!(&there.to_bytes().expect("base64"), payload.data());
    }
    let Some(there) = through(&JsonCodec, payload) else { return };
    let text = str::from_utf8(there.data()).expect("JSON is UTF-8");
    serde_json::from_str::<IgnoredAny>(text).expect("another parser accepts it");
    // JSON has no `bin`, no ext, and no keys other than strings.
    if let (Ok(value), Ok(read)) =
        (rmp_serde::from_slice::<Value>(payload.data()), serde_json::from_str::<Value>(text))
    {
        assert!(is_same(&value, &read), "{value} became {read}");
    }
    let back = through(&MsgpackCodec, &there).expect("a value within the depth limit can be represented");
    assert_eq!(through(&JsonCodec, &back), Some(there), "the second round changes nothing");
}

/// The payload after encoding and decoding; `None` if the codec cannot represent it.
fn through(codec: &dyn Codec, payload: &Payload) -> Option<Payload> {
    let message = codec.encode(&Frame::event_only("e").with_payload(payload.clone())).ok()?;
    let frame = codec.decode(message).expect("what was encoded can be decoded");
    Some(frame.payload().expect("it had a payload").clone())
}

/// The nesting depth of arrays and objects.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    deepest
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => is_same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| {
                    // The other parser reads a `bin` key as text if it is UTF-8.
                    let other = other.get(name).or_else(|| other.get(&BASE64_STANDARD.encode(name)));
                    other.is_some_and(|other| is_same(one, other))
                })
        }
        _ => one == other,
    }
}

/// Compares integers exactly; serde_json may round the last bit of a float.
fn is_same_number(one: &Number, other: &Number) -> bool {
    if !one.is_f64() && !other.is_f64() {
        return one == other;
    }
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => {
            (one - other).abs() <= 4.0 * (f64::EPSILON * one.abs()).max(f64::from_bits(1))
        }
        _ => false,
    }
}

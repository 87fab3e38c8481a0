//! From JSON to MessagePack and back: the same value, as other readers see it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use rejoin_codecs::{JsonCodec, MsgpackCodec, payloads};
use rejoin_core::{Codec, Frame, Payload, PayloadFormat};
use serde::de::IgnoredAny;
use serde_json::{Number, Value};

use super::Input;

/// What is deeper has no image.
const MAX_DEPTH: usize = 128;

/// The first byte says which format the rest is in.
///
/// # Panics
/// Panics where a translation is not what another reader takes for the same value.
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

/// A JSON text to MessagePack, and back.
fn json(payload: &Payload) {
    let value = serde_json::from_slice::<Value>(payload.data());
    let Some(there) = through(&MsgpackCodec, payload) else {
        return assert!(depth(payload.data()) > MAX_DEPTH, "it has an image");
    };
    assert_eq!(there.format(), PayloadFormat::Msgpack);
    // An independent reader may refuse what is not wholly Unicode, or beyond a float; and what is deep.
    let Ok(value) = value else { return };
    let read: Value = rmp_serde::from_slice(there.data()).expect("another reader takes it");
    assert!(is_same(&value, &read), "{value} became {read}");
    let back = through(&JsonCodec, &there).expect("what came from JSON goes back");
    let again: Value = serde_json::from_slice(back.data()).expect("another reader takes it");
    assert!(is_same(&value, &again), "{value} came back as {again}");
    assert_eq!(through(&MsgpackCodec, &back), Some(there), "and nothing changes any more");
}

/// A value of MessagePack to JSON.
fn msgpack(payload: &Payload) {
    if payload.format() == PayloadFormat::Bytes {
        let there = through(&JsonCodec, payload).expect("bytes have an image");
        return assert_eq!(&there.to_bytes().expect("base64"), payload.data());
    }
    let Some(there) = through(&JsonCodec, payload) else { return };
    let text = str::from_utf8(there.data()).expect("JSON is UTF-8");
    serde_json::from_str::<IgnoredAny>(text).expect("another reader takes it");
    // It has no `bin`, no ext, and no key that is no string.
    if let (Ok(value), Ok(read)) =
        (rmp_serde::from_slice::<Value>(payload.data()), serde_json::from_str::<Value>(text))
    {
        assert!(is_same(&value, &read), "{value} became {read}");
    }
    let back = through(&MsgpackCodec, &there).expect("what is no deeper goes back");
    assert_eq!(through(&JsonCodec, &back), Some(there), "and nothing changes any more");
}

/// The payload as it comes out of a codec at the other end; `None` where it has no image.
fn through(codec: &dyn Codec, payload: &Payload) -> Option<Payload> {
    let message = codec.encode(&Frame::event_only("e").with_payload(payload.clone())).ok()?;
    let frame = codec.decode(message).expect("what was encoded can be decoded");
    Some(frame.payload().expect("it had a payload").clone())
}

/// How many arrays and objects stand inside each other.
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
                    // The other reader takes a `bin` that is a key for text where it is UTF-8.
                    let other = other.get(name).or_else(|| other.get(&BASE64_STANDARD.encode(name)));
                    other.is_some_and(|other| is_same(one, other))
                })
        }
        _ => one == other,
    }
}

/// Integers to their last digit; serde_json may miss a float by its last bit, here at both ends.
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

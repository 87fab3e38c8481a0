//! Whether a payload that was translated is still the same value.

use rejoin_core::{Payload, PayloadFormat};
use serde_json::{Number, Value};

use crate::transcode::to_json;

/// Whether `translated`, which came back for `payload`, is its image. The bytes of one format are not compared here.
pub(super) fn is_alike(payload: &Payload, translated: &Payload) -> bool {
    match (payload.format(), translated.format()) {
        (from, to) if from == to => true,
        // What a codec makes opaque it has not translated.
        (_, PayloadFormat::Bytes) => true,
        (PayloadFormat::Bytes, _) => {
            as_json(translated).is_some_and(|json| json.to_bytes().is_ok_and(|bytes| bytes == payload.data()))
        }
        _ => match (value(payload), value(translated)) {
            (Some(one), Some(other)) => is_same(&one, &other),
            _ => false,
        },
    }
}

fn value(payload: &Payload) -> Option<Value> {
    as_json(payload)?.decode().ok()
}

fn as_json(payload: &Payload) -> Option<Payload> {
    if payload.format() == PayloadFormat::Json {
        return Some(payload.clone());
    }
    let mut json = Vec::new();
    to_json(payload.data(), &mut json).ok()?;
    Some(Payload::from_parts(PayloadFormat::Json, json.into()))
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => is_same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| is_same(one, other)))
        }
        _ => one == other,
    }
}

/// Integers are the same to their last digit. To be a float, or to be written as one, is no other value, and readers may
/// differ in a float's last bit.
fn is_same_number(one: &Number, other: &Number) -> bool {
    if !one.is_f64() && !other.is_f64() {
        return one == other;
    }
    let (Some(one), Some(other)) = (one.as_f64(), other.as_f64()) else {
        return false;
    };
    (one - other).abs() <= f64::EPSILON * one.abs()
}

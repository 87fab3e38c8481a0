//! Compares a transcoded payload with the original value.

use rejoin_core::{Payload, PayloadFormat};
use serde_json::{Number, Value};

use crate::transcode::to_json;

/// Whether `translated`, decoded for `payload`, represents the same value. Does not compare payloads of the same format.
pub(super) fn is_alike(payload: &Payload, translated: &Payload) -> bool {
    match (payload.format(), translated.format()) {
        (from, to) if from == to => true,
        // A payload that the codec made opaque is not transcoded.
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

/// Integers must be exactly equal. An integer may become a float of the same value, and parsers may differ in the last bit of a
/// float.
fn is_same_number(one: &Number, other: &Number) -> bool {
    if !one.is_f64() && !other.is_f64() {
        return one == other;
    }
    let (Some(one), Some(other)) = (one.as_f64(), other.as_f64()) else {
        return false;
    };
    (one - other).abs() <= f64::EPSILON * one.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_same(one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(|json| serde_json::from_str(json).unwrap());
        let same = is_same(&one, &other);
        assert_eq!(is_same(&other, &one), same, "either way round");
        same
    }

    #[test]
    fn compares_only_values_in_two_formats() {
        let json = |text: &str| Payload::from_parts(PayloadFormat::Json, text.to_owned().into());
        let msgpack = |data: &'static [u8]| Payload::from_parts(PayloadFormat::Msgpack, data.into());
        assert!(is_alike(&json("1"), &json("2")) && is_alike(&json("1"), &Payload::bytes("x")));
        assert!(is_alike(&msgpack(b"\x01"), &json("1")) && !is_alike(&msgpack(b"\x01"), &json("2")));
        assert!(!is_alike(&msgpack(b"\xc1"), &json("1")), "no value at all");
        assert!(is_alike(&Payload::bytes("a"), &json(r#""YQ==""#)));
        assert!(!is_alike(&Payload::bytes("a"), &json(r#""Yg==""#)));
    }

    #[test]
    fn integers_are_compared_exactly() {
        assert!(are_same("9007199254740993", "9007199254740993"));
        assert!(!are_same("9007199254740993", "9007199254740992"));
        assert!(!are_same("18446744073709551615", "18446744073709551614"));
        assert!(!are_same("1", "-1"));
    }

    #[test]
    fn floats_may_differ_in_their_last_bit() {
        for (one, next, far) in [
            (1e-300, 1e-300_f64.next_up(), 1.1e-300),
            (1.5, 1.5_f64.next_up(), 1.500_000_1),
            (1e300, 1e300_f64.next_up(), 1.1e300),
        ] {
            assert!(is_same(&one.into(), &next.into()), "{one:e}");
            assert!(!is_same(&one.into(), &far.into()), "{one:e}");
            assert!(!is_same(&one.into(), &(-one).into()), "{one:e}");
        }
        assert!(are_same("2.0", "2") && are_same("0.0", "0") && are_same("-0.0", "0"));
        assert!(!are_same("2.0", "3") && !are_same("0.0", "1"));
    }

    #[test]
    fn lists_and_maps_are_compared_completely() {
        assert!(are_same(r#"[1, {"a": [true, null]}]"#, r#"[1.0, {"a": [true, null]}]"#));
        assert!(are_same(r#"{"a": 1, "b": {"c": 2}}"#, r#"{"b": {"c": 2.0}, "a": 1.0}"#));
        for (one, other) in [
            ("[1, 2]", "[1]"),
            ("[1, 2]", "[1, 3]"),
            (r#"{"a": 1, "b": 2}"#, r#"{"a": 1}"#),
            (r#"{"a": 1}"#, r#"{"b": 1}"#),
            (r#"{"a": 1}"#, r#"{"a": 2}"#),
            ("[]", "{}"),
            ("null", "false"),
            (r#""1""#, "1"),
        ] {
            assert!(!are_same(one, other), "{one} and {other}");
        }
    }
}

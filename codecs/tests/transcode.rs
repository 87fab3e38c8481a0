//! Transcoding between JSON and MessagePack against serde_json and rmp_serde: they agree on every value that both formats have,
//! and on which inputs are valid.

mod common;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rejoin_codecs::{JsonCodec, MsgpackCodec};
use rejoin_core::{Codec, EncodeError, Frame, Payload, PayloadFormat};
use serde::de::{Deserialize, IgnoredAny};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use common::config;

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn shared_values_transcode_as_serde_does(tree in tree()) {
        let json = serde_json::to_string(&tree).unwrap();
        let msgpack = rmp_serde::to_vec(&tree).unwrap();
        prop_assert_eq!(to_msgpack(&json).unwrap(), &msgpack[..]);
        prop_assert_eq!(to_json(&msgpack).unwrap(), json);
    }

    #[test]
    fn whitespace_and_escapes_change_no_value(tree in tree()) {
        let json = serde_json::to_string_pretty(&tree).unwrap();
        let escaped: String = json.chars().map(|c| match c {
            '\u{80}'.. => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
            _ => c.to_string(),
        }).collect();
        prop_assert_eq!(to_msgpack(&format!("\t{escaped}\r\n")).unwrap(), rmp_serde::to_vec(&tree).unwrap());
    }

    #[test]
    fn messagepack_transcodes_to_stable_json(msgpack in msgpack()) {
        let json = to_json(&msgpack).unwrap();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
        let image = to_msgpack(&json).unwrap();
        prop_assert!(is_msgpack(&image));
        prop_assert_eq!(to_json(&image).unwrap(), json);
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn mutated_text_transcodes_if_it_is_json(tree in tree(), changes in vec((any::<Index>(), change()), 0..4)) {
        let mut json = serde_json::to_vec(&tree).unwrap();
        mutate(&mut json, &changes);
        if let Ok(text) = str::from_utf8(&json) {
            let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
            prop_assert_eq!(to_msgpack(text).is_ok(), is_json, "{}", text);
        }
    }

    #[test]
    fn random_text_transcodes_if_it_is_json(pieces in vec(piece(), 0..8)) {
        let text = pieces.concat();
        let is_json = serde_json::from_str::<&RawValue>(&text).is_ok();
        prop_assert_eq!(to_msgpack(&text).is_ok(), is_json, "{}", text);
    }

    #[test]
    fn mutated_bytes_transcode_if_they_are_messagepack(
        mut data in msgpack(),
        changes in vec((any::<Index>(), change()), 0..4),
    ) {
        mutate(&mut data, &changes);
        prop_assert_eq!(to_json(&data).is_ok(), is_msgpack(&data), "{}", data.escape_ascii());
    }

    #[test]
    fn random_bytes_transcode_if_they_are_messagepack(data in vec(any::<u8>(), 0..40)) {
        if let Ok(json) = to_json(&data) {
            prop_assert!(is_msgpack(&data));
            prop_assert!(serde_json::from_str::<&RawValue>(&json).is_ok(), "{}", json);
        }
    }
}

/// Transcodes a MessagePack payload for a JSON receiver.
fn to_json(msgpack: &[u8]) -> Result<String, EncodeError> {
    let payload = Payload::from_parts(PayloadFormat::Msgpack, msgpack.to_vec().into());
    let message = JsonCodec.encode(&Frame::default().with_payload(payload))?;
    let text = str::from_utf8(&message.data).expect("JSON is text");
    let image = text.strip_prefix("{\"payload\":").and_then(|rest| rest.strip_suffix('}'));
    Ok(image.expect("the message is only a payload").to_owned())
}

/// Transcodes a JSON payload for a MessagePack receiver.
fn to_msgpack(json: &str) -> Result<Vec<u8>, EncodeError> {
    let payload = Payload::from_parts(PayloadFormat::Json, json.to_owned().into());
    let message = MsgpackCodec.encode(&Frame::default().with_payload(payload))?;
    let image = message.data.strip_prefix(b"\x81\xa7payload");
    Ok(image.expect("the message is only a payload").to_vec())
}

/// Whether rmp_serde reads `data` as exactly one value.
fn is_msgpack(data: &[u8]) -> bool {
    let mut rest = data;
    IgnoredAny::deserialize(&mut rmp_serde::Deserializer::new(&mut rest)).is_ok() && rest.is_empty()
}

/// A value that both formats can represent.
#[derive(Debug, Clone)]
enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(items) => items.serialize(serializer),
            // Unlike a map of the standard library, it keeps the order and duplicate names.
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        // Integers of all lengths.
        (any::<u64>(), 0_u32..64).prop_map(|(value, bits)| Tree::Unsigned(value >> bits)),
        (any::<i64>(), 0_u32..64).prop_map(|(value, bits)| Tree::Signed(value >> bits)),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Tree::Float),
        (-1000..1000_i32).prop_map(|value| Tree::Float(f64::from(value) / 8.0)),
        any::<String>().prop_map(Tree::Text),
        (select(&["s", "ä", "\n"][..]), 0..300_usize)
            .prop_map(|(text, count)| Tree::Text(text.repeat(count))),
    ];
    leaf.prop_recursive(4, 60, 24, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..24).prop_map(Tree::List),
            vec(("[a-c\"]{0,2}", inner), 0..24).prop_map(Tree::Object),
        ]
    })
}

/// Any MessagePack value, in any encoding: keys of all types, strings that are not UTF-8.
fn msgpack() -> impl Strategy<Value = Vec<u8>> {
    let numbers = select(
        &[
            (0xca, 4),
            (0xcb, 8),
            (0xcc, 1),
            (0xcd, 2),
            (0xce, 4),
            (0xcf, 8),
            (0xd0, 1),
            (0xd1, 2),
            (0xd2, 4),
            (0xd3, 8),
        ][..],
    );
    let leaf = prop_oneof![
        select(&[0x00, 0x7f, 0xc0, 0xc2, 0xc3, 0xe0, 0xff][..]).prop_map(|byte| vec![byte]),
        (numbers, any::<[u8; 8]>()).prop_map(|((marker, len), bytes)| [&[marker], &bytes[..len]].concat()),
        (
            select(&[0xa0, 0xd9, 0xda, 0xdb][..]),
            prop_oneof![any::<String>().prop_map(String::into_bytes), vec(any::<u8>(), 0..20)]
        )
            .prop_map(|(marker, text)| headed(
                marker,
                text.len().min(20),
                &text[..text.len().min(20)]
            )),
        (select(&[0xc4, 0xc5, 0xc6][..]), vec(any::<u8>(), 0..20)).prop_map(|(marker, bytes)| headed(
            marker,
            bytes.len(),
            &bytes
        )),
        (select(&[0xc7, 0xc8, 0xc9][..]), prop_oneof![any::<u8>(), Just(0xff)], vec(any::<u8>(), 0..20))
            .prop_map(|(marker, kind, data)| headed(marker, data.len(), &[&[kind], &data[..]].concat())),
        // Timestamps, usually in range.
        (select(&[4_usize, 8, 12][..]), any::<[u8; 5]>()).prop_map(|(len, bytes)| {
            let mut data = vec![0; len];
            let some = bytes.len().min(len);
            data[len - some..].copy_from_slice(&bytes[..some]);
            headed(0xc7, len, &[&[0xff], &data[..]].concat())
        }),
    ];
    leaf.prop_recursive(4, 60, 20, |inner| {
        let array = (select(&[0x90, 0xdc, 0xdd][..]), vec(inner.clone(), 0..16))
            .prop_map(|(marker, items)| headed(marker, items.len(), &items.concat()));
        let map = (select(&[0x80, 0xde, 0xdf][..]), vec((inner.clone(), inner), 0..8)).prop_map(
            |(marker, members)| {
                let members: Vec<_> = members.into_iter().map(|(key, value)| [key, value].concat()).collect();
                headed(marker, members.len(), &members.concat())
            },
        );
        prop_oneof![array, map]
    })
}

/// `marker`, the length in the number of bytes that the marker requires, and the rest.
fn headed(marker: u8, len: usize, rest: &[u8]) -> Vec<u8> {
    let bytes = (len as u32).to_be_bytes();
    let head: Vec<u8> = match marker {
        0x80 | 0x90 | 0xa0 => vec![marker | len as u8],
        0xc4 | 0xc7 | 0xd9 => vec![marker, len as u8],
        0xc5 | 0xc8 | 0xda | 0xdc | 0xde => [&[marker], &bytes[2..]].concat(),
        _ => [&[marker], &bytes[..]].concat(),
    };
    [&head[..], rest].concat()
}

#[derive(Debug, Clone)]
enum Change {
    Insert(u8),
    Set(u8),
    Remove,
    Cut,
}

fn change() -> impl Strategy<Value = Change> {
    let byte = || prop_oneof![any::<u8>(), select(&b"[]{},:\"\\-+.eE01tfnu \xc0\xc1\xdd\xdf"[..])];
    prop_oneof![
        byte().prop_map(Change::Insert),
        byte().prop_map(Change::Set),
        Just(Change::Remove),
        Just(Change::Cut)
    ]
}

fn mutate(data: &mut Vec<u8>, changes: &[(Index, Change)]) {
    for (at, change) in changes {
        match *change {
            Change::Insert(byte) => data.insert(at.index(data.len() + 1), byte),
            Change::Cut => data.truncate(at.index(data.len() + 1)),
            _ if data.is_empty() => {}
            Change::Set(byte) => {
                let at = at.index(data.len());
                data[at] = byte;
            }
            Change::Remove => drop(data.remove(at.index(data.len()))),
        }
    }
}

fn piece() -> impl Strategy<Value = &'static str> {
    select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        " ",
        "\n",
        "\"a\":",
        "null",
        "1e999",
        "\"\\ud800\"",
        "\\u",
        "\u{feff}",
        "\u{1}",
        "ä",
        "-",
        "0",
        "1",
        ".",
        "e",
        "E+",
        "t",
        "true",
        "{}",
        "[]",
    ])
}

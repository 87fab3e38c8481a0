//! [`MsgpackCodec`] with generated frames and messages: frames round-trip, and the codec agrees with rmp_serde on which messages
//! are malformed and which are not frames.

mod common;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rejoin_codecs::MsgpackCodec;
use rejoin_core::{Codec, DecodeError, Frame, Message, Payload, PayloadFormat};
use serde::de::{Deserialize, IgnoredAny};

use common::config;

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn frames_round_trip(
        id in any::<String>(),
        event in any::<String>(),
        payload in option::of(payload()),
        (re, room) in any::<(String, String)>(),
        (more, volatile) in any::<(bool, bool)>(),
    ) {
        let mut frame = Frame::event_only(event).with_id(id);
        frame = frame.with_re(re).with_room(room).with_more(more).with_volatile(volatile);
        if let Some(payload) = payload {
            frame = frame.with_payload(payload);
        }
        let message = MsgpackCodec.encode(&frame).unwrap();
        prop_assert!(is_msgpack(&message.data));
        prop_assert_eq!(MsgpackCodec.decode(message).unwrap(), frame);
    }

    #[test]
    fn frames_encode_as_serde_encodes_them(id in ".{1,40}", event in ".{1,300}", items in vec(any::<i64>(), 0..40)) {
        let frame = Frame::event_only(&*event).with_id(&*id).with_payload(Payload::json(&items).unwrap());
        let message = MsgpackCodec.encode(&frame).unwrap();
        #[derive(serde::Serialize)]
        struct Wire {
            id: String,
            event: String,
            payload: Vec<i64>,
        }
        prop_assert_eq!(message.data, rmp_serde::to_vec_named(&Wire { id, event, payload: items }).unwrap());
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn maps_are_read_member_by_member(members in vec(member(), 0..6), head in 0..3_usize) {
        let len = members.len() as u8;
        let heads = [vec![0x80 | len], vec![0xde, 0, len], vec![0xdf, 0, 0, 0, len]];
        let mut data = heads[head].clone();
        for (key, value) in &members {
            data.extend_from_slice(&[&key[..], value].concat());
        }
        let result = MsgpackCodec.decode(Message::binary(data.clone()));
        match expected(&members) {
            Some(([id, event, re, room], [more, volatile], payload)) => {
                let frame = result.unwrap();
                prop_assert_eq!(frame.id(), id);
                prop_assert_eq!(frame.event(), event);
                prop_assert_eq!(frame.re(), re);
                prop_assert_eq!(frame.room(), room);
                prop_assert_eq!((frame.more(), frame.is_volatile()), (more, volatile));
                prop_assert_eq!(frame.payload(), payload.as_ref());
            }
            None => prop_assert!(
                matches!(result, Err(DecodeError::NotAFrame(_))),
                "{}: {:?}", data.escape_ascii(), result
            ),
        }
    }

    #[test]
    fn mutated_messages_agree_with_reference_reader(
        members in vec(member(), 0..4),
        changes in vec((any::<Index>(), any::<u8>(), 0..4), 0..4),
    ) {
        let mut data = vec![0x80 | members.len() as u8];
        for (key, value) in members {
            data.extend([key, value].concat());
        }
        for (at, byte, change) in changes {
            let end = at.index(data.len() + 1);
            match change {
                0 => data.insert(end, byte),
                1 => data.truncate(end),
                _ if data.is_empty() => {}
                2 => {
                    let at = at.index(data.len());
                    data[at] = byte;
                }
                _ => drop(data.remove(at.index(data.len()))),
            }
        }
        agrees_with_rmp_serde(&data)?;
    }

    #[test]
    fn random_messages_agree_with_reference_reader(pieces in vec(piece(), 0..8)) {
        agrees_with_rmp_serde(&pieces.concat())?;
    }
}

/// Malformed means: not MessagePack, or an id or event that is not UTF-8. Not a frame means: no map header.
fn agrees_with_rmp_serde(data: &[u8]) -> Result<(), TestCaseError> {
    let result = MsgpackCodec.decode(Message::binary(data.to_vec()));
    match &result {
        Err(DecodeError::Malformed(why)) if why.contains("utf-8") => {
            prop_assert!(str::from_utf8(data).is_err())
        }
        Err(DecodeError::Malformed(_)) => {
            prop_assert!(!is_msgpack(data), "{}: {:?}", data.escape_ascii(), result)
        }
        _ => prop_assert!(is_msgpack(data), "{}: {:?}", data.escape_ascii(), result),
    }
    if result.is_ok() {
        prop_assert!(matches!(data[0], 0x80..=0x8f | 0xde | 0xdf));
    }
    Ok(())
}

/// Whether rmp_serde reads `data` as exactly one value.
fn is_msgpack(data: &[u8]) -> bool {
    let mut rest = data;
    IgnoredAny::deserialize(&mut rmp_serde::Deserializer::new(&mut rest)).is_ok() && rest.is_empty()
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(Payload::bytes),
        value().prop_filter("a bin is bytes", |data| data[0] != 0xc4).prop_map(msgpack),
    ]
}

fn msgpack(data: Vec<u8>) -> Payload {
    Payload::from_parts(PayloadFormat::Msgpack, data.into())
}

fn packed<T: serde::Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("MessagePack can represent it")
}

/// A value of MessagePack.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        any::<Option<bool>>().prop_map(|value| packed(&value)),
        any::<i64>().prop_map(|value| packed(&value)),
        any::<f64>().prop_map(|value| packed(&value)),
        any::<String>().prop_map(|value| packed(&value)),
        vec(any::<u8>(), 0..9).prop_map(|bytes| [&[0xc4, bytes.len() as u8], &bytes[..]].concat()),
        vec(any::<u8>(), 1..9).prop_map(|bytes| [&[0xc7, bytes.len() as u8 - 1], &bytes[..]].concat()),
        Just(b"\xa2\xff\xfe".to_vec()),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let array = vec(inner.clone(), 0..4)
            .prop_map(|items| [vec![0x90 | items.len() as u8], items.concat()].concat());
        let map = vec((inner.clone(), inner), 0..4).prop_map(|members| {
            let mut data = vec![0x80 | members.len() as u8];
            data.extend(members.into_iter().flat_map(|(key, value)| [key, value].concat()));
            data
        });
        prop_oneof![array, map]
    })
}

/// A member's key and value.
fn member() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let keys = [
        &b"\xa2id"[..],
        b"\xa5event",
        b"\xa7payload",
        b"\xd9\x02id",
        b"\xda\x00\x05event",
        b"\xdb\x00\x00\x00\x07payload",
        b"\xa2re",
        b"\xa4more",
        b"\xa8volatile",
        b"\xd9\x04room",
        b"\xa0",
        b"\xa2Id",
        b"\xa3id\0",
        b"\xa2\xff\xfe",
        b"\xc4\x02id",
        b"\xc0",
        b"\x91\xa2id",
        b"\x07",
    ];
    let key = prop_oneof![9 => select(keys.to_vec()).prop_map(<[u8]>::to_vec), 1 => value()];
    let string = any::<String>().prop_map(|text| packed(&text));
    // Strings that are not UTF-8 have their own test: as an id they are malformed.
    let other = value().prop_filter("UTF-8", |data| data[..] != b"\xa2\xff\xfe"[..]);
    (key, prop_oneof![3 => string, 1 => other])
}

/// The strings, booleans and payload of a frame.
type Parts = ([String; 4], [bool; 2], Option<Payload>);

/// The expected result for a map of these members, or `None` if it is not a frame.
fn expected(members: &[(Vec<u8>, Vec<u8>)]) -> Option<Parts> {
    let find = |name: &str| {
        let mut found = members.iter().filter(|(key, _)| string(key).is_some_and(|key| key == name));
        let first = found.next().map(|(_, value)| value);
        found.next().is_none().then_some(first)
    };
    let text = |value: Option<&Vec<u8>>| value.map_or(Some(String::new()), |value| string(value));
    let flag = |value: Option<&Vec<u8>>| value.map_or(Some(false), |value| rmp_serde::from_slice(value).ok());
    let texts = [text(find("id")?)?, text(find("event")?)?, text(find("re")?)?, text(find("room")?)?];
    let flags = [flag(find("more")?)?, flag(find("volatile")?)?];
    let payload = find("payload")?.map(|data| match data[0] {
        0xc4 => Payload::bytes(data[2..].to_vec()),
        _ => msgpack(data.clone()),
    });
    Some((texts, flags, payload))
}

/// `data` as a string, if it is one. rmp_serde would also accept a `bin`.
fn string(data: &[u8]) -> Option<String> {
    matches!(data[0], 0xa0..=0xbf | 0xd9..=0xdb).then(|| rmp_serde::from_slice(data).ok()).flatten()
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let heads = [
        &b"\x80"[..],
        b"\x81",
        b"\x82",
        b"\xde\x00\x01",
        b"\xdf\x00\x00\x00\x01",
        b"\x92",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
    ];
    prop_oneof![
        select(heads.to_vec()).prop_map(<[u8]>::to_vec),
        member().prop_map(|(key, value)| [key, value].concat())
    ]
}

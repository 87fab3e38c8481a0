//! [`JsonCodec`] with generated frames and messages: frames round-trip, and the codec agrees with serde_json on which messages
//! are malformed and which are not frames.

mod common;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rejoin_codecs::JsonCodec;
use rejoin_core::{Codec, DecodeError, Frame, Message, MessageKind, Payload};
use serde_json::value::RawValue;

use common::config;

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn frames_round_trip(
        id in any::<String>(),
        event in any::<String>(),
        payload in option::of(json()),
        (re, room) in any::<(String, String)>(),
        (more, volatile) in any::<(bool, bool)>(),
    ) {
        let mut frame = Frame::event_only(event).with_id(id);
        frame = frame.with_re(re).with_room(room).with_more(more).with_volatile(volatile);
        if let Some(text) = &payload {
            frame = frame.with_payload(Payload::json_text(text).unwrap());
        }
        let message = JsonCodec.encode(&frame).unwrap();
        prop_assert!(str::from_utf8(&message.data).is_ok());
        let decoded = JsonCodec.decode(message).unwrap();
        prop_assert_eq!(decoded.payload().map(Payload::data), frame.payload().map(Payload::data));
        prop_assert_eq!(decoded, frame);
    }

    #[test]
    fn opaque_bytes_round_trip_as_base64(bytes in vec(any::<u8>(), 0..100)) {
        use base64::Engine;
        let frame = Frame::default().with_payload(Payload::bytes(bytes.clone()));
        let decoded = JsonCodec.decode(JsonCodec.encode(&frame).unwrap()).unwrap();
        let text: String = decoded.decode().unwrap();
        prop_assert_eq!(base64::engine::general_purpose::STANDARD.decode(text).unwrap(), bytes);
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn objects_are_read_member_by_member(members in vec(member(), 0..6)) {
        let texts: Vec<_> = members.iter().map(|(name, value)| format!("{name} :{value}")).collect();
        let text = format!("{{{}}}", texts.join(" ,\n"));
        let result = JsonCodec.decode(Message::text(&*text));
        match expected(&members) {
            Some(([id, event, re, room], [more, volatile], payload)) => {
                let frame = result.unwrap();
                prop_assert_eq!(frame.id(), id);
                prop_assert_eq!(frame.event(), event);
                prop_assert_eq!(frame.re(), re);
                prop_assert_eq!(frame.room(), room);
                prop_assert_eq!((frame.more(), frame.is_volatile()), (more, volatile));
                let data = frame.payload().map(|payload| &payload.data()[..]);
                prop_assert_eq!(data, payload.as_deref().map(str::as_bytes));
            }
            None => prop_assert!(matches!(result, Err(DecodeError::NotAFrame(_))), "{}: {:?}", text, result),
        }
    }

    #[test]
    fn mutated_messages_agree_with_reference_reader(
        members in vec(member(), 0..4),
        changes in vec((any::<Index>(), change()), 0..4),
    ) {
        let texts: Vec<_> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let mut data = format!("{{{}}}", texts.join(",")).into_bytes();
        for (at, change) in changes {
            match change {
                Change::Insert(piece) => {
                    let at = at.index(data.len() + 1);
                    data.splice(at..at, piece.bytes());
                }
                Change::Set(byte) if !data.is_empty() => {
                    let at = at.index(data.len());
                    data[at] = byte;
                }
                Change::Remove if !data.is_empty() => drop(data.remove(at.index(data.len()))),
                Change::Cut => data.truncate(at.index(data.len() + 1)),
                Change::Set(_) | Change::Remove => {}
            }
        }
        agrees_with_serde_json(&data)?;
    }

    #[test]
    fn random_messages_agree_with_reference_reader(pieces in vec(piece(), 0..12)) {
        agrees_with_serde_json(pieces.concat().as_bytes())?;
    }
}

/// Malformed means: not JSON. Not a frame means: not an object.
fn agrees_with_serde_json(data: &[u8]) -> Result<(), TestCaseError> {
    let is_json = serde_json::from_slice::<&RawValue>(data).is_ok();
    let result = JsonCodec.decode(Message { kind: MessageKind::Text, data: data.to_vec().into() });
    let malformed = matches!(result, Err(DecodeError::Malformed(_)));
    prop_assert_eq!(malformed, !is_json, "{}: {:?}", data.escape_ascii(), result);
    if result.is_ok() {
        prop_assert_eq!(data.trim_ascii().first(), Some(&b'{'));
    }
    Ok(())
}

/// A JSON text with whitespace, escapes, and numbers beyond a double.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(&["null", "true", "false", "1.0", "-0", "\"\\ud800\"", "\"\""][..]).prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
        any::<String>().prop_map(quoted),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let space = select(&["", " ", "\n", "\t\r "][..]);
        let list = (vec(inner.clone(), 0..4), space.clone())
            .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},"))));
        let object = (vec((any::<String>(), inner), 0..4), space).prop_map(|(members, space)| {
            let member = |(name, value): (String, String)| format!("{}{space}:{space}{value}", quoted(name));
            let members: Vec<_> = members.into_iter().map(member).collect();
            format!("{{{space}{}}}", members.join(","))
        });
        prop_oneof![list, object]
    })
}

fn quoted(text: String) -> String {
    serde_json::Value::from(text).to_string()
}

/// A member's name and value as JSON texts.
fn member() -> impl Strategy<Value = (String, String)> {
    let names = [
        "\"id\"",
        "\"event\"",
        "\"payload\"",
        "\"\\u0069d\"",
        "\"e\\u0076ent\"",
        "\"payloa\\u0064\"",
        "\"re\"",
        "\"more\"",
        "\"volatile\"",
        "\"roo\\u006d\"",
        "\"\"",
        "\"Id\"",
        "\"id \"",
        "\"\\ud800\"",
        "\"x\"",
    ];
    let string = any::<String>().prop_map(quoted);
    let value = prop_oneof![3 => string, 1 => json()];
    (select(names.to_vec()).prop_map(str::to_owned), value)
}

/// The strings, booleans and payload of a frame.
type Parts = ([String; 4], [bool; 2], Option<String>);

/// The expected result for an object of these members, or `None` if it is not a frame.
fn expected(members: &[(String, String)]) -> Option<Parts> {
    let find = |name| {
        let of_name = |member: &&(String, String)| {
            serde_json::from_str::<String>(&member.0).is_ok_and(|other| other == name)
        };
        let mut found = members.iter().filter(of_name).map(|(_, value)| value);
        let first = found.next();
        found.next().is_none().then_some(first)
    };
    let string =
        |value: Option<&String>| value.map_or(Some(String::new()), |value| serde_json::from_str(value).ok());
    let flag = |value: Option<&String>| value.map_or(Some(false), |value| serde_json::from_str(value).ok());
    let texts = [string(find("id")?)?, string(find("event")?)?, string(find("re")?)?, string(find("room")?)?];
    Some((texts, [flag(find("more")?)?, flag(find("volatile")?)?], find("payload")?.cloned()))
}

#[derive(Debug, Clone)]
enum Change {
    Insert(&'static str),
    Set(u8),
    Remove,
    Cut,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        piece().prop_map(Change::Insert),
        any::<u8>().prop_map(Change::Set),
        Just(Change::Remove),
        Just(Change::Cut),
    ]
}

fn piece() -> impl Strategy<Value = &'static str> {
    let pieces = [
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
        "\"id\"",
        "\"event\"",
        "\"payload\"",
        "null",
        "1e999",
        "\"\\ud800\"",
        "\\u",
        "\"x\":1,",
        "\u{feff}",
        "\u{1}",
        "ä",
        "-",
        "0",
        ".",
        "e",
        "t",
        "true",
        "{}",
        "[]",
    ];
    select(pieces.to_vec())
}

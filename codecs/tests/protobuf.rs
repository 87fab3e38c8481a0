//! [`ProtobufCodec`] against `frame.proto`: the schema is compiled, its descriptor and the codec read each other's frames, and
//! both refuse the same messages.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod common;

use std::path::Path;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use protox::prost_reflect::prost::Message as _;
use protox::prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};
use rejoin_codecs::ProtobufCodec;
use rejoin_core::{Codec, DecodeError, Frame, Message, Payload, PayloadFormat};

use common::config;

/// `rejoin.v1.Frame`, from the file for implementers in other languages.
static FRAME: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files = protox::compile(["rejoin/v1/frame.proto"], [folder]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    pool.get_message_by_name("rejoin.v1.Frame").unwrap()
});

#[test]
fn schema_is_the_one_in_protocol_md() {
    let fields: Vec<_> = FRAME
        .fields()
        .map(|field| {
            assert_eq!(field.cardinality(), Cardinality::Optional);
            let kind = match field.kind() {
                Kind::String => "string".to_owned(),
                Kind::Bytes => "bytes".to_owned(),
                Kind::Bool => "bool".to_owned(),
                Kind::Enum(values) => values.full_name().to_owned(),
                other => panic!("{other:?}"),
            };
            (field.number(), field.name().to_owned(), kind, field.supports_presence())
        })
        .collect();
    let expected = [
        (1, "id", "string", false),
        (2, "event", "string", false),
        (3, "payload", "bytes", true),
        (4, "format", "rejoin.v1.PayloadFormat", false),
        (5, "re", "string", false),
        (6, "volatile", "bool", false),
        (7, "more", "bool", false),
        (8, "room", "string", false),
    ];
    assert_eq!(
        fields,
        expected.map(|(number, name, kind, presence)| (number, name.into(), kind.into(), presence))
    );
    let format = FRAME.parent_pool().get_enum_by_name("rejoin.v1.PayloadFormat").unwrap();
    let values: Vec<_> = format.values().map(|value| (value.number(), value.name().to_owned())).collect();
    assert_eq!(values, [(0, "BYTES".into()), (1, "JSON".into()), (2, "MSGPACK".into())]);
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn frames_round_trip_and_match_the_schema(
        id in any::<String>(),
        event in any::<String>(),
        payload in option::of(payload()),
        (re, room) in any::<(String, String)>(),
        (more, volatile) in any::<(bool, bool)>(),
    ) {
        let mut frame = Frame::event_only(&*event).with_id(&*id);
        frame = frame.with_re(&*re).with_room(&*room).with_more(more).with_volatile(volatile);
        if let Some(payload) = &payload {
            frame = frame.with_payload(payload.clone());
        }
        let message = ProtobufCodec.encode(&frame).unwrap();
        prop_assert_eq!(ProtobufCodec.decode(message.clone()).unwrap(), frame);

        let reflected = DynamicMessage::decode(FRAME.clone(), &*message.data).unwrap();
        prop_assert_eq!(reflected.unknown_fields().count(), 0);
        let mut written = by_schema(&id, &event, payload.as_ref().map(|it| (&it.data()[..], number(it.format()))));
        written.set_field_by_name("re", Value::String(re));
        written.set_field_by_name("room", Value::String(room));
        written.set_field_by_name("more", Value::Bool(more));
        written.set_field_by_name("volatile", Value::Bool(volatile));
        prop_assert_eq!(&message.data, &reflected.encode_to_vec());
        // Byte for byte: defaults are omitted, and fields are in the order of their numbers.
        prop_assert_eq!(&message.data, &written.encode_to_vec());
    }

    #[test]
    fn messages_of_the_schema_are_read(
        id in any::<String>(),
        event in any::<String>(),
        payload in option::of((vec(any::<u8>(), 0..40), -1..4)),
    ) {
        let of_schema = by_schema(&id, &event, payload.as_ref().map(|(data, format)| (&data[..], *format)));
        agrees_with_schema(&of_schema.encode_to_vec())?;
    }
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn fields_are_read_in_any_order(fields in vec(field(), 0..8)) {
        agrees_with_schema(&fields.concat())?;
    }

    #[test]
    fn mutated_messages_agree_with_reference_reader(
        fields in vec(field(), 0..5),
        changes in vec((any::<Index>(), any::<u8>(), 0..4), 0..4),
    ) {
        let mut data = fields.concat();
        for (at, byte, change) in changes {
            match change {
                0 => data.insert(at.index(data.len() + 1), byte),
                1 => data.truncate(at.index(data.len() + 1)),
                _ if data.is_empty() => {}
                2 => *at.get_mut(&mut data) = byte,
                _ => drop(data.remove(at.index(data.len()))),
            }
        }
        agrees_with_schema(&data)?;
    }

    #[test]
    fn random_messages_agree_with_reference_reader(data in vec(prop_oneof![0..50_u8, any::<u8>()], 0..20)) {
        agrees_with_schema(&data)?;
    }
}

/// Encodes a message of these fields with the schema only.
fn by_schema(id: &str, event: &str, payload: Option<(&[u8], i32)>) -> DynamicMessage {
    let mut message = DynamicMessage::new(FRAME.clone());
    message.set_field_by_name("id", Value::String(id.into()));
    message.set_field_by_name("event", Value::String(event.into()));
    if let Some((data, format)) = payload {
        message.set_field_by_name("payload", Value::Bytes(data.to_vec().into()));
        message.set_field_by_name("format", Value::EnumNumber(format));
    }
    message
}

/// The codec reads what the schema reads, unless the payload does not match its format, and refuses everything else.
fn agrees_with_schema(data: &[u8]) -> Result<(), TestCaseError> {
    let result = ProtobufCodec.decode(Message::binary(data.to_vec()));
    let Ok(reflected) = DynamicMessage::decode(FRAME.clone(), data) else {
        prop_assert!(result.is_err(), "{}: {:?}", data.escape_ascii(), result);
        return Ok(());
    };
    let text = |name| reflected.get_field_by_name(name).unwrap().as_str().unwrap().to_owned();
    let flag = |name| reflected.get_field_by_name(name).unwrap().as_bool().unwrap();
    let frame =
        Frame::event_only(text("event")).with_id(text("id")).with_re(text("re")).with_room(text("room"));
    let mut expected = Ok(frame.with_more(flag("more")).with_volatile(flag("volatile")));
    if reflected.has_field_by_name("payload") {
        let bytes = reflected.get_field_by_name("payload").unwrap().as_bytes().unwrap().clone();
        let format = reflected.get_field_by_name("format").unwrap().as_enum_number().unwrap();
        let payload = match format {
            0 => Ok(Payload::bytes(bytes.clone())),
            1 => str::from_utf8(&bytes).ok().and_then(|text| Payload::json_text(text).ok()).ok_or(1007),
            // The codec's own tests cover valid MessagePack: here it must either accept or refuse it.
            2 => match &result {
                Ok(frame) => Ok(frame.payload().unwrap().clone()),
                Err(_) => Err(1007),
            },
            _ => Err(1008_u16),
        };
        if format == 2
            && let Ok(read) = &payload
        {
            prop_assert!(read.format() == PayloadFormat::Msgpack || read.format() == PayloadFormat::Bytes);
            prop_assert!(bytes.ends_with(read.data()));
        }
        expected = expected.and_then(|frame| Ok(frame.with_payload(payload?)));
    }
    prop_assert_eq!(
        result.as_ref().map_err(DecodeError::close_code),
        expected.as_ref().map_err(|code| *code)
    );
    Ok(())
}

fn number(format: PayloadFormat) -> i32 {
    match format {
        PayloadFormat::Bytes => 0,
        PayloadFormat::Json => 1,
        PayloadFormat::Msgpack => 2,
        other => panic!("{other}"),
    }
}

const JSON: [&str; 6] =
    ["null", "1.0", "-0", "\"\\ud800\"", "[1,{\"a\": null}]", "123456789012345678901234567890"];
const MSGPACK: [&[u8]; 6] = [
    b"\xc0",
    b"\xcd\x00\x01",
    b"\xd4\x05\x07",
    b"\x81\x01\x02",
    b"\x92\xa1a\xc4\x01\xff",
    b"\xcb\x40\0\0\0\0\0\0\0",
];
const NO_JSON: [&str; 6] = ["", " ", "1 2", "{", "\u{feff}1", "tru"];
const NO_MSGPACK: [&[u8]; 6] =
    [b"\xc0\xc0", b"\x91", b"\xc4\x02\xff", b"\xdf\xff\xff\xff\xff", b"\xc1", b"\xa1"];

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(Payload::bytes),
        select(&JSON[..]).prop_map(|text| Payload::json_text(text).unwrap()),
        select(&MSGPACK[..]).prop_map(|data| Payload::from_parts(PayloadFormat::Msgpack, data.into())),
    ]
}

/// A field, usually one of ours with a value of its type, but not always a valid one.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![4 => 1..9_u64, 1 => 9..20_u64, 1 => select(&[0, (1 << 29) - 1, 1 << 29][..])];
    prop_oneof![
        3 => (select(&[1, 2, 5, 8_u64][..]), any::<String>()).prop_map(|(number, text)| bytes_field(number, text.as_bytes())),
        4 => payload_bytes().prop_map(|data| bytes_field(3, &data)),
        4 => (0..4_u64).prop_map(|format| [tag(4, 0), varint(format)].concat()),
        2 => (6..8_u64, 0..3_u64).prop_map(|(number, flag)| [tag(number, 0), varint(flag)].concat()),
        1 => any::<u64>().prop_map(|format| [tag(4, 0), varint(format)].concat()),
        1 => (number.clone(), vec(any::<u8>(), 0..8)).prop_map(|(number, data)| bytes_field(number, &data)),
        1 => (number.clone(), any::<u64>()).prop_map(|(number, value)| [tag(number, 0), varint(value)].concat()),
        1 => number.clone().prop_map(|number| [tag(number, 1), vec![1; 8]].concat()),
        1 => number.clone().prop_map(|number| [tag(number, 5), vec![1; 4]].concat()),
        1 => (number.clone(), 3..8_u64).prop_map(|(number, wire_type)| tag(number, wire_type)),
        1 => (number, vec(any::<u8>(), 0..4), 1..30_usize).prop_map(|(number, data, depth)| {
            [tag(number, 3).repeat(depth), bytes_field(1, &data), tag(number, 4).repeat(depth)].concat()
        }),
    ]
}

fn payload_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        payload().prop_map(|payload| payload.data().to_vec()),
        select(&NO_JSON[..]).prop_map(|text| text.as_bytes().to_vec()),
        select(&NO_MSGPACK[..]).prop_map(<[u8]>::to_vec),
    ]
}

fn tag(number: u64, wire_type: u64) -> Vec<u8> {
    varint(number << 3 | wire_type)
}

fn bytes_field(number: u64, data: &[u8]) -> Vec<u8> {
    [&tag(number, 2), &varint(data.len() as u64), data].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut data = Vec::new();
    while value >= 0x80 {
        data.push(value as u8 | 0x80);
        value >>= 7;
    }
    data.push(value as u8);
    data
}

//! The vectors in `tests/vectors/codecs`, which codecs in other languages are tested against: every message there decodes as its
//! vector says. `REJOIN_WRITE_VECTORS=1` writes the files again from the messages below.

mod messages;

use std::path::PathBuf;
use std::{env, fs};

use rejoin_codecs::{JsonCodec, MsgpackCodec, ProtobufCodec};
use rejoin_core::{Codec, DecodeError, Message};
use serde_json::{Value, json};

#[test]
fn msgpack_vectors_are_up_to_date() {
    check("msgpack", &MsgpackCodec, &messages::msgpack());
}

#[test]
fn protobuf_vectors_are_up_to_date() {
    check("protobuf", &ProtobufCodec, &messages::protobuf());
}

fn check(name: &str, codec: &dyn Codec, messages: &[Vec<u8>]) {
    let vectors: Vec<Value> = messages.iter().map(|data| vector(codec, data)).collect();
    let lines: Vec<String> = vectors.iter().map(Value::to_string).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/vectors/codecs/{name}.json"));
    if env::var_os("REJOIN_WRITE_VECTORS").is_some() {
        fs::write(&path, &text).expect("the folder exists");
    }
    assert!(
        fs::read_to_string(&path).expect("the file exists") == text,
        "run this test with REJOIN_WRITE_VECTORS=1"
    );
}

/// The result of decoding a message. The members are described in `tests/vectors/codecs/README.md`.
fn vector(codec: &dyn Codec, data: &[u8]) -> Value {
    let bytes: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    let frame = match codec.decode(Message::binary(data.to_vec())) {
        Ok(frame) => frame,
        Err(DecodeError::Malformed(_)) => return json!({"bytes": bytes, "error": "malformed"}),
        Err(DecodeError::NotAFrame(_)) => return json!({"bytes": bytes, "error": "not a frame"}),
        Err(other) => panic!("{bytes}: {other}"),
    };
    let is_canonical = codec.encode(&frame).expect("it was decoded").data == data;
    let text = |message: Message| String::from_utf8(message.data.to_vec()).expect("JSON is UTF-8");
    let json = JsonCodec.encode(&frame).ok().map(text);
    json!({"bytes": bytes, "json": json, "canonical": is_canonical})
}

//! The cost of a frame compared with its format alone: an application's value is encoded into a message and back, by each codec,
//! and by the format's own library with a struct `{id, event, payload}` of the same contents.
//!
//! `rejoin` is the path of an application: the value into a payload, the frame encoded; the message decoded, the value read from
//! the frame. `plain` is the same with the struct: the value moved into it and the whole serialized; the whole deserialized.
//! Prints the message lengths first.

use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use prost::Message as _;
use rejoin_codecs::{JsonCodec, MsgpackCodec, ProtobufCodec};
use rejoin_core::{Codec, Frame, Message};
use serde::{Deserialize, Serialize};

fn main() {
    println!("bytes of a message   rejoin    plain");
    for size in SIZES {
        print_len::<Json>(size);
        print_len::<Msgpack>(size);
        print_len::<Protobuf>(size);
    }
    divan::main();
}

/// The approximate size of the payload in JSON, in bytes.
const SIZES: [usize; 3] = [64, 1024, 16 * 1024];

const ID: &str = "m-4711";
const EVENT: &str = "game.moved";

/// Strings, numbers, and a list of similar values.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Turn {
    #[prost(string, tag = "1")]
    author: String,
    #[prost(uint64, tag = "2")]
    at: u64,
    #[prost(message, repeated, tag = "3")]
    moves: Vec<Move>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Move {
    #[prost(string, tag = "1")]
    piece: String,
    #[prost(double, tag = "2")]
    x: f64,
    #[prost(double, tag = "3")]
    y: f64,
    #[prost(sint32, tag = "4")]
    points: i32,
    #[prost(bool, tag = "5")]
    taken: bool,
    #[prost(string, tag = "6")]
    comment: String,
}

fn turn(size: usize) -> Turn {
    let mut turn = Turn { author: "ada.lovelace@example.org".into(), at: 1_767_225_600_000, moves: vec![] };
    let len = |turn: &Turn| serde_json::to_vec(turn).expect("JSON can represent it").len();
    while len(&turn) < size {
        let n = turn.moves.len() as i32;
        turn.moves.push(Move {
            piece: format!("knight-{n}"),
            x: f64::from(n) * 1.25 + 0.1,
            y: 640.0 - f64::from(n) / 3.0,
            points: (n * 7919) % 1000 - 500,
            taken: n % 3 == 0,
            comment: "over the bridge, »quietly«\n".into(),
        });
    }
    turn
}

/// The frame as a struct for the format's own library.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Plain {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    event: String,
    #[prost(message, required, tag = "3")]
    payload: Turn,
}

fn plain(payload: Turn) -> Plain {
    Plain { id: ID.into(), event: EVENT.into(), payload }
}

trait Format {
    const NAME: &str;
    const CODEC: &dyn Codec;
    fn frame(turn: &Turn) -> Frame;
    fn read(frame: &Frame) -> Turn;
    fn encode_plain(plain: &Plain) -> Vec<u8>;
    fn decode_plain(data: &[u8]) -> Plain;
}

struct Json;

impl Format for Json {
    const NAME: &str = "json";
    const CODEC: &dyn Codec = &JsonCodec;

    fn frame(turn: &Turn) -> Frame {
        Frame::new(EVENT, turn).expect("JSON can represent it").with_id(ID)
    }

    fn read(frame: &Frame) -> Turn {
        frame.decode().expect("the value is a turn")
    }

    fn encode_plain(plain: &Plain) -> Vec<u8> {
        serde_json::to_vec(plain).expect("JSON can represent it")
    }

    fn decode_plain(data: &[u8]) -> Plain {
        serde_json::from_slice(data).expect("the message is a frame")
    }
}

struct Msgpack;

impl Format for Msgpack {
    const NAME: &str = "msgpack";
    const CODEC: &dyn Codec = &MsgpackCodec;

    fn frame(turn: &Turn) -> Frame {
        Frame::msgpack(EVENT, turn).expect("MessagePack can represent it").with_id(ID)
    }

    fn read(frame: &Frame) -> Turn {
        frame.decode().expect("the value is a turn")
    }

    fn encode_plain(plain: &Plain) -> Vec<u8> {
        rmp_serde::to_vec_named(plain).expect("MessagePack can represent it")
    }

    fn decode_plain(data: &[u8]) -> Plain {
        rmp_serde::from_slice(data).expect("the message is a frame")
    }
}

struct Protobuf;

impl Format for Protobuf {
    const NAME: &str = "protobuf";
    const CODEC: &dyn Codec = &ProtobufCodec;

    fn frame(turn: &Turn) -> Frame {
        Frame::protobuf(EVENT, turn).with_id(ID)
    }

    fn read(frame: &Frame) -> Turn {
        frame.decode_protobuf().expect("the value is a turn")
    }

    fn encode_plain(plain: &Plain) -> Vec<u8> {
        plain.encode_to_vec()
    }

    fn decode_plain(data: &[u8]) -> Plain {
        Plain::decode(data).expect("the message is a frame")
    }
}

fn encode<F: Format>(turn: &Turn) -> (Message, Frame) {
    let frame = F::frame(turn);
    let message = F::CODEC.encode(&frame).expect("the codec can represent its own format");
    (message, frame)
}

fn print_len<F: Format>(size: usize) {
    let (rejoin, plain) = (encode::<F>(&turn(size)).0.data.len(), F::encode_plain(&plain(turn(size))).len());
    println!("{:>8} {size:>7} {rejoin:>10} {plain:>8}", F::NAME);
}

#[divan::bench(types = [Json, Msgpack, Protobuf], args = SIZES)]
fn encode_rejoin<F: Format>(bencher: Bencher<'_, '_>, size: usize) {
    let turn = turn(size);
    let len = encode::<F>(&turn).0.data.len();
    // Passed by value, as below; the returned value is dropped outside of the measured time.
    let bencher = bencher.counter(BytesCount::new(len)).with_inputs(|| turn.clone());
    bencher.bench_local_values(|turn| (encode::<F>(black_box(&turn)), turn));
}

#[divan::bench(types = [Json, Msgpack, Protobuf], args = SIZES)]
fn encode_plain<F: Format>(bencher: Bencher<'_, '_>, size: usize) {
    let turn = turn(size);
    let len = F::encode_plain(&plain(turn.clone())).len();
    let bencher = bencher.counter(BytesCount::new(len)).with_inputs(|| turn.clone());
    bencher.bench_local_values(|turn| {
        let plain = plain(black_box(turn));
        (Bytes::from(F::encode_plain(&plain)), plain)
    });
}

#[divan::bench(types = [Json, Msgpack, Protobuf], args = SIZES)]
fn decode_rejoin<F: Format>(bencher: Bencher<'_, '_>, size: usize) {
    let turn = turn(size);
    let (message, _) = encode::<F>(&turn);
    let bencher = bencher.counter(BytesCount::new(message.data.len()));
    bencher.with_inputs(|| message.clone()).bench_local_values(|message| {
        let frame = F::CODEC.decode(black_box(message)).expect("the message is a frame");
        (F::read(&frame), frame)
    });
}

#[divan::bench(types = [Json, Msgpack, Protobuf], args = SIZES)]
fn decode_plain<F: Format>(bencher: Bencher<'_, '_>, size: usize) {
    let data = F::encode_plain(&plain(turn(size)));
    bencher.counter(BytesCount::new(data.len())).bench_local(|| F::decode_plain(black_box(&data)));
}

//! The cost of a message between socket and handler: RFC 6455 framing, and the JSON codec.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use rejoin_codecs::JsonCodec;
use rejoin_core::ws::{self, Decoder, Incoming, Role};
use rejoin_core::{Codec, Frame, Message, MessageKind};

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [128, 1024, 16 * 1024];

fn text(size: usize) -> Vec<u8> {
    let frame = Frame::new("chat.message", &"x".repeat(size)).expect("JSON can represent a string");
    JsonCodec.encode(&frame).expect("JSON can represent it").data.to_vec()
}

/// Encodes the message as a client sends it: masked.
fn masked(payload: &[u8]) -> Vec<u8> {
    let server = ws::encode_message(MessageKind::Text, payload);
    let (head, body) = server.split_at(server.len() - payload.len());
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut wire = head.to_vec();
    wire[1] |= 0x80;
    wire.extend(key);
    wire.extend(body.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    wire
}

#[divan::bench(args = SIZES)]
fn decode_message(bencher: Bencher<'_, '_>, size: usize) {
    let wire = masked(&text(size));
    let mut decoder = Decoder::new(Role::Server, 1 << 20);
    bencher.counter(BytesCount::new(wire.len())).with_inputs(|| wire.clone()).bench_local_refs(|read| {
        let mut input = &mut read[..];
        let incoming = decoder.decode(&mut input).expect("the frame is well-formed");
        assert!(matches!(black_box(incoming), Some(Incoming::Message(_))));
    });
}

#[divan::bench(args = SIZES)]
fn encode_message(bencher: Bencher<'_, '_>, size: usize) {
    let text = text(size);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| ws::encode_message(MessageKind::Text, black_box(&text)));
}

#[divan::bench(args = SIZES)]
fn json_decode(bencher: Bencher<'_, '_>, size: usize) {
    let message = Message { kind: MessageKind::Text, data: text(size).into() };
    bencher
        .counter(BytesCount::new(message.data.len()))
        .bench_local(|| JsonCodec.decode(black_box(message.clone())));
}

#[divan::bench(args = SIZES)]
fn json_encode(bencher: Bencher<'_, '_>, size: usize) {
    let frame = Frame::new("chat.message", &"x".repeat(size)).expect("JSON can represent a string");
    bencher.counter(BytesCount::new(size)).bench_local(|| JsonCodec.encode(black_box(&frame)));
}

//! The Protobuf codec in both directions, compared with another Protobuf parser.

use bytes::Bytes;
use prost::Message as _;
use rejoin_codecs::{ProtobufCodec, payloads};
use rejoin_core::{Codec, Message, Payload};

/// `rejoin.v1.Frame`.
#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    event: String,
    #[prost(bytes = "bytes", optional, tag = "3")]
    payload: Option<Bytes>,
    #[prost(int32, tag = "4")]
    format: i32,
    #[prost(string, tag = "5")]
    re: String,
    #[prost(bool, tag = "6")]
    volatile: bool,
    #[prost(bool, tag = "7")]
    more: bool,
    #[prost(string, tag = "8")]
    room: String,
}

/// The first byte chooses whether the rest is a message from the network or a frame of the application.
///
/// # Panics
/// Panics if the codec violates a requirement of [`rejoin_codecs::conformance`], or does not read a message that the other parser
/// reads.
pub fn run(data: &[u8]) {
    super::codec::run(&ProtobufCodec, data);
    if let Some((1, data)) = data.split_first() {
        compare(&Bytes::copy_from_slice(data));
    }
}

fn compare(data: &Bytes) {
    let decoded = ProtobufCodec.decode(Message::binary(data.clone()));
    let Ok(reference) = Frame::decode(data.clone()) else {
        // The other parser supports at most 100 nested groups.
        return assert!(decoded.is_err() || data.iter().filter(|byte| **byte & 7 == 3).count() > 90);
    };
    let payload = match (&reference.payload, reference.format) {
        (None, _) => Ok(None),
        (Some(data), 0) => Ok(Some(Payload::bytes(data.clone()))),
        (Some(data), 1) => payloads::json(data).map(Some),
        (Some(data), 2) => payloads::msgpack(data).map(Some),
        (Some(_), _) => return assert!(decoded.is_err(), "a format that is not known"),
    };
    match (decoded, payload) {
        (Ok(frame), Ok(payload)) => {
            assert_eq!((frame.id(), frame.event()), (&*reference.id, &*reference.event));
            assert_eq!((frame.re(), frame.room()), (&*reference.re, &*reference.room));
            assert_eq!((frame.more(), frame.is_volatile()), (reference.more, reference.volatile));
            assert_eq!(frame.payload(), payload.as_ref());
        }
        (Err(_), Err(_)) => {}
        (decoded, payload) => panic!("{decoded:?}, and {payload:?}"),
    }
}

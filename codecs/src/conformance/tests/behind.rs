//! Codecs whose [`Codec::encode_behind`] differs from their [`Codec::encode`].

use super::*;

type EncodeBehind = fn(usize, &Frame) -> Result<(MessageKind, Vec<u8>), EncodeError>;

/// JSON, except behind a headroom.
struct Behind(EncodeBehind);

impl Codec for Behind {
    fn name(&self) -> &str {
        "json"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        JsonCodec.encode(frame)
    }

    fn encode_behind(&self, headroom: usize, frame: &Frame) -> Result<(MessageKind, Vec<u8>), EncodeError> {
        (self.0)(headroom, frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        JsonCodec.decode(message)
    }
}

#[test]
fn finds_another_message_behind_a_headroom() {
    let differ: [EncodeBehind; 4] = [
        |_, frame| JsonCodec.encode_behind(0, frame),
        |headroom, frame| JsonCodec.encode_behind(headroom + 1, frame),
        |headroom, frame| Ok((MessageKind::Binary, JsonCodec.encode_behind(headroom, frame)?.1)),
        |_, _| Err(EncodeError::new("behind")),
    ];
    for (index, differs) in differ.into_iter().enumerate() {
        assert_eq!(broken_claim(&Behind(differs)), "behind", "codec {index}");
    }
}

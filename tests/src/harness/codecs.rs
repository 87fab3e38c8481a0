//! All wire formats, to pick one.

use std::sync::Arc;

use rejoin_client::{
    Codec, DecodeError, EncodeError, Frame, JsonCodec, Message, MsgpackCodec, ProtobufCodec,
};

/// Returns all codecs. A server may support all of them; a client picks one.
pub fn codecs() -> Vec<Arc<dyn Codec>> {
    vec![Arc::new(JsonCodec), Arc::new(MsgpackCodec), Arc::new(ProtobufCodec)]
}

/// One of [`codecs`], for builders that take a codec by value.
#[derive(Debug)]
pub(crate) struct Picked(pub(crate) Arc<dyn Codec>);

impl Codec for Picked {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        self.0.encode(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        self.0.decode(message)
    }

    fn encode_control(&self, event: &str, json: Option<bytes::Bytes>) -> Result<Message, EncodeError> {
        self.0.encode_control(event, json)
    }
}

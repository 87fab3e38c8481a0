//! Codecs that break control frames alone.

use super::*;

#[test]
fn finds_control_frames_that_change() {
    let with_payload = |payload: Payload| Frame::event_only("$ack").with_payload(payload);
    let changes: [Encode; 4] = [
        |frame| JsonCodec.encode(&frame.clone().with_id("1")),
        |frame| JsonCodec.encode(&Frame::event_only(frame.event())),
        |frame| match frame.payload() {
            Some(payload) => {
                let event = Frame::event_only(format!("{}2", frame.event()));
                JsonCodec.encode(&event.with_payload(payload.clone()))
            }
            None => JsonCodec.encode(frame),
        },
        |frame| match frame.payload() {
            Some(payload) => {
                let bytes = Payload::bytes(payload.data().clone());
                JsonCodec.encode(&frame.clone().with_payload(bytes))
            }
            None => JsonCodec.encode(frame),
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_ne!(
            change(&with_payload(json_sample("1"))),
            JsonCodec.encode(&with_payload(json_sample("1")))
        );
        let claim = broken_claim_in(&ControlsBy(change), |suite| drop(suite.check_control_frames()));
        assert_eq!(claim, "control", "change {index}");
    }
    assert_eq!(broken_claim(&ControlsBy(|_| Err(EncodeError::new("control")))), "control");
    let decode: Decode = |message| match JsonCodec.decode(message)? {
        frame if frame.payload().is_some() => {
            let data = frame.payload().map(Payload::data).cloned().unwrap_or_default();
            Ok(frame.with_payload(Payload::from_parts(PayloadFormat::Msgpack, data)))
        }
        frame => Ok(frame),
    };
    let codec = Broken { decode, ..JSON };
    assert_eq!(broken_claim_in(&codec, |suite| drop(suite.check_control_frames())), "control");
}

/// JSON, except for control frames.
struct ControlsBy(Encode);

impl Codec for ControlsBy {
    fn name(&self) -> &str {
        "json"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        JsonCodec.encode(frame)
    }

    fn encode_control(&self, event: &str, json: Option<bytes::Bytes>) -> Result<Message, EncodeError> {
        let frame = Frame::event_only(event);
        (self.0)(&match json {
            Some(json) => frame.with_payload(Payload::from_parts(PayloadFormat::Json, json)),
            None => frame,
        })
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        JsonCodec.decode(message)
    }
}

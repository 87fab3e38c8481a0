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
    let no_text = |_: &Frame| Ok(Message { kind: MessageKind::Text, data: b"\xff"[..].into() });
    let claim = broken_claim_in(&ControlsBy(no_text), |suite| drop(suite.check_control_frames()));
    assert_eq!(claim, "text");
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

#[test]
fn finds_each_control_frame_lost() {
    let losses: [(&str, Encode); 5] = [
        ("$open", |frame| without_payload(frame, "$open")),
        ("$ack", |frame| without_payload(frame, "$ack")),
        ("$gap", |frame| without_payload(frame, "$gap")),
        ("$ping", |frame| without_payload(frame, "$ping")),
        ("$later", |frame| without_payload(frame, "$later")),
    ];
    for (event, loses) in losses {
        let claim = broken_claim_in(&ControlsBy(loses), |suite| drop(suite.check_control_frames()));
        assert_eq!(claim, "control", "{event}");
    }
}

fn without_payload(frame: &Frame, event: &str) -> Result<Message, EncodeError> {
    JsonCodec.encode(&if frame.event() == event { Frame::event_only(event) } else { frame.clone() })
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

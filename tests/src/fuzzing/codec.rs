//! The requirements of [`rejoin_codecs::conformance`] on any codec, for one message or one frame.

use bytes::Bytes;
use rejoin_codecs::payloads;
use rejoin_core::{Codec, DecodeError, Frame, Message, MessageKind, Payload, PayloadFormat};

use super::Input;

/// The first byte chooses whether the rest is a message from the network or a frame of the application.
pub(super) fn run(codec: &dyn Codec, data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => receive(codec, &Message { kind: MessageKind::Text, data: Bytes::copy_from_slice(input.rest()) }),
        1 => receive(codec, &Message::binary(Bytes::copy_from_slice(input.rest()))),
        2 => send(codec, &frame(&mut input)),
        _ => send_control(codec, &mut input),
    }
}

/// A message from the network is refused, or becomes a frame that this codec and others can send on.
fn receive(codec: &dyn Codec, message: &Message) {
    let kind = message.kind;
    let decoded = codec.decode(message.clone());
    if kind == MessageKind::Text && str::from_utf8(&message.data).is_err() {
        // WebSocket decoding refuses it earlier; the codec must only not panic.
        return;
    }
    let frame = match decoded {
        Ok(frame) => frame,
        Err(DecodeError::Malformed(why) | DecodeError::NotAFrame(why)) => {
            return assert!(!why.is_empty(), "an error has a text");
        }
        Err(_) => return,
    };
    check_payload(&frame);
    let again = codec.encode(&frame).expect("a decoded frame can be encoded");
    check_text(&again);
    assert_eq!(again.kind, kind, "an encoded message can be decoded");
    assert_eq!(codec.decode(again).as_ref(), Ok(&frame), "the frame round-trips");
}

/// A frame of the application is refused, or round-trips.
fn send(codec: &dyn Codec, frame: &Frame) {
    let Ok(message) = codec.encode(frame) else {
        return assert!(frame.payload().is_some(), "a frame without a payload can be encoded");
    };
    check_text(&message);
    let decoded = codec.decode(message.clone()).expect("an encoded message can be decoded");
    assert_eq!((decoded.id(), decoded.event()), (frame.id(), frame.event()));
    assert_eq!((decoded.re(), decoded.room()), (frame.re(), frame.room()));
    assert_eq!((decoded.more(), decoded.is_volatile()), (frame.more(), frame.is_volatile()));
    match (frame.payload(), decoded.payload()) {
        (Some(sent), Some(came)) if sent.format() == came.format() => assert_eq!(sent, came),
        (Some(sent), Some(came)) if sent.format() == PayloadFormat::Bytes => {
            assert_eq!(&came.to_bytes().expect("a string of base64"), sent.data());
        }
        (sent, came) => assert_eq!(sent.is_some(), came.is_some()),
    }
    receive(codec, &message);
}

/// A control frame is never refused, and its text round-trips.
fn send_control(codec: &dyn Codec, input: &mut Input<'_>) {
    let event = input.one_of(&["$open", "$ack", "$gap", "$ping", "$pong", "$later", "$sync"]);
    let text = str::from_utf8(input.rest()).ok().and_then(|text| Payload::json_text(text).ok());
    let text = text.map(|payload| payload.data().clone());
    let message = codec.encode_control(event, text.clone()).expect("it carries JSON");
    check_text(&message);
    let frame = codec.decode(message).expect("an encoded message can be decoded");
    assert_eq!((frame.event(), frame.id()), (event, ""));
    assert_eq!(frame.payload().map(Payload::data), text.as_ref());
    let format = frame.payload().map(Payload::format);
    assert!(matches!(format, None | Some(PayloadFormat::Json | PayloadFormat::Bytes)));
}

/// Any frame that an application can make.
pub(super) fn frame(input: &mut Input<'_>) -> Frame {
    let kind = input.byte();
    let mut frame = Frame::event_only(input.text()).with_id(input.text());
    if kind & 0x80 != 0 {
        frame = frame.with_re(input.text()).with_room(input.text());
        frame = frame.with_more(kind & 0x40 != 0).with_volatile(kind & 0x20 != 0);
    }
    match kind % 4 {
        0 => frame,
        3 => match payloads::msgpack(&Bytes::copy_from_slice(input.rest())) {
            Ok(payload) => frame.with_payload(payload),
            Err(_) => frame,
        },
        1 => match str::from_utf8(input.rest()).ok().and_then(|text| Payload::json_text(text).ok()) {
            Some(payload) => frame.with_payload(payload),
            None => frame,
        },
        _ => frame.with_payload(Payload::bytes(Bytes::copy_from_slice(input.rest()))),
    }
}

/// A decoded payload must match its declared format, because other codecs copy it unchecked.
fn check_payload(frame: &Frame) {
    let Some(payload) = frame.payload() else { return };
    match payload.format() {
        PayloadFormat::Json => {
            let text = str::from_utf8(payload.data()).expect("JSON is UTF-8");
            let value = Payload::json_text(text).expect("one JSON value");
            assert_eq!(&value, payload, "without white space around it");
        }
        PayloadFormat::Msgpack => {
            let value = payloads::msgpack(payload.data());
            assert_eq!(value.as_ref(), Ok(payload), "one value, and no bin");
        }
        _ => {}
    }
}

fn check_text(message: &Message) {
    assert!(message.kind == MessageKind::Binary || str::from_utf8(&message.data).is_ok(), "text is UTF-8");
}

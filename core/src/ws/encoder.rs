//! Encodes complete frames, each in one allocation of the exact size. They are unmasked, as servers send them; clients mask
//! them with [`mask_frame`].

use bytes::{Buf, Bytes};

use super::header::{self, ControlOpcode, MAX_CONTROL, Opcode};
use super::mask::Mask;
use crate::close::is_close_code;
use crate::text::prefix;
use crate::{CloseFrame, Message, MessageKind};

/// Encodes an unfragmented data message including its header. Every receiver of a broadcast can use the same bytes.
///
/// The caller must ensure that a text payload is valid UTF-8.
pub fn encode_message(kind: MessageKind, payload: &[u8]) -> Bytes {
    encode(Opcode::Data(kind), &[payload])
}

/// The bytes in front of a payload that [`frame_in_place`] needs: the longest header of an unmasked frame.
pub const HEADROOM: usize = header::MAX_WRITTEN;

/// Like [`encode_message`], for a payload that stands behind [`HEADROOM`] bytes: the header is written in front of it, without a
/// copy. `None` if the buffer is shorter than that.
pub fn frame_in_place(kind: MessageKind, mut buffer: Vec<u8>) -> Option<Bytes> {
    let (head, len) = header::written(Opcode::Data(kind), buffer.len().checked_sub(HEADROOM)?);
    let start = HEADROOM - len;
    buffer[start..HEADROOM].copy_from_slice(&head[..len]);
    let mut frame = Bytes::from(buffer);
    frame.advance(start);
    Some(frame)
}

/// Returns the message in a frame from [`encode_message`]. Shares the frame's bytes.
pub fn message_of(mut frame: Bytes) -> Message {
    let kind = header::written_kind(&frame);
    frame.advance(header::written_header_len(&frame));
    Message { kind, data: frame }
}

/// Masks a frame from one of the other functions, as a client must. Every frame needs a new, unpredictable key (RFC 6455
/// §5.3).
pub fn mask_frame(frame: &[u8], key: [u8; 4]) -> Bytes {
    let (head, payload) = frame.split_at(header::written_header_len(frame));
    let mut out = Vec::with_capacity(frame.len() + key.len());
    out.extend_from_slice(head);
    header::set_masked(&mut out);
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    Mask::new(key).apply(&mut out[start..]);
    out.into()
}

/// Encodes a ping. A payload longer than 125 bytes is truncated (RFC 6455 §5.5); with debug assertions this panics.
pub fn encode_ping(payload: &[u8]) -> Bytes {
    encode_control(ControlOpcode::Ping, payload)
}

/// Encodes a pong, which must repeat the ping's payload (RFC 6455 §5.5.3). A payload longer than 125 bytes, which no ping has,
/// is truncated; with debug assertions this panics.
pub fn encode_pong(payload: &[u8]) -> Bytes {
    encode_control(ControlOpcode::Pong, payload)
}

/// Encodes a close frame; `None` yields an empty body without a code. A reason that is too long is truncated at a character
/// boundary.
///
/// The code must be valid to send, unlike 1006 for example (RFC 6455 §7.4); with debug assertions an invalid code panics.
pub fn encode_close(frame: Option<&CloseFrame>) -> Bytes {
    let opcode = Opcode::Control(ControlOpcode::Close);
    let Some(CloseFrame { code, reason }) = frame else {
        return encode(opcode, &[]);
    };
    debug_assert!(is_close_code(*code), "close code {code} may not be sent");
    // The fields are public, so the reason may exceed the limit that its constructors enforce.
    let reason = prefix(reason, CloseFrame::MAX_REASON);
    encode(opcode, &[&code.to_be_bytes(), reason.as_bytes()])
}

fn encode_control(control: ControlOpcode, payload: &[u8]) -> Bytes {
    debug_assert!(payload.len() <= MAX_CONTROL, "control frame of {} bytes", payload.len());
    encode(Opcode::Control(control), &[&payload[..payload.len().min(MAX_CONTROL)]])
}

fn encode(opcode: Opcode, payload: &[&[u8]]) -> Bytes {
    let payload_len = payload.iter().map(|part| part.len()).sum();
    // With the exact capacity, `Bytes` uses the allocation without a copy.
    let (head, len) = header::written(opcode, payload_len);
    let mut out = Vec::with_capacity(len + payload_len);
    out.extend_from_slice(&head[..len]);
    for part in payload {
        out.extend_from_slice(part);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_examples_of_the_rfc() {
        assert_eq!(encode_message(MessageKind::Text, b"Hello"), &b"\x81\x05Hello"[..]);
        assert_eq!(encode_ping(b"Hello"), &b"\x89\x05Hello"[..]);
        assert_eq!(encode_message(MessageKind::Binary, &[0; 256])[..5], *b"\x82\x7e\x01\x00\0");
        let long = encode_message(MessageKind::Binary, &[0; 65536]);
        assert_eq!(long[..10], *b"\x82\x7f\0\0\0\0\0\x01\0\0");
    }

    #[test]
    fn masks_the_example_of_the_rfc() {
        let frame = encode_message(MessageKind::Text, b"Hello");
        let masked = mask_frame(&frame, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(masked, &b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..]);
        assert_eq!(mask_frame(&encode_ping(b""), [1; 4]), &b"\x89\x80\x01\x01\x01\x01"[..]);
    }

    #[test]
    fn masked_and_unmasked_frames_decode_alike() {
        for (kind, len) in [
            (MessageKind::Text, 0),
            (MessageKind::Text, 125),
            (MessageKind::Binary, 126),
            (MessageKind::Text, 65535),
            (MessageKind::Binary, 65536),
        ] {
            let message = Message { kind, data: vec![b'x'; len].into() };
            let frame = encode_message(kind, &message.data);
            assert_eq!(crate::ws::frame_len(len), frame.len());
            assert_eq!(crate::ws::payload_len(frame.len()), len);
            let mut masked = mask_frame(&frame, [9, 8, 7, 6]).to_vec();
            assert_eq!(message_of(frame), message);
            let mut decoder = crate::ws::Decoder::new(crate::ws::Role::Server, len);
            let decoded = decoder.decode(&mut &mut masked[..]).unwrap();
            assert_eq!(decoded, Some(crate::ws::Incoming::Message(message)));
        }
    }

    #[test]
    fn frames_in_place_equal_encoded_ones() {
        for len in [0, 1, 125, 126, 65535, 65536] {
            let mut buffer = vec![0xff; HEADROOM];
            buffer.resize(HEADROOM + len, b'x');
            let frame = frame_in_place(MessageKind::Text, buffer).unwrap();
            assert_eq!(frame, encode_message(MessageKind::Text, &vec![b'x'; len]), "{len} bytes");
        }
        assert_eq!(frame_in_place(MessageKind::Text, vec![0; HEADROOM - 1]), None);
    }

    #[test]
    fn a_close_is_empty_or_code_and_reason() {
        assert_eq!(encode_close(None), &b"\x88\x00"[..]);
        assert_eq!(encode_close(Some(&CloseFrame::from_static(1001, ""))), &b"\x88\x02\x03\xe9"[..]);
        assert_eq!(encode_close(Some(&CloseFrame::from_static(4000, "bye"))), &b"\x88\x05\x0f\xa0bye"[..]);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut frame = CloseFrame::from_static(1000, "");
        frame.reason = "é".repeat(100).into();
        let bytes = encode_close(Some(&frame));
        assert_eq!(bytes[1], 2 + 122);
        assert!(str::from_utf8(&bytes[4..]).is_ok());
    }
}

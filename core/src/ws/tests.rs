//! Tests the decoder against RFC 6455, rule by rule.

use super::*;
use crate::{CloseFrame, Message, MessageKind};

const LIMIT: usize = 1000;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const CONT: u8 = 0x00;
const TEXT: u8 = 0x01;
const BINARY: u8 = 0x02;
const CLOSE: u8 = 0x08;
const PING: u8 = 0x09;
const PONG: u8 = 0x0a;
const FIN: u8 = 0x80;

/// A client frame with the shortest length encoding.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..126 => out.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// All output, and how it ends, for input in pieces of `size` bytes.
fn decode_in_pieces(
    decoder: &mut Decoder,
    bytes: &[u8],
    size: usize,
) -> (Vec<Incoming>, Result<(), FrameError>) {
    let mut seen = Vec::new();
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(incoming)) => seen.push(incoming),
                Ok(None) => break assert!(input.is_empty(), "None means that all was taken"),
                Err(error) => return (seen, Err(error)),
            }
        }
    }
    (seen, Ok(()))
}

/// Decodes at once and byte by byte, and asserts that the results are equal.
fn decode(bytes: &[u8]) -> (Vec<Incoming>, Result<(), FrameError>) {
    let whole = decode_in_pieces(&mut Decoder::new(Role::Server, LIMIT), bytes, usize::MAX);
    let bytewise = decode_in_pieces(&mut Decoder::new(Role::Server, LIMIT), bytes, 1);
    assert_eq!(whole, bytewise);
    whole
}

/// The output for input that is valid so far.
fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Incoming> {
    let (seen, end) = decode_in_pieces(decoder, bytes, 4096);
    assert_eq!(end, Ok(()));
    seen
}

fn error_of(bytes: &[u8]) -> Option<FrameError> {
    let (seen, end) = decode(bytes);
    assert_eq!(seen, []);
    end.err()
}

fn text(text: &str) -> Incoming {
    Incoming::Message(Message::text(text))
}

#[test]
fn reads_the_examples_of_the_rfc() {
    assert_eq!(decode(&frame(FIN | TEXT, b"Hello")), (vec![text("Hello")], Ok(())));
    let server = *b"\x81\x05Hello\x01\x03Hel\x80\x02lo\x8a\x05Hello";
    let (seen, end) = decode_in_pieces(&mut Decoder::new(Role::Client, LIMIT), &server, usize::MAX);
    assert_eq!(seen, [text("Hello"), text("Hello"), Incoming::Pong("Hello".into())]);
    assert_eq!(end, Ok(()));
}

#[test]
fn joins_fragments_and_delivers_control_frames_between_them() {
    let stream = [
        frame(TEXT, b"a"),
        frame(FIN | PING, b"p"),
        frame(CONT, b""),
        frame(FIN | PONG, b""),
        frame(FIN | CONT, b"b"),
        frame(FIN | BINARY, b"\xff"),
    ];
    let (seen, end) = decode(&stream.concat());
    let binary = Incoming::Message(Message::binary(&b"\xff"[..]));
    let (ping, pong) = (Incoming::Ping("p".into()), Incoming::Pong("".into()));
    assert_eq!(seen, [ping, pong, text("ab"), binary]);
    assert_eq!(end, Ok(()));
}

#[test]
fn empty_messages_are_messages() {
    assert_eq!(decode(&frame(FIN | TEXT, b"")).0, [text("")]);
    assert_eq!(decode(&[frame(TEXT, b""), frame(FIN | CONT, b"")].concat()).0, [text("")]);
}

#[test]
fn leaves_following_frames_in_the_input() {
    let mut bytes = [frame(FIN | TEXT, b"one"), frame(FIN | TEXT, b"two")].concat();
    let rest = frame(FIN | TEXT, b"two");
    let mut decoder = Decoder::new(Role::Server, LIMIT);
    let mut input = &mut bytes[..];
    assert_eq!(decoder.decode(&mut input), Ok(Some(text("one"))));
    assert_eq!(input, rest);
    assert_eq!(decoder.decode(&mut input), Ok(Some(text("two"))));
    assert_eq!(decoder.decode(&mut input), Ok(None));
}

#[test]
fn ignores_all_that_follows_a_close() {
    let body = [&1000u16.to_be_bytes()[..], b"bye"].concat();
    let stream = [frame(FIN | CLOSE, &body), frame(FIN | TEXT, b"late"), vec![0xff; 9]].concat();
    let close = Incoming::Close(Some(CloseFrame::from_static(1000, "bye")));
    assert_eq!(decode(&stream), (vec![close], Ok(())));
    assert_eq!(decode(&frame(FIN | CLOSE, b"")), (vec![Incoming::Close(None)], Ok(())));
}

#[test]
fn a_close_between_fragments_is_delivered() {
    let stream = [frame(TEXT, b"a"), frame(FIN | CLOSE, b"")].concat();
    assert_eq!(decode(&stream), (vec![Incoming::Close(None)], Ok(())));
}

#[test]
fn refuses_reserved_bits_and_opcodes() {
    for bit in [0x40, 0x20, 0x10] {
        assert_eq!(error_of(&frame(FIN | bit | TEXT, b"")), Some(FrameError::ReservedBits));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(error_of(&[FIN | opcode, 0x80]), Some(FrameError::ReservedOpcode(opcode)));
    }
}

#[test]
fn masks_are_for_clients_alone() {
    assert_eq!(error_of(b"\x81\x05Hello"), Some(FrameError::NotMasked));
    let mut client = Decoder::new(Role::Client, LIMIT);
    let (_, end) = decode_in_pieces(&mut client, &frame(FIN | TEXT, b""), 1);
    assert_eq!(end, Err(FrameError::Masked));
}

#[test]
fn control_frames_are_short_and_whole() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(error_of(&frame(opcode, b"")), Some(FrameError::ControlFragmented));
        let too_long = Some(FrameError::ControlTooLong);
        assert_eq!(error_of(&frame(FIN | opcode, &[b' '; 126])), too_long);
        assert_eq!(error_of(&[FIN | opcode, 0x80 | 127]), too_long, "without the rest of the header");
    }
    let longest = frame(FIN | PING, &[7; 125]);
    assert_eq!(decode(&longest).0, [Incoming::Ping(vec![7; 125].into())]);
}

#[test]
fn lengths_take_the_fewest_bytes() {
    let not_minimal = Some(FrameError::LengthNotMinimal);
    assert_eq!(error_of(b"\x82\xfe\x00\x7d\0\0\0\0"), not_minimal);
    assert_eq!(error_of(b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0"), not_minimal);
    let mut decoder = Decoder::new(Role::Server, 1 << 17);
    for len in [125, 126, 0xffff, 0x1_0000] {
        let (seen, _) = decode_in_pieces(&mut decoder, &frame(FIN | BINARY, &vec![1; len]), 5000);
        assert_eq!(seen, [Incoming::Message(Message::binary(vec![1; len]))]);
    }
}

#[test]
fn a_64_bit_length_has_63_bits() {
    let header = b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(error_of(header), Some(FrameError::LengthTooLarge));
}

#[test]
fn fragments_have_an_order() {
    for first in [CONT, FIN | CONT] {
        assert_eq!(error_of(&frame(first, b"a")), Some(FrameError::UnexpectedContinuation));
    }
    for first in [TEXT, FIN | BINARY] {
        for begun in [&b""[..], b"a"] {
            let stream = [frame(TEXT, begun), frame(first, b"b")].concat();
            assert_eq!(error_of(&stream), Some(FrameError::ExpectedContinuation));
        }
    }
    let stream = [frame(TEXT, b""), frame(FIN | CONT, b""), frame(FIN | CONT, b"")].concat();
    assert_eq!(decode(&stream), (vec![text("")], Err(FrameError::UnexpectedContinuation)));
}

#[test]
fn an_oversized_message_fails_at_its_header() {
    let too_big = Some(FrameError::MessageTooBig { limit: LIMIT });
    let header = 8;
    assert_eq!(error_of(&frame(FIN | BINARY, &[0; LIMIT + 1])[..header]), too_big);
    assert_eq!(decode(&frame(FIN | BINARY, &[0; LIMIT])).0.len(), 1);

    let begun = frame(BINARY, &[0; LIMIT - 1]);
    let full = [begun.clone(), frame(FIN | CONT, &[0; 1])].concat();
    assert_eq!(decode(&full).0.len(), 1);
    let over = [begun, frame(FIN | CONT, &[0; 2])[..6].to_vec()].concat();
    assert_eq!(error_of(&over), too_big);

    let largest = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
    assert_eq!(error_of(largest), too_big);
}

#[test]
fn text_fails_at_the_first_invalid_byte() {
    // κόσμε, then a surrogate that its second byte reveals, then text that is never inspected.
    let bad = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    let whole = frame(FIN | TEXT, bad);
    let wrong_at = 6 + bad.iter().position(|&byte| byte == 0xed).unwrap() + 1;
    assert_eq!(decode(&whole[..wrong_at]), (vec![], Ok(())));
    assert_eq!(error_of(&whole[..=wrong_at]), Some(FrameError::TextNotUtf8));

    let fragments = [frame(TEXT, &bad[..12]), frame(CONT, b""), frame(CONT, &bad[12..13])].concat();
    assert_eq!(error_of(&fragments), Some(FrameError::TextNotUtf8));
}

#[test]
fn only_complete_text_must_end_between_characters() {
    let euro = "€".as_bytes();
    let cut = [frame(TEXT, &euro[..1]), frame(CONT, &euro[1..2]), frame(FIN | CONT, &euro[2..])];
    assert_eq!(decode(&cut.concat()).0, [text("€")]);
    assert_eq!(error_of(&frame(FIN | TEXT, &euro[..2])), Some(FrameError::TextNotUtf8));
    let short = [frame(TEXT, &euro[..2]), frame(FIN | CONT, b"")].concat();
    assert_eq!(error_of(&short), Some(FrameError::TextNotUtf8));
}

#[test]
fn a_close_body_is_checked() {
    assert_eq!(error_of(&frame(FIN | CLOSE, b"\x03")), Some(FrameError::CloseTooShort));
    assert_eq!(error_of(&frame(FIN | CLOSE, b"\x03\xee")), Some(FrameError::CloseCode(1006)));
    let reason = error_of(&frame(FIN | CLOSE, b"\x03\xe8\xff"));
    assert_eq!(reason, Some(FrameError::CloseReasonNotUtf8));
}

#[test]
fn stays_failed() {
    let mut decoder = Decoder::new(Role::Server, LIMIT);
    assert_eq!(decoder.failed(), None);
    let stream = [frame(TEXT, &[b'a'; 500]), frame(FIN | TEXT, b"")].concat();
    let (_, end) = decode_in_pieces(&mut decoder, &stream, 100);
    assert_eq!(end, Err(FrameError::ExpectedContinuation));
    assert_eq!(decoder.failed(), Some(FrameError::ExpectedContinuation));
    assert_eq!(decoder.buffered(), 0, "a failed decoder holds nothing");
    let (seen, again) = decode_in_pieces(&mut decoder, &frame(FIN | TEXT, b"ok"), usize::MAX);
    assert_eq!((seen, again), (vec![], end));
    assert_eq!(decoder.decode(&mut &mut [][..]), Err(FrameError::ExpectedContinuation));
}

#[test]
fn holds_nothing_when_idle_and_little_when_not() {
    let mut decoder = Decoder::new(Role::Server, 1 << 20);
    assert!(size_of::<Decoder>() <= 96);

    let header = &frame(FIN | BINARY, &vec![0; 1 << 20])[..14];
    feed(&mut decoder, header);
    assert_eq!(decoder.buffered(), 0, "a declared length allocates nothing");
    let mut arrived = 0;
    for size in [1, 9, 90, 900, 9000] {
        feed(&mut decoder, &vec![0; size]);
        arrived += size;
        assert!((arrived..=2 * arrived).contains(&decoder.buffered()));
    }
    let seen = feed(&mut decoder, &vec![0; (1 << 20) - arrived]);
    assert_eq!(seen.len(), 1);
    assert_eq!(decoder.buffered(), 0);

    feed(&mut decoder, &frame(FIN | PING, b"ping")[..8]);
    assert!(decoder.buffered() > 0);
    feed(&mut decoder, &[0; 2]);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn empty_and_tiny_fragments_cost_no_memory_each() {
    let mut decoder = Decoder::new(Role::Server, LIMIT);
    feed(&mut decoder, &frame(BINARY, b""));
    for _ in 0..10_000 {
        feed(&mut decoder, &frame(CONT, b""));
    }
    assert_eq!(decoder.buffered(), 0);
    for _ in 0..LIMIT {
        feed(&mut decoder, &frame(CONT, b"x"));
    }
    assert!(decoder.buffered() <= LIMIT, "the limit bounds the doubling too");
}

#[test]
fn errors_say_how_to_close() {
    assert_eq!(FrameError::NotMasked.close_code(), 1002);
    assert_eq!(FrameError::CloseCode(1005).close_code(), 1002);
    assert_eq!(FrameError::TextNotUtf8.close_code(), 1007);
    assert_eq!(FrameError::CloseReasonNotUtf8.close_code(), 1007);
    assert_eq!(FrameError::MessageTooBig { limit: 1 }.close_code(), 1009);
}

#[test]
fn encoded_frames_decode_to_the_same() {
    for len in [0, 1, 125, 126, 0xffff, 0x1_0000] {
        let payload = vec![b'a'; len];
        let mut decoder = Decoder::new(Role::Client, len);
        for kind in [MessageKind::Text, MessageKind::Binary] {
            let bytes = encode_message(kind, &payload);
            let (seen, _) = decode_in_pieces(&mut decoder, &bytes, usize::MAX);
            let data = payload.clone().into();
            assert_eq!(seen, [Incoming::Message(Message { kind, data })]);
        }
    }
    let close = CloseFrame::truncated(4001, "é".repeat(100));
    let frames = [encode_ping(b"a"), encode_pong(b""), encode_close(Some(&close))];
    let mut client = Decoder::new(Role::Client, 0);
    let (seen, _) = decode_in_pieces(&mut client, &frames.concat(), 3);
    let (ping, pong) = (Incoming::Ping("a".into()), Incoming::Pong("".into()));
    assert_eq!(seen, [ping, pong, Incoming::Close(Some(close))]);
}

#[test]
fn errors_name_the_rule_that_is_broken() {
    let texts = [
        (FrameError::ReservedBits, "reserved bits are set"),
        (FrameError::ReservedOpcode(3), "reserved opcode 3"),
        (FrameError::NotMasked, "a client's frame is not masked"),
        (FrameError::Masked, "a server's frame is masked"),
        (FrameError::ControlFragmented, "control frame is fragmented"),
        (FrameError::ControlTooLong, "control frame is longer than 125 bytes"),
        (FrameError::LengthNotMinimal, "payload length is not encoded in the fewest bytes"),
        (FrameError::LengthTooLarge, "payload length has its most significant bit set"),
        (FrameError::UnexpectedContinuation, "continuation frame without a message to continue"),
        (FrameError::ExpectedContinuation, "new message inside a fragmented message"),
        (FrameError::CloseTooShort, "close body is shorter than a close code"),
        (FrameError::CloseCode(1005), "close code 1005 may not be sent"),
        (FrameError::CloseReasonNotUtf8, "close reason is not UTF-8"),
        (FrameError::TextNotUtf8, "text message is not UTF-8"),
        (FrameError::MessageTooBig { limit: 7 }, "message is larger than 7 bytes"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_frame_in_pieces_reserves_its_declared_length() {
    let mut decoder = Decoder::new(Role::Server, LIMIT);
    let bytes = frame(FIN | BINARY, &[7; 100]);
    let header = bytes.len() - 100;
    for (until, reserved) in [(60, 60), (90, 100)] {
        let from = if until == 60 { 0 } else { header + 60 };
        feed(&mut decoder, &bytes[from..header + until]);
        assert_eq!(decoder.buffered(), reserved);
    }
    assert_eq!(feed(&mut decoder, &bytes[header + 90..]), [Incoming::Message(Message::binary(vec![7; 100]))]);
}

#[test]
fn text_must_not_end_inside_a_character() {
    let short = [frame(TEXT, b"\xe2"), frame(FIN | CONT, b"")].concat();
    assert_eq!(error_of(&short), Some(FrameError::TextNotUtf8));
}

#[test]
fn frames_are_encoded_in_exact_allocations() {
    let is_exact = |frame: bytes::Bytes| {
        let frame = Vec::from(frame);
        assert_eq!(frame.capacity(), frame.len());
    };
    for len in [0, 1, 125, 126, 127, 1000, 0xffff, 0x1_0000, 0x1_0001] {
        let payload = vec![b'a'; len];
        let frame = encode_message(MessageKind::Text, &payload);
        is_exact(mask_frame(&frame, KEY));
        is_exact(frame);
        let control = &payload[..len.min(125)];
        for frame in [encode_ping(control), encode_pong(control)] {
            is_exact(frame);
        }
    }
    is_exact(encode_close(None));
    is_exact(encode_close(Some(&CloseFrame::from_static(1000, "bye"))));
}

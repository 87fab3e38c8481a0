//! Compares the decoder and the encoder with tungstenite, the reference. For any stream in any pieces, both deliver the same
//! messages and fail on the same input, apart from the differences that [`is_known_difference`] explains.

use std::io::{self, Cursor, Read, Write};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use rejoin_core::ws::{self, Decoder, FrameError, Incoming, Role};
use rejoin_core::{CloseFrame, MessageKind};
use tungstenite::protocol::{self, WebSocket, WebSocketConfig};

const LIMIT: usize = 200_000;

#[test]
fn valid_streams_decode_alike_in_any_pieces() {
    check(300, &(valid_stream(), cuts()), |(stream, cuts)| {
        let bytes = stream.concat();
        let whole = ours(&bytes, &[usize::MAX]);
        prop_assert!(whole.error.is_none(), "{:?}", whole.error);
        prop_assert_eq!(&whole.seen, &theirs(&bytes, protocol::Role::Server).seen);
        prop_assert_eq!(whole, ours(&bytes, &cuts));
        Ok(())
    });
}

#[test]
fn mutated_streams_fail_alike() {
    check(3000, &(mutated_stream(), cuts()), |(bytes, cuts)| fails_alike(&bytes, &cuts));
}

#[test]
fn frames_that_may_be_illegal_fail_alike() {
    check(3000, &(vec(any_frame(), 1..8), cuts()), |(frames, cuts)| fails_alike(&frames.concat(), &cuts));
}

#[test]
fn random_bytes_fail_alike() {
    check(3000, &(vec(any::<u8>(), 0..64), cuts()), |(bytes, cuts)| fails_alike(&bytes, &cuts));
}

#[test]
fn tungstenite_reads_our_frames() {
    let messages = vec((any_kind(), payload()), 0..6);
    let control = (vec(any::<u8>(), 0..=125), vec(any::<u8>(), 0..=125));
    check(200, &(messages, control, close_frame()), |(messages, (ping, pong), close)| {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (kind, payload) in messages {
            let payload = legal(kind, payload);
            bytes.extend_from_slice(&ws::encode_message(kind, &payload));
            expected.push(Seen::Message(kind, payload));
        }
        bytes.extend_from_slice(&ws::encode_ping(&ping));
        bytes.extend_from_slice(&ws::encode_pong(&pong));
        bytes.extend_from_slice(&ws::encode_close(close.as_ref()));
        let close = close.map(|frame| (frame.code, frame.reason.into_owned()));
        expected.extend([Seen::Ping(ping), Seen::Pong(pong), Seen::Close(close)]);
        let theirs = theirs(&bytes, protocol::Role::Client);
        prop_assert_eq!(theirs.seen, expected);
        prop_assert!(theirs.error.is_none(), "{:?}", theirs.error);
        Ok(())
    });
}

/// Compares both on a stream that may be invalid.
fn fails_alike(bytes: &[u8], cuts: &[usize]) -> TestCaseResult {
    let mut ours = ours(bytes, &[usize::MAX]);
    prop_assert_eq!(&ours, &self::ours(bytes, cuts), "cutting made a difference");

    if let Some(Seen::Close(frame @ Some((1014, _)))) = ours.seen.last_mut() {
        *frame = Some(replaced_close());
    }
    let theirs = theirs(bytes, protocol::Role::Server);
    let common = ours.seen.len().min(theirs.seen.len());
    prop_assert_eq!(&ours.seen[..common], &theirs.seen[..common]);
    let same = ours.seen.len() == theirs.seen.len() && ours.error.is_some() == theirs.error.is_some();
    prop_assert!(same || is_known_difference(&ours, &theirs), "ours: {ours:?}\ntheirs: {theirs:?}");
    Ok(())
}

/// The close frame that tungstenite delivers for a code that it does not know. One such code is valid: 1014, which IANA has
/// registered since.
fn replaced_close() -> (u16, String) {
    (1002, "Protocol violation".to_owned())
}

/// Whether the difference is known: we are stricter, or fail earlier.
fn is_known_difference(ours: &Outcome<FrameError>, theirs: &Outcome<tungstenite::Error>) -> bool {
    let Some(error) = ours.error else {
        return false;
    };
    // Tungstenite delivered the same until our failure; only its output after that differs.
    match error {
        // Tungstenite accepts a length in any encoding, against RFC 6455 §5.2. In a control frame we report such an encoding as
        // too long.
        FrameError::LengthNotMinimal | FrameError::ControlTooLong => true,
        // Tungstenite delivers such a close with the code 1002.
        FrameError::CloseCode(_) => {
            let replaced = Seen::Close(Some(replaced_close()));
            theirs.error.is_none() && theirs.seen[ours.seen.len()..] == [replaced]
        }
        // Tungstenite checks a frame when it is complete. We fail at the first header or byte of text that cannot be valid.
        _ => theirs.error.is_none() && theirs.seen.len() == ours.seen.len(),
    }
}

/// The delivered messages, and whether the stream failed. If it did not, it was consumed completely, or a close ended it.
#[derive(Debug, PartialEq)]
struct Outcome<E> {
    seen: Vec<Seen>,
    error: Option<E>,
}

#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// The output of our decoder for pieces whose sizes cycle through `cuts`.
fn ours(bytes: &[u8], cuts: &[usize]) -> Outcome<FrameError> {
    let mut decoder = Decoder::new(Role::Server, LIMIT);
    let mut seen = Vec::new();
    let mut rest = bytes.to_vec();
    let mut input = &mut rest[..];
    for size in cuts.iter().cycle() {
        let size = (*size).min(input.len());
        let mut piece = input.split_off_mut(..size).expect("size is at most the length of the input");
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(incoming)) => seen.push(incoming.into()),
                Ok(None) => break assert!(piece.is_empty()),
                Err(error) => {
                    assert_eq!(decoder.decode(&mut piece), Err(error), "it stays failed");
                    return Outcome { seen, error: Some(error) };
                }
            }
        }
        assert!(decoder.buffered() <= 2 * bytes.len() + 8, "held more than twice what came");
        if input.is_empty() {
            break;
        }
    }
    Outcome { seen, error: None }
}

/// The output of tungstenite until the end of the input, a close, or a failure.
fn theirs(bytes: &[u8], role: protocol::Role) -> Outcome<tungstenite::Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(LIMIT))
        .max_frame_size(Some(LIMIT));
    let mut socket = WebSocket::from_raw_socket(Peer(Cursor::new(bytes)), role, Some(config));
    let mut seen = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => {
                seen.push(message.into());
                if let Some(Seen::Close(_)) = seen.last() {
                    return Outcome { seen, error: None };
                }
            }
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Outcome { seen, error: None };
            }
            Err(error) => {
                return Outcome { seen, error: Some(error) };
            }
        }
    }
}

/// A socket that has received some bytes and waits for more. It discards written bytes.
struct Peer<'a>(Cursor<&'a [u8]>);

impl Read for Peer<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<Incoming> for Seen {
    fn from(incoming: Incoming) -> Self {
        match incoming {
            Incoming::Message(message) => Self::Message(message.kind, message.data.into()),
            Incoming::Ping(payload) => Self::Ping(payload.into()),
            Incoming::Pong(payload) => Self::Pong(payload.into()),
            Incoming::Close(frame) => Self::Close(frame.map(|frame| (frame.code, frame.reason.into_owned()))),
        }
    }
}

impl From<tungstenite::Message> for Seen {
    fn from(message: tungstenite::Message) -> Self {
        match message {
            tungstenite::Message::Text(text) => Self::Message(MessageKind::Text, Bytes::from(text).into()),
            tungstenite::Message::Binary(data) => Self::Message(MessageKind::Binary, data.into()),
            tungstenite::Message::Ping(payload) => Self::Ping(payload.into()),
            tungstenite::Message::Pong(payload) => Self::Pong(payload.into()),
            tungstenite::Message::Close(frame) => {
                Self::Close(frame.map(|frame| (frame.code.into(), frame.reason.to_string())))
            }
            tungstenite::Message::Frame(_) => unreachable!("never read"),
        }
    }
}

/// Fragmented messages with control frames between the fragments, and possibly a close at the end.
fn valid_stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (vec((message(), vec(control(), 0..3)), 0..5), proptest::option::of(close_frame())).prop_map(
        |(messages, close)| {
            let mut frames = Vec::new();
            for (message, controls) in messages {
                let begin = frames.len();
                frames.extend(message);
                for (at, control) in controls {
                    let at = begin + at.index(frames.len() - begin + 1);
                    frames.insert(at, control);
                }
            }
            if let Some(close) = close {
                let body = close.map_or_else(Vec::new, |close| {
                    [&close.code.to_be_bytes(), close.reason.as_bytes()].concat()
                });
                frames.push(frame(0x88, [1, 2, 3, 4], &body));
            }
            frames
        },
    )
}

/// A message in one or more frames, each with its own mask.
fn message() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let cuts = vec(any::<Index>(), 0..4);
    (any_kind(), payload(), cuts, any::<[u8; 4]>()).prop_map(|(kind, payload, cuts, mask)| {
        let payload = legal(kind, payload);
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        ends.push(payload.len());
        ends.sort_unstable();
        let mut begin = 0;
        let mut frames = Vec::new();
        for (i, &end) in ends.iter().enumerate() {
            let opcode = match kind {
                _ if i > 0 => 0,
                MessageKind::Text => 1,
                MessageKind::Binary => 2,
            };
            let fin = if i + 1 == ends.len() { 0x80 } else { 0 };
            let mask = mask.map(|byte| byte.rotate_left(i as u32));
            frames.push(frame(fin | opcode, mask, &payload[begin..end]));
            begin = end;
        }
        frames
    })
}

/// A ping or pong, and its position.
fn control() -> impl Strategy<Value = (Index, Vec<u8>)> {
    let first = prop_oneof![Just(0x89), Just(0x8a)];
    let body = vec(any::<u8>(), 0..=125);
    (any::<Index>(), first, any::<[u8; 4]>(), body)
        .prop_map(|(at, first, mask, body)| (at, frame(first, mask, &body)))
}

/// A valid stream with some bytes overwritten, and possibly truncated.
fn mutated_stream() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<Index>(), any::<Index>(), mutation()), 1..4);
    (valid_stream(), changes, any::<Index>(), any::<bool>()).prop_map(|(frames, changes, end, cut)| {
        let mut frames = frames;
        for (which, at, change) in changes {
            if frames.is_empty() {
                break;
            }
            let which = which.index(frames.len());
            match change {
                Mutation::Header(value) => {
                    let frame = &mut frames[which];
                    frame[at.index(2)] = value;
                }
                Mutation::Any(value) => {
                    let frame = &mut frames[which];
                    let at = at.index(frame.len());
                    frame[at] ^= value;
                }
                Mutation::Remove => {
                    frames.remove(which);
                }
                Mutation::Repeat => {
                    let frame = frames[which].clone();
                    frames.insert(which, frame);
                }
            }
        }
        let mut bytes = frames.concat();
        if cut {
            bytes.truncate(end.index(bytes.len() + 1));
        }
        bytes
    })
}

#[derive(Debug, Clone)]
enum Mutation {
    Header(u8),
    Any(u8),
    Remove,
    Repeat,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<u8>().prop_map(Mutation::Header),
        (1..=u8::MAX).prop_map(Mutation::Any),
        Just(Mutation::Remove),
        Just(Mutation::Repeat),
    ]
}

/// A frame whose bits, length encoding and payload are often wrong.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![6 => 0..3u8, 3 => 8..11u8, 1 => 0..16u8];
    let bits = prop_oneof![12 => Just(0x80u8), 6 => Just(0x00), 1 => any::<u8>()];
    // Usually a plausible code, then bytes that may be text.
    let code = prop_oneof![990..1020u16, 2990..5010u16, any::<u16>()];
    let text = prop_oneof![4 => "\\PC{0,6}".prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..4)];
    let wide = prop_oneof![20 => Just(0u8), 1 => Just(126u8), 1 => Just(127u8)];
    let masked = proptest::bool::weighted(0.97);
    (opcode, bits, code, text, wide, masked).prop_map(|(opcode, bits, code, text, wide, masked)| {
        let first = (bits & 0xf0) | opcode;
        let payload = match opcode {
            8 => [&code.to_be_bytes()[..], &text].concat(),
            _ => text,
        };
        let mut bytes = match wide {
            0 => frame(first, [9, 8, 7, 6], &payload),
            _ => {
                let mut bytes = frame_header(first, wide, payload.len() as u64);
                bytes.extend_from_slice(&[0; 4]);
                bytes.extend_from_slice(&payload);
                bytes
            }
        };
        if !masked {
            bytes[1] &= 0x7f;
        }
        bytes
    })
}

/// Lengths around the limits at which their encoding changes, usually small ones.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![
        20 => 0..20usize,
        5 => 120..135usize,
        2 => 300..5000usize,
        1 => 65_530..65_542usize,
    ];
    (size, "\\PC{1,8}", any::<u8>())
        .prop_map(|(size, text, byte)| text.bytes().chain([byte]).cycle().take(size).collect())
}

fn any_kind() -> impl Strategy<Value = MessageKind> {
    prop_oneof![Just(MessageKind::Text), Just(MessageKind::Binary)]
}

fn close_frame() -> impl Strategy<Value = Option<CloseFrame>> {
    // Without 1014, see `replaced_close`.
    let code = prop_oneof![1000..=1003u16, 1007..=1013u16, 3000..=4999u16];
    proptest::option::of((code, "\\PC{0,40}").prop_map(|(code, text)| CloseFrame::truncated(code, text)))
}

/// Arbitrary bytes, or valid UTF-8.
fn legal(kind: MessageKind, payload: Vec<u8>) -> Vec<u8> {
    match kind {
        MessageKind::Text => String::from_utf8_lossy(&payload).into_owned().into_bytes(),
        MessageKind::Binary => payload,
    }
}

/// A client's frame, its length in the fewest bytes.
fn frame(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let short = match payload.len() {
        len @ 0..126 => len as u8,
        126..0x1_0000 => 126,
        _ => 127,
    };
    let mut bytes = frame_header(first, short, payload.len() as u64);
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The part of a header before the mask, with the length encoded as `short` says.
fn frame_header(first: u8, short: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | short];
    match short {
        126 => bytes.extend_from_slice(&(len as u16).to_be_bytes()),
        127 => bytes.extend_from_slice(&len.to_be_bytes()),
        _ => {}
    }
    bytes
}

/// Sizes of reads: single bytes, about a header, or much more.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![3 => 1..4usize, 3 => 1..20usize, 1 => 20..5000usize], 1..6)
}

/// Runs a property on the same cases every time, so that a failure can be repeated without a file.
fn check<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value) -> TestCaseResult) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(strategy, property) {
        panic!("{error}");
    }
}

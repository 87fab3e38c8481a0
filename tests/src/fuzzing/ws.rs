//! RFC 6455 framing: any bytes, in any pieces.

use rejoin_core::ws::{self, Decoder, FrameError, Incoming, Role};

use super::Input;

/// The first byte chooses the role, the second the limit; then come the sizes of the pieces, and the rest is the stream.
///
/// # Panics
/// Panics if the pieces make a difference, more bytes are held than have arrived, or a decoded message does not encode to the
/// same bytes.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let role = input.one_of(&[Role::Server, Role::Client]);
    let limit = input.one_of(&[64, 0, 1, 125, 300, 70_000, usize::MAX]);
    let cuts = input.bytes();
    let stream = input.rest();
    let whole = decode(role, limit, stream, &[]);
    assert_eq!(whole, decode(role, limit, stream, cuts), "cutting makes no difference");
    assert_eq!(whole, decode(role, limit, stream, &[1]), "nor does reading byte by byte");
    let (seen, error) = whole;
    for incoming in &seen {
        if let Incoming::Message(message) = incoming {
            assert!(message.data.len() <= limit, "the limit holds");
        }
        round_trip(role, incoming);
    }
    if let Some(error) = error {
        assert!(matches!(error.close_code(), 1002 | 1007 | 1009));
        assert!(!matches!(seen.last(), Some(Incoming::Close(_))), "nothing fails after a close");
    }
}

/// Decodes the stream in pieces of these sizes, repeatedly; without sizes, all at once.
fn decode(role: Role, limit: usize, stream: &[u8], sizes: &[u8]) -> (Vec<Incoming>, Option<FrameError>) {
    let mut decoder = Decoder::new(role, limit);
    let mut stream = stream.to_vec();
    let mut rest = &mut stream[..];
    let mut sizes = sizes.iter().cycle();
    let (mut seen, mut came) = (Vec::new(), 0);
    while !rest.is_empty() {
        let size = sizes.next().map_or(usize::MAX, |size| usize::from(*size).max(1)).min(rest.len());
        let mut piece = rest.split_off_mut(..size).expect("no more than there is");
        came += size;
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(incoming)) => seen.push(incoming),
                Ok(None) => break assert!(piece.is_empty(), "everything is taken"),
                Err(error) => {
                    assert_eq!(decoder.decode(&mut piece), Err(error), "it stays failed");
                    assert_eq!(decoder.buffered(), 0, "and holds nothing");
                    return (seen, Some(error));
                }
            }
        }
        assert!(decoder.buffered() <= 2 * came + 8, "{} bytes are held of {came}", decoder.buffered());
    }
    (seen, None)
}

/// The message round-trips through our own encoder.
fn round_trip(role: Role, incoming: &Incoming) {
    let frame = match incoming {
        Incoming::Message(message) => {
            let frame = ws::encode_message(message.kind, &message.data);
            assert_eq!(&ws::message_of(frame.clone()), message);
            frame
        }
        Incoming::Ping(payload) => ws::encode_ping(payload),
        Incoming::Pong(payload) => ws::encode_pong(payload),
        Incoming::Close(frame) => ws::encode_close(frame.as_ref()),
    };
    let frame = match role {
        Role::Server => ws::mask_frame(&frame, [0x37, 0xfa, 0x21, 0x3d]),
        Role::Client => frame,
    };
    let (seen, error) = decode(role, usize::MAX, &frame, &[]);
    assert_eq!((&seen[..], error), (std::slice::from_ref(incoming), None));
}

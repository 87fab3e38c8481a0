//! Control frames: any event that begins with `$`, with any payload, to either side.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rejoin_core::{
    Control, Epoch, Event, Frame, Mode, Open, Overflow, Payload, PayloadFormat, Session, SessionConfig,
    SessionIdentity, Side, Token, Transmit,
};
use serde::de::IgnoredAny;

use super::Input;

/// The number of frames that the session has sent and received before.
const BEFORE: u64 = 3;

/// The first bytes choose the side and the event, the rest is its payload.
///
/// # Panics
/// Panics if a refused frame has changed anything, or if an accepted one was not obeyed as in PROTOCOL.md §3.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let now = Instant::now();
    let (mut session, epoch) = match input.byte() % 3 {
        0 => server(now),
        1 => client(now, true),
        _ => client(now, false),
    };
    let event = match input.one_of(&["$open", "$ack", "$gap", "$ping", "$pong", "$later", "", "$sync"]) {
        "" => format!("${}", input.text()),
        known => known.to_owned(),
    };
    let format = input.one_of(&[
        Some(PayloadFormat::Json),
        Some(PayloadFormat::Bytes),
        Some(PayloadFormat::Msgpack),
        None,
    ]);
    let data = Bytes::copy_from_slice(input.rest());
    let mut frame = Frame::event_only(event);
    if let Some(format) = format {
        if format == PayloadFormat::Json && !is_json(&data) {
            // No codec passes it to the session.
            return;
        }
        frame = frame.with_payload(Payload::from_parts(format, data.clone()));
    }
    let before = session.counts();
    let opened = session.is_opened();
    let result = session.handle_frame(epoch, frame.clone(), data.len(), now);
    let counts = session.counts();
    match result {
        Err(violation) => {
            assert!(!violation.to_string().is_empty(), "the error has a text");
            assert_eq!((counts, session.is_opened()), (before, opened), "a refused frame changes nothing");
            return;
        }
        Ok(()) if !opened => {
            assert!(frame.event() == "$open" && session.is_opened(), "the first frame is $open");
            return;
        }
        Ok(()) => {}
    }
    match frame.event() {
        "$open" => panic!("there is one $open on a socket"),
        "$ack" => {
            let count: u64 = serde_json::from_slice(&data).expect("a whole number");
            assert_eq!(counts.unacknowledged, BEFORE - count);
        }
        "$gap" => {
            let gap: rejoin_core::Gap = serde_json::from_slice(&data).expect("a gap");
            assert_eq!((gap.from, counts.received), (before.received + 1, gap.to));
            session.poll_event();
            for _ in 0..BEFORE {
                assert!(matches!(session.poll_event(), Some(Event::Message(_))));
            }
            assert_eq!(session.poll_event(), Some(Event::Gap(gap)));
        }
        "$ping" => {
            let pong = session.poll_transmit(epoch, now);
            let payload = frame.payload().map(|payload| payload.data().clone());
            assert_eq!(pong, Some(Transmit::Control(Control::Pong(payload.clone()))));
            assert!(payload.is_none_or(|payload| is_json(&payload)), "a control frame carries JSON");
        }
        "$sync" => {
            let ack = session.poll_transmit(epoch, now);
            assert_eq!(ack, Some(Transmit::Control(Control::Ack(counts.received))), "at once");
        }
        _ => assert_eq!(counts, before, "a frame that is unknown or needs no answer changes nothing"),
    }
}

fn is_json(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// A server's session on its first socket.
fn server(now: Instant) -> (Session, Epoch) {
    let config = Arc::new(SessionConfig::new(Side::Server, Mode::Session));
    let identity = SessionIdentity::new(token(), "ada", "room");
    let mut session = Session::new_server(config, identity, None, now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).expect("it is new");
    used(session, epoch, now)
}

/// A client's session on its first socket.
fn client(now: Instant, opened: bool) -> (Session, Epoch) {
    let config = Arc::new(SessionConfig::new(Side::Client, Mode::Session));
    let mut session = Session::new(config, now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).expect("it is new");
    if !opened {
        return (session, epoch);
    }
    let mut open = Open::new(token(), "ada", "room");
    open.buffer = 256;
    let open = Control::Open(Box::new(open)).json().expect("it has a payload");
    let frame = Frame::event_only("$open").with_payload(Payload::from_parts(PayloadFormat::Json, open));
    session.handle_frame(epoch, frame, 0, now).expect("it is the first");
    used(session, epoch, now)
}

/// Sends some frames in both directions.
fn used(mut session: Session, epoch: Epoch, now: Instant) -> (Session, Epoch) {
    for _ in 0..BEFORE {
        session.send(Bytes::from_static(b"x"), Overflow::Reject).expect("there is space");
        session.handle_frame(epoch, Frame::event_only("x"), 1, now).expect("it is a data frame");
    }
    while session.poll_transmit(epoch, now).is_some() {}
    (session, epoch)
}

fn token() -> Token {
    Token::parse("abcdefghijklmnopqrstuv").expect("it has the right length")
}

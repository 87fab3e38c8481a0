//! The serialized form of version 1. It must not change: a process reads snapshots that another version of the code has written.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::pair::identity;
use super::super::{control, data};
use super::copy_of;
use crate::session::snapshot::{Announced, PendingEvent, SessionSnapshot, SnapshotError, Unreported};
use crate::session::*;
use crate::{CloseFrame, Control, Frame, Gap, LostReason, Open, Payload, PayloadFormat};

const EXAMPLE: &str = include_str!("example.json");
const VERSION_1: &str = include_str!("version-1.json");

/// The snapshots of the fixture. Together they use every field, and their lists every variant.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Fixture {
    server: SessionSnapshot,
    client: SessionSnapshot,
    ended: SessionSnapshot,
    events: Vec<Event>,
    close_reasons: Vec<CloseReason>,
    deliveries: Vec<Delivery>,
    reconnects: Vec<Reconnect>,
    lost_reasons: Vec<LostReason>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            server: server(),
            client: client(),
            ended: ended(),
            events: events(),
            close_reasons: close_reasons(),
            deliveries: vec![Delivery::Delivered, Delivery::Dropped, Delivery::Ended],
            reconnects: vec![
                Reconnect::Never,
                Reconnect::Backoff,
                Reconnect::After(Duration::from_millis(250)),
            ],
            lost_reasons: vec![LostReason::Codec, LostReason::Identity, LostReason::Unknown],
        }
    }
}

/// A connected session of a server.
fn connected(now: Instant) -> (Session, Epoch) {
    let config = SessionConfig { buffer_frames: 4, ..SessionConfig::new(Side::Server, Mode::Session) };
    let mut session = Session::new_server(Arc::new(config), identity(7), None, now);
    session.set_peer_max(70_000);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    session.poll_event();
    (session, epoch)
}

/// Suspended for 1.5 seconds, with one message.
fn example() -> SessionSnapshot {
    let now = Instant::now();
    let (mut session, epoch) = connected(now);
    session.send(Bytes::from_static(b"hello"), Overflow::Reject).unwrap();
    while session.poll_transmit(epoch, now).is_some() {}
    session.handle_frame(epoch, data("hi"), 2, now).unwrap();
    session.handle_lost(epoch, DropReason::HeartbeatTimeout, now);
    while session.poll_event().is_some() {}
    session.snapshot(now + Duration::from_millis(1500))
}

/// Suspended for the second time, with gaps between kept frames, watched frames, and a pending close.
fn server() -> SessionSnapshot {
    let now = Instant::now();
    let (mut session, epoch) = connected(now);
    let send = |session: &mut Session, text: &'static str, overflow| {
        session.send(Bytes::from_static(text.as_bytes()), overflow).ok();
        session.watch_last();
    };
    for text in ["1", "2", "3"] {
        send(&mut session, text, Overflow::Reject);
    }
    while session.poll_transmit(epoch, now).is_some() {}
    session.handle_frame(epoch, control(Control::Ack(1)), 1, now).unwrap();
    session.handle_frame(epoch, data("received"), 8, now).unwrap();
    session.handle_frame(epoch, control(Control::Gap(Gap::new(2, 3))), 8, now).unwrap();
    session.cut(now);
    let epoch = session.reserve();
    session.attach(epoch, Some(1), now).unwrap();
    while session.poll_transmit(epoch, now).is_some() {}
    for text in ["4", "5", "6"] {
        send(&mut session, text, Overflow::DropOldest);
    }
    send(&mut session, "7", Overflow::DropNewest);
    session.reserve();
    session.handle_lost(epoch, DropReason::Io(io::ErrorKind::ConnectionReset), now);
    session.close(CloseReason::ServerClosed, now + Duration::from_secs(5));
    session.snapshot(now + Duration::from_millis(1500))
}

/// A client whose session the server has ended. It will reconnect after the delay that the server has named.
fn client() -> SessionSnapshot {
    let now = Instant::now();
    let config = Arc::new(SessionConfig::new(Side::Client, Mode::Session));
    let mut session = Session::new(config, now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    let SessionIdentity { token, id, room } = identity(8);
    let mut open = Open::new(token, id, &*room);
    (open.buffer, open.buffer_bytes, open.lost) = (2, 3000, Some(LostReason::Identity));
    session.handle_frame(epoch, control(Control::Open(Box::new(open))), 1, now).unwrap();
    session.send(Bytes::from_static(b"kept"), Overflow::Reject).unwrap();
    session.handle_close(epoch, Some(CloseFrame::from_static(1012, "retry in 250 ms")), now);
    let mut snapshot = session.snapshot(now + Duration::from_secs(2));
    // These fields are set only if several sessions are lost while the client closes.
    snapshot.retired = true;
    snapshot.unreported = Some(Unreported { messages: vec![Bytes::from_static(b"unreported")], dropped: 3 });
    snapshot
}

/// A session in plain mode that has ended, and whose application has taken no event.
fn ended() -> SessionSnapshot {
    let now = Instant::now();
    let mut session = Session::new(Arc::new(SessionConfig::new(Side::Server, Mode::Plain)), now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    session.send(Bytes::from_static(b"never written"), Overflow::Reject).unwrap();
    session.end(CloseReason::Kicked);
    let mut snapshot = session.snapshot(now);
    snapshot.events = events().into_iter().map(|event| PendingEvent { event, size: 0 }).collect();
    snapshot
}

fn events() -> Vec<Event> {
    let payload = |format, data: &'static [u8]| Payload::from_parts(format, Bytes::from_static(data));
    let frame = Frame::event_only("event").with_id("id");
    let dropped = [
        DropReason::Closed(Some(CloseFrame::from_static(1001, "away"))),
        DropReason::Closed(None),
        DropReason::Io(io::ErrorKind::UnexpectedEof),
        DropReason::HeartbeatTimeout,
        DropReason::WriteTimeout,
        DropReason::TakenOver,
        DropReason::Cut,
        DropReason::SessionLost,
    ];
    let messages = [
        frame.clone(),
        frame.clone().with_payload(payload(PayloadFormat::Json, b"[1]")),
        frame.clone().with_payload(payload(PayloadFormat::Msgpack, b"\x91\x01")),
        frame.clone().with_payload(payload(PayloadFormat::Bytes, b"\x00\xff")),
        frame.with_re("re").with_room("room").with_more(true).with_volatile(true),
    ];
    let lost = Event::Lost {
        reason: Some(LostReason::Unknown),
        unacknowledged: vec![Bytes::from_static(b"lost")],
        dropped: 1,
    };
    let mut events = vec![Event::Connected];
    events.extend(messages.map(Event::Message));
    events.extend(dropped.map(Event::Dropped));
    events.extend([lost, Event::Restored, Event::Gap(Gap::new(4, 9)), Event::Closed(CloseReason::Kicked)]);
    events
}

fn close_reasons() -> Vec<CloseReason> {
    vec![
        CloseReason::Normal,
        CloseReason::Local(CloseFrame::from_static(4001, "done")),
        CloseReason::Kicked,
        CloseReason::Duplicate,
        CloseReason::WindowExpired,
        CloseReason::TransportLost(DropReason::WriteTimeout),
        CloseReason::ServerClosed,
        CloseReason::Protocol(CloseFrame::from_static(1002, "unexpected $open")),
        CloseReason::TooBig,
        CloseReason::Overflow,
        CloseReason::Evicted,
        CloseReason::HandlerPanicked,
        CloseReason::Remote(CloseFrame::from_static(1008, "policy")),
        CloseReason::TakenOver,
    ]
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn version_1_reads_as_it_always_did() {
    let read: Fixture = serde_json::from_str(VERSION_1).unwrap();
    assert_eq!(read, Fixture::new());
}

#[test]
fn version_1_is_written_as_it_always_was() {
    assert_eq!(json(&Fixture::new()), VERSION_1);
    assert_eq!(json(&example()), EXAMPLE, "the example in the documentation");
}

#[test]
fn the_sessions_of_the_fixture_continue() {
    let now = Instant::now();
    let Fixture { server, client, ended, .. } = serde_json::from_str(VERSION_1).unwrap();
    for snapshot in [server, client, ended] {
        let config = SessionConfig { buffer_frames: 4, ..SessionConfig::new(snapshot.side, snapshot.mode) };
        let session = Session::from_snapshot(snapshot.clone(), Arc::new(config), now).unwrap();
        assert_eq!(session.snapshot(now), snapshot);
        assert_eq!(copy_of(&session, now).counts(), session.counts());
    }
}

#[test]
fn an_unknown_version_does_not_deserialize() {
    for version in [0, 2, u32::MAX] {
        let text = EXAMPLE.replace("\"version\": 1", &format!("\"version\": {version}"));
        let error = serde_json::from_str::<SessionSnapshot>(&text).unwrap_err().to_string();
        let expected = format!("unknown version of a session snapshot: {version} (expected 1)");
        assert!(error.starts_with(&expected), "{error}");
    }
    let other_content = serde_json::from_str::<SessionSnapshot>(r#"{"version": 2, "sessions": []}"#);
    assert!(other_content.unwrap_err().to_string().starts_with("unknown version"));
}

#[test]
fn a_message_of_another_type_is_named() {
    let mut value = serde_json::to_value(Fixture::new().server).unwrap();
    value["unacknowledged"]["kept"][0]["messages"][0] = 7.into();
    let error = serde_json::from_value::<SessionSnapshot>(value).unwrap_err().to_string();
    assert!(error.contains("expected a message as base64 or bytes"), "{error}");
}

#[test]
fn fields_of_a_later_minor_version_are_ignored() {
    let text = EXAMPLE.replace("\"suspended_for_ns\"", "\"later\": {}, \"suspended_for_ns\"");
    assert_eq!(serde_json::from_str::<SessionSnapshot>(&text).unwrap(), example());
}

#[test]
fn a_message_without_rare_members_reads() {
    let text = VERSION_1.replace(",\n            \"rare\": null", "");
    assert_ne!(text, VERSION_1);
    assert_eq!(serde_json::from_str::<Fixture>(&text).unwrap(), Fixture::new());
}

#[test]
fn the_window_continues_after_a_restore() {
    let (snapshot, now) = (example(), Instant::now());
    let config = SessionConfig { buffer_frames: 4, ..SessionConfig::new(Side::Server, Mode::Session) };
    let remaining = Duration::from_millis(28_500);
    assert_eq!(snapshot.remaining_window(&config), Some(remaining));
    assert_eq!(client().remaining_window(&config), None, "a client has no window");
    assert_eq!(ended().remaining_window(&config), None);
    let session = Session::from_snapshot(snapshot, Arc::new(config), now).unwrap();
    assert_eq!(session.poll_timeout(), Some(now + remaining));
}

#[test]
fn the_smaller_buffer_counts_after_a_restore() {
    let now = Instant::now();
    for (announced, configured) in [(2, 4), (4, 2), (3, 3)] {
        let config =
            SessionConfig { buffer_frames: configured, ..SessionConfig::new(Side::Client, Mode::Session) };
        let config = Arc::new(config);
        let mut snapshot = Session::new(config.clone(), now).snapshot(now);
        snapshot.identity = Some(identity(0).into());
        snapshot.announced = Some(Announced { buffer_frames: announced, buffer_bytes: 1000 });
        let mut session = Session::from_snapshot(snapshot, config, now).unwrap();
        let taken = (0..9).filter(|_| session.send(Bytes::from_static(b"text"), Overflow::Reject).is_ok());
        assert_eq!(taken.count(), announced.min(configured) as usize);
    }
}

#[test]
fn a_snapshot_must_match_the_configuration() {
    let now = Instant::now();
    let import = |config| Session::from_snapshot(example(), Arc::new(config), now).map(drop);
    let found = (Side::Server, Mode::Session);
    for expected in [(Side::Client, Mode::Session), (Side::Server, Mode::Plain)] {
        let config = SessionConfig::new(expected.0, expected.1);
        assert_eq!(import(config), Err(SnapshotError::Mismatch { found, expected }));
    }
    let limited = |buffer_frames, buffer_bytes| SessionConfig {
        buffer_frames,
        buffer_bytes,
        ..SessionConfig::new(Side::Server, Mode::Session)
    };
    assert_eq!(import(limited(1, 1)), Ok(()), "one message, however big");
    assert_eq!(import(limited(0, 9)), Err(SnapshotError::TooBig { frames: 1, bytes: 5 }));
}

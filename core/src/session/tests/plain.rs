//! Plain mode: data frames only, for any WebSocket client (PROTOCOL.md §1).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{SECOND, data};
use crate::CloseFrame;
use crate::session::*;

/// A server session with an attached socket, and the current time.
fn attached(adjust: impl FnOnce(&mut SessionConfig)) -> (Session, Epoch, Instant) {
    let now = Instant::now();
    let mut config = SessionConfig::new(Side::Server, Mode::Plain);
    adjust(&mut config);
    let mut session = Session::new(Arc::new(config), now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    assert_eq!(session.poll_event(), Some(Event::Connected));
    (session, epoch, now)
}

fn send(session: &mut Session, text: &'static str) -> Result<u64, Refused> {
    session.send(Bytes::from_static(text.as_bytes()), Overflow::Reject)
}

fn written(session: &mut Session, epoch: Epoch, now: Instant) -> Vec<Transmit> {
    std::iter::from_fn(|| session.poll_transmit(epoch, now)).collect()
}

fn messages(texts: &[&'static str]) -> Vec<Transmit> {
    texts.iter().map(|text| Transmit::Data(Bytes::from_static(text.as_bytes()))).collect()
}

#[test]
fn replays_only_unwritten_frames() {
    let (mut session, epoch, now) = attached(|_| ());
    for text in ["1", "2", "3"] {
        send(&mut session, text).unwrap();
    }
    assert_eq!(session.poll_transmit(epoch, now), Some(messages(&["1"]).remove(0)));
    assert_eq!(session.poll_transmit(epoch, now), Some(messages(&["2"]).remove(0)));
    session.handle_written(epoch, 1, 2000, Some(9000), now);
    session.handle_lost(epoch, DropReason::Io(std::io::ErrorKind::BrokenPipe), now);
    send(&mut session, "4").unwrap();
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    assert_eq!(written(&mut session, epoch, now), messages(&["2", "3", "4"]));
    session.handle_written(epoch, 3, 2000, None, now);
    assert_eq!((session.counts().unacknowledged, session.counts().retained_bytes), (0, 0));
    session.cut(now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    assert_eq!(written(&mut session, epoch, now), []);
}

#[test]
fn poll_lone_returns_only_a_sole_pending_frame() {
    let (mut session, epoch, now) = attached(|_| ());
    assert_eq!(session.poll_lone(epoch, now), None);
    send(&mut session, "1").unwrap();
    assert_eq!(session.poll_lone(epoch, now), Some(&Bytes::from_static(b"1")));
    assert_eq!(session.poll_lone(epoch, now), None, "the socket has it");
    session.handle_written(epoch, 1, 2000, None, now);
    for text in ["2", "3"] {
        send(&mut session, text).unwrap();
    }
    assert_eq!(session.poll_lone(epoch, now), None, "they leave together");
    assert_eq!(session.poll_transmit(epoch, now), Some(messages(&["2"]).remove(0)));
    assert_eq!(session.poll_lone(epoch, now), Some(&Bytes::from_static(b"3")));
    session.cut(now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    assert_eq!(session.poll_transmit(epoch, now), Some(messages(&["2"]).remove(0)));
    assert_eq!(session.poll_lone(epoch, now), Some(&Bytes::from_static(b"3")), "again");
    assert_eq!((session.counts().sent, session.counts().replayed), (5, 2));
    session.handle_timeout(now + SessionConfig::new(Side::Server, Mode::Plain).ping_interval);
    session.handle_written(epoch, 2, 2000, None, now);
    send(&mut session, "4").unwrap();
    assert_eq!(session.poll_lone(epoch, now), None, "a ping comes first");
    session.close(CloseReason::Normal, now);
    assert_eq!(session.poll_transmit(epoch, now), Some(Transmit::Ping));
    assert_eq!(session.poll_lone(epoch, now), None, "a close frame comes after it");
}

#[test]
fn only_suspended_empty_sessions_can_hibernate() {
    let (mut session, epoch, now) = attached(|_| ());
    assert!(session.hibernate().is_none(), "a socket is attached");
    send(&mut session, "1").unwrap();
    assert_eq!(written(&mut session, epoch, now), messages(&["1"]));
    session.handle_written(epoch, 1, 2000, None, now);
    session.handle_frame(epoch, crate::Frame::event_only("x"), 7, now).unwrap();
    session.cut(now);
    while session.hibernate().is_none() {
        assert!(session.poll_event().is_some(), "the session hibernates after all events are taken");
    }
    let mut woken = session.hibernate().unwrap().wake();
    assert_eq!(woken.counts(), session.counts());
    send(&mut woken, "2").unwrap();
    assert!(woken.hibernate().is_none(), "the session keeps a frame");
    let epoch = woken.reserve();
    assert_eq!(epoch, session.reserve());
    woken.attach(epoch, None, now).unwrap();
    assert_eq!(written(&mut woken, epoch, now), messages(&["2"]));
    assert_eq!((woken.counts().accepted, woken.counts().received, woken.counts().resumed), (2, 1, 1));
    let mut ended = session.hibernate().unwrap().wake();
    ended.handle_timeout(ended.poll_timeout().unwrap());
    assert_eq!(ended.ended(), Some(&CloseReason::WindowExpired));
    assert!(ended.hibernate().is_none(), "its end is not reported yet");
}

#[test]
fn older_drivers_do_not_affect_the_replay() {
    let (mut session, old, now) = attached(|_| ());
    let new = session.reserve();
    session.attach(new, None, now).unwrap();
    send(&mut session, "1").unwrap();
    assert_eq!(written(&mut session, new, now), messages(&["1"]));
    session.cut(now);
    session.handle_detached(old);
    session.handle_written(new, 1, 2000, None, now);
    session.handle_detached(new);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    assert_eq!(written(&mut session, epoch, now), []);
}

#[test]
fn half_an_unsent_buffer_is_falling_behind() {
    let (mut session, epoch, now) = attached(|config| config.buffer_frames = 4);
    let falls_or_flows = |session: &Session| (session.is_falling_behind(), session.is_flowing());
    assert_eq!(falls_or_flows(&session), (false, true));
    send(&mut session, "1").unwrap();
    assert_eq!(falls_or_flows(&session), (false, true));
    send(&mut session, "2").unwrap();
    assert_eq!(falls_or_flows(&session), (true, false));
    session.handle_written(epoch, 0, 100, Some(9000), now);
    assert_eq!(falls_or_flows(&session), (false, false), "it is blocked");
    session.handle_written(epoch, 0, 9000, None, now);
    assert_eq!(falls_or_flows(&session), (true, false));
    session.cut(now);
    assert_eq!(falls_or_flows(&session), (false, false), "there is no socket");
}

#[test]
fn the_unwritten_part_of_a_batch_is_replayed() {
    let (mut session, epoch, now) = attached(|_| ());
    let mut writer = SegmentWriter::default();
    let shared: Vec<_> = (0..4).map(|n| writer.push(n.to_string().into())).collect();
    for frame in &shared[1..] {
        session.send_span(frame, Overflow::Reject).unwrap();
    }
    let texts = |transmit| match transmit {
        Some(Transmit::Batch(batch)) => batch.frames().collect(),
        Some(Transmit::Data(message)) => vec![message],
        other => panic!("no data: {other:?}"),
    };
    assert_eq!(texts(session.poll_transmit(epoch, now)), ["1", "2"]);
    assert_eq!(texts(session.poll_transmit(epoch, now)), ["3"]);
    session.handle_written(epoch, 1, 2000, Some(9000), now);
    session.handle_lost(epoch, DropReason::Io(std::io::ErrorKind::BrokenPipe), now);
    session.handle_detached(epoch);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    assert_eq!(written(&mut session, epoch, now), messages(&["2", "3"]));
    let counts = session.counts();
    assert_eq!((counts.sent, counts.replayed, counts.unacknowledged), (5, 2, 2));
}

#[test]
fn frames_completed_during_a_cut_are_not_replayed() {
    let (mut session, epoch, now) = attached(|config| config.buffer_frames = 2);
    send(&mut session, "1").unwrap();
    send(&mut session, "2").unwrap();
    assert_eq!(written(&mut session, epoch, now), messages(&["1", "2"]));
    session.cut(now);
    // The driver notices the cut only after it has written.
    session.handle_written(epoch, 1, 2000, None, now);
    session.handle_detached(epoch);
    send(&mut session, "3").unwrap();
    assert_eq!(send(&mut session, "4"), Err(Refused::Full), "unwritten frames count again");
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    assert_eq!(written(&mut session, epoch, now), messages(&["2", "3"]));
}

#[test]
fn a_takeover_replays_unwritten_frames() {
    let (mut session, old, now) = attached(|_| ());
    send(&mut session, "1").unwrap();
    send(&mut session, "2").unwrap();
    written(&mut session, old, now);
    session.handle_written(old, 1, 2000, Some(9000), now);
    let new = session.reserve();
    session.attach(new, None, now).unwrap();
    session.handle_written(old, 1, 2000, None, now);
    assert_eq!(
        written(&mut session, new, now),
        messages(&["2"]),
        "the old one's word does not count any more"
    );
    assert_eq!(session.poll_event(), Some(Event::Dropped(DropReason::TakenOver)));
    assert_eq!(session.poll_event(), Some(Event::Restored));
}

#[test]
fn control_events_are_ordinary_data() {
    let (mut session, epoch, now) = attached(|_| ());
    for event in ["$ack", "$open", "$ping", "$gap", "$x"] {
        assert!(session.may_send(&data(event)));
        session.handle_frame(epoch, data(event), 1, now).unwrap();
        assert_eq!(session.poll_event(), Some(Event::Message(data(event))));
    }
    assert_eq!(written(&mut session, epoch, now), [], "and none is answered");
}

#[test]
fn no_control_frame_is_ever_written() {
    let (mut session, epoch, now) = attached(|c| c.buffer_frames = 1);
    for n in 0..10 {
        let later = now + n * SECOND;
        session.handle_frame(epoch, data("c"), 1, later).unwrap();
        session.handle_timeout(later);
        session.send(Bytes::from_static(b"s"), Overflow::DropOldest).unwrap();
        session.send(Bytes::from_static(b"t"), Overflow::DropOldest).unwrap();
        session.send_missing().unwrap();
        assert_eq!(written(&mut session, epoch, later), messages(&["t"]));
        session.handle_written(epoch, 1, 2000, None, later);
    }
    assert_eq!(session.counts().dropped, 20);
}

#[test]
fn frames_being_written_do_not_occupy_the_buffer() {
    let (mut session, epoch, now) = attached(|c| c.buffer_frames = 2);
    for text in ["1", "2"] {
        send(&mut session, text).unwrap();
    }
    assert_eq!(send(&mut session, "3"), Err(Refused::Full));
    assert!(session.poll_transmit(epoch, now).is_some());
    assert_eq!(send(&mut session, "3"), Ok(3));
}

#[test]
fn the_window_holds_in_plain_mode_too() {
    let (mut session, epoch, now) = attached(|_| ());
    session.handle_close(epoch, Some(CloseFrame::from_static(1001, "")), now);
    assert_eq!(session.state(), SessionState::Suspended);
    session.handle_timeout(now + 30 * SECOND);
    assert_eq!(session.ended(), Some(&CloseReason::WindowExpired));
}

#[test]
fn close_writes_accepted_frames_then_awaits_the_answer() {
    let (mut session, epoch, now) = attached(|_| ());
    send(&mut session, "1").unwrap();
    let frame = CloseFrame::from_static(1000, "");
    session.close(CloseReason::Local(frame.clone()), now + 5 * SECOND);
    let mut expected = messages(&["1"]);
    expected.push(Transmit::Close(frame.clone()));
    assert_eq!(written(&mut session, epoch, now), expected);
    session.handle_written(epoch, 1, 2000, None, now);
    assert_eq!(session.state(), SessionState::Connected);
    assert_eq!(session.handle_close(epoch, Some(frame.clone()), now), (None, Some(frame.clone())));
    assert_eq!(session.ended(), Some(&CloseReason::Local(frame)));
    assert_eq!(session.counts().unacknowledged, 0);
}

#[test]
fn a_plain_client_connects_without_open() {
    let now = Instant::now();
    let config = Arc::new(SessionConfig::new(Side::Client, Mode::Plain));
    let mut session = Session::new(config, now);
    send(&mut session, "1").unwrap();
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    assert!(session.is_opened());
    assert_eq!(session.resume_offer(), None);
    assert_eq!(session.poll_event(), Some(Event::Connected));
    assert_eq!(written(&mut session, epoch, now), messages(&["1"]));
}

#[test]
fn a_plain_close_sends_only_the_close_frame() {
    let (mut session, epoch, now) = attached(|_| ());
    session.handle_frame(epoch, data("1"), 1, now).unwrap();
    session.close(CloseReason::Normal, now + SECOND);
    assert_eq!(written(&mut session, epoch, now), [Transmit::Close(CloseFrame::from_static(1000, ""))]);
    assert_eq!(session.state(), SessionState::Connected, "it waits for the answer");
    let (mut session, epoch, now) = attached(|_| ());
    session.handle_frame(epoch, data("1"), 1, now).unwrap();
    let frame = CloseFrame::from_static(1000, "bye");
    assert_eq!(
        session.handle_close(epoch, Some(frame), now),
        (None, Some(CloseFrame::from_static(1000, "")))
    );
}

#[test]
fn unrepresentable_frames_are_skipped_in_plain_mode() {
    let (mut session, epoch, now) = attached(|_| ());
    session.send_missing().unwrap();
    assert_eq!((session.counts().dropped, session.counts().unacknowledged), (1, 0));
    send(&mut session, "2").unwrap();
    session.send_missing().unwrap();
    assert_eq!(written(&mut session, epoch, now), messages(&["2"]));
    session.handle_written(epoch, 1, 2000, None, now);
    assert_eq!((session.counts().dropped, session.counts().unacknowledged), (2, 0));
}

#[test]
fn a_plain_client_replays_unwritten_frames() {
    let now = Instant::now();
    let mut session = Session::new(Arc::new(SessionConfig::new(Side::Client, Mode::Plain)), now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    for text in ["1", "2"] {
        send(&mut session, text).unwrap();
    }
    assert_eq!(written(&mut session, epoch, now), messages(&["1", "2"]));
    session.handle_written(epoch, 1, 1000, Some(1000), now);
    session.handle_lost(epoch, DropReason::Io(std::io::ErrorKind::BrokenPipe), now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    assert_eq!(written(&mut session, epoch, now), messages(&["2"]));
}
